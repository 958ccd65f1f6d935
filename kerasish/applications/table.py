"""A table of the networks: how large they are, what they see, how often they are right."""

from __future__ import annotations

import dataclasses
from typing import Any

from kerasish.applications import catalogue
from kerasish.describe import describe, suggest
from kerasish.report.tables import html_table, text_table

_TITLES = {"name": "name", "parameters": "parameters", "top1": "top-1 %", "size": "image side"}
_TITLES |= {"source": "source"}


@dataclasses.dataclass(frozen=True)
class Entry:
    """A network and its default weights.

    Attributes:
        name: Its name in the catalogue.
        parameters: Their number, with the classifier for ImageNet's 1000 classes.
        top1: The share of ImageNet's validation images that it gets right, in percent, as
            torchvision or Keras publish it.
        size: The side of the images that it was tested on.
        source: `"torchvision"` or `"keras"`: whose weights they are.
    """

    name: str
    parameters: int
    top1: float
    size: int
    source: str


class Table(list[Entry]):
    """A list of entries that prints as a table."""

    def to_frame(self) -> Any:
        """A pandas DataFrame, one row for each network.

        Raises:
            ImportError: If pandas is missing.
        """
        import pandas as pd

        frame = pd.DataFrame([dataclasses.asdict(entry) for entry in self], columns=[*_TITLES])
        return frame.set_index("name")

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        rows = [[e.name, f"{e.parameters:,}", f"{e.top1:.1f}", f"{e.size}", e.source] for e in self]
        return [*_TITLES.values()], rows

    def __repr__(self) -> str:
        return text_table(*self._cells())

    def _repr_html_(self) -> str:
        return html_table(*self._cells())


def table(pattern: str = "*", sort: str = "name") -> Table:
    """The networks and what is published of their default weights.

    Args:
        pattern: A glob pattern over names; case does not matter.
        sort: The column to sort by: `"name"`, `"parameters"`, `"top1"` or `"size"`.

    Raises:
        ValueError: If there is no such column.

    Example:
        >>> table("vgg1?", sort="top1")
        name    parameters  top-1 %  image side       source
        VGG11  132,863,336     69.0         224  torchvision
        VGG13  133,047,848     69.9         224  torchvision
        VGG16  138,357,544     71.6         224  torchvision
        VGG19  143,667,240     72.4         224  torchvision
    """
    if sort not in _TITLES:
        raise ValueError(
            f"applications.table: `sort` is one of {[*_TITLES]}, got {describe(sort)}"
            f"{suggest(sort, _TITLES)}."
        )
    entries = [_entry(name) for name in catalogue.list(pattern) if name in catalogue.ALL]
    return Table(sorted(entries, key=lambda entry: getattr(entry, sort)))


def _entry(name: str) -> Entry:
    published = catalogue.get(name).weights.DEFAULT
    return Entry(
        name,
        published.meta["num_params"],
        published.meta["_metrics"]["ImageNet-1K"]["acc@1"],
        published.transforms().crop_size[0],
        "keras" if name in catalogue.LAYERED else "torchvision",
    )
