"""The initializer that makes deep networks of CReLU layers linear at the start of training."""

from __future__ import annotations

from typing import Any

import torch

from kerasish.initializers.base import Initializer, Shape, get
from kerasish.initializers.random import Orthogonal


class LooksLinear(Initializer):
    """`W̃[2q] = W[q]`, `W̃[2q + 1] = -W[q]`: with an interleaved CReLU before it the layer is linear.

    CReLU turns x into (relu(x₀), relu(-x₀), relu(x₁), …), so `CReLU(x) @ W̃ = x @ W` for every x at
    the start of training, however deep the network is.

    Shapes:
        W: `(..., in, out)`
        output: `(..., 2 * in, out)`

    Args:
        initializer: What makes `W`. Defaults to `Orthogonal()`.

    Raises:
        ValueError: If the input axis (the last but one) is missing or its size is odd.

    Reference: Balduzzi et al. (2017), "The Shattered Gradients Problem".
    """

    def __init__(self, initializer: Any = None) -> None:
        self.initializer = get(initializer) or Orthogonal()

    def __call__(self, shape: Shape, dtype: Any = None) -> torch.Tensor:
        """Make the values, in Keras's layout."""
        if len(shape) < 2 or shape[-2] % 2:
            raise ValueError(
                "LooksLinear needs a kernel of shape (..., 2 * in, out), as it comes after a CReLU "
                f"that doubles the inputs, got shape {tuple(shape)}."
            )
        *rest, doubled, out = shape
        w = self.initializer((*rest, doubled // 2, out), dtype)  # (..., in, out)
        return torch.stack([w, -w], dim=-2).flatten(-3, -2)
