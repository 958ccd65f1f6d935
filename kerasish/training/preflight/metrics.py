"""Do the metrics say something: none twice, no accuracy of numbers."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from kerasish.metrics import Metric
from kerasish.training.loss_kinds import kind_of_loss
from kerasish.training.preflight.subject import Subject, some_rows


def check_metrics(subject: Subject) -> None:
    """Advise of metrics that say nothing new, or nothing at all."""
    targets = subject.objective.flat(subject.y)
    for output, y in zip(subject.objective.outputs, targets, strict=True):
        for group in (output.metrics, output.weighted_metrics):
            _check_twins(subject, output.name, group)
            if isinstance(y, Tensor) and kind_of_loss(output.loss) == "regression":
                _check_accuracy(subject, output.name, group, y)


def _check_twins(subject: Subject, name: str, metrics: list[Metric]) -> None:
    if len(metrics) < 2:
        return
    seen: dict[Any, Metric] = {}
    for metric in metrics:
        key = _signature(metric)
        if key in seen:
            subject.report.advise(
                "K150",
                f"the metrics of output '{name}' count the same thing twice: "
                f"'{seen[key].name}' and '{metric.name}'. Leave one out.",
            )
        seen[key] = metric


def _signature(metric: Metric) -> Any:
    try:
        config = {key: value for key, value in metric.get_config().items() if key != "name"}
    except Exception:
        return id(metric)
    return type(metric), tuple((key, _plain(config[key])) for key in sorted(config))


def _plain(value: Any) -> Any:
    """A value to compare by what it says, or the identity of an object."""
    if isinstance(value, (list, tuple)):
        return tuple(_plain(item) for item in value)
    return value if value is None or isinstance(value, (str, int, float)) else id(value)


def _check_accuracy(subject: Subject, name: str, metrics: list[Metric], y: Tensor) -> None:
    found = [metric.name for metric in metrics if "Accuracy" in type(metric).__name__]
    if not found or not y.is_floating_point():
        return
    rows = some_rows(y)
    if bool((rows != rows.round()).any()):
        subject.report.advise(
            "K151",
            f"the metric '{found[0]}' counts exact hits, but the targets of output '{name}' are "
            'numbers with fractions. Use metrics=["mae"] or R2Score for regression.',
        )
