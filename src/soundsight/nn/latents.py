"""The noise behind a video and its sound."""

import dataclasses
from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Generator, Tensor

from soundsight.contract import Streams


@dataclasses.dataclass(frozen=True)
class Latents:
    """The noise behind b clips, all standard normal."""

    shared: Float[Tensor, "b s"]
    """Seen by both generators."""
    content: Float[Tensor, "b d"]
    """The rest of z_C."""
    start: Float[Tensor, "b m"]
    """h_0."""
    motion: Float[Tensor, "b t m"]
    """e_k of every frame."""
    sound: Float[Tensor, "b e"]
    """The rest of the sound's noise."""

    PARTS: ClassVar = {"content": ("shared", "content"), "motion": ("start", "motion", "sound")}
    """What stays the same over a clip, and what happens in it."""

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, rows: slice | list[int] | Int64[Tensor, " i"]) -> "Latents":
        return Latents(*(getattr(self, f.name)[rows] for f in dataclasses.fields(self)))

    def mix(self, other: "Latents", share: float, part: str = "content") -> "Latents":
        """This noise on its way to another's: a quarter of a circle, which keeps it normal.

        Args:
            other: noise of as many clips.
            share: 0 is this one's part, 1 the other's.
            part: "content" or "motion"; the rest stays.
        """
        if part not in self.PARTS:
            raise ValueError(f"part={part!r} must be one of {', '.join(self.PARTS)}")
        angle = torch.tensor(share * torch.pi / 2, dtype=torch.float64)
        here, there = float(angle.cos()) * (share < 1), float(angle.sin())
        mixed = {
            name: here * getattr(self, name) + there * getattr(other, name)
            for name in self.PARTS[part]
        }
        return dataclasses.replace(self, **mixed)

    def with_part(self, other: "Latents", part: str) -> "Latents":
        """This noise with another's content, or motion and sound."""
        return self.mix(other, 1.0, part)

    def to(self, device: torch.device) -> "Latents":
        """The same noise on another device."""
        return Latents(*(getattr(self, f.name).to(device) for f in dataclasses.fields(self)))


@dataclasses.dataclass(frozen=True)
class Widths:
    """How wide the noise is."""

    shared: int
    content: int
    motion: int
    """Of h_0 and of each e_k."""
    sound: int

    def draw(self, clips: int, frames: int, generator: Generator) -> Latents:
        """Noise of a batch, on the generator's device."""

        def normal(*shape: int) -> Tensor:
            return torch.randn(clips, *shape, generator=generator, device=generator.device)

        shared, content, start = normal(self.shared), normal(self.content), normal(self.motion)
        return Latents(shared, content, start, normal(frames, self.motion), normal(self.sound))

    def draw_streams(self, streams: Streams, num_samples: int, frames: int) -> Latents:
        """Noise of `num_samples` clips for each stream; a longer clip begins as a shorter one."""

        def normal(width: int) -> Tensor:
            return streams.normal(num_samples, width)

        shared, content, start = normal(self.shared), normal(self.content), normal(self.motion)
        sound = normal(self.sound)
        motion = torch.stack([normal(self.motion) for _ in range(frames)], dim=1)
        return Latents(shared, content, start, motion, sound)


def widths(mode: str, content: int, motion: int, sound: int, shared: int) -> Widths:
    """How much noise there is of each kind.

    Args:
        mode: "separate": nothing is shared; "shared": all of the sound's noise is; "partial":
            `shared` numbers are.
        content: that the video takes, z_C.
        motion: that the motion takes at each frame.
        sound: that the sound takes.
        shared: under "partial".

    Raises:
        ValueError: if less is taken than is shared.
    """
    common = {"separate": 0, "shared": sound, "partial": shared}[mode]
    if mode == "partial" and shared > min(sound, content):
        raise ValueError(f"shared={shared} exceeds sound={sound} or content={content}")
    return Widths(common, max(0, content - common), motion, sound - common)
