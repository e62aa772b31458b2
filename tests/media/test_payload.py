"""Pictures and sound of a clip as bytes and back."""

import io
import wave
from pathlib import Path

import av
import numpy as np
import pytest

from soundsight.media.clip import ClipSpec
from soundsight.media.io import MediaError, decode, decode_all
from soundsight.media.payload import decode_frames, decode_sound, encode_frames, encode_sound


def smooth(count: int, height: int, width: int, channels: int) -> np.ndarray:
    """Moving waves, different in every channel."""
    t, y, x, c = np.ogrid[:count, :height, :width, :channels]
    waves = np.sin(0.11 * x + 0.3 * t + c) + np.cos(0.07 * y - 0.2 * t + 2 * c)
    return (128 + 60 * waves).astype(np.uint8)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(1e-9, np.mean((a.astype(float) - b) ** 2))))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "shape", [(15, 64, 64), (1, 64, 64), (1, 1, 1), (3, 33, 17), (2, 2, 3), (4, 130, 96)]
)
def test_pictures_come_back(shape: tuple[int, int, int], channels: int):
    frames = smooth(*shape, channels)
    data = encode_frames(frames, 12.5)
    got = decode_frames(data, channels=channels)
    assert got.shape == frames.shape
    assert got.dtype == np.uint8
    assert psnr(got, frames) > 42
    assert abs(got.astype(float).mean() - frames.mean()) < 0.7  # The ranges agree.
    assert encode_frames(frames, 12.5) == data


def test_sharp_colours_keep_their_place():
    """Colour is not subsampled: single red and blue pixels stay single."""
    frames = np.zeros((3, 32, 32, 3), np.uint8)
    frames[:, ::2, ::2, 0] = 200
    frames[:, 1::2, 1::2, 2] = 200
    got = decode_frames(encode_frames(frames, 25.0), channels=3)
    assert np.abs(got.astype(float) - frames).max() < 40
    assert psnr(got, frames) > 38


@pytest.mark.parametrize("fps", [10, 12.5, 24.0, 30000 / 1001])
def test_other_readers_see_the_same(tmp_path: Path, fps: float):
    for channels in (1, 3):
        frames = smooth(12, 48, 48, channels)
        path = tmp_path / "clip.mp4"
        path.write_bytes(encode_frames(frames, fps))
        rate = {10: 8000, 12.5: 8000, 24.0: 9600}.get(fps, 30000)
        spec = ClipSpec(frames=12, fps=fps, size=48, channels=channels, sample_rate=rate)
        video = decode(path, spec, audio=False).video[0].permute(0, 2, 3, 1).numpy() * 255
        assert psnr(video, frames) > 42
        with av.open(path) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.name == "h264"
            assert stream.frames == 12
            assert float(stream.average_rate) == pytest.approx(fps, rel=1e-6)


def test_what_cannot_be_pictures():
    for shape in ((0, 8, 8, 3), (2, 0, 8, 3), (2, 8, 8, 2)):
        with pytest.raises(ValueError, match="must be at least 1, c 1 or 3"):
            encode_frames(np.zeros(shape, np.uint8), 10.0)
    with pytest.raises(ValueError, match="channels=2"):
        decode_frames(b"", channels=2)


def test_damaged_pictures_are_refused():
    data = encode_frames(smooth(15, 64, 64, 3), 12.5)
    rng = np.random.default_rng(0)
    cases = [b"", b"no mp4", rng.bytes(3000)]
    cases += [data[:size] for size in (10, 500, len(data) // 2, len(data) - 400)]
    cases += [data[: len(data) // 3] + bytes(300) + data[len(data) // 3 + 300 :]]
    for case in cases:
        with pytest.raises(MediaError, match=r"clip: .*damaged") as caught:
            decode_frames(case, channels=3)
        assert "\n" not in str(caught.value)
    # Whatever bit flips: frames of the right kind, or that error; never another one.
    refused = 0
    for _ in range(150):
        flipped = bytearray(data)
        flipped[rng.integers(len(data))] ^= 1 << rng.integers(8)
        try:
            got = decode_frames(bytes(flipped), channels=3)
        except MediaError:
            refused += 1
        else:
            assert got.dtype == np.uint8
    assert refused > 10


def test_a_bomb_is_refused(monkeypatch):
    from soundsight.media import payload

    data = encode_frames(np.zeros((20, 64, 64, 3), np.uint8), 10.0)
    monkeypatch.setattr(payload, "MAX_BYTES", 10 * 64 * 64 * 3)
    with pytest.raises(MediaError, match="more than 122880 bytes"):
        decode_frames(data, channels=3)


def test_sound_comes_back_exactly():
    rng = np.random.default_rng(0)
    samples = rng.integers(-32768, 32768, 5000)
    sound = (samples / 32768).astype(np.float32)
    data = encode_sound(sound, 16000)
    got, rate = decode_sound(data)
    np.testing.assert_array_equal(got, sound)
    assert rate == 16000
    assert encode_sound(got, rate) == data
    # Anything else is rounded, and cut off at full scale.
    rough = np.array([0.3, -0.7, 1e-6, 1.5, -1.5, 1.0], np.float32)
    got, _ = decode_sound(encode_sound(rough, 4400))
    np.testing.assert_allclose(got, np.clip(rough, -1, 32767 / 32768), atol=0.5 / 32768)
    assert len(decode_sound(encode_sound(np.zeros(0, np.float32), 8000))[0]) == 0


def test_other_readers_hear_the_same(tmp_path: Path):
    sound = (0.5 * np.sin(np.arange(16000) * 0.05)).astype(np.float32)
    path = tmp_path / "clip.wav"
    path.write_bytes(encode_sound(sound, 16000))
    spec = ClipSpec(frames=10, fps=10, size=16, sample_rate=16000)
    heard = decode(path, spec, video=False).audio[0].numpy()
    np.testing.assert_array_equal(heard, decode_sound(path.read_bytes())[0])


def test_damaged_sound_is_refused():
    data = encode_sound(np.linspace(-1, 1, 800, dtype=np.float32), 8000)
    other = io.BytesIO()
    with wave.open(other, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(400))
    for case in (b"", b"RIFF", bytes(100), data[:30], data[:-2], data[:-3], other.getvalue()):
        with pytest.raises(MediaError, match=r"clip: sound .*damaged") as caught:
            decode_sound(case)
        assert "\n" not in str(caught.value)
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match="not finite"):
            encode_sound(np.array([value], np.float32), 8000)


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["blender/big_buck_bunny_0_30.webm", "grid/bbal7s.mpg"])
def test_real_pictures_look_the_same(shared_data: Path, name: str):
    spec = ClipSpec(frames=15, fps=12.5, size=64, channels=3, sample_rate=16000)
    frames, _ = decode_all(shared_data / name, spec)
    for start in range(0, len(frames) - 15, 15):
        clip = frames[start : start + 15]
        data = encode_frames(clip, 12.5)
        assert psnr(decode_frames(data, channels=3), clip) > 42
        assert len(data) < clip.nbytes / 3
