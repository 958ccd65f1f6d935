"""A few rows through model, loss and metrics before training starts, looking for known mistakes.

Nothing is changed by it: random state, buffers and modes are as before.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from kerasish.data.arrays import leaves, map_leaves
from kerasish.data.feed import Feed
from kerasish.training.objective import Objective
from kerasish.training.step import StepPlan

# Enough rows to see shapes, types and the range of values.
_ROWS = 8


class AdviceWarning(UserWarning):
    """Advice about a setup that would train poorly; each message begins with its code.

    Switch one off with `warnings.filterwarnings("ignore", message="K102")`.
    """


def advise(code: str, message: str) -> None:
    """Give advice once per place; `code` begins the message."""
    warnings.warn(f"{code}: {message}", AdviceWarning, stacklevel=4)


def probe(plan: StepPlan, feed: Feed) -> tuple[Any, Any]:
    """Run a few rows through the model in evaluation mode.

    Returns:
        Their outputs, and their targets as the feed gives them.

    Raises:
        Exception: What the model raises on such rows.
    """
    x, y, _ = feed.peek()
    model = plan.model
    fixed = getattr(model, "_input_list", None)
    if not (fixed and fixed[0].shape[0] is not None):
        x, y = (map_leaves(lambda t: t[:_ROWS], value) for value in (x, y))
    devices = [plan.device] if plan.device.type == "cuda" else []
    modes = [(module, module.training) for module in model.modules()]
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        model.eval()
        try:
            y_pred, _ = plan.run_model(x)
        finally:
            for module, mode in modes:
                module.training = mode
    model.clear_losses()
    return y_pred, y


def check_before_training(model: nn.Module, objective: Objective, y_pred: Any) -> None:
    """Look for mistakes that training would not report by itself.

    Raises:
        ValueError: If nothing can be trained, or an output is not finite from the start.
    """
    if not any(p.requires_grad for p in model.parameters()):
        frozen = "every parameter is frozen" if any(True for _ in model.parameters()) else ""
        raise ValueError(
            f"fit: there is nothing to train: {frozen or 'the model has no parameters'}. "
            "Set trainable = True on what should learn."
        )
    for output, prediction in zip(objective.outputs, leaves(y_pred), strict=True):
        if output.loss is None or not prediction.is_floating_point():
            continue
        _check_finite(output.name, prediction)
        if getattr(output.loss, "from_logits", None) is False:
            _check_probabilities(output, prediction)
        elif _takes_logits(output.loss) and _looks_like_probabilities(prediction):
            advise(
                "K101",
                f"the outputs '{output.name}' look like probabilities (they sum to 1), but the loss "
                f"'{output.loss.name}' expects logits. Remove the softmax from the last layer, or "
                "use from_logits=False.",
            )


def _check_finite(name: str, prediction: Tensor) -> None:
    if not bool(torch.isfinite(prediction).all()):
        raise ValueError(
            f"fit: the output '{name}' is already NaN or infinite before training. Look for NaN or "
            "very large values in x (scale it), and for weights that are not finite."
        )


def _takes_logits(loss: Any) -> bool:
    inner = getattr(loss, "loss", None)
    return getattr(loss, "from_logits", False) is True or isinstance(inner, nn.CrossEntropyLoss)


def _looks_like_probabilities(prediction: Tensor) -> bool:
    if prediction.dim() < 2 or prediction.shape[-1] < 2:
        return False
    sums = prediction.float().sum(-1)
    return bool((prediction >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-4)


def _check_probabilities(output: Any, prediction: Tensor) -> None:
    if "rossentropy" not in type(output.loss).__name__ and "ocal" not in type(output.loss).__name__:
        return
    if bool(((prediction < 0) | (prediction > 1)).any()):
        last = "sigmoid" if prediction.shape[-1] == 1 else "softmax"
        advise(
            "K102",
            f"the loss '{output.loss.name}' expects probabilities, but the output "
            f"'{output.name}' has values outside [0, 1]. Use from_logits=True, or end the model "
            f'with activation="{last}".',
        )
    elif prediction.dim() > 1 and "Binary" not in type(output.loss).__name__:
        if prediction.shape[-1] == 1:
            raise ValueError(
                f"fit: the loss '{output.loss.name}' compares several classes, but the output "
                f"'{output.name}' has one unit, which always gives 0. Use "
                'loss="binary_crossentropy", or one unit for each class.'
            )


def check_split(y_train: Any, y_validation: Any) -> None:
    """Warn when the tail that was split off lacks a class that training has."""
    if not (isinstance(y_train, Tensor) and isinstance(y_validation, Tensor)):
        return
    if y_train.is_floating_point() or y_train.dim() > 2:
        return
    seen, held = set(y_train.unique().tolist()), set(y_validation.unique().tolist())
    if len(seen) > 1000:
        return
    missing, new = sorted(seen - held), sorted(held - seen)
    if missing or new:
        where = "validation lacks" if missing else "training lacks"
        advise(
            "K103",
            f"validation_split takes the last rows, and {where} the classes "
            f"{(missing or new)[:8]}: the rows seem to be sorted. Shuffle x and y first, or pass "
            "validation_data.",
        )
