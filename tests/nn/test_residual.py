import pytest
import torch

from soundsight.nn.residual import ResidualEncoder


@pytest.mark.parametrize("size", [(64, 33), (128, 44), (16, 16)])
def test_maps_of_any_size_become_a_grid_of_means(size):
    torch.manual_seed(0)
    net = ResidualEncoder(1, (4, 6, 8)).eval()
    x = torch.rand(3, 1, *size)
    assert net.features == 128
    made = net(x)
    assert made.shape == (3, 128)
    # Each row by itself.
    torch.testing.assert_close(net(x[1:2])[0], made[1])


def test_it_keeps_where_a_line_stands():
    """One mean over everything would not, but for the edges."""
    torch.manual_seed(0)
    net = ResidualEncoder(1, (4, 6, 8)).eval()
    low, high = torch.zeros(2, 1, 1, 64, 32).unbind()
    low[:, :, 24], high[:, :, 40] = 1, 1
    below, above = (net(x).unflatten(1, (8, 4, 4)) for x in (low, high))
    # The same second and third rows of the grid, one lower than the other.
    torch.testing.assert_close(below[:, :, 1, 1:3], above[:, :, 2, 1:3])
    assert (below[:, :, 1] - below[:, :, 2]).abs().max() > 0.01
