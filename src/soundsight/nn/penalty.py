"""Gradient penalties of critics."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Generator, Tensor


def r1_penalty(
    logits: Float[Tensor, "b ..."], inputs: Sequence[Float[Tensor, "b ..."]]
) -> Float[Tensor, ""]:
    """R1: squared length of the gradient at real data, mean over the batch; without γ / 2.

    Args:
        logits: what a discriminator without batch statistics says of each sample; the mean over
            the rest of its axes counts.
        inputs: what it saw, with `requires_grad`; several are one long vector.

    Source:
        Mescheder et al., Which Training Methods for GANs do actually Converge?, 2018, equation 9.

    Example:
        >>> x = torch.ones(2, 3, requires_grad=True)
        >>> float(r1_penalty((2 * x).sum(1), [x]))
        12.0
    """
    total = logits.float().flatten(1).mean(1).sum() if logits.ndim > 1 else logits.float().sum()
    gradients = torch.autograd.grad(total, list(inputs), create_graph=True)
    squares = [gradient.float().square().flatten(1).sum(1) for gradient in gradients]
    return torch.stack(squares).sum(0).mean()


def gradient_penalty(
    critic: Callable[[Float[Tensor, "b ..."]], Float[Tensor, " b"]],
    real: Float[Tensor, "b ..."],
    fake: Float[Tensor, "b ..."],
    generator: Generator,
) -> Float[Tensor, ""]:
    """WGAN-GP: (‖∇‖ - 1)² between pairs of real and generated samples, mean over the batch.

    Args:
        critic: from samples to one number each.
        real: real samples.
        fake: generated samples, as many, detached.
        generator: draws where between them, U(0, 1) for each pair.

    Source:
        Gulrajani et al., Improved Training of Wasserstein GANs, 2017, equation 3.
    """
    size = (len(real), *(1,) * (real.ndim - 1))
    share = torch.rand(size, generator=generator, device=real.device)
    between = (real + share * (fake - real)).requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()
