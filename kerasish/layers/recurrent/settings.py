"""The settings of all recurrent layers: what fills and rules their weights, and dropout."""

from __future__ import annotations

from typing import Any

import torch

from kerasish import activations, constraints, initializers, random, regularizers
from kerasish.layers.base import Layer
from kerasish.layers.checks import fraction


class RecurrentSettings(Layer):
    """A layer with a kernel for its inputs, one for its state, and a bias."""

    def __init__(
        self,
        activation: Any,
        recurrent_activation: Any,
        use_bias: bool,
        *,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: Any = None,
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
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.recurrent_constraint = constraints.get(recurrent_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
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
