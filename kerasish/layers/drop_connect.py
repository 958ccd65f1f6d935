"""DropConnect: dropout of weights instead of activations."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from torch import Tensor, nn

from kerasish.describe import describe
from kerasish.layers.base import Layer
from kerasish.layers.checks import fraction
from kerasish.layers.foreign import as_layer
from kerasish.other_tensors import call_with


class DropConnect(Layer):
    """A layer whose kernels lose a random part of their weights in training.

    The weights that stay are scaled by `1/(1-rate)`; at test all of them act. One draw serves a
    whole batch.

    Shapes:
        input, output: those of `layer`

    Args:
        layer: A layer with kernels, such as `Dense` or `Conv2D`. Biases are left alone.
        rate: The probability that a weight is dropped, from 0 to 1.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If `rate` is not in [0, 1], or the layer has no kernel.

    Example:
        >>> from kerasish.layers import Dense
        >>> DropConnect(Dense(10), 0.5).compute_output_shape((None, 784))
        (None, 10)

    Reference: Wan et al. (2013), "Regularization of Neural Networks using DropConnect".
    """

    def __init__(self, layer: Any, rate: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.layer = as_layer(layer)
        self.rate = fraction(self, "rate", rate)
        self.dropout = nn.Dropout(self.rate)
        self.supports_masking = self.layer.supports_masking
        self.kernel_names: list[str] = []

    def build(self, input_shape: Any) -> None:
        """Build the layer, and find its kernels."""
        self.layer.compute_output_shape(input_shape)
        weights = self.layer.keras_weights()
        kernels = {id(w.tensor) for w in weights if w.name.endswith(("kernel", "weight"))}
        named = self.layer.named_parameters()
        self.kernel_names = [name for name, parameter in named if id(parameter) in kernels]
        if not self.kernel_names:
            raise ValueError(
                f'DropConnect "{self.name}": {describe(self.layer)} has no kernel whose weights '
                "could be dropped. Wrap a Dense or convolution layer."
            )

    def forward(self, x: Tensor) -> Tensor:
        """Call the layer, in training with thinned kernels."""
        if not self.training or self.rate == 0:
            return self.layer(x)
        kernels = [attrgetter(name)(self.layer) for name in self.kernel_names]
        thinned = {id(kernel): self.dropout(kernel) for kernel in kernels}
        return call_with(self.layer, thinned, (x,), {})
