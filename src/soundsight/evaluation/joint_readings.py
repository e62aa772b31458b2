"""What judges read in clips, a batch at a time: features are kept, clips are not."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from soundsight.contract import Model, Streams
from soundsight.data.loader import Dataset
from soundsight.data.perceived import Perceived, Perceiver, perceive_motion
from soundsight.evaluation.align import Peaks, find_peaks, join_peaks
from soundsight.evaluation.bins import log_spectrogram_features
from soundsight.evaluation.extractors import Extractor
from soundsight.evaluation.joint_scores import JointProtocol, Judged
from soundsight.media.clip import Clip, ClipSpec

PITCH = "pitch"
PARTS = {"sound": "audio", PITCH: "audio", "video": "video", "image": "image"}
"""What a judge of classes looks at, by its role."""
CORRESPONDENCE = "correspondence"
LEARNED = ("sound", "video")
"""Roles whose features of training clips are needed: they find copies."""


Read = tuple[Float32[Tensor, "b d"] | None, Float32[Tensor, "b k"] | None]
"""Features and probabilities of clips; None where there are none."""


class Reader(NamedTuple):
    """A judge or a published network, ready to read clips on the CPU."""

    key: str
    """Role of a judge, or "[name]" of an extractor."""
    judged: Judged
    outputs: Callable[[Clip], Read]
    """Runs the network once."""


class Correspondence(NamedTuple):
    """A judge of what belongs together, ready to read clips on the CPU."""

    judged: Judged
    audio: Callable[[Clip], Float32[Tensor, "b d"]]
    video: Callable[[Clip], Float32[Tensor, "b d"]]


@dataclass(frozen=True)
class Readings:
    """All that is kept of one set of clips."""

    count: int
    features: dict[str, Float32[np.ndarray, "n _"]]
    """By the reader's key."""
    probabilities: dict[str, Float32[np.ndarray, "n _"]]
    """By the reader's key, of those that tell classes."""
    spectra: Float32[np.ndarray, "n f"]
    """Log-spectrograms of the sounds."""
    perceived: Perceived | None = None
    """What is seen and heard; None where it was not asked for."""
    peaks: Peaks | None = None
    """When sound and motion peak; None where it was not asked for."""
    embeddings: tuple[Float32[np.ndarray, "n d"], Float32[np.ndarray, "n d"]] | None = None
    """Of sounds and pictures, by the judge of correspondence, if there is one."""
    shown: Clip | None = None
    """The first clips; None if none were to be kept."""

    def first(self, count: int) -> "Readings":
        """What was read in the first clips, without what is seen, heard or shown."""
        return Readings(
            count=min(count, self.count),
            features={key: value[:count] for key, value in self.features.items()},
            probabilities={key: value[:count] for key, value in self.probabilities.items()},
            spectra=self.spectra[:count],
        )

    def then(self, more: "Readings") -> "Readings":
        """These clips and more, of what was read in both, without what is seen, heard or shown."""

        def joined(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
            return {key: np.concatenate([one[key], other[key]]) for key in one if key in other}

        return Readings(
            count=self.count + more.count,
            features=joined(self.features, more.features),
            probabilities=joined(self.probabilities, more.probabilities),
            spectra=np.concatenate([self.spectra, more.spectra]),
        )


def weights_sha256(module: nn.Module) -> str:
    """SHA-256 of names, types, shapes and values of a network's weights, hexadecimal."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        array = np.ascontiguousarray(tensor.detach().cpu().numpy())
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def readers(
    judges: Mapping[str, Any], extractors: Sequence[Extractor], recipes: Mapping[str, str]
) -> list[Reader]:
    """Everyone who reads features or classes: judges first, then extractors.

    Args:
        judges: networks by role, with methods `features(clip)` and `to_logits(features)`, that of
            pitch with `logits(clip)`; that of correspondence, with `embed_audio(clip)` and
            `embed_video(clip)`, is left out here.
        extractors: published networks.
        recipes: name of the judge's recipe by role, as far as known.

    Raises:
        ValueError: if an extractor is given twice.
    """
    found: list[Reader] = []
    for role, judge in judges.items():
        if role in PARTS:
            judged = Judged(role, PARTS[role], recipes.get(role), weights_sha256(judge))
            found.append(Reader(role, judged, _quiet(judge, _pitch if role == PITCH else _classes)))
    for extractor in extractors:
        judged = Judged(extractor.name, extractor.part, None, extractor.sha256)
        key = f"[{extractor.name}]"
        if key in (reader.key for reader in found):
            raise ValueError(f"extractor {extractor.name} is given twice; once is enough")
        found.append(Reader(key, judged, extractor.outputs))
    return found


def correspondence(judges: Mapping[str, Any], recipes: Mapping[str, str]) -> Correspondence | None:
    """The judge of what belongs together, if there is one; arguments as those of `readers`."""
    judge = judges.get(CORRESPONDENCE)
    if judge is None:
        return None
    recipe = recipes.get(CORRESPONDENCE)
    judged = Judged(CORRESPONDENCE, "audio, video", recipe, weights_sha256(judge))
    return Correspondence(
        judged,
        _quiet(judge, lambda judge, clip: judge.embed_audio(clip)),
        _quiet(judge, lambda judge, clip: judge.embed_video(clip)),
    )


def _quiet(judge: nn.Module, ask: Callable[[Any, Clip], Any]) -> Callable[[Clip], Any]:
    """A question to a network on its device, in eval mode and without gradients."""

    def call(clip: Clip) -> Any:
        was_training = judge.training
        judge.eval()
        try:
            with torch.no_grad():
                return ask(judge, clip.to(_device(judge)))
        finally:
            judge.train(was_training)

    return call


def _classes(judge: Any, clip: Clip) -> Read:
    """Features, and the classes told by them."""
    features = judge.features(clip)
    return features, judge.to_logits(features).softmax(-1)


def _pitch(judge: Any, clip: Clip) -> Read:
    """Pitches alone: no score is made of this judge's features."""
    return None, judge.logits(clip).softmax(-1)


def _device(module: nn.Module) -> torch.device:
    return next((p.device for p in module.parameters()), torch.device("cpu"))


def generated(model: Model, spec: ClipSpec, protocol: JointProtocol) -> Iterator[Clip]:
    """Clips of a model that starts from noise, a batch at a time, on the CPU.

    Noise clip i is drawn with the id i alone, so it is the same in any batch.

    Raises:
        ValueError: if the model makes other clips than asked for, or numbers that are not finite.
    """
    module = cast(nn.Module, model)
    was_training = module.training
    module.eval()
    try:
        for start in range(0, protocol.clips, protocol.batch_clips):
            ids = range(start, min(start + protocol.batch_clips, protocol.clips))
            given = Clip.nothing(spec, len(ids)).to(_device(module))
            with torch.no_grad():
                made = model.sample(given, num_samples=1, generator=Streams(protocol.seed, ids))
            yield _checked(made.to("cpu"), spec, len(ids))
    finally:
        module.train(was_training)


def _checked(clip: Clip, spec: ClipSpec, count: int) -> Clip:
    """A clip that has picture and sound of the right size."""
    wanted = {
        "video": (count, spec.frames, spec.channels, spec.size, spec.size),
        "audio": (count, spec.samples),
    }
    for name, shape in wanted.items():
        part = clip.parts().get(name)
        if part is None or tuple(part.shape) != shape:
            found = "none" if part is None else tuple(part.shape)
            raise ValueError(f"{name} has shape {found}; clips of {shape} are compared")
        if not torch.isfinite(part).all():
            raise ValueError(f"{name} holds numbers that are not finite")
    return clip


def real(data: Dataset, indices: Sequence[int], batch_clips: int) -> Iterator[Clip]:
    """Clips of a data set, a batch at a time.

    Raises:
        ValueError: if they lack picture or sound.
    """
    for start in range(0, len(indices), batch_clips):
        part = list(indices[start : start + batch_clips])
        yield _checked(data.clips(part), data.spec, len(part))


def read(
    clips: Iterable[Clip],
    everyone: Sequence[Reader],
    judge: Correspondence | None = None,
    perceive: Callable[[Clip], Perceived] | None = None,
    *,
    align: bool = False,
    shown: int = 0,
) -> Readings:
    """Read clips a batch at a time.

    Args:
        clips: batches; each is forgotten before the next is asked for.
        everyone: read features and classes.
        judge: of what belongs together, if there is one.
        perceive: reads what is seen and heard, if that is asked for.
        align: whether the peaks of AV-Align are read.
        shown: number of clips that are kept.
    """
    kept: dict[str, list[Any]] = defaultdict(list)
    examples: list[Clip] = []
    count = 0
    for clip in clips:
        for key, value in _read_batch(clip, count, everyone, judge):
            kept[key].append(value.float().cpu().numpy())
        assert clip.audio is not None
        kept["spectra"].append(
            log_spectrogram_features(clip.audio, sample_rate=clip.spec.sample_rate)
        )
        if perceive is not None:
            kept["perceived"].append(perceive(clip))
        if align:
            kept["peaks"].append(find_peaks(clip))
        if count < shown:
            examples.append(clip[: shown - count].replace(label=None))
        count += len(clip)
    joined = {k: np.concatenate(v) for k, v in kept.items() if k not in ("perceived", "peaks")}
    pair = (joined["embed audio"], joined["embed video"]) if judge is not None else None
    return Readings(
        count=count,
        features=_starting("features ", joined),
        probabilities=_starting("probabilities ", joined),
        spectra=joined["spectra"],
        perceived=Perceived.cat(kept["perceived"]) if kept["perceived"] else None,
        peaks=join_peaks(kept["peaks"]) if align else None,
        embeddings=pair,
        shown=Clip.cat(examples) if examples else None,
    )


def _read_batch(
    clip: Clip, first: int, everyone: Sequence[Reader], judge: Correspondence | None
) -> Iterator[tuple[str, Tensor]]:
    """What everyone says of one batch, whose first clip has the number `first`."""
    for reader in everyone:
        seen = one_frame(clip, first) if reader.judged.part == "image" else clip
        features, shares = reader.outputs(seen)
        if features is not None:
            yield f"features {reader.key}", features
        if shares is not None:
            yield f"probabilities {reader.key}", shares
    if judge is not None:
        yield "embed audio", judge.audio(clip)
        yield "embed video", judge.video(clip)


def _starting(word: str, joined: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The entries whose keys start with a word, without it."""
    return {k.removeprefix(word): v for k, v in joined.items() if k.startswith(word)}


def perceiver(data: Dataset) -> Callable[[Clip], Perceived]:
    """How clips are read: as the data set does, or how much moves and sounds where it does not."""
    return data.perceive if isinstance(data, Perceiver) else perceive_motion


def one_frame(clip: Clip, first: int) -> Clip:
    """One frame of each clip: frame (first + i) mod t of clip i, so that all have their turn.

    A clip's frames resemble each other: as many of them as there are clips count as that many, all
    frames would pretend to be more.
    """
    assert clip.video is not None
    b, t = clip.video.shape[:2]
    rows = torch.arange(b)
    frames = clip.video[rows, (first + rows) % t][:, None]
    return clip.replace(spec=clip.spec.with_frames(1), video=frames, audio=None)
