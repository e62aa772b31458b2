"""What adversarial networks share: the logarithms of the game, on logits, and first weights."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


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


def kaiming(net: nn.Module, *, last: float = 1.0) -> None:
    """First weights that keep the signal's power from layer to layer, biases zero.

    Torch's own lose most of it at each layer without a norm: a deep discriminator then says the
    same of everything for hundreds of steps.

    Args:
        net: its linear maps and convolutions, plain and transposed, are set; a module named
            "from_motion" stays as it is.
        last: factor of the last one's weights.

    Source:
        He et al., Delving Deep into Rectifiers, 2015, equation 10, for the outputs of transposed
        convolutions with the share of the kernel that reaches one of them.
    """
    final = None
    for name, module in net.named_modules():
        weight = getattr(module, "weight", None)
        if not isinstance(weight, Tensor) or weight.ndim < 2 or name.endswith("from_motion"):
            continue
        inputs = weight[0].numel()
        if isinstance(module, nn.ConvTranspose1d):
            inputs = module.in_channels * module.kernel_size[0] // module.stride[0]
        nn.init.normal_(weight, 0.0, (2 / inputs) ** 0.5)
        if isinstance(module.bias, Tensor):
            nn.init.zeros_(module.bias)
        final = weight
    if final is not None:
        with torch.no_grad():
            final.mul_(last)


def mode_seeking_loss(
    a: Float[Tensor, "b ..."],
    b: Float[Tensor, "b ..."],
    z_a: Float[Tensor, "b d"],
    z_b: Float[Tensor, "b d"],
) -> Float[Tensor, ""]:
    """How little the noise changes what is generated: 1 / E[|a - b| / |z_a - z_b|], mean distances.

    Args:
        a: what was generated with the noise `z_a`.
        b: with the noise `z_b`, and the same condition.
        z_a: noise.
        z_b: noise.

    **Range/direction**: above 0, lower is more varied; 1e5 where the noise changes nothing.

    Source:
        Mao et al., Mode Seeking Generative Adversarial Networks for Diverse Image Synthesis, 2019,
        equations 1 and 2, with the ratio's inverse of its published code.
    """
    apart = (a - b).abs().flatten(1).mean(1) / (z_a - z_b).abs().mean(1).clamp(min=1e-5)
    return 1 / (apart.mean() + 1e-5)
