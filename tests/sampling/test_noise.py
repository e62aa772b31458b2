"""Clips from nothing: their seeds, lengths, walks, variations, and what is written of them."""

import dataclasses
import wave
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from soundsight import recipes, sampling
from soundsight.contract import Model, Streams
from soundsight.media.clip import Clip, ClipSpec
from soundsight.media.io import probe
from soundsight.sampling.pictures import SOUND_TILES, sound_picture

SPEC = ClipSpec(frames=6, fps=10, size=16, channels=3, sample_rate=8000)


@dataclass(frozen=True)
class Noise:
    """What a clip of `Hum` is made of."""

    content: Tensor
    motion: Tensor

    def __len__(self) -> int:
        return len(self.content)

    def __getitem__(self, rows) -> "Noise":
        return Noise(self.content[rows], self.motion[rows])

    def mix(self, other: "Noise", share: float, part: str = "content") -> "Noise":
        mixed = (1 - share) * getattr(self, part) + share * getattr(other, part)
        return dataclasses.replace(self, **{part: mixed})

    def with_part(self, other: "Noise", part: str) -> "Noise":
        return self.mix(other, 1.0, part)


class Hum(nn.Module):
    """A grey square whose level is the content, and a sound that is the motion."""

    takes = frozenset()
    makes = frozenset({"video", "audio"})

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def phases(self) -> dict[str, nn.Module]:
        return {}

    def losses(self, clip, *, step, generator):
        yield from ()

    def latents(self, streams: Streams, num_samples: int, frames: int) -> Noise:
        content = streams.normal(num_samples, 1)
        return Noise(content, streams.normal(num_samples, frames))

    def generate(self, noise: Noise) -> Clip:
        self.batches.append(len(noise))
        frames = noise.motion.shape[1]
        spec = SPEC.with_frames(frames)
        grey = noise.content.sigmoid()[:, :, None, None, None]
        video = grey.expand(-1, frames, 3, SPEC.size, SPEC.size).contiguous()
        sound = noise.motion.sigmoid().repeat_interleave(spec.samples_per_frame, dim=1)
        return Clip(spec, video, sound)

    def sample(self, given: Clip, *, num_samples: int, generator: Streams) -> Clip:
        return self.generate(self.latents(generator, num_samples, given.spec.frames))


@pytest.fixture
def run() -> sampling.Run:
    recipe = dataclasses.replace(recipes.load("sound2sight_m3so_tiny"), clip=SPEC)
    return sampling.Run(Path("runs/hum"), recipe, Hum(), torch.device("cpu"))


def drawn(run, **asked) -> Clip:
    return Clip.cat(list(sampling.generate(run, **asked)))


def heard(path: Path) -> np.ndarray:
    """The sound of a file, one number a frame."""
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767
    return samples.reshape(-1, SPEC.samples_per_frame)[:, 0]


def seen(path: Path) -> np.ndarray:
    """A picture's pixels, (h, w, 3)."""
    with av.open(str(path)) as file:
        return next(file.decode(video=0)).to_ndarray(format="rgb24")


def test_the_stand_in_is_a_model(run):
    assert isinstance(run.model, Model)


def test_clip_i_is_the_same_in_any_batch(run):
    many = drawn(run, samples=19, seed=3)
    assert run.model.batches == [16, 3]
    for i in (0, 17):
        alone = run.model.sample(Clip.nothing(SPEC, 1), num_samples=1, generator=Streams(3, [i]))
        torch.testing.assert_close(many.video[i : i + 1], alone.video, atol=1e-6, rtol=0)
        torch.testing.assert_close(many.audio[i : i + 1], alone.audio, atol=1e-6, rtol=0)
    assert not torch.equal(many.video[0], drawn(run, samples=1, seed=4).video[0])


def test_clips_may_be_longer_than_those_of_training(run):
    made = drawn(run, samples=2, seed=0, frames=25)
    assert made.spec.frames == made.video.shape[1] == 25
    assert made.audio.shape[1] == 25 * SPEC.samples_per_frame
    with pytest.raises(ValueError, match="frames=0 must be between 1 and 10000"):
        drawn(run, samples=1, seed=0, frames=0)


def test_samples_are_written_with_sound_and_shown_in_rows(run, tmp_path):
    sampling.sample_noise(run, tmp_path, samples=4, wav=True)
    files = sampling.sample_noise(run, tmp_path, samples=2, seed=0)
    assert [f.name for f in files] == ["sample_000.mp4", "sample_001.mp4", "strips.png"]
    assert {f.name for f in tmp_path.iterdir()} == {f.name for f in files}  # Older ones are gone.
    info = probe(files[0])
    assert info.has_audio
    assert info.seconds == pytest.approx(0.6, abs=0.06)

    made = drawn(run, samples=2, seed=0)
    picture, scale = seen(files[-1]), 4
    assert picture.shape == (2 * 16 * scale, (6 + SOUND_TILES) * 16 * scale, 3)
    for row in range(2):
        level = round(float(made.video[row, 0, 0, 0, 0]) * 255)
        assert (picture[row * 64 : (row + 1) * 64, : 6 * 64] == level).all()


def test_sounds_are_written_alone_if_asked_for(run, tmp_path):
    files = sampling.sample_noise(run, tmp_path, samples=2, wav=True)
    assert [f.suffix for f in files] == [".mp4", ".wav", ".mp4", ".wav", ".png"]
    made = drawn(run, samples=2, seed=0)
    wanted = made.audio[1, :: SPEC.samples_per_frame].numpy()
    np.testing.assert_allclose(heard(files[3]), wanted, atol=1e-4)


def test_a_walk_leads_from_the_first_clip_to_the_seconds_part(run, tmp_path):
    ends = drawn(run, samples=2, seed=7)
    sounds = ends.audio[:, :: SPEC.samples_per_frame].numpy()
    files = sampling.sample_walk(run, tmp_path, "motion", steps=5, seed=7, wav=True)
    wavs = [f for f in files if f.suffix == ".wav"]
    assert [f.name for f in wavs] == [f"walk_00{i}.wav" for i in range(5)]
    np.testing.assert_allclose(heard(wavs[0]), sounds[0], atol=1e-4)
    np.testing.assert_allclose(heard(wavs[4]), sounds[1], atol=1e-4)
    away = [np.abs(heard(w) - sounds[0]).sum() for w in wavs]
    assert away == sorted(away)
    # What is seen stays that of the first clip, in as many rows as there are steps.
    picture = seen(tmp_path / "walk.png")
    assert picture.shape[0] == 5 * 64
    level = round(float(ends.video[0, 0, 0, 0, 0]) * 255)
    assert (picture[:, : 6 * 64] == level).all()


def test_variations_hold_the_other_part(run, tmp_path):
    alone = drawn(run, samples=18, seed=2)
    sounds = alone.audio[:, :: SPEC.samples_per_frame].numpy()
    levels = (alone.video[:, 0, 0, 0, 0] * 255).round().numpy()
    moved = sampling.sample_variations(run, tmp_path / "m", "motion", samples=18, seed=2, wav=True)
    assert len(moved) == 2 * 18 + 1
    for i in (0, 1, 17):
        np.testing.assert_allclose(
            heard(tmp_path / "m" / f"vary_{i:03d}.wav"), sounds[i], atol=1e-4
        )
    assert (seen(tmp_path / "m" / "vary.png")[:, : 6 * 64] == levels[0]).all()
    sampling.sample_variations(run, tmp_path / "c", "content", samples=3, seed=2, wav=True)
    for i in range(3):
        np.testing.assert_allclose(
            heard(tmp_path / "c" / f"vary_{i:03d}.wav"), sounds[0], atol=1e-4
        )
    shown = seen(tmp_path / "c" / "vary.png")[32::64, 0, 0]
    assert shown.tolist() == levels[:3].tolist()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run, out: sampling.sample_noise(run, out, samples=0), "samples=0 must be"),
        (lambda run, out: sampling.sample_noise(run, out, samples=1, seed=-1), "seed=-1 must be"),
        (lambda run, out: sampling.sample_walk(run, out, "motion", steps=1), "between 2 and 100"),
        (
            lambda run, out: list(sampling.sample_files(run, ["a.mp4"], out)),
            "runs/hum takes nothing: it generates from noise",
        ),
        (lambda run, out: list(sampling.sample_data(run, out, clips=1)), "takes nothing"),
        (lambda run, out: sampling.read_given(run, "a.mp4"), "takes nothing"),
    ],
)
def test_what_is_refused(run, tmp_path, call, message):
    with pytest.raises(ValueError, match=message):
        call(run, tmp_path)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run, out: sampling.sample_noise(run, out, samples=0), "samples=0"),
        (lambda run, out: sampling.sample_noise(run, out, samples=1, frames=0), "frames=0"),
        (lambda run, out: sampling.sample_walk(run, out, "motion", steps=2, frames=0), "frames=0"),
        (
            lambda run, out: sampling.sample_variations(run, out, "motion", samples=1, seed=-1),
            "seed=-1",
        ),
        (  # What the model itself refuses, when it is asked for the first batch.
            lambda run, out: sampling.sample_walk(run, out, "motion", steps=2, frames=13),
            "13 is unlucky",
        ),
        (lambda run, out: sampling.sample_noise(run, out, samples=1, frames=13), "13 is unlucky"),
        (lambda run, out: sampling.sample_noise(run, out, samples=1, wav=True), "have no sound"),
    ],
)
def test_a_refused_request_leaves_earlier_files(run, tmp_path, call, message, monkeypatch):
    stems = ("sample", "walk", "vary")
    earlier = [tmp_path / f"{stem}_000.{end}" for stem in stems for end in ("mp4", "wav")]
    for path in earlier:
        path.write_text("kept")
    make = run.model.generate

    def refuse(noise: Noise) -> Clip:
        if noise.motion.shape[1] == 13:
            raise ValueError("13 is unlucky")
        return make(noise).replace(audio=None)

    monkeypatch.setattr(run.model, "generate", refuse)
    with pytest.raises(ValueError, match=message):
        call(run, tmp_path)
    assert {path.read_text() for path in earlier} == {"kept"}


def test_generate_checks_before_it_is_read(run):
    with pytest.raises(ValueError, match="samples=0"):
        sampling.generate(run, samples=0, seed=0)


def test_models_that_take_or_make_something_else_are_refused(run, tmp_path):
    run.model.takes = frozenset({"audio"})
    with pytest.raises(ValueError, match="takes audio: it cannot generate from nothing"):
        sampling.sample_noise(run, tmp_path, samples=1)
    run.model.takes, run.model.makes = frozenset(), frozenset()
    for call in (
        lambda: sampling.sample_noise(run, tmp_path, samples=1),
        lambda: list(sampling.sample_data(run, tmp_path, clips=1)),
    ):
        with pytest.raises(ValueError, match=r"is a judge.* soundsight evaluate runs/hum"):
            call()
    run.model.makes = Hum.makes
    run.model.latents = None
    with pytest.raises(ValueError, match="no parts that could be held or changed"):
        sampling.sample_walk(run, tmp_path, "motion", steps=2)


def test_the_picture_of_a_sound():
    """A tone at a quarter of the range is a line at a quarter of the height, as bright as it is."""
    seconds = torch.arange(8000) / 8000
    tone = torch.sin(2 * torch.pi * 1000 * seconds)
    picture = sound_picture(torch.stack([tone, tone / 1000, 0 * tone]), sample_rate=8000, size=64)
    assert picture.shape == (3, 64, 64 * SOUND_TILES)
    middle = picture[0, :, 96]
    assert middle.max() == pytest.approx(1, abs=0.01)
    rows = torch.nonzero(middle > 0.9)
    assert ((rows >= 46) & (rows <= 49)).all()  # From the top: three quarters of the height.
    assert picture[1].max() == pytest.approx(0, abs=0.01)  # 60 dB below full scale.
    assert picture[2].max() == 0
    quiet = sound_picture(tone[None] / 10, sample_rate=8000, size=64)[0, :, 96]
    assert quiet.max() == pytest.approx(2 / 3, abs=0.01)


def test_the_picture_of_a_very_short_sound():
    assert sound_picture(torch.zeros(1, 5), sample_rate=8000, size=8).shape == (1, 8, 24)
