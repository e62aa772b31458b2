"""A still's encoder, a generator that takes its maps as skips, and a trunk for discriminators.

Source: Vougioukas, Petridis and Pantic, End-to-End Speech-Driven Facial Animation with Temporal
GANs, 2018, and their code for sampling, whose layers the first two have; the trunk is our own,
after DCGAN. Pictures are in [-1, 1], of 4, 5 or 6 times a power of two pixels.
"""

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from soundsight.nn.dcgan import SLOPE, level_widths


def doubled_widths(size: int, width: int) -> list[int]:
    """Channels after each halving of a `size` px frame: width, 2 width, 4 width, ...

    Raises:
        ValueError: if halving `size` does not end at 4, 5 or 6 px.
    """
    return [width << level for level in range(len(level_widths(size, width)))]


class IdentityEncoder(nn.Module):
    """The still to a code in [-1, 1], and its maps for the generator."""

    def __init__(self, size: int, channels: int, code: int, width: int) -> None:
        super().__init__()
        widths = doubled_widths(size, width)
        pairs = itertools.pairwise([channels, *widths])
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 4, 2, 1, bias=False) for i, o in pairs)
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for o in widths)
        self.code = nn.Conv2d(widths[-1], code, size >> len(widths), bias=False)

    def forward(
        self, still: Float[Tensor, "b c h w"]
    ) -> tuple[Float[Tensor, "b d"], list[Float[Tensor, "b _ _ _"]]]:
        """Codes and the maps of every level, smallest first."""
        x, maps = still, []
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.relu(norm(conv(x)))
            maps.append(x)
        return torch.tanh(self.code(x)).flatten(1), maps[::-1]


class UnetBlock(nn.Module):
    """3 x 3 convolution of [x, skip], then twice the side and half the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.join = nn.Conv2d(2 * channels, channels, 3, padding=1, bias=False)
        self.up = nn.ConvTranspose2d(channels, channels // 2, 4, 2, 1, bias=False)
        self.join_norm, self.up_norm = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels // 2)

    def project_skip(self, skip: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The skip's summand of the first convolution: the same for all frames of a clip."""
        return F.conv2d(skip, self.join.weight[:, self.channels :], padding=1)

    def forward(
        self, x: Float[Tensor, "m c h w"], projected: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "m d i j"]:
        """Apply to m = n * b frames, time-major, of b clips with a skip each."""
        x = F.conv2d(x, self.join.weight[:, : self.channels], padding=1)
        x = (x.unflatten(0, (-1, len(projected))) + projected).flatten(0, 1)
        x = F.relu(self.join_norm(x))
        return F.relu(self.up_norm(self.up(x)))


class FrameGenerator(nn.Module):
    """Codes and the still's maps to frames in [-1, 1].

    As released, the maps of the finest level are not used.
    """

    def __init__(self, size: int, channels: int, code: int, width: int) -> None:
        super().__init__()
        widths = doubled_widths(size, width)[::-1]
        self.first = nn.ConvTranspose2d(code, widths[0], size >> len(widths), bias=False)
        self.first_norm = nn.BatchNorm2d(widths[0])
        self.blocks = nn.ModuleList(UnetBlock(w) for w in widths[:-1])
        self.last = nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1, bias=False)

    def project_skips(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """What the still's maps (smallest first) add to each block."""
        pairs = zip(self.blocks, maps, strict=False)
        return [block.project_skip(skip) for block, skip in pairs]  # type: ignore[operator]

    def forward(
        self, codes: Float[Tensor, "n b d"], projected: Sequence[Tensor]
    ) -> Float[Tensor, "n b c h w"]:
        """A frame of each code, all on their own."""
        x = F.relu(self.first_norm(self.first(codes.flatten(0, 1)[..., None, None])))
        for block, skip in zip(self.blocks, projected, strict=True):
            x = block(x, skip)
        return torch.tanh(self.last(x)).unflatten(0, codes.shape[:2])


class FrameTrunk(nn.Module):
    """Pictures to m numbers: convolutions with LeakyReLU, batch norm behind all but the first."""

    def __init__(self, size: int, channels: int, out: int, width: int, *, batch_norm: bool) -> None:
        super().__init__()
        widths = doubled_widths(size, width)
        layers: list[nn.Module] = []
        for level, (i, o) in enumerate(itertools.pairwise([channels, *widths])):
            norm = nn.BatchNorm2d(o) if batch_norm and level else nn.Identity()
            layers += [nn.Conv2d(i, o, 4, 2, 1), norm, nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], out, size >> len(widths)))

    def forward(self, pictures: Float[Tensor, "b c h w"]) -> Float[Tensor, "b m"]:
        """Apply to pictures in [-1, 1]."""
        return self.layers(pictures).flatten(1)
