"""How far predicted frames are from what happened, as forecasters of several papers count it."""

from jaxtyping import Float
from torch import Tensor


def reconstruction(
    predicted: Float[Tensor, "n b c h w"], target: Float[Tensor, "n b c h w"]
) -> Float[Tensor, ""]:
    """Mean squared error per pixel, summed over the n predicted frames.

    Args:
        predicted: frames in [0, 1], time-major.
        target: what happened.

    Source:
        The released code of SVG-LP, taken over by Sound2Sight's: the papers sum over pixels.
    """
    return (predicted.float() - target).square().mean(dim=(1, 2, 3, 4)).sum()
