"""The confusion matrix: how often each class was taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerasish.describe import describe, suggest
from kerasish.report.drawing import new_figure, save_figure
from kerasish.report.predictions import checked_names, class_numbers
from kerasish.report.tables import html_table, text_table

_NORMALIZED = ("true", "predicted", "all")
# With more classes than this, the numbers in the cells are too small to read.
_MOST_NUMBERS = 25


@dataclass(eq=False)
class ConfusionMatrix:
    """How often each class was taken for which; `str`, a notebook and `plot` show it.

    Attributes:
        matrix: `(classes, classes)`: a row for each true class, a column for each predicted one.
        class_names: Their names.
    """

    matrix: np.ndarray
    class_names: list[str]

    @property
    def accuracy(self) -> float:
        """The share of samples that are right."""
        return float(np.trace(self.matrix) / self.matrix.sum())

    def normalized(self, by: str = "true") -> np.ndarray:
        """Shares instead of counts; 0 for a class that does not occur.

        Args:
            by: Shares of what: of each `"true"` class, of each `"predicted"` one, or of `"all"`.

        Raises:
            ValueError: If it is none of these.
        """
        if by not in _NORMALIZED:
            raise ValueError(
                f"ConfusionMatrix: unknown normalisation {describe(by)}{suggest(by, _NORMALIZED)}."
            )
        axis = {"true": 1, "predicted": 0, "all": None}[by]
        totals = self.matrix.sum(axis, keepdims=True)
        return np.divide(self.matrix, totals, where=totals > 0, out=np.zeros(self.matrix.shape))

    def most_confused(self, n: int = 5) -> list[tuple[str, str, int]]:
        """The commonest mistakes as (true class, predicted class, count), greatest count first."""
        wrong = self.matrix * ~np.eye(len(self.matrix), dtype=bool)
        order = np.argsort(-wrong, axis=None, kind="stable")[:n]
        pairs = [np.unravel_index(place, wrong.shape) for place in order]
        names = self.class_names
        return [(names[i], names[j], int(wrong[i, j])) for i, j in pairs if wrong[i, j]]

    def plot(self, path: str | Path | None = None, *, normalize: str | None = None) -> Any:
        """Draw it; darker cells are commoner among the samples of their row.

        Args:
            path: Where to save the picture; by default only the figure is made.
            normalize: Write shares instead of counts: of the `"true"` class, of the `"predicted"`
                class, or of `"all"`.

        Returns:
            The matplotlib figure.

        Raises:
            ImportError: If matplotlib is missing.
        """
        count = len(self.class_names)
        side = min(16.0, max(3.5, 0.55 * count + 1.5))
        values = self.matrix if normalize is None else self.normalized(normalize)
        shades = self.normalized("true") if normalize is None else values
        figure = new_figure(side, side)
        axis = figure.subplots()
        axis.imshow(shades, cmap="Blues", vmin=0, vmax=max(float(shades.max()), 1e-12))
        axis.set_xticks(range(count), self.class_names, rotation=45, ha="right")
        axis.set_yticks(range(count), self.class_names)
        axis.set(xlabel="predicted", ylabel="true", title=f"accuracy {self.accuracy:.1%}")
        if count <= _MOST_NUMBERS:
            for (row, column), value in np.ndenumerate(values):
                color = "white" if shades[row, column] > 0.6 * shades.max() else "black"
                text = str(value) if normalize is None else f"{value:.2f}"
                axis.text(column, row, text, ha="center", va="center", color=color, fontsize=8)
        return save_figure(figure, path)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.matrix, dtype=dtype)

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        rows = [
            [name, *map(str, row)]
            for name, row in zip(self.class_names, self.matrix.tolist(), strict=True)
        ]
        return ["true \\ predicted", *self.class_names], rows

    def __str__(self) -> str:
        return text_table(*self._cells())

    def _repr_html_(self) -> str:
        return html_table(*self._cells())


def confusion_matrix(
    y_true: Any,
    y_pred: Any,
    class_names: Sequence[str] | None = None,
    *,
    plot: str | Path | None = None,
) -> ConfusionMatrix:
    r"""Count how often each class was taken for which.

    Args:
        y_true: Class numbers, or rows with a one for the class.
        y_pred: Class numbers, or a model's outputs: the greatest score of a row wins. Rows of one
            score are for class 1 above 0.5 if all scores are from 0 to 1, else above 0.
        class_names: The names of the classes; their numbers by default.
        plot: Where to save a picture of it.

    Shapes:
        y_true: `(rows,)`, `(rows, 1)` or `(rows, classes)`
        y_pred: the same

    Raises:
        ValueError: If these do not go together.

    Example:
        >>> print(confusion_matrix([0, 1, 1, 1], [0, 1, 0, 1], ["cat", "dog"]))
        true \ predicted  cat  dog
        cat                 1    0
        dog                 1    2
    """
    true, predicted, count = class_numbers(y_true, y_pred, "confusion_matrix")
    names = checked_names(class_names, count, "confusion_matrix")
    count = len(names)
    cells = np.bincount(true * count + predicted, minlength=count * count)
    found = ConfusionMatrix(cells.reshape(count, count), names)
    if plot is not None:
        found.plot(plot)
    return found
