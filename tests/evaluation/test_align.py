"""AV-Align: an independent reading of the published code, bounds, chance, and what it needs."""

import subprocess
import sys

import cv2
import librosa
import numpy as np
import pytest
import torch

from soundsight.data.orchestra import Orchestra
from soundsight.evaluation.align import (
    Peaks,
    aligned,
    av_align,
    find_peaks,
    join_peaks,
    motion_peaks,
)
from soundsight.media.clip import Clip, ClipSpec

SPEC = ClipSpec(frames=25, fps=25, size=64, channels=3, sample_rate=16000)
TIMES = (0.24, 0.6)


def bursts(times=TIMES, clips=1):
    """Bursts of noise that decay."""
    draw, wave = np.random.default_rng(0), np.zeros((clips, 16000), np.float32)
    for time in times:
        at = round(time * 16000)
        length = min(4000, 16000 - at)
        decay = np.exp(-np.arange(length) / 400).astype(np.float32)
        wave[:, at : at + length] += 0.5 * decay * draw.normal(size=length).astype(np.float32)
    return torch.from_numpy(wave).clamp(-1, 1)


def jumps(times=TIMES, clips=1, channels=3):
    """A textured square that moves 3 px in the frame of each time, and is at rest otherwise."""
    texture = torch.rand(20, 20, generator=torch.Generator().manual_seed(0))
    video, x = torch.zeros(clips, 25, channels, 64, 64), 8
    for frame in range(25):
        x += 3 * any(round(time * 25) == frame for time in times)
        video[:, frame, :, 20:40, x : x + 20] = texture
    return video


@pytest.fixture(scope="module")
def clip():
    return Clip(SPEC, video=jumps(), audio=bursts())


@pytest.fixture(scope="module")
def real():
    return find_peaks(Orchestra().build(SPEC, "test").clips(range(26)))


def test_events_at_the_same_time_score_one(clip):
    peaks = find_peaks(clip)
    np.testing.assert_allclose(peaks.seen[0], TIMES)
    np.testing.assert_allclose(peaks.heard[0], TIMES, atol=0.03)
    assert av_align(clip).tolist() == [1.0]


def test_late_sound_scores_nothing(clip):
    assert av_align(clip.replace(audio=bursts((0.36, 0.76)))).tolist() == [0.0]


def test_half_of_it(clip):
    """One onset of two has a peak: 1 / (2 + 1 - 1)."""
    assert av_align(clip.replace(video=jumps((0.6,)))).tolist() == [0.5]


def test_nothing_heard_and_nothing_seen_has_no_score(clip):
    still, silent = jumps(()), torch.zeros(1, 16000)
    assert np.isnan(av_align(Clip(SPEC, video=still, audio=silent))).all()
    assert av_align(clip.replace(video=still)).tolist() == [0.0]
    assert av_align(clip.replace(audio=silent)).tolist() == [0.0]


def test_onsets_are_librosas_and_flow_is_farnebacks():
    """Step by step as the published code, frame by frame."""
    clip = Orchestra().build(SPEC, "test").clips([3, 4])
    peaks = find_peaks(clip)
    for row in range(2):
        wave = librosa.resample(clip.audio[row].numpy(), orig_sr=16000, target_sr=22050)
        onsets = librosa.onset.onset_detect(y=wave, sr=22050, units="time")
        np.testing.assert_allclose(peaks.heard[row], onsets)

        frames = (clip.video[row] * 255).round().byte().permute(0, 2, 3, 1).numpy()
        grey = [
            cv2.cvtColor(np.ascontiguousarray(f[..., ::-1]), cv2.COLOR_BGR2GRAY) for f in frames
        ]
        flow = [0.0] * 25
        for k in range(25):
            pair = grey[max(k, 1) - 1], grey[max(k, 1)]
            field = cv2.calcOpticalFlowFarneback(*pair, None, 0.5, 3, 15, 3, 5, 1.2, 0)
            flow[k] = cv2.mean(cv2.magnitude(field[..., 0], field[..., 1]))[0]
        expected = [
            k / 25 for k in range(1, 24) if flow[k - 1] < flow[k] > flow[k + 1] and flow[k] >= 0.1
        ]
        np.testing.assert_allclose(peaks.seen[row], expected)
        assert len(onsets) > 0
        assert len(expected) > 0


def test_peaks_are_strict_and_moving():
    assert motion_peaks(np.array([0.9, 0.5, 0.5, 0.5, 0.9])).tolist() == []
    assert motion_peaks(np.array([0.0, 0.3, 0.3, 0.0])).tolist() == []
    assert motion_peaks(np.array([0.0, 0.0999, 0.0, 0.1, 0.0])).tolist() == [3]
    assert motion_peaks(np.zeros(1)).tolist() == []
    assert motion_peaks(np.zeros(0)).tolist() == []


def test_the_first_motion_is_no_peak():
    """As published: the first frame is given the second one's flow."""
    assert find_peaks(Clip(SPEC, video=jumps((0.04, 0.4)), audio=bursts())).seen[0] == [0.4]


def test_a_frame_away_is_too_far():
    """The published distance is less than 1 / fps."""
    at = [np.array([0.5])]
    near, far = Peaks(at * 8, [np.array([0.539])] * 8), Peaks(at * 8, [np.array([0.54])] * 8)
    assert aligned(near, None, 25, seed=0).value == 1
    assert aligned(far, None, 25, seed=0).value == 0


def test_several_onsets_at_one_peak_do_not_score_above_one():
    """The published code gives 3 / (3 + 1 - 3) = 3 here."""
    crowd = Peaks([np.array([0.48, 0.5, 0.52])] * 3, [np.array([0.5])] * 3)
    assert aligned(crowd, None, 25, seed=0).value == pytest.approx(1 / 3)


def test_chance_and_real_clips_stand_beside_it(real):
    found = aligned(real, real, 25, permutations=999, seed=0)
    assert found.value > 0.6
    assert 0.1 < found.null_mean < 0.35
    assert found.p == 0.001
    assert found.of_real == pytest.approx(1)
    assert found.readable > 0.9
    shifted = Peaks(real.heard, real.seen[1:] + real.seen[:1])
    mixed = aligned(shifted, real, 25, permutations=999, seed=0)
    assert mixed.p > 0.01
    assert abs(mixed.of_real) < 0.2
    assert mixed.null_mean == pytest.approx(found.null_mean, abs=0.02)


def test_clips_without_any_event_are_left_out_of_the_mean():
    none = np.zeros(0)
    peaks = Peaks([np.array([0.5]), none, none], [np.array([0.5]), none, none])
    found = aligned(peaks, None, 25, seed=0)
    assert found.value == 1
    assert found.readable == pytest.approx(1 / 3)
    assert aligned(Peaks([none] * 3, [none] * 3), None, 25, seed=0).value == 0


def test_batches_join(real):
    parts = Peaks(real.heard[:9], real.seen[:9]), Peaks(real.heard[9:], real.seen[9:])
    joined = join_peaks(parts)
    for a, b in zip(real, joined, strict=True):
        assert len(a) == len(b) == 26
        assert all(map(np.array_equal, a, b))


def test_grey_pictures_and_single_frames(clip):
    spec = ClipSpec(frames=25, fps=25, size=64, channels=1, sample_rate=16000)
    assert av_align(Clip(spec, video=jumps(channels=1), audio=bursts())).tolist() == [1.0]
    assert av_align(clip.replace(video=clip.video[:, :1])).tolist() == [0.0]


def test_half_a_clip_is_refused(clip):
    with pytest.raises(ValueError, match="only audio; AV-Align needs both"):
        find_peaks(clip.replace(video=None))


@pytest.mark.parametrize("absent", ["librosa", "cv2"])
def test_absent_extras_are_named(clip, absent, monkeypatch):
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(
        ValueError, match=rf'{absent} is absent; pip install "soundsight\[metrics\]"'
    ):
        av_align(clip)


def test_importing_it_loads_no_extras():
    code = (
        "import sys, soundsight.cli, soundsight.evaluation.align; "
        "print([m for m in ('librosa', 'cv2', 'numba') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
