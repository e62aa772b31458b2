"""From pieces of sound in any format to one waveform, however it is cut up and taken."""

from fractions import Fraction

import av
import numpy as np
import pytest

from soundsight.media.limits import DEFAULT_LIMITS
from soundsight.media.sound import SoundTrack

RATE = 44100
STEREO = np.random.default_rng(0).integers(-20000, 20000, (2, RATE)).astype(np.int16)


def frames_of(wave: np.ndarray, sizes: list[int], kind: str = "s16p") -> list[av.AudioFrame]:
    """Frames of such sizes, over and over, with their time stamps."""
    frames, at = [], 0
    while at < wave.shape[1]:
        piece = np.ascontiguousarray(wave[:, at : at + sizes[len(frames) % len(sizes)]])
        frame = av.AudioFrame.from_ndarray(piece, "s16p", "stereo")
        frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), at
        at += piece.shape[1]
        frames += av.AudioResampler(kind, "stereo", RATE).resample(frame)
    return frames


def track_of(frames: list[av.AudioFrame], rate: int, start_s: float = 0.0) -> SoundTrack:
    track = SoundTrack("film", rate, start_s=start_s, samples=None, limits=DEFAULT_LIMITS)
    for frame in frames:
        track.add(frame, frame.time)
    track.finish()
    return track


@pytest.mark.parametrize("kind", ["s16", "s16p", "flt", "fltp", "s32", "s32p", "dbl", "dblp"])
def test_every_format_is_the_mean_of_its_channels(kind: str):
    track = track_of(frames_of(STEREO, [1000, 1024, 1], kind), RATE)
    expected = (STEREO.astype(np.float64).mean(0) / 32768).astype(np.float32)
    assert track.ready == RATE
    np.testing.assert_array_equal(track.take(RATE), expected)


@pytest.mark.parametrize("rate", [RATE, 16000, 48000, 4400])
@pytest.mark.parametrize("sizes", [[7, 1152], [5000], [RATE]])
def test_sound_is_the_same_however_it_is_cut_up(rate: int, sizes: list[int]):
    whole = track_of(frames_of(STEREO, [1024]), rate).take(rate)
    track = track_of(frames_of(STEREO, sizes), rate)
    np.testing.assert_array_equal(track.take(rate), whole)
    assert track.ready == 0
    # And however it is taken.
    track, parts = track_of(frames_of(STEREO, sizes), rate), []
    for size in (1, 999, 0, rate):
        parts.append(track.take(size))
    assert track.ready == 0
    np.testing.assert_array_equal(np.concatenate(parts)[:rate], whole)
    assert not np.concatenate(parts)[rate:].any()  # Silence, when there is no more.


def test_what_lies_before_the_window_is_left_out():
    whole = track_of(frames_of(STEREO, [1024]), 16000)
    late = track_of(frames_of(STEREO, [1024]), 16000, start_s=0.25)
    assert late.ready == whole.ready - 4000
    np.testing.assert_array_equal(late.take(12000), whole.take(16000)[4000:])
