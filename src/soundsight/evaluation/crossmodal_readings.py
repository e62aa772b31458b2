"""What is drawn from models that make a picture of a sound or a sound of a picture, and read in it.

One batch at a time: features, classes and embeddings are kept, pictures and sounds are not.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor, nn

from soundsight.contract import Model, Streams
from soundsight.data.loader import Dataset
from soundsight.data.perceived import Perceived
from soundsight.evaluation import joint_readings
from soundsight.evaluation.bins import log_spectrogram_features
from soundsight.evaluation.crossmodal_scores import CrossmodalProtocol
from soundsight.evaluation.diversity import pairs as sample_pairs
from soundsight.evaluation.joint_readings import Correspondence, Reader
from soundsight.media.clip import Clip


class Direction(NamedTuple):
    """What is made of what."""

    role: Literal["image", "sound"]
    """What is made, and the role of the judge that tells its class."""
    given: Literal["audio", "video"]
    """Part of a clip that is given."""
    made: Literal["video", "audio"]
    """Part of a clip that is made."""

    @property
    def part(self) -> str:
        """What a judge of it looks at, as `Judged.part` says it."""
        return "image" if self.role == "image" else "audio"


DIRECTIONS = (Direction("image", "audio", "video"), Direction("sound", "video", "audio"))
PARTS = {"image": "video", "audio": "audio"}
"""Part of a clip that holds what a model takes or makes."""


def directions(name: str, model: Model) -> list[Direction]:
    """What a model makes of what.

    Args:
        name: of the model, for a message.
        model: takes and makes "audio" or "image": one of the other, or each of the other.

    Raises:
        ValueError: if it does something else.
    """
    takes, makes = model.takes, model.makes
    if takes <= set(PARTS) and makes <= set(PARTS) and makes and (takes != makes or len(takes) > 1):
        gives, parts = {PARTS[one] for one in takes}, {PARTS[one] for one in makes}
        found = [d for d in DIRECTIONS if d.given in gives and d.made in parts]
        if len(found) == len(makes) == len(takes):
            return found
    raise ValueError(
        f"{name} takes {sorted(takes) or 'nothing'} and makes {sorted(makes)}; scored here are "
        "models that take audio and make image, take image and make audio, or both"
    )


@dataclass(frozen=True)
class Readings:
    """All that is kept of what was made for n pairs, s outputs for each; real clips are one."""

    labels: Int64[np.ndarray, " n"]
    """Class of each pair, -1 for one that has none."""
    sources: Int64[np.ndarray, " n"]
    """Number of the recording that each pair was cut from."""
    features: dict[str, Float32[np.ndarray, "n s _"]]
    """By the reader's key."""
    probabilities: dict[str, Float32[np.ndarray, "n s _"]]
    """By the reader's key, of those that tell classes."""
    embeddings: Float32[np.ndarray, "n s e"] | None
    """By the judge of correspondence, if there is one."""
    partners: Float32[np.ndarray, "n e"] | None
    """Of what each pair's other part says to the judge of correspondence, if that was asked for."""
    spread: Float64[np.ndarray, " n"] | None
    """Mean distance of the outputs of each pair from each other, of pixels or log-mels (root of the
    mean square); None of a single output."""
    raw: Float32[np.ndarray, "n r"] | None
    """Pixels or log-mels of the first output, if they were to be kept."""
    perceived: Perceived | None
    """What is seen and heard in the first output together with the pair's other part."""

    def __len__(self) -> int:
        return len(self.labels)


def listener(model: Model) -> Callable[[Clip, int, Streams], Clip]:
    """How a model is asked for samples: on its device, in eval mode, without gradients."""
    module = cast(nn.Module, model)

    def ask(given: Clip, num_samples: int, streams: Streams) -> Clip:
        modes = [(part, part.training) for part in module.modules()]
        device = next((p.device for p in module.parameters()), torch.device("cpu"))
        module.eval()
        try:
            with torch.no_grad():
                made = model.sample(given.to(device), num_samples=num_samples, generator=streams)
        finally:
            for part, mode in modes:
                part.training = mode
        return made.to("cpu")

    return ask


def real_pairs(
    data: Dataset, indices: Sequence[int], direction: Direction, batch_clips: int
) -> Iterator[tuple[Clip, Clip]]:
    """Real parts, as if they had been made, and the pairs that they are of, a batch at a time.

    Raises:
        ValueError: if clips lack picture or sound.
    """
    for pair in joint_readings.real(data, indices, batch_clips):
        yield pair.replace(**{direction.given: None}), pair


def drawn(
    model: Model,
    data: Dataset,
    indices: Sequence[int],
    conditions: Sequence[int],
    direction: Direction,
    protocol: CrossmodalProtocol,
) -> Iterator[tuple[Clip, Clip]]:
    """What a model makes, K for each pair in a row, and the pairs, a batch at a time, on the CPU.

    The noise of a pair depends on the seed and on its index in the data set alone, so it is the
    same in any batch, and whichever condition is given. The model is given no labels.

    Args:
        model: asked for `protocol.num_samples` outputs K of each.
        data: the pairs.
        indices: of the pairs.
        conditions: of the clips whose sounds, or pictures, are given instead of the pairs' own.
        direction: what is made of what.
        protocol: K, the seed and the size of a batch.

    Raises:
        ValueError: if the model makes other clips than asked for, or numbers that are not finite.
    """
    ask, k = listener(model), protocol.num_samples
    for start in range(0, len(indices), protocol.batch_clips):
        part = slice(start, start + protocol.batch_clips)
        ids = list(indices[part])
        (pair,) = joint_readings.real(data, ids, len(ids))
        condition = pair
        if list(conditions[part]) != ids:
            (condition,) = joint_readings.real(data, list(conditions[part]), len(ids))
        given = Clip(data.spec, **{direction.given: getattr(condition, direction.given)})
        made = ask(given, k, Streams(protocol.seed, ids))
        yield _checked(made, pair, direction, k), pair


def _checked(made: Clip, pair: Clip, direction: Direction, num_samples: int) -> Clip:
    """What was made, alone, if it has the size of the real part."""
    part, like = made.parts().get(direction.made), pair.parts()[direction.made]
    wanted = (len(pair) * num_samples, *like.shape[1:])
    if part is None or tuple(part.shape) != wanted:
        found = "none" if part is None else tuple(part.shape)
        raise ValueError(
            f"{direction.made} that was made has shape {found}; {wanted} was asked for, "
            f"{num_samples} of each clip"
        )
    if not torch.isfinite(part).all():
        raise ValueError(f"{direction.made} that was made holds numbers that are not finite")
    return Clip(pair.spec, **{direction.made: part})


def read(
    batches: Iterable[tuple[Clip, Clip]],
    direction: Direction,
    everyone: Sequence[Reader],
    judge: Correspondence | None = None,
    perceive: Callable[[Clip], Perceived] | None = None,
    *,
    seed: int = 0,
    real: bool = False,
) -> Readings:
    """Read what was made, a batch at a time.

    Args:
        batches: what was made, the same number of outputs for each pair, and the pairs.
        direction: what is made of what.
        everyone: who reads features and classes of what is made.
        judge: of what belongs together, if there is one.
        perceive: reads what is seen and heard, if that is asked for.
        seed: of the choice of outputs whose distances are taken, if they are very many.
        real: whether the other parts of the pairs are read, and the pixels or log-mels kept.
    """
    kept: dict[str, list[Any]] = defaultdict(list)
    done = 0
    for made, pair in batches:
        b, s = len(pair), len(made) // len(pair)
        for key, value in _read_batch(made, pair, direction, everyone, judge, real):
            rows = value.float().cpu().numpy()
            kept[key].append(rows.reshape(b, s, -1) if len(rows) == b * s else rows)
        raw = raw_features(made, direction).unflatten(0, (b, s))
        if real:
            kept["raw"].append(raw[:, 0].numpy())
        if s > 1:
            kept["spread"].append(mean_distance(raw, seed=seed) / raw.shape[-1] ** 0.5)
        if perceive is not None:
            first = {direction.made: made.parts()[direction.made][::s]}
            kept["perceived"].append(perceive(pair.replace(**first)))
        none = np.full(b, -1)
        kept["labels"].append(none if pair.label is None else pair.label.cpu().numpy())
        own = np.arange(done, done + b)  # Each a recording of its own.
        kept["sources"].append(own if pair.source is None else pair.source.cpu().numpy())
        done += b
    return _joined(kept)


def _joined(kept: dict[str, list[Any]]) -> Readings:
    """All batches as one."""
    perceived = kept.pop("perceived", None)
    joined = {key: np.concatenate(parts) for key, parts in kept.items()}

    def starting(word: str) -> dict[str, np.ndarray]:
        return {k.removeprefix(word): v for k, v in joined.items() if k.startswith(word)}

    return Readings(
        labels=joined["labels"].astype(np.int64),
        sources=joined["sources"].astype(np.int64),
        features=starting("features "),
        probabilities=starting("probabilities "),
        embeddings=joined.get("embedded"),
        partners=joined["partner"][:, 0] if "partner" in joined else None,
        spread=joined.get("spread"),
        raw=joined.get("raw"),
        perceived=Perceived.cat(perceived) if perceived else None,
    )


def _read_batch(
    made: Clip,
    pair: Clip,
    direction: Direction,
    everyone: Sequence[Reader],
    judge: Correspondence | None,
    partners: bool,
) -> Iterator[tuple[str, Tensor]]:
    """What everyone says of one batch."""
    for reader in everyone:
        features, shares = reader.outputs(made)
        if features is not None:
            yield f"features {reader.key}", features
        if shares is not None:
            yield f"probabilities {reader.key}", shares
    if judge is not None:
        sides = {"video": judge.video, "audio": judge.audio}
        yield "embedded", sides[direction.made](made)
        if partners:
            yield "partner", sides[direction.given](pair)


def raw_features(made: Clip, direction: Direction) -> Float32[Tensor, "m r"]:
    """Pixels of pictures, or natural logarithms of mel power of sounds, a row for each."""
    if direction.made == "video":
        assert made.video is not None
        return made.video.flatten(1)
    assert made.audio is not None
    return torch.from_numpy(log_spectrogram_features(made.audio, sample_rate=made.spec.sample_rate))


def mean_distance(x: Float[Tensor, "n s d"], *, seed: int) -> Float64[np.ndarray, " n"]:
    """Mean Euclidean distance of the s rows of each of n sets from each other.

    Args:
        x: s rows of each set, at least two.
        seed: of the choice of pairs, if there are very many.

    **Range/direction**: 0 (all alike) upwards, neither is better by itself.
    """
    chosen = torch.from_numpy(sample_pairs(x.shape[1], seed=seed))
    apart = [(x[:, i] - x[:, j]).double().norm(dim=1) for i, j in chosen.tolist()]
    return torch.stack(apart).mean(0).numpy()
