"""The lag between picture and sound: planted ones are found, and nothing is made up."""

import json

import numpy as np
import pytest
from tests.data.flashes import SPEC, flashes

from soundsight.data.m3so import BLOCK
from soundsight.data.sync import (
    FEWEST,
    LagReport,
    Traces,
    lag,
    steps_per_frame,
    traces,
)
from soundsight.media.clip import ClipSpec
from soundsight.media.io import decode_all


def shifted(sound: np.ndarray, late: int) -> np.ndarray:
    """The same sound some samples later (earlier, if negative), with silence in the gap."""
    if late >= 0:
        return np.concatenate([np.zeros(late, np.float32), sound])[: len(sound)]
    return np.concatenate([sound[-late:], np.zeros(-late, np.float32)])


def report(late_s: float, number: int = 20, spec: ClipSpec = SPEC, **options) -> LagReport:
    clips = [traces(*flashes(seed, late_s, spec), spec) for seed in range(number)]
    return lag(clips, [f"{i:02d}" for i in range(number)], spec.fps, **options)


# Planted lags.


@pytest.mark.parametrize("late_ms", [-300, -200, -60, 0, 50, 200, 300])
def test_a_planted_lag_is_found_with_its_sign(late_ms):
    found = report(late_ms / 1000)
    assert found.lag_s == pytest.approx(late_ms / 1000, abs=0.015)
    assert found.low <= found.lag_s <= found.high
    assert found.high - found.low < 0.05
    expected = "sound late" if late_ms > 150 else "sound early" if late_ms < -150 else "in step"
    assert found.verdict == expected
    assert found.n == 20


def test_clips_of_one_second_are_enough():
    spec = SPEC.with_frames(25)
    found = report(0.2, number=60, spec=spec)
    assert found.verdict == "sound late"
    assert found.lag_s == pytest.approx(0.2, abs=0.02)


def test_a_low_frame_rate_widens_the_tolerance():
    """At 10 Hz nothing is known to better than a frame or so: 120 ms are let pass, 300 are not."""
    spec = ClipSpec(frames=30, fps=10, size=32, channels=1, sample_rate=8000)
    assert report(-0.12, number=40, spec=spec).verdict == "in step"
    assert report(0.3, number=40, spec=spec).verdict == "sound late"
    assert report(-0.3, number=40, spec=spec).verdict == "sound early"


def test_a_long_recording_has_a_verdict_of_its_own():
    """Four long recordings, one of which is late: it alone is."""
    spec = SPEC.with_frames(25 * 60)
    late = {"a": 0.0, "b": 0.0, "c": 0.25, "d": 0.0}
    clips = [traces(*flashes(i, s, spec), spec) for i, s in enumerate(late.values())]
    found = lag(clips, list(late), 25)
    assert {name: own.verdict for name, own in found.sources.items()} == {
        "a": "in step", "b": "in step", "c": "sound late", "d": "in step",
    }  # fmt: skip
    assert found.sources["c"].lag_s == pytest.approx(0.25, abs=0.02)
    assert found.n == 80  # Pieces of 3 s: there are fewer than eight recordings.


def test_loudness_and_a_key_frame_every_second_do_not_matter():
    clips = []
    for seed in range(20):
        video, sound = flashes(seed, 0.2)
        video = video.copy()
        video[::12] = np.clip(video[::12].astype(int) + 9, 0, 255)  # The whole picture jumps.
        clips.append(traces(video, sound * np.float32(0.05), SPEC))
    found = lag(clips, [str(i) for i in range(20)], 25)
    assert found.verdict == "sound late"
    assert found.lag_s == pytest.approx(0.2, abs=0.015)


# Nothing is made up.


def test_sounds_of_other_clips_tell_nothing():
    clips = [traces(*flashes(seed, 0.0), SPEC) for seed in range(40)]
    for turn in range(1, 9):
        mixed = [Traces(clip.motion, clips[(i + turn) % 40].sound) for i, clip in enumerate(clips)]
        found = lag(mixed, [str(i) for i in range(40)], 25, seed=turn)
        assert found.verdict == "cannot tell"


def test_still_pictures_and_silence_tell_nothing():
    still, clips = np.full((75, 32, 32, 1), 90, np.uint8), []
    for seed in range(10):
        video, sound = flashes(seed, 0.0)
        clips.append(traces(still, sound, SPEC))
        clips.append(traces(video, np.zeros_like(sound), SPEC))
    assert lag(clips, [str(i) for i in range(20)], 25).verdict == "cannot tell"


def test_a_rhythm_that_all_clips_share_tells_nothing():
    """Every clip flashes and clicks at the same times, the click 200 ms late: chance does too."""
    clips = []
    for seed in range(20):
        video, sound = flashes(7, 0.2)  # The same times in all, but grain and hiss of their own.
        rng = np.random.default_rng(seed)
        grain = np.clip(video + rng.integers(0, 9, video.shape), 0, 255).astype(np.uint8)
        clips.append(
            traces(
                grain,
                sound + np.float32(1e-3) * rng.normal(size=len(sound)).astype(np.float32),
                SPEC,
            )
        )
    assert lag(clips, [str(i) for i in range(20)], 25).verdict == "cannot tell"


def test_a_lag_at_the_last_one_tried_is_not_told():
    assert report(0.5).verdict == "cannot tell"


@pytest.mark.parametrize("number", [0, 1, 2, FEWEST - 1])
def test_few_clips_tell_nothing(number):
    found = report(0.2, number=number)
    assert found.verdict == "cannot tell"
    assert "cannot tell" in str(found)
    json.dumps(found.to_json(), allow_nan=False)


def test_clips_that_are_too_short_are_left_out():
    spec = SPEC.with_frames(12)
    clips = [traces(*flashes(seed, 0.0, spec), spec) for seed in range(20)]
    assert lag(clips, [str(i) for i in range(20)], 25) == LagReport(
        None, None, None, 0.0, 0, "cannot tell"
    )


# The rest.


def test_the_same_seed_gives_the_same_report():
    assert report(0.1, seed=3) == report(0.1, seed=3)


def test_of_very_many_clips_some_are_drawn(monkeypatch):
    monkeypatch.setattr("soundsight.data.sync.MOST_PIECES", 12)
    found = report(0.2, number=30)
    assert found.n == 12
    assert len(found.sources) == 12


def test_reports_are_json_and_text():
    found = report(0.2)
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert told["verdict"] == "sound late"
    assert told["quartiles_s"][1] == pytest.approx(0.2, abs=0.03)
    assert set(told["sources"]) == {f"{i:02d}" for i in range(20)}
    assert f"best match with the sound {1000 * found.lag_s:.0f} ms late (lag +" in str(found)
    assert " ms early (lag -" in str(report(-0.2))


def test_traces_stand_on_one_clock():
    """One flash at frame 10 and one click at that frame's start."""
    spec = ClipSpec(frames=25, fps=25, size=32, channels=1, sample_rate=8000)
    video = np.zeros((25, 32, 32, 1), np.uint8)
    video[10:, :4, :4] = 200
    sound = np.zeros(spec.samples, np.float32)
    sound[10 * 320 : 10 * 320 + 100] = 0.5
    made = traces(video, sound, spec)
    steps = steps_per_frame(25)
    assert made.motion.shape == (24, 64)
    assert made.sound.shape == (25 * steps + 1, 3)
    assert np.unravel_index(made.motion.argmax(), made.motion.shape) == (9, 0)  # Stands at 10/fps.
    assert made.motion.max() == 200
    assert abs(made.sound[:, 1].argmax() - 10 * steps) <= 1


def test_clips_that_do_not_fit_are_refused():
    video, sound = flashes(0, 0.0)
    with pytest.raises(ValueError, match="per frame are needed"):
        traces(video[:-1], sound, SPEC)
    with pytest.raises(ValueError, match="at least 2"):
        traces(video[:1], sound[:320], SPEC)
    with pytest.raises(ValueError, match="1 clips, 2 sources"):
        lag([traces(video, sound, SPEC)], ["a", "b"], 25)


# Known data.


@pytest.mark.parametrize("frames", [-3, 0, 3])
def test_m3so_is_in_step_until_it_is_shifted(frames):
    """At its 10 Hz, sound tells of a motion a frame before it is seen (`audio_lead`)."""
    spec = ClipSpec(frames=70)
    clips = BLOCK.build(spec, "train").clips(list(range(150)))
    video = (clips.video * 255).round().byte().permute(0, 1, 3, 4, 2).numpy()
    some = [
        traces(v, shifted(s, frames * 440), spec)
        for v, s in zip(video, clips.audio.numpy(), strict=True)
    ]
    found = lag(some, [str(i) for i in range(150)], 10)
    assert found.lag_s == pytest.approx((frames - 1) / 10, abs=0.02)
    assert found.verdict == {-3: "sound early", 0: "in step", 3: "sound late"}[frames]


@pytest.fixture(scope="module")
def talking(shared_data):
    """Sixty sentences of one speaker."""
    spec = ClipSpec(frames=75, fps=25, size=64, channels=3, sample_rate=16000)
    files = sorted((shared_data / "grid").glob("*.mpg"))[100:160]
    return spec, [decode_all(path, spec) for path in files]


@pytest.mark.shared_data
@pytest.mark.parametrize("number", [30, 60])
@pytest.mark.parametrize("late_ms", [-200, 0, 200])
def test_a_lag_planted_in_talking_faces_is_found(talking, number, late_ms):
    spec, clips = talking
    some = [traces(v, shifted(s, 16 * late_ms), spec) for v, s in clips[:number]]
    found = lag(some, [str(i) for i in range(number)], 25)
    assert found.lag_s == pytest.approx(late_ms / 1000 - 0.015, abs=0.03)
    expected = {-200: "sound early", 0: "in step", 200: "sound late"}[late_ms]
    assert found.verdict == expected


@pytest.mark.shared_data
def test_talking_faces_with_the_sounds_of_others_tell_nothing(talking):
    spec, clips = talking
    made = [traces(v[:74], s[: 74 * 640], spec) for v, s in clips]
    for turn in range(1, 7):
        mixed = [Traces(made[i].motion, made[(i + turn) % 60].sound) for i in range(60)]
        assert lag(mixed, [str(i) for i in range(60)], 25, seed=turn).verdict == "cannot tell"


@pytest.mark.shared_data
def test_music_over_a_film_tells_nothing(shared_data):
    spec = ClipSpec(frames=75, fps=25, size=32, channels=3, sample_rate=16000)
    video, sound = decode_all(shared_data / "blender" / "big_buck_bunny_0_30.webm", spec)
    for late_ms in (-200, 0, 200):
        found = lag([traces(video, shifted(sound, 16 * late_ms), spec)], ["film"], 25)
        assert found.verdict == "cannot tell"
