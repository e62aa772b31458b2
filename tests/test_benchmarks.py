"""The benchmarks still fit the models that they measure."""

import pytest
import torch
from benchmarks import joint_gan

from soundsight import recipes


@pytest.mark.parametrize("make", [joint_gan.shared_step, joint_gan.plain_step])
def test_a_step_of_the_joint_gan_trains_every_network(make):
    recipe = recipes.load("joint_gan_bounce_tiny")
    sizes = {n: getattr(recipe.model, n) for n in ("content", "motion", "sound", "shared")}
    sizes |= {"image_channels": 4, "audio_channels": 4, "joint_channels": 4, "audio_layers": 4}
    model = joint_gan.build(recipe.clip, **sizes)
    before = {name: p.clone() for name, p in model.named_parameters()}
    make(model, joint_gan.batch(recipe.clip, 4))()
    moved = {
        name.split(".")[0] for name, p in model.named_parameters() if (p != before[name]).any()
    }
    assert moved == set(model.phases())
    assert all(torch.isfinite(p).all() for p in model.parameters())
