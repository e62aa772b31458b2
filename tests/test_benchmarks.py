"""The benchmarks still fit the models that they measure."""

from pathlib import Path

import pytest
import torch
from benchmarks import joint_gan
from benchmarks.__main__ import PARTS, Line, markdown, rewritten

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


def test_a_part_is_rewritten_alone():
    """Every part has its place in the page of figures, and its table leaves the others' as is."""
    page = (Path(__file__).parents[1] / "docs" / "performance.md").read_text("utf-8")
    table = markdown([Line("a thing", 1234.5, "clips/s", "another, 2.0", 617.25)], {"machine": "x"})
    assert "| a thing | 1,234.5 clips/s | another, 2.0 | 617.25 |" in table
    done = page
    for part in PARTS:
        once = rewritten(page, part, table)
        assert once.count("| a thing |") == 1
        assert rewritten(once, part, table) == once
        done = rewritten(done, part, table)
    assert done.count("| a thing |") == len(PARTS)
    assert "M3SO, 60 frames" not in done
    with pytest.raises(ValueError, match="no <!-- figures: other -->"):
        rewritten(page, "other", table)
