"""The trial of a script before it is written: does its network do what the model does?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kerasish.data.arrays import leaves
from kerasish.graph.build import to_fx
from kerasish.graph.expand import expand
from kerasish.layers.base import Layer
from kerasish.models.eject.refusal import refusal
from kerasish.modes import kept_modes

_SEED = 1


def check_network(model: Any, source: str, weights: dict[str, Tensor], scores: list) -> None:
    """Run the script's network beside the model, in training and in evaluation mode.

    Args:
        model: The model.
        source: The whole script; only what it defines is run.
        weights: What the network's `state_dict` is to hold.
        scores: The activations that its outputs come without.

    Raises:
        ValueError: If their outputs differ.
    """
    names: dict[str, Any] = {"__name__": "ejected", "__file__": "ejected.py"}
    exec(compile(source, "<ejected>", "exec"), names)
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with kept_modes(model), torch.no_grad(), torch.random.fork_rng():
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        network = names["Network"]().to(device)
        network.load_state_dict(weights)
        inputs = _sample(model, device)
        for training in (False, True):
            torch.manual_seed(_SEED)
            wanted = list(leaves(_run(model, inputs, training)))
            torch.manual_seed(_SEED)
            outputs = leaves(network.train(training)(*inputs))
            given = [_activated(y, s) for y, s in zip(outputs, scores, strict=True)]
            if added := _added_losses(model):
                raise refusal(f"What {added} adds to the loss", "Leave it out.")
            for buffer, was in zip(model.buffers(), buffers.values(), strict=True):
                buffer.copy_(was)
            if not all(map(_alike, wanted, given)):
                raise _difference(model, training)


def _run(model: Any, inputs: list[Tensor], training: bool) -> Any:
    model.train(training)
    return model.forward(*inputs)


def _added_losses(model: Any) -> str:
    """The name of a layer that has added to the loss, empty where none has."""
    owners = [layer for layer in model.modules() if getattr(layer, "_losses", ())]
    model.clear_losses()
    return f'{type(owners[0]).__name__} "{owners[0].name}"' if owners else ""


def _activated(y: Tensor, scores: str | None) -> Tensor:
    if scores is None:
        return y
    return torch.sigmoid(y) if scores == "sigmoid" else torch.softmax(y, -1)


def _alike(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-3, atol=1e-4, equal_nan=True)


def _sample(model: Any, device: torch.device) -> list[Tensor]:
    """Four rows for each input: noise, or zeros and ones where it takes integers."""
    made = []
    generator = torch.Generator().manual_seed(_SEED)
    for tensor in model.inputs:
        shape = [4, *(8 if size is None else size for size in tensor.shape[1:])]
        if tensor.dtype.is_floating_point:
            made.append(torch.randn(shape, generator=generator, dtype=tensor.dtype))
        else:
            made.append(torch.randint(2, shape, generator=generator).to(tensor.dtype))
    return [sample.to(device) for sample in made]


def _difference(model: Any, training: bool) -> ValueError:
    if training:
        for layer in dict.fromkeys(node.target for node in model.nodes):
            if isinstance(layer, Layer) and _changes_in_training(layer, model):
                return refusal(
                    f'What {type(layer).__name__} "{layer.name}" does in training',
                    "Do it to the data beforehand, leave the layer out, or write the loop around "
                    "model.to_torch().",
                )
    return refusal(
        f'What "{model.name}" computes{" in training" if training else ""}',
        "Please report this model: the script's network was tried, and its outputs differ.",
    )


def _changes_in_training(layer: Layer, model: Any) -> bool:
    """Whether a layer's code makes other calls in training than in evaluation mode."""
    node = next(node for node in model.nodes if node.target is layer)
    inputs: list[Any] = [t for t in leaves([list(node.args)]) if hasattr(t, "node")]
    seen = []
    with kept_modes(layer):
        for training in (False, True):
            layer.train(training)
            try:
                outputs = expand(inputs, node.outputs, lambda m: isinstance(m, Layer))
                graph = to_fx(inputs, outputs, lambda m: str(id(m)), lambda t: "constant")
                seen.append([(n.op, str(n.target)) for n in graph.nodes])
            except Exception:
                return True
    return seen[0] != seen[1]
