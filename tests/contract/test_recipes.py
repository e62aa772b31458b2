"""What every recipe must do; a new recipe is tested without a new line here.

There are four kinds of experiment: forecasts, generation from nothing, from sound to picture and
back, and judges.
"""

import dataclasses
import json
import re

import pytest
import torch

from soundsight import recipes
from soundsight.contract import Model, Streams, Trainable
from soundsight.experiment import run_evaluation, run_training, write_evaluation
from soundsight.media.clip import Clip
from soundsight.sampling import load_run

NAMES = recipes.names()
TINY = [name for name in NAMES if "tiny" in name.split("_")]


def of_kind(kind: str, names: list[str]) -> list[str]:
    """Those of one kind of experiment."""
    return [name for name in names if recipes.load(name).evaluate.kind == kind]


def cut(recipe: recipes.Recipe, **train) -> recipes.Recipe:
    """A recipe with another training."""
    return dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, **train))


def read_stats(run) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", NAMES)
def test_it_survives_json(name):
    recipe = recipes.load(name)
    document = json.loads(json.dumps(recipes.to_json(recipe)))
    assert recipes.from_json(document) == recipe


@pytest.mark.parametrize("name", NAMES)
def test_its_parts_fit_together(name):
    recipe = recipes.load(name)
    with torch.device("meta"):
        model = recipe.model.build(recipe.clip)
    assert isinstance(model, Trainable)
    assert set(model.phases()) == set(recipe.train.optim)
    if recipe.evaluate.kind == "judge":
        assert not model.makes
        return
    assert isinstance(model, Model)
    if recipe.evaluate.kind == "joint":
        assert not model.takes
        assert model.makes == {"video", "audio"}
        return
    if recipe.evaluate.kind == "crossmodal":
        parts = {"audio", "image"}
        assert recipe.clip.frames == 1
        assert model.takes | model.makes == parts
        assert model.takes == model.makes == parts or not model.takes & model.makes
        return
    assert model.takes  # Of sound and seen frames.
    assert model.takes <= {"audio", "context"}
    assert model.makes == {"video"}
    assert recipe.evaluate.frames <= recipe.clip.frames
    assert recipe.evaluate.seen == recipe.model.seen
    assert recipe.train.frames is None or recipe.model.seen < recipe.train.frames


@pytest.mark.parametrize("name", NAMES)
def test_its_docstring_says_what_it_costs(name):
    about = recipes.summary(name)
    assert all(about[key] for key in ("about", "command", "hardware", "time", "score", "makes"))
    assert f"soundsight train {name} " in about["command"]


@pytest.mark.parametrize("name", TINY)
def test_phases_are_disjoint_and_updated_one_at_a_time(name):
    recipe = recipes.load(name)
    torch.manual_seed(0)
    model = recipe.model.build(recipe.clip)
    ids = [id(p) for module in model.phases().values() for p in module.parameters()]
    assert len(ids) == len(set(ids)) == len(list(model.parameters()))
    clip = recipe.data.build(recipe.clip, "train").clips(range(4))
    done = set()
    for step in (0, 3, 10_000):  # Some phases come first, others last.
        now = set()
        model.zero_grad(set_to_none=True)
        for phase, loss in model.losses(clip, step=step, generator=torch.Generator()):
            loss.total.backward(inputs=list(model.phases()[phase].parameters()))
            now.add(phase)
            others = [m for key, m in model.phases().items() if key not in now]
            assert all(p.grad is None for m in others for p in m.parameters())
        done |= now
    assert done == set(model.phases())


@pytest.mark.parametrize("name", of_kind("forecast", TINY))
def test_futures_have_the_right_shapes_and_do_not_depend_on_the_batch(name):
    recipe = recipes.load(name)
    torch.manual_seed(0)
    model = recipe.model.build(recipe.clip).eval()
    clip = recipe.data.build(recipe.clip, "test").clips([0, 1, 2])
    given = clip.context(recipe.model.seen)
    made = model.sample(given, num_samples=2, generator=Streams(0, [0, 1, 2]))
    assert len(made) == 6
    assert made.video.shape[1:] == clip.video.shape[1:]
    assert made.video.min() >= 0
    assert made.video.max() <= 1
    alone = model.sample(given[1:2], num_samples=1, generator=Streams(0, [1]))
    torch.testing.assert_close(made.video[2:3], alone.video, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", of_kind("joint", TINY))
def test_clips_from_nothing_have_the_right_shapes_and_do_not_depend_on_the_batch(name):
    recipe = recipes.load(name)
    torch.manual_seed(0)
    model = recipe.model.build(recipe.clip).eval()
    for spec in (recipe.clip, recipe.clip.with_frames(2 * recipe.clip.frames)):
        made = model.sample(Clip.nothing(spec, 3), num_samples=2, generator=Streams(0, [0, 1, 2]))
        assert made.video.shape == (6, spec.frames, spec.channels, spec.size, spec.size)
        assert made.audio.shape == (6, spec.samples)
        assert made.video.min() >= 0
        assert made.video.max() <= 1
        assert made.audio.abs().max() <= 1
        assert made.spec == spec
        # Samples differ, and the second clip's first one is the same alone.
        assert not torch.equal(made.video[2], made.video[3])
        assert not torch.equal(made.audio[2], made.audio[3])
        alone = model.sample(Clip.nothing(spec, 1), num_samples=1, generator=Streams(0, [1]))
        torch.testing.assert_close(made.video[2:3], alone.video, atol=1e-5, rtol=0)
        torch.testing.assert_close(made.audio[2:3], alone.audio, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", of_kind("crossmodal", TINY))
def test_the_other_half_has_the_right_shape_and_does_not_depend_on_the_batch(name):
    recipe = recipes.load(name)
    torch.manual_seed(0)
    model = recipe.model.build(recipe.clip)
    spec, truth = recipe.clip, recipe.data.build(recipe.clip, "test").clips([0, 1, 2])
    for part in sorted(model.takes):
        given = truth.replace(**{"audio" if part == "image" else "video": None})
        made = model.sample(given, num_samples=2, generator=Streams(0, [0, 1, 2]))
        values = made.video if part == "audio" else made.audio
        assert (made.audio if part == "audio" else made.video) is None
        frame = (1, spec.channels, spec.size, spec.size)
        assert values.shape == (6, *(frame if part == "audio" else (spec.samples,)))
        assert (values.min() >= 0) if part == "audio" else (values.min() >= -1)
        assert values.max() <= 1
        assert made.spec == spec
        # Samples differ, and the second clip's first one is the same alone.
        assert not torch.equal(values[2], values[3])
        alone = model.sample(given[1:2], num_samples=1, generator=Streams(0, [1]))
        assert torch.equal(values[2:3], alone.video if part == "audio" else alone.audio)


@pytest.mark.parametrize("name", of_kind("judge", TINY))
def test_a_verdict_does_not_depend_on_the_batch(name):
    recipe = recipes.load(name)
    torch.manual_seed(0)
    judge = recipe.model.build(recipe.clip).eval()
    clip = recipe.data.build(recipe.clip, "test").clips([0, 1, 2])
    methods = [m for m in ("features", "logits", "embed_audio", "embed_video") if hasattr(judge, m)]
    assert len(methods) >= 2
    for method in methods:
        together, alone = getattr(judge, method)(clip), getattr(judge, method)(clip[1:2])
        rows = len(alone)  # A judge of single pictures has one for each frame.
        torch.testing.assert_close(together[rows : 2 * rows], alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", TINY)
def test_resumed_training_ends_with_the_same_bytes(name, tmp_path):
    recipe = cut(recipes.load(name), steps=8, checkpoint_every=4, validate_every=8)
    run_training(recipe, tmp_path / "whole", progress=False)
    run_training(cut(recipe, steps=4), tmp_path / "parts", progress=False)
    run_training(recipe, tmp_path / "parts", resume=True, progress=False)
    weights = [(tmp_path / run / "weights.safetensors").read_bytes() for run in ("whole", "parts")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("name", of_kind("forecast", TINY))
def test_training_learns(name, tmp_path):
    """The reconstruction error falls, on clips that come only once."""
    recipe = cut(
        recipes.load(name), steps=60, log_every=10, validate_every=1000, checkpoint_every=1000
    )
    run_training(recipe, tmp_path, progress=False)
    errors = [line["generator/mse"] for line in read_stats(tmp_path) if "generator/mse" in line]
    assert errors[-1] < 0.8 * errors[0]


@pytest.mark.parametrize("name", of_kind("judge", TINY))
def test_judges_are_watched_scored_and_shown(name, tmp_path):
    recipe = cut(recipes.load(name), steps=2, validate_every=2)
    evaluate = dataclasses.replace(recipe.evaluate, clips=8, resamples=20)
    recipe = dataclasses.replace(recipe, evaluate=evaluate)
    run_training(recipe, tmp_path, progress=False)
    assert [line for line in read_stats(tmp_path) if any("validate/" in key for key in line)]
    runs = {"mine": load_run(tmp_path, device="cpu")}
    page = write_evaluation(run_evaluation(runs), runs, tmp_path / "report", title=name)
    assert page.is_file()
    found = json.loads((tmp_path / "report" / "scores.json").read_text())
    assert {"mine", "mine:chance"} <= {row["name"] for row in found["rows"]}


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'sound2sight_m3so_tiny'"):
        recipes.load("sound2sight_m3so_tyni")


def document():
    return recipes.to_json(recipes.load("sound2sight_m3so_tiny"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("clip"), "part 'clip' is missing"),
        (lambda d: d.update(extra={}), "no field 'extra'"),
        (lambda d: d["model"].update(z_dmi=3), "no field 'z_dmi'; did you mean 'z_dim'"),
        (lambda d: d["model"].update(kind="os.system"), "no kind of models 'os.system'"),
        (lambda d: d["data"].update(kind="../m3so"), "no kind of data"),
        (lambda d: d["train"].update(steps="many"), "train.steps='many'"),
        (lambda d: d["clip"].update(size="big"), "clip.size='big'"),
        (lambda d: d["evaluate"].update(kind="contest"), "no kind of evaluation 'contest'"),
        (lambda d: d["evaluate"].update(kind="judge"), "evaluate: no field 'seen'"),
    ],
)
def test_a_strange_document_is_refused(change, message):
    changed = document()
    change(changed)
    with pytest.raises(ValueError, match=message):
        recipes.from_json(changed)


def test_an_evaluation_without_a_kind_is_a_forecast():
    """As all were before there were other kinds."""
    old = document()
    assert old["evaluate"].pop("kind") == "forecast"
    assert recipes.from_json(old) == recipes.load("sound2sight_m3so_tiny")


def test_old_runs_go_on(tmp_path):
    recipe = recipes.load("sound2sight_m3so_tiny")
    first = cut(recipe, steps=4)
    run_training(first, tmp_path, progress=False)
    for path in (tmp_path / "recipe.json", *tmp_path.glob("state/*/state.json")):
        text = path.read_text()
        assert '"kind": "forecast"' in text
        path.write_text(re.sub(r'"kind": "forecast",\s*', "", text))
    assert load_run(tmp_path).recipe == first
    run_training(recipe, tmp_path, resume=True, progress=False)
    assert read_stats(tmp_path)[-1]["step"] == recipe.train.steps
