"""Pictures made from sounds, and the reverse, are scored: known models get known scores."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from tests.evaluation.little_tones import (
    SPEC,
    Common,
    Deaf,
    Ear,
    Eye,
    Matchmaker,
    Oracle,
    Perceiving,
    Tones,
    Tuner,
    Varied,
    evaluate,
)

from soundsight.evaluation.consistency import auc, retrieval
from soundsight.evaluation.crossmodal import CrossmodalProtocol, example_places
from soundsight.evaluation.crossmodal_metrics import near_notes, notes
from soundsight.evaluation.crossmodal_numbers import (
    Sources,
    beaten_share,
    found_among,
    halves_of_recordings,
    other_class_partner,
    ranks_within,
    same_class_partner,
)
from soundsight.evaluation.crossmodal_scores import SHUFFLED
from soundsight.evaluation.frechet import frechet_distance
from soundsight.evaluation.intervals import bootstrap
from soundsight.evaluation.scores import NO_RULE
from soundsight.media.clip import Clip
from soundsight.models.judges import ClassifierConfig
from soundsight.nn.trunks import Hearing

BOTH = frozenset({"audio", "image"})
PICTURES = {"takes": frozenset({"image"}), "makes": frozenset({"audio"})}


@pytest.fixture(scope="module")
def scores():
    """Every known model at once."""
    models = {"oracle": Oracle(), "varied": Varied(), "deaf": Deaf(), "common": Common()}
    return evaluate(models, train_clips=20)


@pytest.fixture(scope="module")
def sounds():
    """The same the other way round."""
    return evaluate({"oracle": Oracle(**PICTURES), "deaf": Deaf(**PICTURES)})


def values(scores, metric):
    return {r.name: r.value for r in scores.rows if r.metric == metric and r.rule == NO_RULE}


# ---- Models of known quality ---------------------------------------------------------------------


@pytest.mark.parametrize("role", ["image", "sound"])
def test_an_oracle_scores_the_ceiling(scores, sounds, role):
    found = scores if role == "image" else sounds
    for metric in ("accuracy", "accuracy_macro", "accuracy_read"):
        assert values(found, f"{role}_{metric}")["oracle"] == 1
        assert values(found, f"{role}_{metric}")["real"] == 1
        assert values(found, f"{role}_{metric}")["oracle" + SHUFFLED] == 0
    for metric in ("recall@1", "recall@5", "recall@10", "auc"):
        one = values(found, f"{role}_{metric}")
        assert one["oracle"] == pytest.approx(one["real"], abs=0.1)
        assert one["oracle"] > one["chance"] + 0.2
        assert one["oracle" + SHUFFLED] < one["chance"] + 0.1
    for metric in ("pitch_place", "pitch_place_in_class"):
        one = values(found, f"{role}_{metric}")
        assert one["oracle"] > 0.95
        assert abs(one["oracle" + SHUFFLED]) < 0.35
        p = values(found, f"{role}_{metric}_p")
        assert p["oracle"] == 1 / 200  # The smallest of 199 exchanges.
        assert p["oracle" + SHUFFLED] > 0.01
    if role == "sound":
        assert values(found, "sound_pitch_near")["oracle"] > 0.9
        assert values(found, "sound_pitch_near")["deaf"] < 0.5


def test_within_classes_the_place_is_read_as_the_class_shows_it(monkeypatch):
    """A world whose free reading is upside down, and whose reading by the label is right."""
    free = Perceiving.perceive

    def by_label(self, clip):
        read = free(self, clip)
        return replace(read, place=-read.place, place_in_class=read.place)

    monkeypatch.setattr(Perceiving, "perceive", by_label)
    found = evaluate({"oracle": Oracle()}, clips=40, examples=0)
    assert values(found, "image_pitch_place")["oracle"] < -0.9
    assert values(found, "image_pitch_place_in_class")["oracle"] > 0.9


@pytest.mark.parametrize("role", ["image", "sound"])
def test_a_model_that_ignores_its_condition_scores_the_floor_and_so_does_its_double(
    scores, sounds, role
):
    found = scores if role == "image" else sounds
    for metric in ("accuracy", "accuracy_macro", "recall@10", "auc"):
        one = values(found, f"{role}_{metric}")
        assert one["deaf"] == pytest.approx(one["deaf" + SHUFFLED], abs=0.1)
    difference = found.row(f"deaf - deaf{SHUFFLED}", f"{role}_accuracy")
    assert (difference.value, difference.low, difference.high) == (0, 0, 0)
    assert found.row(f"oracle - oracle{SHUFFLED}", f"{role}_accuracy").low == 1
    one = found.row("deaf", f"{role}_accuracy_macro")
    assert one.low < 0.25 < one.high
    assert abs(values(found, f"{role}_auc")["deaf"] - 0.5) < 0.1


def test_the_floor_is_exceeded_pair_by_pair(scores):
    """Always the most frequent class: no difference, and no interval of one."""
    common = scores.row("common - majority", "image_accuracy")
    assert (common.value, common.low, common.high) == (0, 0, 0)
    oracle = scores.row("oracle - majority", "image_accuracy")
    assert oracle.value == pytest.approx(0.6)
    assert oracle.low > 0.4


def test_one_class_for_all_scores_what_the_majority_does(scores):
    common, majority = (
        scores.row("common", "image_accuracy"),
        scores.row("majority", "image_accuracy"),
    )
    assert common[4:7] == pytest.approx(majority[4:7])
    assert common.value == pytest.approx(0.4)
    macro = values(scores, "image_accuracy_macro")
    assert (macro["common"], macro["majority"]) == pytest.approx((0.25, 0.25))
    by_class = [values(scores, f"image_accuracy_class_{k:02d}")["common"] for k in range(4)]
    assert by_class == pytest.approx([1, 0, 0, 0])


def test_the_class_alone_says_nothing_of_the_place(scores):
    """Accuracy cannot tell the two apart; pitch and place, and the partner, can."""
    assert values(scores, "image_accuracy")["varied"] == 1
    assert abs(values(scores, "image_pitch_place_in_class")["varied"]) < 0.35
    assert values(scores, "image_pitch_place_in_class_p")["varied"] > 0.01
    found = values(scores, "image_recall@1")
    assert found["chance"] < found["varied"] < 0.5 * found["oracle"]
    assert values(scores, "image_recall@1")["chance"] == 1 / 60


@pytest.mark.parametrize("metric", ["diversity", "diversity_raw"])
def test_without_use_of_the_noise_there_is_no_variety(scores, metric):
    found = values(scores, f"image_{metric}")
    assert found["oracle"] == pytest.approx(0, abs=1e-6)
    assert found["varied"] > 0.5 * found["real"] > 0


def test_variety_is_the_mean_distance_of_pairs(scores):
    """Of bars in two columns, four pixels of each differ."""
    chance = values(scores, "image_diversity_raw")["real"]
    data = Perceiving()
    same = same_class_partner(data.kind, np.arange(60), seed=0)
    columns = (data.place * 16).astype(int)
    apart = (columns != columns[same]) * (8 / 256) ** 0.5
    assert chance == pytest.approx(apart.mean(), rel=1e-5)


def test_learned_by_heart_is_found():
    train = Perceiving(20, seed=2)

    class Parrot(Oracle):
        def choose(self, kind, place, noise):
            learned = torch.from_numpy(train.place)
            own = torch.from_numpy(train.kind)[None] == kind[:, None]
            apart = (learned[None] - place[:, None]).abs().masked_fill(~own, 9.0)
            return kind, learned[apart.argmin(1)].float()

    found = evaluate({"parrot": Parrot(**PICTURES), "new": Oracle(**PICTURES)}, train=train)
    memory, copies = values(found, "sound_memory"), values(found, "sound_copies")
    assert memory["parrot"] > 0.9
    assert 0.3 < memory["real"] < 0.7
    assert copies["parrot"] > 0.8
    assert copies["new"] < 0.3
    near = found.examples.nearest["sound"]["parrot"].audio
    assert torch.allclose(near, found.examples.made["sound"]["parrot"].audio[::3], atol=1e-2)


def test_distances_are_those_of_halves(scores):
    """What is made for one half of the pairs against the real parts of the other."""
    found = values(scores, "image_frechet")
    assert found["oracle"] == pytest.approx(found["real"], abs=0.05)
    assert found["common"] > 3 * found["real"]
    assert values(scores, "image_kid")["common"] > values(scores, "image_kid")["real"] + 0.01
    half = np.random.default_rng((0, 4)).permutation(60) < 30
    with torch.no_grad():
        features = Eye().features(Perceiving().clips(range(60)))
    expected = frechet_distance(features[half], features[~half])
    assert found["real"] == pytest.approx(expected, rel=1e-4)


def test_training_pairs_are_scored_where_asked_for(scores):
    assert values(scores, "image_accuracy_train")["oracle"] == 1
    assert values(scores, "image_accuracy_train")["real"] == 1
    assert scores.row("deaf", "image_accuracy_train").n == 20
    assert "deaf" + SHUFFLED not in values(scores, "image_accuracy_train")


def test_a_model_of_both_directions_has_the_rows_of_both(scores, sounds):
    class Cyclic(Oracle):
        classifier = "there"

        def classify_columns(self, clip, generator):
            assert clip.label is None
            kind, _ = look_at(clip)
            right = torch.eye(4)[kind]
            wrong = torch.eye(4)[(kind + 1) % 4]
            return {"V": right, "A": wrong, "V-A": right, "GV-A": right, "GA-V": wrong}

    found = evaluate({"cyclic": Cyclic(takes=BOTH, makes=BOTH), "one": Oracle()})
    for metric in ("image_accuracy", "sound_accuracy", "image_auc", "sound_auc"):
        assert values(found, metric)["cyclic"] >= 0.9
    assert "one" not in values(found, "sound_accuracy")
    shares = {c: values(found, f"classifier[{c}]") for c in ("V", "A", "V-A", "GV-A", "GA-V")}
    assert [one["cyclic"] for one in shares.values()] == [1, 0, 1, 1, 0]
    assert all("one" not in share for share in shares.values())
    metrics = {r.metric for r in scores.rows} | {r.metric for r in sounds.rows}
    metrics = {m for m in metrics if "train" not in m and m != "sound_pitch_near"}
    assert metrics <= {r.metric for r in found.rows}


def look_at(clip):
    block = clip.video[:, 0, 0].unflatten(1, (4, 4)).sum((2, 3))
    return block.argmax(1), None


# ---- The same in any batch, and what is asked of a model -----------------------------------------


def test_the_batch_size_changes_nothing():
    whole, parts = Varied(), Varied()
    one = evaluate({"varied": whole}, clips=20, batch_clips=50, permutations=19)
    other = evaluate({"varied": parts}, clips=20, batch_clips=7, permutations=19)
    assert [len(ids) for ids in whole.batches] == [20, 20, 2]  # Own, another's, and examples.
    assert [len(ids) for ids in parts.batches] == [7, 7, 6, 7, 7, 6, 2]
    assert whole.batches[0] == [i for ids in parts.batches[:3] for i in ids]
    assert [row[:4] for row in one.rows] == [row[:4] for row in other.rows]
    for a, b in zip(one.rows, other.rows, strict=True):
        assert a.value == pytest.approx(b.value, rel=1e-3, abs=1e-5), a
    assert torch.equal(one.examples.made["image"]["varied"].video,
                       other.examples.made["image"]["varied"].video)  # fmt: skip


def test_the_batch_size_changes_nothing_for_sounds_and_a_judge_with_weights():
    """A network that was never trained: its answers are arbitrary, but always the same."""
    torch.manual_seed(0)
    hearing = Hearing(n_fft=256, hop_length=64, n_mels=16, channels=4)
    judge = ClassifierConfig(hearing=hearing, features=4, classes=4).build(SPEC)
    judge.train()  # Dropout and masks must not have a say.
    jury = {"sound": judge, "correspondence": Matchmaker()}
    options = {"clips": 20, "permutations": 19, "jury": jury}
    model = Varied(**PICTURES)
    one, other = (evaluate({"m": model}, batch_clips=n, **options) for n in (50, 3))
    assert [len(ids) for ids in model.batches[:2]] == [20, 20]
    assert [row[:4] for row in one.rows] == [row[:4] for row in other.rows]
    for a, b in zip(one.rows, other.rows, strict=True):
        assert a[4:] == pytest.approx(b[4:], rel=1e-3, abs=1e-5, nan_ok=True), a
    assert {"sound_accuracy", "sound_frechet", "sound_memory"} <= {r.metric for r in one.rows}
    made, again = (found.examples.made["sound"]["m"].audio for found in (one, other))
    assert torch.equal(made, again)


def test_the_double_has_the_noise_of_the_first_output():
    """So their difference is of what was given alone, also for a model whose noise matters."""
    model = Deaf()
    found = evaluate({"deaf": model}, num_samples=4, clips=30, permutations=9, examples=0)
    once = evaluate({"deaf": Deaf()}, num_samples=1, clips=30, permutations=9, examples=0)
    for metric in ("image_accuracy", "image_auc"):
        double = values(found, metric)["deaf" + SHUFFLED]
        assert double == values(once, metric)["deaf" + SHUFFLED]
        assert double == pytest.approx(values(once, metric)["deaf"], abs=1e-6)
    assert values(found, "image_accuracy")["deaf"] != values(once, "image_accuracy")["deaf"]
    assert found.row(f"deaf - deaf{SHUFFLED}", "image_accuracy").value == 0


def test_the_noise_of_a_pair_is_that_of_its_index():
    """So a pair has the same noise with its own part and with another's, and in other splits."""
    model = Varied()
    found = evaluate({"varied": model}, data=Perceiving(300), clips=20, batch_clips=20)
    own, others, _ = model.batches
    assert own == found.compared["indices"]
    assert set(others) <= set(own)
    assert len(others) > 10
    assert max(own) > 60


def test_every_part_of_a_model_keeps_its_mode():
    model = Oracle()
    model.part = torch.nn.BatchNorm1d(2)
    model.train()
    model.part.eval()
    evaluate({"oracle": model}, clips=6, permutations=9, examples=0)
    assert model.training
    assert not model.part.training


def test_progress_counts_every_pair_once():
    seen = []
    evaluate(progress=lambda done, total: seen.append((done, total)), train_clips=10, clips=30)
    # Real, training, own, another's; and 10 training pairs, real and drawn.
    assert seen[-1] == (30 + 80 + 30 + 30 + 10 + 10,) * 2
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


# ---- Recordings ----------------------------------------------------------------------------------


def test_intervals_are_over_recordings():
    """Ten clips of a recording that all agree are worth one."""
    values = np.repeat(np.array([0.0, 1, 0, 1, 1, 0, 0, 0, 1, 1]), 10)
    protocol = CrossmodalProtocol(resamples=4000)
    apart = Sources(np.arange(100), protocol).mean(values)
    together = Sources(np.repeat(np.arange(10), 10), protocol).mean(values)
    assert (apart.value, together.value) == pytest.approx((0.5, 0.5))
    assert apart.n == together.n == 100
    ratio = (together.high - together.low) / (apart.high - apart.low)
    assert ratio == pytest.approx(10**0.5, rel=0.15)
    plain = bootstrap(values, seed=0, resamples=4000)
    assert (apart.low, apart.high) == pytest.approx((plain.low, plain.high), abs=0.02)


def test_unequal_recordings_count_by_their_clips():
    sources = Sources(np.array([7, 7, 7, 9]), CrossmodalProtocol(resamples=50))
    found = sources.mean(np.array([1.0, 1, 0, 0]))
    assert found.value == 0.5
    assert {found.low, found.high} <= {0.0, 0.5, 2 / 3}
    lone = Sources(np.array([3, 3]), CrossmodalProtocol()).mean(np.array([0.0, 1.0]))
    assert lone.value == 0.5
    assert np.isnan(lone.low)


def test_a_correlation_has_an_interval_that_is_one():
    generator = np.random.default_rng(0)
    x = generator.normal(size=40)
    y = x + generator.normal(size=40)
    both = [ranks_within(v, np.zeros(40, np.int64)) for v in (x, y)]
    found = Sources(np.arange(40), CrossmodalProtocol()).correlation(*both)
    assert found.value == pytest.approx(spearmanr(x, y).statistic)
    # Fisher's interval, whose normal approximation is good to a tenth or so.
    z, sd = np.arctanh(found.value), 1 / 37**0.5
    low, high = np.tanh(z - 1.96 * sd), np.tanh(z + 1.96 * sd)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.1)
    same = Sources(np.arange(5), CrossmodalProtocol()).correlation(both[0][:5], both[0][:5])
    assert same.high <= 1 + 1e-9
    x[::2] = np.nan  # Unreadable clips are failures.
    half = ranks_within(x, np.zeros(40, np.int64))
    found = Sources(np.arange(40), CrossmodalProtocol()).correlation(half, half)
    assert found.value == pytest.approx(0.5)
    assert found.high < 0.8


def test_recordings_widen_the_intervals_of_an_evaluation():
    """Deaf by recording: all its clips are right, or none."""

    class ByRecording(Oracle):
        def sample(self, given, *, num_samples, generator):
            self.odd = torch.tensor([i // 6 % 2 for i in generator.ids]).repeat_interleave(
                num_samples
            )
            return super().sample(given, num_samples=num_samples, generator=generator)

        def choose(self, kind, place, noise):
            return (kind + self.odd) % 4, place

    options = {"permutations": 9, "examples": 0, "jury": {"image": Eye()}}
    apart = evaluate({"m": ByRecording()}, **options).row("m", "image_accuracy")
    data = Perceiving(sources=10)
    found = evaluate({"m": ByRecording()}, data=data, **options)
    together = found.row("m", "image_accuracy")
    assert (apart.value, together.value) == pytest.approx((0.5, 0.5))
    assert together.high - together.low > 1.8 * (apart.high - apart.low)
    assert found.compared["recordings"] == 10


# ---- Small functions -----------------------------------------------------------------------------


def test_found_among_is_retrieval_one_way():
    table = np.random.default_rng(0).random((9, 9)).round(1)
    own = np.arange(9)
    for k in (1, 5):
        one, other = found_among(table, own, k), found_among(table.T, own, k)
        assert (one.mean() + other.mean()) / 2 == pytest.approx(retrieval(table, (k,))[k])
    row = np.array([[0.5, 0.5, 0.5, 0.1]])
    assert found_among(row, np.array([1]), 1) == pytest.approx(1 / 3)
    assert found_among(row, np.array([1]), 2) == pytest.approx(2 / 3)
    assert found_among(row, np.array([3]), 3) == 0


def test_rounding_errors_decide_no_retrieval():
    """A judge that finds all alike finds nobody, whatever the last digits are."""

    class Alike(Matchmaker):
        def code(self, kind, place):
            return 1 + 1e-7 * super().code(kind, place)

    found = evaluate(jury={"correspondence": Alike()}, permutations=9)
    assert found.row("oracle", "image_auc").value == 0.5
    assert found.row("oracle", "image_recall@1").value == pytest.approx(1 / 60)


def test_beaten_share_is_the_auc_of_a_row():
    table = np.random.default_rng(1).random((5, 8)).round(1)
    own = np.array([0, 3, 7, 2, 2])
    for row, at, share in zip(table, own, beaten_share(table, own), strict=True):
        assert share == pytest.approx(auc(row[[at]], np.delete(row, at)))


def test_shuffled_conditions_are_of_another_class_and_none_is_used_twice():
    labels = np.resize(np.array([0, 0, 1, 2, 3]), 60)
    partner = other_class_partner(labels, seed=3)
    assert sorted(partner) == list(range(60))
    assert (labels[partner] != labels).all()
    assert not np.array_equal(partner, other_class_partner(labels, seed=4))
    many = np.array([0, 0, 0, 0, 1, 2])
    partner = other_class_partner(many, seed=0)
    assert (partner >= 0).sum() == 4  # Two of another class go to two of the most frequent one.
    assert (many[partner] != many)[partner >= 0].all()
    assert (other_class_partner(np.zeros(3, np.int64), seed=0) == -1).all()


@pytest.mark.parametrize("kinds", [4, 20])
def test_which_class_is_given_for_which_depends_on_the_seed(kinds):
    """Also where all are as frequent, and of recordings as of classes."""
    labels = np.resize(np.arange(kinds), 60)
    seen = set()
    for seed in range(20):
        given = labels[other_class_partner(labels, seed=seed)]
        seen.add(tuple(given[labels == k][0] for k in range(kinds)))
    assert len(seen) > 4
    assert len(other_class_partner(np.zeros(0, np.int64), seed=0)) == 0


def test_halves_share_no_recording():
    sources = np.resize(np.arange(9), 36)
    one, other = halves_of_recordings(sources, seed=1)
    assert (one ^ other).all()
    assert len(np.unique(sources[one])) == 4
    assert not set(sources[one]) & set(sources[other])
    assert not np.array_equal(one, halves_of_recordings(sources, seed=2)[0])
    assert not halves_of_recordings(np.zeros(5, np.int64), seed=0)[0].any()


def test_a_partner_of_the_class_is_of_another_recording_if_there_is_one():
    labels, sources = np.array([0, 0, 0, 1, 1, 2]), np.array([5, 5, 6, 7, 7, 8])
    partners = np.stack([same_class_partner(labels, sources, seed=seed) for seed in range(9)])
    assert (partners[:, 0] == 2).all()
    assert (partners[:, 1] == 2).all()
    assert set(partners[:, 2]) == {0, 1}
    assert (partners[:, 3:] == [4, 3, -1]).all()


def test_a_sound_without_pitch_has_no_note():
    """A judge that hears none finds all notes as likely; the first is not meant."""
    shares = np.full((3, 1, 5), 0.2, np.float32)
    shares[1, 0, 0] = 0.3
    shares[2, 0, 4] = 0.3
    assert notes(shares).tolist() == [[-1], [0], [4]]
    heard, truth = np.array([[-1, 0], [1, 3], [-1, 0]]), np.array([[0], [2], [-1]])
    assert near_notes(heard, truth).tolist() == [[False, True], [True, True], [False, False]]


def test_examples_are_of_all_classes_in_turn():
    labels = np.array([2, 2, 0, 1, 0, -1])
    assert example_places(labels, 4) == [5, 2, 3, 0]
    assert example_places(labels, 5) == [5, 2, 4, 3, 0]
    assert example_places(labels, 0) == []
    assert len(example_places(labels, 99)) == 6


# ---- Copies and silence -------------------------------------------------------------------------


class Dealt(Perceiving):
    """Each sound is dealt to four pairs in a row, as it is, of one recording."""

    def __post_init__(self):
        super().__post_init__()
        self.kind, self.place = (x[np.arange(self.count) // 4 * 4] for x in (self.kind, self.place))


def test_real_clips_are_not_measured_by_copies_of_themselves():
    """Their distance and their memory are those of other recordings."""
    data = Dealt(80, sources=20)
    found = evaluate({"oracle": Oracle(**PICTURES)}, data=data, clips=80, permutations=9)
    one, other = halves_of_recordings(np.arange(80) // 4, seed=0)
    order = found.compared["indices"]
    with torch.no_grad():
        features = Ear().features(data.clips(range(80)))
    apart = frechet_distance(features[one], features[other])
    assert sorted(order) == list(range(80))
    assert values(found, "sound_frechet")["real"] == pytest.approx(apart, rel=1e-4)
    mixed = np.random.default_rng((0, 4)).permutation(80) < 40
    assert apart > 2 * frechet_distance(features[mixed], features[~mixed])
    for metric in ("frechet", "kid", "memory", "copies"):
        one = values(found, f"sound_{metric}")
        assert "oracle" + SHUFFLED not in one
        assert one["oracle"] == pytest.approx(one["real"], abs=0.02)


def test_silence_is_not_the_right_pitch():
    """The judge hears no pitch in a real sound, or in a made one."""

    class Mute(Tuner):
        def logits(self, clip):
            heard = clip.audio.abs().amax(1, keepdim=True) > 0.1
            return torch.where(heard, super().logits(clip), torch.zeros(()))

    class Rests(Perceiving):
        def clips(self, indices):
            clip = super().clips(indices)
            silent = torch.tensor([index % 4 == 0 for index in indices])
            return clip.replace(audio=clip.audio.masked_fill(silent[:, None], 0.0))

    class Silent(Oracle):
        def sample(self, given, *, num_samples, generator):
            made = super().sample(given, num_samples=num_samples, generator=generator)
            return made.replace(audio=torch.zeros_like(made.audio))

    models = {"oracle": Oracle(**PICTURES), "silent": Silent(**PICTURES)}
    found = evaluate(models, data=Rests(), jury={"pitch": Mute()}, permutations=9)
    near = values(found, "sound_pitch_near")
    assert near["oracle"] > 0.9
    assert near["silent"] == 0
    assert found.row("oracle", "sound_pitch_near").n == 45
    heard = (12 * (Rests().kind + 0.9 * Rests().place)).astype(int)[np.arange(60) % 4 > 0]
    best = max((np.abs(heard - note) <= 1).mean() for note in range(61))
    assert near["majority"] == pytest.approx(best, abs=0.05)


# ---- What cannot be scored -----------------------------------------------------------------------


def test_without_labels_there_is_no_accuracy_and_the_rest_is_there():
    found = evaluate(data=Perceiving(classes=(-1,)), permutations=9)
    metrics = {row.metric for row in found.rows}
    assert not [metric for metric in metrics if "accuracy" in metric]
    assert {"image_auc", "image_pitch_place", "image_frechet"} <= metrics
    assert any("no class labels: there is no accuracy" in note for note in found.notes)
    assert found.compared["labelled_clips"] == 0
    # Another recording's sound is given instead of another class's.
    assert (
        found.row("oracle", "image_auc").value > found.row("oracle" + SHUFFLED, "image_auc").value
    )


def test_one_class_has_no_accuracy():
    found = evaluate(data=Perceiving(classes=(1,)), permutations=9)
    assert not [row for row in found.rows if "accuracy" in row.metric]
    assert any("one class alone: there is no accuracy" in note for note in found.notes)
    assert found.row("oracle", "image_auc").value > 0.9


def test_pairs_without_a_label_are_left_out():
    found = evaluate(data=Perceiving(classes=(0, 1, -1)), permutations=9)
    assert found.row("oracle", "image_accuracy").n == 40
    assert found.row("oracle", "image_auc").n == 60
    assert found.row("oracle" + SHUFFLED, "image_accuracy").value == 0
    assert any("20 of 60 pairs have no label" in note for note in found.notes)


def test_the_part_of_a_pair_without_a_label_is_never_given_for_another():
    """What has no label looks like class 0 here, so it would be right by chance."""
    model = Oracle()
    data = Perceiving(classes=(0, 1, -1, -1))
    found = evaluate({"oracle": model}, data=data, permutations=9, examples=0)
    assert found.compared["shuffled_clips"] == 30
    assert values(found, "image_accuracy")["oracle" + SHUFFLED] == 0
    assert values(found, "image_accuracy_read")["oracle" + SHUFFLED] == 0


def test_what_no_judge_is_there_for_is_left_out():
    found = evaluate(data=Tones(), jury={"correspondence": Matchmaker()}, permutations=9)
    assert {row.metric.partition("_")[2] for row in found.rows} == {
        "auc", "recall@1", "recall@5", "recall@10", "diversity_raw",
    }  # fmt: skip
    said = " ".join(found.notes)
    for role in ("image", "sound", "pitch"):
        assert f"no judge of {role}" in said
    assert "no reader of place and pitch" in said
    assert [judged.name for judged in found.judges] == ["correspondence"]
    assert evaluate(jury={}, permutations=9).row("oracle", "image_accuracy_read").value == 1


def test_single_outputs_and_single_recordings_are_noted():
    found = evaluate(data=Perceiving(sources=1), num_samples=1, permutations=9, clips=1000)
    assert "image_diversity" not in {r.metric for r in found.rows if r.name == "oracle"}
    said = " ".join(found.notes)
    assert "no diversity" in said
    assert "cut from one recording: there are no intervals" in said
    assert "have no label, or" not in said
    assert not {"image_frechet", "image_memory"} & {row.metric for row in found.rows}
    assert "has 60 pairs: all are scored, not 1000" in said
    assert np.isnan(found.row("oracle", "image_accuracy").low)


def test_few_recordings_and_training_pairs_are_noted():
    few = evaluate(data=Perceiving(sources=5), permutations=9, jury={}, split="train")
    said = " ".join(few.notes)
    assert "cut from 5 recordings: intervals over fewer than 6 are too narrow" in said
    assert "The scored pairs are of the training split" in said
    enough = evaluate(data=Perceiving(sources=6), permutations=9, jury={})
    assert not [note for note in enough.notes if "too narrow" in note or "training split" in note]


@pytest.mark.parametrize(("classes", "sources"), [((-1,), (0, 0, 0, 1)), ((0, 0, 0, 1), None)])
def test_what_was_shuffled_by_is_what_is_said(classes, sources):
    class Uneven(Perceiving):
        def clips(self, indices):
            clip = super().clips(indices)
            if sources is None:
                return clip
            return clip.replace(source=torch.tensor([sources[i % 4] for i in indices]))

    found = evaluate(data=Uneven(classes=classes), permutations=9, jury={})
    (note,) = (note for note in found.notes if "the shuffled rows are without these" in note)
    assert note.startswith("30 of 60 pairs")
    assert ("of a recording that" in note) == (sources is not None)
    assert ("have no label" in note) == (sources is None)


@pytest.mark.parametrize(
    ("takes", "makes"),
    [
        ((), ("video", "audio")), (("audio",), ("video",)), (("audio", "context"), ("video",)),
        (("image",), ("image",)), (("audio",), ("image", "audio")), ((), ("image",)),
        (("audio", "label"), ("image",)), (("audio", "image"), ("image",)), (("audio",), ()),
    ],
)  # fmt: skip
def test_other_models_are_refused(takes, makes):
    with pytest.raises(ValueError, match=r"oracle takes .* and makes .*; scored here are models"):
        evaluate({"oracle": Oracle(takes=frozenset(takes), makes=frozenset(makes))})


@pytest.mark.parametrize("name", ["", "real", "majority", "chance", "a - b", "a shuffled"])
def test_names_of_controls_are_refused(name):
    with pytest.raises(ValueError, match="must be neither empty nor one of real, majority, chance"):
        evaluate({name: Oracle()})


@dataclass
class Video:
    """A published network that looks at videos."""

    name: str = "i3d@12ab"
    sha256: str = "12ab"
    part: str = "video"

    def outputs(self, clip):
        raise AssertionError("never asked")


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="no model"):
        evaluate({})
    with pytest.raises(ValueError, match="the evaluated split has 0 clips"):
        evaluate(data=Perceiving(0))
    with pytest.raises(ValueError, match="the training split has 1 clips"):
        evaluate(train=Perceiving(1))
    with pytest.raises(ValueError, match="role 'video' must be one of image, sound"):
        evaluate(jury={"video": Eye()})
    with pytest.raises(ValueError, match="training clips are"):
        evaluate(train=Perceiving(spec=replace(SPEC, sample_rate=8000)))
    with pytest.raises(ValueError, match="clips of 4 frames: scored here are pairs"):
        evaluate(data=Perceiving(spec=replace(SPEC, frames=4)))
    with pytest.raises(ValueError, match="i3d@12ab looks at videos"):
        evaluate(extractors=[Video()])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda clip: clip.replace(video=clip.video[1:]), "was made has shape .*was asked for"),
        (lambda clip: Clip(clip.spec, label=torch.zeros(len(clip)).long()), "has shape none"),
        (lambda clip: clip.replace(video=clip.video / 0), "numbers that are not finite"),
    ],
)
def test_clips_that_cannot_be_scored_are_refused(change, message):
    class Bad(Oracle):
        def sample(self, given, *, num_samples, generator):
            return change(super().sample(given, num_samples=num_samples, generator=generator))

    with pytest.raises(ValueError, match=message):
        evaluate({"bad": Bad()}, jury={}, clips=4)


def test_clips_without_sound_are_refused():
    class Silent(Perceiving):
        def clips(self, indices):
            return super().clips(indices).replace(audio=None)

    with pytest.raises(ValueError, match="audio has shape none"):
        evaluate(data=Silent())


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"clips": 1}, "clips=1 must be at least 2"),
        ({"num_samples": 0}, "num_samples=0 must be at least 1"),
        ({"confidence": 0.0}, "confidence=0.0"),
        ({"judges": {"video": "a"}}, "role 'video' must be one of"),
        ({"colour": 1}, "colour"),
    ],
)
def test_protocol_refuses_what_makes_no_sense(field, message):
    with pytest.raises(ValueError, match=message):
        CrossmodalProtocol(**field)


def test_everyone_who_judged_is_named():
    found = evaluate(permutations=9, clips=10)
    assert [judged.name for judged in found.judges] == ["image", "sound", "pitch", "correspondence"]
    assert all(len(judged.sha256) == 64 for judged in found.judges)
