"""Recorded graphs as flat lists, which can be copied and pickled however long the graph is.

Nodes refer to nodes: following the references, `copy` and `pickle` would go as deep as the graph.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch

from kerasish.graph.symbolic import (
    Node,
    Symbolic,
    SymbolicNumber,
    SymbolicTensor,
    map_nested,
    symbolic_leaves,
)


class Reference(NamedTuple):
    """The result of a node, by the node's place in the list."""

    number: int


class Entry(NamedTuple):
    """A node without references to others.

    Attributes:
        target: What is called.
        args: Its arguments, results of nodes replaced by references.
        kwargs: The same for keyword arguments.
        is_input: Whether it is a placeholder.
        name: Its name.
        result: The shapes and type of a tensor, the values of a number, or a structure of them.
        mask: The reference of the mask that belongs to a tensor, or `None`.
    """

    target: Any
    args: Any
    kwargs: Any
    is_input: bool
    name: str
    result: Any
    mask: Reference | None


class _Tensor(NamedTuple):
    shapes: tuple[tuple[int, ...], ...]
    dtype: torch.dtype


class _Number(NamedTuple):
    values: tuple


class FlatGraph(NamedTuple):
    """Entries in the order of the calls, and a structure of references into them."""

    entries: list[Entry]
    roots: Any


def flatten_graph(roots: Any, inputs: Iterable[SymbolicTensor]) -> FlatGraph:
    """Write the nodes from inputs to roots, and those of their masks, as a list.

    Args:
        roots: A structure with symbolic values in it.
        inputs: Where to stop; they become placeholders.
    """
    stops = {id(tensor.node) for tensor in inputs}
    nodes = _reached(roots, stops)
    numbers = {id(node): number for number, node in enumerate(nodes)}

    def refer(value: Any) -> Any:
        return Reference(numbers[id(value.node)]) if isinstance(value, Symbolic) else value

    entries = []
    for node in nodes:
        stopped = id(node) in stops or node.is_input
        outputs = node.outputs
        mask = getattr(outputs, "mask", None)
        # A placeholder of another graph's making is no call of its target here.
        target = None if stopped and not node.is_input else node.target
        args, kwargs = ((), {}) if stopped else map_nested(refer, (node.args, node.kwargs))
        result = _result(outputs) if isinstance(outputs, Symbolic) else map_nested(refer, outputs)
        mask = None if stopped or mask is None else refer(mask)
        entries.append(Entry(target, args, kwargs, stopped, node.name, result, mask))
    return FlatGraph(entries, map_nested(refer, roots))


def restore_graph(flat: FlatGraph) -> tuple[Any, list[Node]]:
    """Make the nodes again.

    Returns:
        The structure of roots, and the nodes.
    """
    values: list[Any] = []
    nodes: list[Node] = []

    def fill(value: Any) -> Any:
        return values[value.number] if isinstance(value, Reference) else value

    for entry in flat.entries:
        args, kwargs = _filled(entry.args, values), _filled(entry.kwargs, values)
        node = Node(entry.target, args, kwargs, is_input=entry.is_input)
        node.name = entry.name
        if isinstance(entry.result, _Tensor):
            shapes, dtype = entry.result
            samples = tuple(torch.empty(shape, dtype=dtype, device="meta") for shape in shapes)
            node.outputs = SymbolicTensor(node, samples)
        elif isinstance(entry.result, _Number):
            node.outputs = SymbolicNumber(node, entry.result.values)
        nodes.append(node)
        values.append(node.outputs if node.outputs is not None else Symbolic(node, ()))
    for node, entry in zip(nodes, flat.entries, strict=True):
        if node.outputs is None:
            node.outputs = _filled(entry.result, values)
        elif entry.mask is not None:
            node.outputs.mask = fill(entry.mask)
    return _filled(flat.roots, values), nodes


def _filled(structure: Any, values: list[Any]) -> Any:
    # A reference is a tuple too: it must be met before tuples are taken apart.
    if isinstance(structure, Reference):
        return values[structure.number]
    if isinstance(structure, tuple):
        items = [_filled(item, values) for item in structure]
        return type(structure)(*items) if hasattr(structure, "_fields") else tuple(items)
    if isinstance(structure, list):
        return [_filled(item, values) for item in structure]
    if isinstance(structure, dict):
        return {key: _filled(item, values) for key, item in structure.items()}
    if isinstance(structure, slice):
        return slice(*_filled((structure.start, structure.stop, structure.step), values))
    return structure


def _reached(roots: Any, stops: set[int]) -> list[Node]:
    seen: dict[int, Node] = {}
    stack = [leaf.node for leaf in symbolic_leaves(roots)]
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen[id(node)] = node
        stack += [leaf.node for leaf in symbolic_leaves(node.outputs)]
        if id(node) in stops:
            continue
        stack += [parent.node for parent in node.parents()]
        mask = getattr(node.outputs, "mask", None)
        stack += [] if mask is None else [mask.node]
    return sorted(seen.values(), key=lambda node: node.index)


def _result(value: Symbolic) -> Any:
    if isinstance(value, SymbolicTensor):
        shapes = tuple(tuple(sample.shape) for sample in value.samples)
        return _Tensor(shapes, value.dtype)
    return _Number(value.samples)
