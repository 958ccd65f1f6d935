"""Folders with one sub-folder per class: which files there are, and what each is labelled."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kerasish.describe import count_of, describe


@dataclass(frozen=True)
class FolderIndex:
    """The files of a folder in order, with a class number for each.

    Args:
        paths: The files.
        labels: A class number for each, or `None` for no labels.
        class_names: The names of the numbers, or `None` for no labels.
        ignored: Files of other kinds that lie among them.
    """

    paths: list[str]
    labels: list[int] | None
    class_names: list[str] | None
    ignored: list[str]

    def counts(self) -> dict[str, int] | None:
        """How many files each class has."""
        if self.labels is None or self.class_names is None:
            return None
        found = np.bincount(self.labels, minlength=len(self.class_names))
        return dict(zip(self.class_names, found.tolist(), strict=False))

    def select(self, rows: Sequence[int]) -> FolderIndex:
        """These rows alone, in this order."""
        labels = None if self.labels is None else [self.labels[row] for row in rows]
        return replace(self, paths=[self.paths[row] for row in rows], labels=labels)


def index_folder(
    directory: str | os.PathLike,
    labels: Any,
    class_names: Sequence[str] | None,
    endings: Collection[str],
    follow_links: bool = False,
) -> FolderIndex:
    """List the files of a folder with their labels, sorted by class and path.

    Args:
        directory: The folder.
        labels: `"inferred"` from the names of the sub-folders, `None`, or one integer for each
            file in the sorted order of their paths.
        class_names: The sub-folders to use, in the order of their numbers; all, sorted, by default.
        endings: The endings of files that count, in small letters.
        follow_links: Whether to enter sub-folders that are symbolic links.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If labels and folders do not match, or no file was found.
    """
    root = Path(directory)
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder {root} (from folder {Path.cwd()}).")
    if labels != "inferred":
        paths, ignored = _files_below(root, endings, follow_links)
        index = FolderIndex(paths, _given_labels(labels, len(paths)), None, ignored)
        if index.labels is not None:
            index = replace(index, class_names=[str(k) for k in sorted(set(index.labels))])
    else:
        index = _inferred(root, class_names, endings, follow_links)
    if not index.paths:
        raise ValueError(f"There are no files ending in {', '.join(endings)} in {root}.")
    return index


def _inferred(
    root: Path, class_names: Sequence[str] | None, endings: Collection[str], follow_links: bool
) -> FolderIndex:
    folders = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    names = folders if class_names is None else list(class_names)
    if set(names) != set(folders):
        raise ValueError(
            f"`class_names` must be the names of the sub-folders of {root}: {folders}, got {names}."
        )
    index = FolderIndex([], [], names, [])
    assert index.labels is not None
    for number, name in enumerate(names):
        paths, ignored = _files_below(root / name, endings, follow_links)
        index.paths.extend(paths)
        index.labels.extend([number] * len(paths))
        index.ignored.extend(ignored)
    return index


def _files_below(
    folder: Path, endings: Collection[str], follow_links: bool
) -> tuple[list[str], list[str]]:
    """Files that count and files that do not, walking folders and names in sorted order."""
    walked = sorted(os.walk(folder, followlinks=follow_links), key=lambda entry: entry[0])
    files = [str(Path(place) / name) for place, _, names in walked for name in sorted(names)]
    wanted = [file for file in files if file.lower().endswith(tuple(endings))]
    return wanted, sorted(set(files) - set(wanted))


def _given_labels(labels: Any, count: int) -> list[int] | None:
    if labels is None:
        return None
    if isinstance(labels, str) or not hasattr(labels, "__len__"):
        raise ValueError(
            "`labels` must be 'inferred', None, or one integer for each file, got "
            f"{describe(labels)}."
        )
    if len(labels) != count:
        raise ValueError(f"There are {count_of(count, 'file')} but {len(labels)} labels.")
    return [int(label) for label in labels]
