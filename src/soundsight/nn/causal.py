"""Causal sequence encoders: a transformer and an LSTM that can run at once or step by step.

Both map (l, b, d) to (l, b, d), time-major, and the output at position i depends on positions 0..i
alone.  So one parallel pass gives what re-running every prefix gives, and generation needs only
`step`, which extends a state by one position.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class KeyValueCache:
    """Keys and values of the first `length` positions, one (keys, values) pair a layer."""

    layers: list[tuple[Float[Tensor, "b heads capacity e"], Float[Tensor, "b heads capacity e"]]]
    length: int

    def rows(self, index: Tensor) -> "KeyValueCache":
        """A copy with the batch rows `index`: a row may come several times."""
        layers = [(keys[index], values[index]) for keys, values in self.layers]
        return KeyValueCache(layers, self.length)


@dataclass(frozen=True)
class LSTMState:
    """Hidden and cell state of an LSTM."""

    hidden: Float[Tensor, "layers b d"]
    cell: Float[Tensor, "layers b d"]

    def rows(self, index: Tensor) -> "LSTMState":
        """A copy with the batch rows `index`: a row may come several times."""
        return LSTMState(self.hidden[:, index], self.cell[:, index])


def sinusoids(length: int, d: int) -> Float[Tensor, "l d"]:
    """Sinusoidal positions, base 10^4 (Vaswani et al. 2017, section 3.5)."""
    position = torch.arange(length)[:, None]
    rate = torch.exp(torch.arange(0, d, 2) * (-math.log(10_000.0) / d))
    return torch.stack([torch.sin(position * rate), torch.cos(position * rate)], dim=2).flatten(1)


class CausalLayer(nn.Module):
    """Post-norm transformer encoder layer under a causal mask."""

    def __init__(self, d: int, heads: int, ffn: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        # Not a Linear: as in torch's attention, its first weights are Xavier's, its biases zero.
        self.in_proj_weight = nn.Parameter(torch.empty(3 * d, d))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * d))
        nn.init.xavier_uniform_(self.in_proj_weight)
        self.out_proj = nn.Linear(d, d)
        self.linear1, self.linear2 = nn.Linear(d, ffn), nn.Linear(ffn, d)
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)

    def heads_of(self, x: Float[Tensor, "l b d"]) -> list[Float[Tensor, "b heads l e"]]:
        """Queries, keys and values of every head."""
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        return [rearrange(part, "l b (h e) -> b h l e", h=self.heads) for part in qkv]

    def finish(
        self, x: Float[Tensor, "l b d"], attended: Float[Tensor, "b heads l e"]
    ) -> Float[Tensor, "l b d"]:
        """All that follows the attention: projection, residuals, norms, feed-forward."""
        attended = self.out_proj(rearrange(attended, "b h l e -> l b (h e)"))
        x = self.norm1(x + F.dropout(attended, self.dropout, self.training))
        inner = F.dropout(F.relu(self.linear1(x)), self.dropout, self.training)
        return self.norm2(x + F.dropout(self.linear2(inner), self.dropout, self.training))

    def forward(self, x: Float[Tensor, "l b d"]) -> tuple[Float[Tensor, "l b d"], Tensor, Tensor]:
        """The layer's output, keys and values for all positions."""
        q, k, v = self.heads_of(x)
        p = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=p)
        return self.finish(x, attended), k, v


class CausalTransformer(nn.Module):
    """Linear, LeakyReLU, positions, dropout, causal layers, linear, tanh: (l, b, d) -> (l, b, d).

    Source: Sound2Sight, section 3 (audio, prior-video and posterior-video transformers).
    """

    def __init__(
        self,
        d: int,
        d_model: int = 256,
        heads: int = 4,
        ffn: int = 128,
        layers: int = 1,
        position_dropout: float = 0.2,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(d, d_model), nn.Linear(d_model, d)
        self.layers = nn.ModuleList(
            CausalLayer(d_model, heads, ffn, dropout) for _ in range(layers)
        )
        self.position_dropout = position_dropout

    def embedded(self, x: Float[Tensor, "l b d"], start: int) -> Float[Tensor, "l b e"]:
        """Scaled embeddings with the sinusoids of positions start, start + 1, ..."""
        e = F.leaky_relu(self.embed(x), 0.01) * math.sqrt(self.embed.out_features)
        positions = sinusoids(start + len(x), e.shape[-1])[start:].to(e)
        return F.dropout(e + positions[:, None], self.position_dropout, self.training)

    def forward(self, x: Float[Tensor, "l b d"]) -> Float[Tensor, "l b d"]:
        """All positions at once."""
        e = self.embedded(x, 0)
        for layer in self.layers:
            e, _, _ = layer(e)
        return torch.tanh(self.head(e))

    def prefill(
        self, x: Float[Tensor, "l b d"], capacity: int
    ) -> tuple[Float[Tensor, "l b d"], KeyValueCache]:
        """The output of `forward`, and a cache with room for `capacity` positions in all."""
        cached = []
        e = self.embedded(x, 0)
        for layer in self.layers:
            e, keys, values = layer(e)
            room = (0, 0, 0, capacity - len(x))
            cached.append((F.pad(keys, room), F.pad(values, room)))
        return torch.tanh(self.head(e)), KeyValueCache(cached, len(x))

    def step(
        self, x: Float[Tensor, "b d"], cache: KeyValueCache
    ) -> tuple[Float[Tensor, "b d"], KeyValueCache]:
        """One more position: its output, and the cache (whose tensors are written in place)."""
        n = cache.length
        e = self.embedded(x[None], n)
        for layer, (keys, values) in zip(self.layers, cache.layers, strict=True):
            q, k, v = layer.heads_of(e)  # type: ignore[operator]
            keys[:, :, n : n + 1], values[:, :, n : n + 1] = k, v
            seen = (keys[:, :, : n + 1], values[:, :, : n + 1])
            e = layer.finish(e, F.scaled_dot_product_attention(q, *seen))  # type: ignore[operator]
        return torch.tanh(self.head(e))[0], KeyValueCache(cache.layers, n + 1)


class CausalLSTM(nn.Module):
    """An LSTM of d units in the transformer's place (Sound2Sight, figure 5a)."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(d, d)

    def forward(self, x: Float[Tensor, "l b d"]) -> Float[Tensor, "l b d"]:
        """All positions at once."""
        return self.lstm(x)[0]

    def prefill(
        self, x: Float[Tensor, "l b d"], capacity: int
    ) -> tuple[Float[Tensor, "l b d"], LSTMState]:
        """The output of `forward`, and the state after it; `capacity` is of no account."""
        del capacity
        if not len(x):
            zeros = x.new_zeros(1, x.shape[1], x.shape[2])
            return x, LSTMState(zeros, zeros)
        y, (hidden, cell) = self.lstm(x)
        return y, LSTMState(hidden, cell)

    def step(
        self, x: Float[Tensor, "b d"], state: LSTMState
    ) -> tuple[Float[Tensor, "b d"], LSTMState]:
        """One more position: its output and the new state."""
        y, (hidden, cell) = self.lstm(x[None], (state.hidden, state.cell))
        return y[0], LSTMState(hidden, cell)
