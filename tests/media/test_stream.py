"""Streaming: the same frames and sound as reading at once, in pieces, with flat memory."""

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from soundsight.media import reader
from soundsight.media.clip import ClipSpec
from soundsight.media.io import Limits, MediaError, decode, decode_all
from soundsight.media.stream import stream

from .conftest import MovieMaker, click_time

SPEC = ClipSpec(frames=30, fps=20.0, size=16, channels=3, sample_rate=16000)
LOSSLESS = ("ffv1", "flac")


def join(pieces: Iterable[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    frames, waves = zip(*pieces, strict=True)
    return np.concatenate(frames), np.concatenate(waves)


def until_error(path: Path) -> tuple[list[tuple[np.ndarray, np.ndarray]], str]:
    """The pieces that come before the MediaError, and what it says."""
    pieces = []
    try:
        for piece in stream(path, SPEC):
            pieces.append(piece)
    except MediaError as error:
        return pieces, str(error)
    pytest.fail("no MediaError")


def numbered(number: int) -> np.ndarray:
    """A 64 x 48 picture with a number of 8 bits as bars across its centre square."""
    bits = [(number >> bit) & 1 for bit in range(8)]
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, 8:56] = np.repeat(np.array(bits, np.uint8) * 220, 6)[None, :, None]
    return image


def numbers(frames: np.ndarray) -> np.ndarray:
    """The numbers on 16 x 16 frames."""
    bars = frames.reshape(len(frames), 16, 8, 2, -1).mean(axis=(1, 3, 4)) > 100
    return bars @ (1 << np.arange(8))


def numbered_movie(movie: MovieMaker, times: Sequence[float], **options: object) -> Path:
    images = {time: numbered(k) for k, time in enumerate(times)}
    return movie(
        times=times, image=lambda s: images[s], seconds=times[-1], gop=25, width=64, **options
    )


STAMPS = {
    "24": np.arange(96) / 24,
    "25": np.arange(100) / 25,
    "29.97": np.arange(120) * 1001 / 30000,
    "variable": np.cumsum(np.random.default_rng(0).uniform(0.004, 0.12, 70)),
}


@pytest.mark.parametrize("rate", STAMPS)
@pytest.mark.parametrize("frame_at", [0.0, 0.5])
@pytest.mark.parametrize("start_s", [0.0, 2.85])
def test_the_right_picture_and_click(movie: MovieMaker, rate: str, frame_at: float, start_s: float):
    times = (STAMPS[rate] - STAMPS[rate][0]).tolist()
    path = numbered_movie(movie, times, name="movie.mkv", codecs=LOSSLESS, click_s=3.21)
    stamps = np.round(np.array(times), 3)  # What the file holds.
    frames, wave = join(stream(path, SPEC, start_s=start_s, frame_at=frame_at))
    ticks = start_s + (np.arange(len(frames)) + frame_at) / SPEC.fps
    expected = np.searchsorted(stamps, ticks + 1e-6, "right") - 1
    np.testing.assert_array_equal(numbers(frames), expected)
    assert len(frames) >= (times[-1] - start_s) * SPEC.fps - 1
    assert len(wave) == len(frames) * SPEC.samples_per_frame
    assert start_s + click_time(wave, SPEC.sample_rate) == pytest.approx(3.21, abs=1e-3)


def test_first_instant_of_each_frame_at_the_source_rate(movie: MovieMaker):
    path = numbered_movie(movie, (np.arange(100) / 25).tolist(), name="m.mkv", codecs=LOSSLESS)
    spec = replace(SPEC, fps=25.0)
    frames, _ = join(stream(path, spec, frame_at=0.0))
    np.testing.assert_array_equal(numbers(frames), np.arange(len(frames)))
    # Beyond a frame: frame k shows what is on screen two and a half frames later.
    later, _ = join(stream(path, spec, frame_at=2.5))
    np.testing.assert_array_equal(numbers(later), np.arange(len(later)) + 2)
    assert len(later) == len(frames) - 2


FILES = {
    "aac.mp4": {"codecs": ("libx264", "aac")},
    "stereo.mp4": {"codecs": ("libx264", "aac"), "layout": "stereo", "rate": 48000},
    "flac.mkv": {"codecs": LOSSLESS},
    "surround.mkv": {"codecs": ("libx264", "pcm_s16le"), "layout": "5.1", "rate": 48000},
    "low.mkv": {"codecs": ("libx264", "pcm_s16le"), "rate": 8000},
    "same.avi": {"codecs": ("mpeg4", "pcm_s16le"), "rate": 16000},
    "mp2.mpg": {"codecs": ("mpeg1video", "mp2"), "rate": 48000, "layout": "stereo"},
    "late.mkv": {"codecs": ("libx264", "flac"), "sound_offset_s": 0.73, "sound_seconds": 5.0},
    "turned.mp4": {"codecs": ("libx264", "aac"), "rotation": 90},
    "vp8.webm": {"codecs": ("libvpx", "libopus"), "rate": 48000},
}


@pytest.mark.parametrize("name", FILES)
def test_pieces_are_what_is_read_at_once(movie: MovieMaker, name: str):
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    path = movie(name, seconds=6, image=lambda s: np.roll(noise, int(s * 25), 1), **FILES[name])
    frames, wave = join(stream(path, SPEC))
    whole, sound = decode_all(path, SPEC)
    np.testing.assert_array_equal(frames, whole)
    np.testing.assert_array_equal(wave, sound)
    for start_s in (0.0, 0.45, 3.85):
        clip = decode(path, SPEC, start_s=start_s)
        frames, wave = join(stream(path, SPEC, start_s=start_s, end_s=start_s + SPEC.seconds))
        shown = frames.transpose(0, 3, 1, 2)[None].astype(np.float32) / np.float32(255)
        np.testing.assert_array_equal(shown, clip.video.numpy())
        np.testing.assert_array_equal(wave, clip.audio[0].numpy())
        # And it is that part of the whole.
        first = round(start_s * SPEC.fps)
        np.testing.assert_array_equal(frames, whole[first : first + 30])
        if not name.endswith("webm"):  # Opus takes a while to be the same after a seek.
            at = first * SPEC.samples_per_frame
            np.testing.assert_array_equal(wave, sound[at : at + SPEC.samples])


def test_pieces_last_about_a_second(movie: MovieMaker):
    path = movie("movie.mkv", seconds=4.3, codecs=("libx264", "flac"))
    sizes = [(len(frames), len(wave)) for frames, wave in stream(path, SPEC)]
    assert sizes == [(20, 16000)] * 4 + [(6, 4800)]


def test_a_part_ends_where_it_is_told_or_where_the_file_does(movie: MovieMaker):
    path = movie("movie.mkv", seconds=3.0, codecs=LOSSLESS)
    whole = decode_all(path, SPEC)
    assert len(join(stream(path, SPEC, end_s=1.3))[0]) == 26
    assert len(join(stream(path, SPEC, start_s=0.1, end_s=0.15))[0]) == 1
    for got, expected in zip(join(stream(path, SPEC, end_s=100.0)), whole, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_a_seek_that_lands_too_late_is_made_good(movie: MovieMaker, monkeypatch):
    path = movie(seconds=8, flash_s=6.5, click_s=6.5)
    expected = join(stream(path, SPEC, start_s=6.0))
    seek, sought = reader.seek, []

    def late(file, time_s):
        sought.append(time_s)
        return seek(file, 7.5 if time_s else 0.0)

    monkeypatch.setattr(reader, "seek", late)
    for got, wanted in zip(join(stream(path, SPEC, start_s=6.0)), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert sought == [3.5, 0.0]


def test_sound_of_a_separate_file(movie: MovieMaker):
    mute = movie("mute.mp4", sound=False, seconds=4.0)
    loud = movie("loud.mkv", seconds=4.0, codecs=LOSSLESS, click_s=0.3)
    sound = movie("s.flac", picture=False, codecs=("", "flac"), seconds=4.0, click_s=3.3)
    spec = replace(SPEC, frames=80)
    for path in (mute, loud):
        frames, wave = join(stream(path, spec, sound=sound))
        shown = decode(path, spec, audio=False).video[0].permute(0, 2, 3, 1).mul(255).round()
        np.testing.assert_array_equal(frames, shown.numpy().astype(np.uint8))
        np.testing.assert_array_equal(wave, decode(sound, spec, video=False).audio[0].numpy())
        _, late = join(stream(path, spec, sound=sound, start_s=2.5))
        assert 2.5 + click_time(late, SPEC.sample_rate) == pytest.approx(3.3, abs=1e-3)


def test_the_shorter_of_two_files_decides_and_the_other_is_not_read_on(
    movie: MovieMaker, monkeypatch
):
    read: dict[str, list[float]] = {}

    def noted(frames_of):
        def note(file, *rest):
            for frame in frames_of(file, *rest):
                read.setdefault(file.path.name, []).append(frame.time)
                yield frame

        return note

    for name in ("frames_of", "needed_frames"):
        monkeypatch.setattr(reader, name, noted(getattr(reader, name)))
    short = movie("short.mp4", sound=False, seconds=2.0)
    long = movie("long.flac", picture=False, codecs=("", "flac"), seconds=30.0)
    frames, wave = join(stream(short, SPEC, sound=long))
    assert (len(frames), len(wave)) == (40, 32000)
    assert max(read["long.flac"]) < 4.0
    # In step: neither is ever read far ahead of the other.
    film = movie("film.mp4", sound=False, seconds=30.0)
    tone = movie("tone.flac", picture=False, codecs=("", "flac"), seconds=2.0)
    frames, wave = join(stream(film, SPEC, sound=tone))
    assert len(frames) in (40, 41)
    assert max(read["film.mp4"]) < 4.0
    half = stream(film, SPEC, sound=long)
    read.clear()
    for _ in range(10):
        next(half)
    assert abs(read["film.mp4"][-1] - read["long.flac"][-1]) < 1.0


def remux(source: Path, path: Path, order: Callable[[av.Packet], float | bool]) -> Path:
    """The same packets in another order."""
    with av.open(source) as old, av.open(path, "w") as new:
        streams = {s.index: new.add_stream_from_template(s) for s in old.streams}
        packets = [packet for packet in old.demux() if packet.dts is not None]
        for packet in sorted(packets, key=order):
            packet.stream = streams[packet.stream.index]
            new.mux_one(packet)
    return path


def test_pictures_and_sound_far_apart_in_the_file(movie: MovieMaker, tmp_path: Path):
    beside = movie("beside.mp4", seconds=25.0, width=48)
    path = remux(beside, tmp_path / "apart.mp4", lambda packet: packet.stream.type == "audio")
    with av.open(path) as container:
        kinds = [(p.stream.type, float(p.pts * p.time_base)) for p in container.demux() if p.size]
    assert max(time for kind, time in kinds[: len(kinds) // 3] if kind == "video") > 5.0
    frames, wave = join(stream(path, SPEC))
    expected, sound = decode_all(beside, SPEC)
    np.testing.assert_array_equal(frames, expected)
    np.testing.assert_array_equal(wave, sound)


@pytest.mark.parametrize(
    ("name", "options"), [("m.mp4", {"movflags": "+faststart"}), ("m.mkv", {})]
)
def test_a_truncated_file_gives_what_is_whole_and_then_the_error(
    movie: MovieMaker, name: str, options: dict
):
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    path = movie(name, seconds=8, image=lambda s: np.roll(noise, int(s * 25)), options=options)
    frames, wave = decode_all(path, SPEC)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    first, _ = join(stream(path, SPEC, end_s=2.0))  # What lies before the damage is fine.
    np.testing.assert_array_equal(first, frames[:40])
    pieces, error = until_error(path)
    assert f"{name}: truncated or damaged: its header tells 8" in error
    shown, heard = join(pieces)
    assert 40 <= len(shown) < 120
    whole = len(shown) - 20
    np.testing.assert_array_equal(shown[:whole], frames[:whole])
    samples = whole * SPEC.samples_per_frame
    np.testing.assert_array_equal(heard[:samples], wave[:samples])


def test_errors_name_the_file(movie: MovieMaker, tmp_path: Path):
    mute = movie("mute.mp4", sound=False)
    path = movie("movie.mp4")
    for kind, words, arguments in [
        (MediaError, "nowhere.mp4: no such file", {"path": tmp_path / "nowhere.mp4"}),
        (MediaError, "mute.mp4: has picture but no sound", {"path": mute}),
        (MediaError, "none.wav: no such file", {"sound": tmp_path / "none.wav"}),
        (MediaError, "mute.mp4: has picture but no sound", {"sound": mute}),
        (MediaError, "movie.mp4: lasts 2 s; at most 1 s", {"limits": Limits(max_seconds=1.0)}),
        (MediaError, "picture with sound ends at", {"start_s": 50.0}),
        (ValueError, "start_s=-1", {"start_s": -1}),
        (ValueError, "end_s=1.01 must be at least a frame", {"start_s": 1.0, "end_s": 1.01}),
        (ValueError, "end_s=nan", {"end_s": float("nan")}),
        (ValueError, "frame_at=-0.5", {"frame_at": -0.5}),
    ]:
        with pytest.raises(kind, match=words) as caught:
            list(stream(**{"path": path, "spec": SPEC} | arguments))
        assert "\n" not in str(caught.value)


def test_a_far_time_stamp_is_an_error_after_what_came_before(movie: MovieMaker):
    far = movie("far.mkv", times=[k / 25 for k in range(75)] + [100000.0], seconds=3.0)
    pieces, error = until_error(far)
    assert "at most 14400 s" in error
    assert sum(len(frames) for frames, _ in pieces) in (0, 40)  # The header may tell it at once.


def test_pictures_without_time_stamps(movie: MovieMaker, tmp_path: Path):
    """A bare H.264 stream tells no times: one picture follows the other."""
    path = movie("raw.h264", format="h264", sound=False, times=[k / 25 for k in range(50)])
    sound = movie("s.flac", picture=False, codecs=("", "flac"))
    spec = replace(SPEC, fps=25.0)
    frames, wave = join(stream(path, spec, sound=sound))
    assert 45 <= len(frames) <= 50
    assert len(wave) == len(frames) * spec.samples_per_frame


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(movie: MovieMaker):
    """Ten times as long: 110 MB more, if frames were kept."""
    code = """
        import resource, sys
        from soundsight.media.clip import ClipSpec
        from soundsight.media.stream import stream

        spec = ClipSpec(frames=1, fps=25.0, size=128, channels=3, sample_rate=16000)
        peaks = []
        for path in sys.argv[1:]:
            for options in ({}, {"sound": path}):
                count = sum(len(frames) for frames, _ in stream(path, spec, **options))
                peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        print(count, peaks[1], peaks[-1])
    """
    black = np.zeros((32, 32, 3), np.uint8)
    paths = []
    for seconds in (10, 100):
        film = movie(f"{seconds}.mkv", seconds=seconds, width=32, height=32, image=lambda s: black)
        path = film.with_name(f"beside{film.name}")
        paths.append(remux(film, path, lambda packet: float(packet.dts * packet.time_base)))
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, paths)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    count, short_kb, long_kb = map(int, result.stdout.split())
    assert count >= 2490
    assert long_kb - short_kb < 20_000


@pytest.mark.shared_data
@pytest.mark.parametrize(
    "name", ["blender/sintel_5s.mp4", "blender/big_buck_bunny_0_30.webm", "grid/bbal7s.mpg"]
)
def test_real_files(shared_data: Path, name: str):
    spec = ClipSpec(frames=24, fps=12.0, size=64, channels=3, sample_rate=19200)
    frames, wave = join(stream(shared_data / name, spec))
    for start in (0, 1):
        clip = decode(shared_data / name, spec, start_s=float(start))
        window = frames[start * 12 : start * 12 + 24].transpose(0, 3, 1, 2)[None]
        np.testing.assert_array_equal(
            clip.video.numpy(), window.astype(np.float32) / np.float32(255)
        )
        at = start * 19200
        np.testing.assert_array_equal(clip.audio[0].numpy(), wave[at : at + spec.samples])
