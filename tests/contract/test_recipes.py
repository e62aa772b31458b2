"""What every recipe must do; a new recipe is tested without a new line here."""

import dataclasses
import json

import pytest
import torch

from soundsight import recipes
from soundsight.contract import Model, Streams
from soundsight.experiment import run_training

NAMES = recipes.names()
TINY = [name for name in NAMES if name.endswith("_tiny")]


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
    assert isinstance(model, Model)
    assert set(model.phases()) <= set(recipe.train.optim)
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
    done = []
    for phase, loss in model.losses(clip, step=10_000, generator=torch.Generator()):
        loss.total.backward(inputs=list(model.phases()[phase].parameters()))
        done.append(phase)
        others = [m for key, m in model.phases().items() if key not in done]
        assert all(p.grad is None for m in others for p in m.parameters())
    assert set(done) == set(model.phases())


@pytest.mark.parametrize("name", TINY)
def test_samples_have_the_right_shapes_and_do_not_depend_on_the_batch(name):
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


@pytest.mark.parametrize("name", TINY)
def test_resumed_training_ends_with_the_same_bytes(name, tmp_path):
    recipe = recipes.load(name)
    run_training(recipe, tmp_path / "whole", progress=False)
    first = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, steps=4))
    run_training(first, tmp_path / "parts", progress=False)
    run_training(recipe, tmp_path / "parts", resume=True, progress=False)
    weights = [(tmp_path / run / "weights.safetensors").read_bytes() for run in ("whole", "parts")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("name", TINY)
def test_training_learns(name, tmp_path):
    """The reconstruction error falls, on clips that come only once."""
    recipe = recipes.load(name)
    train = dataclasses.replace(recipe.train, steps=60, log_every=10, validate_every=1000)
    train = dataclasses.replace(train, checkpoint_every=1000)
    run_training(dataclasses.replace(recipe, train=train), tmp_path, progress=False)
    lines = [json.loads(line) for line in (tmp_path / "stats.jsonl").read_text().splitlines()]
    errors = [line["generator/mse"] for line in lines if "generator/mse" in line]
    assert errors[-1] < 0.8 * errors[0]


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
    ],
)
def test_a_strange_document_is_refused(change, message):
    changed = document()
    change(changed)
    with pytest.raises(ValueError, match=message):
        recipes.from_json(changed)
