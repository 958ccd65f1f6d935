"""The three recurrences: their weights in Keras's and torch's order, and one step of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from kerasish import activations, random
from kerasish.layers.checks import positive_int
from kerasish.layers.recurrent.settings import RecurrentSettings
from kerasish.layers.weights import KerasWeight

_SIGMOIDS = (activations.sigmoid, torch.sigmoid, F.sigmoid)
_TANHS = (activations.tanh, torch.tanh, F.tanh)
_RELUS = (activations.relu, torch.relu, F.relu)


@dataclass(frozen=True, eq=False)
class PairedWeight(KerasWeight):
    """A weight that Keras keeps as one array of two rows and torch as two tensors.

    Attributes:
        second: The tensor of the second row.
    """

    second: Tensor = field(default_factory=lambda: torch.empty(0))

    @property
    def tensors(self) -> tuple[Tensor, Tensor]:
        """Both tensors."""
        return self.tensor, self.second

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""
        return (2, *super().shape)

    def arranged(self, tensors: Sequence[Tensor]) -> Tensor:
        """The two rows."""
        return torch.stack([self.to_keras(tensor) for tensor in tensors])

    @torch.no_grad()
    def write(self, value: Any) -> None:
        """Set the two rows."""
        rows = torch.as_tensor(value)
        for tensor, row in zip(self.tensors, rows, strict=True):
            KerasWeight(self.name, tensor, None, None, None, self.to_keras, self.from_keras).write(
                row
            )


class Recurrence(RecurrentSettings):
    """What a recurrent layer and its cell share; subclasses set the kind.

    The weights live in a torch module under the name `child`. Where Keras has one bias and torch
    two, torch's second is a buffer of zeros.
    """

    child: ClassVar[str]
    gates: ClassVar[tuple[int, ...]]  # the block of torch's weights at each place of Keras's
    num_states: ClassVar[int] = 1
    suffix: ClassVar[str] = ""  # of the names of the torch module's weights

    def __init__(self, units: int, *settings: Any, **kwargs: Any) -> None:
        super().__init__(*settings, **kwargs)
        self.units = positive_int(self, "units", units)

    @property
    def core(self) -> Any:
        """The torch module that holds the weights."""
        return self._modules[self.child]

    @property
    def state_size(self) -> int | list[int]:
        """The size of each state."""
        return self.units if self.num_states == 1 else [self.units] * self.num_states

    @property
    def output_size(self) -> int:
        """The size of the output."""
        return self.units

    def get_initial_state(self, batch_size: int) -> list[Tensor]:
        """States of zeros."""
        shape = (batch_size, self.units)
        return [torch.zeros(shape, dtype=self.compute_dtype) for _ in range(self.num_states)]

    @property
    def two_biases(self) -> bool:
        """Whether Keras, as torch, adds one bias to the inputs and another to the state."""
        return False

    @property
    def fits_kernel(self) -> bool:
        """Whether torch's kernel computes just this."""
        return False

    def _adopt(self, module: nn.Module) -> None:
        """Keep the torch module, its second bias made a constant where Keras has none."""
        setattr(self, self.child, module)
        if self.use_bias and not self.two_biases:
            name = f"bias_hh{self.suffix}"
            zeros = torch.zeros_like(getattr(module, name).data)
            del module._parameters[name]
            module.register_buffer(name, zeros)
            if isinstance(module, nn.RNNBase):
                module._init_flat_weights()

    def _weight(self, name: str) -> Any:
        return getattr(self.core, f"{name}{self.suffix}", None)

    def own_weights(self) -> list[KerasWeight]:
        """Kernel, recurrent kernel and bias."""
        if self.child not in self._modules:
            return []
        layout = {"to_keras": self._kernel_to_keras, "from_keras": self._kernel_from_keras}
        weights = [
            KerasWeight("kernel", self._weight("weight_ih"), *self._kernel_rules, **layout),
            KerasWeight(
                "recurrent_kernel", self._weight("weight_hh"), *self._recurrent_rules, **layout
            ),
        ]
        return [*weights, self._bias_weight()] if self.use_bias else weights

    def _bias_weight(self) -> KerasWeight:
        rules = self._bias_rules
        layout = {"to_keras": self._reordered, "from_keras": self._reordered}
        bias = self._weight("bias_ih")
        if self.two_biases:
            return PairedWeight("bias", bias, *rules, **layout, second=self._weight("bias_hh"))
        return KerasWeight("bias", bias, *rules, **layout)

    def _reordered(self, tensor: Tensor) -> Tensor:
        # The two orders of gates differ by one exchange at most, so the way there is the way back.
        if self.gates == tuple(range(len(self.gates))):
            return tensor
        blocks = tensor.chunk(len(self.gates))
        return torch.cat([blocks[gate] for gate in self.gates])

    def _kernel_to_keras(self, tensor: Tensor) -> Tensor:
        return self._reordered(tensor).T

    def _kernel_from_keras(self, tensor: Tensor) -> Tensor:
        return self._reordered(tensor.T)

    def dropped(self, like: Tensor, rate: float) -> Tensor | None:
        """A random mask that multiplies `like`, or `None` where nothing is to be dropped."""
        if not self.training or rate == 0:
            return None
        return random.dropout(torch.ones_like(like), rate, seed=self.seeds)

    def project(self, x: Tensor) -> Tensor:
        """The inputs' part of all gates, for any number of steps at once."""
        return F.linear(x, self._weight("weight_ih"), self._weight("bias_ih"))

    def advance(self, x: Tensor, states: list[Tensor], drop: Tensor | None) -> list[Tensor]:
        """One step: the new states, of which the first is the output.

        Args:
            x: What `project` gave for this step.
            states: The states before it.
            drop: Multiplies the state where it meets the recurrent kernel.
        """
        raise NotImplementedError


class SimpleRecurrence(Recurrence):
    """`h' = activation(x W + h U + b)`."""

    child = "rnn"
    gates = (0,)

    @property
    def fits_kernel(self) -> bool:
        """Whether the activation is tanh or relu."""
        return self.activation in (*_TANHS, *_RELUS)

    @property
    def nonlinearity(self) -> str:
        """The name torch has for the activation; any other is computed step by step."""
        return "relu" if self.activation in _RELUS else "tanh"

    def advance(self, x: Tensor, states: list[Tensor], drop: Tensor | None) -> list[Tensor]:
        """One step."""
        h = states[0] if drop is None else states[0] * drop
        return [self.activation(x + F.linear(h, self._weight("weight_hh")))]


class LSTMRecurrence(Recurrence):
    """`c' = f c + i g`, `h' = o activation(c')` with gates i, f, o and candidate g."""

    child = "lstm"
    gates = (0, 1, 2, 3)
    num_states = 2

    def __init__(self, *settings: Any, unit_forget_bias: bool, **kwargs: Any) -> None:
        super().__init__(*settings, **kwargs)
        self.unit_forget_bias = unit_forget_bias

    @property
    def fits_kernel(self) -> bool:
        """Whether the activations are tanh and sigmoid."""
        return self.activation in _TANHS and self.recurrent_activation in _SIGMOIDS

    def _initial_bias(self, shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        if not self.unit_forget_bias:
            return super()._initial_bias(shape, dtype)
        input_gate = super()._initial_bias((self.units,), dtype)
        rest = super()._initial_bias((2 * self.units,), dtype)
        return torch.cat([input_gate, torch.ones_like(input_gate), rest])

    def advance(self, x: Tensor, states: list[Tensor], drop: Tensor | None) -> list[Tensor]:
        """One step."""
        h, c = states
        h = h if drop is None else h * drop
        i, f, g, o = (x + F.linear(h, self._weight("weight_hh"))).chunk(4, -1)
        gate = self.recurrent_activation
        c = gate(f) * c + gate(i) * self.activation(g)
        return [gate(o) * self.activation(c), c]


class GRURecurrence(Recurrence):
    """`h' = z h + (1 - z) n` with gates r, z and candidate n, which sees the state times r."""

    child = "gru"
    gates = (1, 0, 2)  # Keras: z, r, n; torch: r, z, n

    def __init__(self, *settings: Any, reset_after: bool, **kwargs: Any) -> None:
        super().__init__(*settings, **kwargs)
        self.reset_after = reset_after

    @property
    def two_biases(self) -> bool:
        """Whether the reset gate comes after the product with the recurrent kernel."""
        return self.reset_after

    @property
    def fits_kernel(self) -> bool:
        """Whether the activations are tanh and sigmoid, and the reset gate comes last."""
        usual = self.activation in _TANHS and self.recurrent_activation in _SIGMOIDS
        return usual and self.reset_after

    def advance(self, x: Tensor, states: list[Tensor], drop: Tensor | None) -> list[Tensor]:
        """One step."""
        h = states[0]
        seen = h if drop is None else h * drop
        weight, u = self._weight("weight_hh"), self.units
        gate = self.recurrent_activation
        x_r, x_z, x_n = x.chunk(3, -1)
        if self.reset_after:
            h_r, h_z, h_n = F.linear(seen, weight, self._weight("bias_hh")).chunk(3, -1)
            n = self.activation(x_n + gate(x_r + h_r) * h_n)
        else:
            h_r, h_z = F.linear(seen, weight[: 2 * u]).chunk(2, -1)
            n = self.activation(x_n + F.linear(gate(x_r + h_r) * seen, weight[2 * u :]))
        z = gate(x_z + h_z)
        return [z * h + (1 - z) * n]
