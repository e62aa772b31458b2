"""Small clips and models of the forecasters' tests: nothing random but what `build` seeds."""

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from soundsight.media.clip import Clip, ClipSpec

SPEC = ClipSpec(9, size=16)


def waves(*shape: int) -> Tensor:
    """Smooth numbers in [0, 1] that need no random generator."""
    total = int(torch.tensor(shape).prod())
    return (torch.cos(torch.arange(total) * 0.37) / 2 + 0.5).reshape(shape)


def clips(batch: int = 3, spec: ClipSpec = SPEC) -> Clip:
    """Clips with a sound, no two alike."""
    video = waves(batch, spec.frames, spec.channels, spec.size, spec.size)
    audio = torch.sin(torch.arange(batch * spec.samples) ** 1.1).reshape(batch, -1)
    return Clip(spec, video.float(), audio)


def silent_clips(batch: int = 3, spec: ClipSpec = SPEC) -> Clip:
    """The same without a sound."""
    return clips(batch, spec).replace(audio=None)


def build(config: Any, *, spec: ClipSpec = SPEC, **changes: Any) -> Any:
    """A small model with weights large enough that every input leaves its trace in the output."""
    torch.manual_seed(0)
    model: nn.Module = dataclasses.replace(config, **changes).build(spec)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(1.4 / parameter[0].numel() ** 0.5 / parameter.std())
    return model


def time_major(clip: Clip) -> Tensor:
    """Its pictures, (t, b, c, h, w)."""
    return clip.video.transpose(0, 1)
