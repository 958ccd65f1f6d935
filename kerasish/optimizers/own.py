"""Optimizers of one's own as in Keras: `build` makes state, `update_step` changes a weight."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from kerasish import initializers
from kerasish.config import as_dtype, floatx
from kerasish.variables import Variable


class OwnUpdate:
    """What a subclass of `Optimizer` finds for an update of its own.

    It overrides `update_step(gradient, variable, learning_rate)`, and `build(variables)` where it
    keeps something from update to update; clipping, weight decay, averages, schedules and saving
    are then the optimizer's. Weights come in torch's layout. State made by the methods here is part
    of `state_dict()` and of `variables`.

    Example:
        >>> from kerasish.optimizers import Optimizer
        >>> class Momentum(Optimizer):
        ...     def build(self, variables):
        ...         super().build(variables)
        ...         self.speeds = self.add_optimizer_variables(variables, "speed")
        ...
        ...     def update_step(self, gradient, variable, learning_rate):
        ...         speed = self.speeds[self._get_variable_index(variable)]
        ...         speed.assign(0.9 * speed + gradient)
        ...         self.assign_sub(variable, learning_rate * speed)
        >>> weight = torch.nn.Parameter(torch.ones(2))
        >>> optimizer = Momentum(0.5)
        >>> optimizer.apply([torch.ones(2)], [weight])
        >>> weight.data
        tensor([0.5000, 0.5000])
    """

    torch: Any
    _steps: int
    _named: dict[str, Tensor]
    _waits = False  # whether a `build` of the subclass's own is under way

    def update_step(self, gradient: Tensor, variable: Tensor, learning_rate: Tensor) -> None:
        """Change one weight. A subclass defines this, or `make_torch`.

        Args:
            gradient: After clipping; of the weight's shape.
            variable: The weight, in torch's layout.
            learning_rate: A number as a tensor. `self.iterations` is 0 in the first update.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must define update_step(gradient, variable, learning_rate), or "
            "make_torch(groups, fast)."
        )

    def add_variable_from_reference(
        self, reference_variable: Tensor, name: str | None = None, initializer: Any = "zeros"
    ) -> Variable:
        """State of a weight's shape and type.

        Args:
            reference_variable: The weight.
            name: Under which it is in `state_dict()`; each of a weight's needs another.
            initializer: Fills it, for instance `"zeros"`.

        Returns:
            The variable; the same one again if the weight has one of this name.
        """
        make: Callable = initializers.get(initializer)  # type: ignore[assignment]
        values = make(tuple(reference_variable.shape), dtype=reference_variable.dtype)
        values = values.detach().to(reference_variable.device)
        return self.torch.variable(reference_variable, name or "variable", values)

    def add_optimizer_variables(
        self,
        trainable_variables: Sequence[Tensor],
        name: str | Sequence[str],
        initializer: Any = "zeros",
    ) -> Any:
        """State for each weight.

        Args:
            trainable_variables: The weights.
            name: Its name, or several.
            initializer: Fills it.

        Returns:
            A list with a variable for each weight; for several names a tuple of lists.
        """
        if not isinstance(name, str):
            given = trainable_variables, initializer
            return tuple(self.add_optimizer_variables(given[0], one, given[1]) for one in name)
        return [
            self.add_variable_from_reference(variable, name, initializer)
            for variable in trainable_variables
        ]

    def add_variable(
        self,
        shape: Sequence[int],
        initializer: Any = "zeros",
        dtype: Any = None,
        aggregation: str = "none",
        layout: Any = None,
        name: str | None = None,
    ) -> Variable:
        """State that belongs to no weight in particular; it is kept with the first one's.

        Args:
            shape: `()` for a number.
            initializer: Fills it.
            dtype: The default float type, if not given.
            aggregation: Accepted for Keras's sake.
            layout: Accepted for Keras's sake.
            name: Under which it is in `state_dict()`.
        """
        first = next(iter(self._named.values()))
        make: Callable = initializers.get(initializer)  # type: ignore[assignment]
        values = make(tuple(shape), dtype=as_dtype(dtype or floatx())).detach().to(first.device)
        return self.torch.variable(first, name or "variable", values, follows=True)

    def _get_variable_index(self, variable: Tensor) -> int:
        """The place of a weight among those that `build` was given."""
        return self.torch.places[variable]

    def assign(self, variable: Tensor, value: Any) -> None:
        """Replace the numbers of a weight or of state."""
        variable.detach().copy_(torch.as_tensor(value))

    def assign_add(self, variable: Tensor, value: Any) -> None:
        """Add to the numbers of a weight or of state."""
        variable.detach().add_(torch.as_tensor(value, device=variable.device))

    def assign_sub(self, variable: Tensor, value: Any) -> None:
        """Subtract from the numbers of a weight or of state."""
        variable.detach().sub_(torch.as_tensor(value, device=variable.device))


class OwnSteps(torch.optim.Optimizer):
    """A torch optimizer whose steps are the `update_step` of an optimizer written as in Keras.

    Args:
        groups: Parameter groups with `lr`.
        owner: Has the `update_step`.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], owner: OwnUpdate) -> None:
        super().__init__(groups, {})
        self.owner = owner
        self.kept: dict[tuple[Tensor, str], Variable] = {}
        self.following: dict[str, Tensor] = {}  # with which parameter a variable of no one's is

    def variable(
        self, parameter: Tensor, name: str, values: Tensor, *, follows: bool = False
    ) -> Variable:
        """The state of a parameter under a name; made of `values` where there is none yet.

        Args:
            parameter: The weight.
            name: The name.
            values: The first values.
            follows: Whether it is the same one that was last asked for with any other parameter.
        """
        if follows:
            before = self.following.get(name, parameter)
            self.following[name] = parameter
            if before is not parameter:
                self._reconnect()
                self.kept[parameter, name] = self.kept.pop((before, name))
                self.state.get(before, {}).pop(name, None)
        known = self.kept.get((parameter, name))
        if known is None:
            first = self.state[parameter].get(name, values)  # from a file, where there was one
            known = Variable.of(first.detach().clone(), name)
            self.kept[parameter, name] = known
            self.state[parameter][name] = known
        self.state[parameter].setdefault(name, known)
        return known

    def state_dict(self) -> dict[str, Any]:
        """As any torch optimizer's: files hold plain tensors."""
        found = super().state_dict()
        states = {
            key: {name: value.detach() for name, value in state.items()}
            for key, state in found["state"].items()
        }
        return {**found, "state": states}

    def __getstate__(self) -> dict[str, Any]:
        # torch's keeps no other attributes than its own.
        own = {"owner": self.owner, "kept": self.kept, "following": self.following}
        return {**super().__getstate__(), **own}

    @property
    def places(self) -> dict[Tensor, int]:
        """The place of each parameter in the order of binding."""
        return {parameter: i for i, parameter in enumerate(self.owner._named.values())}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Let the owner change each parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._reconnect()
        self.owner._steps -= 1  # counts this update already; Keras does so after it
        try:
            for group in self.param_groups:
                rate = torch.as_tensor(group["lr"])
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self.owner.update_step(parameter.grad, parameter, rate)
        finally:
            self.owner._steps += 1
        return loss

    def _reconnect(self) -> None:
        """Give loaded or moved state to the variables that the owner holds."""
        for (parameter, name), known in self.kept.items():
            value = self.state.get(parameter, {}).get(name, known)  # none while it is frozen
            if value is not known:
                # torch loads all state as the weight's type, counts as well.
                kind = value.dtype if known.is_floating_point() else known.dtype
                known.data = value.detach().to(kind)
                self.state[parameter][name] = known
