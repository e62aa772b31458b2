"""Pitch by YIN against tones of known pitch."""

import math

import numpy as np
import pytest
import torch

from soundsight.data.bounce_tone import BounceTone
from soundsight.media.clip import ClipSpec
from soundsight.media.pitch import pitch_track

CENTRES = torch.tensor([1000.0, 4000.0, 7000.0])


def tone(midi: float, rate: int = 8000, partials: tuple[float, ...] = (1.0,)) -> torch.Tensor:
    hertz = 440 * 2 ** ((midi - 69) / 12)
    t = torch.arange(rate, dtype=torch.float64) / rate
    parts = [a * torch.sin(2 * math.pi * hertz * (k + 1) * t) for k, a in enumerate(partials)]
    return 0.3 * torch.stack(parts).sum(0).float()[None]


@pytest.mark.parametrize("rate", [6000, 8000, 16_000, 44_100])
@pytest.mark.parametrize("midi", [24.0, 36.4, 48.0, 60.3, 69.0])
def test_tones_have_their_pitch(midi, rate):
    found = pitch_track(tone(midi, rate), sample_rate=rate, centres=CENTRES * rate / 8000)
    torch.testing.assert_close(found, torch.full((1, 3), midi), atol=0.1, rtol=0)


def test_a_missing_fundamental_is_heard():
    wave = tone(57.0, partials=(0.0, 1.0, 1.0, 0.5))
    found = pitch_track(wave, sample_rate=8000, centres=CENTRES)
    torch.testing.assert_close(found, torch.full((1, 3), 57.0), atol=0.1, rtol=0)


def test_noise_silence_and_faint_tones_have_no_pitch():
    noise = 0.3 * torch.randn(1, 8000, generator=torch.Generator().manual_seed(0))
    for wave in (noise, torch.zeros(1, 8000), 1e-3 * tone(60.0)):
        assert pitch_track(wave, sample_rate=8000, centres=CENTRES).isnan().all()


def test_each_moment_has_its_own_pitch():
    wave = torch.cat([tone(50.0)[:, :4000], tone(62.0)[:, 4000:]], dim=1)
    found = pitch_track(wave, sample_rate=8000, centres=torch.tensor([0.0, 2000.0, 8000.0]))
    torch.testing.assert_close(found, torch.tensor([[50.0, 50.0, 62.0]]), atol=0.1, rtol=0)


def test_too_short_a_sound_is_refused():
    with pytest.raises(ValueError, match=r"100 samples.*needs 518"):
        pitch_track(torch.zeros(1, 100), sample_rate=8000, centres=CENTRES)


def test_bright_tones_are_not_taken_for_lower_ones():
    """A weak fundamental under a strong second harmonic, whose dips are narrow."""
    partials = (-0.13, 0.71, 0.32, 0.14)
    for midi in torch.arange(70.0, 80.0, 0.37).tolist():
        found = pitch_track(tone(midi, 8000, partials), sample_rate=8000, centres=CENTRES[:1])
        assert found.item() == pytest.approx(midi, abs=0.2)


@pytest.mark.parametrize(
    ("rate", "least"), [(6000, 0.985), (8000, 0.998), (16_000, 0.998), (44_100, 0.998)]
)
def test_bounce_tone_is_heard_right(rate, least):
    spec = ClipSpec(frames=10, fps=10, size=16, channels=3, sample_rate=rate)
    data = BounceTone().build(spec, "test")
    played = 69 + 12 * np.log2(data.truth(range(200)).pitch_hz / 440)
    centres = torch.linspace(0, 1, 21) * rate
    found = pitch_track(data.clips(range(200)).audio, sample_rate=rate, centres=centres).numpy()
    heard = np.isfinite(found)
    assert heard.mean() > 0.85
    assert (np.abs(found - played[:, None])[heard] < 0.6).mean() > least
