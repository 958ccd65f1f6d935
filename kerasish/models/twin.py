"""`to_torch()`: a twin of a model that is made of nothing but `torch.nn`."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn

from kerasish import activations
from kerasish.data.arrays import leaves
from kerasish.graph.expand import expand, expanded_graph
from kerasish.layers.base import Layer
from kerasish.layers.lora import LowRank
from kerasish.layers.normalization.biased import BiasedNorm
from kerasish.models.trial import alike, sample_inputs
from kerasish.modes import evaluating
from kerasish.variables import Variable

# Functions of ours that are a torch function with something added for training.
_PLAIN = {activations.sigmoid: torch.sigmoid, activations.softmax: torch.softmax}


def torch_twin(model: Any) -> fx.GraphModule:
    """Follow every layer's code in evaluation mode, and keep the torch calls it makes.

    Args:
        model: A built Sequential or functional model.

    Returns:
        A `torch.fx.GraphModule` of torch's own modules, with the same `state_dict()` keys and the
        same weights (shared, not copied). `print(twin.code)` shows its forward. A layer that the
        model calls with `training=False` follows the twin's mode.

    Raises:
        TypeError: If a layer's code cannot be followed.
    """
    try:
        with evaluating(model):
            outputs = model._output_structure
            outputs = expand(model.inputs, outputs, lambda m: isinstance(m, Layer), False)
            graph = expanded_graph(model, model.inputs, outputs)
            _refuse_modes(model, graph)
    except Exception as error:
        raise TypeError(
            f'"{model.name}" has a layer whose code cannot be written as torch calls: {error}'
        ) from error
    _use_torch_functions(graph)
    root = _plain_tree(model)
    twin = fx.GraphModule(root, graph, class_name="Twin")
    _try(twin, model)
    twin.train(model.training)
    return twin


def _refuse_modes(model: nn.Module, graph: fx.Graph) -> None:
    """A layer that is still there was called with `training=True`."""
    for node in graph.nodes:
        module = model.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, Layer):
            kind = type(module).__name__
            raise TypeError(
                f'{kind} "{module.name}" is called with training=True, and a module of torch has '
                "its own mode. Call it without, and put the twin into training mode."
            )


def _try(twin: nn.Module, model: Any) -> None:
    """See on a few rows that the twin gives what the model gives."""
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    if device.type == "meta":
        return
    with (
        torch.no_grad(),
        torch.random.fork_rng(range(torch.cuda.device_count())),
        evaluating(model),
    ):
        inputs = sample_inputs(model, device)
        try:
            wanted = leaves(model.forward(*inputs))
        except Exception:  # these rows are not to its taste: nothing is known then
            return
        given = leaves(twin.eval()(*inputs))
    if not all(alike(a, b) for a, b in zip(wanted, given, strict=True)):
        raise TypeError(
            f'"{model.name}" has a layer whose code cannot be written as torch calls: what it '
            "would become gives other numbers. Code that depends on values, or loops over an axis "
            "of unknown size, cannot be followed."
        )


def _use_torch_functions(graph: fx.Graph) -> None:
    for node in graph.nodes:
        if node.op == "call_function" and node.target in _PLAIN:
            axis = node.kwargs.get("axis", -1)
            softmax = node.target is activations.softmax
            node.target = _PLAIN[node.target]
            node.kwargs = {"dim": axis} if softmax else {}
    graph.lint()


def _plain_tree(module: nn.Module) -> nn.Module:
    """The same tree with plain `nn.Module` holders in the place of layers, sharing all tensors."""
    if isinstance(module, (BiasedNorm, LowRank)):
        return module.to_torch()
    if not isinstance(module, Layer):
        return module
    holder = nn.Module()
    holder._parameters = {key: _plain(t) for key, t in module._parameters.items()}
    holder._buffers = {key: _plain(t) for key, t in module._buffers.items()}
    holder._non_persistent_buffers_set = set(module._non_persistent_buffers_set)
    for name, child in module._modules.items():
        holder._modules[name] = None if child is None else _plain_tree(child)
    return holder


def _plain(tensor: Any) -> Any:
    """A variable as torch's own kind of tensor, in the same memory; others as they are."""
    if type(tensor) is not Variable:
        return tensor
    values = tensor.detach()
    is_parameter = isinstance(tensor, nn.Parameter)
    return nn.Parameter(values, tensor.requires_grad) if is_parameter else values
