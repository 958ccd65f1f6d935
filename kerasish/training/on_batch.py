"""One batch at a time: `train_on_batch`, `test_on_batch`, `predict_on_batch`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from kerasish.data import ArrayFeed
from kerasish.data.arrays import as_tensors
from kerasish.data.stream import batch_rows
from kerasish.training import loop
from kerasish.training.placement import target_device
from kerasish.training.planned import Planned
from kerasish.training.recipe import Recipe
from kerasish.training.step import make_test_step, make_train_step


class OnBatch(Planned):
    """The verbs of loops that a user writes."""

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Train on one batch.

        Returns:
            The loss, or `[loss, *metrics]`, or a dict of them.
        """
        recipe = self._require_compiled("train_on_batch")
        feed = _one_batch(x, y, sample_weight, recipe, self)
        plan, tracker = self._plan(feed, class_weight)
        self.reset_metrics()
        self._batch_step = None
        self._forget_gradients()
        self._bind_optimizer()
        self.train()  # type: ignore[attr-defined]
        batch = next(iter(feed.batches(0)))
        try:
            if self._trains_itself:
                logs = self.train_step(loop.as_data(batch))
            else:
                step = make_train_step(plan)
                tracker.kept.append(step(*batch))
                if hasattr(step, "finish"):
                    step.finish()  # type: ignore[union-attr]
                logs = tracker.results()
        finally:
            self.eval()  # type: ignore[attr-defined]
        return _returned(logs, return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Evaluate one batch.

        Returns:
            The loss, or `[loss, *metrics]`, or a dict of them.
        """
        recipe = self._require_compiled("test_on_batch")
        feed = _one_batch(x, y, sample_weight, recipe, self)
        plan, tracker = self._plan(feed)
        self.reset_metrics()
        self.eval()  # type: ignore[attr-defined]
        batch = next(iter(feed.batches(0)))
        with torch.inference_mode():
            if self._tests_itself:
                logs = self.test_step(loop.as_data(batch))
            else:
                tracker.kept.append(make_test_step(plan)(*batch))
                logs = tracker.results()
        return _returned(logs, return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch, as NumPy arrays."""
        rows = batch_rows((as_tensors(x, "x"), None, None))
        return self.predict(x, batch_size=rows, verbose=0)  # type: ignore[attr-defined]


def _one_batch(x: Any, y: Any, weight: Any, recipe: Recipe, model: Any) -> ArrayFeed:
    rows = batch_rows((as_tensors(x, "x"), None, None))
    return ArrayFeed(
        x,
        y,
        weight,
        batch_size=max(rows, 1),
        device=target_device(model, recipe),
        floats=recipe.floats,
    )


def _returned(logs: Mapping[str, Any], return_dict: bool) -> Any:
    numbers = {name: loop.to_number(value) for name, value in logs.items()}
    if return_dict:
        return numbers
    values = list(numbers.values())
    return values[0] if len(values) == 1 else values
