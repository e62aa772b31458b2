"""Generated clips are scored: known models get known scores, in any batch size."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from tests.evaluation.little_pairs import SPEC, WORLD, Ear, Eye, Pairs, evaluate, judges

from soundsight.data.loader import Dataset
from soundsight.evaluation import joint
from soundsight.evaluation.coverage import memorization
from soundsight.evaluation.extractors import Outputs
from soundsight.evaluation.frechet import frechet_distance, kernel_distance
from soundsight.evaluation.joint import JointProtocol, group_rows
from soundsight.evaluation.joint_readings import one_frame, weights_sha256
from soundsight.evaluation.joint_scores import P_VALUE, REPAIRED
from soundsight.evaluation.scores import NO_RULE, Row
from soundsight.media.clip import Clip
from soundsight.models.judges import ClassifierConfig, CorrespondenceConfig, Hearing

COUPLED = ("pitch_place", "class_agreement", "class_match", "onset_iou", "auc", "recall@10")


@pytest.fixture(autouse=True)
def _without_librosa(monkeypatch):
    """Librosa takes seconds to start; one test has it."""
    monkeypatch.setattr(joint, "ALIGN_NEEDS", ("no_such_module",))


@pytest.fixture(scope="module")
def scores():
    """Pairs that belong together, and the same with exchanged sounds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(joint, "ALIGN_NEEDS", ("no_such_module",))
        return evaluate({"good": Pairs(), "apart": Pairs(shift=7), "few": Pairs(few=5)})


def values(scores, metric):
    return {r.name: r.value for r in scores.rows if r.metric == metric and r.rule == NO_RULE}


def test_every_metric_has_a_row_of_every_model_and_of_real_clips(scores):
    names = {"good", "apart", "few", "real"}
    for metric in {row.metric for row in scores.rows}:
        found = {name for name in values(scores, metric) if not name.endswith(REPAIRED)}
        if metric.endswith("_of_real"):
            assert found <= names - {"real"}
        else:
            assert found == names, metric
    keys = [row[:4] for row in scores.rows]
    assert len(keys) == len(set(keys))
    assert all(np.isfinite(row.value) and row.seed == 0 for row in scores.rows)
    expected = {"ndb", "ndb_jsd", "frechet_audio", "kid_audio", "inception_audio", "frechet_image"}
    expected |= {"pitch_entropy_sample", "pitch_entropy_marginal", "inception_video", "lag_s"}
    expected |= {"frechet_video", "kernel_video", "coverage_audio", "classes_video", "copies_video"}
    assert expected | set(COUPLED) <= {row.metric for row in scores.rows}
    assert scores.models == ["good", "apart", "few"]


@pytest.mark.parametrize("metric", COUPLED)
def test_only_pairs_that_belong_together_beat_their_exchanged_sounds(scores, metric):
    p = values(scores, metric + P_VALUE)
    assert p["good"] == p["real"] == 1 / 1000
    assert p["apart"] > 0.01
    found = values(scores, metric)
    assert found["good"] > found["good" + REPAIRED]
    low, high = scores.row("apart" + REPAIRED, metric)[5:7]
    assert low < found["apart" + REPAIRED] < high
    of_real = values(scores, f"{metric}_of_real")
    assert of_real["good"] == pytest.approx(1, abs=0.2)
    assert abs(of_real["apart"]) < 0.5


def test_exchanged_sounds_change_nothing_but_what_belongs_together(scores):
    """Pictures, and here sounds as a set, are the same."""
    for metric in ("frechet_video", "kernel_video", "inception_video", "coverage_video"):
        found = values(scores, metric)
        assert found["good"] == found["apart"]


def test_few_clips_are_found_out(scores):
    for metric in ("ndb", "ndb_jsd", "frechet_audio", "kernel_video", "frechet_image"):
        found = values(scores, metric)
        assert found["few"] > 2 * max(found["good"], found["real"])
    for metric in ("recall_audio", "coverage_video", "classes_audio", "pitch_entropy_marginal"):
        found = values(scores, metric)
        assert found["few"] < 0.8 * min(found["good"], found["real"])


def test_distances_are_those_of_all_clips_at_once(scores):
    order = np.random.default_rng(0).permutation(60)
    test = WORLD.build(SPEC, "test").clips(order.tolist())
    made = Pairs().data.clips(range(60))
    with torch.no_grad():
        x, y = (Ear().features(clip) for clip in (test, made))
        i, j = (Eye().features(one_frame(clip, 0)) for clip in (test, made))
    assert values(scores, "frechet_audio")["good"] == pytest.approx(frechet_distance(x, y), 1e-4)
    assert values(scores, "kid_audio")["good"] == pytest.approx(kernel_distance(x, y), 1e-3)
    assert values(scores, "frechet_image")["good"] == pytest.approx(frechet_distance(i, j), 1e-3)


def test_one_frame_of_each_clip_has_its_turn():
    video = torch.arange(4.0)[None, :, None, None, None].expand(6, -1, 3, 24, 24) / 4
    clip = Clip(SPEC.with_frames(4), video.contiguous())
    found = one_frame(clip, first=3)
    assert found.spec.frames == 1
    assert (4 * found.video[:, 0, 0, 0, 0]).tolist() == [3, 0, 1, 2, 3, 0]


def test_the_batch_size_changes_nothing():
    whole, parts = Pairs(), Pairs()
    options = {"clips": 20, "permutations": 99, "reference": 30}
    one = evaluate({"good": whole}, batch_clips=50, **options)
    other = evaluate({"good": parts}, batch_clips=7, **options)
    assert whole.batches == [list(range(20))]
    assert parts.batches == [list(range(7)), list(range(7, 14)), list(range(14, 20))]
    assert [row[:4] for row in one.rows] == [row[:4] for row in other.rows]
    for a, b in zip(one.rows, other.rows, strict=True):
        assert a.value == pytest.approx(b.value, rel=1e-3, abs=1e-5), a
    assert torch.equal(one.examples["good"].video, other.examples["good"].video)


def test_training_clips_are_recognized():
    class Parrot(Pairs):
        def __post_init__(self):
            super().__post_init__()
            self.data = self.world.build(self.spec, "train")

    found = evaluate({"parrot": Parrot()}, clips=40)
    for part in ("audio", "video"):
        memory = values(found, f"memory_{part}")
        assert memory["parrot"] > 0.9
        assert 0.3 < memory["real"] < 0.7
    assert values(found, "memory_audio")["parrot"] == 1
    assert values(found, "copies_audio")["parrot"] == 1


@dataclass
class Counted:
    """A published network that counts how many clips it is shown, each time."""

    seen: list
    name: str = "i3d@12ab"
    sha256: str = "12ab"
    part: str = "video"

    def outputs(self, clip):
        self.seen.append(len(clip))
        shares = torch.full((len(clip), 2), 0.5)
        return Outputs(clip.video.mean((3, 4)).flatten(1), shares)


@pytest.mark.parametrize(
    ("clips", "reference", "real", "learned"),
    [
        # 20 evaluated, 20 others; 50 training clips.
        (20, 50, 40, 50),
        # 40 evaluated, and 40 training clips that stand in: 10 more of these.
        (40, 50, 80, 10),
        (40, 30, 80, 0),
    ],
)
def test_each_network_reads_a_clip_once_and_only_two_read_the_training_split(
    clips, reference, real, learned
):
    jury, published = judges(), Counted([])
    options = {"clips": clips, "reference": reference, "permutations": 9, "batch_clips": 20}
    found = evaluate(jury=jury, extractors=[published], **options)
    everyone = real + clips  # And those of one model.
    assert sum(jury["sound"].heard) == sum(jury["video"].seen) == everyone + learned
    assert sum(jury["image"].seen) == sum(jury["pitch"].heard) == everyone
    assert sum(published.seen) == everyone
    assert found.compared["training_clips"] == reference
    assert found.compared["training_clips_in_all"] == 120
    assert {
        "inception_image",
        "pitch_entropy_sample",
        "memory_audio",
        "kernel_video[i3d@12ab]",
    } <= {row.metric for row in found.rows}


def test_who_reads_the_training_split_changes_no_score():
    """In batches that end elsewhere, and with all or some of the training clips standing in."""
    data, train = WORLD.build(SPEC, "test"), WORLD.build(SPEC, "train")
    found = evaluate(clips=40, reference=100, jury={"video": Eye()}, permutations=9)
    order, learned = (np.random.default_rng(0).permutation(n).tolist() for n in (60, 120))
    test, made = data.clips(order[:40]), Pairs().data.clips(range(40))
    x, y, z = (
        Eye().features(clip).detach().numpy() for clip in (train.clips(learned[:100]), test, made)
    )
    assert values(found, "memory_video")["good"] == memorization(x, y, z).auc
    other = torch.from_numpy(x[:40])
    expected = frechet_distance(torch.from_numpy(y), other)
    assert values(found, "frechet_video")["real"] == pytest.approx(expected, 1e-3)


def test_a_small_split_bounds_the_clips_of_models_too():
    found = evaluate(clips=1000, permutations=9)
    each = {row.n for row in found.rows if row.name == "good"}
    assert each == {60}
    assert {row.n for row in found.rows if row.name == "real"} == {60, 30}  # Halves: copies.
    halves = {r.metric for r in found.rows if r.name == "real" and r.n == 30}
    assert halves == {f"{m}_{p}" for m in ("memory", "copies") for p in ("audio", "video")}
    assert found.compared["clips"] == 60
    assert found.protocol.clips == 1000
    assert "The test split has 60 clips: as many of each model are scored, not 1000." in found.notes


@dataclass
class Alike:
    """A data set of clips of which so many sound differently."""

    data: Dataset
    sounds: int
    spec = SPEC

    def __len__(self):
        return len(self.data)

    def clips(self, indices):
        sounds = self.data.clips([i % self.sounds for i in indices]).audio
        return self.data.clips(indices).replace(audio=sounds)


@pytest.mark.parametrize(("sounds", "bins"), [(120, 8), (24, 4), (7, 2), (2, 2), (1, 0)])
def test_few_different_training_sounds_make_few_bins(sounds, bins):
    train = Alike(WORLD.build(SPEC, "train"), sounds)
    found = evaluate(jury={}, train=train, clips=12, permutations=9)
    assert found.compared["bins"] == bins
    assert [bool(note) for note in found.notes if "bins" in note] == [True] * (bins < 8)
    ndb = [row.value for row in found.rows if row.metric == "ndb"]
    assert len(ndb) == (2 if bins else 0)
    assert all(value <= bins for value in ndb)


def test_real_clips_are_compared_with_others_of_the_split_if_there_are_enough():
    found = evaluate(clips=30, jury={"video": Eye()}, permutations=9, reference=50)
    assert found.compared["real_row"] == "other clips of the same split"
    data = WORLD.build(SPEC, "test")
    order = np.random.default_rng(0).permutation(60).tolist()
    x, y = (Eye().features(data.clips(part)).detach() for part in (order[:30], order[30:]))
    assert values(found, "frechet_video")["real"] == pytest.approx(frechet_distance(x, y), 1e-3)
    assert found.compared["indices"] == order[:30]
    assert found.compared["training_clips"] == 50


def test_without_judges_there_are_bins_and_what_is_seen_and_heard():
    found = evaluate(jury={}, clips=20, permutations=99)
    metrics = {row.metric for row in found.rows}
    assert {"ndb", "pitch_place", "onset_iou"} <= metrics
    assert not [m for m in metrics if m.startswith(("frechet", "inception", "auc", "precision"))]
    assert len(found.notes) == 6
    assert found.judges == []


def test_data_that_cannot_be_read_is_compared_by_motion_alone():
    @dataclass
    class Plain:
        data: Dataset
        spec = SPEC

        def __len__(self):
            return len(self.data)

        def clips(self, indices):
            return self.data.clips(indices)

    found = evaluate(data=Plain(WORLD.build(SPEC, "test")), jury={}, clips=20, permutations=9)
    metrics = {row.metric for row in found.rows}
    assert "lag_s" in metrics
    assert "pitch_place" not in metrics
    assert [note for note in found.notes if "no oracle" in note]


def test_every_judge_is_named_with_the_hash_of_its_weights():
    ear = Ear()
    found = evaluate(
        jury={"sound": ear, "correspondence": judges()["correspondence"]},
        clips=10,
        permutations=9,
        judges={"sound": "judge_sound"},
    )
    assert [j[:3] for j in found.judges] == [
        ("sound", "audio", "judge_sound"),
        ("correspondence", "audio, video", None),
    ]
    assert found.judges[0].sha256 == weights_sha256(Ear())
    ear.scale.data[0] = 2
    assert found.judges[0].sha256 != weights_sha256(ear)


def test_published_networks_have_rows_of_their_own():
    @dataclass
    class Published:
        name: str = "i3d@12ab"
        sha256: str = "12ab"
        part: str = "video"

        def outputs(self, clip):
            return Outputs(Eye().features(clip).detach(), None)

    found = evaluate(jury={"video": Eye()}, extractors=[Published()], clips=20, permutations=9)
    own, other = (values(found, f"frechet_video{s}") for s in ("", "[i3d@12ab]"))
    assert own == other
    assert "inception_video[i3d@12ab]" not in {row.metric for row in found.rows}
    assert found.judges[1] == ("i3d@12ab", "video", None, "12ab")
    with pytest.raises(ValueError, match="i3d@12ab is given twice"):
        evaluate(extractors=[Published(), Published()])


@pytest.mark.slow
def test_av_align_is_there_with_its_extra(monkeypatch):
    pytest.importorskip("librosa")
    monkeypatch.setattr(joint, "ALIGN_NEEDS", ("librosa", "cv2"))
    found = evaluate(jury={}, clips=12, permutations=99)
    assert set(values(found, "av_align")) == {"good", "real", "good re-paired", "real re-paired"}
    assert not [note for note in found.notes if "AV-Align" in note]


def test_judges_of_the_library_can_judge():
    hearing = Hearing(n_fft=256, hop_length=64, n_mels=16, channels=4)
    sizes = {"hearing": hearing, "widths": (2, 2, 4, 4), "features": 4}
    parts = {"sound": "audio", "video": "video", "image": "image"}
    jury = {role: ClassifierConfig(part=p, classes=4, **sizes) for role, p in parts.items()}
    jury["pitch"] = ClassifierConfig(target="pitch", **sizes)
    jury["correspondence"] = CorrespondenceConfig(**sizes)
    torch.manual_seed(0)
    jury = {role: config.build(SPEC) for role, config in jury.items()}
    assert jury["sound"].training
    found = evaluate(jury=jury, clips=12, permutations=9, reference=12)
    assert jury["sound"].training
    assert {"frechet_audio", "frechet_image", "kernel_video", "auc"} <= {
        r.metric for r in found.rows
    }
    assert values(found, "pitch_entropy_marginal")["good"] <= np.log(61)


def test_progress_counts_every_clip_that_is_read():
    seen = []
    evaluate(
        jury={}, clips=20, permutations=9, reference=30, batch_clips=15,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    # Test and other clips, training clips, generated ones.
    assert seen[-1] == (20 + 20 + 30 + 20, 90)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


def test_examples_are_the_first_clips(scores):
    assert set(scores.examples) == {"good", "apart", "few", "real"}
    made = Pairs().data.clips([0, 1])
    assert torch.equal(scores.examples["good"].video, made.video)
    assert torch.equal(scores.examples["good"].audio, made.audio)
    assert evaluate(jury={}, clips=4, permutations=9, examples=0).examples == {}


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ({}, "no model"),
        ({"real": Pairs()}, "'real' must be neither"),
        ({"a re-paired": Pairs()}, "re-paired"),
        ({"a": Pairs(takes=frozenset({"audio"}))}, "takes \\['audio'\\]"),
        ({"a": Pairs(makes=frozenset({"video"}))}, "makes \\['video'\\]"),
    ],
)
def test_models_that_cannot_be_scored_are_refused(models, message):
    with pytest.raises(ValueError, match=message):
        evaluate(models)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda clip: clip.replace(audio=None), "audio has shape none"),
        (lambda clip: clip.replace(audio=clip.audio[:, 1:]), "audio has shape"),
        (lambda clip: clip.replace(video=clip.video / 0), "video holds numbers"),
    ],
)
def test_clips_that_cannot_be_scored_are_refused(change, message):
    class Bad(Pairs):
        def sample(self, given, *, num_samples, generator):
            return change(super().sample(given, num_samples=num_samples, generator=generator))

    with pytest.raises(ValueError, match=message):
        evaluate({"bad": Bad()}, jury={}, clips=4, permutations=9)


def test_unknown_roles_and_other_training_clips_are_refused():
    with pytest.raises(ValueError, match="role 'taste' must be one of sound"):
        evaluate(jury={"taste": Ear()})
    with pytest.raises(ValueError, match="training clips are"):
        evaluate(data=WORLD.build(replace(SPEC, size=16), "test"))


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"clips": 1}, "clips=1 must be at least 2"),
        ({"confidence": 1.0}, "confidence=1.0"),
        ({"judges": {"taste": "a"}}, "role 'taste' must be one of"),
        ({"colour": 1}, "colour"),
    ],
)
def test_protocol_refuses_what_makes_no_sense(field, message):
    with pytest.raises(ValueError, match=message):
        JointProtocol(**field)


def test_groups_are_means_over_runs():
    def row(name, metric, value):
        return Row(name, metric, NO_RULE, None, value, value - 9, value + 9, 50, 3)

    rows = [row(f"run{i}", "ndb", v) for i, v in enumerate((1.0, 2.0, 6.0))]
    rows += [row(f"run{i}", "auc_p", 0.1) for i in range(3)]
    rows += [row(f"run{i}{REPAIRED}", "auc", 0.5) for i in range(3)]
    rows += [row("run0", "only_one", 1.0)]
    found = group_rows(rows, {"all": ["run0", "run1", "run2"], "one": ["run1"]})
    # Sample standard deviation of 1, 2, 6: sqrt((4 + 1 + 9) / 2).
    mean, sd = 3.0, 7**0.5
    assert found[0][:4] == ("all", "ndb", "seeds", None)
    assert found[0][4:7] == pytest.approx((mean, mean - sd, mean + sd))
    assert found[0][7:] == (3, 3)
    assert found[1] == ("all re-paired", "auc", "seeds", None, 0.5, 0.5, 0.5, 3, 3)
    assert found[2][:5] == ("one", "ndb", "seeds", None, 2.0)
    assert np.isnan(found[2][5:7]).all()
    assert len(found) == 4
    with pytest.raises(ValueError, match="no run 'run9'"):
        group_rows(rows, {"all": ["run9"]})
    with pytest.raises(ValueError, match="has no runs"):
        group_rows(rows, {"all": []})
