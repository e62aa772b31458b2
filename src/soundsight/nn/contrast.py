"""Codes of two parts of a pair that agree where the parts belong together."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from soundsight.contract import Loss
from soundsight.nn.residual import ResidualEncoder


def info_nce(
    a: Float[Tensor, "b d"], b: Float[Tensor, "b d"], temperature: float
) -> dict[str, Float[Tensor, ""]]:
    """How well codes that belong together find each other among those of the batch, both ways.

    Args:
        a: codes of one part, of length 1.
        b: codes of the other, in the same order.
        temperature: τ; small, only the nearest wrong ones count.

    Returns:
        "nce", the mean cross-entropy of both ways, and "right", the share of `a` whose own `b` is
        nearest.

    **Reference value**: log b where all are alike.

    Source:
        van den Oord, Li and Vinyals, Representation Learning with Contrastive Predictive Coding,
        2018, equation 4; both ways as in CLIP (Radford et al., 2021).

    Example:
        >>> code = torch.eye(3)
        >>> {name: round(float(x), 3) for name, x in info_nce(code, code, 0.1).items()}
        {'nce': 0.0, 'right': 1.0}
    """
    products = a @ b.T / temperature
    own = torch.arange(len(a), device=a.device)
    both = F.cross_entropy(products, own) + F.cross_entropy(products.T, own)
    return {"nce": both / 2, "right": (products.argmax(1) == own).float().mean()}


class MatchingEncoder(nn.Module):
    """An encoding of one part of pairs that says which of the other parts belongs to it.

    Whatever a sound says of its picture is of use, the pitch as well as the class. The encoder of
    the other part is of no use after training.

    Args:
        given: channels of what is encoded.
        other: channels of the other part.
        widths: of the residual encoders' stages.
        encoding: width of the encoding.
    """

    TEMPERATURE = 0.1

    def __init__(self, given: int, other: int, widths: tuple[int, ...], encoding: int) -> None:
        super().__init__()
        nets = [ResidualEncoder(channels, widths) for channels in (given, other)]
        self.to_encoding, self.other = (
            nn.Sequential(net, nn.Linear(net.features, encoding)) for net in nets
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """Encodings of pictures or maps."""
        return self.to_encoding(x)

    def loss(self, x: Float[Tensor, "b c h w"], other: Float[Tensor, "b d i j"]) -> Loss:
        """InfoNCE over the batch.  Raises a ValueError for a batch of 1: none is wrong there."""
        if len(x) < 2:
            raise ValueError("a batch of 1: a matcher needs at least 2")
        a, b = F.normalize(self(x), dim=1), F.normalize(self.other(other), dim=1)
        said = info_nce(a, b, self.TEMPERATURE)
        return Loss(said["nce"], said)


class Product(nn.Module):
    """Maps of two modalities (b, 2 d, 4, 4) to a logit: do their codes agree, do they look real?

    Source:
        Miyato and Koyama, cGANs with Projection Discriminator, 2018, of two modalities.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.see, self.hear = (nn.Conv2d(width, 64, 4) for _ in range(2))
        self.real = nn.Conv2d(2 * width, 1, 4)

    def forward(self, maps: Float[Tensor, "b d i j"]) -> Float[Tensor, "b 1 1 1"]:
        """Logits; seen maps come first."""
        seen, heard = maps.chunk(2, dim=1)
        return (self.see(seen) * self.hear(heard)).sum(1, keepdim=True) + self.real(maps)
