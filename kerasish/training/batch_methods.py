"""What happens to one batch, in methods that a model's subclass may override."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from kerasish.data.stream import batch_rows
from kerasish.layers.holder import collecting
from kerasish.metrics import Metric
from kerasish.training.objective import Objective
from kerasish.training.placement import target_device
from kerasish.training.plan import StepPlan
from kerasish.training.recipe import Recipe
from kerasish.training.step import FullTrainStep
from kerasish.training.tracker import Tracker


class BatchMethods:
    """`train_step`, `test_step`, `predict_step`, `compute_loss`, `compute_metrics`, and metrics.

    `fit` takes a shorter path to the same numbers unless a subclass overrides one of them.
    """

    _recipe: Recipe | None
    _objective: Objective | None = None
    _batch_step: Any = None  # what the default train_step and test_step run
    _averaging: Any = None  # over processes, while a train_step of a subclass runs in several
    _batch_mask: Any = None  # the mask of the latest outputs

    def train_step(self, data: Any) -> dict[str, Any]:
        """Train on one batch.

        Args:
            data: `x`, `(x, y)` or `(x, y, sample_weight)`, tensors on the model's device. Inputs
                without targets are in a tuple, `(x,)`, if the source gives them so, or if they are
                a list. `utils.unpack_x_y_sample_weight` takes all of these apart.

        Returns:
            What to log, by name.
        """
        x, y, weight = unpack_x_y_sample_weight(data)
        step = self._step_for(x, y)
        with nullcontext() if self._averaging is None else self._averaging.unweighted():
            loss, y_pred, y, weight, self._batch_mask = step(x, y, weight)
        if self._averaging is not None and not batch_rows((y_pred, None, None)):
            return self.get_metrics_result()  # a row that was taken only to take part
        self._track_loss(loss, x, y, y_pred)
        return self.compute_metrics(x, y, y_pred, weight)

    def test_step(self, data: Any) -> dict[str, Any]:
        """Evaluate one batch; see `train_step`."""
        x, y, weight = unpack_x_y_sample_weight(data)
        plan = self._step_for(x, y).plan
        y_pred, self._batch_mask = plan.run_model(x)
        loss = plan.loss_of(x, y, y_pred, weight, self._batch_mask)
        self._track_loss(loss, x, y, y_pred)
        return self.compute_metrics(x, y, y_pred, weight)

    def predict_step(self, data: Any) -> Any:
        """The outputs for one batch; see `train_step`."""
        return self.compiled_forward(unpack_x_y_sample_weight(data)[0])  # type: ignore[attr-defined]

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """The total loss of a batch: the compiled losses, `add_loss` and the weights' penalties."""
        total: Any = 0.0
        if self._recipe is not None and self._recipe.loss is not None:
            loss_of = self._objective_for(y, y_pred).loss_function()
            total = loss_of(y, y_pred, sample_weight, self._batch_mask)
        for loss in self.losses:  # type: ignore[attr-defined]
            total = total + loss
        return total if isinstance(total, Tensor) else torch.tensor(total)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Take a batch into the compiled metrics and return the present value of all."""
        self._update_metrics(y, y_pred, sample_weight)
        return self.get_metrics_result()

    # Words of older scripts

    def compiled_loss(
        self, y: Any, y_pred: Any, sample_weight: Any = None, regularization_losses: Any = None
    ) -> Tensor:
        """`compute_loss` by its older name, which also counts the loss for the log.

        Args:
            y: Targets.
            y_pred: Outputs.
            sample_weight: A factor for each row.
            regularization_losses: Accepted for Keras's sake; `self.losses` count in any case.
        """
        loss = self.compute_loss(y=y, y_pred=y_pred, sample_weight=sample_weight)
        self._track_loss(loss, None, y, y_pred)
        return loss

    @property
    def compiled_metrics(self) -> CompiledMetrics:
        """The compiled metrics as one, by their older name: `update_state(y, y_pred)`."""
        return CompiledMetrics(self)

    def _update_metrics(self, y: Any, y_pred: Any, sample_weight: Any) -> None:
        if self._recipe is not None:
            tracker = Tracker(self._objective_for(y, y_pred))
            tracker.update_metrics([(torch.zeros(()), y_pred, y, sample_weight, self._batch_mask)])

    def _step_for(self, x: Any, y: Any) -> FullTrainStep:
        """The step with all that `compile` asked for; kept, since it may gather gradients."""
        assert self._recipe is not None
        if self._objective is None:
            with torch.no_grad():
                self._objective_for(y, self(x))  # type: ignore[operator]
        step = self._batch_step
        if step is None or step.plan.objective is not self._objective:
            device = target_device(self, self._recipe)  # type: ignore[arg-type]
            plan = StepPlan(self, self._recipe, self._objective, device)
            if self._averaging is not None:
                plan.feed, plan.is_shared = self._averaging.feed, False
            self._batch_step = step = FullTrainStep(plan)
        return step

    def _objective_for(self, y: Any, y_pred: Any) -> Objective:
        if self._objective is None:
            recipe = self._require_compiled("compute_loss")  # type: ignore[attr-defined]
            self._objective = Objective(recipe, getattr(self, "output_names", []), y, y_pred)
        return self._objective

    def _track_loss(self, loss: Tensor, x: Any, y: Any, y_pred: Any) -> None:
        rows = batch_rows((y_pred, None, None))
        self._objective_for(y, y_pred).total.update_state(loss.detach(), sample_weight=rows)

    def _starts_afresh(self) -> bool:
        """Whether a call forgets what layers added to the loss in earlier ones."""
        return not collecting.now

    # Metrics

    @property
    def metrics(self) -> list[Metric]:
        """The loss mean, the compiled metrics, and metrics kept by the model and its layers."""
        return list({id(metric): metric for _, metric in self._named_metrics()}.values())

    def _named_metrics(self) -> list[tuple[str, Metric]]:
        compiled = [] if self._objective is None else self._objective.logged
        return [*compiled, *((metric.name, metric) for metric in self._kept_metrics())]

    def _kept_metrics(self) -> list[Metric]:
        layers = (self, *self.sublayers())  # type: ignore[attr-defined]
        values = [value for layer in layers for value in vars(layer).values()]
        return [value for value in values if isinstance(value, Metric)]

    def _own_metrics(self) -> dict[str, Metric]:
        """Metrics that the model and its layers keep, by names that no compiled one has."""
        logged = [] if self._objective is None else self._objective.logged
        taken = {name for name, _ in logged} | {id(metric) for _, metric in logged}
        own: dict[str, Metric] = {}
        for metric in self._kept_metrics():
            if metric.name not in taken and id(metric) not in taken:
                own.setdefault(metric.name, metric)
        return own

    @property
    def metrics_names(self) -> list[str]:
        """The names of `metrics`, as logs have them."""
        names = {id(metric): name for name, metric in reversed(self._named_metrics())}
        return [names.get(id(metric), metric.name) for metric in self.metrics]

    def get_metrics_result(self) -> dict[str, Any]:
        """The present value of every metric, by name; dict results are spread out."""
        found: dict[str, Any] = {}
        for name, metric in zip(self.metrics_names, self.metrics, strict=True):
            value = metric.result()
            found.update(value if isinstance(value, dict) else {name: value})
        return found

    def reset_metrics(self) -> None:
        """Start every metric again."""
        compiled = [] if self._objective is None else self._objective.all_metrics
        # A subclass may list only its own under `metrics`.
        for metric in {id(m): m for m in (*compiled, *self.metrics)}.values():
            metric.reset_state()


class CompiledMetrics:
    """What `model.compiled_metrics` is: the metrics given to `compile`, updated together.

    Args:
        model: The model.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def update_state(self, y: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take a batch into all of them."""
        self._model._update_metrics(y, y_pred, sample_weight)


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """`(x, y, sample_weight)` from what `train_step` gets, `None` where one is missing."""
    if not isinstance(data, tuple):
        return data, None, None
    padded = (*data, None, None)
    return padded[0], padded[1], padded[2]
