"""Pitch of a sound, moment by moment: YIN.

Source: de Cheveigné and Kawahara, "YIN, a fundamental frequency estimator for speech and music",
2002, steps 1 to 5 (the last, a second search nearby, is left out).
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

LOWEST_HZ = 31.0
"""Lowest pitch found; its period is the length of the window that is compared with later ones."""
HIGHEST_HZ = 1600.0
"""Highest pitch found."""
THRESHOLD = 0.15
"""How aperiodic a moment may be and still have a pitch, 0 (periodic) to 1 (noise)."""
QUIET = 1e-3
"""Moments of a lower root mean square have no pitch: -60 dB of full scale."""


def pitch_track(
    audio: Float[Tensor, "b n"], *, sample_rate: int, centres: Float[Tensor, " l"]
) -> Float[Tensor, "b l"]:
    """Pitch of waveforms around some moments.

    Args:
        audio: waveforms in [-1, 1], shape (b, n).
        sample_rate: Hz.
        centres: the moments, samples; windows that would pass an end are moved into the sound.

    Returns:
        MIDI note numbers (69 is 440 Hz), not rounded, shape (b, l); NaN where nothing periodic of
        31 to 1600 Hz is heard. Of `BounceTone`'s moments at least 99.8 % are right to 0.6 semitones
        at 8 kHz and more; at 6 kHz 98.8 %: bright tones of 8 samples a period fall an octave.

    Raises:
        ValueError: if the sound is shorter than two periods of the lowest pitch.

    Example:
        >>> wave = torch.sin(2 * math.pi * 440 * torch.arange(8000) / 8000)
        >>> pitch_track(wave[None], sample_rate=8000, centres=torch.tensor([4000.0])).round()
        tensor([[69.]])
    """
    longest = math.ceil(sample_rate / LOWEST_HZ)
    need = 2 * longest
    if audio.shape[1] < need:
        raise ValueError(
            f"the sound has {audio.shape[1]} samples; a pitch of {LOWEST_HZ:g} Hz needs {need}"
        )
    start = (centres.to(audio.device) - longest).round().clamp(0, audio.shape[1] - need).long()
    x = audio.double()[:, start[:, None] + torch.arange(need, device=audio.device)]
    x = x - x.mean(-1, keepdim=True)
    difference = _difference(x, longest)
    # Step 3: over the mean of all shorter lags, so that lag 0 is no dip.
    lags = torch.arange(longest, device=x.device)
    normal = difference * lags / difference.cumsum(-1).clamp(min=1e-12)
    # Step 5: a parabola through each dip tells how deep it is between two lags, and where: at low
    # rates the narrow dips of bright tones are not deep at a whole lag, and an octave is missed.
    left, middle, right = normal[..., :-2], normal[..., 1:-1], normal[..., 2:]
    bend = (left - 2 * middle + right).clamp(min=1e-12)
    shift = (0.5 * (left - right) / bend).clamp(-0.5, 0.5)
    depth = middle - 0.25 * (left - right) * shift
    # Step 4: the first dip that is deep enough.
    dips = (depth < THRESHOLD) & (middle <= left) & (middle <= right)
    found, first = (dips & (lags[1:-1] >= sample_rate / HIGHEST_HZ)).max(-1)
    lag = first + 1 + shift.gather(-1, first[..., None])[..., 0]
    found = found & (x.square().mean(-1).sqrt() > QUIET)
    midi = 69 + 12 * torch.log2(sample_rate / lag / 440)
    return torch.where(found, midi, torch.nan).to(audio.dtype)


def _difference(x: Float[Tensor, "b l n"], lags: int) -> Float[Tensor, "b l m"]:
    """Equation 6: squared difference of the first `lags` samples and those each lag later."""
    size = 2 ** math.ceil(math.log2(x.shape[-1] + lags))
    spectrum = torch.fft.rfft(x[..., :lags], size).conj() * torch.fft.rfft(x, size)
    product = torch.fft.irfft(spectrum, size)[..., :lags]
    energy = F.pad(x.square().cumsum(-1), (1, 0))
    energy = energy[..., lags : 2 * lags] - energy[..., :lags]
    return (energy[..., :1] + energy - 2 * product).clamp(min=0)
