"""The joint objective on a world of points (`examples/vector_rings.py`): who learns to pair."""

import importlib.util
from pathlib import Path

import pytest
import torch

PATH = Path(__file__).parents[2] / "examples" / "vector_rings.py"
SPEC = importlib.util.spec_from_file_location("vector_rings", PATH)
example = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(example)


def trained(arm, steps, seed=0):
    pairs, shared = example.ARMS[arm]
    rings = example.Rings(pairs, shared=shared, models=3, seed=seed)
    for _ in range(steps):
        rings.step()
    return rings.result()


def judged(sound, video):
    """The result of models that generate these places, (models, count) each."""
    rings = example.Rings((), shared=False, models=len(sound), seed=0)
    rings.generate = lambda count: (example.on_circle(sound), example.on_circle(video))
    return rings.result()


# ---- How models are judged -----------------------------------------------------------------------


def test_judgement_of_known_pairs():
    place = torch.arange(8000) % 8
    apart = torch.arange(8000) // 8 % 8
    rows = {
        "right": (place, 3 * place % 8),
        "turned": (place, (3 * place + 1) % 8),
        "apart": (place, apart),
        "one pair": (place * 0, place * 0),
    }
    sound, video = (torch.stack(part) for part in zip(*rows.values(), strict=True))
    found = judged(sound, video)
    close = torch.testing.assert_close
    close(found.right, torch.tensor([1, 0, 1 / 8, 1], dtype=torch.float64))
    close(found.information, torch.tensor([1.0, 1, 0, 0], dtype=torch.float64), atol=1e-6, rtol=0)
    close(found.places, torch.tensor([8.0, 8, 8, 1], dtype=torch.float64))


def test_real_pairs_belong_together():
    rings = example.Rings((), shared=False, models=5, seed=0)
    rings.generate = lambda count: example.real_pairs(5, rings.random)
    found = rings.result()
    assert found.right.min() > 0.95
    assert found.information.min() > 0.9


def test_models_of_an_ensemble_are_apart():
    """What one model loses says nothing about the weights of another."""
    rings = example.Rings(("eq2", "gg"), shared=True, models=3, seed=0)
    real, fake = example.real_pairs(3, rings.random), rings.generate(example.BATCH)
    for weight in rings.generators[0].weights:
        weight.grad = None
    said = rings.judged(0, real, fake)["gg"]
    said[1].sum().backward()
    for net in (*rings.generators, rings.joint[0]):
        reached = [w.grad.abs().amax((1, 2)) > 0 for w in net.weights]
        assert all(r.tolist() == [False, True, False] for r in reached)


def test_the_matcher_is_taught_real_pairs_and_asked_about_generated_ones():
    rings = example.Rings(("match",), shared=True, models=2, seed=0)
    real, fake = example.real_pairs(2, rings.random), rings.generate(example.BATCH)
    data = tuple(part.detach() for part in fake)
    matcher = [*rings.joint.parameters()]
    both = [
        torch.autograd.grad(loss, matcher, retain_graph=True)
        for loss in (rings.discriminators_loss(real, data), rings.matched(real))
    ]
    for found, alone in zip(*both, strict=True):
        torch.testing.assert_close(found, 2 * alone)  # Two models.
    makers = [*rings.generators.parameters()]
    found = torch.autograd.grad(rings.matched(fake), makers, retain_graph=True)
    assert all((g.abs().amax((1, 2)) > 0).all() for g in found)
    asked = rings.generators_loss(real, fake) / 2
    apart = example.Rings((), shared=True, models=2, seed=0)
    apart.marginal = rings.marginal
    expected = apart.generators_loss(real, fake) / 2 + example.WEIGHT * rings.matched(fake)
    torch.testing.assert_close(asked, expected)


def test_pictures_are_matched_within_their_own_model():
    """By hand, for codes that are places on a circle."""
    rings = example.Rings(("match",), shared=True, models=2, seed=0)
    rings.joint = torch.nn.ModuleList([torch.nn.Identity(), torch.nn.Identity()])
    count = example.BATCH
    sound = example.on_circle(torch.arange(2 * count).view(2, count) * 8 / count)
    near = 10 * (2 * torch.pi * torch.arange(count) / count).cos()
    for shift in (0, 5, 40):
        found = rings.matched((sound, 3 * sound.roll(shift, 1)))
        torch.testing.assert_close(found, torch.logsumexp(near, 0) - near[shift])


# ---- Who learns to pair --------------------------------------------------------------------------


def test_generated_pairs_teach_the_pairing_soon():
    none, joint = trained("none", 300), trained("eq2 + gg", 300)
    assert none.information.max() < 0.05
    assert joint.information.mean() > 0.3
    assert joint.right.mean() > none.right.mean() + 0.1
    assert joint.places.min() > 5


def test_a_matcher_teaches_the_pairing_sooner_and_if_heavy_at_the_cost_of_places(monkeypatch):
    light = trained("match", 200)
    assert light.information.mean() > 0.5
    assert light.places.min() > 7
    monkeypatch.setattr(example, "WEIGHT", 1.0)
    heavy = trained("match", 200)
    assert heavy.places.mean() < light.places.mean() - 1


@pytest.mark.slow
def test_equation_2_alone_does_not_teach_the_pairing():
    """What is left under "eq2" is what shared noise and first weights happen to couple."""
    none, eq2, joint = (trained(arm, 1000) for arm in ("none", "eq2", "eq2 + gg"))
    assert joint.information.min() > 0.5
    assert joint.places.min() > 5
    assert none.information.max() < 0.05
    assert eq2.information.mean() < 0.2
    assert (eq2.right - 1 / 8).abs().max() < 0.1
    assert min(none.places.min(), eq2.places.min()) > 7
