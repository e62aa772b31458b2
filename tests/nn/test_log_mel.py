import copy
import math
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Generator, nn

from soundsight.media.clip import ClipSpec
from soundsight.media.spectrogram import stft_magnitude
from soundsight.nn.log_mel import LogMel, open_vocoder, resize

SPEC = ClipSpec(frames=1, fps=1, size=32, channels=1, sample_rate=4000)
SMALL = {"n_mels": 32, "n_fft": 512, "hop_length": 125}
PAPER = ClipSpec(frames=1, fps=2, size=64, channels=3, sample_rate=44100)


def maker(**changes):
    return LogMel(SPEC, **SMALL | changes)


def tones(*pitches, level=0.05, spec=SPEC):
    """One steady sound of three harmonics for each pitch, Hz."""
    t = torch.arange(spec.samples) / spec.sample_rate
    waves = [sum(torch.sin(2 * math.pi * k * hz * t) / k for k in (1, 2, 3)) for hz in pitches]
    return level * torch.stack(waves)


def sine(hz, spec):
    return torch.sin(2 * math.pi * hz * torch.arange(spec.samples) / spec.sample_rate)[None]


# ---- There ---------------------------------------------------------------------------------------


def test_the_papers_map_is_128_by_44():
    maps = LogMel(PAPER)
    assert maps.columns == 44
    assert maps(torch.zeros(2, PAPER.samples)).shape == (2, 1, 128, 44)


def test_silence_is_minus_one():
    assert torch.equal(maker()(torch.zeros(2, SPEC.samples)), torch.full((2, 1, 32, 33), -1.0))


def test_a_click_has_the_level_that_numpy_gives():
    """One sample at the middle of a window: |X| is 1 at every frequency there."""
    maps, wave = maker(), torch.zeros(1, SPEC.samples)
    wave[0, 8 * 125] = 0.5
    power = np.full(257, 0.25) @ maps.filters().numpy().T
    expected = 10 * np.log10(power)
    np.testing.assert_allclose(maps.decibels(maps(wave))[0, :, 8], expected, atol=1e-3)


@pytest.mark.parametrize(
    ("spec", "sizes", "level_db"),
    [
        (ClipSpec(frames=1, fps=1, size=32, sample_rate=8000), (64, 1024, 250), 33.3),
        (PAPER, (128, 2048, 512), 39.2),
    ],
)
def test_a_full_scale_tone_is_as_loud_as_the_docstring_says(spec, sizes, level_db):
    n_mels, n_fft, hop_length = sizes
    kwargs = {"n_mels": n_mels, "n_fft": n_fft, "hop_length": hop_length}
    maps = LogMel(spec, **kwargs, high_db=60.0)
    loudest = maps.decibels(maps(sine(440, spec))).max()
    assert float(loudest) == pytest.approx(level_db, abs=0.1)
    assert float(LogMel(spec, **kwargs)(sine(440, spec)).max()) == 1


def test_twice_as_loud_is_6_db_more_whatever_else_is_in_the_clip():
    maps, wave = maker(), tones(300, 500)
    soft, loud = maps.decibels(maps(wave)), maps.decibels(maps(2 * wave))
    inside = (soft > -79) & (loud < 19)
    assert inside.sum() > 500
    assert torch.allclose((loud - soft)[inside], torch.tensor(6.0206), atol=1e-3)


def test_levels_do_not_depend_on_autocast():
    maps, wave = maker(), tones(300, 500)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(maps(wave), maker()(wave))


def test_the_scale_is_stored_with_the_weights():
    saved = maker(low_db=-60.0, high_db=10.0).state_dict()
    assert {name: float(value) for name, value in saved.items()} == {
        "low_db": -60.0,
        "high_db": 10.0,
    }
    other = maker()
    other.load_state_dict(saved)
    assert other.decibels(torch.ones(1, 1, 32, 33)).unique().tolist() == [10.0]


def test_it_can_be_built_without_memory():
    with torch.device("meta"):
        maker(n_mels=30)
    assert torch.isfinite(maker(n_mels=30)(torch.zeros(1, SPEC.samples))).all()


# ---- And back ------------------------------------------------------------------------------------


def convergence(wave, reference):
    """Spectral convergence: relative error of magnitudes, 0 for the same."""
    have, want = (stft_magnitude(x, n_fft=512, hop_length=125) for x in (wave, reference))
    return float((have - want).norm() / want.norm())


def test_the_way_back_is_much_closer_than_another_sound():
    maps, waves = maker(n_mels=128), tones(300, 700)
    back = maps.inverse(maps(waves))
    assert back.shape == waves.shape
    for i in (0, 1):
        assert convergence(back[i : i + 1], waves[i : i + 1]) < 0.3
        assert convergence(back[i : i + 1], waves[1 - i : 2 - i]) > 1
        level = (back[i].std() / waves[i].std()).item()
        assert level == pytest.approx(1, abs=0.15)


def test_a_map_of_another_size_is_interpolated():
    maps, waves = maker(n_mels=128), tones(300)
    back = maps.inverse(resize(maps(waves), 256, 40))
    assert convergence(back, waves) < 0.4


def test_the_same_map_gives_the_same_wave_in_any_batch():
    maps = maker()
    given = maps(tones(200, 300, 400))
    together = maps.inverse(given, iterations=5)
    assert torch.equal(maps.inverse(given[1:2], iterations=5)[0], together[1])
    assert torch.equal(maps.inverse(given[[2, 1, 0]], iterations=5)[1], together[1])


def test_a_generator_draws_other_first_phases():
    maps = maker()
    given = maps(tones(200, 300))
    once, twice, other = (
        maps.inverse(given, iterations=5, generator=Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(once, twice)
    assert not torch.equal(once, other)


def test_only_what_would_be_clipped_is_made_quieter():
    maps = maker()
    loud = maps.inverse(torch.ones(1, 1, 32, 33), iterations=2)
    assert float(loud.abs().max()) == pytest.approx(1)
    quiet = maps.inverse(maps(tones(300, level=0.001)))
    assert quiet.abs().max() < 0.01
    assert maps.inverse(torch.empty(0, 1, 32, 33)).shape == (0, SPEC.samples)


# ---- Size ----------------------------------------------------------------------------------------


def test_resize_is_bilinear():
    """numpy.resize would have kept the first row and re-flowed the rest."""
    ramp = torch.arange(8.0)[None, None, :, None] + 100 * torch.arange(44.0)
    smaller = resize(ramp, 8, 34)
    at = (torch.arange(34) + 0.5) * 44 / 34 - 0.5
    expected = torch.arange(8.0)[:, None] + 100 * at.clamp(0, 43)
    torch.testing.assert_close(smaller[0, 0], expected, atol=1e-3, rtol=0)
    assert resize(ramp, 8, 44) is ramp


def test_nothing_here_re_flows_arrays():
    root = Path(__file__).parents[2]
    files = [p for name in ("src", "examples", "benchmarks") for p in (root / name).rglob("*.py")]
    assert len(files) > 100
    bad = re.compile(r"\b(np|numpy)\.resize\(|\.resize_\(")
    assert not [p for p in files if bad.search(p.read_text(encoding="utf-8"))]


# ---- Vocoders ------------------------------------------------------------------------------------


class Repeat(nn.Module):
    """Each column's mean as `hop` samples: no sound, but easy to foretell."""

    def __init__(self, hop):
        super().__init__()
        self.hop = hop

    def forward(self, decibels):
        return (decibels.mean(1) / 100).repeat_interleave(self.hop, dim=1)[:, :4000]


def saved(network, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(network, torch.zeros(1, 32, 33)).save(str(path))
    return path


def test_a_vocoder_takes_the_place_of_the_search(tmp_path):
    maps = maker()
    vocoder = open_vocoder(saved(Repeat(125), tmp_path / "vocoder.pt"))
    given = maps(tones(300, 400))
    back = maps.inverse(given, vocoder=vocoder)
    expected = Repeat(125)(maps.decibels(given))
    torch.testing.assert_close(back, expected)
    assert copy.deepcopy(vocoder) is vocoder


def test_a_vocoder_that_does_not_fit_is_refused(tmp_path):
    path = tmp_path / "vocoder.pt"
    with pytest.raises(ValueError, match=r"vocoder='.*': there is no such file"):
        open_vocoder(path)
    path.write_bytes(b"weights")
    with pytest.raises(ValueError, match="is not TorchScript"):
        open_vocoder(path)
    vocoder = open_vocoder(saved(Repeat(10), path))
    maps = maker()
    with pytest.raises(ValueError, match=r"makes \(1, 330\) of \(1, 32, 33\)"):
        maps.inverse(maps(tones(300)), vocoder=vocoder)
    vocoder = open_vocoder(saved(nn.Sequential(nn.Linear(33, 4000), nn.Flatten()), path))
    with pytest.raises(ValueError, match=r"cannot read maps of \(1, 8, 20\)"):
        vocoder(torch.zeros(1, 8, 20), 4000)


# ---- Bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hop_length": 256}, r"hop_length=256 must be 1 or more, and below n_fft/2=256"),
        ({"hop_length": 0}, r"hop_length=0 must be"),
        ({"n_fft": 8192}, r"n_fft=8192: clips of 4000 samples allow at most 7998"),
        ({"n_mels": 600}, r"n_mels=600 is too many"),
        ({"low_db": 20.0}, r"low_db=20 must be below high_db=20"),
    ],
)
def test_sizes_that_do_not_go_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        maker(**changes)


def test_sounds_of_another_length_are_refused():
    with pytest.raises(ValueError, match="sounds of 3999 samples: these maps are of 4000"):
        maker()(torch.zeros(1, 3999))
