"""Do the outputs go with the loss: last activation against logits, probabilities and targets."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from kerasish import losses
from kerasish.data.arrays import leaves
from kerasish.training.loss_kinds import (
    class_axis,
    kind_of_loss,
    takes_logits,
    takes_probabilities,
)
from kerasish.training.preflight.probe import first_nan, first_rows, unchanged
from kerasish.training.preflight.subject import Subject, span

_LAST = {
    "AddmmBackward0": "linear",
    "MmBackward0": "linear",
    "BmmBackward0": "linear",
    "BaddbmmBackward0": "linear",
    "ConvolutionBackward0": "linear",
    "SoftmaxBackward0": "softmax",
    "LogSoftmaxBackward0": "log_softmax",
    "SigmoidBackward0": "sigmoid",
    "LogSigmoidBackward0": "log_sigmoid",
    "HardsigmoidBackward0": "hard_sigmoid",
    "TanhBackward0": "tanh",
    "HardtanhBackward0": "hard_tanh",
    "ReluBackward0": "relu",
    "SoftplusBackward0": "softplus",
    "ExpBackward0": "exponential",
}
# Steps of a history that move numbers about without changing them.
_MOVES = ("View", "UnsafeView", "Reshape", "Squeeze", "Unsqueeze", "ToCopy", "Clone", "Alias")
_MOVES += ("Transpose", "Permute", "TBackward")
# What an activation can give, from and to.
_RANGES = {
    "softmax": (0.0, 1.0),
    "sigmoid": (0.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "relu": (0.0, math.inf),
    "softplus": (0.0, math.inf),
    "exponential": (0.0, math.inf),
}
_NEVER_NEGATIVE = ("relu", "softplus", "exponential")
_NO_PROBABILITIES = ("linear", "tanh", "relu", "log_softmax", "log_sigmoid")


def last_activation(prediction: Tensor) -> str | None:
    """The name of the function that made an output, read off its history; `None` if unknown.

    Example:
        >>> last_activation(torch.zeros(2, 3, requires_grad=True).softmax(-1))
        'softmax'
    """
    node = _maker(prediction)
    if node is None:
        return None
    name = _LAST.get(node.name())
    if name == "hard_tanh" and node._saved_min_val == 0:
        return "relu"  # ReLU6, and ReLU with a largest value
    return name


def _maker(prediction: Tensor) -> Any:
    node: Any = prediction.grad_fn
    while node is not None and node.name().startswith(_MOVES):
        node = node.next_functions[0][0] if node.next_functions else None
    return node


def _is_over_one(prediction: Tensor) -> bool:
    """Whether the softmax that made an output is over an axis with one place."""
    node = _maker(prediction)
    result, axis = node._saved_result, node._saved_dim
    axis -= (axis >= 1 << 63) << 64  # negative ones are shown without their sign
    return result.dim() > 0 and result.shape[axis] == 1


def check_outputs(subject: Subject) -> None:
    """Advise where the last activation does not go with the loss or the targets.

    Raises:
        ValueError: If an output is NaN already.
    """
    for output, prediction, y in subject.outputs():
        if not prediction.is_floating_point():
            continue
        # Infinite logits may be meant: they rule classes out.
        if bool(torch.isnan(prediction).any()):
            culprit = first_nan(subject.plan, subject.feed)
            where = "in the model" if culprit is None else f"in {culprit}, the first to give NaN"
            raise ValueError(
                f"K126: fit: the output '{output.name}' is already NaN before training. Look for "
                f"weights that are not finite, logarithms, roots and divisions {where}."
            )
        last = last_activation(prediction)
        if last == "softmax" and _is_over_one(prediction):
            raise ValueError(
                f"K138: fit: the output '{output.name}' ends in a softmax over a single unit: it "
                "is always 1. Use sigmoid for two classes, one unit for each of several classes, "
                "or no activation for numbers."
            )
        _check_activation(subject, output, prediction, last)
        if kind_of_loss(output.loss) == "regression":
            _check_reach(subject, output.name, prediction, last, y)


def _check_activation(subject: Subject, output: Any, prediction: Tensor, last: str | None) -> None:
    loss, name, report = output.loss, output.name, subject.report
    kind, units = kind_of_loss(loss), prediction.shape[-1] if prediction.dim() > 1 else 1
    if kind == "log_probabilities":
        if span(prediction)[1] > 1e-3:
            report.advise(
                "K106",
                f"the loss '{loss.name}' expects logarithms of probabilities, but the output "
                f"'{name}' has positive values. End the model with activation=\"log_softmax\".",
            )
    elif takes_logits(loss):
        if last in ("softmax", "sigmoid") or _sums_to_one(prediction, class_axis(loss)):
            report.advise(
                "K101",
                f"the output '{name}' gives probabilities, but the loss '{loss.name}' expects "
                f"logits. Remove the {last or 'softmax'} from the last layer, or use a loss with "
                "from_logits=False.",
            )
        elif last in _NEVER_NEGATIVE:
            report.advise(
                "K107",
                f"the output '{name}' ends in {last}, so the logits that the loss '{loss.name}' "
                "expects are never negative. Remove that activation from the last layer.",
            )
    elif kind == "binary" and last == "softmax" and units > 1:
        report.advise(
            "K103",
            f"the output '{name}' is a softmax over {units} classes, but the loss '{loss.name}' "
            "takes each unit as a yes/no question of its own. Use a categorical cross-entropy, or "
            "end the model with a sigmoid.",
        )
    elif kind in ("sparse", "categorical") and last == "sigmoid":
        report.advise(
            "K104",
            f"the output '{name}' ends in sigmoid, so its {units} classes do not compete, but the "
            f"loss '{loss.name}' takes them for one choice. End the model with softmax, or use "
            'loss="binary_crossentropy" where several classes may apply.',
        )
    elif takes_probabilities(loss) and last not in ("softmax", "sigmoid"):
        if _sums_to_one(prediction, class_axis(loss)):
            return  # such as probabilities weighted by others, in a mixture of experts
        low, high = span(prediction)
        if low < 0 or high > 1 or last in _NO_PROBABILITIES:
            wanted = "sigmoid" if kind == "binary" else "softmax"
            cause = f"ends in {last}" if last in ("tanh", "relu") else "gives other numbers"
            report.advise(
                "K102",
                f"the loss '{loss.name}' expects probabilities, but the output '{name}' {cause}. "
                f'End the model with activation="{wanted}", or use from_logits=True.',
            )


def _sums_to_one(prediction: Tensor, axis: int) -> bool:
    if prediction.dim() < 2 or prediction.shape[axis] < 2:
        return False
    sums = prediction.detach().float().sum(axis)
    inside = bool((prediction >= 0).all())
    return inside and torch.allclose(sums, torch.ones_like(sums), atol=1e-4)


def _check_reach(
    subject: Subject, name: str, prediction: Tensor, last: str | None, y: Tensor
) -> None:
    """Whether the last activation can give the targets at all."""
    if last == "hard_tanh":
        node = _maker(prediction)
        low, high = float(node._saved_min_val), float(node._saved_max_val)
    elif last in _RANGES:
        low, high = _RANGES[last]
    else:
        return
    least, most = span(y)
    slack = 1e-3 * max(1.0, most - least)
    if last in _NEVER_NEGATIVE and least < -slack:
        subject.report.advise(
            "K108",
            f"the output '{name}' ends in {last} and is never negative, but its targets go down to "
            f"{least:.4g}. Remove that activation from the last layer.",
        )
    elif least < low - slack or most > high + slack:
        subject.report.advise(
            "K109",
            f"the output '{name}' ends in {last} and stays within [{low:g}, {high:g}], but its "
            f"targets lie in [{least:.4g}, {most:.4g}]. Remove that activation, or scale the "
            "targets.",
        )


def check_losses(subject: Subject) -> None:
    """Try each loss on the first rows: is it finite, do functions of the user's broadcast."""
    _, y, _ = first_rows(subject.plan.model, subject.feed)
    if subject.plan.has_masks or y is None:
        return
    with unchanged(subject.plan):
        for output, prediction, _ in subject.outputs():
            index = subject.objective.outputs.index(output)
            _try_loss(subject, output, prediction, subject.objective.flat(y)[index])


def _try_loss(subject: Subject, output: Any, prediction: Tensor, y: Tensor) -> None:
    is_own_code = not type(output.loss).__module__.startswith("kerasish.") or isinstance(
        output.loss, losses.LossFunctionWrapper
    )
    differences = Differences()
    try:
        if is_own_code:
            with differences:
                loss = output.loss(y, prediction)
        else:
            loss = output.loss(y, prediction.detach() if not _remembers(prediction) else prediction)
    except Exception:
        return  # the first step will tell; a loss may need more rows than these
    if differences.found is not None and len(prediction) > 1:
        shapes = " and ".join(str((None, *shape[1:])) for shape in differences.found)
        subject.report.advise(
            "K116",
            f"the loss '{output.loss.name}' of output '{output.name}' subtracts tensors of shapes "
            f"{shapes}, which broadcast: rows are compared with what is not theirs. Reshape the "
            "targets, or change the model's last layer.",
        )
    if isinstance(loss, Tensor) and not bool(torch.isfinite(loss).all()):
        subject.report.advise(
            "K127",
            f"the loss '{output.loss.name}' of output '{output.name}' is {float(loss.sum()):g} for "
            "the first rows, before any training. Look for logarithms of numbers that are not "
            "positive, and divisions by 0.",
        )


def _remembers(prediction: Tensor) -> bool:
    return hasattr(prediction, "_logits")


_SUBTRACTIONS = {torch.sub, torch.subtract, Tensor.sub, Tensor.__sub__, Tensor.__rsub__}


class Differences(torch.overrides.TorchFunctionMode):
    """While active, notes a subtraction of outputs and targets whose shapes differ."""

    def __init__(self) -> None:
        super().__init__()
        self.found: tuple[tuple[int, ...], tuple[int, ...]] | None = None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Note the shapes; change nothing."""
        result = func(*args, **(kwargs or {}))
        if func in _SUBTRACTIONS and self.found is None:
            tensors = list(leaves(args)) if len(args) == 2 else []
            if all(isinstance(t, Tensor) for t in tensors) and len(tensors) == 2:
                self._note(*tensors)
        return result

    def _note(self, a: Tensor, b: Tensor) -> None:
        # Only outputs carry a history; both count rows along their first axis. With equal ranks
        # that axis stays the first, as where several quantiles or components meet one target.
        mixed = a.requires_grad != b.requires_grad
        if mixed and a.dim() and b.dim() and a.dim() != b.dim() and len(a) == len(b):
            self.found = tuple(a.shape), tuple(b.shape)
