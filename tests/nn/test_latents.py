import dataclasses

import pytest
import torch

from soundsight.contract import Streams
from soundsight.nn.latents import Latents, Widths

WIDTHS = Widths(shared=5, content=3, motion=2, sound=4)
FIELDS = [field.name for field in dataclasses.fields(Latents)]


def draw(clips=4, frames=6, seed=0, widths=WIDTHS):
    return widths.draw(clips, frames, torch.Generator().manual_seed(seed))


def same(a, b, names=FIELDS):
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in names)


def test_shapes():
    z = draw()
    shapes = [tuple(getattr(z, name).shape) for name in FIELDS]
    assert shapes == [(4, 5), (4, 3), (4, 2), (4, 6, 2), (4, 4)]
    assert len(z) == 4


def test_all_noise_is_standard_normal():
    z = Widths(20, 20, 20, 20).draw(500, 5, torch.Generator().manual_seed(0))
    for name in FIELDS:
        part = getattr(z, name)
        assert part.mean().abs() < 0.05, name
        assert part.std().item() == pytest.approx(1, abs=0.05), name


def test_rows():
    z = draw()
    for rows in ([2, 0], slice(1, 3), torch.tensor([3])):
        part = z[rows]
        for name in FIELDS:
            assert torch.equal(getattr(part, name), getattr(z, name)[rows])
    assert len(z[[2, 0]]) == 2


def test_parts_are_all_fields_once():
    named = [name for names in Latents.PARTS.values() for name in names]
    assert sorted(named) == sorted(FIELDS)


@pytest.mark.parametrize("part", ["content", "motion"])
def test_mix_ends_at_both_noises(part):
    here, there = draw(seed=1), draw(seed=2)
    assert same(here.mix(there, 0.0, part), here)
    end = here.mix(there, 1.0, part)
    assert same(end, there, Latents.PARTS[part])
    rest = [name for name in FIELDS if name not in Latents.PARTS[part]]
    assert same(end, here, rest)
    assert same(here.with_part(there, part), end)
    assert not same(here.mix(there, 0.5, part), here, Latents.PARTS[part])


def test_mix_is_of_the_content_unless_told():
    here, there = draw(seed=1), draw(seed=2)
    assert same(here.mix(there, 0.3), here.mix(there, 0.3, "content"))


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_mix_stays_normal(share):
    """cos² + sin² = 1: noise between two noises has the same law."""
    wide = Widths(200, 200, 10, 200)
    here, there = draw(200, 2, 1, wide), draw(200, 2, 2, wide)
    for part, names in Latents.PARTS.items():
        mixed = here.mix(there, share, part)
        for name in names:
            assert getattr(mixed, name).std().item() == pytest.approx(1, abs=0.04)
    norms = here.mix(there, share).shared.norm(dim=1)
    assert norms.mean().item() == pytest.approx(here.shared.norm(dim=1).mean().item(), rel=0.03)


def test_mix_goes_at_even_speed():
    """Of perpendicular noises of one length, the angle grows with the share."""
    zero, one = torch.zeros(1, 2), torch.eye(2)[:1]
    here = Latents(one, zero, zero, torch.zeros(1, 3, 2), zero)
    there = dataclasses.replace(here, shared=torch.eye(2)[1:])
    third = here.mix(there, 1 / 3).shared
    torch.testing.assert_close(third, torch.tensor([[3**0.5 / 2, 0.5]]))


def test_unknown_parts_are_refused():
    with pytest.raises(ValueError, match="part='sound' must be one of content, motion"):
        draw().mix(draw(), 0.5, "sound")


def test_same_seed_same_noise():
    assert same(draw(seed=3), draw(seed=3))
    assert not same(draw(seed=3), draw(seed=4))


def streamed(ids, num_samples=2, frames=6):
    return WIDTHS.draw_streams(Streams(9, ids), num_samples, frames)


def test_streams_give_a_clip_its_noise_in_any_batch():
    together, alone = streamed([4, 5, 6], 3), streamed([5], 2)
    assert len(together) == 9
    assert same(together[[3, 4]], alone)
    rows = {tuple(row.tolist()) for row in together.shared}
    assert len(rows) == 9


def test_a_longer_clip_begins_as_the_shorter():
    short, long = streamed([1], 2, 6), streamed([1], 2, 11)
    assert torch.equal(long.motion[:, :6], short.motion)
    assert same(short, long, [name for name in FIELDS if name != "motion"])
    steps = {tuple(row.tolist()) for row in long.motion.flatten(0, 1)}
    assert len(steps) == 22  # Every frame has noise of its own.


def test_to_a_device():
    assert same(draw().to(torch.device("cpu")), draw())
    assert draw().to(torch.device("meta")).motion.is_meta
