"""Batches of texts read from a folder with one sub-folder per class."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from kerasish.data.batch_source import BatchSource
from kerasish.data.folder_index import index_folder
from kerasish.utils.folders import folder_batches


class TextFiles(BatchSource):
    """Text files, read when a batch of them is asked for.

    Args:
        paths: The files.
        labels: One row for each file, or `None`.
        max_length: Characters to keep of each text; all by default.
    """

    def __init__(
        self, paths: list[str], labels: torch.Tensor | None, max_length: int | None
    ) -> None:
        self.paths, self.labels, self.max_length = paths, labels, max_length

    def __len__(self) -> int:
        return len(self.paths)

    def batch(self, indices: Sequence[int], epoch: int | None = None) -> Any:
        """The texts of these numbers as a list, and their labels."""
        texts = [self._text(self.paths[index]) for index in indices]
        return texts if self.labels is None else (texts, self.labels[indices])

    def _text(self, path: str) -> str:
        try:
            return Path(path).read_text(encoding="utf-8")[: self.max_length]
        except UnicodeDecodeError as error:
            raise ValueError(f"Cannot read the text {path}: it is not UTF-8 ({error}).") from error


def text_dataset_from_directory(
    directory: str | os.PathLike,
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    batch_size: int | None = 32,
    max_length: int | None = None,
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    follow_links: bool = False,
    format: str | None = None,
    verbose: bool = True,
) -> Any:
    """Batches of texts from a folder of `.txt` files with one sub-folder per class.

    The result is a `DataLoader` with `class_names`, `class_counts` and `file_paths`; use `.map` to
    turn texts into numbers.

    Shapes:
        texts: a list of `batch` strings
        labels: `(batch,)` int64 for `label_mode="int"`, `(batch, classes)` float32 for
            `"categorical"`, `(batch, 1)` float32 for `"binary"`

    Args:
        directory: The folder.
        labels: `"inferred"` from the sub-folders, `None` for texts alone, or one integer for each
            file in the sorted order of their paths.
        label_mode: `"int"`, `"categorical"`, `"binary"`, or `None` for texts alone.
        class_names: The sub-folders in the order of their numbers; sorted by default.
        batch_size: Texts in a batch; `None` gives them one by one.
        max_length: Characters to keep of each text.
        shuffle: Whether to shuffle the files, before a split and, for training, each epoch.
        seed: Makes split and orders repeat.
        validation_split: The share of files for validation, in (0, 1).
        subset: `"training"`, `"validation"`, or `"both"` for the two as a tuple.
        follow_links: Whether to enter sub-folders that are symbolic links.
        format: Keras's choice between data set libraries; without effect.
        verbose: Whether to print how many files and classes were found.

    Returns:
        `Batches`, or a tuple of two for `subset="both"`.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If options contradict each other or the folder; and, while reading, if a file
            is not UTF-8 text.
    """
    if format is not None:
        warnings.warn(
            f"text_dataset_from_directory: format={format!r} has no effect; the result is a "
            "DataLoader. Leave it out.",
            stacklevel=2,
        )
    index = index_folder(directory, labels, class_names, (".txt",), follow_links)
    return folder_batches(
        index,
        lambda paths, rows, _: TextFiles(paths, rows, max_length),
        label_mode=label_mode,
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
        validation_split=validation_split,
        subset=subset,
        verbose=verbose,
    )
