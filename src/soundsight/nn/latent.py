"""Stochastic video prediction's recurrent parts: learned Gaussians and the frame predictor.

Source: SVG-LP (Denton, Fergus 2018), taken over by Sound2Sight (section 3, figure 3).
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Gaussian(NamedTuple):
    """A diagonal Gaussian per step and clip."""

    mean: Float[Tensor, "n b z"]
    logvar: Float[Tensor, "n b z"]

    def sample(self, noise: Float[Tensor, "n b z"]) -> Float[Tensor, "n b z"]:
        """Mean plus standard deviation times noise."""
        return self.mean + torch.exp(self.logvar / 2) * noise


def kl_divergence(q: Gaussian, p: Gaussian) -> Float[Tensor, ""]:
    """KL(q || p) of Equation 2: summed over steps and latent dimensions, mean over the batch."""
    gap = (torch.exp(q.logvar) + (q.mean - p.mean) ** 2) / (2 * torch.exp(p.logvar))
    return ((p.logvar - q.logvar) / 2 + gap - 0.5).sum(dim=(0, 2)).mean()


class GaussianLSTM(nn.Module):
    """LSTM_phi and LSTM_psi (Figure 3): what was seen and heard -> N(mu_t, Sigma_t)."""

    def __init__(self, inputs: int, hidden: int, z_dim: int) -> None:
        super().__init__()
        self.embed = nn.Linear(inputs, hidden)
        self.lstm = nn.LSTM(hidden, hidden)
        self.mean, self.logvar = nn.Linear(hidden, z_dim), nn.Linear(hidden, z_dim)

    def forward(
        self, x: Float[Tensor, "n b d"], state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Gaussian, tuple[Tensor, Tensor] | None]:
        """The Gaussians of n >= 0 steps and the state after them."""
        if not len(x):
            none = x.new_zeros(0, x.shape[1], self.mean.out_features)
            return Gaussian(none, none), state
        hidden, state = self.lstm(self.embed(x), state)
        logvar = self.logvar(hidden).float().clamp(-10.0, 5.0)  # A guard, never met in practice.
        return Gaussian(self.mean(hidden).float(), logvar), state


class Predictor(nn.Module):
    """LSTM_theta of the prediction network (Figure 3): [f(x[n]), z_n] -> eta_n."""

    def __init__(self, code: int, z_dim: int, hidden: int) -> None:
        super().__init__()
        self.embed = nn.Linear(code + z_dim, hidden)
        self.lstm = nn.LSTM(hidden, hidden, num_layers=2)
        self.head = nn.Linear(hidden, code)

    def forward(
        self, x: Float[Tensor, "n b d"], state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Float[Tensor, "n b code"], tuple[Tensor, Tensor]]:
        """The codes to decode at n steps and the state after them."""
        hidden, state = self.lstm(self.embed(x), state)
        return torch.tanh(self.head(hidden)), state
