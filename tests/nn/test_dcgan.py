import pytest
import torch
import torch.nn.functional as F
from torch import nn

from soundsight.nn.chunk_encoder import ChunkEncoder
from soundsight.nn.dcgan import ConvBlock, FrameDecoder, FrameEncoder, StepBatchNorm, level_widths


@pytest.mark.parametrize(
    ("size", "widths"),
    [
        (32, [64, 128, 256]),
        (48, [64, 128, 256]),
        (64, [64, 128, 256, 512]),
        (128, [64, 128, 256, 512, 512]),
    ],
)
def test_widths(size, widths):
    assert level_widths(size, 64) == widths


def test_batch_norm_per_step_equals_a_loop():
    ours, loop = StepBatchNorm(3), nn.BatchNorm2d(3)
    x = torch.randn(8, 3, 2, 2)
    y = ours(x, steps=4)
    expected = torch.cat([loop(part) for part in x.chunk(4)])
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(ours.running_mean, loop.running_mean)
    torch.testing.assert_close(ours.running_var, loop.running_var)
    pooled = StepBatchNorm(3)(x)
    assert (pooled - y).abs().max() > 1e-2


def trained(block):
    """Norms with statistics and weights that do something."""
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias, -1, 1)
    return block.eval()


@pytest.mark.parametrize("activation", ["leaky_relu", "tanh"])
def test_folded_norm_equals_the_norm(activation):
    torch.manual_seed(0)
    block = trained(ConvBlock(nn.Conv2d(3, 5, 4, 2, 1), activation))
    x = torch.randn(2, 3, 8, 8)
    slow = block(x)
    with torch.no_grad():
        torch.testing.assert_close(block(x), slow, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize(("seen", "steps"), [(5, 5), (2, 5), (1, 5)])
def test_decoder_equals_concatenation_of_gathered_skips(grad, seen, steps):
    """Frame n uses the skips of frame min(n, seen - 1)."""
    torch.manual_seed(0)
    decoder, batch = trained(FrameDecoder(16, 1, 6, width=3)), 2
    skips = [torch.randn(seen * batch, 3, 8, 8), torch.randn(seen * batch, 6, 4, 4)]
    code = torch.randn(steps * batch, 6)
    index = torch.arange(steps).clamp(max=seen - 1)
    x = F.leaky_relu(decoder.first_norm(decoder.first(code[:, :, None, None])), 0.2)
    for up, skip in zip(decoder.ups, reversed(skips), strict=True):
        gathered = skip.unflatten(0, (seen, batch))[index].flatten(0, 1)
        x = up.conv(torch.cat([x, gathered], dim=1))
        x = torch.sigmoid(x) if up.norm is None else F.leaky_relu(up.norm(x), 0.2)
    with torch.set_grad_enabled(grad):
        shared = (steps - seen + 1) * batch if seen < steps else 0
        ours = decoder(code, decoder.project_skips(skips), shared)
    torch.testing.assert_close(ours, x, atol=1e-5, rtol=1e-5)


def test_encoder_returns_maps_largest_first():
    code, maps = FrameEncoder(32, 3, 7, width=2)(torch.rand(2, 3, 32, 32))
    assert code.shape == (2, 7)
    assert code.abs().max() <= 1
    assert [tuple(m.shape) for m in maps] == [(2, 2, 16, 16), (2, 4, 8, 8), (2, 8, 4, 4)]


@pytest.mark.parametrize("shape", [(23, 21), (45, 17), (11, 11), (33, 21), (65, 21), (41, 17)])
def test_chunk_encoder_takes(shape):
    assert ChunkEncoder(*shape, 6, width=2)(torch.rand(2, 1, *shape)).shape == (2, 6)


def test_chunk_encoder_refuses_small_chunks():
    with pytest.raises(ValueError, match="10 bins x 21 columns"):
        ChunkEncoder(10, 21, 6)
