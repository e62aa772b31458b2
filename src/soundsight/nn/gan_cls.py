"""Conditional generator and matching-aware discriminator of GAN-CLS, for pictures and sound maps.

A picture is a square of 4 2^m px.  A sound map is 32 2^m bins high and 32 + m columns wide: its
networks are those of a picture of 32 px, and m layers that double the height alone, by kernels of 4
that add a column.

Sources: Reed et al., Generative Adversarial Text to Image Synthesis, 2016, with the residual blocks
of its released code; Chen et al., Deep Cross-Modal Audio-Visual Generation, 2017, section 3.2.
"""

import itertools
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

BASE, SIDE = 4, 32
"""Side of the smallest maps; side up to which sound maps are square."""
SLOPE = 0.2
"""Negative slope of every LeakyReLU."""


def doublings(size: int, base: int) -> int:
    """How often `base` is doubled to give `size`, which is a power of 2 times it."""
    return (size // base).bit_length() - 1


def layout(shape: tuple[int, int, int]) -> tuple[int, int]:
    """Of channels, height and width: the square's side, and doublings of the height alone."""
    _, height, width = shape
    return (height, 0) if height == width else (SIDE, doublings(height, SIDE))


def convolved(conv: nn.Conv2d | nn.ConvTranspose2d, norm: bool) -> list[nn.Module]:
    """A convolution, and its batch norm if wanted."""
    return [conv, nn.BatchNorm2d(conv.out_channels)] if norm else [conv]


class Bottleneck(nn.Module):
    """A residual block of 1 x 1, 3 x 3 and 3 x 3 convolutions at a fourth of the width.

    Args:
        channels: in and out.
        slope: negative slope of the activations; 0: ReLU.
        norm: whether batch norm follows each convolution.
    """

    def __init__(self, channels: int, slope: float, *, norm: bool = True) -> None:
        super().__init__()
        inner, self.slope = max(1, channels // 4), slope
        layers: list[nn.Module] = []
        for i, o, kernel in ((channels, inner, 1), (inner, inner, 3), (inner, channels, 3)):
            layers += convolved(nn.Conv2d(i, o, kernel, padding=kernel // 2, bias=not norm), norm)
            layers += [nn.LeakyReLU(slope)]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Maps of the same size."""
        return F.leaky_relu(x + self.layers(x), self.slope)


class ConditionalGenerator(nn.Module):
    """Compressed encoding φ and noise z -> transposed convolutions -> values in [-1, 1].

    Args:
        shape: channels, height and width of what is made, see the module's docstring.
        encoding: width of φ.
        condition: width to which it is compressed.
        z: width of the noise.
        channels: of the largest square maps; the smallest have 8 times as many.
        extra: for sound maps, two more convolutions on the largest square maps.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        encoding: int,
        condition: int,
        z: int,
        channels: int,
        extra: bool = False,
    ) -> None:
        super().__init__()
        side, taller = layout(shape)
        self.compress = nn.Sequential(nn.Linear(encoding, condition), nn.LeakyReLU(SLOPE))
        up = partial(nn.ConvTranspose2d, kernel_size=4, bias=False)

        # Square maps of sides 4, 8, ...; a picture itself is the last of them.
        sides = doublings(side, BASE) + (1 if taller else 0)
        widths = [channels * max(1, 8 >> i) for i in range(sides)]
        layers = [*convolved(up(condition + z, widths[0]), True), Bottleneck(widths[0], 0.0)]
        for index, (i, o) in enumerate(itertools.pairwise(widths)):
            layers += convolved(up(i, o, stride=2, padding=1), True)
            layers += [nn.ReLU() if index else Bottleneck(o, 0.0)]

        # A sound map's layers that double the height alone.
        widths = [max(1, widths[-1] >> i) for i in range(max(1, taller))]
        for _ in range(2 if taller and extra else 0):
            conv = nn.Conv2d(widths[0], widths[0], 3, padding=1, bias=False)
            layers += [*convolved(conv, True), nn.ReLU()]
        for i, o in itertools.pairwise(widths):
            layers += [*convolved(up(i, o, stride=(2, 1), padding=1), True), nn.ReLU()]
        last = up(widths[-1], shape[0], stride=(2, 1) if taller else 2, padding=1)
        self.layers = nn.Sequential(*layers, last, nn.Tanh())

    def forward(
        self, phi: Float[Tensor, "b d"], z: Float[Tensor, "b m"]
    ) -> Float[Tensor, "b c h w"]:
        """What belongs to the encodings."""
        code = torch.cat([self.compress(phi), z], dim=1)
        return self.layers(code[:, :, None, None])


class MatchingDiscriminator(nn.Module):
    """Pictures or sound maps, and φ -> logits: is it real, and do they belong together?

    Args:
        shape: channels, height and width of what is looked at, see the module's docstring.
        encoding: width of φ.
        condition: width to which it is compressed.
        channels: of the first square maps; the smallest have up to 8 times as many.
        norm: batch norm after all convolutions but the first and the last.
        extra: for sound maps, four more residual blocks (12 convolutions) on the smallest maps.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        encoding: int,
        condition: int,
        channels: int,
        norm: bool,
        extra: bool = False,
    ) -> None:
        super().__init__()
        side, taller = layout(shape)
        self.compress = nn.Sequential(nn.Linear(encoding, condition), nn.LeakyReLU(SLOPE))
        halvings = doublings(side, BASE)
        widths = [max(1, channels >> i) for i in reversed(range(taller))]
        first = 1 if taller else 0
        widths += [channels * min(8, 2**i) for i in range(first, first + halvings)]
        strides: list[Any] = [(2, 1)] * taller + [2] * halvings

        layers: list[nn.Module] = []
        for index, (i, o) in enumerate(itertools.pairwise([shape[0], *widths])):
            conv = nn.Conv2d(i, o, 4, strides[index], 1, bias=not norm)
            layers += [*convolved(conv, norm and index > 0), nn.LeakyReLU(SLOPE)]
        layers.pop()  # The residual block adds to what is not yet rectified.
        top, blocks = widths[-1], 5 if taller and extra else 1
        layers += [Bottleneck(top, SLOPE, norm=norm) for _ in range(blocks)]
        self.look = nn.Sequential(*layers)
        join = nn.Conv2d(top + condition, top, 1, bias=not norm)
        last = nn.Conv2d(top, 1, BASE, bias=not norm)
        self.join = nn.Sequential(*convolved(join, norm), nn.LeakyReLU(SLOPE), last)

    def score(
        self, maps: Float[Tensor, "b c h w"], phi: Float[Tensor, "b d"]
    ) -> Float[Tensor, " b"]:
        """Logits of what `look` has seen, with φ at each of its places."""
        code = self.compress(phi)[:, :, None, None].expand(-1, -1, *maps.shape[2:])
        return self.join(torch.cat([maps, code], dim=1)).flatten()

    def forward(
        self, x: Float[Tensor, "b c h w"], phi: Float[Tensor, "b d"]
    ) -> Float[Tensor, " b"]:
        """Logits of pictures or sound maps with φ."""
        return self.score(self.look(x), phi)
