"""Judges: what they look at, what they return, what they refuse, and what they learn."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from soundsight import recipes
from soundsight.contract import Trainable
from soundsight.data.bounce_tone import COUPLINGS, BounceTone
from soundsight.evaluation.judging import JudgeProtocol, evaluate_judge
from soundsight.media.clip import Clip, ClipSpec
from soundsight.models.judges import (
    PITCHES,
    ClassifierConfig,
    CorrespondenceConfig,
    cut,
    draw_moments,
)
from soundsight.nn.augment import augment_maps
from soundsight.nn.trunks import Hearing, hide_parts
from soundsight.training.trainer import train

SPEC = ClipSpec(frames=10, fps=10, size=16, channels=3, sample_rate=6000)
HEARING = Hearing(n_fft=512, hop_length=128, n_mels=32, channels=4)
SMALL = {"hearing": HEARING, "widths": (4, 8, 8, 8), "features": 16, "classes": 4}
KINDS = {
    "sound": ClassifierConfig(part="audio", **SMALL),
    "video": ClassifierConfig(part="video", **SMALL),
    "image": ClassifierConfig(part="image", **SMALL),
    "pitch": ClassifierConfig(part="audio", target="pitch", **SMALL),
    "correspondence": CorrespondenceConfig(
        hearing=HEARING, widths=(4, 8, 8, 8), features=8, hard_from=10, harder_from=20
    ),
}
CLASSIFIERS = [name for name in KINDS if name != "correspondence"]
HEARS, SEES = ("sound", "pitch"), ("video", "image")


def judge_of(name: str, spec: ClipSpec = SPEC):
    torch.manual_seed(0)
    return KINDS[name].build(spec)


def clips(count: int = 4, spec: ClipSpec = SPEC) -> Clip:
    return BounceTone().build(spec, "train").clips(range(count))


def loss_of(judge, clip: Clip, step: int = 0, seed: int = 0):
    ((phase, loss),) = judge.losses(clip, step=step, generator=torch.Generator().manual_seed(seed))
    assert phase == "judge"
    return loss


# ---- What they return ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_a_judge_can_be_trained_and_makes_nothing(name):
    judge = judge_of(name)
    assert isinstance(judge, Trainable)
    assert judge.makes == frozenset()
    loss = loss_of(judge, clips(), step=100)
    loss.total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in judge.parameters())
    assert {id(p) for m in judge.phases().values() for p in m.parameters()} == {
        id(p) for p in judge.parameters()
    }


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_return_a_row_for_each_clip_or_frame(name):
    judge = judge_of(name).eval()
    rows = 30 if name == "image" else 3
    assert judge.features(clips(3)).shape == (rows, 16)
    assert judge.logits(clips(3)).shape == (rows, PITCHES if name == "pitch" else 4)


def test_embeddings_are_unit_vectors_of_all_frames():
    judge = judge_of("correspondence").eval()
    for embedding in (judge.embed_audio(clips(3)), judge.embed_video(clips(3))):
        assert embedding.shape == (3, 10 * 8)
        torch.testing.assert_close(embedding.norm(dim=1), torch.ones(3))
    assert judge.features(clips(3)).shape == (3, 16)


def test_the_full_sizes_are_the_published_ones():
    spec = ClipSpec(frames=16, fps=16, size=64, channels=3, sample_rate=16_000)
    with torch.device("meta"):
        sound = ClassifierConfig(part="audio").build(spec)
        video = ClassifierConfig(part="video").build(spec)
    convolutions = [m for m in sound.trunk.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [(c.in_channels, c.out_channels, c.kernel_size) for c in convolutions] == [
        (1, 128, (5, 5)),
        *[(128, 128, (5, 5))] * 3,
    ]
    assert [stage.spatial[0].out_channels for stage in video.trunk.stages] == [32, 64, 128, 128]
    assert sound.to_features.out_features == video.to_features.out_features == 128


@pytest.mark.parametrize("name", KINDS)
def test_features_do_not_depend_on_the_batch(name):
    judge = judge_of(name).eval()
    clip = clips(5)
    rows = slice(20, 30) if name == "image" else slice(2, 3)
    torch.testing.assert_close(
        judge.features(clip)[rows], judge.features(clip[2:3]), atol=1e-5, rtol=1e-4
    )


# ---- What they look at ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", HEARS)
def test_judges_of_sound_never_see(name):
    judge, clip = judge_of(name).eval(), clips()
    blind = clip.replace(video=None)
    blinded = clip.replace(video=torch.full_like(clip.video, math.nan))
    for other in (blind, blinded):
        assert torch.equal(judge.logits(clip), judge.logits(other))
        assert loss_of(judge, clip).total == loss_of(judge, other).total
    louder = clip.replace(audio=clip.audio.roll(1, 0))
    assert not torch.equal(judge.features(clip), judge.features(louder))


@pytest.mark.parametrize("name", SEES)
def test_judges_of_pictures_never_hear(name):
    judge, clip = judge_of(name).eval(), clips()
    for audio in (None, torch.full_like(clip.audio, math.nan)):
        assert torch.equal(judge.logits(clip), judge.logits(clip.replace(audio=audio)))
        assert loss_of(judge, clip).total == loss_of(judge, clip.replace(audio=audio)).total
    turned = clip.replace(video=clip.video.roll(1, 0))
    assert not torch.equal(judge.features(clip), judge.features(turned))


def test_each_side_of_correspondence_has_one_sense():
    judge, clip = judge_of("correspondence").eval(), clips()
    assert torch.equal(judge.embed_audio(clip), judge.embed_audio(clip.replace(video=None)))
    assert torch.equal(judge.embed_video(clip), judge.embed_video(clip.replace(audio=None)))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_answers_do_not_depend_on_the_label(name):
    judge, clip = judge_of(name).eval(), clips()
    assert torch.equal(judge.logits(clip), judge.logits(clip.replace(label=None)))


def test_pictures_are_judged_frame_by_frame_and_videos_in_order():
    clip = clips()
    backwards = clip.replace(video=clip.video.flip(1))
    image, video = judge_of("image").eval(), judge_of("video").eval()
    torch.testing.assert_close(
        image.features(backwards).view(4, 10, -1).flip(1), image.features(clip).view(4, 10, -1)
    )
    assert not torch.allclose(video.features(backwards), video.features(clip), atol=1e-4)


# ---- What they refuse ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sound", "video", "image"])
def test_data_without_labels_is_refused(name):
    with pytest.raises(ValueError, match="the data's clips have no class label"):
        loss_of(judge_of(name), clips().replace(label=None))


@pytest.mark.parametrize("name", ["sound", "video", "image"])
def test_a_batch_without_a_label_teaches_nothing(name):
    judge = judge_of(name)
    loss = loss_of(judge, clips().replace(label=torch.full((4,), -1)))
    loss.total.backward()
    assert loss.total == 0
    assert loss.terms["accuracy"] == 0
    gradients = [weight.grad for weight in judge.parameters() if weight.grad is not None]
    assert gradients
    assert all((gradient == 0).all() for gradient in gradients)


def test_evaluating_names_the_data_without_labels():
    class Unlabelled:
        spec = SPEC

        def __len__(self):
            return 8

        def clips(self, indices):
            return BounceTone().build(SPEC, "test").clips(indices).replace(label=None)

    protocol = JudgeProtocol(clips=4, resamples=10)
    with pytest.raises(ValueError, match=r"Unlabelled, test split: .*no class label"):
        evaluate_judge(judge_of("sound"), Unlabelled(), protocol)
    assert evaluate_judge(judge_of("correspondence"), Unlabelled(), protocol).rows


@pytest.mark.parametrize("labelled", [0, 2])
def test_batches_without_a_label_are_skipped(labelled):
    """The first clips have labels, the others are in batches that have none."""

    class Partly:
        spec = SPEC

        def __len__(self):
            return 8

        def clips(self, indices):
            clip = BounceTone().build(SPEC, "test").clips(indices)
            return clip.replace(label=clip.label.where(torch.tensor(indices) < labelled, -1))

    protocol = JudgeProtocol(clips=8, resamples=10, batch_clips=1)
    if labelled:
        row = evaluate_judge(judge_of("sound"), Partly(), protocol).row("judge", "accuracy")
        assert row.n == labelled
    else:
        with pytest.raises(ValueError, match="Partly, test split: not one of the clips has what"):
            evaluate_judge(judge_of("sound"), Partly(), protocol)


def test_clips_without_a_label_are_left_out():
    clip = clips(6)
    some = clip.replace(label=clip.label.where(torch.arange(6) < 4, -1))
    judge = judge_of("video").eval()
    torch.testing.assert_close(loss_of(judge, some).total, loss_of(judge, clip[:4]).total)


def test_a_label_beyond_the_classes_is_refused():
    with pytest.raises(ValueError, match="label 7, the judge classes=4"):
        loss_of(judge_of("sound"), clips().replace(label=torch.full((4,), 7)))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("sound", {"sample_rate": 8000}),
        ("pitch", {"sample_rate": 8000}),
        ("video", {"fps": 5}),
        ("video", {"size": 32}),
        ("image", {"channels": 1}),
        ("correspondence", {"sample_rate": 8000}),
        ("correspondence", {"fps": 5}),
    ],
)
def test_other_rates_and_sizes_are_refused_with_both_specs(name, change):
    other = dataclasses.replace(SPEC, **change)
    (field,) = change
    with pytest.raises(ValueError) as caught:
        judge_of(name).eval().features(clips(2, other))
    for part in (str(SPEC), str(other), f"{field} must be the same"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("sound", {"fps": 5, "size": 32, "frames": 7}),
        ("video", {"sample_rate": 8000, "frames": 7}),
        ("image", {"sample_rate": 8000, "fps": 5, "frames": 1}),
        ("correspondence", {"frames": 7}),
    ],
)
def test_what_does_not_concern_a_judge_may_differ(name, change):
    judge = judge_of(name).eval()
    assert judge.features(clips(2, dataclasses.replace(SPEC, **change))).isfinite().all()


@pytest.mark.parametrize("name", KINDS)
def test_a_missing_part_is_refused(name):
    clip = clips(2)
    lacking = clip.replace(**{"audio" if name in HEARS else "video": None})
    missing = "audio" if name in HEARS else "video"
    with pytest.raises(ValueError, match=f"clips without {missing}"):
        judge_of(name).features(lacking)


def test_impossible_judges_are_refused():
    with pytest.raises(ValueError, match="target=\"pitch\" of part='video'"):
        ClassifierConfig(part="video", target="pitch").build(SPEC)
    with pytest.raises(ValueError, match="at least 16 px"):
        ClassifierConfig(part="video").build(ClipSpec(frames=2, size=8))
    with pytest.raises(ValueError, match="no room to shift"):
        CorrespondenceConfig(window=0.9).build(dataclasses.replace(SPEC, frames=2))
    with pytest.raises(ValueError, match=r"needs at least .* samples"):
        ClassifierConfig().build(dataclasses.replace(SPEC, frames=1))


# ---- Training alone ------------------------------------------------------------------------------


def test_dropout_and_masks_are_for_training_alone():
    judge, clip = judge_of("sound"), clips()
    one, other = (loss_of(judge, clip, seed=seed).total for seed in (0, 1))
    assert one != other
    judge.eval()
    assert loss_of(judge, clip, seed=0).total == loss_of(judge, clip, seed=1).total
    assert torch.equal(judge.logits(clip), judge.logits(clip))


def test_masks_hide_a_band_and_a_span_and_no_more():
    spectrogram = torch.randn(64, 1, 32, 48, generator=torch.Generator().manual_seed(0))
    hidden = hide_parts(spectrogram, torch.Generator().manual_seed(1)) != spectrogram
    rows, columns = hidden.all(3).sum((1, 2)), hidden.all(2).sum((1, 2))
    assert 0 < rows.max() <= 32 // 8
    assert 0 < columns.max() <= 48 // 8
    for clip, r, c in zip(hidden[:, 0], rows, columns, strict=True):
        assert clip.sum() == r * 48 + c * 32 - r * c


@pytest.mark.parametrize("name", ["sound", "pitch", "correspondence"])
def test_a_seed_gives_the_same_judge_again(name, tmp_path):
    recipe = recipes.load(f"judge_{name}_tiny")
    states = []
    for run, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(seed)
        judge = recipe.model.build(recipe.clip)
        config = dataclasses.replace(recipe.train, seed=seed)
        data = recipe.data.build(recipe.clip, "train")
        train(judge, data, config, tmp_path / run, recipe={}, progress=False)
        states.append((tmp_path / run / "weights.safetensors").read_bytes())
    assert states[0] == states[1]
    assert states[0] != states[2]


# ---- Shifted pictures ----------------------------------------------------------------------------


def shifting(**changes):
    """A judge of pictures without dropout: all that is left to chance is the shift."""
    torch.manual_seed(0)
    return dataclasses.replace(KINDS["image"], dropout=0.0, **changes).build(SPEC)


def test_pictures_are_shifted_in_training_each_frame_by_itself():
    judge, clip, shown = shifting(shift=True), clips(2), []
    judge.trunk.register_forward_pre_hook(lambda _, given: shown.append(given[0]))
    loss_of(judge, clip, seed=5)
    frames = augment_maps(clip.video.flatten(0, 1), torch.Generator().manual_seed(5))
    assert torch.equal(shown[0].flatten(0, 1), frames)
    assert shown[0].shape == clip.video.shape
    assert not torch.equal(shown[0], clip.video)


def test_shifts_are_for_training_alone():
    clip = clips()
    losses = [loss_of(shifting(shift=True), clip, seed=seed).total for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    plain = [loss_of(shifting(), clip, seed=seed).total for seed in (0, 1)]
    assert plain[0] == plain[1] != losses[0]
    judge, other = shifting(shift=True).eval(), shifting().eval()
    assert loss_of(judge, clip, seed=0).total == loss_of(judge, clip, seed=1).total
    assert loss_of(judge, clip).total == loss_of(other, clip).total
    assert torch.equal(judge.logits(clip), other.logits(clip))
    # Features that are asked for are never of shifted pictures.
    assert torch.equal(judge.train().features(clip), shifting().features(clip))


@pytest.mark.parametrize("part", ["audio", "video"])
def test_only_single_pictures_are_shifted(part):
    message = f"^shift=True of part='{part}': only an \"image\" is shifted$"
    with pytest.raises(ValueError, match=message):
        ClassifierConfig(part=part, shift=True).build(SPEC)


# ---- Pitch ---------------------------------------------------------------------------------------


def test_steps_are_labelled_with_the_pitch_that_is_played():
    spec = dataclasses.replace(SPEC, sample_rate=8000)
    data = BounceTone().build(spec, "test")
    judge = judge_of("pitch", spec).eval()
    clip = data.clips(range(40))
    found = judge.pitches(clip, judge.steps(clip).shape[1]).numpy()
    played = 69 + 12 * np.log2(data.truth(range(40)).pitch_hz / 440) - 24
    voiced = found >= 0
    assert voiced.mean() > 0.8
    assert (np.abs(found - played[:, None]) < 0.6)[voiced].mean() > 0.99


def test_a_clips_posterior_is_the_mean_over_steps_with_a_pitch():
    judge, clip = judge_of("pitch").eval(), clips(2)
    silent = clip.replace(audio=clip.audio.clone())
    silent.audio[:, 3000:] = 0
    steps = judge.to_logits(judge.steps(silent)).softmax(-1)
    voiced = judge.pitches(silent, steps.shape[1]) >= 0
    assert voiced.any(1).all()
    assert not voiced[:, -3:].any()
    expected = torch.stack([s[v].mean(0) for s, v in zip(steps, voiced, strict=True)])
    torch.testing.assert_close(judge.logits(silent).softmax(1), expected)


def test_what_has_no_pitch_could_have_any():
    judge, clip = judge_of("pitch").eval(), clips(2)
    quiet = clip.replace(audio=torch.zeros_like(clip.audio))
    torch.testing.assert_close(
        judge.logits(quiet).softmax(1), torch.full((2, PITCHES), 1 / PITCHES)
    )
    assert judge.features(quiet).isfinite().all()
    assert loss_of(judge, quiet).total == 0


# ---- Correspondence ------------------------------------------------------------------------------


def test_moments_are_apart_by_what_is_asked_and_stay_inside():
    now, then = draw_moments(4000, 6, 2, torch.Generator().manual_seed(0))
    apart = (now - then).abs()
    assert set(apart.tolist()) == {2, 3, 4, 5, 6}
    assert min(now.min(), then.min()) == 0
    assert max(now.max(), then.max()) == 6
    assert abs((now < then).double().mean() - 0.5) < 0.05


def test_cutting_keeps_picture_and_sound_together():
    clip = clips(3)
    starts = torch.tensor([0, 3, 4])
    found = cut(clip, starts, 6)
    for row, start in enumerate(starts.tolist()):
        expected = clip[row : row + 1].crop(start, 6)
        assert torch.equal(found.video[row : row + 1], expected.video)
        assert torch.equal(found.audio[row : row + 1], expected.audio)
    with pytest.raises(ValueError, match="frames up to 11 of clips that have 10"):
        cut(clip, torch.tensor([0, 3, 5]), 6)


def test_the_curriculum_goes_from_others_to_ones_own_sound():
    judge = judge_of("correspondence")
    assert [judge.least_shift(step) for step in (0, 9, 10, 19, 20)] == [None, None, 3, 3, 1]
    assert "in_sync" not in loss_of(judge, clips(), step=9).terms
    assert "in_sync" in loss_of(judge, clips(), step=10).terms


def test_clips_of_one_frame_are_told_from_others_alone():
    """There is no time in them: no stage has shifted sounds, and wrong pairs are other clips'."""
    spec = dataclasses.replace(SPEC, frames=1, fps=2)
    judge, clip = KINDS["correspondence"].build(spec), clips(4, spec)
    assert (judge.window, judge.room) == (1, 0)
    assert [judge.least_shift(step) for step in (0, 10, 20)] == [None, None, None]
    found = loss_of(judge, clip, step=20)
    assert "in_sync" not in found.terms
    judge.eval()
    products = judge.embed_video(clip) @ judge.embed_audio(clip).T / judge.config.temperature
    both = [
        torch.nn.functional.cross_entropy(logits, torch.arange(4))
        for logits in (products, products.T)
    ]
    expected = sum(both).item() / 2
    assert loss_of(judge, clip, step=20).total.item() == pytest.approx(expected, abs=1e-4)
    # Whole clips are looked at, nothing of them is cut off: the same, whatever is drawn.
    assert loss_of(judge, clip, seed=1, step=20).total == loss_of(judge, clip, step=20).total


def test_info_nce_of_equal_embeddings_is_the_logarithm_of_the_candidates():
    """With all cosines equal, b candidates cost log b, and one's own shifted sound makes b + 1."""
    config = dataclasses.replace(KINDS["correspondence"], hard_share=1.0)
    judge = config.build(SPEC).eval()
    for layer in (judge.hear, judge.see):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.ones_(layer.bias)
    assert loss_of(judge, clips(), step=0).total.item() == pytest.approx(math.log(4), abs=1e-5)
    assert loss_of(judge, clips(), step=10).total.item() == pytest.approx(math.log(5), abs=1e-5)


# ---- What they learn -----------------------------------------------------------------------------


def learned(name: str, tmp_path):
    recipe = recipes.load(name)
    torch.manual_seed(recipe.train.seed)
    judge = recipe.model.build(recipe.clip)
    data = recipe.data.build(recipe.clip, "train")
    train(judge, data, recipe.train, tmp_path, recipe={}, progress=False)

    def score(**change):
        test = dataclasses.replace(recipe.data, **change).build(recipe.clip, "test")
        return evaluate_judge(judge, test, recipe.evaluate)

    return score


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "least"), [("sound", 0.98), ("video", 0.98), ("image", 0.98), ("pitch", 0.85)]
)
def test_laptop_classifiers_know_bounce_tone(name, least, tmp_path):
    scores = learned(f"judge_{name}_laptop", tmp_path)()
    assert scores.row("judge", "accuracy").low > least
    assert scores.row("majority", "accuracy").high < 0.35


@pytest.mark.slow
def test_laptop_correspondence_knows_what_belongs_together(tmp_path):
    score = learned("judge_correspondence_laptop", tmp_path)
    whole, apart, asynchronous = score(), score(cut=COUPLINGS), score(cut=("onset",))
    assert whole.row("judge", "auc_other").low > 0.9
    assert whole.row("judge", "auc_shifted").low > 0.9
    assert whole.row("judge", "recall_1_sound").low > 0.5
    # Where nothing belongs together there is nothing to know: 4 standard errors of 500 clips.
    for metric in ("auc_other", "auc_shifted"):
        assert abs(apart.row("judge", metric).value - 0.5) < 0.075
    assert apart.row("judge", "recall_10_sound").value < 0.06
    # Place and colour are still right, so only being in time is lost.
    assert asynchronous.row("judge", "auc_other").value > 0.8
    assert abs(asynchronous.row("judge", "auc_shifted").value - 0.5) < 0.075
