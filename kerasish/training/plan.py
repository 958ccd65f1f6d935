"""The plan of a step: what the steps of one fit, evaluate or predict have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kerasish.layers.holder import added_losses
from kerasish.training import parallel
from kerasish.training.objective import Objective
from kerasish.training.placement import autocast, input_caster
from kerasish.training.recipe import Recipe
from kerasish.training.replicas import OnAllGpus
from kerasish.tta.bound import views_of


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
            self._on_all_gpus = OnAllGpus(model, self._call_copy, device)
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
            and not recipe.optimizer.scales_loss
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

    def _call_copy(self, copy: Any, x: Any) -> tuple[Any, Any]:
        # A thread knows nothing of the autocast around it, and a compiled call is the model's own.
        with autocast(self.recipe, self.device):
            return copy.forward_with_masks(x) if self.has_masks else (copy(x), None)

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


def _rows(y_pred: Any) -> int:
    while not isinstance(y_pred, Tensor):
        y_pred = next(iter(y_pred.values() if isinstance(y_pred, dict) else y_pred))
    return y_pred.shape[0]
