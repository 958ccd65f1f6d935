"""Random paths in training: blocks left out, branches mixed at random."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kerasish.layers.base import Layer
from kerasish.layers.checks import fraction, one_of
from kerasish.layers.merging import ElementwiseMerge

Shape = tuple[int | None, ...]


class StochasticDepth(Layer):
    """Drops whole samples of a block's output in training, so that a shortcut alone remains.

    What is kept is scaled by `1/(1-rate)`, so that nothing needs to change at test. Put it at the
    end of a residual branch, or use `Residual(..., drop_rate=)`.

    Shapes:
        input: `(batch, ...)`
        output: the same

    Args:
        rate: The probability that a sample is dropped, from 0 to 1.
        mode: `"sample"` draws for each sample, `"batch"` once for the whole batch.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If `rate` is not in [0, 1], or the mode is unknown.

    Reference: Huang et al. (2016), "Deep Networks with Stochastic Depth".
    """

    def __init__(self, rate: float, mode: str = "sample", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = fraction(self, "rate", rate)
        self.mode = one_of(self, "mode", mode, ("sample", "batch"))
        self.dropout = nn.Dropout(self.rate)
        self.supports_masking = True

    def forward(self, x: Tensor) -> Tensor:
        """Drop samples in training."""
        if not self.training or self.rate == 0:
            return x
        rows = x.shape[0] if self.mode == "sample" else 1
        return x * self.dropout(x.new_ones((rows, *(1,) * (x.dim() - 1))))


class _Shake(torch.autograd.Function):
    """`α·a + (1-α)·b` forward; the gradient is split in the proportion β : 1-β."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
        ctx.save_for_backward(beta)
        return torch.lerp(b, a, alpha)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (beta,) = ctx.saved_tensors
        (gradient,) = gradients
        return beta * gradient, (1 - beta) * gradient, None, None


class ShakeShake(ElementwiseMerge):
    """Two branches mixed at random: `α·a + (1-α)·b`, and their mean at test.

    In the backward pass another random number, β, takes the place of α.

    Shapes:
        inputs: a list of two tensors of one shape
        output: the same shape

    Args:
        mode: `"sample"` draws α and β for each sample, `"batch"` once for the whole batch.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If the mode is unknown, or there are not two inputs of one shape.

    Example:
        >>> import torch
        >>> ShakeShake()([torch.zeros(1, 2), torch.ones(1, 2)], training=False)
        tensor([[0.5000, 0.5000]])

    Reference: Gastaldi (2017), "Shake-Shake regularization".
    """

    is_transparent = False
    fewest = 2

    def __init__(self, mode: str = "sample", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mode = one_of(self, "mode", mode, ("sample", "batch"))

    def is_plain(self, inputs: Any) -> bool:
        """Whether they are two tensors of one shape."""
        return super().is_plain(inputs) and len(inputs) == 2

    def check_shapes(self, shapes: list[Shape]) -> None:
        """There must be two, of one shape."""
        if len(shapes) != 2 or len(shapes[0]) != len(shapes[1]):
            self.refuse(shapes, "it takes exactly two inputs of one shape.")
        super().check_shapes(shapes)

    def merge(self, inputs: list[Tensor]) -> Tensor:
        """Mix the two."""
        a, b = inputs
        if not self.training:
            return torch.lerp(a, b, 0.5)
        rows = a.shape[0] if self.mode == "sample" else 1
        alpha, beta = a.new_empty((2, rows, *(1,) * (a.dim() - 1))).uniform_()
        return _Shake.apply(a, b, alpha, beta)
