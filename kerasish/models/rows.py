"""A model as a list of rows, one for each layer or recorded call."""

from __future__ import annotations

import dataclasses
import operator
import re
from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from kerasish.describe import suggest
from kerasish.graph.symbolic import Node, Symbolic, SymbolicNumber, SymbolicTensor, symbolic_leaves
from kerasish.layers.base import Layer
from kerasish.layers.core import InputLayer
from kerasish.layers.foreign import TorchModule
from kerasish.layers.holder import nearest_layers, tensors_of

Shape = tuple[int | None, ...]


@dataclasses.dataclass(eq=False)
class Row:
    """A layer, a torch module or a recorded function of a model.

    Attributes:
        name: The layer's name, the module's path, or the function's name, unique in the model.
        kind: The class, or "function".
        key: What it is: the module, or the node of a function.
        module: The module, or `None` for a function.
        nodes: The recorded calls of it, in order; none in a model without a graph.
        connected_to: The names of what feeds it, for all calls.
        sources: The rows that feed it.
        is_output: Whether an output of its model comes from it.
        depth: How many models it is inside of.
    """

    name: str
    kind: str
    key: Any
    module: nn.Module | None = None
    nodes: list[Node] = dataclasses.field(default_factory=list)
    connected_to: list[str] = dataclasses.field(default_factory=list)
    sources: list[Row] = dataclasses.field(default_factory=list, repr=False)
    is_output: bool = False
    depth: int = 0

    @property
    def shapes(self) -> list[Shape]:
        """The shapes of all outputs, those of further calls only where they differ."""
        calls = [_output_shapes(node) for node in self.nodes]
        return [shape for i, call in enumerate(calls) if call not in calls[:i] for shape in call]

    @property
    def weights(self) -> list[Tensor] | None:
        """The weights, each once; `None` while there are none yet."""
        return [] if self.module is None else weights_of(self.module)


def rows_of(model: Any, *, expand_nested: bool = False, depth: int = 0) -> list[Row]:
    """The rows of a model in the order of its calls, or, without a graph, of its attributes.

    Args:
        model: Any model; it need not be built.
        expand_nested: Whether the rows of models used as layers follow their own row.
        depth: The depth of the first rows.
    """
    if has_graph(model):
        rows = _graph_rows(model)
    elif hasattr(model, "graph_module"):
        rows = [_module_row(layer.name, layer) for layer in model.layers]
    else:
        plain = getattr(model, "module", None)
        start = plain if isinstance(plain, nn.Module) and not list(nearest_layers(model)) else model
        rows = list(_child_rows(start, "", expand_nested)) or [
            _module_row(start_name(start), start)
        ]
    found: list[Row] = []
    for row in rows:
        row.depth += depth
        found.append(row)
        if expand_nested and is_model(row.module):
            found += rows_of(row.module, expand_nested=True, depth=row.depth + 1)
    return found


def has_graph(model: Any) -> bool:
    """Whether the model's calls are recorded: functional, or Sequential with a known input."""
    return getattr(model, "__dict__", {}).get("_output_structure") is not None


def is_model(module: Any) -> bool:
    """Whether a layer is a model with layers of its own."""
    return isinstance(module, Layer) and hasattr(module, "summary")


def is_linear(rows: Iterable[Row]) -> bool:
    """Whether each row is fed by the row before it and by nothing else."""
    before: dict[int, str] = {}
    for row in rows:
        expected = [before[row.depth]] if row.depth in before else []
        if row.connected_to and (row.connected_to != expected or len(row.nodes) > 1):
            return False
        if not row.connected_to and expected and row.nodes:
            return False
        before = {depth: name for depth, name in before.items() if depth < row.depth}
        before[row.depth] = row.name
    return True


def select(rows: list[Row], layer_range: tuple[str, str] | list[str]) -> list[Row]:
    """The rows from the first that matches one name to the last that matches the other.

    Raises:
        ValueError: If the range is not two names, or one of them matches nothing.
    """
    if len(layer_range) != 2:
        raise ValueError(f"summary: layer_range takes two names, got {list(layer_range)}.")
    places = []
    for pattern in layer_range:
        found = [i for i, row in enumerate(rows) if row.name == pattern]
        found = found or [i for i, row in enumerate(rows) if re.match(pattern, row.name)]
        if not found:
            names = [row.name for row in rows]
            raise ValueError(f"summary: no layer '{pattern}'{suggest(pattern, names)}.")
        places.append(found)
    return rows[places[0][0] : places[1][-1] + 1]


def _lacks_weights(module: nn.Module) -> bool:
    """Whether a layer in it is not built, other than those that its call has passed by."""
    if isinstance(module, Layer) and not is_model(module) and not module.built:
        return True
    if isinstance(module, Layer) and module.built and module._has_run:
        return False
    return any(_lacks_weights(child) for child in module.children())


def weights_of(module: nn.Module) -> list[Tensor] | None:
    """A module's weights, each once; `None` while some are not made yet."""
    if _lacks_weights(module):
        return None
    if isinstance(module, Layer):
        tensors = tensors_of(module.keras_weights())
    else:
        tensors = [*module.parameters(), *module.buffers()]
        for layer in nearest_layers(module):
            tensors += tensors_of(layer.keras_weights())
    tensors = list({id(tensor): tensor for tensor in tensors}.values())
    # A model of own code may hold nothing but ready weights, and then needs no build.
    waits = is_model(module) and not module.built and not tensors
    return None if waits or any(is_lazy(tensor) for tensor in tensors) else tensors


def kind_of(module: nn.Module) -> str:
    """The class a reader knows it by: that of the module inside, for a wrapped one."""
    inner = module.module if isinstance(module, TorchModule) else module
    return type(inner).__name__


def start_name(module: nn.Module) -> str:
    """The name of a module that nothing holds."""
    return getattr(module, "name", None) or type(module).__name__


# Models with a graph


def _graph_rows(model: Any) -> list[Row]:
    starts = [tensor.node for tensor in model.inputs]
    calls = [node for node in model.nodes if not _is_hidden(node)]
    names = {node.name: 0 for node in calls if isinstance(node.target, nn.Module)}
    rows = [_input_row(node) for node in starts]
    by_node = {id(row.key): row for row in rows}
    by_module: dict[int, Row] = {}
    for node in calls:
        row = by_module.get(id(node.target)) if isinstance(node.target, nn.Module) else None
        if row is None:
            row = _call_row(node, names)
            rows.append(row)
            by_module[id(node.target)] = row
        row.nodes.append(node)
        by_node[id(node)] = row
    # The layers of a Sequential do not count its input.
    first = len(starts) if hasattr(model, "pop") else 0
    unshown = {id(node) for node in starts[:first]}
    stops = {id(node) for node in starts}
    for node in calls:
        row = by_node[id(node)]
        for source, path in _visible(node.parents(), stops):
            if id(source) not in unshown:
                row.connected_to.append(_label(source, path, by_node))
                row.sources.append(by_node[id(source)])
    for source, _ in _visible(model.outputs, stops):
        by_node[id(source)].is_output = True
    return rows[first:]


def _input_row(node: Node) -> Row:
    module = node.target if isinstance(node.target, InputLayer) else None
    return Row(node.name, "input" if module is None else "InputLayer", node, module, [node])


def _call_row(node: Node, names: dict[str, int]) -> Row:
    """A row for a layer, or for a function, numbered among functions of one name."""
    if isinstance(node.target, nn.Module):
        return _module_row(node.name, node.target)
    name = node.args[1] if node.target is getattr else node.name
    count = names[name] = names.get(name, -1) + 1
    return Row(f"{name}_{count}" if count else name, "function", node)


def _is_hidden(node: Node) -> bool:
    """Whether a node only picks an item of a layer's result, or computes a size."""
    return _is_item(node) or isinstance(node.outputs, SymbolicNumber)


def _is_item(node: Node) -> bool:
    return node.target is operator.getitem and type(node.args[0]) is Symbolic


def _visible(values: Iterable[Symbolic], stops: set[int]) -> dict[tuple[Node, str], None]:
    """The visible nodes that values come from, each with the item of its result that is taken."""
    found: dict[tuple[Node, str], None] = {}
    stack = [(value.node, "") for value in reversed(list(values))]
    while stack:
        source, path = stack.pop()
        if id(source) in stops or not _is_hidden(source):
            found[source, path] = None
        elif _is_item(source):
            stack.append((source.args[0].node, f"[{source.args[1]!r}]{path}"))
        else:
            stack += [(parent.node, "") for parent in source.parents()]
    return found


def _label(source: Node, path: str, by_node: dict[int, Row]) -> str:
    row = by_node[id(source)]
    call = f"[{row.nodes.index(source)}]" if len(row.nodes) > 1 else ""
    return f"{row.name}{call}{path}"


def _output_shapes(node: Node) -> list[Shape]:
    leaves = symbolic_leaves(node.outputs)
    return [leaf.shape for leaf in leaves if isinstance(leaf, SymbolicTensor)]


# Models without one


def _module_row(name: str, module: nn.Module, depth: int = 0) -> Row:
    return Row(name, kind_of(module), module, module, depth=depth)


def _child_rows(module: nn.Module, prefix: str, expand: bool, depth: int = 0) -> Iterator[Row]:
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        if isinstance(child, Layer):
            yield _module_row(child.name, child, depth)
        elif isinstance(child, (nn.ModuleList, nn.ModuleDict)) or any(nearest_layers(child)):
            yield from _child_rows(child, f"{path}.", expand, depth)
        else:
            yield _module_row(path, child, depth)
            if expand:
                yield from _child_rows(child, f"{path}.", expand, depth + 1)
