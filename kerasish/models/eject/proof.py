"""The trial of a script before it is written: does its network do what the model does?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kerasish.data.arrays import leaves
from kerasish.models.eject.refusal import refusal
from kerasish.models.trial import alike, sample_inputs
from kerasish.modes import kept_modes

_SEED = 1
_UNFOLLOWED = (
    "A layer's code cannot be followed call by call, as that of resizing and of recurrent layers "
    "that step through time in Python: write the loop around the model's own layers instead."
)


def check_network(model: Any, source: str, weights: dict[str, Tensor], scores: list) -> None:
    """Run the script's network beside the model, in training and in evaluation mode.

    Args:
        model: The model.
        source: The whole script; only what it defines is run.
        weights: What the network's `state_dict` is to hold.
        scores: The activations that its outputs come without.

    Raises:
        ValueError: If their outputs differ, or a layer adds to the loss.
    """
    with (
        kept_modes(model),
        torch.no_grad(),
        torch.random.fork_rng(range(torch.cuda.device_count())),
    ):
        trial = _Trial(model, source, weights, scores)
        model.eval()
        if not trial.agrees(training=False):
            raise refusal(f'What "{model.name}" computes', _UNFOLLOWED)
        model.train()
        if trial.agrees(training=True):
            return
        # The network leaves out what a layer does in training alone: without that, the two agree.
        for layer in model.sublayers():
            layer.eval()
            if trial.agrees(training=True):
                raise refusal(
                    f'What {type(layer).__name__} "{layer.name}" does in training',
                    "Do it to the data beforehand, leave the layer out, or write the loop around "
                    "model.to_torch().",
                )
        raise refusal(f'What "{model.name}" computes in training', _UNFOLLOWED)


class _Trial:
    """A model and the network of its script, with rows to compare them by."""

    def __init__(self, model: Any, source: str, weights: dict[str, Tensor], scores: list) -> None:
        self.model, self.scores = model, scores
        self.buffers = [buffer.clone() for buffer in model.buffers()]
        names: dict[str, Any] = {"__name__": "ejected", "__file__": "ejected.py"}
        exec(compile(source, "<ejected>", "exec"), names)
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        self.network = names["Network"]().to(device)
        self.weights = weights
        self.inputs = sample_inputs(model, device)

    def agrees(self, *, training: bool) -> bool:
        """Whether the model in its present mode and the network give the same."""
        torch.manual_seed(_SEED)
        wanted = leaves(self.model.forward(*self.inputs))
        added = _added_losses(self.model)
        if added:
            raise refusal(f"What {added} adds to the loss", "Leave it out.")
        for buffer, was in zip(self.model.buffers(), self.buffers, strict=True):
            buffer.copy_(was)
        self.network.load_state_dict(self.weights)
        torch.manual_seed(_SEED)
        given = leaves(self.network.train(training)(*self.inputs))
        pairs = zip(wanted, given, self.scores, strict=True)
        return all(alike(a, _activated(b, activation)) for a, b, activation in pairs)


def _added_losses(model: Any) -> str:
    """The name of a layer that has added to the loss, empty where none has."""
    owners = [layer for layer in model.modules() if getattr(layer, "_losses", ())]
    model.clear_losses()
    return f'{type(owners[0]).__name__} "{owners[0].name}"' if owners else ""


def _activated(y: Tensor, activation: str | None) -> Tensor:
    if activation is None:
        return y
    return torch.sigmoid(y) if activation == "sigmoid" else torch.softmax(y, -1)
