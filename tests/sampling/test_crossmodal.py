"""Pictures of sounds and sounds of pictures: what is read of anybody's files, and what is written.

The models are toys with a known answer: a picture as bright as the sound is loud, plus noise, and
a tone as loud as the picture is bright.
"""

import logging
import wave
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import nn

from soundsight.contract import Streams
from soundsight.data.orchestra import Orchestra
from soundsight.media.clip import Clip, ClipSpec
from soundsight.media.io import MediaError, decode, decode_image, encode, probe
from soundsight.recipes import Recipe
from soundsight.sampling import Run, read_picture, read_sound, translate_data, translate_files
from soundsight.sampling import crossmodal as translating
from soundsight.sampling.crossmodal import choose_part, spread
from soundsight.sampling.pictures import SOUND_TILES
from soundsight.sampling.runs import check_samples_from
from soundsight.training.trainer import TrainConfig

SPEC = ClipSpec(frames=1, fps=2, size=32, channels=3, sample_rate=8000)
GREY = ClipSpec(frames=1, fps=2, size=32, channels=1, sample_rate=8000)
PAIRS = ClipSpec(frames=1, fps=2, size=32, channels=3, sample_rate=16000)


class Toy(nn.Module):
    """Loud is bright, and bright is loud."""

    def __init__(self, takes: set[str], makes: set[str], spec: ClipSpec) -> None:
        super().__init__()
        self.takes, self.makes, self.spec = frozenset(takes), frozenset(makes), spec

    def sample(self, given: Clip, *, num_samples: int, generator: Streams) -> Clip:
        assert (given.video is None) != (given.audio is None)
        noise = generator.normal(num_samples, 1) / 100
        if given.audio is not None:
            light = given.audio.abs().amax(1, keepdim=True).repeat_interleave(num_samples, 0)
            light = (light + noise).clamp(0, 1)[..., None, None, None]
            shape = (1, self.spec.channels, self.spec.size, self.spec.size)
            return Clip(self.spec, video=light.expand(-1, *shape).contiguous())
        level = given.video.flatten(1).mean(1, keepdim=True).repeat_interleave(num_samples, 0)
        times = torch.arange(self.spec.samples) / self.spec.sample_rate
        return Clip(self.spec, audio=(level / 2 + noise) * torch.sin(2 * np.pi * 440 * times))


def run_of(takes: set[str], makes: set[str], spec: ClipSpec = SPEC) -> Run:
    train = TrainConfig(steps=1, batch_size=1, optim={})
    recipe = Recipe(None, Orchestra(clips=(13, 13, 26)), spec, train, None)
    return Run(Path("runs/toy"), recipe, Toy(takes, makes, spec), torch.device("cpu"))


TO_IMAGE = run_of({"audio"}, {"image"})
TO_SOUND = run_of({"image"}, {"audio"})
BOTH = run_of({"audio", "image"}, {"audio", "image"})


def tone(seconds: float, *, rate: int = 8000, level: float = 0.5, hertz: float = 440.0):
    return level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def write_wav(path: Path, samples: np.ndarray, rate: int = 8000, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        pcm = np.round(np.clip(samples, -1, 1) * 32767).astype("<i2")
        file.writeframes(np.repeat(pcm[:, None], channels, axis=1).tobytes())
    return path


def write_sound(path: Path, codec: str, samples: np.ndarray, rate: int) -> Path:
    """Sound by one of FFmpeg's codecs."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate, layout="mono")
        floats = av.AudioFrame.from_ndarray(samples[None].astype("f4"), "fltp", "mono")
        floats.sample_rate = rate
        to_codecs = av.AudioResampler(stream.codec_context.format.name, "mono", rate)
        for frame in [*to_codecs.resample(floats), None]:
            out.mux(stream.encode(frame))
    return path


def write_image(path: Path, pixels: np.ndarray, kind: str, codec: str = "png") -> Path:
    encoder = av.CodecContext.create(codec, "w")
    encoder.height, encoder.width, encoder.pix_fmt = *pixels.shape[:2], kind
    frame = av.VideoFrame.from_ndarray(pixels, "rgba" if pixels.shape[-1] == 4 else "rgb24")
    packets = encoder.encode(frame.reformat(format=kind))
    path.write_bytes(b"".join(bytes(p) for p in [*packets, *encoder.encode(None)]))
    return path


# ---- Sounds --------------------------------------------------------------------------------------


def test_a_short_sound_is_followed_by_silence(tmp_path):
    """As in the digits' data: the sound as it is, from the beginning, then zeros."""
    path = write_wav(tmp_path / "a.wav", tone(0.2))
    clip = read_sound(path, SPEC)
    assert clip.audio.shape == (1, 4000)
    assert clip.video is None
    expected = torch.from_numpy(tone(0.2)).float()
    torch.testing.assert_close(clip.audio[0, :1600], expected, atol=1e-4, rtol=0)
    assert not clip.audio[0, 1600:].any()


def test_of_a_long_sound_one_window_is_taken(tmp_path):
    """The first, or the one that is asked for; the sound rises, so each window is known."""
    ramp = np.linspace(0, 0.8, 3 * 8000) * np.sign(tone(3, hertz=100))
    path = write_wav(tmp_path / "a.wav", ramp)
    for start_s in (0.0, 1.25):
        heard = read_sound(path, SPEC, start_s=start_s).audio[0]
        first = round(8000 * start_s)
        expected = torch.from_numpy(ramp[first : first + 4000]).float()
        torch.testing.assert_close(heard, expected, atol=1e-4, rtol=0)
    last = read_sound(path, SPEC, start_s=2.75).audio[0]
    assert last[:2000].abs().min() > 0.7
    assert not last[2000:].any()


@pytest.mark.parametrize(
    ("suffix", "codec", "rate"),
    [("wav", "pcm_s16le", 44100), ("flac", "flac", 48000), ("mp3", "libmp3lame", 22050)],
)
def test_any_format_and_rate(tmp_path, suffix, codec, rate):
    """The tone has the same pitch and level whatever it comes from."""
    path = write_sound(tmp_path / f"a.{suffix}", codec, tone(1, rate=rate), rate)
    heard = read_sound(path, SPEC).audio[0]
    spectrum = torch.fft.rfft(heard[1000:3000] * torch.hann_window(2000)).abs()
    assert int(spectrum.argmax()) * 4 == pytest.approx(440, abs=4)
    assert float(heard[1000:3000].abs().max()) == pytest.approx(0.5, abs=0.03)


def test_channels_are_mixed_and_a_video_gives_its_sound(tmp_path):
    stereo = write_wav(tmp_path / "stereo.wav", tone(0.5), channels=2)
    mono = write_wav(tmp_path / "mono.wav", tone(0.5))
    expected = read_sound(mono, SPEC).audio
    torch.testing.assert_close(read_sound(stereo, SPEC).audio, expected, atol=1e-4, rtol=0)
    video = SPEC.with_frames(4)
    sound = torch.from_numpy(tone(2)).float()[None]
    path = encode(Clip(video, torch.rand(1, 4, 3, 32, 32), sound), tmp_path / "film.mp4")
    heard = read_sound(path, SPEC, start_s=0.5).audio[0]
    assert float(heard.abs().max()) == pytest.approx(0.5, abs=0.05)


def float_wav(path: Path, samples: np.ndarray) -> Path:
    return write_sound(path, "pcm_f32le", samples, 8000)


@pytest.mark.parametrize(
    ("samples", "start_s", "message"),
    [
        (np.zeros(8000), 0.0, "silent from 0 s on (digital silence in 4000 samples; at least -80"),
        (tone(1, level=5e-5), 0.0, "silent from 0 s on (-89 dBFS"),
        (tone(0.04), 0.0, "its sound lasts 40 ms from 0 s on; at least 50 ms are needed"),
        (tone(1), 0.97, "its sound lasts 30 ms from 0.97 s on"),
        (tone(1), 5.0, "its sound lasts 0 ms from 5 s on"),
        (np.full(8000, np.nan), 0.0, "silent from 0 s on (digital silence"),
    ],
    ids=["zeros", "quiet", "short", "late", "behind the end", "no numbers"],
)
def test_sounds_that_cannot_be_used(tmp_path, samples, start_s, message):
    path = float_wav(tmp_path / "a.wav", samples)
    with pytest.raises(MediaError) as error:
        read_sound(path, SPEC, start_s=start_s)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_values_that_are_not_numbers_are_read_as_zero(tmp_path):
    holes = np.isin(np.arange(8000), [99, 1234])
    path = float_wav(tmp_path / "a.wav", np.where(holes, np.nan, tone(1)))
    expected = torch.from_numpy(np.where(holes, 0, tone(1))[:4000]).float()
    torch.testing.assert_close(read_sound(path, SPEC).audio[0], expected, atol=1e-6, rtol=0)


def test_silence_that_ends_is_heard_from_there_on(tmp_path):
    path = write_wav(tmp_path / "a.wav", np.concatenate([np.zeros(8000), tone(1)]))
    with pytest.raises(MediaError, match="or another start"):
        read_sound(path, SPEC)
    assert float(read_sound(path, SPEC, start_s=1.0).audio.abs().max()) > 0.4


def test_overdriven_sound_is_taken_with_a_warning(tmp_path, caplog):
    """A tone four times too loud lies at full scale for most of the time; one just right does not.

    In floats it reaches 4, which is cut to 1.
    """
    with caplog.at_level(logging.WARNING):
        read_sound(write_wav(tmp_path / "right.wav", tone(1, level=1.0)), SPEC)
        assert not caplog.records
        clip = read_sound(float_wav(tmp_path / "loud.wav", tone(1, level=4.0)), SPEC)
    assert float(clip.audio.max()) == 1.0
    (record,) = caplog.records
    assert "loud.wav: overdriven" in record.getMessage()


@pytest.mark.parametrize("start_s", [-1.0, float("inf"), float("nan")])
def test_starts_out_of_range(tmp_path, start_s):
    path = write_wav(tmp_path / "a.wav", tone(1))
    for read in (read_sound, read_picture):
        with pytest.raises(ValueError, match="must be at least 0 seconds"):
            read(path, SPEC, start_s=start_s)


# ---- Pictures ------------------------------------------------------------------------------------


def halves(height: int, width: int) -> np.ndarray:
    """Red on the left, green on the right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = pixels[:, width // 2 :, 1] = 255
    return pixels


@pytest.mark.parametrize(
    ("suffix", "codec", "kind"),
    [("png", "png", "rgb24"), ("jpg", "mjpeg", "yuvj444p"), ("webp", "libwebp", "yuv420p")],
)
def test_pictures_of_any_format(tmp_path, suffix, codec, kind):
    path = write_image(tmp_path / f"a.{suffix}", halves(64, 64), kind, codec)
    video = read_picture(path, SPEC).video
    assert video.shape == (1, 1, 3, 32, 32)
    assert video[0, 0, 0, :, :12].mean() > 0.9
    assert video[0, 0, 1, :, 20:].mean() > 0.9
    assert video[0, 0, 0, :, 20:].mean() < 0.1


def test_colours_become_grey_and_grey_fills_all_colours(tmp_path):
    path = write_image(tmp_path / "a.png", halves(64, 64), "rgb24")
    grey = read_picture(path, GREY).video
    assert grey.shape == (1, 1, 1, 32, 32)
    assert float(grey[..., :12].mean()) == pytest.approx(0.299, abs=0.02)
    assert float(grey[..., 20:].mean()) == pytest.approx(0.587, abs=0.02)
    path = write_image(tmp_path / "b.png", np.full((40, 40, 3), 100, np.uint8), "gray")
    colours = read_picture(path, SPEC).video
    torch.testing.assert_close(colours, torch.full((1, 1, 3, 32, 32), 100 / 255), atol=0.01, rtol=0)


@pytest.mark.parametrize("side", [1, 3, 1000])
def test_tiny_and_large_pictures(tmp_path, side):
    pixels = np.full((side, side, 3), 200, np.uint8)
    video = read_picture(write_image(tmp_path / "a.png", pixels, "rgb24"), SPEC).video
    torch.testing.assert_close(video, torch.full((1, 1, 3, 32, 32), 200 / 255), atol=0.01, rtol=0)


def test_the_centre_square_is_taken(tmp_path):
    """64 x 192: left and right thirds are blue and must not be seen."""
    pixels = np.zeros((64, 192, 3), np.uint8)
    pixels[..., 2] = 255
    pixels[:, 64:128] = (255, 0, 0)
    video = read_picture(write_image(tmp_path / "a.png", pixels, "rgb24"), SPEC).video
    assert video[:, :, 0].min() > 0.95
    assert video[:, :, 2].max() < 0.05


def test_transparency_is_left_out_with_a_warning(tmp_path, caplog):
    """Beneath transparent pixels the file keeps blue; those that are half there are as bright."""
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[:, :16] = (0, 0, 255, 0)
    pixels[:, 16:] = (255, 0, 0, 128)
    path = write_image(tmp_path / "a.png", pixels, "rgba")
    with caplog.at_level(logging.WARNING):
        video = read_picture(path, SPEC).video
    assert video[0, 0, 2, :, :12].min() > 0.95
    assert video[0, 0, 0, :, 20:].min() > 0.95
    assert "a.png: has transparent parts" in caplog.text
    caplog.clear()
    pixels[..., 3] = 255
    read_picture(write_image(path, pixels, "rgba"), SPEC)
    assert not caplog.records


def test_a_video_gives_its_first_picture_or_the_one_at_a_time(tmp_path):
    """Frame k of the film has brightness k / 10."""
    spec = ClipSpec(frames=8, fps=4, size=32, channels=3, sample_rate=8000)
    levels = torch.arange(8) / 10
    video = levels[None, :, None, None, None].expand(1, 8, 3, 32, 32)
    for suffix in ("mp4", "gif"):
        path = encode(Clip(spec, video), tmp_path / f"a.{suffix}")
        for start_s, level in ((0.0, 0.0), (0.25, 0.1), (1.1, 0.4)):
            seen = read_picture(path, SPEC, start_s=start_s).video
            assert float(seen.mean()) == pytest.approx(level, abs=0.03)
        with pytest.raises(MediaError, match=r"its picture ends at [\d.]+ s; the one at 9 s"):
            read_picture(path, SPEC, start_s=9.0)


# ---- Which part ----------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    """A sound, a picture, and a film with both."""
    sound = torch.from_numpy(tone(1)).float()[None]
    film = Clip(SPEC.with_frames(2), torch.full((1, 2, 3, 32, 32), 0.5), sound)
    return {
        "sound": write_wav(tmp_path / "tone.wav", tone(0.5)),
        "picture": write_image(tmp_path / "grey.png", np.full((9, 9, 3), 128, np.uint8), "rgb24"),
        "film": encode(film, tmp_path / "film.mp4"),
    }


@pytest.mark.parametrize(
    ("run", "file", "give", "part"),
    [
        (TO_IMAGE, "sound", None, "audio"),
        (TO_IMAGE, "film", None, "audio"),
        (TO_SOUND, "picture", None, "image"),
        (TO_SOUND, "film", "image", "image"),
        (BOTH, "sound", None, "audio"),
        (BOTH, "picture", None, "image"),
        (BOTH, "film", "audio", "audio"),
        (BOTH, "film", "image", "image"),
    ],
)
def test_a_model_is_given_what_it_takes(files, run, file, give, part):
    assert choose_part(run, files[file], give) == part


@pytest.mark.parametrize(
    ("run", "file", "give", "message"),
    [
        (TO_IMAGE, "picture", None, "has picture but no sound; runs/toy makes pictures of sounds"),
        (TO_SOUND, "sound", None, "has sound but no picture; runs/toy makes sounds of pictures"),
        (BOTH, "film", None, "has picture and sound, and runs/toy takes either"),
        (BOTH, "sound", "image", "has sound but no picture"),
        (TO_IMAGE, "film", "image", "give='image': runs/toy takes audio only"),
    ],
)
def test_what_a_model_does_not_take(files, run, file, give, message):
    with pytest.raises(ValueError, match="runs/toy") as error:
        choose_part(run, files[file], give)
    assert message in str(error.value)


def test_runs_of_other_kinds():
    nothing, context = run_of(set(), {"video"}), run_of({"audio", "context"}, {"video"})
    judge = run_of({"audio"}, set())
    for run, message in (
        (nothing, "takes nothing"), (context, "no pictures of sounds"), (judge, "is a judge"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            check_samples_from(run, "parts")
    with pytest.raises(ValueError, match="cannot continue frames"):
        check_samples_from(TO_IMAGE, "clips")
    with pytest.raises(ValueError, match="cannot generate from nothing"):
        check_samples_from(BOTH, "nothing")


# ---- What is written -----------------------------------------------------------------------------


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def test_pictures_of_a_sound(files, tmp_path):
    out = tmp_path / "out"
    ((name, written),) = translate_files(TO_IMAGE, [files["sound"]], out, samples=3, seed=1)
    assert name == str(files["sound"])
    assert names(written) == [
        "sample_000.png", "sample_001.png", "sample_002.png", "given.wav", "samples.png",
    ]  # fmt: skip
    assert all(path.parent == out / "tone" for path in written)
    for path in written[:3]:  # As bright as the sound is loud.
        video = decode_image(path, SPEC).video
        assert float(video.mean()) == pytest.approx(0.5, abs=0.05)
        assert video.std() < 1e-3
    info = probe(written[0])
    assert (info.width, info.height) == (192, 192)
    sheet = probe(written[-1])
    assert (sheet.width, sheet.height) == (3 * 192, 192)
    heard = decode(out / "tone" / "given.wav", SPEC, video=False).audio
    torch.testing.assert_close(heard, read_sound(files["sound"], SPEC).audio, atol=1e-4, rtol=0)


def test_sounds_of_a_picture(files, tmp_path):
    ((_, written),) = translate_files(TO_SOUND, [files["picture"]], tmp_path / "out", samples=2)
    assert names(written) == [
        "sample_000.wav", "sample_000.mp4", "spectrogram_000.png",
        "sample_001.wav", "sample_001.mp4", "spectrogram_001.png", "given.png", "samples.png",
    ]  # fmt: skip
    level = 128 / 255 / 2
    heard = decode(written[0], SPEC, video=False).audio
    assert float(heard.abs().max()) == pytest.approx(level, abs=0.05)
    both = probe(written[1])
    assert both.has_audio
    assert both.has_video
    assert both.seconds == pytest.approx(0.5, abs=0.05)
    assert float(decode_image(written[1], SPEC).video.mean()) == pytest.approx(0.5, abs=0.03)
    # One line, 440 of 4000 Hz from below: bright there, dark elsewhere.
    line = decode_image(written[2], ClipSpec(frames=1, size=96, sample_rate=8000, fps=10)).video
    rows = line[0, 0, 0].mean(1)
    assert int(rows.argmax()) == pytest.approx(96 * (1 - 440 / 4000), abs=4)
    sheet = probe(written[-1])
    assert (sheet.width, sheet.height) == (4 * 192, 2 * 192)


def test_many_pictures_are_laid_out_in_rows(files, tmp_path):
    """Twelve in two rows of eight; places that are left are white."""
    ((_, written),) = translate_files(TO_IMAGE, [files["sound"]], tmp_path, samples=12)
    sheet = probe(written[-1])
    assert (sheet.width, sheet.height) == (8 * 192, 2 * 192)
    frame = next(av.open(str(written[-1])).decode(video=0)).to_ndarray(format="rgb24")
    assert frame[192:, 4 * 192 :].min() == 255
    assert frame[192:, : 4 * 192].max() < 150


def test_the_truth_stands_beside_the_runs_own_data(tmp_path):
    run = run_of({"audio"}, {"image"}, PAIRS)
    done = dict(translate_data(run, tmp_path, clips=2, samples=1))
    # Of 26, one from the middle of each half.
    assert list(done) == ["test_0006", "test_0019", "all clips"]
    (grid,) = done["all clips"]
    frame = next(av.open(str(grid)).decode(video=0)).to_ndarray(format="rgb24")
    assert frame.shape == (2 * 64, 2 * 64, 3)  # Two rows of the truth and one sample.
    truths = run.recipe.data.build(PAIRS, "test").clips([6, 19]).video[:, 0]
    shown = torch.from_numpy(frame[::2, :64:2].copy()).unflatten(0, (2, 32)).movedim(3, 1) / 255
    torch.testing.assert_close(shown, truths, atol=0.01, rtol=0)
    written = done["test_0019"]
    assert names(written) == ["sample_000.png", "given.wav", "truth.png", "samples.png"]
    truth = run.recipe.data.build(PAIRS, "test").clips([19])
    seen = decode_image(written[2], PAIRS).video
    torch.testing.assert_close(seen, truth.video, atol=0.01, rtol=0)
    frame = next(av.open(str(written[-1])).decode(video=0)).to_ndarray(format="rgb24")
    assert frame.shape == (192, 2 * 192, 3)
    first = torch.from_numpy(frame[::6, :192:6].copy()).permute(2, 0, 1) / 255
    torch.testing.assert_close(first, truth.video[0, 0], atol=0.01, rtol=0)


def test_a_model_of_both_directions_is_shown_in_both(tmp_path):
    run = run_of({"audio", "image"}, {"audio", "image"}, PAIRS)
    done = dict(translate_data(run, tmp_path, clips=1))
    assert list(done) == ["test_0013_from_audio", "test_0013_from_image", "all clips"]
    assert names(done["all clips"]) == ["grid_from_audio.png", "grid_from_image.png"]
    frame = next(av.open(str(tmp_path / "grid_from_image.png")).decode(video=0))
    assert (frame.width, frame.height) == (2 * 32 * (1 + 2 * SOUND_TILES), 2 * 32)
    assert names(done["test_0013_from_audio"])[0] == "sample_000.png"
    assert "truth.wav" in names(done["test_0013_from_image"])
    assert list(dict(translate_data(run, tmp_path, clips=1, give="image"))) == [
        "test_0013_from_image",
        "all clips",
    ]


def test_the_same_seed_gives_the_same_bytes_whatever_else_is_asked_for(files, tmp_path):
    def made(out: Path, run: Run, paths, samples: int, seed: int = 3) -> dict[str, bytes]:
        found = dict(translate_files(run, paths, out, samples=samples, seed=seed))
        return {path.name: path.read_bytes() for path in found[str(paths[-1])]}

    for run, path in ((TO_IMAGE, files["sound"]), (TO_SOUND, files["picture"])):
        name = f"sample_001.{'png' if run is TO_IMAGE else 'wav'}"
        first = made(tmp_path / "a", run, [path], 2)
        assert made(tmp_path / "b", run, [path], 2) == first
        assert made(tmp_path / "c", run, [files["film"], path], 4)[name] == first[name]
        assert made(tmp_path / "d", run, [path], 2, seed=4)[name] != first[name]


def test_fewer_samples_leave_no_old_ones_and_nobody_elses_files(files, tmp_path):
    (tmp_path / "tone").mkdir()
    mine = tmp_path / "tone" / "samples.txt"
    mine.write_text("mine")
    for samples in (3, 1):
        list(translate_files(TO_IMAGE, [files["sound"]], tmp_path, samples=samples))
    found = sorted(path.name for path in (tmp_path / "tone").iterdir())
    assert found == ["given.wav", "sample_000.png", "samples.png", "samples.txt"]


def test_files_of_one_name_and_bad_counts(files, tmp_path):
    twin = write_wav(tmp_path / "film.wav", tone(0.5))
    with pytest.raises(ValueError, match="several files are named film"):
        list(translate_files(TO_IMAGE, [files["film"], twin], tmp_path))
    with pytest.raises(ValueError, match="count=0"):
        list(translate_data(TO_IMAGE, tmp_path, clips=0))


@pytest.mark.parametrize("out", [".", "../there"])
def test_a_file_in_its_own_output_folder_is_refused_and_kept(files, tmp_path, monkeypatch, out):
    """What is given is written there as given.wav."""
    place = tmp_path / "there"
    (place / "given").mkdir(parents=True)
    mine = write_wav(place / "given" / "given.wav", tone(0.5))
    before = mine.read_bytes()
    monkeypatch.chdir(place)
    for paths in (["given/given.wav"], [files["sound"], mine]):
        with pytest.raises(ValueError, match=r"given\.wav: lies in a folder that samples are"):
            list(translate_files(TO_IMAGE, paths, Path(out)))
    assert mine.read_bytes() == before
    assert [path.name for path in place.iterdir()] == ["given"]
    assert list(translate_files(TO_IMAGE, ["given/given.wav"], Path("elsewhere")))


def test_an_opaque_picture_is_decoded_once(files, monkeypatch):
    read = []
    monkeypatch.setattr(translating, "frames_of", lambda *_: iter(read.append(1) or ()))
    read_picture(files["picture"], SPEC)
    assert not read


def test_what_came_before_a_bad_file_is_kept(files, tmp_path):
    results = translate_files(TO_IMAGE, [files["sound"], files["picture"]], tmp_path)
    assert next(results)[0] == str(files["sound"])
    with pytest.raises(MediaError, match=r"grey\.png"):
        next(results)
    assert (tmp_path / "tone" / "sample_000.png").is_file()


@pytest.mark.parametrize(
    ("have", "wanted", "places"),
    [(100, 4, [12, 37, 62, 87]), (3, 8, [0, 1, 2]), (5, 1, [2]), (1, 1, [0])],
)
def test_spread(have, wanted, places):
    assert spread(have, wanted) == places
