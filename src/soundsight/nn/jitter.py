"""What keeps discriminators from winning by detail: instance noise and phase shuffle."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor


@dataclass(frozen=True)
class Jitter:
    """Noise for a discriminator's forward pass, with its source.

    A discriminator that is given None instead judges without any.
    """

    generator: Generator
    """On the device of what is judged."""
    sigma: float = 0.0
    """Standard deviation of instance noise."""
    radius: int = 0
    """Phase shuffle, steps."""
    per_sample: bool = True
    """Phase shuffle by a number of its own for each sample, or one for the batch."""

    def noise(self, x: Tensor) -> Tensor:
        """Instance noise, on pictures and on what is made of them inside (MoCoGAN's code)."""
        if self.sigma == 0:
            return x
        return x + self.sigma * torch.randn(
            x.shape, generator=self.generator, device=x.device, dtype=x.dtype
        )

    def shuffle(self, x: Float[Tensor, "b c l"]) -> Float[Tensor, "b c l"]:
        """Shifted by -radius to radius steps, mirrored at the open end (WaveGAN, section 3.3)."""
        if self.radius == 0:
            return x
        last = x.shape[2] - 1
        if self.radius > last:
            raise ValueError(f"radius={self.radius}: phase shuffle of {last + 1} steps")
        bounds = (-self.radius, self.radius + 1)
        rows = len(x) if self.per_sample else 1
        shift = torch.randint(*bounds, (rows, 1), generator=self.generator, device=x.device)
        at = (torch.arange(last + 1, device=x.device) - shift).abs()
        at = last - (last - at).abs()
        return x.gather(2, at[:, None].expand_as(x))
