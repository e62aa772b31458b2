"""Encoding: what is written reads back as it was, in other programs' eyes too, or not at all."""

import os
import resource
import wave
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from soundsight.media.clip import Clip, ClipSpec
from soundsight.media.io import MediaError, decode, decode_image, encode, film_strip

from .conftest import click_time, flash_time


def flash_and_click(spec: ClipSpec, at_s: float) -> Clip:
    """Grey pictures that turn white, and silence with a 20 ms burst, both from `at_s` on."""
    video = torch.full((1, spec.frames, spec.channels, spec.size, spec.size), 0.1)
    begin = round(at_s * spec.fps)
    video[:, begin : begin + 3] = 0.9
    t = torch.arange(spec.samples) / spec.sample_rate - at_s
    inside = (t >= 0) & (t < 0.02)
    audio = 0.9 * torch.cos(2 * torch.pi * 500 * t) * inside
    return Clip(spec, video=video, audio=audio[None])


def smooth(spec: ClipSpec) -> Clip:
    """A moving colour gradient and a tone."""
    grid = torch.linspace(0, 1, spec.size)
    y, x = torch.meshgrid(grid, grid, indexing="ij")
    planes = torch.stack([x, y, (x + y) / 2])[: spec.channels]
    shift = torch.arange(spec.frames)[:, None, None, None] / (2 * spec.frames)
    t = torch.arange(spec.samples) / spec.sample_rate
    audio = 0.5 * torch.sin(2 * torch.pi * 440 * t)
    return Clip(spec, video=(0.5 * planes + shift)[None].clone(), audio=audio[None])


@pytest.mark.parametrize(
    "spec",
    [
        ClipSpec(30, fps=10.0, size=48, channels=1, sample_rate=4400),
        ClipSpec(45, fps=30.0, size=64, channels=3, sample_rate=22050),
        ClipSpec(40, fps=25.0, size=33, channels=3, sample_rate=16000),
        ClipSpec(40, fps=24.0, size=64, channels=3, sample_rate=48000),
        ClipSpec(40, fps=30000 / 1001, size=20, channels=1, sample_rate=30000),
    ],
)
def test_flash_and_click_stay_together(tmp_path: Path, spec: ClipSpec):
    at_s = round(0.8 * spec.seconds * spec.fps) / spec.fps / 1.0
    at_s = min(at_s, (spec.frames - 3) / spec.fps)
    path = encode(flash_and_click(spec, at_s), tmp_path / "clip.mp4")
    again = decode(path, spec)
    seen = flash_time(again.video[0].numpy(), spec.fps)
    heard = click_time(again.audio[0].numpy(), spec.sample_rate)
    assert abs(seen - at_s) <= 0.5 / spec.fps + 1e-3
    assert abs(heard - at_s) <= 1e-3 + 1 / spec.sample_rate


@pytest.mark.parametrize(("size", "channels"), [(64, 3), (33, 3), (48, 1), (7, 1)])
def test_mp4_round_trip_is_close(tmp_path: Path, size: int, channels: int):
    spec = ClipSpec(12, fps=10.0, size=size, channels=channels, sample_rate=16000)
    clip = smooth(spec)
    again = decode(encode(clip, tmp_path / "clip.mp4"), spec)
    assert (again.video - clip.video).abs().mean() < 2.5 / 255
    assert (again.video - clip.video).abs().max() < 16 / 255
    assert (again.audio - clip.audio)[:, :-500].abs().max() < 0.05


def test_mp4_plays_in_browsers(tmp_path: Path):
    spec = ClipSpec(12, fps=10.0, size=33, sample_rate=4400)
    path = encode(smooth(spec), tmp_path / "clip.mp4")
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # Fast start.
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (video.width, video.height) == (66, 66)
        assert (audio.codec_context.name, audio.sample_rate) == ("aac", 48000)
        assert float(video.duration * video.time_base) == pytest.approx(1.2)
        assert len(list(container.decode(video))) == 12


def test_the_same_clip_gives_the_same_bytes(tmp_path: Path):
    clip = smooth(ClipSpec(12, fps=10.0, size=32, channels=3, sample_rate=16000))
    for suffix in (".mp4", ".gif", ".wav", ".png"):
        first = encode(clip, tmp_path / f"a{suffix}").read_bytes()
        assert first == encode(clip, tmp_path / f"b{suffix}").read_bytes()


def test_index_and_scale(tmp_path: Path):
    spec = ClipSpec(3, fps=10.0, size=8, channels=3, sample_rate=16000)
    clip = Clip.cat([Clip(spec, video=torch.full((1, 3, 3, 8, 8), v)) for v in (0.2, 0.8)])
    path = encode(clip, tmp_path / "a.png", index=1, scale=5)
    with av.open(str(path)) as container:
        image = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert image.shape == (40, 40, 3)
    assert (image == 204).all()


def test_one_frame_sound_only_and_picture_only(tmp_path: Path):
    spec = ClipSpec(1, fps=10.0, size=16, sample_rate=8000)
    clip = smooth(spec)
    again = decode(encode(clip, tmp_path / "one.mp4"), spec)
    assert (again.video - clip.video).abs().max() < 12 / 255
    longer = ClipSpec(10, fps=10.0, size=16, sample_rate=8000)
    whole = smooth(longer)
    heard = decode(encode(Clip(longer, audio=whole.audio), tmp_path / "a.mp4"), longer, video=False)
    assert heard.video is None
    assert (heard.audio - whole.audio)[:, :-100].abs().max() < 0.05
    seen = decode(encode(Clip(longer, video=whole.video), tmp_path / "v.mp4"), longer, audio=False)
    assert seen.audio is None
    assert (seen.video - whole.video).abs().mean() < 4 / 255


def test_wav_is_16_bit_and_exact(tmp_path: Path):
    spec = ClipSpec(2, fps=10.0, size=8, sample_rate=8000)
    audio = torch.linspace(-1.5, 1.5, spec.samples)[None]
    path = encode(Clip(spec, audio=audio), tmp_path / "a.wav")
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 8000)
        pcm = np.frombuffer(file.readframes(10**6), "<i2")
    np.testing.assert_array_equal(pcm, np.round(audio[0].clamp(-1, 1).numpy() * 32767))
    again = decode(path, spec, video=False).audio
    assert (again - audio.clamp(-1, 1)).abs().max() < 1e-4


def test_gif_shows_every_frame_for_its_time(tmp_path: Path):
    spec = ClipSpec(10, fps=10.0, size=16, channels=3, sample_rate=8000)
    clip = flash_and_click(spec, 0.4)
    again = decode(encode(clip, tmp_path / "a.gif"), spec, audio=False)
    assert (again.video - clip.video).abs().max() < 4 / 255


def test_png_and_film_strip_are_exact(tmp_path: Path):
    spec = ClipSpec(4, fps=10.0, size=16, channels=3, sample_rate=8000)
    clip = smooth(spec)
    image = decode_image(encode(clip, tmp_path / "a.png"), spec)
    assert (image.video[0, 0] - clip.video[0, 0]).abs().max() <= 0.51 / 255
    path = film_strip(clip, tmp_path / "strip.png", scale=2)
    with av.open(str(path)) as container:
        strip = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert strip.shape == (32, 4 * 32, 3)
    third = clip.video[0, 2].permute(1, 2, 0).numpy() * 255
    assert np.abs(strip[::2, 64:96:2] - third).max() <= 0.51


def test_clips_that_cannot_be_written(tmp_path: Path):
    spec = ClipSpec(2, fps=10.0, size=8, sample_rate=8000)
    sound = Clip(spec, audio=torch.zeros(1, spec.samples))
    picture = Clip(spec, video=torch.zeros(1, 2, 1, 8, 8))
    with pytest.raises(ValueError, match=r"a\.avi: .*'\.avi'; choose one of \.mp4, \.gif"):
        encode(sound, tmp_path / "a.avi")
    with pytest.raises(ValueError, match=r"a\.gif: .*needs video; the clip has only audio"):
        encode(sound, tmp_path / "a.gif")
    with pytest.raises(ValueError, match=r"needs audio; the clip has only video"):
        encode(picture, tmp_path / "a.wav")
    with pytest.raises(ValueError, match="needs video or audio"):
        encode(Clip(spec, label=torch.zeros(1, dtype=torch.int64)), tmp_path / "a.mp4")
    with pytest.raises(ValueError, match="index=1 must be between 0 and 0"):
        encode(sound, tmp_path / "a.wav", index=1)
    with pytest.raises(ValueError, match="scale=0"):
        encode(picture, tmp_path / "a.png", scale=0)
    with pytest.raises(ValueError, match="not finite"):
        encode(sound.replace(audio=sound.audio / 0), tmp_path / "a.wav")
    with pytest.raises(ValueError, match="film strip needs"):
        film_strip(sound, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".wav", ".png"])
def test_unwritable_places_name_the_file_and_leave_nothing(tmp_path: Path, suffix: str):
    clip = smooth(ClipSpec(3, fps=10.0, size=16, sample_rate=8000))
    missing = tmp_path / "nowhere" / f"a{suffix}"
    with pytest.raises(OSError, match=f"cannot write.*{missing}"):
        encode(clip, missing)
    folder = tmp_path / f"folder{suffix}"
    folder.mkdir()
    with pytest.raises(OSError, match=f"cannot write.*{folder}"):
        encode(clip, folder)
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o500)
    if not os.access(locked, os.W_OK):  # The superuser may write anywhere.
        with pytest.raises(OSError, match="cannot write"):
            encode(clip, locked / f"a{suffix}")
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"folder{suffix}", "locked"]


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".wav", ".png"])
@pytest.mark.parametrize("room", [0, 700])
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, suffix: str, room: int):
    spec = ClipSpec(20, fps=10.0, size=64, channels=3, sample_rate=8000)
    noise = torch.rand(1, 20, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    clip = smooth(spec).replace(video=noise)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))  # No file may grow beyond it.
    try:
        with pytest.raises(OSError, match=f"cannot write.*{path}"):
            encode(clip, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_not_written_cannot_be_read(tmp_path: Path):
    with pytest.raises(MediaError, match="no such file"):
        decode(tmp_path / "a.mp4", ClipSpec(1))
