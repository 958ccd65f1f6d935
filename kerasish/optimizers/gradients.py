"""What may happen to gradients before the update: scaling, and Keras's three ways of clipping."""

from __future__ import annotations

import torch
from torch import Tensor

from kerasish.optimizers import direct


def clip_each_norm(grads: list[Tensor], limit: float) -> None:
    """Shrink each gradient whose L2 norm exceeds `limit` to that norm, in place."""
    norms = direct.kernels._foreach_norm(grads)
    # A gradient below the limit is divided by exactly 1.
    direct.kernels._foreach_div_(norms, limit)
    direct.kernels._foreach_clamp_min_(norms, 1.0)
    direct.kernels._foreach_div_(grads, norms)


def clip_global_norm(grads: list[Tensor], limit: float) -> None:
    """Shrink all gradients by one factor when the norm of all together exceeds `limit`, in place.

    A norm that is infinite or not a number makes every gradient NaN, as in Keras: the trouble shows
    at once.
    """
    norm = torch.nn.utils.get_total_norm(grads)
    factor = torch.clamp(limit / norm, max=1.0) + (norm - norm)
    for grad in grads:
        grad.mul_(factor.to(grad.device))


def clip_value(grads: list[Tensor], limit: float) -> None:
    """Clamp every element to `[-limit, limit]`, in place."""
    direct.kernels._foreach_clamp_min_(grads, -limit)
    direct.kernels._foreach_clamp_max_(grads, limit)
