"""What is seen in a clip, what is heard in it, and nothing that joins the two.

Whether picture and sound belong together is told by comparing what was read from the picture alone
with what was read from the sound alone. The built-in worlds read places, pitches, classes and times
by their judges (`perceive` of their data sets); how much moves and how much sounds can be read from
any clip (`perceive_motion`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from soundsight.media.clip import Clip, ClipSpec

UNKNOWN = -1
"""Class of a clip whose class cannot be told: a black picture, silence."""
LEVEL_FLOOR = 1e-4
"""Power, as a share of the clip's highest, below which sound counts as silent: -40 dB."""


@dataclass(frozen=True)
class Perceived:
    """What was read from b clips; None where the world has no such thing, or does not show it.

    What is seen depends on the pictures alone and what is heard on the sound alone.
    """

    place: Float64[np.ndarray, " b"] | None = None
    """What is seen that goes up with the pitch; NaN where nothing is seen."""
    pitch: Float64[np.ndarray, " b"] | None = None
    """log2 of the frequency heard, Hz (in a world of instruments, over the lowest note of the one
    heard); NaN where no pitch is heard."""
    seen_class: Int64[np.ndarray, " b"] | None = None
    """Class by the look, or `UNKNOWN`."""
    heard_class: Int64[np.ndarray, " b"] | None = None
    """Class by the timbre, or `UNKNOWN`; the numbers are those of `seen_class`."""
    seen_times_s: list[np.ndarray] | None = None
    """Of each clip, when something is seen to happen, s, ascending."""
    heard_times_s: list[np.ndarray] | None = None
    """Of each clip, when something is heard to happen, s, ascending."""
    motion: Float64[np.ndarray, "b m"] | None = None
    """How much the picture changes from the middle of each frame to that of the next."""
    flux: Float64[np.ndarray, "b m"] | None = None
    """How much the sound's level rises meanwhile."""
    place_in_class: Float64[np.ndarray, " b"] | None = None
    """The place, looked for as the class of the clip's label shows it; NaN where nothing is seen,
    or the clip has no label."""

    def __len__(self) -> int:
        return len(next(iter(self.parts().values()), ()))

    def parts(self) -> dict[str, np.ndarray | list[np.ndarray]]:
        """The fields that are there, by name."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in found.items() if value is not None}

    @staticmethod
    def cat(parts: "Sequence[Perceived]") -> "Perceived":
        """What was read from several batches, as one.

        Raises:
            ValueError: if there are none, or their fields differ.
        """
        names = {tuple(part.parts()) for part in parts}
        if len(names) != 1:
            raise ValueError(f"cannot join {len(parts)} parts with {len(names)} sets of fields")
        joined: dict[str, np.ndarray | list[np.ndarray]] = {}
        for name in next(iter(names)):
            values = [part.parts()[name] for part in parts]
            if isinstance(values[0], list):
                joined[name] = [times for value in values for times in value]
            else:
                joined[name] = np.concatenate(values)
        return Perceived(**joined)  # type: ignore[arg-type]


@runtime_checkable
class Perceiver(Protocol):
    """A data set whose clips, real or generated, can be read by a judge that was not trained."""

    def perceive(self, clip: Clip) -> Perceived:
        """Read the clips' video and audio, each alone."""
        ...


def perceive_by(
    read: Callable[[Clip], Perceived], clip: Clip, *, batch_clips: int = 32
) -> Perceived:
    """Read clips, a few at a time so that memory stays bounded, and add motion and flux.

    Args:
        read: reads the clips of one batch.
        clip: b clips with video and sound, on any device.
        batch_clips: clips in a batch.

    Returns:
        What `read` found in all of them, with what `perceive_motion` finds.

    Raises:
        ValueError: if the clips lack video or sound.
    """
    if clip.video is None or clip.audio is None:
        there = ", ".join(clip.parts())
        raise ValueError(f"the clip has only {there}; to compare them it needs video and audio")
    parts = []
    for start in range(0, len(clip), batch_clips):
        some = clip[start : start + batch_clips].to("cpu")
        moved = perceive_motion(some)
        parts.append(replace(read(some), motion=moved.motion, flux=moved.flux))
    return Perceived.cat(parts)


def perceive_motion(clip: Clip) -> Perceived:
    """How much moves and how much starts to sound, between the frames of any clips.

    Args:
        clip: b clips of t frames with video and sound.

    Returns:
        `motion` and `flux`, shape (b, t - 1); neither for a single frame, which has no time.
    """
    assert clip.video is not None
    assert clip.audio is not None
    frames = clip.video.shape[1]
    if frames < 2:
        return Perceived()
    return Perceived(
        motion=motion_energy(clip.video), flux=sound_flux(clip.audio, clip.spec, frames)
    )


def motion_energy(video: Float32[Tensor, "b t c h w"]) -> Float64[np.ndarray, "b m"]:
    """Mean squared change of the pixels from each frame to the next, shape (b, t - 1).

    Args:
        video: frames in [0, 1].

    **Range**: 0 (nothing moves) to 1.
    """
    change = (video[:, 1:] - video[:, :-1]).square()
    return change.mean((2, 3, 4)).double().cpu().numpy()


def sound_flux(
    audio: Float32[Tensor, "b n"], spec: ClipSpec, frames: int
) -> Float64[np.ndarray, "b m"]:
    """How much the level rises from the middle of each frame to that of the next.

    The level is taken every 10 ms; its rises, not its falls, are added up.

    Args:
        audio: waveforms in [-1, 1].
        spec: its sample rate and its frame rate count.
        frames: number of frames t.

    Returns:
        Rises of the logarithm of the power, shape (b, t - 1); 0 for silence, and after the sound's
        end.
    """
    hop = max(1, round(0.01 * spec.sample_rate))
    count = audio.shape[1] // hop
    power = audio[:, : count * hop].double().square().unflatten(1, (count, hop)).mean(-1)
    loudest = power.amax(1, keepdim=True)
    level = torch.log(power + LEVEL_FLOOR * loudest.clamp(min=1e-10))
    rise = level.diff(dim=1).clamp(min=0).cpu().numpy()
    # The rise k is that from the middle of hop k to the middle of hop k + 1.
    interval = np.floor((np.arange(1, count) * hop / spec.sample_rate) * spec.fps - 0.5 + 1e-9)
    flux = np.zeros((len(rise), frames - 1))
    for k in range(frames - 1):
        flux[:, k] = rise[:, interval == k].sum(1)
    return flux
