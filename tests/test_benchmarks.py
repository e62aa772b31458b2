"""The benchmarks still fit the models that they measure."""

import pytest
import torch
from benchmarks import joint_gan

from soundsight import recipes
from soundsight.nn import augment


@pytest.mark.parametrize("make", [joint_gan.shared_step, joint_gan.plain_step])
def test_a_step_of_the_joint_gan_trains_every_network(make):
    recipe = recipes.load("joint_gan_bounce_tiny")
    model = joint_gan.build(recipe.clip, recipe.model)
    before = {name: p.clone() for name, p in model.named_parameters()}
    make(model, joint_gan.batch(recipe.clip, 4))()
    moved = {
        name.split(".")[0] for name, p in model.named_parameters() if (p != before[name]).any()
    }
    assert moved == set(model.phases())
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_both_ways_of_a_step_of_the_joint_gan_take_the_same_losses(monkeypatch):
    """With one noise for every fake, one frame and a matcher without noise, all learn the same."""
    recipe, ends = recipes.load("joint_gan_bounce_tiny"), []

    def plain_descent(model):
        return {n: torch.optim.SGD(m.parameters(), 0.1) for n, m in model.phases().items()}

    monkeypatch.setattr(joint_gan, "adams", plain_descent)
    monkeypatch.setattr(augment, "random_frames", lambda video, generator: video[:, 0])
    widths = joint_gan.build(recipe.clip, recipe.model).widths
    z = widths.draw(4, recipe.clip.frames, torch.Generator().manual_seed(0))
    monkeypatch.setattr(type(widths), "draw", lambda *_: z)
    for make in (joint_gan.shared_step, joint_gan.plain_step):
        model = joint_gan.build(recipe.clip, recipe.model)
        model.joint_discriminators["match"].noise = 0.0
        make(model, joint_gan.batch(recipe.clip, 4))()
        ends.append(dict(model.named_parameters()))
    torch.testing.assert_close(*ends, atol=1e-6, rtol=1e-4)
