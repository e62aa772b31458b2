"""Models of known quality that make bouncing balls with their tones, and judges made by hand."""

from dataclasses import dataclass, field

import torch
from torch import nn

from soundsight.contract import Streams
from soundsight.data.bounce_tone import BounceTone
from soundsight.evaluation.joint import JointProtocol, JointScores, evaluate_joint
from soundsight.media.clip import Clip, ClipSpec

SPEC = ClipSpec(frames=6, fps=10, size=24, channels=3, sample_rate=8000)
WORLD = BounceTone(clips=(120, 400, 60))


@dataclass(eq=False)
class Pairs(nn.Module):
    """Makes clip i of the val split; its sound is that of clip i + `shift`, or of few clips."""

    shift: int = 0
    few: int | None = None
    start: int = 0
    spec: ClipSpec = SPEC
    world: BounceTone = WORLD
    takes: frozenset = frozenset()
    makes: frozenset = frozenset({"video", "audio"})
    batches: list = field(default_factory=list)

    def __post_init__(self):
        super().__init__()
        self.data = self.world.build(self.spec, "val")

    def phases(self):
        return {}

    def losses(self, clip, *, step, generator):
        return iter(())

    def sample(self, given: Clip, *, num_samples: int, generator: Streams) -> Clip:
        assert num_samples == 1
        assert not self.training
        assert given.spec == self.spec
        assert given.label.tolist() == [-1] * len(given)
        self.batches.append(list(generator.ids))
        ids = [i if self.few is None else i % self.few for i in generator.ids]
        seen = self.data.clips([self.start + i for i in ids])
        heard = self.data.clips([self.start + (i + self.shift) % len(self.data) for i in ids])
        return Clip(self.spec, seen.video, heard.audio)


class Ear(nn.Module):
    """Energies of sound in bands; the class is the loudest of its first `classes` ones."""

    def __init__(self, classes=4):
        super().__init__()
        self.heard = []  # How many clips, each time it listens.
        self.scale = nn.Parameter(torch.ones(8))
        self.classes = classes

    def features(self, clip):
        self.heard.append(len(clip))
        power = torch.fft.rfft(clip.audio).abs().square()[:, :1200]
        bands = power.unflatten(1, (8, -1)).mean(-1)
        return self.scale * torch.log1p(bands)

    def to_logits(self, features):
        return features[:, : self.classes]

    def logits(self, clip):
        return self.to_logits(self.features(clip))


class Eye(nn.Module):
    """Mean colours of the columns of frames; the class is the strongest colour, or none."""

    def __init__(self):
        super().__init__()
        self.seen = []  # How many clips, each time it looks.
        self.scale = nn.Parameter(torch.ones(()))

    def features(self, clip):
        self.seen.append(len(clip))
        columns = clip.video.mean(1).mean(2).flatten(1)[:, ::6]
        return self.scale * torch.cat([columns, clip.video.amax((1, 3, 4))], dim=1)

    def to_logits(self, features):
        colours = features[:, -3:]
        return 20 * torch.cat([colours, colours.mean(1, keepdim=True)], dim=1)


class Matchmaker(nn.Module):
    """Codes the place of the ball, and the pitch of the tone, as angles."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def embed(self, u):
        angle = 3 * (self.scale * u)[:, None]
        return torch.cat([angle.cos(), angle.sin()], dim=1)

    def embed_video(self, clip):
        found = BounceTone().build(clip.spec, "test").perceive(silent(clip))
        return self.embed(torch.from_numpy(found.place).float().nan_to_num(nan=0.0))

    def embed_audio(self, clip):
        found = BounceTone().build(clip.spec, "test").perceive(silent(clip))
        return self.embed((torch.from_numpy(found.pitch).float() - 7.78) / 2)


def silent(clip: Clip) -> Clip:
    """The clip without label."""
    return clip.replace(label=None)


def judges() -> dict[str, nn.Module]:
    """One for each role."""
    return {
        "sound": Ear(),
        "video": Eye(),
        "image": Eye(),
        "pitch": Ear(8),
        "correspondence": Matchmaker(),
    }


def evaluate(
    models=None, *, data=None, train=None, jury=None, progress=None, extractors=(), **options
):
    """Evaluate on the little world."""
    defaults = {"clips": 60, "permutations": 999, "resamples": 100, "bins": 8, "examples": 2}
    scores: JointScores = evaluate_joint(
        {"good": Pairs()} if models is None else models,
        data or WORLD.build(SPEC, "test"),
        train or WORLD.build(SPEC, "train"),
        JointProtocol(**(defaults | options)),
        judges=judges() if jury is None else jury,
        extractors=extractors,
        progress=progress,
    )
    return scores
