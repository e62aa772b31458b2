"""Pairs of a bar and a tone, models of known quality that make one of the other, and judges.

Of class c and place u in [0, 1) the picture shows a bar in row block c at column u, and the sound
is a tone of 100 * 2^(c + 0.9 u) Hz: either part tells everything.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from soundsight.data.perceived import Perceived
from soundsight.evaluation.crossmodal import CrossmodalProtocol, evaluate_crossmodal
from soundsight.media.clip import Clip, ClipSpec

SPEC = ClipSpec(frames=1, fps=2, size=16, channels=1, sample_rate=4000)
CLASSES = 4
PATTERN = (0, 0, 1, 2, 3)
"""Classes of clips: two in five are of the most frequent one."""


def draw(kind, place):
    """Pictures of classes and places, b t c h w."""
    rows, columns = torch.arange(16) // 4, torch.arange(16)
    at = (place * 16).long().clamp(0, 15)
    lit = (rows == kind[:, None])[:, :, None] & (columns == at[:, None])[:, None]
    return lit.float()[:, None, None]


def play(kind, place):
    """Sounds of classes and places, b n."""
    hertz = 100 * 2 ** (kind + 0.9 * place)
    seconds = torch.arange(SPEC.samples) / SPEC.sample_rate
    return 0.5 * torch.sin(2 * torch.pi * hertz[:, None] * seconds).float()


def look(video):
    """Class and place of pictures."""
    frames = video[:, 0, 0]
    return frames.unflatten(1, (4, 4)).sum((2, 3)).argmax(1), (frames.sum(1).argmax(1) + 0.5) / 16


def hear(audio):
    """Class and place of sounds."""
    power = torch.fft.rfft(audio, 8 * SPEC.samples).abs()
    hertz = power.argmax(1).clamp(min=1) * SPEC.sample_rate / (8 * SPEC.samples)
    octave = (hertz / 100).log2() + 1e-3  # A peak lies between two frequencies.
    return octave.floor().long().clamp(0, 3), ((octave - octave.floor()) / 0.9).clamp(0, 0.999)


@dataclass
class Tones:
    """A split; `sources` recordings in a row, or each clip one of its own."""

    count: int = 60
    seed: int = 1
    classes: tuple = PATTERN
    sources: int | None = None
    perceives: bool = True
    spec: ClipSpec = SPEC

    def __post_init__(self):
        generator = np.random.default_rng(self.seed)
        self.kind = np.resize(np.array(self.classes), self.count)
        self.place = generator.random(self.count)

    def __len__(self):
        return self.count

    def clips(self, indices):
        rows = list(indices)
        kind, place = torch.from_numpy(self.kind[rows]), torch.from_numpy(self.place[rows])
        source = None
        if self.sources is not None:
            source = torch.tensor(rows) // (self.count // self.sources)
        label = kind if (kind >= 0).any() else None
        shown = kind.clamp(min=0)
        return Clip(self.spec, draw(shown, place), play(shown, place), label, source)


class Perceiving(Tones):
    """A split whose clips, real or generated, can be read."""

    def perceive(self, clip):
        assert len(clip.video) == len(clip.audio)
        seen, place = look(clip.video)
        heard, pitch = hear(clip.audio)
        return Perceived(
            place=place.double().numpy(), pitch=pitch.double().numpy(),
            seen_class=seen.numpy(), heard_class=heard.numpy(),
        )  # fmt: skip


@dataclass(eq=False)
class Oracle(nn.Module):
    """Makes exactly the true partner, in one direction, or in both."""

    takes: frozenset = frozenset({"audio"})
    makes: frozenset = frozenset({"image"})
    batches: list = field(default_factory=list)

    def __post_init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def phases(self):
        return {}

    def losses(self, clip, *, step, generator):
        return iter(())

    def condition(self, given):
        """Class and place of what is given."""
        assert given.label is None
        assert (given.video is None) != (given.audio is None)
        return hear(given.audio) if given.video is None else look(given.video)

    def choose(self, kind, place, noise):
        """Class and place of what is made; noise is standard normal, two numbers for each."""
        return kind, place

    def sample(self, given, *, num_samples, generator):
        assert not self.training
        assert not torch.is_grad_enabled()
        self.batches.append(list(generator.ids))
        kind, place = (x.repeat_interleave(num_samples, 0) for x in self.condition(given))
        noise = generator.normal(num_samples, 2)
        kind, place = self.choose(kind, place, noise)
        if given.video is None:
            return Clip(given.spec, draw(kind, place))
        return Clip(given.spec, audio=play(kind, place.float()))


class Varied(Oracle):
    """The right class at a place of its own."""

    def choose(self, kind, place, noise):
        return kind, noise[:, 0].sigmoid()


class Deaf(Oracle):
    """Ignores what is given."""

    def choose(self, kind, place, noise):
        return (noise[:, 1].sigmoid() * 4).long(), noise[:, 0].sigmoid()


class Common(Oracle):
    """Always the most frequent class."""

    def choose(self, kind, place, noise):
        return torch.zeros_like(kind), place


class Eye(nn.Module):
    """Brightness of the blocks, which tell the class, and of the columns."""

    part = "image"

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def features(self, clip):
        frames = clip.video[:, 0, 0]
        blocks = frames.unflatten(1, (4, 4)).mean((2, 3))
        return self.scale * torch.cat([16 * blocks, frames.mean(1)], dim=1)

    def to_logits(self, features):
        return 20 * features[:, :4]


class Ear(nn.Module):
    """Shares of the octaves, which tell the class, and the place in them."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def features(self, clip):
        kind, place = hear(clip.audio)
        return self.scale * torch.cat([torch.eye(4)[kind], place[:, None].float()], dim=1)

    def to_logits(self, features):
        return 20 * features[:, :4]


class Tuner(nn.Module):
    """Semitones."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def logits(self, clip):
        kind, place = hear(clip.audio)
        return 20 * self.scale * torch.eye(61)[(12 * (kind + 0.9 * place)).long()]


class Matchmaker(nn.Module):
    """Codes class and place as an angle."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def code(self, kind, place):
        angle = (kind + (place * 16).floor() / 16 * 0.9) * self.scale / 4 * 3
        return torch.stack([angle.cos(), angle.sin()], dim=1).float()

    def embed_video(self, clip):
        return self.code(*look(clip.video))

    def embed_audio(self, clip):
        return self.code(*hear(clip.audio))


def judges():
    """One for each role."""
    return {"image": Eye(), "sound": Ear(), "pitch": Tuner(), "correspondence": Matchmaker()}


def evaluate(models=None, *, data=None, train=None, jury=None, progress=None, extractors=(), **o):
    """Evaluate on the little world."""
    defaults = {"clips": 60, "num_samples": 3, "permutations": 199, "resamples": 200}
    return evaluate_crossmodal(
        {"oracle": Oracle()} if models is None else models,
        Perceiving() if data is None else data,
        Perceiving(80, seed=2) if train is None else train,
        CrossmodalProtocol(**(defaults | {"examples": 2} | o)),
        judges=judges() if jury is None else jury,
        extractors=extractors,
        progress=progress,
    )
