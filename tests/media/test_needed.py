"""Pictures that no frame needs are left out, and nothing else changes."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from soundsight.media import needed
from soundsight.media import stream as streaming
from soundsight.media.clip import ClipSpec
from soundsight.media.io import MediaError

RATES = {
    "30": np.arange(100) / 30,
    "25": np.arange(100) / 25,
    "24": np.arange(100) / 24,
    "29.97": np.arange(100) * 1001 / 30000,
    "variable": np.cumsum(np.random.default_rng(0).uniform(0.004, 0.08, 100)),
    "late": 0.7 + np.arange(100) / 30,
}
X264 = "threads=1:sliced-threads=0:scenecut=0:"


def write(
    path: Path,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    *,
    times: np.ndarray = RATES["30"],
    base: Fraction = Fraction(1, 30000),
    sound: bool = True,
    drop: int = 0,
) -> Path:
    """A drifting picture, every packet of which matters, with sound; the first packets dropped."""
    rng = np.random.default_rng(0)
    ground = np.kron(rng.integers(0, 256, (40, 60, 3), np.uint8), np.ones((4, 4, 1), np.uint8))
    with av.open(path, "w") as out:
        v = out.add_stream(codec, rate=round(1 / np.diff(times).mean()))
        v.width, v.height, v.pix_fmt = 64, 48, "yuv420p"
        v.codec_context.thread_count = 1
        v.codec_context.gop_size = 24
        v.codec_context.time_base = base
        v.options = options or {}
        a = out.add_stream("mp2" if path.suffix == ".mpg" else "aac", rate=44100, layout="mono")
        packets = []
        for time in times:
            x, y = (round(40 + 40 * np.sin(time * speed)) for speed in (5, 3))
            image = ground[y : y + 48, x : x + 64] + rng.integers(0, 9, (48, 64, 1), np.uint8)
            frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = round(time / base), base
            packets += v.encode(frame)
        packets += v.encode(None)
        out.mux(packets[drop:])
        if sound:
            wave = rng.uniform(-0.5, 0.5, (1, round(44100 * (times[-1] + 0.04)))).astype("f4")
            frame = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
            frame.sample_rate, frame.time_base, frame.pts = 44100, Fraction(1, 44100), 0
            out.mux([*a.encode(frame), *a.encode(None)])
    return path


class Count:
    """How many pictures were decoded and left out, and whether all was decoded anew."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.watches: list[needed._Watch] = []
        self.sent = self.came = 0
        count = self

        class Counted(needed._Watch):
            def __init__(self, *arguments: object) -> None:
                super().__init__(*arguments)
                count.watches.append(self)
                count.sent = count.came = 0

            def choose(self, packet: av.Packet) -> None:
                count.sent += bool(packet.size)
                super().choose(packet)

            def check(self, frame: av.VideoFrame) -> None:
                count.came += 1
                super().check(frame)

            def doubt(self) -> None:
                count.doubts += 1
                super().doubt()

        self.doubts = 0
        monkeypatch.setattr(needed, "_Watch", Counted)

    @property
    def left_out(self) -> int:
        """Pictures of the last file read that the decoder left out."""
        return self.sent - self.came if self.watches and self.watches[-1].is_on else 0


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> Count:
    return Count(monkeypatch)


def read(path: Path, fps: float, **options: object) -> tuple[list[np.ndarray], str]:
    """All pieces and the error that ends them, if any."""
    spec = ClipSpec(frames=1, fps=fps, size=32, channels=3, sample_rate=round(fps * 800))
    arrays: list[np.ndarray] = []
    try:
        for piece in streaming.stream(path, spec, **options):
            arrays += piece
    except MediaError as error:
        return arrays, str(error)
    return arrays, ""


def assert_nothing_changes(path: Path, fps: float, **options: object) -> list[np.ndarray]:
    """The same pieces and error as with all pictures decoded, bit for bit."""
    got, error = read(path, fps, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "DECODE_ALL", True)
        expected, expected_error = read(path, fps, **options)
    assert error == expected_error
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    return got


def x264(words: str, **options: str) -> dict[str, str]:
    return {"preset": "veryfast", "x264-params": X264 + words} | options


KINDS: dict[str, tuple[str, dict[str, str], bool]] = {
    "pyramid none.mp4": ("libx264", x264("bframes=3:b-pyramid=none:b-adapt=0"), True),
    "pyramid strict.mkv": ("libx264", x264("bframes=3:b-pyramid=strict:b-adapt=0"), True),
    "pyramid.mp4": ("libx264", x264("bframes=3:b-pyramid=normal:b-adapt=0"), True),
    "adaptive.mp4": ("libx264", x264("bframes=3"), True),
    "eight.mp4": ("libx264", x264("bframes=8:b-pyramid=normal:b-adapt=0:ref=6"), True),
    "eight.ts": ("libx264", x264("bframes=8:b-pyramid=none:b-adapt=0"), True),
    "open.mkv": ("libx264", x264("bframes=3:open-gop=1:b-adapt=0:keyint=12"), True),
    "refresh.mp4": ("libx264", x264("bframes=3:intra-refresh=1:b-adapt=0:keyint=20"), True),
    "slow.mp4": ("libx264", x264("bframes=5:weightb=1:direct=temporal", preset="slow"), True),
    "slices.mp4": ("libx264", x264("bframes=3:slices=4:b-adapt=0"), True),
    "interlaced.mp4": ("libx264", x264("bframes=3:interlaced=1:b-adapt=0"), False),
    "fake.mp4": ("libx264", x264("bframes=3:fake-interlaced=1:b-adapt=0"), True),
    "no b.mp4": ("libx264", x264("bframes=0"), False),
    "one.mpg": ("mpeg1video", {"bf": "2", "b": "800k"}, True),
    "one.mkv": ("mpeg1video", {"bf": "3", "b": "800k"}, True),
    "two.mpg": ("mpeg2video", {"bf": "2", "b": "800k"}, True),
    "two.ts": ("mpeg2video", {"bf": "2", "b": "800k"}, True),
    "two woven.mkv": ("mpeg2video", {"bf": "2", "flags": "+ildct+ilme"}, False),
    "four.mp4": ("mpeg4", {"bf": "2", "b": "800k"}, True),
    "four quarter.mkv": (
        "mpeg4",
        {"bf": "3", "flags": "+qpel", "sc_threshold": "1000000000"},
        True,
    ),
    "four.avi": ("mpeg4", {"bf": "2", "b": "800k"}, True),
    "five.mp4": ("libx265", {"x265-params": "log-level=none:pools=none:frame-threads=1"}, False),
    "vp9.mkv": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "b": "500k"}, False),
}


@pytest.mark.parametrize("name", KINDS)
def test_codecs(tmp_path: Path, count: Count, name: str):
    codec, options, leaves_out = KINDS[name]
    is_constant = name.endswith((".mpg", ".avi")) or codec.startswith("mpeg")
    base = Fraction(1, 30) if is_constant else Fraction(1, 30000)
    path = write(tmp_path / name, codec, options, base=base)
    for fps, frame_at in [(10.0, 0.5), (10.0, 0.0), (25.0, 0.5), (4.0, 0.0), (4.0, 0.5)]:
        assert_nothing_changes(path, fps, frame_at=frame_at)
        assert (count.doubts == 0) or not leaves_out
    assert count.sent == 100 or not leaves_out
    assert (count.left_out > 10) == leaves_out


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_rates(tmp_path: Path, count: Count, rate: str, suffix: str):
    path = write(tmp_path / f"m{suffix}", options=x264("bframes=3"), times=RATES[rate])
    for fps in (10.0, 12.5, 8.0, 25.0):
        for frame_at in (0.0, 0.5, 2.5):
            assert_nothing_changes(path, fps, frame_at=frame_at)
        assert count.left_out > 5 or fps == 25
    for start_s, end_s in [(0.5, None), (0.97, 2.31), (0.0, 1.0), (2.9, None)]:
        assert_nothing_changes(path, 10.0, start_s=start_s, end_s=end_s)
    assert count.doubts == 0


def test_sound_of_another_file(tmp_path: Path, count: Count):
    path = write(tmp_path / "m.mp4", options=x264("bframes=3"))
    other = write(tmp_path / "other.mkv", options=x264("bframes=3"), times=RATES["25"])
    assert_nothing_changes(path, 10.0, sound=other)
    assert count.left_out > 10
    assert count.doubts == 0


def test_a_file_cut_out_of_another(tmp_path: Path, count: Count):
    """It begins with pictures that refer to lost ones, or with time stamps before 0."""
    open_gop = x264("bframes=3:open-gop=1:b-adapt=0:keyint=12:min-keyint=12")
    for drop in (1, 5, 12, 13):
        path = write(tmp_path / f"{drop}.mkv", options=open_gop, drop=drop)
        assert_nothing_changes(path, 10.0)
    early = write(tmp_path / "early.ts", options=x264("bframes=3"), times=RATES["30"] - 0.5)
    edited = write(tmp_path / "edited.mp4", options=x264("bframes=3"), times=RATES["30"] - 0.5)
    for path in (early, edited):
        assert_nothing_changes(path, 10.0)


def test_the_last_picture_and_what_ends_before_it(tmp_path: Path, count: Count):
    for number in (*range(1, 12), 40, 41, 42, 43):
        times = RATES["30"][:number] if number > 1 else np.array([0.0, 0.5])
        path = write(tmp_path / f"{number}.mkv", options=x264("bframes=3"), times=times)
        for fps in (2.0, 10.0):
            assert_nothing_changes(path, fps)
    assert count.doubts == 0


@pytest.mark.parametrize("name", ["pyramid.mp4", "open.mkv", "two.mpg", "eight.ts", "four.avi"])
def test_damage(tmp_path: Path, count: Count, name: str):
    """Zeroes, lost bytes and a cut: the same pieces, then the same error."""
    codec, options, _ = KINDS[name]
    base = Fraction(1, 30 if codec.startswith("mpeg") else 30000)
    whole = write(tmp_path / name, codec, options, base=base).read_bytes()
    path = tmp_path / f"damaged {name}"
    for at in np.linspace(0.1, 0.95, 9):
        first = int(len(whole) * at)
        for damaged in (
            whole[:first] + bytes(400) + whole[first + 400 :],
            whole[:first] + whole[first + 1500 :],
            whole[:first],
        ):
            path.write_bytes(damaged)
            assert_nothing_changes(path, 10.0)
    assert count.doubts > 0


def test_after_a_doubt_everything_is_decoded_from_there_on(tmp_path: Path, count: Count):
    """A reference is lost late in the file: what came before is not given twice."""
    path = write(tmp_path / "m.mp4", options=x264("bframes=3:b-adapt=0"))
    data = bytearray(path.read_bytes())
    data[len(data) * 3 // 5 : len(data) * 3 // 5 + 2000] = bytes(2000)
    path.write_bytes(data)
    got = assert_nothing_changes(path, 10.0)
    assert count.doubts == 1
    assert count.watches[0].is_on  # Pictures had been left out before.
    assert sum(len(frames) for frames in got[::2]) in (33, 34)


def test_ticks():
    ticks = needed.Ticks(0.05, 10.0, 3, 1e-6)
    for begin_s, end_s, expected in [
        (0.0, 0.04, False),
        (0.0, 0.06, True),
        (0.05, 0.06, True),
        (0.06, 0.14, False),
        (0.06, 0.15, False),
        (0.06, 0.150002, True),
        (0.150002, 0.2, False),
        (0.1500005, 0.2, True),
        (0.2, 0.24, False),
        (0.26, 0.27, True),
        (-1.0, 0.0, False),
    ]:
        assert ticks.any_between(begin_s, end_s) == expected, (begin_s, end_s)


@pytest.mark.shared_data
@pytest.mark.parametrize("pattern", ["blender/*.mp4", "blender/*.webm", "grid/*.mpg"])
def test_real_files(shared_data: Path, count: Count, pattern: str):
    paths = sorted(shared_data.glob(pattern))[:4]
    assert paths
    for path in paths:
        assert_nothing_changes(path, 10.0)
        assert_nothing_changes(path, 12.5, frame_at=0.0)
    assert count.doubts == 0
    assert count.left_out > 10 or not pattern.endswith("mp4")  # The others refer to all.


def test_a_video_without_such_pictures_is_no_longer_watched(tmp_path: Path, count: Count):
    path = write(tmp_path / "m.mpg", "mpeg1video", base=Fraction(1, 30))
    assert_nothing_changes(path, 10.0)
    assert count.sent < 60
    assert not count.watches[0].is_on
