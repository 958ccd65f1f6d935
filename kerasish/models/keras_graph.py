"""Functional models as Keras writes them down: their calls, made again on our layers."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

from kerasish.describe import describe
from kerasish.graph.symbolic import symbolic_leaves
from kerasish.keras_words import is_of_keras, layer_name
from kerasish.layers.base import Layer
from kerasish.layers.core import InputLayer
from kerasish.layers.naming import snake_case
from kerasish.registry import deserialize

Key = tuple[str, int]  # a layer's name, and which of its calls


def is_keras_graph(config: dict[str, Any]) -> bool:
    """Whether Keras wrote this configuration of a functional model."""
    return config.keys() >= {"layers", "input_layers", "output_layers"}


def graph_from_keras(config: dict[str, Any], custom_objects: dict | None = None) -> tuple[Any, Any]:
    """Make the layers and repeat their calls.

    Returns:
        The structures of symbolic inputs and outputs.

    Raises:
        ValueError: If a layer or operation is unknown, or a call needs what no other gives.
    """
    entries = {_name(entry): entry for entry in config["layers"]}
    made = {name: _made(entry, name, custom_objects) for name, entry in entries.items()}
    starts = {name: _start(entry) for name, entry in entries.items()}
    results: dict[Key, list[Any]] = {}
    waiting: list[tuple[Key, dict[str, Any]]] = []
    for name, entry in entries.items():
        if isinstance(made[name], InputLayer):
            results[name, 0] = [made[name].output]  # type: ignore[attr-defined]
        calls = (_call(node, starts) for node in entry["inbound_nodes"])
        waiting += [((name, i), node) for i, node in enumerate(calls)]
    while waiting:
        # Keras lists layers, not calls: one that is used twice may come before what it is used on.
        ready = [(key, node) for key, node in waiting if _needed(node) <= results.keys()]
        if not ready:
            raise ValueError(
                f"The model's calls cannot be ordered: '{waiting[0][0][0]}' needs a result that no "
                "layer gives. Is the file complete?"
            )
        for key, node in ready:
            args, kwargs = (_filled(node[k], results, custom_objects) for k in ("args", "kwargs"))
            # Keras writes down a mode, be it a default, and goes by the model's all the same.
            kwargs = {k: v for k, v in kwargs.items() if v is not None and k != "training"}
            results[key] = list(symbolic_leaves(made[key[0]](*args, **kwargs)))
        waiting = [(key, node) for key, node in waiting if key not in results]
    ends = (_shifted(config[key], starts) for key in ("input_layers", "output_layers"))
    return tuple(_result(end, results) for end in ends)  # type: ignore[return-value]


def _name(entry: dict[str, Any]) -> str:
    return entry.get("name") or entry["config"]["name"]


def _start(entry: dict[str, Any]) -> int:
    """The number of a layer's first call where Keras counts the call that made a model as one."""
    layers = entry["config"].get("layers") or [{}]
    is_stack = entry["class_name"] == "Sequential" and layers[0].get("class_name") == "InputLayer"
    is_old = any(isinstance(node, list) for node in entry["inbound_nodes"])
    return int(is_keras_graph(entry["config"]) or (is_stack and is_old))


def _shifted(place: Any, starts: dict[str, int]) -> Any:
    """A structure of places whose calls are counted from 0."""
    if isinstance(place, dict):
        return {key: _shifted(item, starts) for key, item in place.items()}
    if _is_place(place):
        return [place[0], max(0, place[1] - starts.get(place[0], 0)), place[2]]
    return [_shifted(item, starts) for item in place]


def _call(node: Any, starts: dict[str, int]) -> dict[str, Any]:
    """A call as Keras 3 writes it; Keras 2 wrote a list of `[layer, call, number, arguments]`."""
    if isinstance(node, dict):
        return node
    found = [_shifted(place[:3], starts) for place in node]
    places = [{"class_name": "__keras_tensor__", "config": {"keras_history": at}} for at in found]
    kwargs = node[-1][3] if len(node[-1]) > 3 else {}
    return {"args": places if len(places) == 1 else [places], "kwargs": kwargs}


def _made(entry: dict[str, Any], name: str, custom_objects: dict | None) -> Callable:
    module = entry.get("module") or ""
    if is_of_keras(entry) and ".ops" in module:
        return _operation(entry)
    layer = deserialize(entry, custom_objects)
    if not isinstance(layer, Layer):
        raise ValueError(f"The file is damaged: '{name}' is no layer but {describe(layer)}.")
    layer.name = layer_name(name)
    return layer


def _operation(entry: dict[str, Any]) -> Callable:
    """The function of `kerasish.ops` that does what one of Keras's operation classes does."""
    from kerasish import ops

    kind = entry["class_name"]
    settings = {key: value for key, value in entry["config"].items() if key != "name"}
    if kind == "GetItem":
        return lambda x, key: operator.getitem(x, tuple(key) if isinstance(key, list) else key)
    function = getattr(ops, snake_case(kind), None)
    if function is None or snake_case(kind) not in ops.__all__:
        raise ValueError(
            f"The model uses Keras's operation {kind}, which kerasish.ops has under no such name. "
            "Build this model in code."
        )
    if kind == "Einsum":
        subscripts = settings.pop("subscripts")
        return lambda *operands: function(subscripts, *operands, **settings)
    return lambda *args, **kwargs: function(*args, **{**settings, **kwargs})


def _is_tensor(value: Any) -> bool:
    return isinstance(value, dict) and value.get("class_name") == "__keras_tensor__"


def _needed(value: Any) -> set[Key]:
    """The calls whose results a call's arguments name."""
    if _is_tensor(value):
        name, call, _ = value["config"]["keras_history"]
        return {(name, call)}
    items = value.values() if isinstance(value, dict) else value
    inside: Iterator[set[Key]] = (
        (_needed(item) for item in items) if isinstance(value, (dict, list)) else iter(())
    )
    return set().union(*inside)


def _filled(value: Any, results: dict[Key, list[Any]], custom_objects: dict | None) -> Any:
    """A call's arguments, with results in the places of their names."""
    if _is_tensor(value):
        return _result(value["config"]["keras_history"], results)
    if isinstance(value, list):
        return [_filled(item, results, custom_objects) for item in value]
    if isinstance(value, dict) and "class_name" not in value:
        return {key: _filled(item, results, custom_objects) for key, item in value.items()}
    return deserialize(value, custom_objects)


def _result(place: Any, results: dict[Key, list[Any]]) -> Any:
    """What stands at `[name, call, number]`, or in a structure of such places."""
    if isinstance(place, dict):
        return {key: _result(item, results) for key, item in place.items()}
    if not _is_place(place):
        return [_result(item, results) for item in place]
    name, call, number = place
    if len(results.get((name, call), ())) <= number:
        raise ValueError(
            f"The file is damaged: there is no result {number} of call {call} of '{name}'."
        )
    return results[name, call][number]


def _is_place(value: Any) -> bool:
    return len(value) == 3 and isinstance(value[0], str) and isinstance(value[1], int)
