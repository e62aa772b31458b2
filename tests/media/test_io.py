"""Decoding: pictures and sound of any file on one clock."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from soundsight.media.clip import ClipSpec
from soundsight.media.io import decode, decode_all, decode_image, encode, probe

from .conftest import MovieMaker, click_time, flash_time

SPEC = ClipSpec(frames=30, fps=20.0, size=16, channels=3, sample_rate=16000)
HALF_FRAME_S = 0.5 / SPEC.fps
CONTAINERS = {
    "movie.mp4": ("libx264", "aac"),
    "movie.mov": ("libx264", "aac"),
    "movie.mkv": ("libx264", "flac"),
    "movie.webm": ("libvpx", "libopus"),
    "movie.avi": ("mpeg4", "pcm_s16le"),
    "movie.mpg": ("mpeg1video", "mp2"),
    "movie.ts": ("libx264", "aac"),
}
# Containers without edit lists keep their encoder's delay: that is what such a file says.
SOUND_DELAY_S = {"movie.mpg": 481 / 48000, "movie.ts": 1024 / 48000}
PICTURE_DELAY_S = {"movie.ts": 1024 / 48000}


def heard_and_seen(path: Path, spec: ClipSpec = SPEC, start_s: float = 0.0) -> tuple[float, float]:
    """Times of the flash and the click, seconds from the start of the file's clock."""
    clip = decode(path, spec, start_s=start_s)
    assert clip.video.shape == (1, spec.frames, spec.channels, spec.size, spec.size)
    assert clip.audio.shape == (1, spec.samples)
    seen = flash_time(clip.video[0].numpy(), spec.fps)
    return start_s + seen, start_s + click_time(clip.audio[0].numpy(), spec.sample_rate)


def assert_at(times: tuple[float, float], expected: float, half_frame_s: float = HALF_FRAME_S):
    seen, heard = times
    assert abs(seen - expected) <= half_frame_s + 1e-3
    assert abs(heard - expected) <= 1e-3


@pytest.mark.parametrize("name", CONTAINERS)
def test_flash_and_click_are_where_they_were_put_in_every_container(movie: MovieMaker, name: str):
    rate = 48000 if name.endswith((".webm", ".mpg", ".ts")) else 44100
    path = movie(name, codecs=CONTAINERS[name], rate=rate)
    seen, heard = heard_and_seen(path)
    assert_at((seen - PICTURE_DELAY_S.get(name, 0), heard - SOUND_DELAY_S.get(name, 0)), 1.0)


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_window_in_the_middle_is_that_part_of_the_whole(movie: MovieMaker, name: str):
    rate = 48000 if name.endswith((".webm", ".mpg", ".ts")) else 44100
    path = movie(name, codecs=CONTAINERS[name], rate=rate, seconds=6, flash_s=4.6, click_s=4.6)
    frames, wave = decode_all(path, SPEC)
    clip = decode(path, SPEC, start_s=4.0)
    seen, heard = heard_and_seen(path, start_s=4.0)
    assert abs(seen - PICTURE_DELAY_S.get(name, 0) - 4.6) <= HALF_FRAME_S + 1e-3
    assert abs(heard - SOUND_DELAY_S.get(name, 0) - 4.6) <= 1.6e-3  # 1 ms time stamps, lossy.
    whole = frames[80:110].transpose(0, 3, 1, 2)
    assert np.abs(clip.video[0].numpy() * 255 - whole).max() < 1
    assert abs(click_time(wave, 16000) - heard) <= 1.1e-3


def test_a_seek_does_not_decode_the_file_from_its_start(movie: MovieMaker, monkeypatch):
    from soundsight.media import reader

    path = movie(seconds=10, flash_s=9, click_s=9, width=32, height=32)
    seen = []
    frames = reader.frames_of
    monkeypatch.setattr(
        reader, "frames_of", lambda *a: (seen.append(f.time) or f for f in frames(*a))
    )
    decode(path, ClipSpec(frames=10, fps=20.0, size=16, sample_rate=16000), start_s=8.7)
    assert min(seen) > 5.0
    assert max(seen) < 9.6


def test_variable_frame_rate_is_read_by_its_time_stamps(movie: MovieMaker):
    times = [0.0, 0.04, 0.3, 0.37, 0.8, 0.97, 1.0, 1.01, 1.5, 1.6, 1.9]
    path = movie("movie.mkv", times=times, flash_s=1.0)
    assert_at(heard_and_seen(path), 1.0)
    # Every tick (k + 1/2)/20 s shows the last picture before it: grey level tells which.
    levels = {s: 20 * (k + 1) for k, s in enumerate(times)}
    path = movie("levels.mkv", times=times, image=lambda s: np.full((48, 64, 3), levels[s], "u1"))
    clip = decode(path, SPEC, audio=False)
    ticks = (np.arange(SPEC.frames) + 0.5) / SPEC.fps
    expected = [levels[max(s for s in times if s <= tick)] for tick in ticks]
    got = clip.video[0].mean(dim=(1, 2, 3)).numpy() * 255
    assert np.abs(got - expected).max() < 4


@pytest.mark.parametrize("name", ["movie.mp4", "movie.mkv", "movie.mov"])
def test_sound_that_starts_late_is_preceded_by_silence(movie: MovieMaker, name: str):
    path = movie(name, codecs=CONTAINERS[name], sound_offset_s=0.48, sound_seconds=1.6)
    assert_at(heard_and_seen(path), 1.0)
    clip = decode(path, SPEC)
    assert clip.audio[0, : round(0.44 * 16000)].abs().max() < 1e-3


@pytest.mark.parametrize("name", ["movie.mp4", "movie.mkv"])
def test_pictures_that_start_late_begin_with_the_first_one(movie: MovieMaker, name: str):
    path = movie(name, codecs=CONTAINERS[name], picture_offset_s=0.48, seconds=2.0)
    assert_at(heard_and_seen(path), 1.0)


def test_the_clock_starts_with_the_first_picture_or_sound(movie: MovieMaker):
    path = movie("movie.mkv", codecs=("libx264", "flac"), picture_offset_s=0.5, sound_offset_s=0.5)
    assert_at(heard_and_seen(path), 0.5)


@pytest.mark.parametrize("late", ["picture", "sound"])
def test_what_stands_before_zero_is_cut_by_the_edit_list(movie: MovieMaker, late: str):
    offsets = {"picture": {"picture_offset_s": -0.4}, "sound": {"sound_offset_s": -0.4}}[late]
    path = movie("movie.mp4", codecs=("libx264", "aac"), seconds=3, **offsets)
    assert_at(heard_and_seen(path), 1.0)


def test_a_hole_in_the_sound_is_silence(movie: MovieMaker, tmp_path: Path):
    path = tmp_path / "hole.mkv"
    with av.open(path, "w") as out:
        stream = out.add_stream("flac", rate=16000, layout="mono")
        for begin in (0.0, 1.2):
            wave = np.full((1, 8000), 0.5, np.float32)
            frame = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
            frame.sample_rate, frame.time_base = 16000, Fraction(1, 16000)
            frame.pts = round(begin * 16000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    wave = decode(path, SPEC, video=False).audio[0]
    assert wave[100:7900].min() > 0.49
    assert wave[8200:19000].abs().max() < 1e-3
    assert wave[19300:].min() > 0.49


def write_stamped(path: Path, wave: np.ndarray, rate: int, size: int, times: Iterable[float]):
    """Sound as PCM in packets of `size` samples with the time stamps `times`, seconds."""
    with av.open(path, "w") as out:
        stream = out.add_stream("pcm_s16le", rate=rate, layout="mono")
        for k, time_s in enumerate(times):
            packet = av.Packet(wave[k * size : (k + 1) * size].tobytes())
            packet.stream, packet.time_base = stream, Fraction(1, 100_000)
            packet.pts = packet.dts = round(time_s * 100_000)
            out.mux(packet)


def click_wave(seconds: float, rate: int, clicks: Sequence[float]) -> np.ndarray:
    wave = np.full(round(seconds * rate), 500, np.int16)
    for click in clicks:
        wave[round(click * rate)] = 20000
    return wave


def clicks_in(path: Path, frames: int = 30) -> np.ndarray:
    """When clicks are heard, seconds; the whole is read, at 16 kHz."""
    spec = replace(SPEC, frames=frames)
    wave = decode(path, spec, video=False).audio[0].numpy()
    return np.flatnonzero(wave > 0.5) / spec.sample_rate


@pytest.mark.parametrize("gap_s", [0.003, 0.005, 0.009, -0.005, 0.05])
def test_a_small_gap_is_kept(tmp_path: Path, gap_s: float):
    times = [0.02 * k + (gap_s if k >= 40 else 0) for k in range(100)]
    wave = click_wave(2.0, 16000, [0.5, 0.79, 0.81, 1.3])
    write_stamped(tmp_path / "gap.mkv", wave, 16000, 320, times)
    expected = np.array([0.5, 0.79, 0.81 + gap_s, 1.3 + gap_s])
    assert np.abs(clicks_in(tmp_path / "gap.mkv") - expected).max() <= 1e-3


@pytest.mark.parametrize("name", ["rounded.mkv", "rounded.flv"])
def test_rounded_time_stamps_leave_sound_in_one_piece(tmp_path: Path, name: str):
    rate, size = 44100, 1024
    wave = (8000 * np.sin(np.arange(130 * size) * 0.05)).astype(np.int16)
    write_stamped(tmp_path / name, wave, rate, size, [k * size / rate for k in range(130)])
    spec = ClipSpec(frames=50, fps=20.0, size=16, sample_rate=rate)
    got = decode(tmp_path / name, spec, video=False).audio[0].numpy()
    np.testing.assert_allclose(got, wave[: len(got)] / 32768, atol=1e-6)


def test_wandering_time_stamps_leave_sound_in_one_piece(tmp_path: Path):
    wander = np.random.default_rng(0).uniform(-0.004, 0.004, 100)
    wander[0] = 0
    wave = (8000 * np.sin(np.arange(32000) * 0.05)).astype(np.int16)
    times = 0.01 + 0.02 * np.arange(100) + wander
    write_stamped(tmp_path / "wander.mkv", wave, 16000, 320, list(times))
    got = decode(tmp_path / "wander.mkv", SPEC, video=False).audio[0].numpy()
    np.testing.assert_allclose(got, wave[: len(got)] / 32768, atol=1e-6)


@pytest.mark.parametrize("drift", [0.002, -0.002])
def test_sound_follows_time_stamps_that_drift(tmp_path: Path, drift: float):
    clicks = np.arange(0.305, 7.9, 0.5)  # In the middle of a packet.
    wave = click_wave(8.0, 16000, list(clicks))
    times = [0.02 * k * (1 + drift) for k in range(400)]
    write_stamped(tmp_path / "drift.mkv", wave, 16000, 320, times)
    heard = clicks_in(tmp_path / "drift.mkv", frames=159)
    # 1 ms, and what Matroska's rounding hides.
    assert np.abs(heard - clicks * (1 + drift)).max() <= 1.6e-3


@pytest.mark.parametrize(
    ("layout", "rate", "loudness"),
    [("5.1", 48000, 0.9), ("stereo", 8000, 0.9), ("mono", 8000, 0.9)],
)
def test_sound_of_any_layout_and_rate_becomes_mono(
    movie: MovieMaker, layout: str, rate: int, loudness: float
):
    path = movie("movie.mkv", codecs=("libx264", "pcm_s16le"), layout=layout, rate=rate)
    assert_at(heard_and_seen(path), 1.0)
    # The same wave in all channels keeps its loudness: the weights sum to 1.
    assert decode(path, SPEC).audio.abs().max() == pytest.approx(loudness, abs=0.11)


def test_downmix_weights_are_the_standard_ones():
    from soundsight.media.sound import downmix_weights

    np.testing.assert_allclose(downmix_weights(["FL", "FR"]), [0.5, 0.5])
    np.testing.assert_allclose(downmix_weights(["FC"]), [1.0])
    np.testing.assert_allclose(downmix_weights(["LFE"]), [1.0])
    weights = downmix_weights(["FL", "FR", "FC", "LFE", "BL", "BR"])
    expected = np.array([2**-0.5, 2**-0.5, 1, 0, 0.5, 0.5]) / (2**0.5 + 2)
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_resampling_keeps_a_tone_in_place(movie: MovieMaker, tmp_path: Path, rate: int):
    path = tmp_path / "tone.wav"
    t = np.arange(2 * rate) / rate
    wave = (16000 * np.sin(2 * np.pi * 440 * t)).astype(np.int16)
    with av.open(path, "w") as out:
        stream = out.add_stream("pcm_s16le", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(wave[None], "s16", "mono")
        frame.sample_rate = rate
        out.mux(stream.encode(frame))
    got = decode(path, SPEC, video=False).audio[0].numpy()
    expected = 16000 / 32768 * np.sin(2 * np.pi * 440 * np.arange(SPEC.samples) / 16000)
    inside = slice(200, -200)
    assert np.abs(got - expected)[inside].max() < 2e-3


@pytest.mark.parametrize(("rotation", "turns"), [(90, 1), (180, 2), (-90, 3)])
def test_rotation_is_applied(movie: MovieMaker, rotation: int, turns: int):
    corner = np.zeros((48, 48, 3), np.uint8)
    corner[:24, :24] = 255  # Top left.
    path = movie(rotation=rotation, width=48, height=48, image=lambda s: corner.copy())
    image = decode(path, SPEC).video[0, 0, 0].numpy()
    expected = np.rot90(np.kron([[1, 0], [0, 0]], np.ones((8, 8))), turns)
    assert np.abs(image - expected).mean() < 0.05
    assert probe(path).rotation == rotation % 360


def test_centre_crop_and_sample_aspect_ratio(movie: MovieMaker):
    bars = np.zeros((48, 96, 3), np.uint8)
    bars[:, 24:72] = 200  # The centre square, if pixels are square.
    path = movie(width=96, height=48, image=lambda s: bars.copy())
    image = decode(path, SPEC).video[0, 0].numpy() * 255
    assert np.abs(image - 200).max() < 12
    # Pixels half as wide as high: the whole picture is the square.
    path = movie("sar.mp4", width=96, height=48, image=lambda s: bars.copy(), aspect=Fraction(1, 2))
    image = decode(path, SPEC).video[0, 0].numpy().mean(axis=(0, 1)) * 255
    np.testing.assert_allclose(image, [0] * 4 + [200] * 8 + [0] * 4, atol=14)


def test_resizing_averages(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3)).astype(np.uint8)
    path = tmp_path / "noise.png"
    codec = av.CodecContext.create("png", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = 96, 96, "rgb24", Fraction(1)
    frame = av.VideoFrame.from_ndarray(noise, "rgb24")
    path.write_bytes(b"".join(bytes(p) for p in [*codec.encode(frame), *codec.encode(None)]))
    image = decode_image(path, SPEC)
    assert image.spec.frames == 1
    mean = F.avg_pool2d(torch.from_numpy(noise).permute(2, 0, 1).float(), 6) / 255
    assert (image.video[0, 0] - mean).abs().max() < 1.1 / 255
    grey = decode_image(path, ClipSpec(frames=5, size=16)).video[0, 0, 0]
    luma = torch.einsum("chw,c->hw", mean, torch.tensor([0.299, 0.587, 0.114]))
    assert (grey - luma).abs().max() < 2 / 255


@pytest.mark.parametrize(("width", "height"), [(33, 21), (17, 63), (2, 2)])
def test_odd_and_tiny_sizes(movie: MovieMaker, width: int, height: int):
    codecs = ("ffv1", "flac")
    path = movie("movie.mkv", codecs=codecs, width=width, height=height)
    assert_at(heard_and_seen(path), 1.0)


def test_one_picture(movie: MovieMaker):
    path = movie(times=[0.0], flash_s=None, sound_seconds=0.2)
    spec = ClipSpec(frames=1, fps=20.0, size=16, sample_rate=16000)
    assert decode(path, spec).video.shape == (1, 1, 1, 16, 16)
    assert decode_image(path, spec).video.shape == (1, 1, 1, 16, 16)


def test_decode_all_cuts_picture_and_sound_to_the_same_duration(movie: MovieMaker):
    path = movie("movie.mkv", codecs=("libx264", "flac"), seconds=2.0, sound_seconds=1.5)
    frames, wave = decode_all(path, SPEC)
    assert len(frames) in (30, 31)
    assert len(wave) == len(frames) * SPEC.samples_per_frame
    assert frames.dtype == np.uint8
    assert np.abs(wave).max() <= 1


@pytest.mark.parametrize("fps", [10.0, 24.0, 25.0, 30000 / 1001, 50.0, 60.0])
def test_every_target_rate_keeps_flash_and_click(movie: MovieMaker, fps: float):
    path = movie(fps=30, flash_s=1.0, seconds=2.2)
    rate = 30000 if fps != round(fps) else 19200 if fps == 24 else 15000
    spec = ClipSpec(frames=int(1.9 * fps), fps=fps, size=16, sample_rate=rate)
    assert_at(heard_and_seen(path, spec), 1.0, half_frame_s=0.5 / fps)


def test_probe(movie: MovieMaker):
    info = probe(movie(seconds=2.0, width=96, height=48))
    assert (info.width, info.height, info.fps, info.sample_rate) == (96, 48, 25.0, 44100)
    assert info.has_video
    assert info.has_audio
    assert info.seconds == pytest.approx(2.0, abs=0.05)
    info = probe(movie("sound.wav", picture=False, codecs=("", "pcm_s16le")))
    assert (info.has_video, info.width, info.fps, info.rotation) == (False, None, None, 0)
    raw = probe(movie("raw.aac", picture=False, codecs=("", "aac"), format="adts"))
    assert raw.seconds == pytest.approx(2.0, abs=0.3)


def test_sound_files_and_cover_images(movie: MovieMaker, tmp_path: Path):
    for name, codec in {"a.wav": "pcm_s16le", "a.flac": "flac", "a.mp3": "libmp3lame"}.items():
        path = movie(name, picture=False, codecs=("", codec))
        wave = decode(path, SPEC, video=False).audio[0].numpy()
        assert click_time(wave, 16000) == pytest.approx(1.0, abs=1e-3)


def test_threads_and_repeats_give_the_same(movie: MovieMaker):
    path = movie()
    first, second = decode(path, SPEC), decode(path, SPEC)
    assert torch.equal(first.video, second.video)
    assert torch.equal(first.audio, second.audio)


def test_a_name_with_a_colon_and_unicode(movie: MovieMaker):
    path = movie("clip.mp4").rename(movie("clip.mp4").with_name("http:Ünïcode 鼓 %d.mp4"))
    assert_at(heard_and_seen(path), 1.0)


@pytest.mark.shared_data
def test_real_grid_sentence(shared_data: Path):
    path = shared_data / "grid" / "bbal7s.mpg"
    info = probe(path)
    assert (info.fps, info.seconds) == (25.0, pytest.approx(2.98, abs=0.05))
    spec = ClipSpec(frames=75, fps=25.0, size=64, channels=3, sample_rate=16000)
    clip = decode(path, spec)
    assert clip.audio.abs().max() > 0.05
    assert clip.audio.pow(2).mean().sqrt() > 0.005
    assert clip.video.std() > 0.1
    assert (clip.video[0, 1:] - clip.video[0, :-1]).abs().amax(dim=(1, 2, 3)).min() > 0
    # The speaker talks in the middle of the recording: half a second each side is quieter.
    energy = clip.audio[0].unfold(0, 8000, 8000).pow(2).mean(1)
    assert energy[1:5].max() > 10 * energy[0]
    # The written alignment (1/25000 s) tells when the first word begins.
    words = [line.split() for line in path.with_suffix(".align").read_text().splitlines()]
    begin = int(words[0][1]) / 25000
    loud = clip.audio[0].unfold(0, 160, 160).pow(2).mean(1).sqrt()
    first = int((loud > 0.15 * loud.max()).float().argmax()) / 100
    assert abs(first - begin) < 0.15


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["sintel_5s.mp4", "big_buck_bunny_0_30.webm"])
def test_real_film(shared_data: Path, name: str):
    spec = ClipSpec(frames=24, fps=24.0, size=64, channels=3, sample_rate=48000)
    path = shared_data / "blender" / name
    clip = decode(path, spec, start_s=3.0)
    assert clip.audio.pow(2).mean().sqrt() > 1e-4
    assert clip.video.std() > 0.02
    # Independent of the picker: the picture that PyAV gives for the time of frame 12.
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if frame.time > 3.0 + 12.5 / 24:
                break
            last = frame
    rgb = last.to_ndarray(format="rgb24")
    height, width = rgb.shape[:2]
    left = (width - height) // 2
    square = torch.from_numpy(rgb[:, left : left + height]).permute(2, 0, 1)[None].float() / 255
    reference = F.interpolate(square, (64, 64), mode="area")[0]
    assert (clip.video[0, 12] - reference).abs().mean() < 0.02


def test_encode_is_the_same_object():
    from soundsight.media import encode as module

    assert encode is module.encode
