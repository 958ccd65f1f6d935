"""What normalisations share: an optional scale and offset, and where the channels are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from kerasish.config import image_data_format
from kerasish.layers.base import Layer
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.rules import Rules, found_rules
from kerasish.layers.weights import KerasWeight


class Normalization(Layer):
    """What normalisations share: a torch module `norm` with an optional scale and offset."""

    norm: Any

    def __init__(
        self,
        epsilon: float,
        center: bool,
        scale: bool,
        beta: Rules = ("zeros", None, None),
        gamma: Rules = ("ones", None, None),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.epsilon = float(epsilon)
        self.center, self.scale = center, scale
        self.beta_initializer, self.beta_regularizer, self.beta_constraint = found_rules(beta)
        self.gamma_initializer, self.gamma_regularizer, self.gamma_constraint = found_rules(gamma)
        self.supports_masking = True

    def _settle(self, norm: nn.Module) -> None:
        """Keep the module; drop the scale or offset that is not wanted."""
        if not self.scale:
            norm.register_parameter("weight", None)
        if not self.center:
            norm.register_parameter("bias", None)
        self.norm = norm

    def _size(self, input_shape: Sequence[int | None], axis: int) -> int:
        rank = len(input_shape)
        size = input_shape[axis] if -rank <= axis < rank else None
        if size is None:
            raise ValueError(
                f'{type(self).__name__} "{self.name}" needs to know the size of axis {axis}, got '
                f"input shape {tuple(input_shape)}."
            )
        return size

    def own_weights(self) -> list[KerasWeight]:
        """Gamma and beta."""
        if not hasattr(self, "norm"):
            return []
        weights = []
        if self.scale:
            rules = self.gamma_initializer, self.gamma_regularizer, self.gamma_constraint
            weights.append(KerasWeight("gamma", self.norm.weight, *rules))  # type: ignore[arg-type]
        if self.center:
            rules = self.beta_initializer, self.beta_regularizer, self.beta_constraint
            weights.append(KerasWeight("beta", self.norm.bias, *rules))  # type: ignore[arg-type]
        return weights


class ChannelNormalization(Normalization):
    """A normalisation that treats channels apart, with an argument `axis` that says where they are.

    `None` means the axis of the current image format where the input has four axes or more, else
    the last axis.
    """

    axis: int | None
    channels_at: int  # the channels' axis, counted from the front; known once built

    def _find_channels(self, input_shape: Sequence[int | None]) -> int:
        """Settle the channels' axis, and give its size."""
        rank, axis = len(input_shape), self.axis
        if axis is None:
            axis = 1 if rank >= 4 and image_data_format() == "channels_first" else -1
        size = self._size(input_shape, axis)
        self.channels_at = axis % rank
        self.input_spec = InputSpec(ndim=rank, axes={axis: size})
        return size

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again; once built, the axis is a number."""
        config = super().get_config()
        if config["axis"] is None and self.input_spec is not None:
            ndim = self.input_spec.ndim
            config["axis"] = -1 if self.channels_at + 1 == ndim else self.channels_at
        return config
