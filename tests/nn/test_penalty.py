import pytest
import torch
from torch import nn

from soundsight.nn.penalty import gradient_penalty, r1_penalty


def leaf(*shape, seed=0):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x.requires_grad_()


def test_r1_of_a_linear_map_is_the_squared_norm_of_its_weights():
    x, weight = leaf(5, 3), torch.tensor([1.0, -2, 2], dtype=torch.float64)
    assert r1_penalty(x @ weight, [x]).item() == pytest.approx(9.0)


def test_r1_of_a_square_by_hand():
    """D(x) = |x|², gradient 2 x: the mean of 4 |x|²."""
    x = torch.tensor([[1.0, 2], [0, 3]], requires_grad=True)
    assert r1_penalty(x.square().sum(1), [x]).item() == pytest.approx(4 * (5 + 9) / 2)


def test_r1_of_several_inputs_is_that_of_one_long_one():
    """Of D(a, v) = 3 a · 1 + 2 v · 1: 9 per entry of a and 4 per entry of v."""
    a, v = leaf(4, 2), leaf(4, 5, 1)
    logits = 3 * a.sum(1) + 2 * v.sum(1)
    assert r1_penalty(logits, [a, v]).item() == pytest.approx(9 * 2 + 4 * 5)


def test_r1_of_a_map_of_logits_is_that_of_its_mean():
    x = leaf(4, 6)
    logits = torch.stack([x.sum(1) * k for k in (1.0, 2.0, 6.0)], dim=1)
    assert r1_penalty(logits, [x]).item() == pytest.approx(3.0**2 * 6, rel=1e-6)
    assert r1_penalty(logits[:, :, None], [x]).item() == pytest.approx(54, rel=1e-6)


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Softplus(), nn.Linear(8, 1)).double()


def test_r1_equals_finite_differences():
    critic, x, step = net(), leaf(4, 3), 1e-5
    total = 0.0
    for row in x.detach():
        for i in range(3):
            ahead, behind = row.clone(), row.clone()
            ahead[i] += step
            behind[i] -= step
            slope = (critic(ahead) - critic(behind)).item() / (2 * step)
            total += slope**2
    assert r1_penalty(critic(x), [x]).item() == pytest.approx(total / 4, rel=1e-5)


def test_r1s_own_gradient_equals_finite_differences():
    critic, x, step = net(), leaf(4, 3), 1e-5
    weight = critic[0].weight
    (exact,) = torch.autograd.grad(r1_penalty(critic(x), [x]), weight)
    sides = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[2, 1] += sign * step
        sides.append(r1_penalty(critic(x), [x]).item())
        with torch.no_grad():
            weight[2, 1] -= sign * step
    # The penalty is a float32 number.
    assert exact[2, 1].item() == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=0.05)


def test_r1_leaves_other_gradients_alone():
    critic, x = net(), leaf(4, 3)
    r1_penalty(critic(x), [x])
    assert x.grad is None
    assert all(p.grad is None for p in critic.parameters())


@pytest.mark.parametrize(("slope", "expected"), [(1.0, 0.0), (3.0, 4.0), (0.0, 1.0)])
def test_wgan_penalty_of_a_linear_critic(slope, expected):
    """The gradient's norm over all samples is |slope|, wherever it is taken."""
    weight = slope * torch.tensor([0.6, 0.0, -0.8])
    real, fake = leaf(5, 3).float().detach(), leaf(5, 3, seed=1).float().detach()
    penalty = gradient_penalty(lambda x: x @ weight, real, fake, torch.Generator())
    assert penalty.item() == pytest.approx(expected, abs=1e-6)


def test_wgan_penalty_is_taken_between_real_and_fake():
    """D(x) = |x|² / 2 has the gradient x, which shows where it was taken."""
    real, fake, seen = torch.zeros(500, 2), torch.tensor([3.0, 4.0]).expand(500, 2), []

    def critic(x):
        seen.append(x)
        return x.square().sum(1) / 2

    penalty = gradient_penalty(critic, real, fake, torch.Generator().manual_seed(0))
    share = seen[0].detach()[:, 0] / 3
    torch.testing.assert_close(seen[0].detach()[:, 1] / 4, share)
    assert share.min() >= 0
    assert share.max() <= 1
    assert share.mean().item() == pytest.approx(0.5, abs=0.05)
    assert share.std().item() == pytest.approx(12**-0.5, abs=0.02)  # One draw for each sample.
    assert penalty.item() == pytest.approx((5 * share - 1).square().mean().item(), rel=1e-5)


def test_wgan_penalty_trains_the_critic():
    critic = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        critic.weight.copy_(torch.tensor([[0.0, 2.0, 0.0]]))
    penalty = gradient_penalty(
        lambda x: critic(x)[:, 0], torch.zeros(4, 3), torch.ones(4, 3), torch.Generator()
    )
    penalty.backward()
    # (|w| - 1)² has the gradient 2 (|w| - 1) w / |w|.
    torch.testing.assert_close(critic.weight.grad, torch.tensor([[0.0, 2.0, 0.0]]))
