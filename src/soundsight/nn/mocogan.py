"""MoCoGAN: videos of a content code and of motion codes (Tulyakov et al., CVPR 2018, 1707.04993).

The category code is left out: nothing here is labeled.  Frames are in [-1, 1].
"""

import itertools

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from soundsight.nn.jitter import Jitter

SIZES = {4 * 2**levels: levels for levels in range(2, 6)}
"""Doublings from 4 pixels to the sizes that the networks make."""


def picture_levels(size: int) -> int:
    """Doublings from 4 pixels to `size`.

    Raises:
        ValueError: naming the sizes that there are.
    """
    if size not in SIZES:
        raise ValueError(f"size={size}: MoCoGAN's networks need one of {[*SIZES]} px")
    return SIZES[size]


def shortest(size: int) -> int:
    """Frames that the video discriminator needs: 8 at 64 px, as the kernels are 4 frames long."""
    return 4 + picture_levels(size)


class VideoGenerator(nn.Module):
    """R_M and G_I: a GRU makes motion codes of noise; the content and each code make a frame.

    Args:
        content: width d_C of the content code z_C.
        motion: width d_M of the motion codes z_M.
        channels: of the outermost layer.
        size: of the frames, pixels.
        colors: channels of the frames.
    """

    def __init__(self, content: int, motion: int, channels: int, size: int, colors: int) -> None:
        super().__init__()
        widths = [channels * 2**level for level in reversed(range(picture_levels(size)))]
        self.gru = nn.GRU(motion, motion)
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(content + motion, widths[0], 4, 1, 0, bias=False)
        ]
        for i, o in zip(widths, [*widths[1:], colors], strict=True):
            up = nn.ConvTranspose2d(i, o, 4, 2, 1, bias=False)
            layers += [nn.BatchNorm2d(i), nn.ReLU(), up]
        self.image = nn.Sequential(*layers, nn.Tanh())

    def motion(
        self, start: Float[Tensor, "b m"], noise: Float[Tensor, "b t m"]
    ) -> Float[Tensor, "b t m"]:
        """z_M of every frame: the states of the GRU after the start h_0."""
        codes, _ = self.gru(noise.transpose(0, 1), start[None].contiguous())
        return codes.transpose(0, 1)

    def forward(
        self, content: Float[Tensor, "b d"], motion: Float[Tensor, "b t m"]
    ) -> Float[Tensor, "b t c h w"]:
        """All frames as one batch."""
        frames = motion.shape[1]
        z = torch.cat([content[:, None].expand(-1, frames, -1), motion], dim=2)
        return self.image(z.flatten(0, 1)[..., None, None]).unflatten(0, (-1, frames))


class PictureDiscriminator(nn.Module):
    """D_I of single frames or D_V of videos: convolutions to a map of logits.

    Args:
        size: of the frames, pixels.
        colors: channels of the frames.
        channels: of the first layer.
        frames: 1 for D_I; else the length of the videos, at least `shortest`.  Where the kernels
            would outgrow them (at 64 px below 16), they are padded in time.
        patch: a 4 x 4 map of logits (at each time), or one.
        batch_norm: normalize all hidden layers but the first.
    """

    def __init__(
        self,
        size: int,
        colors: int,
        channels: int,
        *,
        frames: int = 1,
        patch: bool = False,
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        levels, still = picture_levels(size), frames == 1
        hidden, pad = levels - patch, int(frames < 4 + 3 * levels)
        widths = [colors, *(channels * 2**level for level in range(hidden)), 1]

        def conv(i: int, o: int, whole: bool) -> nn.Module:
            if still:
                return nn.Conv2d(i, o, 4, 1 if whole else 2, 0 if whole else 1, bias=False)
            if whole:
                return nn.Conv3d(i, o, 4, 1, 0, bias=False)
            return nn.Conv3d(i, o, 4, (1, 2, 2), (pad, 1, 1), bias=False)

        self.convs = nn.ModuleList(
            conv(i, o, whole=not patch and index == hidden)
            for index, (i, o) in enumerate(itertools.pairwise(widths))
        )
        norm = nn.BatchNorm2d if still else nn.BatchNorm3d
        self.norms = nn.ModuleList(
            norm(width) if batch_norm and level else nn.Identity()
            for level, width in enumerate(widths[1:-1])
        )
        # As in the released code: the last layer of D_I's map is noisy too, that of D_V is not.
        self.noisy = hidden + (patch and still)
        self.still = still

    def forward(
        self, pictures: Float[Tensor, "b *t c h w"], jitter: Jitter | None
    ) -> Float[Tensor, "b i"]:
        """How real the frames, or the videos, are; i logits in time and space."""
        x = pictures if self.still else rearrange(pictures, "b t c h w -> b c t h w")
        for index, conv in enumerate(self.convs):
            if jitter is not None and index < self.noisy:
                x = jitter.noise(x)
            x = conv(x)
            if index < len(self.norms):
                x = F.leaky_relu(self.norms[index](x), 0.2)
        return x.flatten(1)
