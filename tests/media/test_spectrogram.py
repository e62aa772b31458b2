"""Spectrograms against SciPy, hand values and their own inverses."""

import numpy as np
import pytest
import scipy.signal
import torch

from soundsight.media.spectrogram import (
    chunk_stft,
    griffin_lim,
    hz_to_mel,
    inverse_mel,
    istft,
    mel_filterbank,
    mel_spectrogram,
    mel_to_hz,
    stft,
    stft_magnitude,
)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def tone(hz: float, rate: int, n: int) -> torch.Tensor:
    return torch.sin(2 * torch.pi * hz * torch.arange(n) / rate)[None]


@pytest.mark.parametrize(("n_fft", "hop", "n"), [(44, 22, 440), (88, 44, 735), (256, 64, 1000)])
def test_stft_equals_scipy(n_fft: int, hop: int, n: int):
    wave = noise(2, n)
    got = stft(wave, n_fft=n_fft, hop_length=hop)
    padded = np.pad(wave.numpy(), ((0, 0), (n_fft // 2, n_fft // 2)), mode="reflect")
    window = scipy.signal.get_window("hann", n_fft, fftbins=True)
    starts = range(0, padded.shape[1] - n_fft + 1, hop)
    by_hand = np.stack([np.fft.rfft(padded[:, s : s + n_fft] * window) for s in starts], axis=2)
    np.testing.assert_allclose(got.numpy(), by_hand, atol=2e-4)
    transform = scipy.signal.ShortTimeFFT(window, hop, fs=1.0, scale_to=None, phase_shift=None)
    reference = transform.stft(wave.numpy(), p0=0, p1=got.shape[2], padding="zeros")
    inside = slice(n_fft // hop, -(n_fft // hop) - 1)  # SciPy pads with zeros, not reflections.
    np.testing.assert_allclose(
        stft_magnitude(wave, n_fft=n_fft, hop_length=hop).numpy()[..., inside],
        np.abs(reference)[..., inside],
        atol=2e-4,
    )


def test_windows_that_are_not_centered_begin_at_their_sample():
    wave = noise(1, 300)
    got = stft_magnitude(wave, n_fft=64, hop_length=50, center=False)
    assert got.shape == (1, 33, 1 + (300 - 64) // 50)
    window = scipy.signal.get_window("hann", 64)
    third = np.abs(np.fft.rfft(wave[0, 100:164].numpy() * window))
    np.testing.assert_allclose(got[0, :, 2].numpy(), third, atol=1e-4)


@pytest.mark.parametrize(("n_fft", "hop", "n"), [(44, 22, 440), (256, 64, 1024), (88, 44, 736)])
def test_istft_is_the_inverse(n_fft: int, hop: int, n: int):
    wave = noise(3, n)
    spectrum = stft(wave, n_fft=n_fft, hop_length=hop)
    back = istft(spectrum, n_fft=n_fft, hop_length=hop, length=n)
    assert (back - wave).abs().max() < 1e-5


def test_griffin_lim_recovers_a_tone():
    rate, n = 8000, 8000
    wave = tone(523.0, rate, n)
    magnitude = stft_magnitude(wave, n_fft=512, hop_length=128)
    back = griffin_lim(
        magnitude, n_fft=512, hop_length=128, length=n, generator=torch.Generator().manual_seed(1)
    )
    assert back.shape == wave.shape
    spectrum = torch.fft.rfft(back[0] * torch.hann_window(n)).abs()
    assert abs(int(spectrum.argmax()) - 523) <= 1  # Bins of 1 Hz.
    error = (stft_magnitude(back, n_fft=512, hop_length=128) - magnitude).norm() / magnitude.norm()
    assert error < 0.15
    again = griffin_lim(
        magnitude, n_fft=512, hop_length=128, length=n, generator=torch.Generator().manual_seed(1)
    )
    assert torch.equal(back, again)


def test_mel_scale_has_slaneys_values():
    hz = torch.tensor([0.0, 200 / 3, 500.0, 1000.0, 6400.0])
    mel = torch.tensor([0.0, 1.0, 7.5, 15.0, 42.0])
    torch.testing.assert_close(hz_to_mel(hz), mel)
    torch.testing.assert_close(mel_to_hz(mel), hz)


def test_mel_filters_are_triangles_of_area_one():
    filters = mel_filterbank(sample_rate=16000, n_fft=4096, n_mels=40)
    assert filters.shape == (40, 2049)
    assert filters.min() >= 0
    torch.testing.assert_close(filters.sum(1) * 16000 / 4096, torch.ones(40), atol=0.01, rtol=0)
    peaks = filters.argmax(1) * 16000 / 4096
    mels = hz_to_mel(peaks)
    step = float(hz_to_mel(torch.tensor([8000.0]))) / 41
    torch.testing.assert_close(mels, step * torch.arange(1, 41), atol=0.05, rtol=0)
    # Before scaling, neighbouring triangles add to 1 between the first and the last peak.
    edges = mel_to_hz(step * torch.arange(42))
    triangles = filters * ((edges[2:] - edges[:-2]) / 2)[:, None]
    bins = torch.arange(2049) * 16000 / 4096
    inside = (bins >= edges[1]) & (bins <= edges[-2])
    torch.testing.assert_close(
        triangles.sum(0)[inside], torch.ones(int(inside.sum())), atol=1e-4, rtol=0
    )


def test_mel_filterbank_by_hand():
    # Two filters over 0, 100, ..., 800 Hz, all in the linear part: edges 0, 800/3, 1600/3, 800.
    filters = mel_filterbank(sample_rate=1600, n_fft=16, n_mels=2)
    e = 800 / 3
    bins = np.arange(9) * 100.0
    first = np.clip(np.minimum(bins / e, (2 * e - bins) / e), 0, None) * 2 / (2 * e)
    second = np.clip(np.minimum((bins - e) / e, (3 * e - bins) / e), 0, None) * 2 / (2 * e)
    np.testing.assert_allclose(filters.numpy(), [first, second], atol=1e-8)


def test_log_mel_of_a_tone_peaks_at_its_bin_and_of_silence_is_the_floor():
    options = {"sample_rate": 16000, "n_fft": 1024, "hop_length": 160, "n_mels": 80}
    mel = mel_spectrogram(tone(1000.0, 16000, 16000), **options)
    assert mel.shape == (1, 80, 101)
    filters = mel_filterbank(sample_rate=16000, n_fft=1024, n_mels=80)
    assert mel[0, :, 50].argmax() == filters[:, 64].argmax()  # Bin 64 is 1000 Hz.
    silence = mel_spectrogram(torch.zeros(1, 16000), **options)
    torch.testing.assert_close(silence, torch.full_like(silence, np.log(1e-5)))
    # Twice the amplitude is four times the power.
    louder = mel_spectrogram(tone(1000.0, 16000, 16000) * 0.5, **options)
    peak = mel[0, :, 50].max() - louder[0, :, 50].max()
    assert peak == pytest.approx(np.log(4), abs=1e-3)


def test_inverse_mel():
    options = {"sample_rate": 16000, "n_fft": 512}
    wave = noise(2, 8000) * torch.linspace(0.1, 1, 8000)
    log_mel = mel_spectrogram(wave, hop_length=128, n_mels=40, **options)
    magnitude = inverse_mel(log_mel, **options)
    assert magnitude.shape == (2, 257, 63)
    filters = mel_filterbank(n_mels=40, **options)
    again = torch.einsum("mf,bfk->bmk", filters, magnitude.square()).clamp(min=1e-5).log()
    assert (again - log_mel).abs().mean() < 0.05


def test_inverse_mel_equals_numpy():
    """Lee and Seung's updates of x, F x = m, from F' m on, in float64."""
    options = {"sample_rate": 8000, "n_fft": 256}
    log_mel = noise(2, 20, 7) * 3 - 4
    filters = mel_filterbank(n_mels=20, **options).double().numpy()
    for row, got in zip(log_mel, inverse_mel(log_mel, iterations=5, **options), strict=True):
        target = filters.T @ np.exp(row.double().numpy())
        power = target
        for _ in range(5):
            made = filters.T @ filters @ power
            power = np.divide(power * target, made, out=np.zeros_like(made), where=made > 0)
        np.testing.assert_allclose(got.numpy(), np.sqrt(power), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("samples", "n_fft", "hop", "shape"), [(440, 44, 22, (23, 21)), (735, 88, 44, (45, 17))]
)
def test_chunk_shapes(samples: int, n_fft: int, hop: int, shape: tuple[int, int]):
    wave = noise(2, 5 * samples)
    chunks = chunk_stft(wave, samples_per_frame=samples, n_fft=n_fft, hop_length=hop)
    assert chunks.shape == (2, 5, *shape)
    assert chunks.min() >= 0
    assert chunks.max() <= 1


@pytest.mark.parametrize(
    ("compression", "half"), [("none", 0.5), ("log", np.log(51) / np.log(101))]
)
def test_a_full_scale_tone_is_one_at_its_bin(compression: str, half: float):
    wave = tone(1000.0, 4400, 4400)  # Bin 10 of 44 at 4400 Hz.
    options = {"samples_per_frame": 440, "n_fft": 44, "hop_length": 22, "compression": compression}
    chunks = chunk_stft(wave, **options)[0]
    assert (chunks[:, :, 2:-2].argmax(dim=1) == 10).all()
    torch.testing.assert_close(chunks[:, 10, 2:-2], torch.ones(10, 17), atol=1e-3, rtol=0)
    quiet = chunk_stft(0.5 * wave, **options)[0, :, 10, 2:-2]
    torch.testing.assert_close(quiet, torch.full((10, 17), half), atol=1e-3, rtol=0)


def test_chunks_and_batches_are_independent():
    options = {"samples_per_frame": 440, "n_fft": 44, "hop_length": 22}
    wave = noise(3, 4400)
    chunks = chunk_stft(wave, **options)
    for t in range(10):
        alone = chunk_stft(wave[1:2, 440 * t : 440 * (t + 1)], **options)
        assert torch.equal(alone[0, 0], chunks[1, t])
    changed = wave.clone()
    changed[:, 880:1320] = 0
    other = chunk_stft(changed, **options)
    assert torch.equal(other[:, :2], chunks[:, :2])
    assert torch.equal(other[:, 3:], chunks[:, 3:])
    assert not torch.equal(other[:, 2], chunks[:, 2])


def test_gradients_pass():
    wave = noise(1, 880).requires_grad_()
    chunk_stft(wave, samples_per_frame=440, n_fft=44, hop_length=22).sum().backward()
    assert wave.grad.isfinite().all()
    assert wave.grad.abs().sum() > 0


def test_bad_input():
    with pytest.raises(ValueError, match="441 samples are no multiple of samples_per_frame=440"):
        chunk_stft(torch.zeros(1, 441), samples_per_frame=440, n_fft=44, hop_length=22)
    with pytest.raises(ValueError, match="10 samples; n_fft=64 needs at least 33"):
        stft(torch.zeros(1, 10), n_fft=64, hop_length=16)
    with pytest.raises(ValueError, match="hop_length=0"):
        stft(torch.zeros(1, 100), n_fft=64, hop_length=0)
    with pytest.raises(ValueError, match="f_max=9000"):
        mel_filterbank(sample_rate=16000, n_fft=512, n_mels=40, f_max=9000.0)
    with pytest.raises(ValueError, match="n_mels=400 is too many"):
        mel_filterbank(sample_rate=16000, n_fft=512, n_mels=400)
