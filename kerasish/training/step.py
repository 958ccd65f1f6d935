"""The step: forward, loss, backward, update. Planned once for each fit, then only called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from kerasish.data.arrays import map_leaves
from kerasish.layers.holder import added_losses
from kerasish.training import parallel
from kerasish.training.objective import Objective
from kerasish.training.placement import autocast, input_caster
from kerasish.training.recipe import Recipe
from kerasish.training.tracker import Kept
from kerasish.tta.bound import views_of

Step = Callable[[Any, Any, Any], Kept]


class StepPlan:
    """What the steps of one fit, evaluate or predict have in common.

    Attributes:
        model: The model; its weights exist.
        recipe: What `compile` decided.
        objective: Its resolved losses, `None` for prediction.
        device: Where it computes.
        views: What to show the model of each batch, and average; `None` for the batch itself.
        rest: From features to outputs, where batches bring features in the place of inputs.
    """

    def __init__(
        self, model: Any, recipe: Recipe, objective: Objective | None, device: torch.device
    ) -> None:
        self.model, self.recipe = model, recipe
        self.objective, self.device = objective, device
        self.views = views_of(model)
        self.note_weights()
        self.has_masks = bool(getattr(model, "has_output_masks", False))
        # Here rather than with a step: the scale that was found lasts from epoch to epoch.
        is_half = recipe.precision == "float16-mixed"
        self.scaler = torch.amp.GradScaler(device.type) if is_half else None
        takes_integers = getattr(model, "takes_integers", False)
        self.feed: Any = None  # what is trained on
        self.rest: Callable[[Any], Any] | None = None
        self.is_shared = parallel.is_shared(recipe.data_parallel)
        self._averaging: tuple[list[int], Any] | None = None
        self._on_all_gpus: Any = None
        self._shortest: Callable[[Any], Any] | None = None
        if recipe.data_parallel == "dp" and parallel.has_gpus(device):
            self._on_all_gpus = parallel.on_all_gpus(model, self._call)
        is_graph = hasattr(model, "_input_dtypes")  # which casts its inputs itself
        first = next(model.parameters(), None)
        widens = first is None or first.dtype == torch.float32
        self.cast = input_caster(recipe, takes_integers or is_graph, not is_graph, widens)

    def note_weights(self) -> None:
        """Take down which weights that learn are penalised or constrained."""
        weights = [weight for weight in self.model.keras_weights() if weight.trainable]
        self.penalised = [weight for weight in weights if weight.regularizer is not None]
        self.constrained = [weight for weight in weights if weight.constraint is not None]

    def take_shortest_way(self) -> None:
        """Pass by the calls of layers, until a module is replaced or a hook added."""
        is_free = self._on_all_gpus is None and not self.recipe.jit_compile
        if is_free and hasattr(self.model, "_input_dtypes"):
            self._shortest = self.model.shortest_forward()

    @property
    def is_plain(self) -> bool:
        """Whether a step is nothing but forward, loss, backward and update."""
        recipe, model = self.recipe, self.model
        return (
            recipe.precision == "float32"
            and self.views is None
            and not self.is_shared
            and self._on_all_gpus is None
            and recipe.accumulate_steps == 1
            and recipe.clip_norm is None
            and recipe.memory_format is None
            and not recipe.jit_compile
            and not self.has_masks
            and not self.penalised
            and not self.constrained
            and not model.overrides("compute_loss")
            and hasattr(model, "_input_dtypes")  # a graph casts its inputs itself
            and recipe.optimizer.loss_scale_factor is None
        )

    def run_model(self, x: Any) -> tuple[Any, Any]:
        """The model's outputs and their masks, under the recipe's precision."""
        if self.rest is not None:
            with autocast(self.recipe, self.device):
                return self.rest(x), None
        x = self.cast(x)
        with autocast(self.recipe, self.device):
            return self._run(x) if self.views is None else self.views(self._run, x)

    def _run(self, x: Any) -> tuple[Any, Any]:
        if self._on_all_gpus is not None:
            return self._on_all_gpus(x)
        return self._call(self.model, x)

    def _call(self, model: Any, x: Any) -> tuple[Any, Any]:
        if self.has_masks:
            return model.forward_with_masks(x)
        return (self._shortest or model.compiled_forward)(x), None

    def training_forward(self) -> Callable[[Any], tuple[Any, Any]]:
        """What a training step calls as `run_model`; several processes average gradients by it."""
        if not self.is_shared or self.recipe.accumulate_steps > 1:
            return self.run_model
        learning = [id(p) for p in self.model.parameters() if p.requires_grad]
        if self._averaging is None or self._averaging[0] != learning:
            self._averaging = learning, parallel.averaging(self.model, self.run_model)
        return self._averaging[1]

    def rows_of(self, y_pred: Any) -> tuple[int, float]:
        """This process's rows in a batch, and the mean of all processes."""
        rows = None if self.feed is None else self.feed.rows
        own = _rows(y_pred)
        return (own, own) if rows is None else rows

    def loss_of(self, x: Any, y: Any, y_pred: Any, weight: Any, mask: Any) -> Tensor:
        """The total loss: the objective's, what layers added, and the weights' penalties."""
        model = self.model
        if model.overrides("compute_loss"):
            return model.compute_loss(x, y, y_pred, weight)
        assert self.objective is not None
        with autocast(self.recipe, self.device):
            loss = self.objective.loss_function()(y, y_pred, weight, mask)
            return loss + self.extra_loss() if self.penalised or added_losses.any else loss

    def extra_loss(self) -> Tensor | float:
        """What layers added in this forward pass, and the weights' penalties."""
        total: Tensor | float = 0.0
        if added_losses.any:
            for layer in self.model.modules():
                for loss in getattr(layer, "_losses", ()):
                    total = total + loss
        for weight in self.penalised:
            total = total + weight.penalty()  # type: ignore[operator]
        return total


def make_train_step(plan: StepPlan) -> Step:
    """The function that trains on one batch: `step(x, y, sample_weight)`."""
    plan.note_weights()  # a callback may have thawed some since
    if plan.is_plain:
        return plain_train_step(plan)
    plan.take_shortest_way()
    return FullTrainStep(plan)


def plain_train_step(plan: StepPlan) -> Step:
    """Forward, loss, backward, update, and nothing else."""
    assert plan.objective is not None
    model, loss_of = plan.model, plan.objective.loss_function()
    forward = plan.rest or model.shortest_forward()
    optimizer = plan.recipe.optimizer
    update, gathers = optimizer.update, optimizer.gradient_accumulation_steps is not None
    parameters = [p for p in model.parameters() if p.requires_grad]
    backward = backward_on(plan.device)

    def clear() -> None:
        for parameter in parameters:
            parameter.grad = None

    def step(x: Any, y: Any, weight: Any) -> Kept:
        if added_losses.any:
            model.clear_losses()
        y_pred = forward(x)
        loss = loss_of(y, y_pred) if weight is None else loss_of(y, y_pred, weight)
        if added_losses.any:
            loss = loss + plan.extra_loss()
        if not gathers:
            # Here and not after the update: backward takes this memory again at once. Freed with
            # the batch it goes back to the system, and costs page faults at every step.
            clear()
        backward(loss)
        update(gathers)
        return loss.detach(), detached(y_pred), y, weight, None

    if not gathers:
        step.finish = clear  # type: ignore[attr-defined]
    return step


def backward_on(device: torch.device) -> Callable[[Tensor], None]:
    """`loss.backward()`, on the CPU without the Python code around it: 5 of 16 µs.

    That code looks at arguments, makes the gradient of the loss, which is 1, and hands settings of
    the compiler to the threads of other devices.
    """
    engine = getattr(torch.autograd.Variable, "_execution_engine", None)
    run = getattr(engine, "run_backward", None)
    if device.type != "cpu" or run is None:
        return Tensor.backward
    one: Tensor | None = None

    def backward(loss: Tensor) -> None:
        nonlocal one
        if one is None or one.dtype is not loss.dtype:
            one = torch.ones_like(loss)
        run((loss,), (one,), False, False, (), allow_unreachable=True, accumulate_grad=True)

    return backward


class FullTrainStep:
    """A step with all that a compile can ask for, such as clipping and accumulation."""

    def __init__(self, plan: StepPlan) -> None:
        self.plan = plan
        recipe = plan.recipe
        self.optimizer = recipe.optimizer
        self.parameters = [p for p in plan.model.parameters() if p.requires_grad]
        self.scaler = plan.scaler
        self.pending = 0  # batches whose gradients wait for the update
        self.pending_rows: float = 0
        self.forward = plan.training_forward()
        self._backward = backward_on(plan.device)

    def state_dict(self) -> dict[str, Any]:
        """What is waiting for the update, and the scale of the loss."""
        scaler = None if self.scaler is None else self.scaler.state_dict()
        return {"pending": self.pending, "pending_rows": self.pending_rows, "scaler": scaler}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state; the gradients gathered so far are the parameters' own."""
        self.pending, self.pending_rows = state["pending"], state["pending_rows"]
        if self.scaler is not None and state["scaler"] is not None:
            self.scaler.load_state_dict(state["scaler"])

    def __call__(self, x: Any, y: Any, weight: Any) -> Kept:
        """Train on one batch; the update may wait for more of them."""
        plan = self.plan
        if added_losses.any:
            plan.model.clear_losses()
        y_pred, mask = self.forward(x)
        loss = plan.loss_of(x, y, y_pred, weight, mask)
        own, mean = plan.rows_of(y_pred)
        self.backward(loss, own, mean)
        self.pending += 1
        if self.pending == plan.recipe.accumulate_steps:
            self.finish()
        kept = loss.detach(), detached(y_pred), y, weight, mask
        # A row that a process took only to take part in the last batch does not count.
        return kept if own else (kept[0], *map_leaves(lambda t: t[:0], kept[1:]))

    def backward(self, loss: Tensor, own: int, mean: float) -> None:
        """Add this batch's gradients.

        Args:
            loss: The mean over this process's rows.
            own: How many those are.
            mean: How many a process has on average.
        """
        # Weighted by rows, so that a short last batch counts as it would in the big batch.
        if self.plan.recipe.accumulate_steps > 1:
            loss = loss * own
            self.pending_rows += mean
        elif own != mean:
            loss = loss * (own / mean)
        if self.scaler is not None:
            loss = self.scaler.scale(loss)
        self._backward(self.optimizer.scale_loss(loss))

    def finish(self) -> None:
        """Update the weights from the gradients gathered so far."""
        if not self.pending:
            return
        recipe = self.plan.recipe
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)  # type: ignore[arg-type]
        if self.plan.is_shared and recipe.accumulate_steps > 1:
            parallel.average_gradients(self.parameters)
        if self.pending_rows:
            gradients = [p.grad for p in self.parameters if p.grad is not None]
            torch._foreach_mul_(gradients, 1.0 / self.pending_rows)  # type: ignore[attr-defined]
        if recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, recipe.clip_norm)
        if self.scaler is not None:
            self.scaler.step(self.optimizer)  # type: ignore[arg-type]
            self.scaler.update()
            self.optimizer.zero_grad()
        else:
            self.optimizer.update()
        for weight in self.plan.constrained:
            weight.constrain()
        self.pending = self.pending_rows = 0


def make_test_step(plan: StepPlan) -> Step:
    """The function that evaluates one batch."""

    def step(x: Any, y: Any, weight: Any) -> Kept:
        if added_losses.any:
            plan.model.clear_losses()
        y_pred, mask = plan.run_model(x)
        loss = plan.loss_of(x, y, y_pred, weight, mask)
        return loss, y_pred, y, weight, mask

    if not plan.is_plain:
        plan.take_shortest_way()
        return step
    assert plan.objective is not None
    model, loss_of = plan.model, plan.objective.loss_function()
    forward = plan.rest or model.shortest_forward()

    def plain_step(x: Any, y: Any, weight: Any) -> Kept:
        if added_losses.any:
            model.clear_losses()
        y_pred = forward(x)
        loss = loss_of(y, y_pred) if weight is None else loss_of(y, y_pred, weight)
        if added_losses.any:
            loss = loss + plan.extra_loss()
            model.clear_losses()
        return loss, y_pred, y, weight, None

    return plain_step


def make_predict_step(plan: StepPlan) -> Callable[[Any], Any]:
    """The function that gives the outputs for one batch."""
    model, views = plan.model, plan.views
    if not model.overrides("predict_step"):
        if plan.is_plain:
            return model.shortest_forward()
        plan.take_shortest_way()
        return lambda x: plan.run_model(x)[0]

    def own(x: Any) -> Any:
        return model.predict_step((x,))

    return own if views is None else lambda x: views(lambda view: (own(view), None), x)[0]


def detached(value: Any) -> Any:
    """The tensors of a structure without their history."""
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, dict):
        return {key: detached(item) for key, item in value.items()}
    return [detached(item) for item in value]


def _rows(y_pred: Any) -> int:
    while not isinstance(y_pred, Tensor):
        y_pred = next(iter(y_pred.values() if isinstance(y_pred, dict) else y_pred))
    return y_pred.shape[0]
