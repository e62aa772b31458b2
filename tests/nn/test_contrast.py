"""InfoNCE and the encoder that learns by it."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from soundsight.nn.contrast import MatchingEncoder, Product, info_nce


def codes(count=7, width=5, seed=0):
    return torch.randn(2, count, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("b", [1, 2, 8])
def test_codes_that_are_alike_cost_log_b(b):
    one = torch.tensor([0.6, -0.8, 0.0]).expand(b, -1)
    assert float(info_nce(one, one, 0.1)["nce"]) == pytest.approx(math.log(b), abs=1e-6)
    assert float(info_nce(one, -one, 0.1)["nce"]) == pytest.approx(math.log(b), abs=1e-6)


def test_info_nce_by_hand():
    """Cosines of two `a`, up and right, with two `b` that both are up: (1, 1) and (0, 0).

    At τ = 1/2 each `a` has a share of 1/2 for either; the `b` have shares of e^2 and 1.
    """
    a, b = torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    said = info_nce(a, b, 0.5)
    there = math.log(2)
    back = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(2))) / 2
    assert float(said["nce"]) == pytest.approx((there + back) / 2)


def test_the_share_that_is_right():
    """Of three, the first and the last are nearest to their own."""
    a, b = torch.eye(3), torch.tensor([[1.0, 0, 0], [0.8, 0.6, 0], [0, 0.8, 0.6]])
    assert float(info_nce(a, b, 0.1)["right"]) == pytest.approx(2 / 3)


def test_info_nce_equals_numpy():
    a, b = nn.functional.normalize(codes(), dim=2)
    scores = np.exp(a.numpy() @ b.numpy().T / 0.2)
    own = np.diag(scores)
    expected = -np.log([own / scores.sum(1), own / scores.sum(0)]).mean()
    said = info_nce(a, b, 0.2)
    assert float(said["nce"]) == pytest.approx(expected, rel=1e-5)
    assert float(said["right"]) == pytest.approx(np.mean(scores.argmax(1) == np.arange(7)))
    # Both ways: whoever is called `a`.
    torch.testing.assert_close(info_nce(b, a, 0.2)["nce"], said["nce"])


# ---- The encoder ---------------------------------------------------------------------------------


def pairs(count, seed):
    """A picture with one bright corner of four, and a map with a line at one of four heights."""
    generator = torch.Generator().manual_seed(seed)
    which = torch.arange(count) % 4
    seen = 0.3 * torch.randn(count, 2, 8, 8, generator=generator)
    heard = 0.3 * torch.randn(count, 1, 8, 6, generator=generator)
    for row, k in enumerate(which.tolist()):
        seen[row, :, 4 * (k // 2) :, 4 * (k % 2) :][:, :4, :4] += 1.5
        heard[row, 0, 2 * k : 2 * k + 2] += 1.5
    return heard, seen


def encoder(seed=0):
    torch.manual_seed(seed)
    return MatchingEncoder(1, 2, (4, 8), 6)


def test_its_loss_is_info_nce_of_both_encodings():
    net, (heard, seen) = encoder(), pairs(5, 0)
    loss = net.loss(heard, seen)
    unit = (nn.functional.normalize(x, dim=1) for x in (net(heard), net.other(seen)))
    expected = info_nce(*unit, 0.1)
    assert net(heard).shape == net.other(seen).shape == (5, 6)
    torch.testing.assert_close(loss.total, expected["nce"])
    assert set(loss.terms) == {"nce", "right"}
    with pytest.raises(ValueError, match="a batch of 1: a matcher needs at least 2"):
        net.loss(heard[:1], seen[:1])
    loss.total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_encoding_needs_no_encoder_of_the_other_part():
    net, (heard, _) = encoder().eval(), pairs(3, 0)
    before = net(heard)
    for p in net.other.parameters():
        nn.init.constant_(p, math.nan)
    assert torch.equal(net(heard), before)


def test_it_learns_to_match():
    """Of four pairs, one of each kind, never seen: whose is whose?"""
    net = encoder()
    adam = torch.optim.Adam(net.parameters(), lr=1e-2)

    def right():
        """Share of 20 batches' sounds that find their own picture."""
        net.eval()
        with torch.no_grad():
            shares = [float(net.loss(*pairs(4, 1000 + seed)).terms["right"]) for seed in range(20)]
        net.train()
        return sum(shares) / 20

    assert right() < 0.6
    for step in range(80):
        adam.zero_grad()
        net.loss(*pairs(4, step)).total.backward()
        adam.step()
    assert right() > 0.95


# ---- Product -------------------------------------------------------------------------------------


def test_the_product_of_two_codes_and_a_linear_layer():
    """By hand, for maps of one place that count."""
    net = Product(2)
    for layer in (net.see, net.hear, net.real):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    with torch.no_grad():
        net.see.weight[0, 0, 1, 2] = 3.0
        net.hear.weight[0, 1, 0, 0] = 5.0
        net.real.weight[0, 2, 3, 3] = 7.0
        net.real.bias[0] = 0.5
    maps = torch.zeros(2, 4, 4, 4)
    maps[0, 0, 1, 2], maps[0, 3, 0, 0] = 2.0, 1.0  # What is seen, what is heard.
    maps[1, 2, 3, 3] = 1.0
    assert net(maps).shape == (2, 1, 1, 1)
    assert net(maps).flatten().tolist() == [3 * 2 * 5 * 1 + 0.5, 7.5]


def test_a_product_tells_what_belongs_together_from_what_does_not():
    """Neither map alone says anything: an exclusive or, which no sum of both can tell."""
    torch.manual_seed(0)
    net = Product(1)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    signs = torch.tensor([[1.0, 1], [-1, -1], [1, -1], [-1, 1]])
    maps = signs[:, :, None, None].expand(-1, -1, 4, 4)
    target = torch.tensor([1.0, 1, 0, 0])
    for _ in range(100):
        loss = nn.functional.binary_cross_entropy_with_logits(net(maps).flatten(), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert ((net(maps).flatten() > 0) == target.bool()).all()
