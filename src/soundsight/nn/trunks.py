"""Trunks of networks that tell clips apart: from a sound or a video to maps of what is in it.

Sources: the trunk of sounds is that of WaveGAN's scorer (Donahue, McAuley and Puckette, 2019), with
floored mel power; that of videos is a small R(2+1)D (Tran et al., 2018).
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from pydantic import ConfigDict, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Generator, Tensor, nn

from soundsight.media.clip import ClipSpec
from soundsight.media.spectrogram import mel_spectrogram

MASK_SHARE = 8
"""SpecAugment hides up to one part in this of the bins, and of the columns."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Hearing:
    """Log-mel spectrograms, and the convolutions over them."""

    n_fft: PositiveInt = 1024
    """Window of the spectrogram, samples."""
    hop_length: PositiveInt = 128
    """Samples from one window to the next."""
    n_mels: PositiveInt = 128
    """Mel bins."""
    f_min: float = 40.0
    """Lower edge of the first bin, Hz."""
    f_max: float = 7800.0
    """Upper edge of the last bin, Hz; half the sample rate if that is lower."""
    channels: PositiveInt = 128
    """Channels of the four convolutions."""


class SoundTrunk(nn.Module):
    """Log-mel spectrogram -> four times batch norm, 5 x 5 convolution, ReLU, pooling -> maps."""

    def __init__(self, c: Hearing, spec: ClipSpec, *, time_pools: int) -> None:
        super().__init__()
        self.config, self.spec = c, spec
        self.shrink = 2**time_pools
        """Columns of the spectrogram that become one step."""
        bins = c.n_mels // 16
        shortest = max(c.n_fft // 2 + 1, (self.shrink - 1) * c.hop_length)
        if bins < 1 or spec.samples < shortest:
            raise ValueError(
                f"a sound of {spec.samples} samples and {c.n_mels} mels: this judge needs at least "
                f"{shortest} samples and 16 mels; take longer clips, or a smaller n_fft and hop"
            )
        self.width = c.channels * bins
        layers: list[nn.Module] = []
        for index in range(4):
            i = c.channels if index else 1
            pool = nn.MaxPool2d((2, 2 if index < time_pools else 1))
            layers += [nn.BatchNorm2d(i), nn.Conv2d(i, c.channels, 5, padding=2), nn.ReLU(), pool]
        self.layers = nn.Sequential(*layers, nn.BatchNorm2d(c.channels))

    def spectrogram(self, audio: Float[Tensor, "b n"]) -> Float[Tensor, "b 1 f k"]:
        """Natural logarithm of the mel power."""
        c, rate = self.config, self.spec.sample_rate
        mel = mel_spectrogram(
            audio, sample_rate=rate, n_fft=c.n_fft, hop_length=c.hop_length, n_mels=c.n_mels,
            f_min=c.f_min, f_max=min(c.f_max, rate / 2),
        )  # fmt: skip
        return mel[:, None]

    def forward(self, spectrogram: Float[Tensor, "b 1 f k"]) -> Float[Tensor, "b l d"]:
        """What is heard in each step: the maps' channels at all frequencies."""
        maps = self.layers(spectrogram)
        return rearrange(maps, "b c f l -> b l (c f)")


def hide_parts(
    spectrogram: Float[Tensor, "b 1 f k"], generator: Generator
) -> Float[Tensor, "b 1 f k"]:
    """SpecAugment: a band of bins and a span of columns of each clip become its mean.

    Source:
        Park et al., SpecAugment, 2019, without its time warping.
    """
    mean = spectrogram.mean((2, 3), keepdim=True)
    for axis in (2, 3):
        size = spectrogram.shape[axis]
        long, start = torch.rand(
            2, len(spectrogram), generator=generator, device=spectrogram.device
        )
        long = (long * size / MASK_SHARE).floor()
        start = (start * (size - long + 1)).floor()
        at = torch.arange(size, device=spectrogram.device)
        hidden = (at >= start[:, None]) & (at < (start + long)[:, None])
        shape = (len(spectrogram), 1, size, 1) if axis == 2 else (len(spectrogram), 1, 1, size)
        spectrogram = torch.where(hidden.view(shape), mean, spectrogram)
    return spectrogram


class Stage(nn.Module):
    """A residual stage: half the size by a 3 x 3 convolution, then three frames in time, if any."""

    def __init__(self, i: int, o: int, *, temporal: bool) -> None:
        super().__init__()
        self.spatial = nn.Sequential(nn.Conv2d(i, o, 3, 2, 1, bias=False), nn.BatchNorm2d(o))
        self.shortcut = nn.Conv2d(i, o, 1, 2, bias=False)
        self.temporal = None
        if temporal:
            conv = nn.Conv2d(o, o, (3, 1), padding=(1, 0), bias=False)
            self.temporal = nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(o))

    def forward(self, x: Float[Tensor, "m c h w"], frames: int) -> Float[Tensor, "m d i j"]:
        """Maps of m = b * frames pictures."""
        y = self.spatial(x)
        if self.temporal is not None:
            h = y.shape[2]
            y = rearrange(y, "(b t) c h w -> b c t (h w)", t=frames)
            y = rearrange(self.temporal(y), "b c t (h w) -> (b t) c h w", h=h)
        return F.relu(y + self.shortcut(x))


class PictureTrunk(nn.Module):
    """Four stages, each to half the height and width; the number of frames stays."""

    def __init__(self, widths: tuple[int, ...], spec: ClipSpec, *, temporal: bool) -> None:
        super().__init__()
        if spec.size < 16:
            raise ValueError(f"size={spec.size}: this judge needs pictures of at least 16 px")
        self.stages = nn.ModuleList(
            Stage(i, o, temporal=temporal)
            for i, o in zip((spec.channels, *widths[:-1]), widths, strict=True)
        )
        self.width, self.side = widths[-1], -(-spec.size // 16)

    def forward(self, video: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b t d i j"]:
        """Maps of all frames."""
        frames = video.shape[1]
        x = 2 * video.flatten(0, 1) - 1
        for stage in self.stages:
            x = stage(x, frames)
        return x.unflatten(0, (-1, frames))
