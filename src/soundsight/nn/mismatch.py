"""Wrong partners: for each clip of a batch another one of it that does not belong to it.

A matching-aware discriminator (Reed et al., 2016) is shown a condition with real data that belongs
to another one. What "another" means is Chen et al.'s choice (2017, section 3.3): of another class,
or of the same class at another moment.
"""

import warnings
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Generator, Tensor

from soundsight.media.clip import Clip

Mismatch = Literal["class", "pose"]
ROUNDING_S = 1e-6
"""By which times in seconds may be off: 2.3 - 1.3 is less than 1."""


def wrong_partner(
    clip: Clip, by: Mismatch, generator: Generator, *, apart_s: float = 1.0
) -> tuple[Int64[Tensor, " b"], Bool[Tensor, " b"]]:
    """Draw for each clip a wrong partner in the batch, uniformly over those that are wrong.

    Args:
        clip: a batch. The label -1 stands for no label.
        by: "class": a clip with another label (no label is not another one); "pose": one with the
            same label, of another recording or at least `apart_s` away in the same one. A clip
            never is its own partner; without `Clip.source` each clip is a recording of its own,
            without labels all clips are of one class.
        generator: source of the draws.
        apart_s: least time between the beginnings of two clips of one recording, seconds. Without
            `Clip.start` clips of one recording are never partners.

    Returns:
        Indices of the partners and whether there is one; where there is none, the clip's own index.
        If no clip has one a warning says so.

    Raises:
        ValueError: for "class", if clips have no labels.
    """
    wrong = are_wrong(clip, by, apart_s)
    chance = torch.rand(wrong.shape, generator=generator, device=generator.device)
    found = wrong.any(1)
    if not found.any():
        need = (
            "take a larger batch, or train.balance='class'"
            if by == "class"
            else "take a larger batch"
        )
        warnings.warn(
            f"mismatch={by!r}: no wrong partner among {len(clip)} clips; {need}", stacklevel=2
        )
    partner = chance.to(wrong.device).masked_fill(~wrong, -1).argmax(1)
    return torch.where(found, partner, torch.arange(len(clip), device=wrong.device)), found


def are_wrong(clip: Clip, by: Mismatch, apart_s: float) -> Bool[Tensor, "b b"]:
    """Whether clip j (column) is a wrong partner of clip i (row). Raises: as `wrong_partner`."""
    if by == "class":
        if clip.label is None:
            raise ValueError('mismatch="class" needs class labels: these clips have none')
        known = clip.label >= 0
        return (clip.label[:, None] != clip.label) & known[:, None] & known
    wrong = ~torch.eye(len(clip), dtype=torch.bool, device=clip.device)
    if clip.label is not None:
        wrong &= clip.label[:, None] == clip.label
    if clip.source is not None:
        apart = clip.source[:, None] != clip.source
        if clip.start is not None:
            between_s = (clip.start[:, None] - clip.start).abs()
            apart |= between_s >= apart_s - ROUNDING_S
        wrong &= apart
    return wrong


def masked_mean(x: Float[Tensor, " b"], valid: Bool[Tensor, " b"]) -> Float[Tensor, ""]:
    """Mean of those that are valid; 0 if none is, with a gradient of 0."""
    return torch.where(valid, x, 0).sum() / valid.sum().clamp(min=1)
