"""Discriminators' ears: networks on the log-mel spectrogram of a waveform.

Critics of waveforms are slow to learn what a tone is; on a spectrogram it is a line.  A second
discriminator that sees spectra is what neural vocoders use beside one on waveforms (Jang et al.,
UnivNet, 2021); here, one of short windows.
"""

import itertools
import math

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from soundsight.media.spectrogram import mel_spectrogram
from soundsight.nn.jitter import Jitter
from soundsight.nn.wavegan import STRIDE, AudioDiscriminator

MELS, WINDOW_S, KERNEL = 40, 0.04, 5
"""Bins, and about the length of the windows, s; the kernel's length in columns."""
STRIDES = (2, 2, 1)


def window(sample_rate: int) -> int:
    """Samples of the analysis windows, a power of two; a fourth of it is the hop."""
    return 2 ** round(math.log2(WINDOW_S * sample_rate))


def spectrum(audio: Float[Tensor, "b n"], sample_rate: int) -> Float[Tensor, "b f k"]:
    """Log-mel spectrogram, scaled: silence is about -2, a loud tone about 2.

    Args:
        audio: waveforms in [-1, 1].
        sample_rate: Hz.
    """
    n_fft = window(sample_rate)
    mel = mel_spectrogram(
        audio.float(), sample_rate=sample_rate, n_fft=n_fft, hop_length=n_fft // 4, n_mels=MELS
    )
    return mel / 4 + 1


class MelTrunk(nn.Module):
    """Three convolutions over the columns of a spectrogram, all bins at once.

    Args:
        channels: d; the layers have 2 d, 4 d and 8 d channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = [MELS, 2 * channels, 4 * channels, 8 * channels]
        self.layers = nn.ModuleList(
            nn.Conv1d(i, o, KERNEL, stride, KERNEL // 2)
            for (i, o), stride in zip(itertools.pairwise(widths), STRIDES, strict=True)
        )

    def forward(self, mel: Float[Tensor, "b f k"]) -> Float[Tensor, "b c l"]:
        """Features; their column l stands at the spectrogram's column 4 l."""
        for layer in self.layers:
            mel = F.leaky_relu(layer(mel), 0.2)
        return mel


def column_s(sample_rate: int) -> float:
    """Seconds from one column of the trunk's features to the next; the first stands at 0."""
    return math.prod(STRIDES) * (window(sample_rate) // 4) / sample_rate


def num_columns(samples: int, sample_rate: int) -> int:
    """Columns of the trunk's features on so many samples.

    Raises:
        ValueError: if they are fewer than a window takes.
    """
    least = window(sample_rate) // 2 + 1
    if samples < least:
        raise ValueError(
            f"{samples} samples of sound: spectrograms at {sample_rate} Hz need {least}"
        )
    columns = 1 + samples // (window(sample_rate) // 4)
    for stride in STRIDES:
        columns = (columns - 1) // stride + 1
    return columns


class SpectrumDiscriminator(nn.Module):
    """Log-mel spectrogram -> a logit.

    Args:
        channels: d of `MelTrunk`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.trunk = MelTrunk(channels)
        self.last = nn.Conv1d(8 * channels, 1, 3, padding=1)

    def forward(self, mel: Float[Tensor, "b f k"]) -> Float[Tensor, " b"]:
        """How real the sounds are."""
        return self.last(self.trunk(mel)).mean((1, 2))


class Ears(nn.Module):
    """D_A: by the waveform, and if wanted by the spectrum too.

    Args:
        sample_rate: Hz.
        channels: d, channels of the first layer.
        steps: length of the waveform, latent steps.
        layers: convolutions on the waveform.
        both: a second network, on the spectrum.
    """

    def __init__(
        self, sample_rate: int, channels: int, steps: int, layers: int, *, both: bool
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        if both:
            num_columns(steps * STRIDE**layers, sample_rate)  # Refuses what is too short.
        self.waveform = AudioDiscriminator(channels, steps, layers=layers)
        self.spectrum = SpectrumDiscriminator(channels) if both else None

    def looks(self, audio: Float[Tensor, "b n"]) -> dict[str, Float[Tensor, "b ..."]]:
        """What each network sees: "waveform" and, if it is there, "spectrum"."""
        seen = {"waveform": audio}
        if self.spectrum is not None:
            seen["spectrum"] = spectrum(audio, self.sample_rate)
        return seen

    def judge(
        self, look: Float[Tensor, "b ..."], name: str, jitter: Jitter | None
    ) -> Float[Tensor, " b"]:
        """The logits of one network on what it sees."""
        if name == "spectrum":
            assert self.spectrum is not None
            return self.spectrum(look)
        return self.waveform(look, jitter)

    def forward(
        self, audio: Float[Tensor, "b n"], jitter: Jitter | None
    ) -> dict[str, Float[Tensor, " b"]]:
        """The logits of all networks."""
        return {name: self.judge(look, name, jitter) for name, look in self.looks(audio).items()}
