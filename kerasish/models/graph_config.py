"""A graph of recorded calls as plain data, and back; it names layers and torch functions only."""

from __future__ import annotations

from typing import Any

from torch import nn

from kerasish.graph.build import nodes_between
from kerasish.graph.symbolic import Symbolic, map_nested, record
from kerasish.layers.core import Input
from kerasish.registry import deserialize


def graph_to_config(model: Any) -> dict[str, Any]:
    """Describe a graph model: its layers, its calls in order, its inputs and outputs."""
    inputs = model.inputs
    calls = nodes_between(inputs, model._output_structure)
    numbers = {id(tensor.node): index for index, tensor in enumerate(inputs)}
    numbers |= {id(node): index for index, node in enumerate(calls, start=len(inputs))}

    def refer(value: Any) -> Any:
        return _Reference(numbers[id(value.node)]) if isinstance(value, Symbolic) else value

    layers: dict[str, Any] = {}
    nodes = []
    for node in calls:
        if isinstance(node.target, nn.Module):
            name = str(node.target.name)
            target, layers[name] = {"layer": name}, node.target
        elif node.target is getattr:
            target = {"attribute": node.args[1]}
        else:
            target = {"function": node.target}
        args, kwargs = map_nested(refer, (node.args, node.kwargs))
        nodes.append({"target": target, "args": args, "kwargs": kwargs})
    return {
        "inputs": [{"batch_shape": t.shape, "dtype": t.dtype, "name": t.name} for t in inputs],
        "layers": list(layers.values()),
        "nodes": nodes,
        "input_structure": map_nested(refer, model._input_structure),
        "output_structure": map_nested(refer, model.output),
    }


def graph_from_config(
    config: dict[str, Any], custom_objects: dict | None = None
) -> tuple[Any, Any]:
    """Make layers and record the calls again.

    Returns:
        The structures of symbolic inputs and outputs.
    """

    def restore(value: Any) -> Any:
        return deserialize(value, {**(custom_objects or {}), "_Reference": _Reference})

    layers = dict(zip(_layer_names(config), restore(config["layers"]), strict=True))
    for name, layer in layers.items():
        layer.name = name  # which the constructor of a layer of one's own may not take
    values: list[Any] = [Input(**restore(item)) for item in config["inputs"]]

    def fill(value: Any) -> Any:
        return values[value.number] if isinstance(value, _Reference) else value

    for node in config["nodes"]:
        args = map_nested(fill, restore(node["args"]))
        kwargs = map_nested(fill, restore(node["kwargs"]))
        target = restore(node["target"])
        if "layer" in target:
            values.append(layers[target["layer"]](*args, **kwargs))
        elif "attribute" in target:
            if args[1].startswith("_"):
                raise ValueError(f"The file names the attribute '{args[1]}', which is private.")
            values.append(record(getattr, args, kwargs))
        else:
            values.append(record(target["function"], args, kwargs))
    inputs = map_nested(fill, restore(config["input_structure"]))
    return inputs, map_nested(fill, restore(config["output_structure"]))


def _layer_names(config: dict[str, Any]) -> list[str]:
    """The names of the layers in the order in which they are listed: that of their first calls."""
    names = [node["target"].get("layer") for node in config["nodes"]]
    return [name for name in dict.fromkeys(names) if name is not None]


class _Reference:
    """The result of a call, by its number."""

    def __init__(self, number: int) -> None:
        self.number = number

    def get_config(self) -> dict[str, int]:
        """The number."""
        return {"number": self.number}
