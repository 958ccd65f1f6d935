"""Layers around another layer."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from kerasish import initializers
from kerasish.layers.base import Layer
from kerasish.layers.checks import positive_int
from kerasish.layers.foreign import as_layer
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.weights import KerasWeight


class Wrapper(Layer):
    """A layer that holds another; a base for one's own wrappers.

    Args:
        layer: A layer, a plain torch module or a function.
        **kwargs: Those of `Layer`.

    Raises:
        TypeError: If `layer` is none of these.
    """

    casts_outputs = False  # what the layers inside give stays as they give it

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.layer = as_layer(layer)

    def build(self, input_shape: Any) -> None:
        """Build the inner layer."""
        if not self.layer.built:
            self.layer.build(input_shape)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the inner layer."""
        return self.layer(*args, **kwargs)


class TimeDistributed(Wrapper):
    """Applies a layer to every time step, all at once, with time counted into the batch.

    Batch normalisation inside therefore takes one mean over all steps, where Keras updates its
    statistics step after step.

    Shapes:
        input: `(batch, time, ...)`
        output: `(batch, time, ...)`

    Args:
        layer: A layer, a plain torch module or a function.
        **kwargs: Those of `Layer`.

    Raises:
        TypeError: If `layer` is none of these.

    Example:
        >>> TimeDistributed(torch.nn.Linear(3, 2))(torch.ones(4, 7, 3)).shape
        torch.Size([4, 7, 2])
    """

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        self.takes_integers = self.layer.takes_integers  # type: ignore[misc]
        self.input_spec = InputSpec(min_ndim=2, hint="Add a time axis.")
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build the inner layer for one step."""
        super().build((None, *input_shape[2:]))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Apply the layer to each step; a mask with more axes than time goes on to it."""
        batch, time = x.size(0), x.size(1)
        steps = x.reshape(-1, *x.shape[2:])
        if mask is not None and mask.dim() > 2:
            y = self.layer(steps, mask=mask.flatten(0, 1))
        else:
            y = self.layer(steps)
        return y.reshape(batch, time, *y.shape[1:])


class SpectralNormalization(Wrapper):
    """Divides a layer's kernel by its largest singular value, before each call in training.

    The value is estimated by power iteration, from a vector kept between calls. As in Keras, and
    unlike `torch.nn.utils.parametrizations.spectral_norm`, the kernel itself is changed.

    Args:
        layer: A layer with a weight called `kernel` or `embeddings`.
        power_iterations: How many iterations each call makes. Positive.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If the layer has no such weight, or `power_iterations` is not positive.

    Example:
        >>> from kerasish.layers import Dense
        >>> SpectralNormalization(Dense(2))(torch.ones(4, 3)).shape
        torch.Size([4, 2])
    """

    vector_u: Tensor

    def __init__(self, layer: Any, power_iterations: int = 1, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        self.power_iterations = positive_int(self, "power_iterations", power_iterations)
        self.takes_integers = self.layer.takes_integers  # type: ignore[misc]

    def build(self, input_shape: Any) -> None:
        """Build the inner layer, and the vector for its kernel."""
        super().build(input_shape)
        kernel = self._kernel()
        self.register_buffer("vector_u", kernel.tensor.new_empty(1, kernel.shape[-1]))

    def _kernel(self) -> KerasWeight:
        for weight in self.layer.own_weights():
            if weight.name in ("kernel", "embeddings"):
                return weight
        raise ValueError(
            f'SpectralNormalization "{self.name}": the layer {type(self.layer).__name__} has no '
            "kernel or embeddings to normalise."
        )

    def own_weights(self) -> list[KerasWeight]:
        """The vector."""
        if "vector_u" not in self._buffers:
            return []
        initializer = initializers.TruncatedNormal(stddev=0.02)
        return [KerasWeight("vector_u", self.vector_u, initializer)]

    def keras_weights(self) -> list[KerasWeight]:
        """The kernel, the vector, then the inner layer's other weights, as Keras orders them."""
        if "vector_u" not in self._buffers:
            return self.layer.keras_weights()
        kernel = self._kernel()
        inner = self.layer.keras_weights()
        others = [weight for weight in inner if weight.tensor is not kernel.tensor]
        return [kernel, *self.own_weights(), *others]

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the kernel in training; call the inner layer."""
        if self.training:
            self._normalize()
        y = self.layer(x)
        # A layer inside that computes in types of its own does not change those of this one.
        same = self.layer.dtype_policy.name == self.dtype_policy.name
        return y if same else self._as_own_type(y)

    @torch.no_grad()
    def _normalize(self) -> None:
        kernel = self._kernel()
        matrix = kernel.read().reshape(-1, kernel.shape[-1])
        u = self.vector_u
        v = u @ matrix.T
        for _ in range(self.power_iterations):
            v = F.normalize(u @ matrix.T, eps=1e-6)
            u = F.normalize(v @ matrix, eps=1e-6)
        sigma = (v @ matrix @ u.T).squeeze()
        # A kernel of zeros stays as it is, and so does the vector.
        some = sigma != 0
        kernel.tensor.div_(torch.where(some, sigma, 1.0))
        self.vector_u.copy_(torch.where(some, u, self.vector_u))
