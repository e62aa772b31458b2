"""SSIM and PSNR against scikit-image and against numbers worked out by hand."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from soundsight.evaluation.image import PSNR_CAP_DB, box_mean, psnr, ssim, ssim_ranges


def frames(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("data_range", [1.0, 2.0])
@pytest.mark.parametrize(("height", "width"), [(7, 7), (20, 33)])
def test_ssim_equals_scikit_image(channels, data_range, height, width):
    x = frames(4, channels, height, width)
    y = (x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    expected = [
        structural_similarity(a, b, data_range=data_range, channel_axis=0)
        for a, b in zip(x.double().numpy(), y.double().numpy(), strict=True)
    ]
    np.testing.assert_allclose(ssim(x, y, data_range=data_range), expected, atol=1e-9)


def test_ssim_equals_scikit_image_on_flat_areas_and_another_window():
    x, y = torch.zeros(1, 24, 24), torch.zeros(1, 24, 24)
    x[0, 4:12, 4:12], y[0, 6:14, 5:13] = 1, 0.8
    expected = structural_similarity(
        x[0].double().numpy(), y[0].double().numpy(), data_range=1.0, win_size=5
    )
    assert float(ssim(x, y, data_range=1.0, window=5)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("channels", [1, 3])
def test_psnr_equals_scikit_image_per_channel(channels):
    x, y = frames(2, channels, 9, 9), frames(2, channels, 9, 9, seed=1)
    expected = [
        np.mean([peak_signal_noise_ratio(p, q, data_range=2.0) for p, q in zip(a, b, strict=True)])
        for a, b in zip(x.double().numpy(), y.double().numpy(), strict=True)
    ]
    np.testing.assert_allclose(psnr(x, y, data_range=2.0), expected, atol=1e-9)


def test_known_values():
    black, white = torch.zeros(1, 8, 8), torch.ones(1, 8, 8)
    assert float(ssim(white, white, data_range=1.0)) == 1
    assert float(ssim(black, white, data_range=1.0)) == pytest.approx(1e-4 / (1 + 1e-4))
    assert float(psnr(black, black + 0.1, data_range=1.0)) == pytest.approx(20, abs=1e-5)
    assert float(psnr(black, white, data_range=2.0)) == pytest.approx(20 * math.log10(2))
    assert float(psnr(white, white, data_range=1.0)) == math.inf
    assert PSNR_CAP_DB == 100


def test_leading_axes_broadcast_and_blocks_do_not_show():
    samples, truth = frames(3, 5, 40, 1, 16, 16), frames(3, 1, 40, 1, 16, 16, seed=2)
    both = ssim_ranges(samples, truth, data_ranges=(1.0, 2.0))
    assert [tuple(values.shape) for values in both] == [(3, 5, 40)] * 2
    assert float(both[1][2, 4, 39]) == float(
        ssim(samples[2, 4, 39], truth[2, 0, 39], data_range=2.0)
    )
    ratio = psnr(samples, truth, data_range=1.0)
    assert float(ratio[1, 3, 7]) == float(psnr(samples[1, 3, 7], truth[1, 0, 7], data_range=1.0))
    assert ssim(samples[:0], truth[:0], data_range=1.0).shape == (0, 5, 40)


def test_box_mean_of_a_ramp():
    ramp = torch.arange(12.0).reshape(3, 4)
    assert box_mean(ramp, 2).tolist() == [[2.5, 3.5, 4.5], [6.5, 7.5, 8.5]]
    assert box_mean(ramp, 3).tolist() == [[5.0, 6.0]]


def test_bad_arguments_are_named():
    x = torch.zeros(1, 6, 9)
    with pytest.raises(ValueError, match=r"frames of 6x9 pixels are smaller than window=7"):
        ssim(x, x, data_range=1.0)
    with pytest.raises(ValueError, match="window=4 must be a positive odd"):
        ssim(x, x, data_range=1.0, window=4)
    with pytest.raises(ValueError, match="data_range=0"):
        psnr(x, x, data_range=0.0)
    with pytest.raises(TypeError, match="data_range"):
        ssim(x, x)
