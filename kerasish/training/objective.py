"""Losses and metrics, resolved for each output of a model once its first batch is known."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from kerasish import losses, metrics
from kerasish.data.arrays import leaves
from kerasish.describe import describe, suggest
from kerasish.losses.names import resolve_crossentropy
from kerasish.losses.shapes import with_unit_axis
from kerasish.metrics import Mean, Metric
from kerasish.training.loss_kinds import kind_of_loss
from kerasish.training.recipe import Recipe

CONFUSIONS = (
    metrics.Precision,
    metrics.Recall,
    metrics.TruePositives,
    metrics.TrueNegatives,
    metrics.FalsePositives,
    metrics.FalseNegatives,
)
AMBIGUOUS = ("accuracy", "acc", "crossentropy", "ce")


class OutputObjective:
    """The loss and metrics of one output.

    Attributes:
        name: The output's name.
        loss: A `Loss`, or `None` where this output has none.
        loss_of: What to call as `loss(y_true, y_pred, sample_weight=None, mask=None)`.
        weight: Its factor in the total loss.
        metrics: Metrics that ignore sample weights.
        weighted_metrics: Metrics that use them.
        loss_mean: The running mean of its loss, when there are several outputs.
    """

    def __init__(
        self,
        name: str,
        loss: Any,
        weight: float,
        metric_names: list,
        weighted_names: list,
        y_true: Tensor | None,
        y_pred: Tensor,
    ) -> None:
        self.name, self.weight = name, weight
        target = () if y_true is None else tuple(with_unit_axis(y_true, y_pred).shape)
        shapes = (target, tuple(y_pred.shape))
        if isinstance(loss, str) and loss in ("crossentropy", "ce"):
            self.loss = resolve_crossentropy(loss, *shapes)
        else:
            self.loss = losses.get(loss)
        if self.loss is not None and self.loss.reduction in (None, "none"):
            raise ValueError(
                f"compile: the loss '{self.loss.name}' of output '{name}' gives a number for each "
                'row (reduction=None), and training needs one. Use reduction="sum_over_batch_size".'
            )
        self.loss_of = _without_mask(self.loss) if _ignores_masks(self.loss) else self.loss
        from_logits = bool(getattr(self.loss, "from_logits", False))
        binary_logits = from_logits and kind_of_loss(self.loss) == "binary"
        resolve = functools.partial(_metric, shapes, from_logits, binary_logits)
        self.metrics = [resolve(m) for m in metric_names if m is not None]
        self.weighted_metrics = [resolve(m) for m in weighted_names if m is not None]
        self.loss_mean = Mean(name=f"{name}_loss")

    def target_dtype(self, y_true: Tensor, y_pred: Tensor) -> torch.dtype | None:
        """The type that targets should have; `None` leaves them."""
        wanted = getattr(self.loss, "target_dtype", None)
        if wanted is not None:
            return torch.int64
        if self.loss is None or type(self.loss).__name__ in ("TorchLoss", "LossFunctionWrapper"):
            return None
        return y_pred.dtype if y_pred.is_floating_point() else None


def _ignores_masks(loss: Any) -> bool:
    """Whether a loss has a `__call__` of its own, with Keras's three arguments."""
    own = type(loss).__call__
    if loss is None or own is losses.Loss.__call__:
        return False
    parameters = inspect.signature(own).parameters.values()
    return len(parameters) < 5 and not any(p.kind is p.VAR_POSITIONAL for p in parameters)


def _without_mask(loss: Any) -> Callable[..., Tensor]:
    def loss_of(y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Any = None) -> Tensor:
        return loss(y_true, y_pred, sample_weight)

    return loss_of


def _metric(shapes: tuple, from_logits: bool, binary_logits: bool, identifier: Any) -> Metric:
    if isinstance(identifier, str):
        found = metrics.resolve_accuracy(identifier, *shapes, from_logits=from_logits)
        if binary_logits:
            found = _for_binary_logits(found)
    else:
        found = metrics.get(identifier)
    assert found is not None
    return found


def _for_binary_logits(metric: Metric) -> Metric:
    """A metric given by name, set up for the logits of yes/no questions: p > 0.5 is z > 0."""
    settings: dict[str, Any]
    if "from_logits" in inspect.signature(type(metric)).parameters:
        settings = {"from_logits": True}
    elif isinstance(metric, metrics.BinaryAccuracy):
        settings = {"threshold": 0.0}
    elif isinstance(metric, CONFUSIONS):
        settings = {"thresholds": 0.0}
    else:
        return metric
    return type(metric)(name=metric.name, **settings)


class Objective:
    """All outputs' losses and metrics.

    Attributes:
        names: The names of the outputs.
        outputs: Each output's loss and metrics.
        total: The running mean of the total loss.
        logged: What a log holds, in order: each key with its metric.

    Args:
        recipe: What `compile` was given.
        names: The names of the outputs.
        y_true: A batch of targets, structured as the user gives them.
        y_pred: The outputs for it.

    Raises:
        ValueError: If losses, metrics or targets name outputs that do not exist, or their numbers
            differ.
    """

    def __init__(self, recipe: Recipe, names: list[str], y_true: Any, y_pred: Any) -> None:
        predictions = list(leaves(y_pred))
        self.is_single = isinstance(y_pred, Tensor)
        self.names = names if len(names) == len(predictions) else _numbered(len(predictions))
        if isinstance(y_pred, dict):
            self.names = list(y_pred)
        self._free = recipe.loss is None
        self._has_metrics = bool(recipe.metrics or recipe.weighted_metrics)
        found = {
            "loss": self._per_output(recipe.loss, "loss", shared=True),
            "weight": self._per_output(recipe.loss_weights, "loss_weights"),
            "metrics": self._per_output(recipe.metrics, "metrics", many=True),
            "weighted": self._per_output(recipe.weighted_metrics, "weighted_metrics", many=True),
        }
        self._compared = [
            i
            for i, parts in enumerate(zip(*found.values(), strict=True))
            if parts[0] is not None or parts[2] or parts[3]
        ]
        targets = self.targets(y_true)
        self.outputs = [
            OutputObjective(
                name,
                found["loss"][i],
                1.0 if found["weight"][i] is None else float(found["weight"][i]),
                found["metrics"][i],
                found["weighted"][i],
                targets[i],
                predictions[i],
            )
            for i, name in enumerate(self.names)
        ]
        self.total = Mean(name="loss")
        self.logged = self._named()
        self.has_loss = any(output.loss is not None for output in self.outputs)

    def takes_as_is(self, y_true: Any) -> bool:
        """Whether targets that are not one for each output are for a `compute_loss` of one's own.

        Without a loss nothing says what targets must look like. Metrics compare a single tensor
        with every output; of anything else they would not know what belongs to which.
        """
        if not self._free or y_true is None:
            return False
        if isinstance(y_true, Mapping):
            return not self._has_metrics and any(key not in self.names for key in y_true)
        if isinstance(y_true, Tensor):
            return len(self.names) > 1
        return not self._has_metrics and len(list(leaves(y_true))) != len(self.names)

    def targets(self, y_true: Any) -> list[Any]:
        """One entry for each output: its target, or `None` where none is known to be its own."""
        if self.takes_as_is(y_true):
            return [y_true if isinstance(y_true, Tensor) else None] * len(self.names)
        return self.arrange(y_true, "y")

    def arrange(self, value: Any, what: str) -> list[Any]:
        """Put what was given per output (a tensor, list, tuple or dict by name) in order."""
        if value is None:
            return [None] * len(self.names)
        if isinstance(value, Mapping):
            unknown = [key for key in value if key not in self.names]
            if unknown:
                raise ValueError(
                    f"`{what}` names an output '{unknown[0]}' that the model does not have"
                    f"{suggest(unknown[0], self.names)}."
                )
            return [value.get(name) for name in self.names]
        items = list(leaves(value)) if not isinstance(value, Tensor) else [value]
        if what in ("y", "sample_weight") and len(items) == len(self._compared):
            placed = dict(zip(self._compared, items, strict=True))
            return [placed.get(i) for i in range(len(self.names))]
        if len(items) != len(self.names):
            raise ValueError(
                f"The model has {len(self.names)} output(s) ({', '.join(self.names)}), but "
                f"`{what}` is {describe(value)}."
            )
        return items

    def _per_output(
        self, value: Any, what: str, *, shared: bool = False, many: bool = False
    ) -> list[Any]:
        count = len(self.names)
        if value is None:
            return [[] if many else None for _ in range(count)]
        if isinstance(value, Mapping) and "class_name" not in value:
            given = self.arrange(dict(value), what)
            return [_listed(item) for item in given] if many else given
        if many:
            value = list(value) if isinstance(value, (list, tuple)) else [value]
            if count == 1:
                return [value[0] if len(value) == 1 and isinstance(value[0], list) else value]
            if any(isinstance(item, (list, tuple)) for item in value) or len(value) == count:
                return [_listed(item) for item in self._sized(value, what)]
            raise ValueError(
                f"compile: with several outputs ({', '.join(self.names)}), give `{what}` as a dict "
                "by output name, or as a list with one entry for each."
            )
        if isinstance(value, (list, tuple)):
            return self._sized(list(value), what)
        if shared or count == 1:
            return [value] * count
        raise ValueError(
            f"compile: with several outputs ({', '.join(self.names)}), give `{what}` as a list or "
            "a dict by output name."
        )

    def _sized(self, items: list, what: str) -> list:
        if len(items) != len(self.names):
            raise ValueError(
                f"compile: the model has {len(self.names)} output(s) ({', '.join(self.names)}), "
                f"but `{what}` has {len(items)} entries."
            )
        return items

    def _named(self) -> list[tuple[str, Metric]]:
        """Every mean and metric with its key in the logs.

        As in Keras: the output's name comes first where there are several outputs; a repeated name
        gets a number, that of a weighted metric becomes `weighted_…`.
        """
        parts = [o.loss_mean for o in self.outputs if o.loss is not None]
        named: dict[str, Metric] = {"loss": self.total}
        if len(parts) > 1:
            named |= {mean.name: mean for mean in parts}
        for weighted in (False, True):
            for output in self.outputs:
                prefix = f"{output.name}_" if len(self.outputs) > 1 else ""
                for metric in output.weighted_metrics if weighted else output.metrics:
                    name = f"{prefix}{metric.name}"
                    if weighted and name in named:
                        name = f"{prefix}weighted_{metric.name}"
                    first, count = name, 1
                    while name in named:
                        name, count = f"{first}_{count}", count + 1
                    named[name] = metric
        return list(named.items())

    @property
    def all_metrics(self) -> list[Metric]:
        """The loss means and the metrics: what a log holds, in order."""
        return [metric for _, metric in self.logged]

    def loss_function(self) -> Callable[..., Tensor]:
        """The total loss as `loss(y_true, y_pred, sample_weight=None, mask=None)`."""
        first = self.outputs[0]
        if self.is_single and first.loss_of is not None and first.weight == 1:
            return first.loss_of
        return self.weighted_sum

    def weighted_sum(self, y: Any, y_pred: Any, weight: Any = None, mask: Any = None) -> Tensor:
        """The sum of the outputs' losses by their weights."""
        predictions = list(leaves(y_pred))
        targets, weights = self.flat(y), self.flat(weight)
        masks = self.flat(mask)
        total = None
        for output, t, p, w, m in zip(
            self.outputs, targets, predictions, weights, masks, strict=True
        ):
            if output.loss_of is None:
                continue
            loss = output.loss_of(t, p, w, m)
            if len(self.outputs) > 1:
                output.loss_mean.update_state(loss.detach(), sample_weight=p.shape[0])
            total = loss * output.weight if total is None else total + loss * output.weight
        return torch.zeros((), device=predictions[0].device) if total is None else total

    def flat(self, value: Any) -> list[Any]:
        """One entry for each output; a single tensor serves all."""
        if isinstance(value, Tensor) or value is None:
            return [value] * len(self.outputs)
        if isinstance(value, Mapping):
            return [value.get(name) for name in self.names]
        return list(value)


def _numbered(count: int) -> list[str]:
    return ["output"] if count == 1 else [f"output_{i + 1}" for i in range(count)]


def _listed(item: Any) -> list:
    if item is None:
        return []
    return list(item) if isinstance(item, (list, tuple)) else [item]
