"""Different optimizers for different parts of a model."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from kerasish import registry
from kerasish.describe import describe
from kerasish.optimizers.base import Optimizer
from kerasish.optimizers.loss_scale import LossScaleOptimizer
from kerasish.variables import Variable


class NamedParameter(NamedTuple):
    """What a function that chooses an optimizer is shown of a parameter.

    Args:
        path: The dotted name, as in `state_dict()`.
        value: The parameter.
    """

    path: str
    value: Tensor


class OptimizerMap:
    """Optimizers by regular expression over parameter names, and one for all the rest.

    Patterns must fit the whole name; both `encoder.0.weight` and `encoder/0/weight` are tried, so
    that Keras's patterns (`"encoder/.*"`) work.

    Args:
        default_optimizer: For parameters that no pattern fits.
        optimizer_map: Optimizer by pattern.

    Raises:
        TypeError: If a value is not an `Optimizer`.

    Example:
        >>> from kerasish.optimizers import SGD, Adam
        >>> optimizer_map = OptimizerMap(SGD(), {"encoder/.*": Adam()})
        >>> optimizer_map["encoder.0.weight"].name, optimizer_map["head.weight"].name
        ('adam', 'sgd')
    """

    def __init__(
        self,
        default_optimizer: Optimizer,
        optimizer_map: Mapping[str, Optimizer] | None = None,
    ) -> None:
        self.default_optimizer = _check_member(default_optimizer)
        self._optimizers: dict[str, Optimizer] = {}
        for pattern, optimizer in (optimizer_map or {}).items():
            self[pattern] = optimizer

    def __getitem__(self, key: str) -> Optimizer:
        if key in self._optimizers:
            return self._optimizers[key]
        names = (key, key.replace(".", "/"))
        fitting = [
            pattern
            for pattern in self._optimizers
            if any(re.fullmatch(pattern, name) for name in names)
        ]
        if len(fitting) > 1:
            raise ValueError(f"OptimizerMap: more than one pattern fits '{key}': {fitting}.")
        return self._optimizers[fitting[0]] if fitting else self.default_optimizer

    def __setitem__(self, key: str, optimizer: Optimizer) -> None:
        if key in self._optimizers:
            raise ValueError(f"OptimizerMap: '{key}' has an optimizer already.")
        re.compile(key)
        self._optimizers[key] = _check_member(optimizer)

    def __delitem__(self, key: str) -> None:
        del self._optimizers[key]

    def __len__(self) -> int:
        return len(self._optimizers)

    def __iter__(self) -> Iterator[str]:
        return iter(self._optimizers)

    def items(self) -> ItemsView[str, Optimizer]:
        """Patterns and their optimizers, without the default."""
        return self._optimizers.items()

    def __call__(self, variable: Any) -> Optimizer:
        """The optimizer of a parameter that has a `path`."""
        return self[variable.path]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "default_optimizer": self.default_optimizer,
            "optimizer_map": dict(self._optimizers),
        }

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> OptimizerMap:
        """Make the map and its optimizers."""
        return cls(**{key: registry.deserialize(v, custom_objects) for key, v in config.items()})


def _check_member(optimizer: Any) -> Optimizer:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"OptimizerMap: expected an Optimizer, got {describe(optimizer)}.")
    if isinstance(optimizer, (LossScaleOptimizer, MultiOptimizer)):
        raise ValueError(
            f"OptimizerMap: a {type(optimizer).__name__} cannot be part of a MultiOptimizer; "
            "wrap the MultiOptimizer in it instead."
        )
    return optimizer


class Together(torch.optim.Optimizer):
    """Several torch optimizers as one; the groups and the state are the members' own.

    Args:
        members: Bound torch optimizers.
    """

    def __init__(self, members: list[torch.optim.Optimizer]) -> None:
        super().__init__([p for m in members for g in m.param_groups for p in g["params"]], {})
        self.members = members
        self.param_groups = [group for member in members for group in member.param_groups]
        self.state = ChainMap(*[member.state for member in members])  # pyright: ignore

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Let each member step."""
        loss = closure() if closure is not None else None
        for member in self.members:
            member.step()
        return loss


class MultiOptimizer(Optimizer):
    """Hand each parameter to one of several optimizers.

    `learning_rate` belongs to the members: read and set it there (`optimizers`).

    Args:
        optimizer_map: An `OptimizerMap`, or a function from a parameter (its dotted name in
            `.path`) to an optimizer.
        loss_scale_factor: The one factor for the loss; the members' own are replaced by it.
        name: A label.
    """

    def __init__(
        self,
        optimizer_map: OptimizerMap | Callable[[Any], Optimizer],
        loss_scale_factor: float | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(0.0, loss_scale_factor=loss_scale_factor, name=name)
        self.optimizer_map = optimizer_map
        self.optimizers: list[Optimizer] = []
        if isinstance(optimizer_map, OptimizerMap):
            for member in (*optimizer_map._optimizers.values(), optimizer_map.default_optimizer):
                self._join(member)

    def _join(self, member: Optimizer) -> None:
        if not any(member is known for known in self.optimizers):
            member.loss_scale_factor = self.loss_scale_factor
            self.optimizers.append(_check_member(member))
            self.use_ema = self.use_ema or member.use_ema
            gathered = {m.gradient_accumulation_steps or 1 for m in self.optimizers}
            if len(gathered) > 1:
                raise ValueError(
                    "MultiOptimizer: all members must have the same gradient_accumulation_steps, "
                    f"got {', '.join(map(str, sorted(gathered)))}."
                )
            self.gradient_accumulation_steps = member.gradient_accumulation_steps

    @property
    def learning_rate(self) -> Any:
        """Not one number: each member has its own."""
        raise AttributeError("MultiOptimizer has no one learning_rate; see those of `.optimizers`.")

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if hasattr(self, "optimizers"):
            raise AttributeError(
                "MultiOptimizer has no one learning_rate; set those of `.optimizers`."
            )

    @property
    def variables(self) -> list[Variable]:
        """Those of its members, one after the other."""
        return [variable for member in self.optimizers for variable in member.variables]

    def bind(
        self,
        named_parameters: Iterable[tuple[str, Tensor]],
        lr_multipliers: Mapping[str, float] | None = None,
    ) -> Optimizer:
        """Bind each member to its share of the parameters."""
        self._named = dict(named_parameters)
        shares: dict[int, dict[str, Tensor]] = {}
        for name, parameter in self._named.items():
            member = self.optimizer_map(NamedParameter(name, parameter))
            self._join(member)
            shares.setdefault(id(member), {})[name] = parameter
        bound = [member for member in self.optimizers if id(member) in shares]
        for member in bound:
            member.bind(shares[id(member)].items(), lr_multipliers)
        self._members = bound
        self.torch = Together([member._bound("bind") for member in bound])
        self._forget_plan()
        return self

    def _full_update(self, clear: bool = True) -> None:
        self._bound("update")
        self._steps += 1
        for member in self._members:
            if clear:
                member.update()
            else:
                member.step()

    def _rewind(self) -> None:
        super()._rewind()
        for member in self._members:
            member._rewind()

    def finalize_variable_values(self, var_list: Iterable[Tensor] | None = None) -> None:
        """Let the members copy their averages into the weights."""
        given = None if var_list is None else list(var_list)
        for member in self.optimizers:
            member.finalize_variable_values(given)

    def state_dict(self) -> dict[str, Any]:
        """The members' states in order."""
        self._bound("state_dict")
        return {"members": [m.state_dict() for m in self._members], "steps": self._steps}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
            ValueError: If the number of members differs.
        """
        self._bound("load_state_dict")
        for member, saved in zip(self._members, state_dict["members"], strict=True):
            member.load_state_dict(saved)
        self._steps = state_dict["steps"]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "optimizer_map": self.optimizer_map,
            "loss_scale_factor": self.loss_scale_factor,
            "name": self.name,
        }

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Any:
        """Make the optimizer and its members."""
        return cls(**{key: registry.deserialize(v, custom_objects) for key, v in config.items()})

    def __repr__(self) -> str:
        return f"MultiOptimizer({self.optimizers})"
