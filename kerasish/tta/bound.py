"""Views of one model's batches: run, averaged, counted."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Self

import torch

from kerasish.data.arrays import leaves
from kerasish.describe import describe, suggest
from kerasish.layers.augmentation.draws import current_samples, seeing
from kerasish.tta.crops import Flips, MultiScaleTenCrop, TenCrop
from kerasish.tta.dropout import MonteCarloDropout
from kerasish.tta.mean import Mean, OutputKind
from kerasish.tta.views import Views

NAMED: dict[str, type[Views]] = {
    "flips": Flips,
    "monte_carlo_dropout": MonteCarloDropout,
    "multi_scale_ten_crop": MultiScaleTenCrop,
    "ten_crop": TenCrop,
}


class BoundViews:
    """Shows a model the views of batch after batch; at any time one view is in memory.

    As a context it makes `predict` and `evaluate` of the model do so, and lets the model's
    preprocessing leave raw images as large as the views need them.

    Args:
        views: The views.
        model: The model.
        keeps_spread: Whether the spread is wanted beside the mean.
    """

    def __init__(self, views: Views, model: Any, keeps_spread: bool = False) -> None:
        self.model, self.keeps_spread = model, keeps_spread
        self._views = views.for_model(model)
        self._kinds: list[OutputKind] = []
        self._seen = 0  # rows of earlier batches
        self._before: dict[str, Any] = {}  # the model's attributes outside the context
        self._context = ExitStack()

    def __enter__(self) -> Self:
        images = getattr(self.model, "preprocessing", None)
        wanted = images if images is None else self._views.room_for(images)
        # A fit that this is done within knows its samples again afterwards.
        self._context.enter_context(seeing(None))
        self._set("_views", self)
        if wanted is not images:
            self._set("_preprocessing", wanted)
        return self

    def __exit__(self, *error: object) -> None:
        self.model.__dict__.update(self._before)
        self._context.close()

    def _set(self, name: str, value: Any) -> None:
        # Into the dictionary, since nothing that the model computes has changed.
        self._before[name] = self.model.__dict__.get(name)
        self.model.__dict__[name] = value

    def __call__(self, call: Callable[[Any], tuple[Any, Any]], x: Any) -> tuple[Any, Any]:
        """The mean of the outputs for all views, and the mask of the first.

        Args:
            call: Gives outputs and their masks for a batch.
            x: A batch of inputs.

        Returns:
            The mean, or `(mean, spread)`; and the mask.
        """
        views = self._views
        mean = Mean(views.average, type(views).__name__)
        masks: list[Any] = []
        for number, view in enumerate(views.views(x, self._rows(x, counts=True))):
            with views.mode(self.model):
                y_pred, mask = call(view)
            y_pred = views.restored(y_pred, number)
            mean.add(y_pred, keeps_spread=self.keeps_spread, kinds=self._kinds)
            self._kinds = mean.kinds  # the first batch tells for all
            masks = masks or [mask]
        if not masks:
            raise ValueError(f"{type(views).__name__}: there are no views to average.")
        if self.keeps_spread:
            return (mean.result(), mean.spread()), masks[0]
        return mean.result(), masks[0]

    def first(self, x: Any) -> Any:
        """The first view of a batch: it tells shapes as well as all of them."""
        return next(iter(self._views.views(x, self._rows(x))))

    def _rows(self, x: Any, counts: bool = False) -> torch.Tensor:
        first = next(leaves(x))
        known = current_samples()
        if counts and known is not None and len(known.indices) == len(first):
            return known.indices.to(first.device)
        rows = torch.arange(self._seen, self._seen + len(first), device=first.device)
        self._seen += len(first) if counts else 0
        return rows


def views_of(model: Any) -> BoundViews | None:
    """What a model's batches are to be shown as at present; `None` for the batches themselves."""
    return model.__dict__.get("_views")


def bind_views(tta: Any, model: Any, keeps_spread: bool = False) -> BoundViews:
    """What `predict` and `evaluate` were given as `tta`, for a model.

    Args:
        tta: A name, or `Views`.
        model: The model.
        keeps_spread: Whether to give the spread, too, if the views say so.

    Raises:
        ValueError: If the name is unknown, or the views do not suit the model.
        TypeError: If it is neither.
    """
    if isinstance(tta, str):
        if tta not in NAMED:
            raise ValueError(f"tta: unknown views {describe(tta)}{suggest(tta, NAMED)}.")
        tta = NAMED[tta]()
    if not isinstance(tta, Views):
        hint = " Draws(pipeline, n) shows augmented images." if callable(tta) else ""
        raise TypeError(
            f"tta: expected a name or an object of kerasish.tta, got {describe(tta)}.{hint}"
        )
    return BoundViews(tta, model, keeps_spread and tta.spread)
