"""Judges: networks that learn from real clips to tell them apart, and score what others generate.

Four classifiers (sound, video, single pictures, pitch) and one network that says whether a sound
and a picture belong together. A judge generates nothing; its features take the place of those of
large pretrained networks. None looks at a part that it does not judge.

Sources: the classifier of sounds follows WaveGAN's scorer (Donahue, McAuley and Puckette, 2019),
that of videos R(2+1)D (Tran et al., 2018), the audio-visual network AVC (Arandjelovic and
Zisserman, 2017) and AVTS (Korbar, Tran and Torresani, 2018). Differs: a learning rate that falls to
0 stands for early stopping; InfoNCE (van den Oord, Li and Vinyals, 2018) for the losses of AVC and
AVTS; slices of one clip of a second or so always overlap.
"""

import math
from collections.abc import Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from pydantic import ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Generator, Tensor, nn

from soundsight.contract import Loss
from soundsight.media.clip import Clip, ClipSpec
from soundsight.media.pitch import pitch_track
from soundsight.nn.augment import augment_maps
from soundsight.nn.trunks import Hearing, PictureTrunk, SoundTrunk, hide_parts

PITCHES = 61
"""Classes K of the pitch classifier: MIDI notes 24 to 84, 32.7 to 1046.5 Hz."""
LOWEST_MIDI = 24
PARTS: dict[str, tuple[str, ...]] = {
    "audio": ("sample_rate",),
    "video": ("fps", "size", "channels"),
    "image": ("size", "channels"),
    "both": ("fps", "size", "channels", "sample_rate"),
}
"""What of a clip's spec has to be as in training, by what is judged; its length may differ."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class ClassifierConfig:
    """A classifier of sounds, of videos or of single pictures."""

    kind: Literal["classifier"] = "classifier"
    part: Literal["audio", "video", "image"] = "audio"
    """What it is shown: whole sounds, whole videos, or each frame by itself."""
    target: Literal["label", "pitch"] = "label"
    """What it tells: the clip's label, or the pitch of its sound, learned from the sound itself."""
    classes: PositiveInt = 13
    """Labels of the data are 0 to classes - 1; of no effect on a pitch classifier, which has 61."""
    hearing: Hearing = Field(default_factory=Hearing)
    """Sizes for sounds."""
    widths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (32, 64, 128, 128)
    """Channels of the four stages for pictures."""
    features: int = Field(default=128, ge=1, le=128)
    """Width d of the features; above 128 a Fréchet distance of few clips says little."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Share of the features hidden from the last layer in training."""
    augment: bool = True
    """SpecAugment in training: a band and a span of the spectrogram are hidden."""
    shift: bool = False
    """Shift single pictures by up to an eighth of their sides in training."""

    def build(self, spec: ClipSpec) -> "Classifier":
        """The judge with fresh weights for clips of this spec.

        Raises:
            ValueError: if it cannot judge such clips, or is asked for the pitch of pictures.
        """
        return Classifier(self, spec)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class CorrespondenceConfig:
    """A network that says whether a sound and a picture belong together."""

    kind: Literal["correspondence"] = "correspondence"
    hearing: Hearing = Field(default_factory=Hearing)
    """Sizes for sounds."""
    widths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (32, 64, 128, 128)
    """Channels of the four stages for pictures."""
    features: int = Field(default=64, ge=1, le=64)
    """Width e of a frame's code of what is seen, and of what is heard."""
    temperature: PositiveFloat = 0.1
    """τ of InfoNCE."""
    window: float = Field(default=0.6, gt=0, lt=1)
    """Share of a clip that is looked at in training; the rest is room to shift the sound."""
    far: float = Field(default=0.3, gt=0, lt=1)
    """Least shift of one's own sound in stage 2, as a share of the clip's length."""
    near: float = Field(default=0.1, gt=0, lt=1)
    """The same in stage 3, as much of the sound is the same."""
    hard_share: float = Field(default=0.25, ge=0, le=1)
    """Share of the clips that are told from their own shifted sound in stages 2 and 3."""
    hard_from: NonNegativeInt = 5000
    """Step at which stage 2 begins. Before it the others' sounds are the only wrong ones (AVC)."""
    harder_from: NonNegativeInt = 7500
    """Step at which stage 3 begins."""

    def build(self, spec: ClipSpec) -> "Correspondence":
        """The judge with fresh weights for clips of this spec.

        Raises:
            ValueError: if clips have several frames and are too short to shift their sound, or
                cannot be judged.
        """
        return Correspondence(self, spec)


# ---- Judges --------------------------------------------------------------------------------------


def _part(clip: Clip, name: Literal["audio", "video"], spec: ClipSpec, what: str) -> Tensor:
    """A part of clips that has to be like those that a judge was made for."""
    fields = [f for f in PARTS[what] if getattr(clip.spec, f) != getattr(spec, f)]
    if fields:
        raise ValueError(
            f"the judge was made for clips of {spec}, these are of {clip.spec}: "
            f"{', '.join(fields)} must be the same"
        )
    part = getattr(clip, name)
    if part is None:
        raise ValueError(f"clips without {name}: this judge needs it")
    return part


class Classifier(nn.Module):
    """Trunk -> linear layer (the features) -> ReLU, dropout -> linear layer (the logits).

    A sound has steps and a video has frames; the features of a clip are means over these. Of a
    picture classifier every frame is a row of its own, the frames of a clip one after another.
    """

    makes: frozenset[str] = frozenset()

    def __init__(self, c: ClassifierConfig, spec: ClipSpec) -> None:
        super().__init__()
        if c.shift and c.part != "image":
            raise ValueError(f'shift=True of part={c.part!r}: only an "image" is shifted')
        if c.target == "pitch" and c.part != "audio":
            raise ValueError(f'target="pitch" of part={c.part!r}: only "audio" has a pitch')
        self.config, self.spec = c, spec
        self.part: Literal["audio", "video", "image"] = c.part
        self.takes = frozenset({c.part})
        self.classes = PITCHES if c.target == "pitch" else c.classes
        self.trunk: SoundTrunk | PictureTrunk
        if c.part == "audio":
            pools = 2 if c.target == "pitch" else 4
            self.trunk = SoundTrunk(c.hearing, spec, time_pools=pools)
        else:
            self.trunk = PictureTrunk(c.widths, spec, temporal=c.part == "video")
        self.to_features = nn.Linear(self.trunk.width, c.features)
        self.to_logits = nn.Sequential(
            nn.ReLU(), nn.Dropout(c.dropout), nn.Linear(c.features, self.classes)
        )

    def phases(self) -> dict[str, nn.Module]:
        """One: the whole network."""
        return {"judge": self}

    def steps(self, clip: Clip, generator: Generator | None = None) -> Float[Tensor, "b l d"]:
        """Features of each step of the sound or frame of the picture.

        Raises:
            ValueError: if the clips lack the part that is judged, or have other rates or sizes.
        """
        if isinstance(self.trunk, SoundTrunk):
            spectrogram = self.trunk.spectrogram(_part(clip, "audio", self.spec, "audio"))
            if generator is not None and self.config.augment and self.training:
                spectrogram = hide_parts(spectrogram, generator)
            return self.to_features(self.trunk(spectrogram))
        video = _part(clip, "video", self.spec, self.part)
        if generator is not None and self.config.shift and self.training:
            video = augment_maps(video.flatten(0, 1), generator).unflatten(0, video.shape[:2])
        maps = self.trunk(video)
        return self.to_features(maps.mean((3, 4)))

    def pitches(self, clip: Clip, steps: int) -> Int64[Tensor, "b l"]:
        """Class of each step's pitch, the nearest semitone; -1 without one, or out of range."""
        assert isinstance(self.trunk, SoundTrunk)
        shrink, hop = self.trunk.shrink, self.trunk.config.hop_length
        centres = (torch.arange(steps) * shrink + (shrink - 1) / 2) * hop
        audio = _part(clip, "audio", self.spec, "audio")
        midi = pitch_track(audio, sample_rate=self.spec.sample_rate, centres=centres).round()
        inside = (midi >= LOWEST_MIDI) & (midi < LOWEST_MIDI + PITCHES)
        return torch.where(inside, midi - LOWEST_MIDI, -1).long()

    def features(self, clip: Clip) -> Float[Tensor, "b d"]:
        """Features of each clip; of a picture classifier, of each frame.

        Raises:
            ValueError: as `steps`.
        """
        steps = self.steps(clip)
        if self.part == "image":
            return steps.flatten(0, 1)
        return _mean(steps, self._counted(clip, steps))

    def logits(self, clip: Clip) -> Float[Tensor, "b k"]:
        """Logits of each clip; of a picture classifier, of each frame.

        Those of a pitch classifier are logarithms of probabilities: the mean over the steps that
        have a pitch; all equal if none has.

        Raises:
            ValueError: as `steps`.
        """
        steps = self.steps(clip)
        if self.part == "image":
            return self.to_logits(steps.flatten(0, 1))
        counted = self._counted(clip, steps)
        if self.config.target == "label":
            return self.to_logits(_mean(steps, counted))
        shares = _mean(self.to_logits(steps).softmax(-1), counted)
        told = counted.any(1, keepdim=True)
        return torch.where(told, shares, 1 / PITCHES).clamp(min=1e-12).log()

    def _counted(self, clip: Clip, steps: Float[Tensor, "b l d"]) -> Bool[Tensor, "b l"]:
        """Steps that count: all, or those that have a pitch."""
        if self.config.target == "pitch":
            return self.pitches(clip, steps.shape[1]) >= 0
        return torch.ones(steps.shape[:2], dtype=torch.bool, device=steps.device)

    def labels(self, clip: Clip) -> Int64[Tensor, " b"]:
        """Classes of clips, -1 for those that have none; for a picture classifier, of frames.

        Raises:
            ValueError: if clips carry no labels at all, or one is not among the judge's classes.
        """
        if clip.label is None:
            raise ValueError(
                "the data's clips have no class label: a judge of labels needs data that has them; "
                "judges of pitch and of correspondence need none"
            )
        if (clip.label >= self.classes).any():
            raise ValueError(
                f"the data has the label {int(clip.label.max())}, the judge classes={self.classes}:"
                f" 0 to {self.classes - 1}"
            )
        if self.part == "image" and clip.video is not None:
            return clip.label.repeat_interleave(clip.video.shape[1])
        return clip.label

    def losses(self, clip: Clip, *, step: int, generator: Generator) -> Iterator[tuple[str, Loss]]:
        """Cross-entropy with the labels, or with the pitch of each step that has one.

        Raises:
            ValueError: as `labels` and `steps`.
        """
        del step
        if self.config.target == "label":
            labels = self.labels(clip)
        steps = self.steps(clip, generator)
        if self.config.target == "pitch":
            labels = self.pitches(clip, steps.shape[1]).flatten()
            logits = self.to_logits(steps.flatten(0, 1))
        elif self.part == "image":
            logits = self.to_logits(steps.flatten(0, 1))
        else:
            logits = self.to_logits(steps.mean(1))
        known = labels >= 0
        count = known.sum().clamp(min=1)
        entropy = F.cross_entropy(logits, labels, ignore_index=-1, reduction="sum") / count
        right = ((logits.argmax(1) == labels) & known).sum() / count
        yield "judge", Loss(entropy, {"cross_entropy": entropy, "accuracy": right})


def _mean(x: Float[Tensor, "b l d"], counted: Bool[Tensor, "b l"]) -> Float[Tensor, "b d"]:
    """Mean over the steps that count, or over all where none does."""
    weights = torch.where(counted.any(1, keepdim=True), counted, True).to(x.dtype)
    return (x * weights[..., None]).sum(1) / weights.sum(1, keepdim=True)


class Correspondence(nn.Module):
    """A code of each frame's picture and of the sound around it; what belongs together is near.

    A clip's embedding is all its frames' codes in a row, of length 1: the product of a sound's and
    a picture's is their cosine, a mean over frames, so that being late shows. Clips of one frame
    have no time: there other clips' sounds are the only wrong ones (AVC alone), at every step.
    """

    takes = frozenset({"audio", "video"})
    makes: frozenset[str] = frozenset()
    part: Literal["both"] = "both"

    def __init__(self, c: CorrespondenceConfig, spec: ClipSpec) -> None:
        super().__init__()
        self.config, self.spec = c, spec
        self.window = max(1, round(spec.frames * c.window))
        """Frames that are looked at in training."""
        self.room = spec.frames - self.window
        """Most frames by which the sound is shifted; 0 for clips of one frame."""
        if self.room < 1 and spec.frames > 1:
            raise ValueError(
                f"frames={spec.frames} with window={c.window}: no room to shift the sound; "
                "take longer clips or a smaller window"
            )
        shown = spec.with_frames(self.window)
        self.heard, self.seen = (
            SoundTrunk(c.hearing, shown, time_pools=2),
            PictureTrunk(c.widths, shown, temporal=spec.frames > 1),
        )
        self.hear = nn.Linear(self.heard.width, c.features)
        self.see = nn.Linear(self.seen.width * self.seen.side**2, c.features)

    def phases(self) -> dict[str, nn.Module]:
        """One: both networks."""
        return {"judge": self}

    def sound_codes(self, clip: Clip) -> Float[Tensor, "b t d"]:
        """Of the sound around each frame.

        Raises:
            ValueError: if there is no sound, or the clips have other rates or sizes.
        """
        audio = _part(clip, "audio", self.spec, "both")
        steps = self.heard(self.heard.spectrogram(audio))
        frames = audio.shape[1] // self.spec.samples_per_frame
        return self.hear(F.adaptive_avg_pool1d(steps.transpose(1, 2), frames).transpose(1, 2))

    def picture_codes(self, clip: Clip) -> Float[Tensor, "b t d"]:
        """Of each frame.

        Raises:
            ValueError: if there is no picture, or the clips have other rates or sizes.
        """
        return self.see(self.seen(_part(clip, "video", self.spec, "both")).flatten(2))

    def embed_audio(self, clip: Clip) -> Float[Tensor, "b d"]:
        """Unit vectors of the sounds, d = frames * features. Raises: as `sound_codes`."""
        return F.normalize(self.sound_codes(clip).flatten(1), dim=1)

    def embed_video(self, clip: Clip) -> Float[Tensor, "b d"]:
        """Unit vectors of the pictures, d = frames * features. Raises: as `picture_codes`."""
        return F.normalize(self.picture_codes(clip).flatten(1), dim=1)

    def similarity(self, clip: Clip) -> Float[Tensor, " b"]:
        """Cosine of each clip's own sound and picture, -1 to 1; higher belongs together."""
        return (self.embed_audio(clip) * self.embed_video(clip)).sum(1)

    def features(self, clip: Clip) -> Float[Tensor, "b d"]:
        """Means over frames of what is heard and what is seen, side by side."""
        return torch.cat([self.sound_codes(clip).mean(1), self.picture_codes(clip).mean(1)], dim=1)

    def least_shift(self, step: int) -> int | None:
        """Frames by which one's own sound is shifted at least; None in stage 1, or without room.

        Stages 2 and 3 are left out for clips of one frame.
        """
        c = self.config
        if step < c.hard_from or not self.room:
            return None
        share = c.far if step < c.harder_from else c.near
        return min(self.room, max(1, round(share * self.spec.frames)))

    def losses(self, clip: Clip, *, step: int, generator: Generator) -> Iterator[tuple[str, Loss]]:
        """InfoNCE both ways: the right sound for a picture, and the right picture for a sound.

        Wrong ones are the others of the batch; from stage 2 on also, for some of the clips, their
        own of another moment. Sound and picture are cut out, not rotated: no seam gives it away.

        Raises:
            ValueError: as `sound_codes` and `picture_codes`, or if clips have another length.
        """
        least = self.least_shift(step)
        now, then = draw_moments(len(clip), self.room, least or 0, generator)
        shown = cut(clip, now, self.window)
        sounds, pictures = self.embed_audio(shown), self.embed_video(shown)
        products = pictures @ sounds.T / self.config.temperature
        both = [products, products.T]
        terms = {}
        if least is not None:
            moved = cut(clip, then, self.window)
            late = (
                (pictures * self.embed_audio(moved)).sum(1),
                (sounds * self.embed_video(moved)).sum(1),
            )
            chance = torch.rand(len(clip), generator=generator, device=clip.device)
            left_out = chance >= self.config.hard_share
            own = [(x / self.config.temperature).masked_fill(left_out, -math.inf) for x in late]
            both = [torch.cat([b, o[:, None]], dim=1) for b, o in zip(both, own, strict=True)]
            terms["in_sync"] = (late[0] < (pictures * sounds).sum(1)).float().mean()
        target = torch.arange(len(clip), device=clip.device)
        total = torch.stack([F.cross_entropy(logits, target) for logits in both]).mean()
        terms["right"] = (products.argmax(1) == target).float().mean()
        yield "judge", Loss(total, {"info_nce": total} | terms)


def draw_moments(
    clips: int, room: int, least: int, generator: Generator
) -> tuple[Int64[Tensor, " b"], Int64[Tensor, " b"]]:
    """Two first frames of each clip, 0 to `room`, at least `least` and at most `room` apart."""
    draws = torch.rand(3, clips, generator=generator, device=generator.device)
    shift = least + (draws[0] * (room - least + 1)).long()
    start = (draws[1] * (room - shift + 1)).long()
    forth = draws[2] < 0.5
    return torch.where(forth, start, start + shift), torch.where(forth, start + shift, start)


def cut(clip: Clip, start: Int64[Tensor, " b"], frames: int) -> Clip:
    """Of each clip the `frames` frames from its own `start` on, with their sound.

    Raises:
        ValueError: if a clip ends before that.
    """
    last = int(start.max()) + frames
    if last > clip.spec.frames:
        raise ValueError(f"frames up to {last} of clips that have {clip.spec.frames}")
    rows = torch.arange(len(clip), device=clip.device)[:, None]
    n = clip.spec.samples_per_frame
    start = start.to(clip.device)[:, None]
    at = start + torch.arange(frames, device=clip.device)
    samples = start * n + torch.arange(frames * n, device=clip.device)
    return clip.replace(
        spec=clip.spec.with_frames(frames),
        video=None if clip.video is None else clip.video[rows, at],
        audio=None if clip.audio is None else clip.audio[rows, samples],
    )
