"""Spectrograms of mono waveforms and their inverses.

Conventions: waveforms are `b n` in [-1, 1]; spectrograms `b f k` with f frequency or mel bins and k
windows; windows are periodic Hann windows of n_fft samples, and with `center` window k is centered
on sample k * hop_length, the ends of the sound being reflected. Scales are global constants: no
per-clip maximum, which would erase loudness.
"""

import math
from functools import lru_cache
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Complex64, Float
from torch import Generator, Tensor

LOG_GAIN = 100.0
"""g of the compression log(1 + g x) / log(1 + g)."""
MEL_FLOOR = 1e-5
"""Mel power below this is set to it before the logarithm: -50 dB."""
MEL_BREAK_HZ, MEL_LINEAR_HZ, MEL_LOG_STEP = 1000.0, 200.0 / 3, math.log(6.4) / 27
"""Slaney's mel scale: linear, 200/3 Hz a mel, up to 1000 Hz, then 27 mels for a factor of 6.4."""


def stft(
    wave: Float[Tensor, "b n"], *, n_fft: int, hop_length: int, center: bool = True
) -> Complex64[Tensor, "b f k"]:
    """Short-time Fourier transform.

    Args:
        wave: waveforms, shape (b, n), n in samples.
        n_fft: samples of a window.
        hop_length: samples from one window to the next.
        center: whether window k is centered on sample k * hop_length (else it begins there).

    Returns:
        Complex spectrum, not scaled, shape (b, f, k): f = n_fft // 2 + 1, and
        k = 1 + n // hop_length with `center`, 1 + (n - n_fft) // hop_length without.

    Raises:
        ValueError: if a rate is not positive or the sound is too short for one window.
    """
    if n_fft < 2 or hop_length < 1:
        raise ValueError(f"n_fft={n_fft}, hop_length={hop_length}: at least 2 and 1 are needed")
    need = n_fft // 2 + 1 if center else n_fft
    if wave.shape[1] < need:
        raise ValueError(
            f"the sound has {wave.shape[1]} samples; n_fft={n_fft} needs at least {need}"
        )
    window = torch.hann_window(n_fft, device=wave.device)
    return torch.stft(
        wave.float(), n_fft, hop_length, window=window, center=center, return_complex=True
    )


def istft(
    spectrum: Complex64[Tensor, "b f k"], *, n_fft: int, hop_length: int, length: int | None = None
) -> Float[Tensor, "b n"]:
    """The waveform of a centered short-time Fourier transform: the inverse of `stft`.

    Args:
        spectrum: complex spectrum, shape (b, n_fft // 2 + 1, k).
        n_fft: samples of a window.
        hop_length: samples from one window to the next, at most n_fft / 2.
        length: samples to return; None: (k - 1) * hop_length.

    Returns:
        Waveforms; for a spectrum that no waveform has, the nearest one in the mean square.

    Source:
        Griffin and Lim, "Signal estimation from modified short-time Fourier transform", IEEE
        Transactions on Acoustics, Speech and Signal Processing, 1984, equation 6.
    """
    window = torch.hann_window(n_fft, device=spectrum.device)
    return torch.istft(spectrum, n_fft, hop_length, window=window, length=length)


def stft_magnitude(
    wave: Float[Tensor, "b n"], *, n_fft: int, hop_length: int, center: bool = True
) -> Float[Tensor, "b f k"]:
    """Magnitude of `stft`, not scaled: a full-scale sine peaks at about n_fft / 4.

    Args:
        wave: waveforms in [-1, 1], shape (b, n).
        n_fft: samples of a window.
        hop_length: samples from one window to the next.
        center: whether window k is centered on sample k * hop_length (else it begins there).

    Returns:
        Magnitudes from 0 on, shape (b, f, k) as of `stft`.

    Raises:
        ValueError: if the sound is too short for one window.

    Example:
        >>> stft_magnitude(torch.zeros(1, 440), n_fft=44, hop_length=22).shape
        torch.Size([1, 23, 21])
    """
    return stft(wave, n_fft=n_fft, hop_length=hop_length, center=center).abs()


def griffin_lim(
    magnitude: Float[Tensor, "b f k"],
    *,
    n_fft: int,
    hop_length: int,
    length: int | None = None,
    iterations: int = 60,
    momentum: float = 0.99,
    generator: Generator,
) -> Float[Tensor, "b n"]:
    """A waveform whose spectrogram is close to the given one: phases found by iteration.

    Args:
        magnitude: of a centered `stft`, not scaled, shape (b, n_fft // 2 + 1, k).
        n_fft: samples of a window.
        hop_length: samples from one window to the next, at most n_fft / 2.
        length: samples to return; None: (k - 1) * hop_length.
        iterations: number of them; more are closer.
        momentum: alpha of the paper; 0 is the original algorithm of 1984.
        generator: source of the first phases, on the CPU.

    Returns:
        Waveforms, defined up to their sign, shape (b, n).

    Source:
        Perraudin, Balazs and Sondergaard, "A fast Griffin-Lim algorithm", 2013, algorithm 2.
    """
    length = (magnitude.shape[2] - 1) * hop_length if length is None else length
    angles = 2 * math.pi * torch.rand(magnitude.shape, generator=generator)
    phase = torch.polar(torch.ones_like(angles), angles).to(magnitude.device)
    before = torch.zeros_like(phase)
    for _ in range(iterations):
        wave = istft(magnitude * phase, n_fft=n_fft, hop_length=hop_length, length=length)
        consistent = stft(wave, n_fft=n_fft, hop_length=hop_length)
        ahead = consistent + momentum * (consistent - before)
        phase, before = ahead / ahead.abs().clamp(min=1e-12), consistent
    return istft(magnitude * phase, n_fft=n_fft, hop_length=hop_length, length=length)


def hz_to_mel(hz: Float[Tensor, " i"]) -> Float[Tensor, " i"]:
    """Slaney's mel scale (Auditory Toolbox, 1998): 15 mel = 1000 Hz."""
    above = MEL_BREAK_HZ / MEL_LINEAR_HZ + (hz.clamp(min=1) / MEL_BREAK_HZ).log() / MEL_LOG_STEP
    return torch.where(hz < MEL_BREAK_HZ, hz / MEL_LINEAR_HZ, above)


def mel_to_hz(mel: Float[Tensor, " i"]) -> Float[Tensor, " i"]:
    """The inverse of `hz_to_mel`."""
    break_mel = MEL_BREAK_HZ / MEL_LINEAR_HZ
    above = MEL_BREAK_HZ * (MEL_LOG_STEP * (mel - break_mel)).exp()
    return torch.where(mel < break_mel, mel * MEL_LINEAR_HZ, above)


@lru_cache(maxsize=16)
def mel_filterbank(
    *, sample_rate: int, n_fft: int, n_mels: int, f_min: float = 0.0, f_max: float | None = None
) -> Float[Tensor, "m f"]:
    """Triangular filters, evenly spaced on the mel scale.

    Filter m rises from edge m to edge m + 1 and falls to edge m + 2; its area over frequency
    in Hz is 1, so white noise gives all mel bins the same power.

    Args:
        sample_rate: Hz.
        n_fft: samples of the windows of the spectrogram.
        n_mels: number of filters m.
        f_min: lower edge of the first filter, Hz.
        f_max: upper edge of the last filter, Hz; None: half the sample rate.

    Returns:
        Weights, shape (m, n_fft // 2 + 1). Shared between calls: do not change it in place.

    Raises:
        ValueError: if the edges are out of order, or a filter is so narrow that it meets no bin.

    Source:
        Slaney, Auditory Toolbox, 1998; the same values as librosa.filters.mel's defaults.
    """
    f_max = sample_rate / 2 if f_max is None else f_max
    if not 0 <= f_min < f_max <= sample_rate / 2:
        raise ValueError(
            f"f_min={f_min:g}, f_max={f_max:g}: must be 0 <= f_min < f_max <= {sample_rate / 2:g}"
        )
    bins = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    low, high = hz_to_mel(torch.tensor([f_min, f_max], dtype=torch.float64)).tolist()
    edges = mel_to_hz(torch.linspace(low, high, n_mels + 2, dtype=torch.float64))
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    filters = torch.minimum(rising, falling).clamp(min=0)
    if not filters.sum(dim=1).all():
        raise ValueError(
            f"n_mels={n_mels} is too many for n_fft={n_fft} at {sample_rate} Hz: a filter would be "
            "narrower than a bin; take fewer mels or a longer window"
        )
    return (2 * filters / (edges[2:] - edges[:-2])[:, None]).float()


def mel_spectrogram(
    wave: Float[Tensor, "b n"],
    *,
    sample_rate: int,
    n_fft: int,
    hop_length: int,
    n_mels: int = 80,
    f_min: float = 0.0,
    f_max: float | None = None,
) -> Float[Tensor, "b f k"]:
    """Log-mel spectrogram of mono waveforms.

    Args:
        wave: waveforms in [-1, 1], shape (b, n), n in samples.
        sample_rate: Hz.
        n_fft: samples of a window.
        hop_length: samples from one window to the next.
        n_mels: number of mel bins f.
        f_min: lower edge of the first filter, Hz.
        f_max: upper edge of the last filter, Hz; None: half the sample rate.

    Returns:
        Natural logarithm of mel power, floored at 1e-5, shape (b, f, k); k = 1 + n // hop_length.

    Raises:
        ValueError: if the sound is shorter than a window, or the filters are ill-defined.

    Example:
        >>> wave = torch.zeros(1, 16000)
        >>> mel_spectrogram(wave, sample_rate=16000, n_fft=1024, hop_length=160).shape
        torch.Size([1, 80, 101])
    """
    filters = mel_filterbank(
        sample_rate=sample_rate, n_fft=n_fft, n_mels=n_mels, f_min=f_min, f_max=f_max
    )
    power = stft_magnitude(wave, n_fft=n_fft, hop_length=hop_length).square()
    mel = torch.einsum("mf,bfk->bmk", filters.to(wave.device), power)
    return mel.clamp(min=MEL_FLOOR).log()


def inverse_mel(
    log_mel: Float[Tensor, "b m k"],
    *,
    sample_rate: int,
    n_fft: int,
    f_min: float = 0.0,
    f_max: float | None = None,
    iterations: int = 100,
) -> Float[Tensor, "b f k"]:
    """Magnitudes whose log-mel spectrogram is the given one, as far as non-negative ones can.

    Args:
        log_mel: of `mel_spectrogram`, shape (b, m, k).
        sample_rate: Hz.
        n_fft: samples of a window.
        f_min: lower edge of the first filter, Hz.
        f_max: upper edge of the last filter, Hz; None: half the sample rate.
        iterations: steps of the multiplicative update; more are closer.

    Returns:
        Magnitudes, not scaled, shape (b, n_fft // 2 + 1, k), for `griffin_lim`.

    Source:
        Lee and Seung, "Algorithms for non-negative matrix factorization", 2000, eq. 4 (H alone).
    """
    filters = mel_filterbank(
        sample_rate=sample_rate, n_fft=n_fft, n_mels=log_mel.shape[1], f_min=f_min, f_max=f_max
    ).to(log_mel.device)
    target = filters.T @ log_mel.exp()
    power = target.clone()
    for _ in range(iterations):
        made = filters.T @ (filters @ power)
        power = power * target / made.clamp(min=torch.finfo(made.dtype).tiny)
    return power.sqrt()


def chunk_stft(
    wave: Float[Tensor, "b n"],
    *,
    samples_per_frame: int,
    n_fft: int,
    hop_length: int,
    compression: Literal["log", "none"] = "log",
) -> Float[Tensor, "b t f k"]:
    """A spectrogram of each video frame's sound, made from that frame's samples alone.

    Nothing leaks from one frame into another: the chunks' ends are reflected.

    Args:
        wave: waveforms in [-1, 1], shape (b, n); n a multiple of samples_per_frame.
        samples_per_frame: sound samples of one video frame.
        n_fft: samples of a window, less than twice a chunk.
        hop_length: samples from one window to the next.
        compression: "log": log(1 + 100 x) / log(101); "none": x itself, where x is the magnitude
            over half the window's sum: 1 for a full-scale sine at a bin's frequency.

    Returns:
        Values in [0, 1], shape (b, t, f, k): t = n / samples_per_frame, f = n_fft // 2 + 1,
        k = 1 + samples_per_frame // hop_length.

    Raises:
        ValueError: if n is no multiple of samples_per_frame, or a chunk is too short for a window.

    Source:
        Chatterjee and Cherian, "Sound2Sight", ECCV 2020, section 4; sizes as its released encoder
        expects them: 440 samples, 44, 22 -> 23 x 21; 735 samples, 88, 44 -> 45 x 17.

    Example:
        >>> wave = torch.zeros(1, 4400)
        >>> chunk_stft(wave, samples_per_frame=440, n_fft=44, hop_length=22).shape
        torch.Size([1, 10, 23, 21])
    """
    if wave.shape[1] % samples_per_frame:
        raise ValueError(
            f"{wave.shape[1]} samples are no multiple of samples_per_frame={samples_per_frame}"
        )
    chunks = rearrange(wave, "b (t s) -> (b t) s", s=samples_per_frame)
    magnitude = stft_magnitude(chunks, n_fft=n_fft, hop_length=hop_length)
    x = magnitude / (torch.hann_window(n_fft).sum().item() / 2)
    if compression == "log":
        x = (LOG_GAIN * x).log1p() / math.log1p(LOG_GAIN)
    return rearrange(x.clamp(0, 1), "(b t) f k -> b t f k", b=len(wave))
