"""Where the frozen part of a model ends: a function of its calls, and a function of the rest."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from torch import Tensor, nn

from kerasish.graph.build import nodes_between
from kerasish.graph.expand import BoundFunction, expand, expanded_graph, following, has_hooks
from kerasish.graph.symbolic import (
    Node,
    SymbolicTensor,
    map_nested,
    symbolic_input,
    symbolic_leaves,
)
from kerasish.layers.base import Layer
from kerasish.layers.holder import WeightHolder

Opens = Callable[[nn.Module], bool]

# Words in the names of torch functions that draw random numbers, or may.
_RANDOM = ("bernoulli", "dropout", "exponential", "multinomial", "normal", "poisson", "rand")
_RANDOM_NAMES = ("rrelu", "stochastic_depth", "gumbel_softmax")


class Prefix(NamedTuple):
    """A model in two parts, for the modes that its modules are in.

    Attributes:
        first: From the model's inputs, flat, to the features: a tuple of tensors.
        rest: From the features to the model's outputs.
        modules: What the first part calls.
        tensors: The parameters and buffers that the first part reads.
        opened: Modules whose code is followed, so that they are in both parts.
        end: Where the first part ends, in a user's words.
    """

    first: Callable[..., tuple[Tensor, ...]]
    rest: Callable[..., Any]
    modules: list[nn.Module]
    tensors: list[Tensor]
    opened: list[nn.Module]
    end: str


def split(model: nn.Module, x: Any, opens: Opens | None = None) -> Prefix | None:
    """Part a model where its frozen, deterministic part ends.

    Args:
        model: A built model, in the mode that counts.
        x: A batch of its inputs, for models that are code of their own.
        opens: Which modules may be opened up to make calls shorter.

    Returns:
        The two parts; `None` where nothing comes first, or the code cannot be followed.
    """
    lengths = [(layer, len(layer._nodes)) for layer in model.modules() if isinstance(layer, Layer)]
    for inside in (_is_partly_frozen, _is_part_of_a_graph):
        try:
            return _split(model, x, inside, opens or (lambda _: False))
        except Exception:  # code with a mind of its own; with less of it opened it may work
            continue
        finally:
            for layer, length in lengths:
                del layer._nodes[length:]
    return None


def _split(model: nn.Module, x: Any, inside: Opens, opens: Opens) -> Prefix | None:
    opened: dict[int, nn.Module] = {id(model): model}

    def follows(module: nn.Module) -> bool:
        if opens(module):
            return True
        if not inside(module) or is_still(module):
            return False
        opened[id(module)] = module
        return True

    inputs, outputs = _recorded(model, x, follows)
    still = _still_nodes(inputs, outputs)
    frontier = _frontier(inputs, outputs, still)
    targets = [node.target for node in nodes_between(inputs, frontier)]
    if not targets or has_hooks(opened.values()):
        return None
    modules = [target for target in targets if isinstance(target, nn.Module)]
    inner = [module for target in modules for module in target.modules()]
    if has_hooks(inner):
        return None
    first = expanded_graph(model, inputs, tuple(frontier))
    rest = expanded_graph(model, frontier, outputs)
    label = getattr(model, "name", type(model).__name__)
    bound = [BoundFunction(graph, model, label) for graph in (first, rest)]
    tensors = [t for name in bound[0].members for t in _tensors_at(model, name)]
    return Prefix(
        bound[0].bound_to(model),
        bound[1].bound_to(model),
        inner,
        list({id(t): t for t in tensors}.values()),
        list(opened.values()),
        _end_of(model, frontier),
    )


def _recorded(model: Any, x: Any, follows: Opens) -> tuple[list[Any], Any]:
    """The symbolic inputs and outputs of a model, what `follows` opens being opened."""
    inputs = getattr(model, "_input_list", None)
    # A model made to compute in float64 was recorded in float32.
    if inputs is not None and x.dtype == inputs[0].dtype:
        return inputs, expand(inputs, model._output_structure, follows)
    if inputs is not None and len(inputs) > 1:
        raise TypeError("several inputs need a graph of their own types")
    placeholder = symbolic_input((None, *x.shape[1:]), x.dtype)
    with following(follows):
        return [placeholder], model.forward(placeholder)


def _tensors_at(model: nn.Module, path: str) -> Iterator[Tensor]:
    found = functools.reduce(getattr, path.split("."), model)
    if isinstance(found, Tensor):
        yield found
    elif isinstance(found, nn.Module):
        yield from found.parameters()
        yield from found.buffers()


# What is still


def is_still(module: nn.Module) -> bool:
    """Whether a module computes the same for the same input throughout an epoch of training."""
    return not any(p.requires_grad for p in module.parameters()) and not any(
        _is_lively(part) for part in module.modules()
    )


def _is_lively(module: nn.Module) -> bool:
    if getattr(module, "activity_regularizer", None) is not None:
        return True
    if getattr(module, "stateful", False):
        return True
    return module.training and reads_mode(type(module))


@functools.cache
def reads_mode(cls: type) -> bool:
    """Whether the code of a module's class asks if it is training, as whatever is random does."""
    bases = [base for base in cls.__mro__ if base not in Layer.__mro__]
    ours = ("kerasish.models.", "kerasish.training.")  # whose code is about any layer's mode
    own = [base for base in bases if not base.__module__.startswith(ours)]
    functions = [getattr(f, "__wrapped__", f) for base in own for f in vars(base).values()]
    codes = [f.__code__ for f in functions if isinstance(f, types.FunctionType)]
    return any("training" in names for code in codes for names in _names_in(code))


def _names_in(code: types.CodeType) -> Iterator[tuple[str, ...]]:
    yield code.co_names
    yield code.co_varnames
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names_in(constant)


def _is_partly_frozen(module: nn.Module) -> bool:
    """Whether to look for the frontier inside a module that is not still as a whole."""
    if has_hooks([module]) or all(p.requires_grad for p in module.parameters()):
        return False
    has_parts = any(True for child in module.children() for _ in child.parameters())
    is_foreign = not type(module).__module__.startswith(("kerasish.layers.", "torch.nn."))
    is_container = isinstance(module, (nn.Sequential, nn.ModuleList, nn.ModuleDict))
    return has_parts and (is_foreign or is_container or _is_wrapper(module))


def _is_part_of_a_graph(module: nn.Module) -> bool:
    is_graph = hasattr(module, "_input_list") or _is_wrapper(module)
    return (is_graph or type(module) is nn.Sequential) and _is_partly_frozen(module)


def _is_wrapper(module: nn.Module) -> bool:
    """Whether it is a layer round a torch module."""
    return isinstance(module, WeightHolder) and [*module._modules] == ["module"]


def _still_nodes(inputs: list[Any], outputs: Any) -> set[int]:
    """The ids of nodes that give the same in every epoch, inputs included."""
    still = {id(tensor.node) for tensor in inputs}
    for node in nodes_between(inputs, outputs):
        parents = [parent.node for parent in node.parents()]
        # What depends on no input has no rows to keep, and is made again by the rest.
        if parents and all(id(p) in still for p in parents) and _is_still_call(node):
            still.add(id(node))
    return still


def _is_still_call(node: Node) -> bool:
    target = node.target
    if isinstance(target, nn.Module):
        return is_still(target)
    name = getattr(target, "__name__", "").strip("_")
    if any(word in name for word in _RANDOM if word != "normal") or name in _RANDOM_NAMES:
        return False
    tensors = [v for v in _flat((node.args, node.kwargs)) if isinstance(v, Tensor)]
    return name != "normal" and not any(tensor.requires_grad for tensor in tensors)


def _flat(structure: Any) -> list[Any]:
    found: list[Any] = []
    map_nested(found.append, structure)
    return found


def _frontier(inputs: list[Any], outputs: Any, still: set[int]) -> list[SymbolicTensor]:
    """The tensors on which the rest depends; none if one of them is no batch of rows."""
    found: dict[int, SymbolicTensor] = {}
    seen: set[int] = set()
    waiting = [leaf.node for leaf in symbolic_leaves(outputs)]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        # A size or a tuple of tensors is no column of data: the rest finds it again.
        if id(node) in still and isinstance(node.outputs, SymbolicTensor):
            found[node.index] = node.outputs
        else:
            waiting += [parent.node for parent in node.parents()]
    values = [found[index] for index in sorted(found)]
    sizes = [sample.shape[0] for sample in inputs[0].samples]
    are_rows = all(
        sample.shape[:1] == (size,) and inputs[0]._shape[0] is None
        for value in values
        for sample, size in zip(value.samples, sizes, strict=True)
    )
    return values if are_rows else []


def _end_of(model: nn.Module, frontier: list[SymbolicTensor]) -> str:
    """The name of the last module of the first part."""
    paths = {id(module): path for path, module in model.named_modules()}
    node: Any = frontier[-1].node
    while not isinstance(node.target, nn.Module) and not node.is_input:
        node = next(node.parents()).node
    path = paths.get(id(node.target), "the input")
    # Inside a torch module by the names it has there, else by the layer's name.
    return path.rpartition("module.")[2] if "module." in path else path.partition(".")[0]
