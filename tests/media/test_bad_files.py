"""Files that cannot be read: one line that names the file and the rule."""

import os
from pathlib import Path

import av
import numpy as np
import pytest

from soundsight.media.clip import ClipSpec
from soundsight.media.io import Limits, MediaError, decode, decode_all, decode_image, probe

from .conftest import MovieMaker

SPEC = ClipSpec(frames=30, fps=20.0, size=16, channels=1, sample_rate=16000)


def assert_refused(path: Path, *words: str, spec: ClipSpec = SPEC, **options: object) -> None:
    with pytest.raises(MediaError) as caught:
        decode(path, spec, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    for word in words:
        assert word in message


def test_missing_file_folder_and_empty_file(tmp_path: Path):
    assert_refused(tmp_path / "nowhere.mp4", "no such file")
    assert_refused(tmp_path, "is a folder")
    empty = tmp_path / "empty.mp4"
    empty.touch()
    assert_refused(empty, "empty (0 bytes)")
    for read in (probe, lambda p: decode_all(p, SPEC), lambda p: decode_image(p, SPEC)):
        with pytest.raises(MediaError, match="no such file"):
            read(tmp_path / "nowhere.mp4")


def test_a_device_is_no_file(tmp_path: Path):
    fifo = tmp_path / "pipe.mp4"
    os.mkfifo(fifo)
    assert_refused(fifo, "no such file")  # And it does not wait for a writer.


@pytest.mark.parametrize(
    "text",
    [
        "this is no video\n" * 100,
        "1\n00:00:01,000 --> 00:00:02,000\nSubtitles only.\n\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nother.mp4\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile 'other.mp4'\n",
    ],
)
def test_text_renamed_mp4_is_refused_even_if_it_leads_to_a_video(movie: MovieMaker, text: str):
    path = movie("other.mp4").with_name("text.mp4")
    path.write_text(text)
    assert_refused(path, "is no readable media file", "give a video")


def test_random_bytes(tmp_path: Path):
    for seed in range(5):
        path = tmp_path / f"{seed}.mp4"
        path.write_bytes(np.random.default_rng(seed).bytes(20000))
        assert_refused(path)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("movie.mp4", {}),
        ("movie.mp4", {"movflags": "+faststart"}),
        ("movie.mkv", {}),
        ("movie.avi", {}),
    ],
)
def test_a_truncated_file_is_refused_where_it_breaks(movie: MovieMaker, name: str, options: dict):
    codecs = ("mpeg4", "pcm_s16le") if name.endswith("avi") else ("libx264", "aac")
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    path = movie(
        name, seconds=6, codecs=codecs, image=lambda s: np.roll(noise, int(s * 25)), options=options
    )
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert_refused(path, spec=ClipSpec(100, fps=20.0, size=16, sample_rate=16000))
    if not name.endswith("avi"):  # It tells no duration: its readable part looks whole.
        with pytest.raises(MediaError, match=r"movie\.\w+: (truncated|is no readable media)"):
            decode_all(path, SPEC)
    if options or name.endswith("mkv"):  # What is whole can still be read.
        assert decode(path, SPEC, audio=False).video.shape == (1, 30, 1, 16, 16)


def test_damage_in_the_middle_is_bridged(movie: MovieMaker):
    path = movie("movie.mkv", seconds=4, codecs=("libx264", "flac"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 50] = b"\xff" * 50
    path.write_bytes(data)
    assert decode(path, SPEC).video.shape == (1, 30, 1, 16, 16)


def test_missing_streams(movie: MovieMaker):
    mute = movie("mute.mp4", sound=False)
    assert_refused(mute, "has picture but no sound", "audio=False")
    assert decode(mute, SPEC, audio=False).audio is None
    blind = movie("blind.mp4", picture=False)
    assert_refused(blind, "has sound but no picture", "video=False")
    assert decode(blind, SPEC, video=False).video is None
    for path in (mute, blind):
        with pytest.raises(MediaError, match="but no"):
            decode_all(path, SPEC)
    with pytest.raises(MediaError, match="no picture"):
        decode_image(blind, SPEC)


def test_too_short(movie: MovieMaker):
    path = movie("movie.mkv", seconds=2.0, codecs=("libx264", "flac"))
    assert decode(path, SPEC, start_s=0.5).video.shape[1] == 30
    assert_refused(path, "picture ends at 2.0", "until 2.100 s", start_s=0.6)
    assert_refused(path, "sound ends at", start_s=0.6, video=False)
    assert_refused(path, "until 101.500 s", start_s=100.0)
    cut = movie("cut.mkv", seconds=2.0, sound_seconds=1.0, codecs=("libx264", "flac"))
    assert_refused(cut, "sound ends at 1.0")


def test_what_is_asked_must_make_sense(movie: MovieMaker):
    path = movie()
    with pytest.raises(ValueError, match="at least one"):
        decode(path, SPEC, video=False, audio=False)
    for start_s in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="start_s"):
            decode(path, SPEC, start_s=start_s)
    with pytest.raises(ValueError, match="max_pixels=0"):
        Limits(max_pixels=0)


def test_limits(movie: MovieMaker, tmp_path: Path):
    path = movie(seconds=2.0)
    assert_refused(path, "at most 1 s", limits=Limits(max_seconds=1.0))
    assert_refused(path, limits=Limits(max_pixels=1000))
    assert_refused(path, "has 2 streams; at most 1", limits=Limits(max_streams=1))
    # A time stamp far away must not fill memory, whatever the header says.
    far = movie("far.mkv", times=[0.0, 0.04, 100000.0], sound_seconds=0.2)
    assert_refused(far, "at most 14400 s")
    with pytest.raises(MediaError, match="at most 14400 s"):
        decode_all(far, SPEC)
    wide = tmp_path / "wide.png"
    codec = av.CodecContext.create("png", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = 8000, 2, "gray", 1
    frame = av.VideoFrame.from_ndarray(np.zeros((2, 8000), np.uint8), "gray")
    wide.write_bytes(b"".join(bytes(p) for p in [*codec.encode(frame), *codec.encode(None)]))
    with pytest.raises(MediaError, match="64 times"):
        decode_image(wide, SPEC)
