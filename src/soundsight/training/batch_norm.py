"""Batch norm over the clips of all ranks instead of one rank's own."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.overrides import TorchFunctionMode

from soundsight.training.distributed import Ranks


class SyncedBatchNorm(TorchFunctionMode):
    """While it is entered, every batch norm that takes statistics of its batch takes those of all.

    Every rank then has to run the same batch norms in the same order, on batches of one size.
    Torch's `SyncBatchNorm` does that on GPUs alone, and only for modules of its own class.
    """

    def __init__(self, ranks: Ranks) -> None:
        super().__init__()
        self.ranks = ranks

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Put `batch_norm` below in the place of torch's; leave everything else alone."""
        if func is F.batch_norm:
            return self.batch_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def batch_norm(
        self,
        input: Float[Tensor, "m c ..."],
        running_mean: Float[Tensor, " c"] | None,
        running_var: Float[Tensor, " c"] | None,
        weight: Float[Tensor, " c"] | None = None,
        bias: Float[Tensor, " c"] | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Float[Tensor, "m c ..."]:
        """`torch.nn.functional.batch_norm`, its statistics taken over all ranks.

        The variance is the mean square distance from the common mean, so nothing cancels.
        """
        if not training:
            return F.batch_norm(
                input, running_mean, running_var, weight, bias, False, momentum, eps
            )
        dims, shape = [0, *range(2, input.ndim)], [1, -1] + [1] * (input.ndim - 2)
        x = input.float()
        mean = _mean(x.mean(dims), self.ranks)
        centred = x - mean.view(shape)
        var = _mean(centred.square().mean(dims), self.ranks)
        if running_mean is not None and running_var is not None:
            number = self.ranks.world * x.numel() / len(mean)
            running_mean.lerp_(mean.detach().to(running_mean), momentum)
            unbiased = var.detach() * number / max(1.0, number - 1)
            running_var.lerp_(unbiased.to(running_var), momentum)
        scale = torch.rsqrt(var + eps) if weight is None else weight * torch.rsqrt(var + eps)
        y = centred * scale.view(shape)
        return (y if bias is None else y + bias.view(shape)).to(input.dtype)


class _Mean(torch.autograd.Function):
    """The mean over all ranks; its gradient is one, too, as those of the losses are averaged."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks  # type: ignore[attr-defined]
        mean = x.clone(memory_format=torch.contiguous_format)
        ranks.average([mean])
        return mean

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None]:
        return _mean(gradients[0], ctx.ranks), None  # type: ignore[attr-defined]


def _mean(x: Tensor, ranks: Ranks) -> Tensor:
    """The mean over all ranks, to any derivative."""
    return _Mean.apply(x, ranks)
