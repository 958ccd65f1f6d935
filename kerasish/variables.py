"""Variable: a torch tensor with Keras's words for changing it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from types import MethodType
from typing import Any, Self

import numpy as np
import torch
import torch.optim.optimizer as torch_optimizer
from torch import Tensor, nn

from kerasish import initializers
from kerasish.config import as_dtype, floatx
from kerasish.describe import describe
from kerasish.devices import as_torch_takes, tensor_on


class Variable(Tensor):
    """A tensor with a state, which `assign` changes in place.

    What is computed from a variable is an ordinary tensor. Set as an attribute of a layer or any
    module, a variable is one of its parameters: `isinstance(variable, nn.Parameter)` holds.

    Args:
        initializer: The first values; or, with `shape`, the name of an initialiser or a function of
            `(shape, dtype)`.
        shape: The shape, where an initialiser is given.
        dtype: The number type, by default that of the values, or the default float type.
        trainable: Whether gradients are computed for it.
        autocast: Accepted for Keras's sake.
        aggregation: Accepted for Keras's sake.
        synchronization: Accepted for Keras's sake.
        name: A label.

    Raises:
        ValueError: If an initialiser comes without a shape.

    Example:
        >>> total = Variable(1.0)
        >>> total.assign_add(2.0).numpy()
        array(3., dtype=float32)
    """

    # As torch.nn.Parameter does: results are plain tensors, and dispatch costs nothing.
    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore[reportAssignmentType]

    _is_param: bool  # torch's mark of parameters that are not of the class Parameter itself
    _label: str
    _path: str

    def __new__(  # noqa: D102
        cls,
        initializer: Any,
        shape: Sequence[int] | None = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        aggregation: str = "none",
        synchronization: str = "auto",
        name: str | None = None,
    ) -> Self:
        values = _first_values(initializer, shape, dtype)
        return cls.of(values, name, trainable=trainable, is_parameter=True)

    @classmethod
    def of(
        cls,
        tensor: Tensor,
        name: str | None = None,
        *,
        path: str | None = None,
        trainable: bool = False,
        is_parameter: bool = False,
    ) -> Self:
        """Make a variable that shares the memory of a tensor.

        Args:
            tensor: Holds the numbers.
            name: A label.
            path: The label with the layer's name before it.
            trainable: Whether gradients are computed for it, if it holds numbers that have any.
            is_parameter: Whether a module takes it for a parameter; else it may be a buffer.
        """
        trainable = trainable and (tensor.is_floating_point() or tensor.is_complex())
        self = Tensor._make_subclass(cls, tensor, trainable)
        self._is_param = is_parameter
        self._label = name or "variable"
        self._path = path or self._label
        return self

    @property
    def name(self) -> str:  # type: ignore[override]
        """The label."""
        return self._label

    @property
    def path(self) -> str:
        """The label, after the layer's name where a layer made the variable."""
        return self._path

    @property
    def trainable(self) -> bool:
        """Whether gradients are computed for it."""
        return self.requires_grad

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self.requires_grad_(bool(value))

    @property
    def value(self) -> Self:
        """The tensor: itself."""
        return self

    def assign(self, value: Any) -> Self:
        """Replace the numbers.

        Raises:
            ValueError: If the shapes differ.
        """
        value = torch.as_tensor(as_torch_takes(value))
        if value.shape != self.shape:
            raise ValueError(
                f'Variable "{self.name}" has shape {tuple(self.shape)}, got {describe(value)}.'
            )
        self.detach().copy_(value.detach())
        return self

    def assign_add(self, value: Any) -> Self:
        """Add to the numbers."""
        self.detach().add_(tensor_on(self.device, value).detach())
        return self

    def assign_sub(self, value: Any) -> Self:
        """Subtract from the numbers."""
        self.detach().sub_(tensor_on(self.device, value).detach())
        return self

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """The numbers as an array."""
        return self.detach().cpu().numpy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        values = self.numpy()
        return values if dtype is None else values.astype(dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Arithmetic beside arrays is torch's, for its gradients; all else sees an array."""
        operation = _operations.get(ufunc) if method == "__call__" and not kwargs else None
        if operation is not None:
            return operation(*(_as_operand(value, self.device) for value in inputs))
        arrays = [value.numpy() if isinstance(value, Tensor) else value for value in inputs]
        return getattr(ufunc, method)(*arrays, **kwargs)

    def like_me(self, tensor: Tensor) -> Self:
        """Another tensor as a variable with this one's name and role."""
        role = {"trainable": self.requires_grad, "is_parameter": self._is_param}
        return type(self).of(tensor, self._label, path=self._path, **role)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        if id(self) not in memo:
            values = self.detach().clone(memory_format=torch.preserve_format)
            memo[id(self)] = self.like_me(values)
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        role = self._label, self._path, self.requires_grad, self._is_param
        return _again, (type(self), self.detach(), *role)

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f'Variable("{self._path}", {self.detach()!r})'


def _product(left: Tensor, right: Tensor) -> Tensor:
    """A matrix product that takes two number types, as NumPy's does."""
    kind = torch.result_type(left, right)
    return left.to(kind) @ right.to(kind)


_operations = {
    np.add: torch.add,
    np.subtract: torch.sub,
    np.multiply: torch.mul,
    np.true_divide: torch.true_divide,
    np.power: torch.pow,
    np.matmul: _product,
}


def _as_operand(value: Any, device: torch.device) -> Any:
    if isinstance(value, np.ndarray):
        return torch.tensor(as_torch_takes(value), device=device)
    return value.item() if isinstance(value, np.generic) else value


class _Worded:
    """The words of a variable for a tensor that a module made; pickles know nothing of them."""

    detach: Callable[[], Tensor]
    value, trainable = Variable.value, Variable.trainable
    assign, assign_add, assign_sub = Variable.assign, Variable.assign_add, Variable.assign_sub
    numpy, __array__ = Variable.numpy, Variable.__array__
    __array_ufunc__ = Variable.__array_ufunc__

    @property
    def name(self) -> str:
        """The label, such as `"kernel"`."""
        return self.__dict__.get("_label", "variable")

    @property
    def path(self) -> str:
        """The label after the layer's name."""
        return self.__dict__.get("_path", self.name)

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f'{type(self).__name__}("{self.path}", {self.detach()!r})'


class Weight(_Worded, nn.Parameter):
    """A parameter of a torch module with a variable's words: what `model.weights` lists.

    It is the very parameter that the module holds, in torch's layout.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> nn.Parameter:
        if id(self) not in memo:
            values = self.detach().clone(memory_format=torch.preserve_format)
            # Of torch's own class: the copy of a layer gives its weights names when it lists them.
            memo[id(self)] = nn.Parameter(values, self.requires_grad)
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return nn.Parameter(self.detach(), self.requires_grad).__reduce_ex__(protocol)


class State(_Worded, Tensor):
    """A buffer of a torch module with a variable's words, as `Weight` is a parameter."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore[reportAssignmentType]

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copy.deepcopy(self.detach(), memo)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.detach().__reduce_ex__(protocol)


_worded = {nn.Parameter: Weight, Tensor: State}


def is_wordless(tensor: Tensor) -> bool:
    """Whether this is torch's own kind of parameter or buffer, in a call that nobody traces."""
    return type(tensor) in _worded and not torch.compiler.is_dynamo_compiling()


def give_words(tensor: Tensor, name: str, path: str) -> None:
    """Let a module's parameter or buffer, the same object as before, take a variable's words."""
    if is_wordless(tensor):
        tensor.__class__ = _worded[type(tensor)]
        vars(tensor).update(_label=name, _path=path)


def with_words(buffer: Any) -> Any:
    """A buffer that can be assigned to: a variable, or what stands in for one in a traced call."""
    # The compiler knows what its tensors stand for.
    if type(buffer) is Variable or buffer is None or torch.compiler.is_dynamo_compiling():
        return buffer
    wrapped = torch._C._functorch.is_functorch_wrapped_tensor(buffer)  # pyright: ignore
    if type(buffer) is Tensor and not (buffer.is_meta or wrapped or buffer.requires_grad):
        return Variable.of(buffer)  # a tensor put in the variable's place: in the same memory
    for word in ("assign", "assign_add", "assign_sub"):
        setattr(buffer, word, MethodType(getattr(Variable, word), buffer))
    return buffer


def _again(cls: Any, tensor: Tensor, name: str, path: str, trainable: bool, param: bool) -> Any:
    return cls.of(tensor, name, path=path, trainable=trainable, is_parameter=param)


# torch picks its fast optimizer kernels for tensor classes on this list only. Operations treat
# these as they do parameters, so that one weight of such a class need not slow all others.
_fast_types: list[type] = getattr(torch_optimizer, "_foreach_supported_types", [])
_fast_types += [Variable, Weight]


def _first_values(initializer: Any, shape: Sequence[int] | None, dtype: Any) -> Tensor:
    kind = None if dtype is None else as_dtype(dtype)
    make: Callable | None = None
    if isinstance(initializer, (str, dict)):
        make = initializers.get(initializer)
    elif callable(initializer) and not isinstance(initializer, Tensor):
        make = initializer
    if make is not None:
        if shape is None:
            raise ValueError("Variable: an initializer needs a `shape`, such as `shape=(2, 3)`.")
        return make(tuple(shape), dtype=kind or as_dtype(floatx())).detach()
    values = torch.as_tensor(as_torch_takes(initializer)).detach().clone()
    if kind is None and values.dtype == torch.float64 and not isinstance(initializer, Tensor):
        kind = as_dtype(floatx())
    values = values if kind is None else values.to(kind)
    return values if shape is None else values.reshape(tuple(shape))
