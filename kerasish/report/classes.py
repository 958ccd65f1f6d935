"""Precision, recall and F1 score of each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kerasish.describe import describe, suggest
from kerasish.report.confusion import confusion_matrix
from kerasish.report.drawing import new_figure, save_figure
from kerasish.report.tables import html_table, text_table


class ClassScores(NamedTuple):
    """How well one class, or the mean of all, is told apart.

    Attributes:
        precision: The share of right ones among the samples that were given this class.
        recall: The share of right ones among the samples of this class.
        f1: The harmonic mean of both.
        support: How many samples are of this class.
    """

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(eq=False)
class ClassificationReport:
    """The scores of each class; `str`, a notebook and `plot` show them.

    A score whose divisor is 0, such as the precision of a class that was never predicted, is 0.

    Attributes:
        class_names: The names of the classes.
        precision: One number for each class; see `ClassScores`.
        recall: The same.
        f1: The same.
        support: The same.
        accuracy: The share of samples that are right.
    """

    class_names: list[str]
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray
    accuracy: float

    def __getitem__(self, name: str) -> ClassScores:
        if name not in self.class_names:
            raise KeyError(
                f"ClassificationReport: no class {describe(name)}{suggest(name, self.class_names)}."
            )
        return self._scores(self.class_names.index(name))

    def _scores(self, i: int) -> ClassScores:
        scores = (float(self.precision[i]), float(self.recall[i]), float(self.f1[i]))
        return ClassScores(*scores, int(self.support[i]))

    @property
    def macro_average(self) -> ClassScores:
        """The mean over the classes, each counting the same."""
        return self._average(np.ones(len(self.support)))

    @property
    def weighted_average(self) -> ClassScores:
        """The mean over the classes, each counting as often as it occurs."""
        return self._average(self.support)

    def _average(self, weights: np.ndarray) -> ClassScores:
        scores = [
            float(np.average(values, weights=weights))
            for values in (self.precision, self.recall, self.f1)
        ]
        return ClassScores(scores[0], scores[1], scores[2], int(self.support.sum()))

    def to_frame(self) -> Any:
        """A pandas frame: a row a class, a column a score."""
        import pandas as pd

        names = ClassScores._fields
        return pd.DataFrame({name: getattr(self, name) for name in names}, index=self.class_names)

    def plot(self, path: str | Path | None = None) -> Any:
        """Draw the scores of each class as bars.

        Args:
            path: Where to save the picture; by default only the figure is made.

        Returns:
            The matplotlib figure.

        Raises:
            ImportError: If matplotlib is missing.
        """
        count = len(self.class_names)
        figure = new_figure(6.5, min(30.0, 1.2 + 0.5 * count))
        axis = figure.subplots()
        places = np.arange(count)
        for i, name in enumerate(("precision", "recall", "f1")):
            axis.barh(places + 0.26 * (i - 1), getattr(self, name), 0.24, label=name)
        labels = [f"{n} ({s})" for n, s in zip(self.class_names, self.support, strict=True)]
        axis.set_yticks(places, labels)
        axis.invert_yaxis()
        axis.set(xlim=(0, 1), title=f"accuracy {self.accuracy:.1%}")
        axis.grid(axis="x", alpha=0.3)
        figure.legend(loc="outside lower center", ncols=3, fontsize=8)
        return save_figure(figure, path)

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        rows = {name: self._scores(i) for i, name in enumerate(self.class_names)}
        lines = [_line(name, scores) for name, scores in rows.items()]
        lines.append(_line("mean", self.macro_average))
        lines.append(_line("mean by support", self.weighted_average))
        total = str(int(self.support.sum()))
        return (
            ["", *ClassScores._fields],
            [*lines, ["accuracy", "", "", f"{self.accuracy:.3f}", total]],
        )

    def __str__(self) -> str:
        return text_table(*self._cells())

    def _repr_html_(self) -> str:
        return html_table(*self._cells())


def classification_report(
    y_true: Any,
    y_pred: Any,
    class_names: Sequence[str] | None = None,
    *,
    plot: str | Path | None = None,
) -> ClassificationReport:
    """Compute precision, recall, F1 score and support of each class.

    Args:
        y_true: As in `confusion_matrix`.
        y_pred: As in `confusion_matrix`.
        class_names: The names of the classes; their numbers by default.
        plot: Where to save a picture of it.

    Raises:
        ValueError: If these do not go together.

    Example:
        >>> print(classification_report([0, 1, 1, 1], [0, 1, 0, 1], ["cat", "dog"]))
                         precision  recall     f1  support
        cat                  0.500   1.000  0.667        1
        dog                  1.000   0.667  0.800        3
        mean                 0.750   0.833  0.733        4
        mean by support      0.875   0.750  0.767        4
        accuracy                            0.750        4
    """
    confusion = confusion_matrix(y_true, y_pred, class_names)
    right = np.diag(confusion.matrix)
    predicted, support = confusion.matrix.sum(0), confusion.matrix.sum(1)
    found = ClassificationReport(
        confusion.class_names,
        precision=_ratio(right, predicted),
        recall=_ratio(right, support),
        f1=_ratio(2 * right, predicted + support),
        support=support,
        accuracy=confusion.accuracy,
    )
    if plot is not None:
        found.plot(plot)
    return found


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, where=whole > 0, out=np.zeros(len(part)))


def _line(name: str, scores: ClassScores) -> list[str]:
    return [name, *(f"{value:.3f}" for value in scores[:3]), str(scores.support)]
