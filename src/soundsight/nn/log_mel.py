"""Sounds as log-mel maps in [-1, 1] and back: what image networks can read and write.

A map is a picture of one channel: mel bins f (low ones first) by columns k, its values decibels on
a fixed scale. No per-clip maximum: loudness stays, and the way back needs no hint. The scale's ends
are buffers, so they are stored with the weights of the model whose maps they explain.
"""

import math
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Generator, Tensor, nn

from soundsight.media.clip import ClipSpec
from soundsight.media.spectrogram import (
    griffin_lim,
    inverse_mel,
    mel_filterbank,
    stft_magnitude,
)

POWER_FLOOR = 1e-10
"""Mel power below this is set to it before the logarithm: -100 dB."""
PHASE_SEED = 0
"""Of the phases from which the way back begins, the same for every map."""


def resize(maps: Float[Tensor, "b c f k"], height: int, width: int) -> Float[Tensor, "b c i j"]:
    """Bilinear interpolation to `height` bins by `width` columns; the same size changes nothing.

    Args:
        maps: any number of channels.
        height: bins i of the result.
        width: columns j of the result.
    """
    if maps.shape[2:] == (height, width):
        return maps
    return F.interpolate(maps.float(), (height, width), mode="bilinear", align_corners=False)


class Vocoder:
    """A network of somebody else's that turns decibels of mel power into waveforms.

    It is no part of the model's weights.
    """

    def __init__(self, path: str | Path, network: Callable[[Tensor], Tensor]) -> None:
        self.path, self.network = path, network

    def __deepcopy__(self, memo: dict[int, object]) -> "Vocoder":
        return self  # Nothing in it changes: a moving average of a model shares it.

    @torch.no_grad()
    def __call__(self, decibels: Float[Tensor, "b f k"], samples: int) -> Float[Tensor, "b n"]:
        """Waveforms of `samples` samples.

        Args:
            decibels: mel power, dB, of as many bins and columns as `LogMel` makes.
            samples: n, how long they have to be.

        Raises:
            ValueError: if the network cannot read such maps, or returns anything else.
        """
        try:
            wave = self.network(decibels)
        except RuntimeError as error:
            last = str(error).strip().splitlines()[-1]
            shape = tuple(decibels.shape)
            raise ValueError(f"vocoder {self.path} cannot read maps of {shape}: {last}") from None
        want = (len(decibels), samples)
        have = tuple(wave.shape) if isinstance(wave, Tensor) else type(wave).__name__
        if have != want:
            raise ValueError(
                f"vocoder {self.path} makes {have} of {tuple(decibels.shape)} (clips, bins, "
                f"columns), not {want} (clips, samples)"
            )
        return wave.float()


def open_vocoder(path: str | Path) -> Vocoder:
    """Read a vocoder: a TorchScript file that maps (b, f, k) decibels to (b, n) samples.

    Open only files that you trust: TorchScript is code.

    Raises:
        ValueError: if there is no such file, or it is none of TorchScript.
    """
    if not Path(path).is_file():
        raise ValueError(f"vocoder={str(path)!r}: there is no such file; it must be TorchScript")
    try:
        with warnings.catch_warnings():  # Newer torch prefers other formats, but reads this one.
            warnings.simplefilter("ignore", DeprecationWarning)
            network = torch.jit.load(str(path), map_location="cpu")
    except (RuntimeError, ValueError):
        raise ValueError(
            f"vocoder={str(path)!r} is not TorchScript: save one by torch.jit.trace(...).save(path)"
        ) from None
    return Vocoder(path, network.eval())


class LogMel(nn.Module):
    """Waveforms -> maps -> waveforms, for clips of one spec.

    Args:
        spec: of the clips.
        n_mels: bins f.
        n_fft: samples of a window.
        hop_length: samples from one window to the next, less than n_fft / 2.
        low_db: what becomes -1, and everything below; dB relative to a mel power of 1.
        high_db: what becomes 1, and everything above, dB.

    Raises:
        ValueError: if clips are too short for a window, windows do not overlap enough for the way
            back, or bins are narrower than the spectrum's.

    A full-scale tone of 440 Hz has 33 dB with n_fft 1024 at 8 kHz and 39 dB with 2048 at 44.1 kHz:
    loud pure tones are clipped, of speech next to nothing is.

    Source:
        Chen et al., Deep Cross-Modal Audio-Visual Generation, 2017, section 4 (log-mel spectrograms
        of 128 x 44 for 0.5 s at 44.1 kHz). The scale, which the paper does not give, is ours.

    Example:
        >>> spec = ClipSpec(frames=1, fps=2, size=64, channels=3, sample_rate=44100)
        >>> LogMel(spec)(torch.zeros(1, spec.samples)).shape
        torch.Size([1, 1, 128, 44])
    """

    low_db: Tensor
    high_db: Tensor

    def __init__(
        self,
        spec: ClipSpec,
        *,
        n_mels: int = 128,
        n_fft: int = 2048,
        hop_length: int = 512,
        low_db: float = -80.0,
        high_db: float = 20.0,
    ) -> None:
        super().__init__()
        if not 1 <= hop_length < n_fft / 2:
            raise ValueError(
                f"hop_length={hop_length} must be 1 or more, and below n_fft/2={n_fft / 2:g}"
            )
        if spec.samples <= n_fft // 2:
            raise ValueError(
                f"n_fft={n_fft}: clips of {spec.samples} samples allow at most "
                f"{2 * (spec.samples - 1)}"
            )
        if not low_db < high_db:
            raise ValueError(f"low_db={low_db:g} must be below high_db={high_db:g}")
        self.spec, self.n_mels, self.n_fft, self.hop_length = spec, n_mels, n_fft, hop_length
        with torch.device("cpu"):  # Filters are kept for later calls; "meta" ones have no values.
            self.filters()
        self.register_buffer("low_db", torch.tensor(low_db))
        self.register_buffer("high_db", torch.tensor(high_db))

    @property
    def columns(self) -> int:
        """Columns k of a clip's map."""
        return 1 + self.spec.samples // self.hop_length

    def filters(self) -> Float[Tensor, "f i"]:
        """Slaney's filters over the spectrum's bins, up to half the sample rate."""
        return mel_filterbank(
            sample_rate=self.spec.sample_rate, n_fft=self.n_fft, n_mels=self.n_mels
        )

    def forward(self, audio: Float[Tensor, "b n"]) -> Float[Tensor, "b 1 f k"]:
        """Maps in [-1, 1] of waveforms in [-1, 1]; silence is -1 everywhere.

        Raises:
            ValueError: if the sounds are not as long as the clips of the spec.
        """
        if audio.shape[1] != self.spec.samples:
            raise ValueError(
                f"sounds of {audio.shape[1]} samples: these maps are of {self.spec.samples}"
            )
        with torch.autocast(audio.device.type, enabled=False):
            magnitude = stft_magnitude(audio, n_fft=self.n_fft, hop_length=self.hop_length)
            mel = self.filters().to(audio.device) @ magnitude.square()
            level_db = 10 * mel.clamp(min=POWER_FLOOR).log10()
            share = (level_db - self.low_db) / (self.high_db - self.low_db)
        return (2 * share - 1).clamp(-1, 1)[:, None]

    def decibels(self, maps: Float[Tensor, "b 1 f k"]) -> Float[Tensor, "b f k"]:
        """Levels of maps, dB relative to a mel power of 1."""
        share = (maps[:, 0].float().clamp(-1, 1) + 1) / 2
        return self.low_db + (self.high_db - self.low_db) * share

    @torch.no_grad()
    def inverse(
        self,
        maps: Float[Tensor, "b 1 f k"],
        *,
        generator: Generator | None = None,
        iterations: int = 60,
        vocoder: Vocoder | None = None,
    ) -> Float[Tensor, "b n"]:
        """Waveforms in [-1, 1] whose maps are close to the given ones.

        One map at a time, all from the same first phases: the same map gives the same wave, to the
        bit, in any batch. A wave that would be clipped is made quieter; no other level changes.

        Args:
            maps: in [-1, 1]; other numbers of bins and columns are interpolated first.
            generator: on the CPU, draws the seed of those phases; None: a constant.
            iterations: of Griffin and Lim's algorithm; more are closer.
            vocoder: makes the waves in its place.

        Raises:
            ValueError: if the vocoder does not fit.
        """
        seed = PHASE_SEED
        if generator is not None:
            seed = int(torch.randint(2**62, (1,), generator=generator))
        waves = []
        for row in range(len(maps)):
            one = resize(maps[row : row + 1], self.n_mels, self.columns)
            decibels = self.decibels(one)
            if vocoder is not None:
                wave = vocoder(decibels.cpu(), self.spec.samples).to(maps.device)
            else:
                wave = self._search(decibels, seed, iterations)
            waves.append(wave / wave.abs().max().clamp(min=1))
        return torch.cat(waves) if waves else maps.new_zeros(0, self.spec.samples)

    def _search(
        self, decibels: Float[Tensor, "1 f k"], seed: int, iterations: int
    ) -> Float[Tensor, "1 n"]:
        """A wave whose mel powers are these, its phases found by iteration."""
        magnitude = inverse_mel(
            decibels * (math.log(10) / 10), sample_rate=self.spec.sample_rate, n_fft=self.n_fft
        )
        return griffin_lim(
            magnitude,
            n_fft=self.n_fft,
            hop_length=self.hop_length,
            length=self.spec.samples,
            iterations=iterations,
            generator=Generator().manual_seed(seed),
        )
