"""The settings of all recurrent layers: what fills and rules their weights, and dropout."""

from __future__ import annotations

from typing import Any

import torch

from kerasish import activations, random
from kerasish.layers.base import Layer
from kerasish.layers.checks import fraction
from kerasish.layers.rules import Rules, found_rules


class RecurrentSettings(Layer):
    """A layer with a kernel for its inputs, one for its state, and a bias."""

    def __init__(
        self,
        activation: Any,
        recurrent_activation: Any,
        use_bias: bool,
        kernel: Rules,
        recurrent: Rules,
        bias: Rules,
        dropout: float,
        recurrent_dropout: float,
        seed: Any,
        **kwargs: Any,
    ) -> None:
        kwargs.pop("implementation", None)  # of Keras 2: another order of the same sums
        super().__init__(**kwargs)
        self.activation = activations.get(activation)
        self.recurrent_activation = activations.get(recurrent_activation)
        # The plain function: no loss will look for the logits of a gate.
        if self.recurrent_activation is activations.sigmoid:
            self.recurrent_activation = torch.sigmoid
        self.use_bias = use_bias
        rules = found_rules(kernel)
        self.kernel_initializer, self.kernel_regularizer, self.kernel_constraint = rules
        rules = found_rules(recurrent)
        self.recurrent_initializer, self.recurrent_regularizer, self.recurrent_constraint = rules
        self.bias_initializer, self.bias_regularizer, self.bias_constraint = found_rules(bias)
        self.dropout = fraction(self, "dropout", dropout)
        self.recurrent_dropout = fraction(self, "recurrent_dropout", recurrent_dropout)
        self.seed = seed
        self.seeds = random.SeedGenerator(seed) if isinstance(seed, int) else seed

    @property
    def _kernel_rules(self) -> tuple[Any, Any, Any]:
        return self.kernel_initializer, self.kernel_regularizer, self.kernel_constraint

    @property
    def _recurrent_rules(self) -> tuple[Any, Any, Any]:
        return self.recurrent_initializer, self.recurrent_regularizer, self.recurrent_constraint

    @property
    def _bias_rules(self) -> tuple[Any, Any, Any]:
        return self._initial_bias, self.bias_regularizer, self.bias_constraint

    def _initial_bias(self, shape: tuple[int, ...], dtype: Any = None) -> torch.Tensor:
        assert self.bias_initializer is not None
        return self.bias_initializer(shape, dtype=dtype)
