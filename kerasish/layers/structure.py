"""Looking into the nested tensors and shapes that layers are called on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from kerasish.describe import describe
from kerasish.graph.symbolic import Symbolic, SymbolicTensor, symbolic_leaves


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors in nested lists, tuples and dicts."""
    if isinstance(value, (Tensor, Symbolic)):
        yield value  # type: ignore[misc]
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item)


def shape_of(value: Any) -> Any:
    """The shape of a tensor as a plain tuple; other values as they are."""
    return tuple(value.shape) if isinstance(value, (Tensor, SymbolicTensor)) else value


def zeros_like(value: Any) -> Any:
    """A small real tensor of zeros for a symbolic one: unknown batch sizes are 2, others 64."""
    if not isinstance(value, SymbolicTensor):
        return value
    shape = [(2 if i == 0 else 64) if s is None else s for i, s in enumerate(value.shape)]
    return torch.zeros(shape, dtype=value.dtype)


def note_zeros(error: Exception, args: Any) -> None:
    """Say which sizes stood for unknown ones in a run on zeros: the code may need others."""
    leaves = [leaf for leaf in symbolic_leaves(args) if isinstance(leaf, SymbolicTensor)]
    tried = [str(tuple(zeros_like(leaf).shape)) for leaf in leaves if None in leaf.shape]
    if tried and not any("zeros" in note for note in getattr(error, "__notes__", ())):
        error.add_note(
            f"Unknown sizes were tried as some number, with zeros of shape {', '.join(tried)}. If "
            "this needs particular sizes, give them to Input, such as Input(shape, batch_size=32)."
        )


def map_shapes(function: Callable[[tuple], Any], shapes: Any) -> Any:
    """Apply a function to each shape in nested lists or dicts of shapes (tuples of sizes)."""
    if isinstance(shapes, dict):
        return {key: map_shapes(function, value) for key, value in shapes.items()}
    if isinstance(shapes, (list, tuple)):
        if all(size is None or isinstance(size, int) for size in shapes):
            return function(tuple(shapes))
        return [map_shapes(function, value) for value in shapes]
    raise TypeError(f"A shape is a tuple of sizes, got {describe(shapes)}.")
