"""The same architecture again, with weights of its own."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from torch import nn

from kerasish.describe import describe
from kerasish.graph.symbolic import Symbolic, is_symbolic, map_nested, record, symbolic_leaves
from kerasish.layers.base import Layer
from kerasish.layers.core import Input, InputLayer
from kerasish.models import bundle
from kerasish.models.functional import Functional
from kerasish.models.graph_model import GraphModel
from kerasish.models.model import Model
from kerasish.models.sequential import Sequential


def clone_model(
    model: Any,
    input_tensors: Any = None,
    clone_function: Callable[[Any], Any] | None = None,
    call_function: Callable[..., Any] | None = None,
    recursive: bool = False,
) -> Any:
    """Make a model of the same architecture with new weights, not compiled.

    Args:
        model: The model. Layers used several times stay shared in the clone.
        input_tensors: Symbolic tensors to build on, arranged as the model's inputs; new inputs by
            default.
        clone_function: Makes the layer that takes a layer's place, perhaps another one, or the
            layer itself to share it. By default the layer is made again from its configuration.
        call_function: Called as `call_function(layer, *args, **kwargs)` in place of the layer, in
            functional models.
        recursive: Whether models used as layers are cloned layer by layer, with the same functions,
            instead of going to `clone_function` whole.

    Returns:
        A model of the same class. A model of own code is made again by its `from_config`.

    Raises:
        TypeError: If it is not a model.
        ValueError: If an argument does not apply to this kind of model.

    Example:
        >>> from kerasish import Input, Sequential, layers
        >>> model = Sequential([Input((4,)), layers.Dense(2)])
        >>> clone_model(model).output_shape
        (None, 2)
    """
    if not isinstance(model, Model):
        raise TypeError(f"clone_model: expected a model, got {describe(model)}.")
    kind = _constructor_kind(model)
    if kind is None:
        given = {"input_tensors": input_tensors, "clone_function": clone_function}
        for name, value in given.items():
            if value is not None:
                raise ValueError(
                    f'clone_model: `{name}` does not apply to "{model.name}", a model of own code '
                    f"({type(model).__name__}), which is made again by its from_config."
                )
        return again(model)
    if call_function is not None and kind is Sequential:
        raise ValueError("clone_model: `call_function` applies to functional models only.")

    def clone_layer(layer: Any) -> Any:
        if recursive and isinstance(layer, Model) and _constructor_kind(layer) is not None:
            inner = call_function if _constructor_kind(layer) is Functional else None
            return clone_model(layer, None, clone_function, inner, recursive=True)
        return (clone_function or again)(layer)

    if kind is Sequential:
        made = _clone_stack(model, input_tensors, clone_layer)
    else:
        made = _clone_graph(model, input_tensors, clone_layer, call_function or _plain_call)
    bundle.hand_on(model, made)
    return made


def again(layer: Any) -> Any:
    """A layer of the same configuration, with new weights, also in the layers it was made with."""
    if isinstance(layer, GraphModel) and _constructor_kind(layer) is not None:
        return clone_model(layer)
    config = {key: _renewed(value) for key, value in layer.get_config().items()}
    made = type(layer).from_config(config)
    if not layer.trainable and made.trainable:
        made.trainable = False
    return made


def _constructor_kind(model: Any) -> type | None:
    """Sequential or Functional, if the model's class is made as that is; else `None`."""
    for kind in (Sequential, Functional):
        if isinstance(model, kind) and type(model).__init__ is kind.__init__:
            return kind
    return None


def _renewed(value: Any) -> Any:
    """A value of a configuration, with new weights in every layer and module in it."""
    if isinstance(value, Layer):
        return again(value)
    if isinstance(value, nn.ModuleList):
        return [_renewed(item) for item in value]
    if isinstance(value, nn.Module):
        module = copy.deepcopy(value)
        for part in module.modules():
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()
        return module
    return value if isinstance(value, Symbolic) else _renewed_items(value)


def _renewed_items(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _renewed(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_renewed(item) for item in value)
    return value


def _clone_stack(model: Any, input_tensors: Any, clone_layer: Callable[[Any], Any]) -> Any:
    clones: dict[int, Any] = {}
    for layer in model.layers:
        if id(layer) not in clones:
            clones[id(layer)] = clone_layer(layer)
    stack = [clones[id(layer)] for layer in model.layers]
    start = next(iter(symbolic_leaves(input_tensors)), None)
    if start is None and model._placeholder is not None:
        start = _new_input(model._placeholder)
    stack = stack if start is None else [start, *stack]
    return type(model)(stack, trainable=model.trainable, name=model.name)


def _clone_graph(
    model: Any,
    input_tensors: Any,
    clone_layer: Callable[[Any], Any],
    call: Callable[..., Any],
) -> Any:
    values = _starting_values(model, input_tensors)
    clones: dict[int, Any] = {}

    def fill(value: Any) -> Any:
        return values[id(value.node)] if isinstance(value, Symbolic) else value

    for node in model.nodes:
        args, kwargs = map_nested(fill, node.args), map_nested(fill, node.kwargs)
        if isinstance(node.target, nn.Module):
            if id(node.target) not in clones:
                clones[id(node.target)] = clone_layer(node.target)
            values[id(node)] = call(clones[id(node.target)], *args, **kwargs)
        elif is_symbolic(args) or is_symbolic(kwargs):
            # An item of a structure needs no call: the new structure has its items already.
            items = node.name == "getitem" and not isinstance(args[0], Symbolic)
            values[id(node)] = args[0][args[1]] if items else record(node.target, args, kwargs)
        else:
            values[id(node)] = node.target(*args, **kwargs)
    inputs = map_nested(fill, model._input_structure)
    outputs = map_nested(fill, model.output)
    return type(model)(inputs, outputs, name=model.name, trainable=model.trainable)


def _starting_values(model: Any, input_tensors: Any) -> dict[int, Any]:
    starts = model.inputs
    given = list(symbolic_leaves(input_tensors))
    if input_tensors is None:
        given = [_new_input(tensor) for tensor in starts]
    if len(given) != len(starts):
        raise ValueError(
            f'clone_model: "{model.name}" has {len(starts)} inputs, but `input_tensors` holds '
            f"{len(given)} symbolic tensors. Make them with Input(...)."
        )
    return {id(tensor.node): new for tensor, new in zip(starts, given, strict=True)}


def _new_input(tensor: Any) -> Any:
    name = tensor.name if isinstance(tensor.node.target, InputLayer) else None
    return Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=name)


def _plain_call(layer: Any, *args: Any, **kwargs: Any) -> Any:
    return layer(*args, **kwargs)
