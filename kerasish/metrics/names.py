"""What a metric may be called: names, aliases, configs, functions and foreign metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kerasish import losses, registry
from kerasish.losses.base import snake_case
from kerasish.losses.names import NAMES as LOSSES
from kerasish.losses.names import target_kind
from kerasish.metrics import (
    accuracy,
    confusion,
    correlation,
    curves,
    fscore,
    iou,
    probabilistic,
    reduction,
    regression,
)
from kerasish.metrics.base import Metric
from kerasish.metrics.foreign import TorchMetric, speaks_torchmetrics, wrap

_CLASSES: tuple[type[Metric], ...] = (
    accuracy.Accuracy,
    accuracy.BinaryAccuracy,
    accuracy.CategoricalAccuracy,
    accuracy.SparseCategoricalAccuracy,
    accuracy.SparseTopKCategoricalAccuracy,
    accuracy.TopKCategoricalAccuracy,
    confusion.FalseNegatives,
    confusion.FalsePositives,
    confusion.Precision,
    confusion.Recall,
    confusion.TrueNegatives,
    confusion.TruePositives,
    correlation.ConcordanceCorrelation,
    correlation.PearsonCorrelation,
    curves.AUC,
    curves.PrecisionAtRecall,
    curves.RecallAtPrecision,
    curves.SensitivityAtSpecificity,
    curves.SpecificityAtSensitivity,
    fscore.F1Score,
    fscore.FBetaScore,
    iou.BinaryIoU,
    iou.IoU,
    iou.MeanIoU,
    iou.OneHotIoU,
    iou.OneHotMeanIoU,
    probabilistic.BinaryCrossentropy,
    probabilistic.CategoricalCrossentropy,
    probabilistic.CategoricalHinge,
    probabilistic.Hinge,
    probabilistic.KLDivergence,
    probabilistic.Poisson,
    probabilistic.SparseCategoricalCrossentropy,
    probabilistic.SquaredHinge,
    reduction.Mean,
    reduction.MeanMetricWrapper,
    reduction.Sum,
    regression.CosineSimilarity,
    regression.LogCoshError,
    regression.MeanAbsoluteError,
    regression.MeanAbsolutePercentageError,
    regression.MeanSquaredError,
    regression.MeanSquaredLogarithmicError,
    regression.R2Score,
    regression.RootMeanSquaredError,
)

_ALIASES: dict[str, type[Metric]] = {
    "bce": probabilistic.BinaryCrossentropy,
    "kld": probabilistic.KLDivergence,
    "mae": regression.MeanAbsoluteError,
    "mape": regression.MeanAbsolutePercentageError,
    "mse": regression.MeanSquaredError,
    "msle": regression.MeanSquaredLogarithmicError,
    "rmse": regression.RootMeanSquaredError,
}

NAMES: dict[str, type[Metric]] = (
    {snake_case(metric.__name__): metric for metric in _CLASSES}
    | {metric.__name__: metric for metric in _CLASSES}
    | _ALIASES
    | {alias.upper(): metric for alias, metric in _ALIASES.items()}
    | {
        "cosine": regression.CosineSimilarity,
        "log_cosh": regression.LogCoshError,
        "logcosh": regression.LogCoshError,
    }
)

_ACCURACIES: dict[str, type[Metric]] = {
    "binary": accuracy.BinaryAccuracy,
    "sparse": accuracy.SparseCategoricalAccuracy,
    "categorical": accuracy.CategoricalAccuracy,
}
_CROSSENTROPIES: dict[str, type[Metric]] = {
    "binary": probabilistic.BinaryCrossentropy,
    "sparse": probabilistic.SparseCategoricalCrossentropy,
    "categorical": probabilistic.CategoricalCrossentropy,
}


def get(identifier: Any) -> Metric | None:
    """Find the metric that a user means.

    Args:
        identifier: A name or alias (`"mse"`), a config, a `Metric` class or instance, a loss, a
            function `fn(y_true, y_pred)`, or an object of torchmetrics. `None` gives `None`.

    Returns:
        A `Metric`; whatever is none is wrapped in one.

    Raises:
        ValueError: If the name is unknown.
        TypeError: If the identifier is nothing that can be a metric.

    Example:
        >>> get("mse").name
        'mean_squared_error'
    """
    if speaks_torchmetrics(identifier):
        return TorchMetric(identifier)
    if isinstance(identifier, str) and identifier not in NAMES and identifier in LOSSES:
        return reduction.LossMean(LOSSES[identifier]())
    found = registry.resolve(identifier, NAMES, "metric")
    if found is None or isinstance(found, Metric):
        return found
    if speaks_torchmetrics(found):
        return TorchMetric(found)
    if isinstance(found, losses.Loss):
        return reduction.LossMean(found)
    return wrap(found)


def resolve_accuracy(
    name: str,
    y_true_shape: Sequence[int],
    y_pred_shape: Sequence[int],
    *,
    from_logits: bool = False,
) -> Metric:
    """Find what `"accuracy"`, `"acc"`, `"crossentropy"` or `"ce"` means for these shapes.

    One output is binary; class indices, of lower rank or with a last axis of 1, are sparse.
    Any other name is looked up as it is. The metric's name in logs is the one given.

    Args:
        name: What the user wrote.
        y_true_shape: The shape of a batch of targets.
        y_pred_shape: The shape of a batch of predictions.
        from_logits: Whether the predictions are logits; binary accuracy then asks for more than 0.

    Example:
        >>> type(resolve_accuracy("acc", (32,), (32, 10))).__name__
        'SparseCategoricalAccuracy'
    """
    kind = target_kind(y_true_shape, y_pred_shape)
    if name.lower() in ("accuracy", "acc"):
        metric = _ACCURACIES[kind](name=name)
        if from_logits and isinstance(metric, accuracy.BinaryAccuracy):
            metric.threshold = 0.0
        return metric
    if name.lower() in ("crossentropy", "ce"):
        cls: Any = _CROSSENTROPIES[kind]
        return cls(name=name, from_logits=from_logits)
    metric = get(name)
    assert metric is not None
    metric.name = name
    return metric


def serialize(metric: Any) -> Any:
    """Describe a metric by values that JSON can hold; `deserialize` is the way back."""
    return registry.serialize(metric)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Make the metric that `serialize` described, or that a name stands for."""
    if isinstance(config, str):
        return registry.resolve(config, NAMES | dict(custom_objects or {}), "metric")
    return registry.deserialize(config, custom_objects)
