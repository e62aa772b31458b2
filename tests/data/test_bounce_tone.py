"""BounceTone: what is seen, what is heard, how they hang together, and the judge that checks it."""

import hashlib
from functools import cache
from itertools import combinations

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from scipy.stats import spearmanr

from soundsight.data.bounce_tone import COUPLINGS, BounceTone
from soundsight.data.bounce_tone_oracle import listen, onset_iou, rank_correlation, watch
from soundsight.data.loader import DataConfig, Dataset
from soundsight.media.clip import ClipSpec

SPEC = ClipSpec(frames=25, fps=25, size=64, channels=3, sample_rate=16000)
GOLDEN = "7a1943fd27aaac59"
"""Of train clips 0, 17 and 3999: from a run of this code."""


@cache
def opened(fps=25, split="test", **fields):
    return BounceTone(**fields).build(ClipSpec(fps, fps, 64, 3, 16000), split)


@cache
def some(fps=25, **fields):
    data = opened(fps, **fields)
    return data.clips(range(100)), data.truth(range(100))


def events(times):
    return [row[np.isfinite(row)] for row in times]


# One clip, one random stream.


def test_shapes_ranges_and_labels():
    clip, truth = some()
    assert clip.video.shape == (100, 25, 3, 64, 64)
    assert clip.audio.shape == (100, 16000)
    assert clip.video.min() >= 0
    assert clip.video.max() <= 1
    assert 0.5 < clip.audio.abs().max() <= 0.8
    np.testing.assert_array_equal(clip.label, truth.classes)
    assert set(truth.classes) == set(range(4))
    assert len(opened(25, "train")) == 4000
    assert isinstance(opened().config, DataConfig)
    assert isinstance(opened(), Dataset)


def test_a_clip_is_the_same_in_any_batch():
    whole, part = some()[0], opened().clips([40, 3, 99, 3])
    for name, values in part.parts().items():
        assert torch.equal(values, whole[[40, 3, 99, 3]].parts()[name])


def test_clips_differ_by_seed_split_and_index():
    data = [opened(), opened(seed=2), opened(25, "val"), opened(25, "train")]
    values = [part.truth([0]).u[0] for part in data] + [opened().truth([1]).u[0]]
    assert len(set(values)) == len(values)


def test_known_clips():
    clip = opened(10, "train").clips([0, 17, 3999])
    frames = (clip.video * 255).round().byte().numpy()
    sound = np.rint(clip.audio.numpy() * 32767).astype("<i2")
    assert hashlib.sha256(frames.tobytes() + sound.tobytes()).hexdigest()[:16] == GOLDEN


@pytest.mark.parametrize("index", [-1, 500])
def test_indices_outside_are_refused(index):
    with pytest.raises(IndexError, match=f"clip {index} is not among the split's 500"):
        opened().clips([0, index])


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="split='dev'"):
        opened(25, "dev")
    with pytest.raises(ValueError, match="seed=-1"):
        opened(seed=-1)
    with pytest.raises(ValueError, match="clips="):
        opened(clips=(-1, 1, 1))
    with pytest.raises(ValueError, match=r"size=15 .* nearest: 16"):
        BounceTone().build(ClipSpec(10, 10, 15, 3, 16000), "train")
    with pytest.raises(ValueError, match="880 Hz; nearest that can: 5870 Hz"):
        BounceTone().build(ClipSpec(10, 10, 64, 3, 4400), "train")
    assert len(BounceTone().build(ClipSpec(10, 10, 16, 1, 5870), "train")) == 4000
    with pytest.raises(ValidationError, match="cut"):
        TypeAdapter(BounceTone).validate_python({"cut": ["timbre"]})


# The laws.


def test_the_disc_is_where_the_law_says():
    clip, truth = some()
    radius = 0.09 * 64
    room = 64 - 1 - 2 * radius
    bright = (clip.video.mean(2) - 0.05).double().clamp(min=0)
    bright[bright < 0.01] = 0
    at = torch.arange(64.0, dtype=torch.float64)
    total = bright.sum((-2, -1))
    x, y = (bright.sum(-2) @ at / total).numpy(), (bright.sum(-1) @ at / total).numpy()
    times = (np.arange(25) + 0.5) / 25
    for row in range(100):
        phase, period = truth.phase_s[row], truth.period_s[row]
        height = np.abs(np.sin(np.pi * (times - phase) / period))
        np.testing.assert_allclose(truth.height[row], height, atol=1e-6)
        np.testing.assert_allclose(x[row], radius + truth.u[row] * room, atol=0.05)
        np.testing.assert_allclose(y[row], 63 - radius - height * room, atol=0.05)
        expected = np.arange(phase, 1, period)
        np.testing.assert_allclose(events(truth.contacts_s)[row], expected)
        assert 0 <= phase < period
    assert set(truth.period_s) == {1 / 4, 1 / 3, 1 / 2}


def test_the_tone_decays_from_every_contact():
    clip, truth = some()
    for row in np.nonzero(truth.sound_classes == 0)[0]:  # Sines.
        seconds = np.arange(16000) / 16000
        since = (seconds - truth.phase_s[row]) % truth.period_s[row]
        sine = np.sin(2 * np.pi * 220 * 4 ** truth.u[row] * seconds)
        np.testing.assert_allclose(clip.audio[row], 0.8 * sine * np.exp(-since / 0.06), atol=2e-3)


@pytest.mark.parametrize(
    ("timbre", "amplitudes"),
    [(1, [1, 0, 1 / 3, 0, 1 / 5]), (2, [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5])],
)
def test_timbres_have_their_harmonics(timbre, amplitudes):
    clip, truth = some()
    rows = np.nonzero((truth.sound_classes == timbre) & (truth.pitch_hz < 500))[0]
    assert len(rows) > 5
    for row in rows:
        wave = clip.audio[row].double().numpy() * np.hanning(16000)
        angle = 2 * np.pi * truth.pitch_hz[row] * np.arange(16000) / 16000
        level = [abs((wave * np.exp(1j * k * angle)).sum()) for k in range(1, 6)]
        np.testing.assert_allclose(np.array(level) / level[0], amplitudes, atol=0.03)


# Couplings cut on purpose.


@pytest.mark.parametrize(
    "cut", [cut for n in range(4) for cut in combinations(COUPLINGS, n)], ids=str
)
def test_any_couplings_can_be_cut(cut):
    data = opened(10, "train", cut=cut)
    truth, plain = data.truth(range(1000)), opened(10, "train").truth(range(1000))
    for name in ("u", "classes", "period_s", "phase_s", "contacts_s"):
        np.testing.assert_array_equal(getattr(truth, name), getattr(plain, name))
    assert torch.equal(data.clips([5]).video, opened(10, "train").clips([5]).video)
    kept = {
        "pitch": np.array_equal(truth.u, truth.sound_u),
        "class": np.array_equal(truth.classes, truth.sound_classes),
        "onset": np.array_equal(truth.contacts_s, truth.sound_contacts_s, equal_nan=True),
    }
    assert kept == {name: name not in cut for name in COUPLINGS}
    np.testing.assert_allclose(truth.pitch_hz, 220 * 4**truth.sound_u)
    if "pitch" in cut:
        assert abs(np.corrcoef(truth.u, truth.sound_u)[0, 1]) < 3 / np.sqrt(1000)
    if "class" in cut:
        assert (truth.classes == truth.sound_classes).mean() == pytest.approx(0.25, abs=0.05)


# The judge.


@pytest.mark.parametrize(("fps", "least", "chance"), [(10, 0.75, 0.48), (25, 0.9, 0.22)])
def test_the_judge_is_right_on_clean_clips(fps, least, chance):
    clip, truth = some(fps)
    seen, heard = watch(clip.video, opened(fps).spec), listen(clip.audio, opened(fps).spec)
    assert np.abs(seen.u - truth.u).max() < 0.01
    assert np.abs(heard.pitch_hz / truth.pitch_hz - 1).max() < 0.03
    np.testing.assert_array_equal(seen.classes, truth.classes)
    np.testing.assert_array_equal(heard.classes, truth.sound_classes)
    assert rank_correlation(seen.u, np.log(heard.pitch_hz)) > 0.999
    assert onset_iou(heard.onsets, seen.contacts, opened(fps).spec) > least
    assert onset_iou(heard.onsets, seen.contacts[1:] + seen.contacts[:1], opened(fps).spec) < chance
    close = ClipSpec(1, 50, 64, 3, 16000)
    assert onset_iou(heard.onsets, events(truth.sound_contacts_s), close) > 0.95


@pytest.mark.parametrize("cut", COUPLINGS)
def test_the_judge_notices_a_cut(cut):
    clip, _ = some(25, cut=(cut,))
    seen, heard = watch(clip.video, SPEC), listen(clip.audio, SPEC)
    together = {
        "pitch": rank_correlation(seen.u, np.log(heard.pitch_hz)),
        "class": (seen.classes == heard.classes).mean(),
        "onset": onset_iou(heard.onsets, seen.contacts, SPEC),
    }
    assert abs(together.pop(cut)) < 0.4
    assert min(together.values()) > 0.9


def test_nothing_is_heard_or_seen_where_nothing_is():
    heard = listen(torch.zeros(1, 16000), SPEC)
    assert np.isnan(heard.pitch_hz).all()
    assert heard.onsets[0].shape == (0,)
    seen = watch(torch.zeros(1, 25, 3, 64, 64), SPEC)
    assert np.isnan(seen.u).all()
    assert seen.contacts[0].shape == (0,)


def test_events_are_matched_one_to_one():
    spec = ClipSpec(10, fps=10)
    two, one = [np.array([0.1, 0.2])], [np.array([0.15])]
    assert onset_iou(two, one, spec) == 1 / 2
    assert onset_iou(one, two, spec) == 1 / 2
    assert onset_iou(two, two, spec) == 1
    assert onset_iou(two, [np.array([0.31, 0.5])], spec) == 0
    assert onset_iou([*two, np.zeros(0)], [*one, np.zeros(0)], spec) == 1 / 2  # No event, no share.
    assert np.isnan(onset_iou([np.zeros(0)], [np.zeros(0)], spec))


def test_rank_correlation_is_spearmans():
    a, b = np.random.default_rng(0).random((2, 50))
    assert rank_correlation(a, a + b) == pytest.approx(spearmanr(a, a + b).statistic)
    assert rank_correlation(a, -np.exp(a)) == pytest.approx(-1)
    assert rank_correlation(np.array([1, 2, np.nan, 3.0]), np.array([3, 2, 5, 1.0])) == -1
    assert np.isnan(rank_correlation(np.array([1.0]), np.array([1.0])))
