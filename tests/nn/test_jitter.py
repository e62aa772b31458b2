import pytest
import torch

from soundsight.nn.jitter import Jitter


def jitter(seed=0, **options):
    return Jitter(torch.Generator().manual_seed(seed), **options)


def shifted(row, shift):
    """One row of steps, `shift` later; the open end mirrors what is inside, without its edge."""
    length, result = len(row), []
    for step in range(length):
        at = step - shift
        if at < 0:
            at = -at
        elif at > length - 1:
            at = 2 * (length - 1) - at
        result.append(row[at])
    return torch.stack(result)


def shift_of(row, shuffled, radius):
    """By how much one clip, (c, l), was shifted; exactly one shift must explain it."""
    found = [
        shift
        for shift in range(-radius, radius + 1)
        if torch.equal(shifted(row.T, shift).T, shuffled)
    ]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("radius", [1, 2, 5])
def test_phase_shuffle_equals_a_loop_and_uses_its_whole_range(radius):
    x = torch.arange(64 * 2 * 9.0).reshape(64, 2, 9)
    y = jitter(radius=radius).shuffle(x)
    assert y.shape == x.shape
    shifts = [shift_of(a, b, radius) for a, b in zip(x, y, strict=True)]
    assert set(shifts) == set(range(-radius, radius + 1))


def test_phase_shuffle_by_hand():
    x = torch.tensor([[[0.0, 1, 2, 3, 4]]])
    seen = {tuple(jitter(seed, radius=2).shuffle(x)[0, 0].tolist()) for seed in range(60)}
    assert seen == {
        (2, 1, 0, 1, 2), (1, 0, 1, 2, 3), (0, 1, 2, 3, 4), (1, 2, 3, 4, 3), (2, 3, 4, 3, 2)
    }  # fmt: skip


def test_the_shifts_are_uniform():
    x = torch.arange(9.0).expand(5000, 1, 9)
    first = jitter(radius=2).shuffle(x)[:, 0, 4]
    shares = torch.bincount(4 - first.long() + 2) / 5000
    assert shares.shape == (5,)
    assert (shares - 0.2).abs().max() < 0.03


def test_one_shift_for_the_batch_and_another_for_the_next():
    x = torch.arange(16 * 9.0).reshape(16, 1, 9)
    together = jitter(radius=2, per_sample=False)
    shifts = []
    for _ in range(30):
        y = together.shuffle(x)
        (shift,) = {shift_of(a, b, 2) for a, b in zip(x, y, strict=True)}
        shifts.append(shift)
    assert set(shifts) == {-2, -1, 0, 1, 2}


def test_phase_shuffle_passes_gradients_of_what_is_left():
    x = torch.arange(9.0).reshape(1, 1, 9).requires_grad_()
    jitter(seed=1, radius=2).shuffle(x).sum().backward()
    assert x.grad.sum() == 9


def test_instance_noise_has_its_size_and_its_seed():
    x = torch.ones(50, 3, 8, 8)
    noise = jitter(sigma=0.1).noise(x) - x
    assert noise.std().item() == pytest.approx(0.1, rel=0.05)
    assert noise.mean().item() == pytest.approx(0, abs=0.005)
    assert torch.equal(jitter(sigma=0.1).noise(x) - x, noise)
    assert not torch.equal(jitter(1, sigma=0.1).noise(x) - x, noise)


def test_nothing_is_drawn_for_nothing():
    source = torch.Generator().manual_seed(0)
    before, x = source.get_state(), torch.randn(2, 3, 9)
    none = Jitter(source)
    assert none.noise(x) is x
    assert none.shuffle(x) is x
    assert torch.equal(source.get_state(), before)


def test_too_wide_a_shuffle_is_refused():
    jitter(radius=3).shuffle(torch.zeros(1, 1, 4))
    with pytest.raises(ValueError, match=r"radius=4.*4 steps"):
        jitter(radius=4).shuffle(torch.zeros(1, 1, 4))
