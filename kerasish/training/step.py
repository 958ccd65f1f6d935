"""The step: forward, loss, backward, update. Planned once for each fit, then only called."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from kerasish.data.arrays import map_leaves
from kerasish.layers.holder import added_losses
from kerasish.training import parallel
from kerasish.training.plan import StepPlan
from kerasish.training.tracker import Kept

Step = Callable[[Any, Any, Any], Kept]


def make_train_step(plan: StepPlan) -> Step:
    """The function that trains on one batch: `step(x, y, sample_weight)`."""
    plan.note_weights()  # a callback may have thawed some since
    if plan.is_plain:
        return plain_train_step(plan)
    plan.take_shortest_way()
    return FullTrainStep(plan, leaves_gradients=True)


def plain_train_step(plan: StepPlan) -> Step:
    """Forward, loss, backward, update, and nothing else."""
    assert plan.objective is not None
    model, loss_of = plan.model, plan.objective.loss_function()
    forward = plan.rest or model.shortest_forward()
    optimizer = plan.recipe.optimizer
    update, gathers = optimizer.update, optimizer.gathers
    parameters = [p for p in model.parameters() if p.requires_grad]
    backward = backward_on(plan.device)

    def step(x: Any, y: Any, weight: Any) -> Kept:
        if added_losses.any:
            model.clear_losses()
        if not gathers:  # they stayed for callbacks to see; the activations may have their memory
            clear(parameters)
        y_pred = forward(x)
        loss = loss_of(y, y_pred) if weight is None else loss_of(y, y_pred, weight)
        if added_losses.any:
            loss = loss + plan.extra_loss()
        backward(loss)
        update(gathers)
        return loss.detach(), detached(y_pred), y, weight, None

    step.gathers = gathers  # type: ignore[attr-defined]
    if not gathers:
        step.finish = lambda: clear(parameters)  # type: ignore[attr-defined]
    return step


def clear(parameters: Iterable[Tensor]) -> None:
    """Drop gradients."""
    for parameter in parameters:
        parameter.grad = None


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
    """A step with all that a compile can ask for, such as clipping and accumulation.

    Args:
        plan: What it has in common with others.
        leaves_gradients: Whether gradients stay after an update, until the next step or `finish`.
    """

    def __init__(self, plan: StepPlan, leaves_gradients: bool = False) -> None:
        self.plan = plan
        recipe = plan.recipe
        self.optimizer = recipe.optimizer
        self.leaves_gradients = leaves_gradients and not self.optimizer.gathers
        self.parameters = [p for p in plan.model.parameters() if p.requires_grad]
        self.scaler = plan.scaler
        self.pending = 0  # batches whose gradients wait for the update
        self.pending_rows: float = 0  # theirs, as a part of what full batches have
        self._unit: float = 1
        self.forward = plan.training_forward()
        self._backward = backward_on(plan.device)

    @property
    def gathers(self) -> bool:
        """Whether there are gradients that wait for an update."""
        return self.pending > 0 or self.optimizer.gathers

    def state_dict(self) -> dict[str, Any]:
        """What is waiting for the update, and the scale of the loss."""
        scaler = None if self.scaler is None else self.scaler.state_dict()
        waiting = {"pending": self.pending, "pending_rows": self.pending_rows, "unit": self._unit}
        return {**waiting, "scaler": scaler}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state; the gradients gathered so far are the parameters' own."""
        self.pending, self.pending_rows = state["pending"], state["pending_rows"]
        self._unit = state["unit"]
        if self.scaler is not None and state["scaler"] is not None:
            self.scaler.load_state_dict(state["scaler"])

    def __call__(self, x: Any, y: Any, weight: Any) -> Kept:
        """Train on one batch; the update may wait for more of them."""
        plan = self.plan
        if added_losses.any:
            plan.model.clear_losses()
        if self.leaves_gradients and not self.pending:
            clear(self.parameters)
        y_pred, mask = self.forward(x)
        loss = plan.loss_of(x, y, y_pred, weight, mask)
        own, mean = plan.rows_of(y_pred)
        self.backward(loss, own, mean)
        self.pending += 1
        if self.pending == plan.recipe.accumulate_steps:
            self.update()
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
        # Weighted by rows, so that a short last batch counts as it would in the big batch. In parts
        # of an update, since a sum over many rows would not fit into half precision.
        steps = self.plan.recipe.accumulate_steps
        if steps > 1:
            if not self.pending:
                self._unit = mean * steps
            loss = loss * (own / self._unit)
            self.pending_rows += mean / self._unit
        elif own != mean:
            loss = loss * (own / mean)
        if self.scaler is not None:
            loss = self.scaler.scale(loss)
        self._backward(self.optimizer.scale_loss(loss))

    def finish(self) -> None:
        """End an epoch: update from what waits for more batches, and leave no gradients behind."""
        if self.pending:
            self.update()
        if self.leaves_gradients:
            clear(self.parameters)

    def update(self) -> None:
        """Update the weights from the gradients gathered so far."""
        recipe = self.plan.recipe
        if not self.optimizer.is_due:
            # The gradients wait as they are: what follows is for all of them together.
            self.optimizer.update()
            self.pending = 0
            return
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)  # type: ignore[arg-type]
        if self.plan.is_shared and recipe.accumulate_steps > 1:
            parallel.average_gradients(self.parameters)
        if self.pending_rows:
            gradients = [p.grad for p in self.parameters if p.grad is not None]
            torch._foreach_mul_(gradients, 1.0 / self.pending_rows)  # type: ignore[attr-defined]
        if recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(
                self.parameters, recipe.clip_norm * self.optimizer.gradient_scale
            )
        if self.scaler is not None:
            self.scaler.step(self.optimizer)  # type: ignore[arg-type]
            self.scaler.update()
            if not self.leaves_gradients:
                self.optimizer.drop()
        else:
            self.optimizer.update(not self.leaves_gradients)
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
        return model.predict_step((x,) if isinstance(x, (tuple, list)) else x)

    return own if views is None else lambda x: views(lambda view: (own(view), None), x)[0]


def detached(value: Any) -> Any:
    """The tensors of a structure without their history."""
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, dict):
        return {key: detached(item) for key, item in value.items()}
    return [detached(item) for item in value]
