"""The samples that a model is most wrong about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kerasish.data import make_feed
from kerasish.data.arrays import leaves, map_leaves
from kerasish.describe import describe
from kerasish.modes import evaluating
from kerasish.report.drawing import grid, save_figure, show_image, without_preprocessing
from kerasish.report.predictions import checked_names, names_of
from kerasish.training.loss_kinds import class_axis, kind_of_loss, takes_logits
from kerasish.training.outputs import join
from kerasish.training.placement import target_device
from kerasish.training.session import as_numpy
from kerasish.training.step import make_predict_step
from kerasish.tta.crops import format_of


@dataclass(eq=False)
class WorstPredictions:
    """The samples of greatest loss, greatest first.

    Attributes:
        indices: Their numbers in the data, from 0.
        losses: The loss of each.
        images: Their inputs; bytes again where the model's `preprocessing` made floats of images.
        labels: Their targets; class numbers, where the loss chooses between classes.
        predictions: What the model says; class numbers likewise.
        probabilities: A row of probabilities for each sample, where the loss is about classes; else
            the outputs.
        class_names: The names of the classes; `None` where there are no classes.
        data_format: Where images have their channels.
    """

    indices: np.ndarray
    losses: np.ndarray
    images: Any
    labels: np.ndarray
    predictions: np.ndarray
    probabilities: np.ndarray
    class_names: list[str] | None
    data_format: str

    def plot(self, path: str | Path | None = None, *, columns: int = 5, size: float = 2.2) -> Any:
        """Draw the images with what is true, what was predicted, and how surely.

        Args:
            path: Where to save the picture; by default only the figure is made.
            columns: The most images in a row.
            size: The width of one image in inches.

        Returns:
            The matplotlib figure.

        Raises:
            ImportError: If matplotlib is missing.
            ValueError: If the inputs are no images.
        """
        images: Any = next((x for x in leaves(self.images) if x.ndim == 4), None)
        if images is None:
            raise ValueError(
                "worst_predictions: only images of 4 axes can be drawn, got "
                f"{describe(self.images)}."
            )
        figure, axes = grid(len(images), columns, size)
        for i, axis in enumerate(axes):
            show_image(axis, images[i], self.data_format)
            axis.set_title(self._caption(i), fontsize=8)
        return save_figure(figure, path)

    def _caption(self, i: int) -> str:
        label, said = self.labels[i], self.predictions[i]
        if self.class_names is None or np.ndim(label):
            return f"no. {self.indices[i]}: loss {self.losses[i]:.3g}"
        row = np.atleast_1d(self.probabilities[i])
        sure = row[said] if len(row) > 1 else max(row[0], 1 - row[0])
        names = self.class_names
        return f"{names[said]} ({sure:.0%})\ntrue: {names[label]}, loss {self.losses[i]:.3g}"


def worst_predictions(
    model: Any,
    x: Any,
    y: Any = None,
    n: int = 10,
    *,
    class_names: Sequence[str] | None = None,
    batch_size: int | None = None,
    plot: str | Path | None = None,
) -> WorstPredictions:
    """Find the samples whose loss is greatest: hard ones, and wrong labels.

    Only the worst of what has been seen are kept, whatever the size of the data.

    Args:
        model: A compiled model with one output; its loss is taken for each sample.
        x: Anything that `evaluate` takes; with targets, `y` is left out.
        y: Targets, for inputs in memory.
        n: How many to find.
        class_names: The names of the classes; by default the data's or the model's.
        batch_size: Rows in a batch, 32 by default.
        plot: Where to save a picture of them.

    Raises:
        RuntimeError: If the model is not compiled.
        ValueError: If it has no loss, or several outputs; if `n` is not positive.
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"worst_predictions: `n` must be a positive number, got {describe(n)}.")
    if not getattr(model, "compiled", False):
        raise RuntimeError(
            "worst_predictions: the model must be compiled first, with the loss to go by: "
            'model.compile(loss="sparse_categorical_crossentropy").'
        )
    recipe = model._recipe
    source = model._open_inputs(x)
    device, floats = target_device(model, recipe), recipe.floats
    feed = make_feed(source, y, batch_size=batch_size, device=device, floats=floats)
    plan, _ = model._plan(feed)
    outputs = plan.objective.outputs
    if len(outputs) != 1 or outputs[0].loss is None:
        raise ValueError("worst_predictions: the model must have one output, with a loss.")
    loss = outputs[0].loss
    with evaluating(model):
        kept = _worst_rows(feed, make_predict_step(plan), loss, n)
    names = class_names or names_of(model, x)
    found = _described(kept, loss, names, format_of(model))
    images = getattr(model, "preprocessing", None)
    found.images = map_leaves(lambda x: without_preprocessing(x, images), found.images)
    if plot is not None:
        found.plot(plot)
    return found


Row = tuple[float, int, Any, Tensor, Tensor]  # loss, index, x, y, y_pred


@torch.inference_mode()
def _worst_rows(feed: Any, step: Any, loss: Any, n: int) -> list[Row]:
    kept: list[Row] = []
    seen = 0
    for x, y, _ in feed.batches(0):
        y_pred = step(x)
        losses = losses_by_row(loss, y, y_pred)
        losses = losses.masked_fill(losses.isnan(), float("inf"))  # it could not be worse
        floor = kept[-1][0] if len(kept) == n else -float("inf")
        values, places = losses.topk(min(n, len(losses)))
        for value, i in zip(values.tolist(), places.tolist(), strict=True):
            if value > floor:
                shown = map_leaves(lambda t, i=i: t[i].cpu(), x)
                # Copies, or one row would keep its whole batch alive.
                kept.append((value, seen + i, shown, y[i].clone().cpu(), y_pred[i].clone().cpu()))
        kept = sorted(kept, key=lambda row: (-row[0], row[1]))[:n]
        seen += len(losses)
    return kept


def losses_by_row(loss: Any, y_true: Tensor, y_pred: Tensor) -> Tensor:
    """The loss of each row of a batch, by itself.

    Shapes:
        output: `(rows,)`
    """
    values, counts = loss.per_sample(y_true, y_pred)
    if values.dim() == 0 or len(values) != len(y_pred):
        # A function that gives one number for a batch: ask it for each row.
        rows = [loss(y_true[i : i + 1], y_pred[i : i + 1]) for i in range(len(y_pred))]
        return torch.stack(rows).float().reshape(-1)
    values = values.reshape(len(y_pred), -1).float()
    if counts is None:
        return values.mean(1)
    counts = counts.reshape(len(y_pred), -1)
    return (values * counts).sum(1) / counts.sum(1).clamp(min=1)


def _described(
    kept: list[Row], loss: Any, names: Sequence[str] | None, data_format: str
) -> WorstPredictions:
    losses, indices, xs, ys, outputs = zip(*kept, strict=True)
    y, y_pred = torch.stack(ys), torch.stack(outputs)
    y, predicted, probabilities = _as_classes(y, y_pred, loss)
    if predicted is not None:
        count = max(2, probabilities.shape[-1])
        names = checked_names(names, count, "worst_predictions")
    return WorstPredictions(
        indices=np.array(indices),
        losses=np.array(losses),
        images=map_leaves(as_numpy, join([map_leaves(lambda t: t[None], x) for x in xs])),
        labels=as_numpy(y),
        predictions=as_numpy(y_pred if predicted is None else predicted),
        probabilities=as_numpy(probabilities),
        class_names=None if predicted is None or names is None else list(names),
        data_format=data_format,
    )


def _as_classes(y: Tensor, y_pred: Tensor, loss: Any) -> tuple[Tensor, Tensor | None, Tensor]:
    """Targets, predictions and probabilities by class; no predictions without classes."""
    kind = kind_of_loss(loss)
    if kind == "binary":
        p = y_pred.sigmoid() if takes_logits(loss) else y_pred
        if y_pred.shape[-1] > 1 and y_pred.dim() > 1:
            return y, (p > 0.5).long(), p  # several answers for each sample
        return y.reshape(len(y), -1)[:, 0].long(), (p.reshape(-1) > 0.5).long(), p
    if kind not in ("sparse", "categorical", "log_probabilities") or y_pred.dim() < 2:
        return y, None, y_pred
    axis = class_axis(loss)
    p = y_pred.exp() if kind == "log_probabilities" else y_pred
    p = p.softmax(axis) if takes_logits(loss) else p
    if y.shape == y_pred.shape:
        y = y.argmax(axis)
    elif y.dim() == y_pred.dim():
        y = y.squeeze(-1)
    return y, p.argmax(axis), p
