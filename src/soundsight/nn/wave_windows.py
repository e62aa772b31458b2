"""Sound as overlapping windows of the waveform, one for each video frame, and an encoder of them.

Source: Vougioukas, Petridis and Pantic, End-to-End Speech-Driven Facial Animation with Temporal
GANs, 2018, and their code for sampling, whose layers these are.
"""

import itertools
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

KERNEL_S, STRIDE_S = 0.005, 0.001
"""The first layer, s: 5 ms every millisecond."""


def prime_factors(number: int) -> list[int]:
    """Prime factors, smallest first.

    Example:
        >>> prime_factors(220)
        [2, 2, 5, 11]
    """
    factors, factor = [], 2
    while number > 1:
        while number % factor == 0:
            factors.append(factor)
            number //= factor
        factor += 1
    return factors


def cut_windows(
    audio: Float[Tensor, "b n"], *, window: int, stride: int, ends: Literal["zeros", "reflect"]
) -> Float[Tensor, "t b s"]:
    """Overlapping windows of waveforms, one for each frame, around the middle of its sound.

    Args:
        audio: waveforms of whole frames, shape (b, t * stride).
        window: s, samples of a window.
        stride: samples of a frame; the rest of a window is half before and half after it.
        ends: what is heard before the sound begins and after it ends.

    Raises:
        ValueError: if the sound is too short to be reflected that far.

    Example:
        >>> cut_windows(torch.tensor([[1., 2., 3., 4.]]), window=4, stride=2, ends="zeros")[:, 0]
        tensor([[0., 1., 2., 3.],
                [2., 3., 4., 0.]])
    """
    before = (window - stride) // 2
    after = window - stride - before
    if ends == "reflect" and after >= audio.shape[1]:
        raise ValueError(
            f"{audio.shape[1]} samples of sound are too few for windows of {window}: {after} are "
            'reflected at the end; use a smaller window_s, or ends="zeros"'
        )
    mode = "constant" if ends == "zeros" else "reflect"
    padded = F.pad(audio[:, None], (before, after), mode=mode)
    return rearrange(padded[:, 0].unfold(1, window, stride), "b t s -> t b s")


class WindowEncoder(nn.Module):
    """Windows of the waveform to codes in [-1, 1].

    A first layer of 5 ms each millisecond, then layers whose strides are the prime factors of what
    is left, smallest first, each kernel twice its stride; the largest factor is the length that the
    last layer sees at once. Padding is such that a length n becomes n / stride, rounded up.

    Args:
        window: samples of a window.
        sample_rate: Hz.
        code: width of the codes.
        channels: of the first layer, doubled by each further one.
        batch_norm: normalize all layers but the last.
        slope: of the activation below zero; 0 is ReLU.
    """

    def __init__(
        self,
        window: int,
        sample_rate: int,
        code: int,
        channels: int,
        *,
        batch_norm: bool = True,
        slope: float = 0.0,
    ) -> None:
        super().__init__()
        stride = max(1, round(STRIDE_S * sample_rate))
        kernel = max(stride, round(KERNEL_S * sample_rate))
        *factors, left = prime_factors(-(-window // stride)) or [1]
        self.shapes = [(kernel, stride), *((2 * f, f) for f in factors)]
        widths = [1, *(channels << level for level in range(len(self.shapes)))]
        self.convs = nn.ModuleList(
            nn.Conv1d(i, o, k, s)
            for (i, o), (k, s) in zip(itertools.pairwise(widths), self.shapes, strict=True)
        )
        self.norms = nn.ModuleList(
            nn.BatchNorm1d(width) if batch_norm else nn.Identity() for width in widths[1:]
        )
        self.code, self.slope = nn.Conv1d(widths[-1], code, left), slope

    def forward(self, windows: Float[Tensor, "t b s"]) -> Float[Tensor, "t b d"]:
        """A code of each window."""
        x = windows.flatten(0, 1)[:, None]
        layers = zip(self.convs, self.norms, self.shapes, strict=True)
        for conv, norm, (kernel, stride) in layers:
            pad = max(0, (-(-x.shape[2] // stride) - 1) * stride + kernel - x.shape[2])
            x = F.leaky_relu(norm(conv(F.pad(x, (pad // 2, pad - pad // 2)))), self.slope)
        return torch.tanh(self.code(x))[..., 0].unflatten(0, windows.shape[:2])
