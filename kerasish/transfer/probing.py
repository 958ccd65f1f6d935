"""Which stage's features tell the classes apart best: a linear classifier on each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kerasish.describe import describe
from kerasish.models.freezing import stages
from kerasish.report.drawing import new_figure, save_figure
from kerasish.transfer.features import extract_features


def probe(
    model: Any,
    x: Any,
    y: Any = None,
    *,
    layers: Sequence[str] | None = None,
    validation_split: float = 0.2,
    penalty: float = 1.0,
    batch_size: int | None = None,
    seed: int = 0,
    plot: str | Path | None = None,
) -> dict[str, float]:
    """The accuracy of a linear classifier on the features of each stage.

    Early stages win where the new images are unlike those that the network learned from, late ones
    where they are alike: the answer says where to cut, and what to fine-tune. Maps are averaged
    over their positions, features standardised, and the classifier is a ridge regression to the
    classes, solved exactly.

    Args:
        model: A built model.
        x: Anything that `predict` takes; with targets, `y` is left out.
        y: Class numbers, one for each row, or a column for each class.
        layers: The stages to compare; by default all but the last.
        validation_split: The share of rows, drawn at random, that accuracy is measured on.
        penalty: Weighs the squared coefficients.
        batch_size: Rows in a batch, 32 by default.
        seed: Draws the rows.
        plot: Where to save a picture of the result.

    Returns:
        The share of held-out rows that are right, by stage, from generic to specific.

    Raises:
        ValueError: If there are no targets, only one class, or too few rows to hold any out.
    """
    names = [stage.name for stage in stages(model)][:-1] if layers is None else list(layers)
    features = extract_features(model, x, names, batch_size=batch_size, pooling="avg")
    given = features.pop("targets", None) if y is None else np.asarray(y)
    if given is None:
        raise ValueError("probe: the data bring no targets; pass class numbers as `y`.")
    if given.ndim == 2 and given.shape[1] > 1:
        given = given.argmax(1)  # one column a class
    classes, targets = np.unique(given.reshape(-1), return_inverse=True)
    if len(classes) < 2:
        raise ValueError("probe: all rows are of one class; there is nothing to tell apart.")
    rows = len(next(iter(features.values())))
    held = round(rows * validation_split)
    if len(targets) != rows or not 0 < held < rows:
        raise ValueError(
            f"probe: {rows} rows, {describe(given)} and validation_split={validation_split} leave "
            "nothing to train or to measure on."
        )
    order = torch.as_tensor(np.random.default_rng(seed).permutation(rows))
    learned, tested = order[held:], order[:held]
    labels = torch.as_tensor(targets)
    scores = {}
    for name, array in features.items():
        z = torch.as_tensor(array).flatten(1).double()
        z = (z - z[learned].mean(0)) / (z[learned].std(0) + 1e-6)
        z = torch.cat([z, torch.ones_like(z[:, :1])], 1)
        one_hot = torch.nn.functional.one_hot(labels[learned], len(classes)).double()
        guesses = (z[tested] @ _ridge(z[learned], one_hot, penalty)).argmax(1)
        scores[name] = float((guesses == labels[tested]).double().mean())
    if plot is not None:
        _draw(scores, 1 / len(classes), plot)
    return scores


def _draw(scores: dict[str, float], chance: float, path: str | Path) -> None:
    """A bar for each stage, and a line where guessing is."""
    figure = new_figure(1.5 + 0.8 * len(scores), 3.5)
    axis = figure.add_subplot()
    axis.bar(range(len(scores)), list(scores.values()))
    axis.axhline(chance, color="black", linestyle=":", linewidth=1)
    axis.set_xticks(range(len(scores)), list(scores), rotation=45, ha="right")
    axis.set_ylim(0, 1)
    axis.set_ylabel("accuracy of a linear classifier")
    save_figure(figure, path)


def _ridge(z: Tensor, target: Tensor, penalty: float) -> Tensor:
    """Coefficients that minimise `|z w - target|² + penalty |w|²`, by the smaller system."""
    rows, columns = z.shape
    eye = torch.eye(min(rows, columns), dtype=z.dtype)
    if columns <= rows:
        return torch.linalg.solve(z.T @ z + penalty * eye, z.T @ target)
    return z.T @ torch.linalg.solve(z @ z.T + penalty * eye, target)
