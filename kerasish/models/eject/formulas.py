"""Losses and metrics as the torch expressions that compute them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from kerasish import config, losses, metrics
from kerasish.metrics.reduction import LossMean, Mean
from kerasish.models.eject.expressions import function_name, plain_number
from kerasish.models.eject.modules import constructor
from kerasish.models.eject.refusal import refusal

_MEANS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")


def activation_of(loss: Any) -> str | None:
    """The activation that a loss undoes where the output ends with it, to start from the scores."""
    if type(loss) is losses.BinaryCrossentropy:
        return "sigmoid"
    kinds = (losses.SparseCategoricalCrossentropy, losses.CategoricalCrossentropy)
    return "softmax" if type(loss) in kinds else None


def loss_text(loss: Any, p: str, y: str, rank: int, scores: str | None) -> str:
    """The mean loss of a batch as an expression.

    Args:
        loss: A `Loss` of kerasish's.
        p: The expression of the outputs.
        y: The expression of the targets.
        rank: How many axes the outputs have.
        scores: The activation that the outputs come without, or `None`.

    Raises:
        ValueError: If the loss is not one of kerasish's or torch's, or gives no mean.
    """
    if type(loss) is losses.TorchLoss:
        return _torch_loss(loss, p, y)
    _check_settings(loss)
    formula = _FORMULAS.get(type(loss))
    if formula is None or loss.reduction not in _MEANS or loss._dtype is not None:
        raise refusal(f"The loss {loss!r}", "Compile with one of Keras's by its name, or torch's.")
    return formula(loss, p, y, rank, scores)


def _check_settings(part: Any) -> None:
    """Refuse settings that are no numbers: they become source, and may come from a file."""
    for option in getattr(part, "options", ()):
        value = getattr(part, option, None)
        if value is not None and type(part) in (_FORMULAS | _HITS):
            plain_number(value)


def _torch_loss(loss: Any, p: str, y: str) -> str:
    inner = loss.loss
    if loss._has_tensors or not (isinstance(inner, nn.Module) or hasattr(inner, "__name__")):
        raise refusal(f"The loss {loss.name}", "Give it without tensors of its own.")
    name = constructor(inner) if isinstance(inner, nn.Module) else function_name(inner)
    return f"{name}({p}, {y})"


def _sparse(loss: Any, p: str, y: str, rank: int, scores: str | None) -> str:
    by_logits = bool(scores) or loss.from_logits
    if not by_logits:
        p = f"{_probabilities(p, loss.axis)}.log()"
    p = p if loss.axis == 1 or rank == 2 else f"{p}.movedim({loss.axis}, 1)"
    p = p if by_logits or rank < 4 else f"{p}.contiguous()"  # as in the loss
    ignored = "" if loss.ignore_class is None else f", ignore_index={loss.ignore_class}"
    return f"F.{'cross_entropy' if by_logits else 'nll_loss'}({p}, {y}{ignored})"


def _categorical(loss: Any, p: str, y: str, rank: int, scores: str | None) -> str:
    if not (scores or loss.from_logits):
        if loss.label_smoothing:
            raise refusal("`label_smoothing` of probabilities", "End the model with a softmax.")
        return f"-({y} * {_probabilities(p, loss.axis)}.log()).sum({loss.axis}).mean()"
    if loss.axis != 1 and rank > 2:
        p, y = f"{p}.movedim({loss.axis}, 1)", f"{y}.movedim({loss.axis}, 1)"
    smoothing = f", label_smoothing={loss.label_smoothing}" if loss.label_smoothing else ""
    return f"F.cross_entropy({p}, {y}{smoothing})"


def _binary(loss: Any, p: str, y: str, rank: int, scores: str | None) -> str:
    if loss.label_smoothing:
        keep, half = 1.0 - loss.label_smoothing, 0.5 * loss.label_smoothing
        y = f"{keep:.12g} * {y} + {half:.12g}"
    if scores or loss.from_logits:
        return f"F.binary_cross_entropy_with_logits({p}, {y})"
    low = config.epsilon()
    return f"F.binary_cross_entropy({p}.clamp({low}, 1 - {low}), {y})"


def _probabilities(p: str, axis: int) -> str:
    low = config.epsilon()
    if p.startswith("torch.softmax("):  # which makes their sum 1
        return f"{p}.clamp({low}, 1 - {low})"
    return f"({p} / {p}.sum({axis}, keepdim=True)).clamp({low}, 1 - {low})"


def _plain(template: str) -> Callable[..., str]:
    """A formula that is the same for all settings of its loss."""
    return lambda loss, p, y, rank, scores: template.format(p=p, y=y, low=config.epsilon())


_FORMULAS: dict[type, Callable[..., str]] = {
    losses.SparseCategoricalCrossentropy: _sparse,
    losses.CategoricalCrossentropy: _categorical,
    losses.BinaryCrossentropy: _binary,
    losses.MeanSquaredError: _plain("F.mse_loss({p}, {y})"),
    losses.MeanAbsoluteError: _plain("F.l1_loss({p}, {y})"),
    losses.Huber: lambda loss, p, y, *_: (
        f"F.huber_loss({p}, {y}{'' if loss.delta == 1 else f', delta={loss.delta}'})"
    ),
    losses.MeanAbsolutePercentageError: _plain(
        "100 * (({y} - {p}) / {y}.abs().clamp(min={low})).abs().mean()"
    ),
    losses.MeanSquaredLogarithmicError: _plain(
        "F.mse_loss({p}.clamp(min={low}).log1p(), {y}.clamp(min={low}).log1p())"
    ),
    losses.Poisson: _plain("F.poisson_nll_loss({p}, {y}, log_input=False, eps={low})"),
    losses.LogCosh: _plain("({p} - {y} + F.softplus(-2 * ({p} - {y})) - math.log(2)).mean()"),
    losses.KLDivergence: _plain(
        'F.kl_div({p}.clamp({low}, 1).log(), {y}.clamp({low}, 1), reduction="none").sum(-1).mean()'
    ),
    losses.CosineSimilarity: lambda loss, p, y, *_: (
        f"-F.cosine_similarity({p}, {y}, dim={loss.axis}).mean()"
    ),
}


def metric_text(metric: Any, p: str, y: str, rank: int, scores: str | None) -> str:
    """The mean of a metric over a batch as an expression; arguments as for `loss_text`.

    Raises:
        ValueError: If the metric is no mean over batches, or not one of kerasish's.
    """
    kind = type(metric)
    _check_settings(metric)
    if kind in _HITS:
        return f"({_HITS[kind](metric, p, y, scores)}).float().mean()"
    is_ours = kind.__module__.startswith("kerasish.")
    if is_ours and isinstance(metric, LossMean) and kind.result is Mean.result:
        loss = getattr(metric, "loss", None)
        if type(loss) in _FORMULAS and getattr(loss, "ignore_class", None) is None:
            return loss_text(loss, _activated(p, scores), y, rank, None)
    raise refusal(
        f"The metric '{metric.name}'",
        "Compile without it, or with accuracies and losses, which are means over batches.",
    )


def _activated(p: str, scores: str | None) -> str:
    if scores is None:
        return p
    return f"torch.sigmoid({p})" if scores == "sigmoid" else f"torch.softmax({p}, -1)"


def _binary_hits(metric: Any, p: str, y: str, scores: str | None) -> str:
    if scores == "sigmoid" and metric.threshold == 0.5:
        return f"({p} > 0) == {y}"  # where the sigmoid passes 1/2
    return f"({_activated(p, scores)} > {metric.threshold:g}) == {y}"


def _top_k_hits(metric: Any, p: str, y: str) -> str:
    right = f"{p}.gather(-1, {y}.unsqueeze(-1))"
    return f"({p} > {right}).sum(-1) < {metric.k}"


# Softmax and sigmoid keep the order of scores: the largest stays the largest.
_HITS: dict[type, Callable[..., str]] = {
    metrics.SparseCategoricalAccuracy: lambda m, p, y, s: f"{p}.argmax(-1) == {y}",
    metrics.CategoricalAccuracy: lambda m, p, y, s: f"{p}.argmax(-1) == {y}.argmax(-1)",
    metrics.BinaryAccuracy: _binary_hits,
    metrics.Accuracy: lambda m, p, y, s: f"{_activated(p, s)} == {y}",
    metrics.TopKCategoricalAccuracy: lambda m, p, y, s: _top_k_hits(m, p, f"{y}.argmax(-1)"),
    metrics.SparseTopKCategoricalAccuracy: lambda m, p, y, s: _top_k_hits(m, p, y),
}
