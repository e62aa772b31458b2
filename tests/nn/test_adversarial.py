import pytest
import torch

from soundsight.nn.adversarial import mode_seeking_loss


def test_mode_seeking_by_hand():
    """Ratios 0.5 / 2 and 0.25 / 1, of mean distances: 1 / (mean + 1e-5)."""
    a, b = torch.zeros(2, 1, 2, 2), torch.zeros(2, 1, 2, 2)
    b[0], b[1, 0, 0] = 0.5, 0.5
    z_a, z_b = torch.zeros(2, 3), torch.tensor([[-2.0, 2, 2], [3, 0, 0]])
    expected = 1 / (0.25 + 1e-5)
    assert mode_seeking_loss(a, b, z_a, z_b).item() == pytest.approx(expected)
    assert mode_seeking_loss(b, a, z_b, z_a).item() == pytest.approx(expected)
    assert mode_seeking_loss(a, 2 * b, z_a, z_b).item() == pytest.approx(expected / 2, rel=1e-3)


def test_noise_without_effect_costs_most_and_equal_noise_is_finite():
    x, z = torch.ones(3, 4), torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    assert mode_seeking_loss(x, x, *z).item() == pytest.approx(1e5)
    assert mode_seeking_loss(x, -x, z[0], z[0]).isfinite()
