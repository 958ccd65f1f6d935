"""What an optimizer keeps from update to update, as a list of variables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor

from kerasish.variables import Variable

if TYPE_CHECKING:
    from kerasish.optimizers.base import Optimizer


class NumberVariable(Variable):
    """A number of the optimizer's own, which `assign` sets there."""

    _owner: Optimizer
    _attribute: str

    @classmethod
    def showing(cls, owner: Optimizer, attribute: str, name: str) -> NumberVariable:
        """Make one.

        Args:
            owner: The optimizer.
            attribute: Where it has the number.
            name: The number's name.
        """
        number = getattr(owner, attribute).value
        self = cls.of(number, name, path=f"{owner.name}/{name}")
        self._owner, self._attribute = owner, attribute
        return self

    def assign(self, value: Any) -> Self:
        """Set the number, here and in the optimizer."""
        number = torch.as_tensor(value, dtype=self.dtype)
        # Python's numbers are finer than these: one that is the same here stays as fine as it is.
        if not torch.equal(number, getattr(self._owner, self._attribute).value):
            setattr(self._owner, self._attribute, number.item())
        return super().assign(number)

    def assign_add(self, value: Any) -> Self:
        """Add to the number."""
        return self.assign(self.detach() + torch.as_tensor(value))

    def assign_sub(self, value: Any) -> Self:
        """Subtract from the number."""
        return self.assign(self.detach() - torch.as_tensor(value))


def variables_of(optimizer: Optimizer) -> list[Variable]:
    """The number of updates, the learning rate, and what `torch.optim` keeps of each parameter.

    The latter share the memory of torch's state and have its words: `exp_avg` is Keras's momentum
    of Adam. Torch's own counts of steps are no variables; they follow the number of updates. Nor is
    a learning rate that a schedule gives.
    """
    owner = optimizer.name
    found: list[Variable] = [NumberVariable.showing(optimizer, "iterations", "iteration")]
    if optimizer._schedule is None:
        found.append(NumberVariable.showing(optimizer, "learning_rate", "learning_rate"))
    named, averages = optimizer._named, optimizer._averages
    states = {} if optimizer.torch is None else optimizer.torch.state
    tensors = {(name, "average"): averages.get(parameter) for name, parameter in named.items()}
    for name, parameter in named.items():
        state = states.get(parameter, {})
        tensors |= {(name, key): value for key, value in state.items() if key != "step"}
    for (name, key), value in tensors.items():
        if isinstance(value, Tensor):
            label = f"{name.replace('.', '_')}_{key}"
            found.append(Variable.of(value.detach(), label, path=f"{owner}/{label}"))
    return found


def set_all(variables: list[Variable], values: Sequence[Any], who: str) -> None:
    """Assign a value to each variable.

    Raises:
        ValueError: If numbers or shapes differ; nothing is changed then.
    """
    want, got = [tuple(v.shape) for v in variables], [tuple(np.shape(v)) for v in values]
    if want != got:
        raise ValueError(
            f"{who}: expected {len(want)} values of shapes {want}, got {len(got)} of shapes {got}. "
            "An optimizer has its state after the first update."
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
