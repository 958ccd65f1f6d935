"""The short way through a graph: layers opened up into the torch modules and functions they call.

The function that `model.code` shows calls layers. The one made here calls what the layers call, so
that a step passes through no Python but torch's own.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, fx, nn

from kerasish.graph.build import compile_source, nodes_between, to_fx
from kerasish.graph.products import with_quick_products
from kerasish.graph.symbolic import (
    Symbolic,
    expansion,
    is_symbolic,
    map_nested,
    record,
)


def expand(
    inputs: list[Any],
    outputs: Any,
    opens: Callable[[nn.Module], bool],
    mode: bool | None = None,
) -> tuple:
    """Record the calls between inputs and outputs again, opening some of the modules.

    Args:
        inputs: The symbolic inputs.
        outputs: A structure of symbolic outputs.
        opens: Whether to run a module's `forward` and record what it calls, instead of the module.
        mode: Whether all modules are in training mode; `None` if the record is to serve both
            modes. A call with another `training=` is recorded as a call of the module.

    Returns:
        The structure of outputs, as recorded anew.
    """
    known: dict[int, Any] = {id(tensor.node): tensor for tensor in inputs}

    def fill(value: Any) -> Any:
        return known[id(value.node)] if isinstance(value, Symbolic) else value

    with following(opens, mode):
        for node in nodes_between(inputs, outputs):
            args, kwargs = map_nested(fill, (node.args, node.kwargs))
            is_module = isinstance(node.target, nn.Module)
            if is_module and expansion.covers(node.target, kwargs.get("training")):
                named = {key: value for key, value in kwargs.items() if key != "training"}
                known[id(node)] = node.target.forward(*args, **named)
            elif node.target is operator.getitem and not isinstance(args[0], Symbolic):
                known[id(node)] = args[0][args[1]]  # an item of what an opened module returned
            else:
                known[id(node)] = record(node.target, args, kwargs)
    return map_nested(fill, outputs)


@contextmanager
def following(opens: Callable[[nn.Module], bool], mode: bool | None = None) -> Iterator[None]:
    """While active, calling any module on symbolic tensors records it, or follows its code."""
    original, was = nn.Module.__call__, (expansion.opens, expansion.mode)

    def call(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if is_symbolic(args) or is_symbolic(kwargs):
            return self.forward(*args, **kwargs) if opens(self) else record(self, args, kwargs)
        return original(self, *args, **kwargs)

    nn.Module.__call__ = call  # type: ignore[method-assign]
    expansion.opens, expansion.mode = opens, mode
    try:
        yield
    finally:
        expansion.opens, expansion.mode = was
        nn.Module.__call__ = original  # type: ignore[method-assign]


def expanded_graph(root: nn.Module, inputs: list[Any], outputs: Any) -> fx.Graph:
    """The fx graph of recorded calls whose modules and parameters are found by path from `root`."""
    paths = {id(module): path for path, module in root.named_modules(remove_duplicate=False)}
    tensors = {id(t): path for path, t in (*root.named_parameters(), *root.named_buffers())}

    def constant(tensor: Tensor) -> str:
        if id(tensor) not in tensors:
            raise KeyError("a tensor that is neither a parameter nor a buffer of the model")
        return tensors[id(tensor)]

    return to_fx(inputs, outputs, lambda module: paths[id(module)], constant)


def bindable_source(graph: fx.Graph) -> tuple[str, list[str], dict[str, Any]]:
    """Python source of `bind(*members)`, which returns the graph's function with members bound.

    Looking a module up by attribute costs as much as a small kernel, so it is done once.

    Returns:
        The source, the paths of the members, and the names the source needs.
    """
    code = graph.python_code("self")
    targets = [n.target for n in graph.nodes if n.op in ("call_module", "get_attr")]
    members = sorted({str(target) for target in targets})
    source = code.src
    for number, path in sorted(enumerate(members), key=lambda item: -len(item[1])):
        source = re.sub(re.escape(_access(path)) + r"(?![\w.])", f"member_{number}", source)
    source = source.strip().replace("def forward(self, ", "def forward(", 1)
    source = source.replace("def forward(self)", "def forward()", 1)
    body = "\n".join(f"    {line}" for line in source.splitlines())
    names = ", ".join(f"member_{number}" for number in range(len(members)))
    return f"def bind({names}):\n{body}\n    return forward\n", members, code.globals


def _access(path: str) -> str:
    """How fx writes the access to a member: `self.a.b`, `getattr(self.a, "0")`."""
    text = "self"
    for part in path.split("."):
        text = f"{text}.{part}" if part.isidentifier() else f'getattr({text}, "{part}")'
    return text


class BoundFunction:
    """Makes the expanded function of a model, bound to the modules that are there now."""

    def __init__(self, graph: fx.Graph, root: nn.Module, label: str) -> None:
        source, self.members, names = bindable_source(with_quick_products(graph, root))
        self._bind = compile_source(source, names, label, "bind")

    def bound_to(self, root: nn.Module) -> Callable:
        """The function, with `root`'s members."""
        return self._bind(*(find(root, path) for path in self.members))


def find(root: nn.Module, path: str) -> Any:
    """The module, parameter or buffer at a dotted path."""
    found: Any = root
    for part in path.split("."):
        found = getattr(found, part)
    return found


def has_hooks(modules: Iterable[nn.Module]) -> bool:
    """Whether any module has a hook that a call of it must run."""
    return any(
        m._forward_hooks or m._forward_pre_hooks or m._backward_hooks or m._backward_pre_hooks
        for m in modules
    )
