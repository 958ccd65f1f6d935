"""A weight as Keras sees it: its name, its layout, and where it lives in a torch module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from kerasish.describe import describe
from kerasish.devices import as_torch_takes, tensor_on
from kerasish.variables import Variable


def _same(tensor: Tensor) -> Tensor:
    return tensor


@dataclass(frozen=True, eq=False)
class KerasWeight:
    """One weight of a layer: declared once, and read by all that deals with weights.

    Attributes:
        name: Keras's name, such as `"kernel"`.
        tensor: The torch parameter or buffer that holds the numbers.
        initializer: Fills it when the layer is built; called with the shape in Keras's layout.
        regularizer: Adds to the loss.
        constraint: Applied after each update.
        to_keras: From torch's layout to Keras's; a view where possible.
        from_keras: The way back.
    """

    name: str
    tensor: Tensor
    initializer: Callable[..., Tensor] | None = None
    regularizer: Callable[[Tensor], Tensor] | None = None
    constraint: Callable[[Tensor], Tensor] | None = None
    to_keras: Callable[[Tensor], Tensor] = _same
    from_keras: Callable[[Tensor], Tensor] = _same

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors that hold the numbers: one, unless Keras stacks several in one array."""
        return (self.tensor,)

    @property
    def trainable(self) -> bool:
        """Whether training changes it."""
        return isinstance(self.tensor, nn.Parameter) and self.tensor.requires_grad

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape in Keras's layout."""
        return tuple(self.to_keras(torch.empty_like(self.tensor, device="meta")).shape)

    def arranged(self, tensors: Sequence[Tensor]) -> Tensor:
        """Tensors like its own in Keras's layout, with their history."""
        return self.to_keras(tensors[0])

    def read(self) -> Tensor:
        """The numbers in Keras's layout."""
        return self.arranged([tensor.detach() for tensor in self.tensors])

    @torch.no_grad()
    def write(self, value: Any) -> None:
        """Set the numbers, given in Keras's layout.

        Raises:
            ValueError: If the shape differs; nothing is changed then.
        """
        value = torch.as_tensor(as_torch_takes(value))
        if tuple(value.shape) != self.shape:
            raise ValueError(f"Weight '{self.name}' has shape {self.shape}, got {describe(value)}.")
        self.tensor.copy_(self.from_keras(value.to(self.tensor.dtype).to(self.tensor.device)))

    def initialize(self) -> None:
        """Fill it by its initialiser, if it has one."""
        if self.initializer is not None:
            self.write(self.initializer(self.shape, dtype=self.tensor.dtype))

    def constrain(self) -> None:
        """Apply its constraint, if it has one."""
        if self.constraint is not None:
            with torch.no_grad():
                self.write(self.constraint(self.read()))

    def penalty(self) -> Tensor | None:
        """What its regulariser adds to the loss."""
        if self.regularizer is None or not self.trainable:
            return None
        return self.regularizer(self.arranged(self.tensors))

    def view(self, owner: str) -> Tensor:
        """The numbers in Keras's layout and under Keras's words, for a layer of this name."""
        arranged = self.arranged(self.tensors)
        if torch.compiler.is_compiling():
            return arranged
        view = arranged.as_subclass(WeightView)
        view._weight, view._label, view._path = self, self.name, f"{owner}/{self.name}"
        return view


def permuted(order: Sequence[int]) -> dict[str, Callable[[Tensor], Tensor]]:
    """The two conversions for a weight whose axes Keras orders as `torch_tensor.permute(order)`."""
    back = [list(order).index(axis) for axis in range(len(order))]
    return {"to_keras": lambda t: t.permute(*order), "from_keras": lambda t: t.permute(*back)}


def convolution_kernel(rank: int) -> dict[str, Callable[[Tensor], Tensor]]:
    """From torch's (out, in, *spatial) to Keras's (*spatial, in, out)."""
    return permuted([*range(2, rank + 2), 1, 0])


class WeightView(Variable):
    """A layer's weight as Keras lays it out: `layer.kernel`, `layer.moving_mean` and the like.

    It follows the torch tensor behind it, and hands gradients to it; `assign` writes to it.
    """

    _is_param = False
    _weight: KerasWeight

    @property
    def grad(self) -> Tensor | None:  # type: ignore[override]
        """The gradient of the tensor behind it, in the same layout."""
        grads = [tensor.grad for tensor in self._weight.tensors]
        return None if grads[0] is None else self._weight.arranged(grads)  # type: ignore[arg-type]

    def assign(self, value: Any) -> WeightView:
        """Replace the numbers, given in Keras's layout.

        Raises:
            ValueError: If the shapes differ.
        """
        self._weight.write(value)
        return self

    def assign_add(self, value: Any) -> WeightView:
        """Add to the numbers."""
        return self.assign(self._weight.read() + tensor_on(self.device, value))

    def assign_sub(self, value: Any) -> WeightView:
        """Subtract from the numbers."""
        return self.assign(self._weight.read() - tensor_on(self.device, value))

    def like_me(self, tensor: Tensor) -> Variable:  # type: ignore[override]
        """A copy is a variable of its own."""
        return Variable.of(tensor, self._label, path=self._path, trainable=self.requires_grad)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return self.like_me(self.detach()).__reduce_ex__(protocol)
