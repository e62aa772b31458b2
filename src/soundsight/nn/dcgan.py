"""The DCGAN frame encoder and decoder of SVG and Sound2Sight, for any size 4, 5 or 6 times 2^k.

Frames are in [0, 1].  The decoder takes the encoder's feature maps as skip connections.  A
transposed convolution of `[decoder, skip]` is the sum of one of each, so the skips' part is
computed by itself (`project_skips`), once for all the frames that share a skip.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

SLOPE = 0.2
"""Negative slope of every LeakyReLU."""


def level_widths(size: int, width: int) -> list[int]:
    """Channels after each halving of a `size` px frame: width, 2 width, 4 width, at most 8 width.

    Raises:
        ValueError: if halving `size` does not end at 4, 5 or 6 px.
    """
    levels, rest = 0, size
    while rest > 6 and rest % 2 == 0:
        levels, rest = levels + 1, rest // 2
    if rest not in (4, 5, 6) or levels < 2:
        good = sorted(base * 2**k for base in (4, 5, 6) for k in range(2, 6))
        raise ValueError(f"size={size}: the frame networks need one of {good}")
    return [width * min(2**level, 8) for level in range(levels)]


def init_weights(module: nn.Module, linear: bool = True) -> None:
    """DCGAN's first weights: N(0, 0.02) for convolutions and, if wanted, linear maps; N(1, 0.02)
    for batch norm.
    """  # noqa: D205
    kinds = (nn.Conv2d, nn.ConvTranspose2d, *([nn.Linear] if linear else []))
    if isinstance(module, kinds):
        assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


class StepBatchNorm(nn.BatchNorm2d):
    """Batch norm over all the frames of a batch of clips, or over each time step by itself.

    The second is what a step-by-step loop does: statistics over the clips at one time, running
    averages updated once per step, in order.
    """

    def forward(self, x: Float[Tensor, "m c h w"], steps: int = 1) -> Float[Tensor, "m c h w"]:
        """Normalize m frames, time-major, that make up `steps` separate batches."""
        if not self.training or steps == 1:
            return super().forward(x)
        return torch.cat([super(StepBatchNorm, self).forward(part) for part in x.chunk(steps)])


def _folded(
    conv: nn.Conv2d | nn.ConvTranspose2d, norm: nn.BatchNorm2d
) -> tuple[Tensor, Tensor, Tensor]:
    """Weight, bias and scale of a convolution with its (evaluating) batch norm multiplied in."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert conv.bias is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    shape = (1, -1, 1, 1) if isinstance(conv, nn.ConvTranspose2d) else (-1, 1, 1, 1)
    bias = (conv.bias - norm.running_mean) * scale + norm.bias
    return conv.weight * scale.view(shape), bias, scale


class ConvBlock(nn.Module):
    """Convolution, batch norm, activation.  While sampling, the norm is folded into the weights."""

    def __init__(
        self,
        conv: nn.Conv2d,
        activation: str = "leaky_relu",
    ) -> None:
        super().__init__()
        self.conv = conv
        self.norm = StepBatchNorm(conv.out_channels)
        self.activation = activation

    def forward(self, x: Float[Tensor, "m c h w"], steps: int = 1) -> Float[Tensor, "m d i j"]:
        """Apply to m frames, time-major, of `steps` separate batches (see `StepBatchNorm`)."""
        if self.training or torch.is_grad_enabled():
            x = self.norm(self.conv(x), steps)
            return F.leaky_relu(x, SLOPE) if self.activation == "leaky_relu" else torch.tanh(x)
        weight, bias, _ = _folded(self.conv, self.norm)
        c = self.conv
        x = F.conv2d(x, weight, bias, c.stride, c.padding)
        return F.leaky_relu_(x, SLOPE) if self.activation == "leaky_relu" else torch.tanh_(x)


class UpBlock(nn.Module):
    """Transposed convolution of [x, skip], batch norm, LeakyReLU; the skip's part comes projected.

    Without a norm (the last block) the activation is a sigmoid: pixels.
    """

    def __init__(self, channels: int, skip: int, out: int, *, last: bool = False) -> None:
        super().__init__()
        self.channels = channels
        self.conv = nn.ConvTranspose2d(channels + skip, out, 4, 2, 1)
        self.norm = None if last else StepBatchNorm(out)

    def project_skip(self, skip: Float[Tensor, "m c h w"]) -> Float[Tensor, "m d i j"]:
        """The skip's summand of the transposed convolution, before bias and norm."""
        weight = self.conv.weight[self.channels :]
        if not (self.training or torch.is_grad_enabled()) and self.norm is not None:
            weight = _folded(self.conv, self.norm)[0][self.channels :]
        return F.conv_transpose2d(skip, weight, None, 2, 1)

    def forward(
        self,
        x: Float[Tensor, "m c h w"],
        projected: Float[Tensor, "p d i j"],
        shared: int,
        steps: int = 1,
    ) -> Float[Tensor, "m d i j"]:
        """Apply to m frames of which the last `shared` use the last skips over and over.

        Args:
            x: the layer below, time-major.
            projected: p <= m projected skips.  Frame i < m - shared has skip i; the others cycle
                through the skips from there on.
            shared: number of frames at the end that share skips.
            steps: separate batches, see `StepBatchNorm`.
        """
        if self.training or torch.is_grad_enabled():
            x = F.conv_transpose2d(x, self.conv.weight[: self.channels], self.conv.bias, 2, 1)
            x = _add_skips(x, projected, shared)
            return (
                torch.sigmoid(x) if self.norm is None else F.leaky_relu(self.norm(x, steps), SLOPE)
            )
        weight, bias = self.conv.weight, self.conv.bias
        if self.norm is not None:
            weight, bias, _ = _folded(self.conv, self.norm)
        x = F.conv_transpose2d(x, weight[: self.channels], bias, 2, 1)
        x = _add_skips(x, projected, shared)
        return torch.sigmoid_(x) if self.norm is None else F.leaky_relu_(x, SLOPE)


def _add_skips(x: Tensor, projected: Tensor, shared: int) -> Tensor:
    """Add frame i's skip to frame i; the last `shared` frames cycle through the last skips."""
    own = len(x) - shared
    if not shared:
        return x + projected
    cycle = len(projected) - own
    rest = x[own:].unflatten(0, (shared // cycle, cycle)) + projected[own:]
    rest = rest.flatten(0, 1)
    return torch.cat([x[:own] + projected[:own], rest]) if own else rest


class FrameEncoder(nn.Module):
    """Frames to codes in [-1, 1] and skip maps (`dcgan` encoder f)."""

    def __init__(self, size: int, channels: int, code: int, width: int = 64) -> None:
        super().__init__()
        self.widths = widths = level_widths(size, width)
        pairs = zip([channels, *widths], widths, strict=False)
        self.blocks = nn.ModuleList(ConvBlock(nn.Conv2d(c, d, 4, 2, 1)) for c, d in pairs)
        self.code = ConvBlock(nn.Conv2d(widths[-1], code, size >> len(widths)), "tanh")

    def forward(
        self, frames: Float[Tensor, "m c h w"], steps: int = 1
    ) -> tuple[Float[Tensor, "m d"], list[Float[Tensor, "m _ _ _"]]]:
        """Codes (m, d) and the maps of every level, largest first."""
        x, skips = frames.contiguous(memory_format=torch.channels_last), []
        for block in self.blocks:
            x = block(x, steps)
            skips.append(x)
        return self.code(x, steps).flatten(1), skips


class FrameDecoder(nn.Module):
    """Codes and skip maps to frames in [0, 1] (`dcgan` decoder g)."""

    def __init__(self, size: int, channels: int, code: int, width: int = 64) -> None:
        super().__init__()
        widths = level_widths(size, width)
        kernel = size >> len(widths)
        self.first = nn.ConvTranspose2d(code, widths[-1], kernel)
        self.first_norm = StepBatchNorm(widths[-1])
        ups = [UpBlock(w, w, v) for w, v in zip(widths[:0:-1], widths[-2::-1], strict=True)]
        self.ups = nn.ModuleList([*ups, UpBlock(widths[0], widths[0], channels, last=True)])

    def project_skips(self, skips: Sequence[Tensor]) -> list[Tensor]:
        """What the skips (largest map first) add to each layer, smallest map first."""
        pairs = zip(self.ups, reversed(skips), strict=True)
        return [up.project_skip(skip) for up, skip in pairs]  # type: ignore[operator]

    def forward(
        self,
        code: Float[Tensor, "m d"],
        projected: Sequence[Tensor],
        shared: int = 0,
        steps: int = 1,
    ) -> Float[Tensor, "m c h w"]:
        """Decode m codes; for `projected`, `shared` and `steps` see `UpBlock.forward`."""
        x = self.first(code[:, :, None, None])
        x = F.leaky_relu(self.first_norm(x, steps), SLOPE)
        x = x.contiguous(memory_format=torch.channels_last)
        for up, skip in zip(self.ups, projected, strict=True):
            x = up(x, skip, shared, steps)
        return x
