"""What every metric has: state that lives where the data is, and both Keras's and torch's verbs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from kerasish import config, registry
from kerasish.losses.base import snake_case
from kerasish.variables import Variable


def _accumulating(update: Callable[..., Any]) -> Callable[..., Any]:
    """Run an `update_state` without gradients, with the state where the data is."""

    @functools.wraps(update)
    def update_state(self: Metric, *args: Any, **kwargs: Any) -> Any:
        if any(isinstance(value, Tensor) and value.is_meta for value in args):
            return None  # a layer with a metric, asked for its shapes only
        with torch.no_grad():
            self._follow(*args, *kwargs.values())
            return update(self, *args, **kwargs)

    return update_state


class Metric:
    """Base class of metrics: accumulates over batches, then gives one number.

    A metric of your own makes its state with `add_variable` in `__init__`, changes it in
    `update_state` and reads it in `result`. State starts on the CPU and moves to the device of the
    first data it sees; nothing is read back from there.

    Args:
        dtype: The type of the state. Defaults to the default float type.
        name: The key in logs. Defaults to the class name in snake case.

    Example:
        >>> class Largest(Metric):
        ...     def __init__(self, name="largest"):
        ...         super().__init__(name=name)
        ...         self.value = self.add_variable((), "zeros", name="value")
        ...
        ...     def update_state(self, y_true, y_pred, sample_weight=None):
        ...         self.value.assign(torch.maximum(self.value, y_pred.max()))
        ...
        ...     def result(self):
        ...         return self.value
        >>> metric = Largest()
        >>> metric.update_state(None, torch.tensor([1.0, 3.0]))
        >>> float(metric.result())
        3.0
    """

    concatenable: bool = True
    """Whether one update with several batches joined equals an update with each of them."""

    direction: str | None = None
    """`"up"` where bigger is better, `"down"` where smaller is, `None` where neither is said."""

    target_dtype: str | None = None
    """The type that targets should have; `None` leaves them as they come."""

    options: ClassVar[tuple[str, ...]] = ()
    """Constructor arguments beside name and dtype; each is an attribute of that name."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "update_state" in cls.__dict__:
            cls.update_state = _accumulating(cls.__dict__["update_state"])
            # What a foreign update does with a batch is unknown: it may count batches.
            foreign = not cls.__module__.startswith("kerasish.")
            if foreign and "concatenable" not in cls.__dict__:
                cls.concatenable = False

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        self.name = name or snake_case(type(self).__name__)
        self._dtype = config.as_policy(dtype or config.floatx()).compute_dtype
        self._variables: list[Variable] = []
        self._device = torch.device("cpu")

    @property
    def dtype(self) -> str:
        """The name of the type of the state."""
        return config.dtype_name(self._dtype)

    @property
    def variables(self) -> list[Variable]:
        """The state, including that of metrics held as attributes."""
        return [*self._variables, *(v for metric in self._parts() for v in metric.variables)]

    def _parts(self) -> list[Metric]:
        return [value for value in vars(self).values() if isinstance(value, Metric)]

    def add_variable(
        self,
        shape: Iterable[int] = (),
        initializer: Any = None,
        dtype: Any = None,
        aggregation: str = "sum",
        name: str | None = None,
    ) -> Variable:
        """Make a tensor of state.

        Args:
            shape: Its shape.
            initializer: Its first values: `"zeros"` (the default), `"ones"`, or any initializer.
            dtype: Its type. Defaults to the metric's.
            aggregation: Accepted for Keras's sake; `merge_processes` sums.
            name: Its label.

        Raises:
            RuntimeError: If `super().__init__()` has not been called.
        """
        if "_variables" not in self.__dict__:
            raise RuntimeError(
                f"{type(self).__name__}: call super().__init__() before add_variable()."
            )
        kind = self._dtype if dtype is None else config.as_dtype(dtype)
        # State made while predicting must survive outside inference mode.
        with torch.inference_mode(False), torch.no_grad():
            values = _initial(initializer, tuple(shape), kind).to(self._device)
            variable = Variable.of(values, name, path=f"{self.name}/{name or 'variable'}")
        self._variables.append(variable)
        return variable

    def add_weight(
        self,
        shape: Iterable[int] = (),
        initializer: Any = None,
        dtype: Any = None,
        name: str | None = None,
    ) -> Variable:
        """Make a tensor of state; Keras's older name of `add_variable`."""
        return self.add_variable(shape, initializer, dtype, name=name)

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Take in a batch: `(y_true, y_pred, sample_weight=None)`, or what the subclass says."""
        raise NotImplementedError(f"{type(self).__name__}: a metric must implement update_state().")

    def result(self) -> Any:
        """The value so far.

        Returns:
            A tensor of shape `()`, or a dict of them.
        """
        raise NotImplementedError(f"{type(self).__name__}: a metric must implement result().")

    def reset_state(self) -> None:
        """Forget all batches: every variable becomes zero, as in Keras."""
        with torch.no_grad():
            for variable in self.variables:
                variable.zero_()

    def stateless_update_state(
        self, metric_variables: Sequence[Tensor], *args: Any, **kwargs: Any
    ) -> list[Tensor]:
        """What the state would be after a batch, starting from a given one; nothing is kept.

        Args:
            metric_variables: A state: one tensor for each of `variables`.
            args: As for `update_state`.
            kwargs: As for `update_state`.

        Raises:
            ValueError: If the number of tensors is not that of the variables.
        """
        with self._holding(metric_variables):
            self.update_state(*args, **kwargs)
            return [variable.value.clone() for variable in self.variables]

    def stateless_result(self, metric_variables: Sequence[Tensor]) -> Any:
        """What `result` would be for a given state; arguments as in `stateless_update_state`."""
        with self._holding(metric_variables):
            result = self.result()
            if isinstance(result, Mapping):
                return {key: value.clone() for key, value in result.items()}
            return result.clone()

    def stateless_reset_state(self) -> list[Tensor]:
        """What the state would be after `reset_state`; nothing is changed."""
        return [torch.zeros_like(variable.value) for variable in self.variables]

    @contextmanager
    def _holding(self, state: Sequence[Tensor]) -> Iterator[None]:
        if len(state) != len(self.variables):
            raise ValueError(
                f"{self.name}: metric_variables must hold one tensor for each of the metric's "
                f"{len(self.variables)} variables, got {len(state)}."
            )
        kept = [variable.value.clone() for variable in self.variables]
        try:
            for variable, value in zip(self.variables, state, strict=True):
                variable.assign(value)
            yield
        finally:
            for variable, value in zip(self.variables, kept, strict=False):
                variable.assign(value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Take in a batch and give the value so far."""
        self.update_state(*args, **kwargs)
        return self.result()

    def update(self, preds: Any, target: Any = None, **kwargs: Any) -> None:
        """`update_state` under torchmetrics' name and order: predictions first."""
        if target is None:
            self.update_state(preds, **kwargs)
        else:
            self.update_state(target, preds, **kwargs)

    def compute(self) -> Any:
        """`result` under torchmetrics' name."""
        return self.result()

    def reset(self) -> None:
        """`reset_state` under torchmetrics' name."""
        self.reset_state()

    def to(self, device: Any) -> Self:
        """Move the state to a device."""
        self._device = torch.device(device)
        with torch.inference_mode(False), torch.no_grad():
            for variable in self._variables:
                if variable.device != self._device:
                    variable.data = variable.value.to(self._device)
        for part in self._parts():
            part.to(device)
        return self

    def _follow(self, *values: Any) -> None:
        devices = [value.device for value in values[:2] if isinstance(value, Tensor)]
        if devices:
            # Predictions come last; targets or weights may have been left on the CPU.
            device = next((d for d in devices if d.type != "cpu"), devices[-1])
            if device != self._device:
                self.to(device)

    def _meet(self, group: Any) -> None:
        """Be where NCCL adds up: in a process that saw no batch, state is still on the CPU."""
        if "nccl" in str(torch.distributed.get_backend(group)):
            self.to(torch.device("cuda", torch.cuda.current_device()))

    def merge_processes(self, group: Any = None) -> None:
        """Add up the state of all processes, where `torch.distributed` is in use.

        Every process must call it, once, before `result`; afterwards the state is that of all
        processes together, so reset it before counting on.
        """
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return
        self._meet(group)
        with torch.no_grad():
            for variable in self.variables:
                torch.distributed.all_reduce(variable.value, group=group)

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments that make this metric again."""
        settings = {"name": self.name, "dtype": self.dtype}
        return settings | {option: getattr(self, option) for option in self.options}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Make a metric from what `get_config` returned."""
        return cls(**registry.deserialize(dict(config)))

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({settings})"


def _initial(initializer: Any, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    if initializer is None or initializer == "zeros":
        return torch.zeros(shape, dtype=dtype)
    from kerasish import initializers

    made = initializers.get(initializer)
    assert made is not None
    return torch.as_tensor(made(shape, dtype=dtype))
