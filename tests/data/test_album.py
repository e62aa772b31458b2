"""Clips that were cut by others: pictures, joined sounds, seams, and what is wrong with them."""

import gzip
import struct
from dataclasses import replace

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from soundsight.data import album as album_module
from soundsight.data.album import read_album, read_idx, resample
from soundsight.data.source import Album, Bridge, Dropped, Moment, RawClip
from soundsight.media.clip import Clip, ClipSpec
from soundsight.media.io import encode

SPEC = ClipSpec(frames=2, fps=2, size=8, channels=3, sample_rate=8000)


def tone(hz, seconds, rate, start_s=0.0):
    """A sine of amplitude 1/2, its phase that of a sound that began `start_s` before."""
    times = start_s + np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hz * times)).astype(np.float32)


def noise(seconds, rate, seed):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * rate)).astype(np.float32)


@pytest.fixture
def files(tmp_path):
    """Writes files: `wav(name, wave, rate)`, `png(name, grey)` and `idx(name, images)`."""

    class Files:
        folder = tmp_path

        def wav(self, name, wave, rate):
            spec = ClipSpec(1, fps=1, size=1, sample_rate=rate)
            clip = Clip(spec, audio=torch.from_numpy(wave)[None])
            return str(encode(clip, tmp_path / f"{name}.wav"))

        def png(self, name, grey):
            video = torch.full((1, 1, 1, 8, 8), grey / 255)
            return str(encode(Clip(ClipSpec(1, size=8), video), tmp_path / f"{name}.png"))

        def idx(self, name, images):
            head = bytes([0, 0, 8, images.ndim]) + struct.pack(f">{images.ndim}I", *images.shape)
            raw = head + images.astype(np.uint8).tobytes()
            path = tmp_path / name
            path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
            return str(path)

    album_module._idx_images.cache_clear()
    return Files()


def read_one(moment, spec=SPEC):
    (clip,) = read_album(Album("a", (moment,)), spec)
    return clip


def test_images_and_joined_sounds(files):
    whole = noise(1.0, 8000, 0)
    sounds = (files.wav("a", whole[:4000], 8000), files.wav("b", whole[4000:], 8000))
    images = (files.png("0", 40), files.png("1", 200))
    clip = read_one(Moment("m", images, sounds, start_s=3.5))
    assert isinstance(clip, RawClip)
    assert (clip.name, clip.start_s) == ("m", 3.5)
    assert clip.frames.dtype == np.uint8
    assert clip.frames.shape == (2, 8, 8, 3)
    assert (clip.frames[0] == 40).all()
    assert (clip.frames[1] == 200).all()
    np.testing.assert_allclose(clip.sound, whole, atol=1e-4)
    assert clip.sound.dtype == np.float32


def test_seam_leaves_no_trace_when_resampled(files):
    """As one, the sound is that of the whole; resampled one by one it would not be."""
    whole = tone(440, 1.0, 44100)
    sounds = (files.wav("a", whole[:22050], 44100), files.wav("b", whole[22050:], 44100))
    images = (files.png("0", 0), files.png("1", 0))
    clip = read_one(Moment("m", images, sounds))
    expected = tone(440, 1.0, 8000)
    np.testing.assert_allclose(clip.sound[3900:4100], expected[3900:4100], atol=1e-3)
    parts = [resample(half, 44100, 8000) for half in (whole[:22050], whole[22050:])]
    apart = np.concatenate(parts)
    assert np.abs(apart[3990:4010] - expected[3990:4010]).max() > 0.01


@pytest.mark.parametrize(("seconds", "heard"), [(0.3, 2400), (1.0, 8000), (2.5, 8000)])
def test_sound_is_padded_or_cut(files, seconds, heard):
    whole = noise(seconds, 8000, 1)
    images = (files.png("0", 0), files.png("1", 0))
    clip = read_one(Moment("m", images, (files.wav("a", whole, 8000),)))
    assert clip.sound.shape == (8000,)
    np.testing.assert_allclose(clip.sound[:heard], whole[:heard], atol=1e-4)
    assert not clip.sound[heard:].any()


def test_sound_from_a_place_on(files):
    whole = noise(2.0, 8000, 2)
    name = files.wav("a", whole, 8000)
    images = (files.png("0", 0), files.png("1", 0))
    clip = read_one(Moment("m", images, (f"{name}#t=0.75",)))
    np.testing.assert_allclose(clip.sound, whole[6000:14000], atol=1e-4)
    late = read_one(Moment("m", images, (f"{name}#t=2.5",)))
    assert late.reason == f"unreadable: {name}: lasts 2.000 s; its sound from 2.5 s is asked"


# Seams.


def torn(files, bridge, *, second=None, start_s=0.3, rate=8000):
    """The clip of two sounds, of which `second` may be wrong, and a bridge."""
    whole = tone(300, 1.0, rate) + noise(1.0, rate, 3) / 10
    half = rate // 2
    sounds = (
        files.wav("a", whole[:half], rate),
        files.wav("b", whole[half:] if second is None else second, rate),
    )
    across = whole[round(start_s * rate) :][:half] if bridge is None else bridge
    images = (files.png("0", 0), files.png("1", 0))
    name = files.wav("across", across, rate)
    return read_one(Moment("m", images, sounds, bridges=(Bridge(name, start_s),)))


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("start_s", [0.1, 0.3, 0.4, 0.7])
def test_right_seam_passes(files, rate, start_s):
    assert isinstance(torn(files, None, start_s=start_s, rate=rate), RawClip)


def test_level_of_a_bridge_does_not_matter(files):
    whole = tone(300, 1.0, 8000) + noise(1.0, 8000, 3) / 10
    assert isinstance(torn(files, whole[2400:6400] / 4), RawClip)


@pytest.mark.parametrize(
    "second",
    [noise(0.5, 8000, 7), tone(300, 0.5, 8000, start_s=0.0005), np.zeros(4000, np.float32)],
    ids=["other sound", "half a millisecond late", "silence"],
)
def test_wrong_seam_is_dropped(files, second):
    clip = torn(files, None, second=second)
    assert isinstance(clip, Dropped)
    assert clip.reason.startswith("seam: correlation ")
    assert clip.reason.endswith("across.wav, which lies across it; at least 0.9")


def test_quiet_side_is_not_outvoted_by_a_loud_one(files):
    """Of both sides together the correlation would be above 0.99."""
    quiet, other = noise(0.5, 8000, 5) / 50, noise(0.5, 8000, 6) / 50
    loud = tone(300, 0.5, 8000) + noise(0.5, 8000, 3)[:4000] / 10
    across = np.concatenate([loud[2400:], quiet[:2400]])
    sounds = (files.wav("a", loud, 8000), files.wav("b", other, 8000))
    joined = np.concatenate([loud[2400:], other[:2400]])
    assert np.corrcoef(across, joined)[0, 1] > 0.99
    images = (files.png("0", 0), files.png("1", 0))
    bridges = (Bridge(files.wav("across", across, 8000), 0.3),)
    assert isinstance(read_one(Moment("m", images, sounds, bridges=bridges)), Dropped)


def test_silence_belongs_to_silence(files):
    silence = np.zeros(4000, np.float32)
    sounds = (files.wav("a", silence, 8000), files.wav("b", silence, 8000))
    images = (files.png("0", 0), files.png("1", 0))
    bridges = (Bridge(files.wav("across", silence, 8000), 0.3),)
    assert isinstance(read_one(Moment("m", images, sounds, bridges=bridges)), RawClip)


def test_rates_that_differ_are_dropped(files):
    images = (files.png("0", 0), files.png("1", 0))
    sounds = (files.wav("a", noise(0.5, 8000, 0), 8000), files.wav("b", noise(0.5, 9000, 0), 9000))
    clip = read_one(Moment("m", images, sounds))
    assert "9000 Hz, but the sound before it 8000 Hz" in clip.reason
    bridges = (Bridge(sounds[1], 0.2),)
    clip = read_one(Moment("m", images, (sounds[0], sounds[0]), bridges=bridges))
    assert clip.reason.startswith("seam: ")
    assert "9000 Hz" in clip.reason


# IDX files.


@pytest.mark.parametrize("name", ["digits-idx3-ubyte", "digits-idx3-ubyte.gz"])
def test_image_of_an_idx_file(files, name):
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8))
    path = files.idx(name, images)
    sound = (files.wav("a", noise(1.0, 8000, 0), 8000),)
    clip = read_one(Moment("m", (f"{path}#4", f"{path}#0"), sound))
    for frame, image in zip(clip.frames, images[[4, 0]], strict=True):
        for channel in range(3):
            assert (frame[..., channel] == image).all()
    large = read_one(Moment("m", (f"{path}#1",), sound), replace(SPEC, frames=1, size=16))
    assert large.frames.shape == (1, 16, 16, 3)
    assert abs(large.frames.mean() - images[1].mean()) < 6
    gone = read_one(Moment("m", (f"{path}#5", f"{path}#0"), sound))
    assert gone.reason == f"unreadable: {path}#5: no such image; the file holds 5"


def test_read_idx(files):
    classes = np.arange(7)
    path = files.folder / "x.gz"
    files.idx("x.gz", classes)
    assert read_idx(path, dimensions=1).tolist() == list(range(7))
    with pytest.raises(ValueError, match="not an IDX file of 3-dimensional uint8"):
        read_idx(path, dimensions=3)


# What is wrong with a clip.


def test_bad_clips_are_dropped_and_good_ones_kept(files):
    sound = files.wav("a", noise(1.0, 8000, 0), 8000)
    image = files.png("0", 9)
    broken = files.folder / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff nothing")
    empty = files.folder / "empty.wav"
    empty.touch()
    wrong_idx = files.folder / "wrong.gz"
    wrong_idx.write_bytes(b"no gzip")
    moments = [
        Moment("good", (image, image), (sound,)),
        Moment("few", (image,), (sound,)),
        Moment("silent", (image, image), ()),
        Moment("torn", (image, str(broken)), (sound,)),
        Moment("gone", (image, str(files.folder / "gone.png")), (sound,)),
        Moment("empty", (image, image), (str(empty),)),
        Moment("mute", (image, image), (image,)),
        Moment("idx", (image, f"{wrong_idx}#0"), (sound,)),
        Moment("bridge", (image, image), (sound,), bridges=(Bridge(str(empty), 0.2),)),
        Moment("last", (image, image), (sound,), start_s=8.0),
    ]
    clips = list(read_album(Album("a", tuple(moments)), SPEC))
    assert [clip.name for clip in clips] == [moment.name for moment in moments]
    reasons = {clip.name: clip.reason for clip in clips if isinstance(clip, Dropped)}
    assert set(reasons) == {m.name for m in moments} - {"good", "last"}
    assert reasons["few"] == "images: has 1; a clip needs 2, one for each frame"
    assert reasons["silent"] == "sounds: has none; a clip needs one at least"
    for name in ("torn", "gone", "empty", "mute", "idx", "bridge"):
        assert reasons[name].startswith("unreadable: ")
        assert "\n" not in reasons[name]
    assert "broken.jpg" in reasons["torn"]
    assert "has no sound" in reasons["mute"]
    assert clips[-1].start_s == 8.0


# Resampling.


@pytest.mark.parametrize(
    ("from_rate", "to_rate"),
    [(44100, 16000), (16000, 44100), (44100, 22050), (8000, 44100), (48000, 44100), (44101, 16000)],
)
def test_resampled_tones_keep_pitch_phase_and_level(from_rate, to_rate):
    for hz in (100.0, 997.0, 3000.0):
        result = resample(tone(hz, 0.5, from_rate), from_rate, to_rate)
        expected = tone(hz, 0.5, to_rate)
        assert result.shape == expected.shape
        edge = to_rate // 20
        np.testing.assert_allclose(result[edge:-edge], expected[edge:-edge], atol=2e-3)


def test_what_cannot_be_held_is_gone():
    high = tone(9000, 0.5, 44100)  # Above 8 kHz, half of 16 kHz.
    assert np.abs(resample(high, 44100, 16000)[800:-800]).max() < 2e-3


def test_resample_agrees_with_scipy():
    low = scipy.signal.firwin(501, 6000, fs=44100)
    wave = np.convolve(noise(0.5, 44100, 4), low, "same").astype(np.float32)
    expected = scipy.signal.resample_poly(wave, 160, 441, window=("kaiser", 14.0))
    result = resample(wave, 44100, 16000)
    np.testing.assert_allclose(result[500:-500], expected[500:-500], atol=2e-3)


@given(
    length=st.integers(0, 3000),
    from_rate=st.integers(1000, 50000),
    to_rate=st.integers(1000, 50000),
)
@settings(max_examples=40, deadline=None)
def test_resampled_length_and_range(length, from_rate, to_rate):
    wave = np.random.default_rng(0).uniform(-1, 1, length).astype(np.float32)
    result = resample(wave, from_rate, to_rate)
    assert abs(len(result) - length * to_rate / from_rate) <= 0.5
    assert result.dtype == np.float32
    assert np.abs(result).max(initial=0.0) <= 1
