"""From recorded nodes to a Python function: the nodes between inputs and outputs, as torch.fx."""

from __future__ import annotations

import builtins
import itertools
import linecache
import re
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, fx, nn

from kerasish.graph.symbolic import Node, Symbolic, SymbolicTensor, map_nested, symbolic_leaves

_sources = itertools.count()


def nodes_between(inputs: Iterable[SymbolicTensor], outputs: Any) -> list[Node]:
    """The nodes that lead from inputs to outputs, in the order they were recorded.

    Args:
        inputs: Where to stop. Any symbolic tensors, not only those of `Input()`.
        outputs: A structure of symbolic tensors.

    Raises:
        ValueError: If an output needs an `Input` that is not among the inputs.
    """
    stops = {id(tensor.node) for tensor in inputs}
    seen: dict[int, Node] = {}
    # An explicit stack: a chain of thousands of layers must not hit the recursion limit.
    stack = [leaf.node for leaf in symbolic_leaves(outputs)]
    while stack:
        node = stack.pop()
        if id(node) in seen or id(node) in stops:
            continue
        if node.is_input:
            names = ", ".join(f"'{tensor.name}'" for tensor in inputs)
            raise ValueError(
                f"The graph is disconnected: the outputs need Input '{node.name}', which is not "
                f"among the inputs of the model ({names}). Add it to `inputs`."
            )
        seen[id(node)] = node
        stack.extend(parent.node for parent in node.parents())
    return sorted(seen.values(), key=lambda node: node.index)


def to_fx(
    inputs: list[SymbolicTensor],
    outputs: Any,
    module_name: Callable[[nn.Module], str],
    constant_name: Callable[[Tensor], str],
) -> fx.Graph:
    """Write the nodes between inputs and outputs as a `torch.fx.Graph`.

    Args:
        inputs: The placeholders, in the order of the function's arguments.
        outputs: What the function returns: a structure of symbolic tensors.
        module_name: The attribute under which a module is found.
        constant_name: The attribute under which a tensor used as a constant is found.
    """
    graph = fx.Graph()
    values: dict[int, fx.Node] = {}

    def translate(value: Any) -> Any:
        if isinstance(value, Symbolic):
            return values[id(value.node)]
        if isinstance(value, Tensor):
            return graph.get_attr(constant_name(value))
        return value

    for tensor in inputs:
        placeholder = graph.placeholder(identifier(tensor.name))
        # fx keeps the names of values apart from each other and from keywords; an argument's too.
        placeholder.target = placeholder.name
        values[id(tensor.node)] = placeholder
    for node in nodes_between(inputs, outputs):
        args, kwargs = map_nested(translate, node.args), map_nested(translate, node.kwargs)
        _check_keywords(node)
        if isinstance(node.target, nn.Module):
            # create_node, because call_module warns about modules that a bare graph cannot see.
            created = graph.create_node(
                "call_module", module_name(node.target), args, kwargs, identifier(node.name)
            )
        elif (method := _method_name(node.target)) is not None:
            created = graph.call_method(method, args, kwargs)
        else:
            created = graph.call_function(node.target, args, kwargs)
        values[id(node)] = created
    graph.output(map_nested(translate, outputs))
    return graph


def _check_keywords(node: Node) -> None:
    # These become source text, and may come from a file.
    for key in node.kwargs:
        if not isinstance(key, str) or not key.isidentifier():
            raise ValueError(f"{node.name}() cannot have an argument named {key!r}.")


def _method_name(target: Any) -> str | None:
    name = getattr(target, "__name__", "")
    return name if target is not getattr and getattr(Tensor, name, None) is target else None


def identifier(name: str) -> str:
    """The nearest valid Python name."""
    cleaned = re.sub(r"[^0-9a-zA-Z_]", "_", name)
    if cleaned == "self":
        return "self_"
    return f"_{cleaned}" if not cleaned or cleaned[0].isdigit() else cleaned


def compile_graph(graph: fx.Graph, label: str) -> Callable:
    """Make the graph's Python function, `forward(self, *inputs)`."""
    code = graph.python_code("self")
    return compile_source(code.src, code.globals, label, "forward")


def compile_source(source: str, names: dict[str, Any], label: str, function: str) -> Callable:
    """Run generated source and return one function of it; tracebacks show its lines."""
    filename = f"<{function} of {label} #{next(_sources)}>"
    namespace: dict[str, Any] = {"torch": torch, "__builtins__": builtins, **names}
    exec(compile(source, filename, "exec"), namespace)
    lines = source.splitlines(keepends=True)
    linecache.cache[filename] = (len(source), None, lines, filename)
    return namespace[function]


def readable_code(graph: fx.Graph) -> str:
    """The function's source without the bookkeeping that frees values after their last use."""
    source = graph.python_code("self").src.strip()
    source = re.sub(r";  (?:\w+ = )+None", "", source)
    source = re.sub(r" *# type: ignore.*", "", source)
    source = re.sub(r"\btorch\._C\._(nn|fft|linalg|special)\.(\w+)", _public_name, source)
    return re.sub(r"\n{2,}", "\n", source) + "\n"


def _public_name(found: re.Match) -> str:
    """What users call a function that torch keeps in C, such as `torch._C._nn.avg_pool2d`."""
    package, name = found.groups()
    place = "nn.functional" if package == "nn" else package
    short = name.removeprefix(f"{package}_")
    public = getattr(nn.functional if package == "nn" else getattr(torch, package), short, None)
    return found[0] if public is None else f"torch.{place}.{short}"
