"""The logarithms of the adversarial game, on logits."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def real_loss(logits: Float[Tensor, "..."]) -> Float[Tensor, ""]:
    """-E log D: small where everything is called real.

    Args:
        logits: any number of them; D is their logistic function.
    """
    return F.softplus(-logits.float()).mean()


def fake_loss(logits: Float[Tensor, "..."]) -> Float[Tensor, ""]:
    """-E log(1 - D): small where everything is called generated."""
    return F.softplus(logits.float()).mean()


def shares(
    real: Float[Tensor, "..."], fakes: dict[str, Tensor], prefix: str = ""
) -> dict[str, Float[Tensor, ""]]:
    """Shares that a discriminator gets right, for the log.

    Args:
        real: logits of what is real.
        fakes: logits of what is not, by name.
        prefix: goes before "real" and the names.
    """
    right = {name: (fake < 0).float().mean() for name, fake in fakes.items()}
    right["real"] = (real > 0).float().mean()
    return {prefix + name: share for name, share in right.items()}
