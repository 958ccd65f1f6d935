"""Before the first batch: a model placed, built and tried, its losses and targets prepared."""

from __future__ import annotations

from typing import Any

import torch

from kerasish.data import ArrayFeed, Feed
from kerasish.data.arrays import leaves
from kerasish.training import preflight
from kerasish.training.compiled import Compiled
from kerasish.training.objective import Objective
from kerasish.training.placement import place_model
from kerasish.training.plan import StepPlan
from kerasish.training.preflight.probe import first_rows
from kerasish.training.preflight.probe import run as run_rows
from kerasish.training.recipe import Recipe
from kerasish.training.targets import class_tables, class_weigher, target_preparer
from kerasish.training.tracker import Tracker


class Planned(Compiled):
    """How a model makes the plan of a run; see `kerasish.training.plan.StepPlan`."""

    def _plan(
        self, feed: Feed, class_weight: Any = None, *, training: bool = False
    ) -> tuple[StepPlan, Tracker]:
        """Place the model, try a few rows, resolve losses and metrics, prepare the targets."""
        recipe = self._require_compiled("fit" if training else "evaluate")
        model: Any = self
        device = place_model(model, recipe)
        probing = StepPlan(model, recipe, None, device)
        try:
            fit_inputs(model, feed)
            build(probing, feed)
            lookups = None
            if training and not self._trains_itself:
                lookups = preflight.check_first_lookups(probing, feed)
            y_pred, y = preflight.probe(probing, feed, graph=training)
        except Exception as error:
            if training and self._trains_itself:
                raise _NoForwardError from error
            raise
        objective = self._resolve(recipe, y, y_pred, itself=training and self._trains_itself)
        feed.prepare(target_preparer(objective, y_pred, class_weight))
        plan = StepPlan(model, recipe, objective, device)
        if training and not self._trains_itself:
            tables = class_tables(objective, class_weight)
            preflight.check_before_training(plan, feed, y_pred, tables, lookups)
        return plan, Tracker(objective, self._own_metrics())

    def _resolve(self, recipe: Recipe, y: Any, y_pred: Any, *, itself: bool) -> Objective:
        """The losses and metrics of these outputs.

        A step of one's own may compare y with something else: compute_loss finds out with what.
        """
        if self._objective is None:
            names = getattr(self, "output_names", [])
            try:
                self._objective = Objective(recipe, names, y, y_pred)
            except ValueError as error:
                if itself:
                    raise _NoForwardError from error
                raise
        if itself and len(self._objective.outputs) != len(list(leaves(y_pred))):
            raise _NoForwardError
        return self._objective

    def _bind_optimizer(self) -> None:
        assert self._recipe is not None
        named = [(n, p) for n, p in self.named_parameters() if p.requires_grad]  # type: ignore[attr-defined]
        self._recipe.optimizer.bind(named, self._recipe.lr_multipliers)

    def _is_ready_to_bind(self) -> bool:
        """Whether the weights are there whose gradients a step of one's own may apply.

        An optimizer that was bound by hand may be meant for some of them.
        """
        assert self._recipe is not None
        model: Any = self
        is_made = all(layer.built for layer in model.sublayers())
        learns = any(p.requires_grad for p in model.parameters())
        return is_made and learns and self._recipe.optimizer.torch is None

    def _forget_gradients(self) -> None:
        """Drop what an interrupted fit, or a backward pass of the user's own, left behind."""
        for parameter in self.parameters():  # type: ignore[attr-defined]
            parameter.grad = None

    def _plan_or_custom(
        self, feed: Feed, class_weight: Any, custom: bool
    ) -> tuple[StepPlan | None, Tracker | None]:
        if not custom:
            return self._plan(feed, class_weight, training=True)
        try:
            return self._plan(feed, class_weight, training=True)
        except _NoForwardError:
            # A model with its own train_step need not have a forward pass, or one for this data.
            if class_weight is not None:
                feed.prepare(class_weigher(class_weight))
            return None, None


def build(plan: StepPlan, feed: Feed) -> None:
    """Make the weights of a model that is not built yet, by a few rows.

    This draws random numbers as any building does, unlike the trial runs that follow.
    """
    model = plan.model
    if all(layer.built for layer in (model, *model.sublayers())):
        return
    with torch.no_grad():
        model.eval()
        run_rows(plan, first_rows(model, feed)[0])
        model.clear_losses()
    place_model(model, plan.recipe)


def fit_inputs(model: Any, feed: Feed) -> None:
    """Let a feed give its inputs as the model takes them, where the first batch does not yet."""
    adjust = getattr(model, "fit_inputs", None)
    if adjust is None:
        return
    images: Any = getattr(model, "preprocessing", None)
    if feed.holds_pixels and hasattr(images, "arrange"):
        feed.prepare(lambda x, y, weight: (images(images.arrange(x)), y, weight))
    x = feed.peek()[0]
    # The images of a stream may have other sizes in every batch.
    varies = hasattr(images, "arrange") and not isinstance(feed, ArrayFeed)
    if adjust(x) is not x or (varies and getattr(x, "dtype", None) is torch.uint8):
        feed.prepare(lambda x, y, weight: (adjust(x), y, weight))


def preparer_of(plan: StepPlan, feed: Feed) -> Any:
    """What makes the targets of a feed ready for the losses and metrics."""
    assert plan.objective is not None
    fit_inputs(plan.model, feed)
    y_pred, _ = preflight.probe(plan, feed)
    return target_preparer(plan.objective, y_pred)


class _NoForwardError(Exception):
    """The model's outputs do not go with the data; no matter where its train_step is its own."""
