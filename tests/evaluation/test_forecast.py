"""The forecast evaluation: exact cases, invariants, and independence of the batching."""

import numpy as np
import pytest
import torch
from tests.evaluation.little_world import FRAMES, SEEN, Listener, Oracle, Squares, evaluate

from soundsight.contract import Streams
from soundsight.evaluation.forecast import apply_rules, score_frames
from soundsight.evaluation.forecasters import (
    ModelForecaster,
    clip_indices,
    line_up,
    mean_image,
    other_clips,
)
from soundsight.evaluation.image import psnr, ssim
from soundsight.evaluation.scores import CONTROLS, RULES, ForecastProtocol
from soundsight.media.clip import ClipSpec


def test_an_oracle_is_perfect_and_equals_real(scores):
    for name in ("oracle", "real"):
        for rule in RULES:
            assert scores.row(name, "ssim", rule).value == pytest.approx(1, abs=1e-9)
            assert scores.row(name, "psnr", rule).value == 100
            assert scores.row(name, "block_iou", rule).value == 1
            assert scores.row(name, "block_time_error", rule).value == 0
    assert scores.row("listener", "ssim", "mean").value < 0.99


def test_trivial_predictors_by_hand():
    dataset = Squares()
    result = evaluate(dataset=dataset, clips=5)
    truth = dataset.clips(result.indices).video[:, :FRAMES]
    guesses = {
        "copy_last": truth[:, SEEN - 1 : SEEN],
        "mean_image": dataset.clips(range(12)).video.double().mean((0, 1)).float(),
        "blank": torch.zeros(1),
    }
    # Eight of the twelve clips make the mean image of `evaluate`.
    chosen = np.random.default_rng(0).permutation(12)[:8].tolist()
    guesses["mean_image"] = dataset.clips(chosen).video.double().mean((0, 1)).float()
    for name, guess in guesses.items():
        future = truth[:, SEEN:]
        guess = guess.expand_as(future)
        for metric, values in {
            "psnr": psnr(guess, future, data_range=1.0).clamp(max=100),
            "ssim": ssim(guess, future, data_range=1.0),
            "ssim_legacy": ssim(guess, future, data_range=2.0),
        }.items():
            found = result.per_clip[name, metric, "mean"]
            np.testing.assert_allclose(found, values.numpy(), rtol=1e-6)
            for i, frame in enumerate(range(SEEN + 1, FRAMES + 1)):
                row = result.row(name, metric, "mean", frame)
                assert row.value == pytest.approx(float(values[:, i].mean()), rel=1e-6)
            assert result.row(name, metric, "mean").value == pytest.approx(float(values.mean()))
        half = result.per_clip[name, "psnr", "mean"][:, :3].mean()
        assert result.row(name, "psnr_first_half", "mean").value == pytest.approx(half)


def test_rules_by_hand():
    values = torch.tensor([[[1.0, 5.0], [4.0, 3.0]]], dtype=torch.float64)
    kept = apply_rules(values, torch.tensor([1]))
    assert {rule: v.tolist() for rule, v in kept.items()} == {
        "mean": [[2.5, 4]],
        "sequence_best": [[4, 3]],
        "frame_oracle": [[4, 5]],
    }
    lower = apply_rules(values, torch.tensor([1]), higher_is_better=False)
    assert lower["frame_oracle"].tolist() == [[1, 3]]


def test_rules_are_ordered(scores):
    for metric in ("psnr", "ssim", "ssim_legacy", "block_iou"):
        mean, best, oracle = (scores.per_clip["listener", metric, rule] for rule in RULES)
        assert (best <= oracle).all()
        assert (mean <= oracle + 1e-12).all()
        assert (best < oracle).any() or metric == "block_iou"
    mean, best, oracle = (scores.per_clip["listener", "ssim", rule].mean(1) for rule in RULES)
    assert (mean <= best).all()
    assert (mean < best).any()


def test_with_one_sample_all_rules_agree_and_nothing_is_said_of_diversity():
    result = evaluate(num_samples=1)
    for name in ("listener", "copy_last"):
        for metric in ("psnr", "ssim", "ssim_legacy"):
            mean, *others = (result.per_clip[name, metric, rule] for rule in RULES)
            for other in others:
                np.testing.assert_array_equal(mean, other)
    assert not [row for row in result.rows if "best_of" in row.metric or "pairwise" in row.metric]


def test_only_the_rules_asked_for():
    result = evaluate(rules=("sequence_best",))
    assert {row.rule for row in result.rows} == {"sequence_best", "none"}


@pytest.mark.parametrize("batch_clips", [1, 3, 100])
def test_the_batching_does_not_matter(batch_clips):
    options = {"dataset": Squares(block=True), "clips": 7, "diversity_clips": 4, "examples": 3}
    one, other = evaluate(batch_clips=4, **options), evaluate(batch_clips=batch_clips, **options)
    assert one.per_clip.keys() == other.per_clip.keys()
    for key, values in one.per_clip.items():
        np.testing.assert_allclose(values, other.per_clip[key], atol=1e-12, err_msg=str(key))
    assert [row[:4] for row in one.rows] == [row[:4] for row in other.rows]
    assert [e.index for e in other.examples] == one.indices[:3]
    for a, b in zip(one.examples, other.examples, strict=True):
        for name, picks in a.futures.items():
            for kind, future in picks.items():
                assert future.sample == b.futures[name][kind].sample
                assert torch.equal(future.clip.video, b.futures[name][kind].clip.video)
                assert torch.equal(future.clip.audio, b.futures[name][kind].clip.audio)


def test_the_seed_decides():
    same, again, other = evaluate(), evaluate(), evaluate(seed=1)
    assert same.rows == again.rows
    key = ("listener", "ssim", "mean")
    assert not np.array_equal(same.per_clip[key], other.per_clip[key])


def test_which_clips():
    few, many = clip_indices(50, 5, seed=2), clip_indices(50, 20, seed=2)
    assert few == sorted(set(few))
    assert set(few) < set(many)
    assert many != list(range(20))
    assert clip_indices(4, 4, seed=0) == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="clips=5: the split has only 4"):
        clip_indices(4, 5, seed=0)


@pytest.mark.parametrize("count", [2, 3, 17])
def test_nobody_is_given_its_own_sound(count):
    indices = clip_indices(40, count, seed=0)
    for seed in range(20):
        others = other_clips(indices, seed=seed)
        assert sorted(others) == indices
        assert all(a != b for a, b in zip(indices, others, strict=True))


def test_shuffled_sound_is_another_clips_and_hurts_who_listens():
    result = evaluate({"listener": Listener(), "deaf": Oracle(Squares())}, clips=10)
    names = [name for name in result.num_samples if "shuffled" in name]
    assert names == ["listener:shuffled_audio"]
    others = other_clips(result.indices, seed=0)
    sounds = Squares().clips(others[:1]).crop(0, FRAMES).audio
    futures = result.examples[0].futures
    assert torch.equal(futures["listener:shuffled_audio"]["best"].clip.audio, sounds)
    assert torch.equal(futures["listener"]["best"].clip.audio, result.examples[0].truth.audio)
    gain = result.row("listener - listener:shuffled_audio", "psnr_first_half", "mean")
    assert gain.low > 0
    # The noise is the same, so a listener without noise that hears its own sound is perfect.
    exact = evaluate({"listener": Listener(jitter=0.0)})
    assert exact.row("listener", "ssim", "mean").value == pytest.approx(1)


def test_differences_are_paired(scores):
    for metric, rule in [("psnr", "mean"), ("ssim", "frame_oracle"), ("block_iou", "mean")]:
        a, b = (scores.per_clip[name, metric, rule] for name in ("listener", "oracle"))
        row = scores.row("listener - oracle", metric, rule)
        assert row.value == pytest.approx((a - b).mean())
        assert row.low <= row.value <= row.high
    assert scores.row("oracle - centre_block", "block_iou", "mean").low > 0
    with pytest.raises(ValueError, match="no row"):
        scores.row("oracle - listener", "psnr", "mean")


def test_a_later_model_is_compared_with_the_double_of_an_earlier_one():
    result = evaluate({"a": Listener(), "b": Listener(2.0)}, Squares(block=True))
    for metric in ("psnr", "block_iou"):
        b, double = (result.per_clip[name, metric, "mean"] for name in ("b", "a:shuffled_audio"))
        row = result.row("b - a:shuffled_audio", metric, "mean")
        assert row.value == pytest.approx((b - double).mean())
    names = {row.name for row in result.rows}
    pairs = {name for name in names if " - " in name and not name.endswith(CONTROLS)}
    assert pairs == {
        "a - b",
        "a - a:shuffled_audio",
        "b - b:shuffled_audio",
        "b - a:shuffled_audio",
    }


def test_block_rows(scores):
    assert scores.row("blank", "block_iou", "mean").value == 0
    # Never visible counts as one frame after the end; it appears in frame 6 = predicted frame 3.
    late = FRAMES - 5
    assert scores.row("blank", "block_time_error", "mean").value == late
    assert 0 < scores.row("centre_block", "block_iou", "mean").value < 1
    no_block = evaluate(dataset=Squares(block=False))
    too_late = evaluate(dataset=Squares(block=True), frames=5)
    for result in (no_block, too_late):
        assert not [row for row in result.rows if row.metric.startswith("block")]


def test_diversity_rows(scores):
    alike = scores.row("listener", "pairwise_ssim", "none")
    assert alike.n == 5
    assert alike.value < 0.99
    curve = [scores.row("listener", f"ssim_best_of_{k}", "sequence_best") for k in (1, 2, 3, 4)]
    assert [row.value for row in curve] == sorted(row.value for row in curve)
    assert curve[0].value == pytest.approx(scores.row("listener", "ssim", "mean").value)
    assert curve[-1].value == pytest.approx(scores.row("listener", "ssim", "sequence_best").value)
    assert not [row for row in scores.rows if row.name == "oracle" and "best_of" in row.metric]
    none = evaluate({"still": Listener(jitter=0.0)})
    assert none.row("still", "pairwise_ssim", "none").value == pytest.approx(1)


def test_examples_are_best_worst_and_random(scores):
    assert len(scores.examples) == 4
    for example in scores.examples:
        truth = example.truth.video
        picks = example.futures["listener"]
        assert picks["best"].ssim >= picks["random"].ssim >= picks["worst"].ssim
        for future in picks.values():
            similarity = ssim(future.clip.video[:, SEEN:], truth[:, SEEN:], data_range=1.0)
            assert future.ssim == pytest.approx(float(similarity.mean()), abs=1e-6)
            assert torch.equal(future.clip.video[:, :SEEN], truth[:, :SEEN])
        assert set(example.futures["oracle"]) == {"best"}
    assert {e.futures["listener"]["random"].sample for e in scores.examples} != {0}


def test_fooling_rows():
    def realness(clip):
        exact = torch.stack([(v > 0.5).sum((-3, -2, -1)) == 25 for v in clip.video])
        return {"frame": exact.float() * 0.9}

    def severe(clip):
        return {"frame": torch.zeros(clip.video.shape[:2])}

    models = {"a": Listener(), "b": Listener(), "c": Listener()}
    result = evaluate(models, realness={"a": realness, "b": severe})
    found = {r.name: r.value for r in result.rows if r.metric == "labelled_real_frame"}
    # No row compares two discriminators, and who has none is not judged.
    assert found == {
        **{"a": 1, "a:shuffled_audio": 1, "real:a": 1, "a - a:shuffled_audio": 0},
        **{"b": 0, "b:shuffled_audio": 0, "real:b": 0, "b - b:shuffled_audio": 0},
    }
    with pytest.raises(ValueError, match="realness of 'd': the forecasters are a, b, c"):
        evaluate(models, realness={"d": severe})


def test_progress_counts_clips():
    seen = []
    evaluate(clips=7, batch_clips=3, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(3, 7), (6, 7), (7, 7)]


def test_colour_clips():
    dataset = Squares(ClipSpec(frames=9, fps=5.0, size=24, channels=3, sample_rate=4400))
    result = evaluate({"oracle": Oracle(dataset)}, dataset)
    assert result.row("oracle", "ssim", "mean").value == pytest.approx(1)


def test_scores_of_frames_out_of_range_are_those_of_what_is_shown():
    class Loud(Oracle):
        def __call__(self, given, num_samples, streams):
            clip = super().__call__(given, num_samples, streams)
            return clip.replace(video=torch.where(clip.video == 0, -0.5, clip.video))

    result = evaluate({"loud": Loud(Squares())})
    assert result.row("loud", "ssim", "mean").value == pytest.approx(1)


class _Net(torch.nn.Module):
    takes = frozenset({"audio", "context"})
    makes = frozenset({"video"})

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def phases(self):
        return {"all": self}

    def losses(self, clip, *, step, generator):
        yield from ()

    def sample(self, given, *, num_samples, generator):
        assert not self.training
        clip = Listener()(given, num_samples, generator)
        return clip.replace(video=clip.video * self.scale)


def test_a_model_is_a_forecaster():
    net = _Net().train()
    wrapped = ModelForecaster(net)
    assert wrapped.takes == {"audio", "context"}
    assert evaluate({"listener": wrapped}).rows == evaluate().rows
    assert net.training
    given = Squares().clips([0, 1]).context(SEEN)
    assert not wrapped(given, 2, Streams(0, [0, 1])).video.requires_grad


def test_wrong_forecasters_are_named():
    def short(given, num_samples, streams):
        return given.repeat(num_samples)

    def undefined(given, num_samples, streams):
        clip = Oracle(Squares())(given, num_samples, streams)
        return clip.replace(video=clip.video / 0)

    with pytest.raises(ValueError, match=r"'short' returned video \(28, 3, 1, 24, 24\)"):
        evaluate({"short": short}, batch_clips=7)
    with pytest.raises(ValueError, match="'undefined' returned frames that are not finite"):
        evaluate({"undefined": undefined})
    for name in ("blank", "real", "a - b", "a:b", ""):
        with pytest.raises(ValueError, match="forecaster name"):
            line_up({name: short}, num_samples=1, mean_image=torch.zeros(1, 8, 8))


def test_bad_protocols_and_data():
    with pytest.raises(ValueError, match="frames=11: the data set's clips have only 10"):
        evaluate(frames=11)
    for change in (
        {"frames": 3},
        {"clips": 1},
        {"seen": 0},
        {"confidence": 1.0},
        {"rules": ()},
        {"rules": ("best",)},
        {"split": "all"},
        {"typo": 1},
    ):
        with pytest.raises(ValueError, match=next(iter(change))):
            ForecastProtocol(**({"seen": 3, "frames": 9} | change))
    with pytest.raises(ValueError, match="at least one clip"):
        mean_image(Squares(count=0))
    sound = Squares()
    sound.clips = lambda indices: Squares().clips(indices).replace(video=None)
    with pytest.raises(ValueError, match="no picture"):
        mean_image(sound)


def test_score_frames_holds_every_sample_against_the_one_truth():
    futures, truth = torch.rand(2, 3, 4, 1, 9, 9), torch.rand(2, 4, 1, 9, 9)
    found = score_frames(futures, truth)
    expected = ssim(futures[1, 2, 3], truth[1, 3], data_range=1.0)
    assert float(found["ssim"][1, 2, 3]) == pytest.approx(float(expected))


# ---- A part of the frame -------------------------------------------------------------------------


def test_a_region_is_scored_as_if_it_were_the_frame():
    world = Squares()
    region = (0.25, 0.5, 0.75, 1.0)
    scores = evaluate({"listener": Listener(1.0)}, world, region=region)
    plain = evaluate({"listener": Listener(1.0)}, world)
    drawn = Listener(1.0)(
        world.clips(scores.indices).crop(0, FRAMES).context(SEEN), 4, Streams(0, scores.indices)
    ).video.unflatten(0, (7, 4))[:, :, SEEN:, :, 12:24, 6:18]
    truth = world.clips(scores.indices).video[:, SEEN:FRAMES, :, 12:24, 6:18]
    expected = score_frames(drawn, truth)
    for name in ("psnr", "ssim"):
        found = scores.per_clip["listener", f"{name}_region", "mean"]
        assert np.allclose(found, expected[name].mean(1).numpy())
    for key, values in plain.per_clip.items():
        assert np.array_equal(values, scores.per_clip[key]), key


@pytest.mark.parametrize("region", [(0.5, 0, 0.4, 1), (0, 0, 1, 1.1), (-0.1, 0, 1, 1)])
def test_a_region_lies_inside_the_frame(region):
    with pytest.raises(ValueError, match=r"region=.* must be left, top, right and bottom"):
        evaluate(region=region)


def test_a_region_that_is_too_small_is_refused():
    with pytest.raises(
        ValueError, match=r"is 2x24 pixels of frames of 24: SSIM needs at least 7x7"
    ):
        evaluate(region=(0.4, 0.0, 0.5, 1.0))
