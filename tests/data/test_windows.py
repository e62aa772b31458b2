"""Windows of a recording: the right frames with the right sound, whatever the hop."""

import numpy as np
import pytest
from tests.data.films import SPEC, write_film

from soundsight.data.source import Recording
from soundsight.data.windows import ticks, windows
from soundsight.media.clip import ClipSpec
from soundsight.media.io import MediaError, decode, decode_all


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Recording:
    path = write_film(tmp_path_factory.mktemp("film") / "a.mp4", seconds=4.5)
    return Recording(id="a.mp4", path=str(path))


@pytest.mark.parametrize("hop_s", [None, 1.0, 0.2, 0.4, 2.2])
def test_windows_are_parts_of_the_whole(recording, hop_s):
    frames, sound = decode_all(recording.path, SPEC)
    found = list(windows(recording, SPEC, hop_s=hop_s))
    hop = round((hop_s or 1.0) * SPEC.fps)
    starts = range(0, len(frames) - SPEC.frames + 1, hop)
    assert [c.start_s for c in found] == [round(k / SPEC.fps, 6) for k in starts]
    assert [c.name for c in found] == [f"{round(1000 * k / SPEC.fps):09d}" for k in starts]
    for clip, k in zip(found, starts, strict=True):
        np.testing.assert_array_equal(clip.frames, frames[k : k + SPEC.frames])
        at = k * SPEC.samples_per_frame
        np.testing.assert_array_equal(clip.sound, sound[at : at + SPEC.samples])


def test_a_window_is_what_decoding_there_gives(recording):
    """What is prepared is what a model is later given of the same file."""
    for clip in windows(recording, SPEC, hop_s=0.6):
        asked = decode(recording.path, SPEC, start_s=clip.start_s)
        pixels = (asked.video[0].permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8)
        np.testing.assert_array_equal(pixels, clip.frames)
        np.testing.assert_allclose(asked.audio[0].numpy(), clip.sound, atol=1e-4)


def test_hop_of_a_part_of_a_frame(recording):
    """One picture and half a second of sound, ten times a second, as published for instruments."""
    pairs = ClipSpec(frames=1, fps=2, size=16, channels=3, sample_rate=4000)
    found = list(windows(recording, pairs, hop_s=0.1, frame_at=0.0))
    assert [c.start_s for c in found[:4]] == [0, 0.1, 0.2, 0.3]
    tenths = ClipSpec(frames=1, fps=10, size=16, channels=3, sample_rate=4000)
    shown, sound = decode_all(recording.path, tenths)
    for k, clip in enumerate(found):
        assert clip.sound.shape == (2000,)
        np.testing.assert_array_equal(clip.sound, sound[400 * k : 400 * k + 2000])
        np.testing.assert_array_equal(clip.frames[0], shown[k])


def test_part_of_a_recording(recording):
    part = Recording(id="a", path=recording.path, start_s=1.0, end_s=3.4)
    assert [c.start_s for c in windows(part, SPEC)] == [1.0, 2.0]
    frames, _ = decode_all(recording.path, SPEC)
    np.testing.assert_array_equal(next(windows(part, SPEC)).frames, frames[5:10])


def test_good_windows_come_before_the_damage(recording, tmp_path):
    whole = write_film(tmp_path / "w.mp4", seconds=6)
    broken = tmp_path / "b.mp4"
    data = whole.read_bytes()
    broken.write_bytes(data[: len(data) * 2 // 3])
    cutting = windows(Recording(id="b", path=str(broken)), SPEC)
    got = []
    with pytest.raises(MediaError, match=r"b\.mp4: truncated"):
        got.extend(cutting)
    cutting = windows(Recording(id="b", path=str(broken)), SPEC)
    first = next(cutting)
    np.testing.assert_array_equal(first.frames, decode_all(whole, SPEC)[0][:5])


def test_clock_of_the_hop():
    spec = ClipSpec(frames=10, fps=10, size=8, sample_rate=16_000)
    assert ticks(spec, None) == (1, 10)
    assert ticks(spec, 0.5) == (1, 5)
    assert ticks(spec, 0.05) == (2, 1)
    for hop_s, said in (
        (0.0001, "no whole number of frames"),
        (0.0, "positive"),
        (-1.0, "positive"),
    ):
        with pytest.raises(ValueError, match=said):
            ticks(spec, hop_s)
