"""Symbolic tensors: values known by shape and type only, whose every use is written down.

`Input()` makes the first one. Calling a layer on it, or any torch function, tensor method or
operator, records a `Node` and gives new symbolic tensors. `graph.build` turns the nodes between
some inputs and some outputs into a Python function.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kerasish.config import dtype_name
from kerasish.describe import describe
from kerasish.graph.abstract import RUNS, merge_shapes, run_without_data, stand_ins

_counter = itertools.count()


class Expansion:
    """Which modules are opened up at present: their code is followed instead of recording them."""

    opens: Callable[[Any], bool] | None = None
    mode: bool | None = None  # the mode of all modules, where it is known

    def covers(self, module: Any, training: bool | None = None) -> bool:
        """Whether a module's code is to be followed, in the mode that its caller asks for."""
        if training is not None and training != self.mode:
            return False  # the code would be followed in another mode
        return self.opens is not None and self.opens(module)


expansion = Expansion()


class Node:
    """One recorded call: `target(*args, **kwargs)`, with symbolic values among the arguments.

    Attributes:
        target: A torch function, an `nn.Module`, or, for an input, its owner (perhaps `None`).
        args: Positional arguments.
        kwargs: Keyword arguments.
        is_input: Whether this is a placeholder that a caller fills.
        name: A name for it in the generated code.
        index: Its place in the order of recording; arguments always come earlier.
    """

    __slots__ = ("args", "index", "is_input", "kwargs", "name", "outputs", "target")

    def __init__(
        self, target: Any, args: tuple = (), kwargs: dict | None = None, *, is_input: bool = False
    ) -> None:
        self.target = target
        self.args = args
        self.kwargs = kwargs or {}
        self.is_input = is_input
        self.name = _name_of(target)
        self.index = next(_counter)
        self.outputs: Any = None

    def parents(self) -> Iterator[Symbolic]:
        """The symbolic values among the arguments."""
        return symbolic_leaves((self.args, self.kwargs))


def _name_of(target: Any) -> str:
    if isinstance(target, torch.nn.Module):
        return getattr(target, "name", None) or type(target).__name__.lower()
    return getattr(target, "name", None) or getattr(target, "__name__", "value")


class Symbolic:
    """What a node gives. `samples` holds the value that each run without data found."""

    def __init__(self, node: Node, samples: tuple) -> None:
        self.node = node
        self.samples = samples

    def __bool__(self) -> bool:
        raise TypeError(
            f"{self!r} has no value yet, so it cannot decide an `if` or `while`. "
            "Use torch.where(...), or put the code into a layer's forward()."
        )

    def _no_number(self) -> Any:
        raise TypeError(
            f"{self!r} has no value yet, so it cannot become a Python number or an array. "
            "Use torch functions on it, or put the code into a layer's forward()."
        )

    __array_ufunc__ = None  # NumPy's arrays and numbers leave operators to us
    __int__ = __float__ = __index__ = __complex__ = _no_number
    __hash__ = object.__hash__

    @classmethod
    def __torch_function__(
        cls, func: Callable, types: Iterable, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        return record(func, args, kwargs or {})


class SymbolicNumber(Symbolic):
    """A size that is unknown until the model is called, and arithmetic on it."""

    def __repr__(self) -> str:
        return f"<SymbolicNumber from {self.node.name}>"


class SymbolicTensor(Symbolic):
    """A tensor known by its shape and type only.

    Attributes:
        dtype: The torch type.
        mask: The symbolic mask that belongs to it, or `None`.
    """

    def __init__(self, node: Node, samples: tuple[Tensor, ...]) -> None:
        super().__init__(node, samples)
        self._shape = merge_shapes(samples)
        self.dtype = samples[0].dtype
        self.mask: SymbolicTensor | None = None

    @property
    def _keras_mask(self) -> SymbolicTensor | None:
        """Where Keras's guides look for the mask."""
        return self.mask

    @_keras_mask.setter
    def _keras_mask(self, mask: SymbolicTensor | None) -> None:
        self.mask = mask

    @property
    def name(self) -> str:
        """The name of the node that gives it."""
        return self.node.name

    @property
    def shape(self) -> tuple:
        """The sizes, `None` where unknown; to a layer's own code, values to compute with."""
        return self._shape if expansion.opens is None else self.size()

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self._shape)

    def dim(self) -> int:
        """The number of axes."""
        return len(self._shape)

    def size(self, dim: int | None = None) -> Any:
        """The size of one axis, or of all: a number where known, else a value to compute with."""
        if dim is None:
            return tuple(self.size(axis) for axis in range(self.ndim))
        known = self._shape[dim]
        return record(Tensor.size, (self, dim), {}) if known is None else known

    def is_floating_point(self) -> bool:
        """Whether the type is a float type."""
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        """Whether the type is a complex type."""
        return self.dtype.is_complex

    @property
    def device(self) -> torch.device:
        """A symbolic tensor is on no device: asking is an error, but in a layer's own code."""
        if expansion.opens is not None:
            return torch.device("meta")
        raise TypeError(
            f"{self!r} has no device yet. Use functions that take it from a tensor "
            "(torch.zeros_like(x), x.new_zeros(...)), or put the code into a layer's forward()."
        )

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(Tensor, name, None)
        if name.startswith("__") or attribute is None:
            raise AttributeError(f"{type(self).__name__} has no attribute '{name}'.")
        if callable(attribute):
            return functools.partial(record_method, self, attribute)
        return record(getattr, (self, name), {})

    def __len__(self) -> int:
        if not self._shape or self._shape[0] is None:
            raise TypeError(f"{self!r} has no known length; use x.size(0).")
        return self._shape[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> Any:
        return record(operator.getitem, (self, key), {})

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        return self._no_number()

    def __repr__(self) -> str:
        return f"<SymbolicTensor '{self.name}' shape={self._shape} dtype={dtype_name(self.dtype)}>"


def _operators() -> None:
    """Give symbolic values Python's operators, each recording the function it stands for."""
    binary = "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift"
    for name in binary.split():
        function = getattr(operator, f"__{name}__")

        def forward(self: Symbolic, other: Any, function: Callable = function) -> Any:
            return record(function, (self, _as_constant(other)), {})

        def backward(self: Symbolic, other: Any, function: Callable = function) -> Any:
            return record(function, (_as_constant(other), self), {})

        setattr(Symbolic, f"__{name}__", forward)
        setattr(Symbolic, f"__r{name}__", backward)
    for name in ["lt", "le", "gt", "ge", "eq", "ne"]:
        function = getattr(operator, f"__{name}__")

        def compare(self: Symbolic, other: Any, function: Callable = function) -> Any:
            return record(function, (self, _as_constant(other)), {})

        setattr(Symbolic, f"__{name}__", compare)
    for name in ["neg", "pos", "abs", "invert"]:
        function = getattr(operator, f"__{name}__")

        def unary(self: Symbolic, function: Callable = function) -> Any:
            return record(function, (self,), {})

        setattr(Symbolic, f"__{name}__", unary)


_operators()


def symbolic_input(
    shape: tuple[int | None, ...], dtype: torch.dtype, owner: Any = None
) -> SymbolicTensor:
    """A placeholder. `shape` counts the batch axis; `owner` names it."""
    node = Node(owner, is_input=True)
    node.outputs = SymbolicTensor(node, stand_ins(shape, dtype))
    return node.outputs


def is_symbolic(value: Any) -> bool:
    """Whether a value, or anything in a list, tuple or dict of values, is symbolic."""
    if isinstance(value, Symbolic):
        return True
    if isinstance(value, (list, tuple)):
        return any(is_symbolic(item) for item in value)
    if isinstance(value, dict):
        return any(is_symbolic(item) for item in value.values())
    return False


def symbolic_leaves(value: Any) -> Iterator[Symbolic]:
    """The symbolic values in nested lists, tuples, dicts and slices, in order."""
    if isinstance(value, Symbolic):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from symbolic_leaves(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from symbolic_leaves(item)
    elif isinstance(value, slice):
        yield from symbolic_leaves((value.start, value.stop, value.step))


def map_nested(function: Callable[[Any], Any], value: Any) -> Any:
    """Apply a function to every leaf of nested lists, tuples, dicts and slices."""
    if isinstance(value, tuple):
        return _same_kind(value, [map_nested(function, item) for item in value])
    if isinstance(value, list):
        return [map_nested(function, item) for item in value]
    if isinstance(value, dict):
        return {key: map_nested(function, item) for key, item in value.items()}
    if isinstance(value, slice):
        return slice(*(map_nested(function, p) for p in (value.start, value.stop, value.step)))
    return function(value)


def _same_kind(original: list | tuple, items: list) -> Any:
    """The items as a list, tuple, named tuple or torch result (`x.max(dim)` has `.values`)."""
    if isinstance(original, list):
        return items
    if hasattr(original, "_fields"):
        return type(original)(*items)
    if type(original).__module__ == "torch.return_types":
        return type(original)(items)
    return tuple(items)


def record_method(tensor: Symbolic, method: Callable, *args: Any, **kwargs: Any) -> Any:
    """Record `tensor.method(*args, **kwargs)`."""
    return record(method, (tensor, *args), kwargs)


def record(target: Callable, args: tuple, kwargs: dict) -> Any:
    """Write down a call and return what it gives, symbolically.

    Args:
        target: A torch function, tensor method or `nn.Module`.
        args: Its arguments, symbolic ones among them.
        kwargs: Its keyword arguments.

    Returns:
        The structure that the call returns, with symbolic values for tensors and unknown sizes.

    Raises:
        Exception: What the call itself raises on such shapes, with the shapes added as a note.
    """
    # Copies of the lists in them, which the caller may go on filling.
    args, kwargs = map_nested(_as_constant_argument, (args, kwargs))
    node = Node(target, args, kwargs)
    _check_arguments(node)
    try:
        samples = tuple(_sample(node, run) for run in range(RUNS))
    except Exception as error:
        samples = _samples_of_long(node)
        if samples is not None:
            node.outputs = _wrap(node, samples)
            return node.outputs
        shapes = ", ".join(str(getattr(p, "shape", p)) for p in node.parents())
        error.add_note(f"while recording {node.name}() on symbolic inputs of shape {shapes}")
        _explain_stand_ins(node, error)
        raise
    node.outputs = _wrap(node, samples)
    return node.outputs


def _explain_stand_ins(node: Node, error: Exception) -> None:
    """Say which numbers stand for unknown sizes: a message from inside may speak of them."""
    tried = [
        str(tuple(parent.samples[0].shape))
        for parent in node.parents()
        if isinstance(parent, SymbolicTensor) and None in parent.shape[1:]
    ]
    if tried:
        error.add_note(
            f"Unknown sizes were tried as some number: {', '.join(tried)}. If this needs "
            "particular sizes, give them to Input."
        )


def _as_constant_argument(value: Any) -> Any:
    """NumPy's numbers as Python's, which generated code can write down; tensors without history.

    A tensor computed from weights is a constant of the graph. With its history, the second step
    would go backward through it once more; a model says that those weights are not trained.
    """
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Tensor) and value.grad_fn is not None and expansion.opens is None:
        value = value.detach()
        value.is_cut_off = True  # type: ignore[attr-defined]
    return value


def _as_constant(value: Any) -> Any:
    """An array as a tensor; floating-point numbers of 64 bits get the default type."""
    if not isinstance(value, np.ndarray):
        return value
    tensor = torch.as_tensor(value)
    return tensor.to(torch.get_default_dtype()) if tensor.dtype is torch.float64 else tensor


def _check_arguments(node: Node) -> None:
    is_parameter = any(isinstance(value, torch.nn.Parameter) for value in node.args)
    if is_parameter and expansion.opens is None:
        raise TypeError(
            f"{node.name}() met a symbolic tensor beside a torch parameter: a plain torch module "
            "was called on a symbolic tensor. Wrap it: layers.TorchModule(module)(x)."
        )
    if node.target in (Tensor.reshape, Tensor.view, torch.reshape) and any(
        size is None
        for arg in node.args[1:]
        for size in (arg if isinstance(arg, (tuple, list)) else (arg,))
    ):
        raise ValueError(
            f"{node.name}() got None as a size. x.shape has None where a size is unknown; "
            "use -1, or x.size(axis), which stands for the size at run time."
        )


def _samples_of_long(node: Node) -> tuple | None:
    """What a call gives where unknown lengths stand for long ones; `None` if it fails there too.

    What is left of the usual stand-ins after many strides may be shorter than a kernel, or no
    multiple of a factor. All that the call rests on is run again, so that sizes go together.
    """
    if expansion.opens is not None:
        return None  # the graph that is opened up has the lengths that it was recorded with
    nodes = _ancestors(node)
    inputs = {n: n.outputs for n in nodes if n.is_input}
    if not any(None in x.shape[1:] and len(x.shape) < 4 for x in inputs.values()):
        return None
    found: dict[Node, tuple] = {
        n: stand_ins(x.shape, x.dtype, long=True) for n, x in inputs.items()
    }
    try:
        for each in (*nodes, node):
            if not each.is_input:
                found[each] = tuple(_sample(each, run, found) for run in range(RUNS))
    except Exception:
        return None
    for each in nodes:
        for value in symbolic_leaves((each.args, each.kwargs, each.outputs)):
            value.samples = found[value.node]
    for value in node.parents():
        value.samples = found[value.node]
    return found[node]


def _ancestors(node: Node) -> list[Node]:
    """All that a call rests on, arguments before what is made of them."""
    seen: set[Node] = set()
    waiting = [value.node for value in node.parents()]
    while waiting:
        each = waiting.pop()
        if each not in seen:
            seen.add(each)
            waiting += [value.node for value in each.parents()]
    return sorted(seen, key=lambda each: each.index)


def _sample(node: Node, run: int, found: dict[Node, tuple] | None = None) -> Any:
    def pick(value: Any) -> Any:
        if not isinstance(value, Symbolic):
            return value
        return (value.samples if found is None else found[value.node])[run]

    args, kwargs = map_nested(pick, node.args), map_nested(pick, node.kwargs)
    # Recurses once where a module's own code meets symbolic values; never otherwise.
    return run_without_data(node.target, args, kwargs)


def _wrap(node: Node, samples: tuple) -> Any:
    first = samples[0]
    if isinstance(first, Tensor):
        return SymbolicTensor(node, samples)
    if isinstance(first, (bool, int, float)):
        # Arithmetic on unknown sizes stays unknown even where the samples happen to agree.
        computed = any(isinstance(p, SymbolicNumber) for p in node.parents())
        known = len(set(samples)) == 1 and not computed
        return first if known else SymbolicNumber(node, samples)
    if isinstance(first, (tuple, list)):
        return _same_kind(first, [_item(node, samples, i) for i in range(len(first))])
    if isinstance(first, dict):
        return {key: _item(node, samples, key) for key in first}
    if first is None:
        return None
    raise TypeError(
        f"{node.name}() returned {describe(first)}; a recorded call may return tensors, numbers, "
        "and tuples, lists or dicts of them."
    )


def _item(parent: Node, samples: tuple, key: Any) -> Any:
    node = Node(operator.getitem, (Symbolic(parent, samples), key))
    node.outputs = _wrap(node, tuple(sample[key] for sample in samples))
    return node.outputs
