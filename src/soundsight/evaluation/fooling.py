"""How often a discriminator takes generated frames for real ones.

The rate means nothing without the discriminator's accuracy on real frames beside it: one that calls
everything real is fooled always.
"""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from soundsight.media.clip import Clip

Realness = Callable[[Clip], dict[str, Float[Tensor, "b t"]]]
"""A discriminator: for each of its heads the probability in [0, 1] that each frame is real. It may
judge fewer frames than the clip has (windows); its last column is the clip's last frame."""
LABELLED_REAL = "labelled_real_"
"""Prefix of the metric of each head."""


class Fooling(NamedTuple):
    """What one head of a discriminator says of each clip."""

    rate: Float[Tensor, " b"]
    """Share of the generated frames that it labels real."""
    real_accuracy: Float[Tensor, " b"]
    """Share of the real frames that it labels real."""


def labelled_real(
    realness: Realness, clip: Clip, *, frames: int, threshold: float = 0.5
) -> dict[str, Float[Tensor, " b"]]:
    """Share of the last `frames` frames that each head labels real.

    Args:
        realness: the discriminator.
        clip: clips to judge, all their frames.
        frames: how many frames at the end count; the seen ones before them are real anyway.
        threshold: probability above which a frame is labelled real.

    Returns:
        By head, one share per clip, shape (b,).

    Raises:
        ValueError: if a probability lies outside [0, 1] (logits, say).
    """
    shares = {}
    for head, probability in realness(clip).items():
        if not bool(((probability >= 0) & (probability <= 1)).all()):
            raise ValueError(f"realness {head!r} left [0, 1]: it must return probabilities")
        shares[head] = (probability[:, -frames:] > threshold).double().mean(1)
    return shares


def fooling_rate(
    realness: Realness, generated: Clip, real: Clip, *, frames: int, threshold: float = 0.5
) -> dict[str, Fooling]:
    """Fooling rate of each head, with its accuracy on real frames.

    Args:
        realness: the discriminator.
        generated: generated clips.
        real: real clips, as many.
        frames: how many frames at the end of each clip count.
        threshold: probability above which a frame is labelled real.

    Returns:
        By head, shares per clip, in [0, 1].

    Raises:
        ValueError: as `labelled_real`.
    """
    fake = labelled_real(realness, generated, frames=frames, threshold=threshold)
    true = labelled_real(realness, real, frames=frames, threshold=threshold)
    return {head: Fooling(fake[head], true[head]) for head in fake}
