"""Files of a folder as batches: split in two, labelled, and told about."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from kerasish.data.batch_source import BatchSource
from kerasish.data.folder_index import FolderIndex
from kerasish.describe import count_of, describe
from kerasish.utils.batches import Batches

LABEL_MODES = ("int", "categorical", "binary", None)
SUBSETS = ("training", "validation", "both", None)


def split_index(
    index: FolderIndex,
    shuffle: bool,
    seed: int | None,
    validation_split: float | None,
    subset: str | None,
) -> list[FolderIndex]:
    """Shuffle the files, and give the subset that is wanted: one index, or two for `"both"`.

    The order for a seed is the one that Keras draws, so that both split a folder alike.

    Raises:
        ValueError: If the options contradict each other, or a part would be empty.
    """
    check_split(shuffle, seed, validation_split, subset)
    order = list(range(len(index.paths)))
    if shuffle:
        drawn = random.SystemRandom().randrange(10**6) if seed is None else seed
        np.random.RandomState(drawn).shuffle(order)
    index = index.select(order)
    if validation_split is None:
        return [index]
    cut = len(order) - int(validation_split * len(order))
    if cut in (0, len(order)):
        raise ValueError(
            f"`validation_split={validation_split}` of {count_of(len(order), 'file')} leaves "
            f"nothing to {'train' if cut == 0 else 'validate'} on."
        )
    parts = {
        "training": index.select(range(cut)),
        "validation": index.select(range(cut, len(order))),
    }
    return list(parts.values()) if subset == "both" else [parts[str(subset)]]


def check_split(
    shuffle: bool, seed: int | None, validation_split: float | None, subset: str | None
) -> None:
    """Refuse split options that contradict each other."""
    if subset not in SUBSETS:
        raise ValueError(f"`subset` must be one of {SUBSETS}, got {describe(subset)}.")
    if (validation_split is None) != (subset is None):
        raise ValueError(
            "`validation_split` and `subset` go together, got "
            f"validation_split={validation_split} and subset={subset!r}."
        )
    if validation_split is None:
        return
    if not 0 < validation_split < 1:
        raise ValueError(f"`validation_split` must be in (0, 1), got {describe(validation_split)}.")
    if shuffle and seed is None and subset != "both":
        raise ValueError(
            "With `validation_split` and shuffle=True, give `seed` too: otherwise the two subsets "
            "are drawn from different orders and overlap."
        )


def labels_as_tensor(index: FolderIndex, label_mode: str | None) -> torch.Tensor | None:
    """The labels in the form that `label_mode` asks for.

    Shapes:
        output: `(files,)` int64 for `"int"`, `(files, classes)` float32 for `"categorical"`,
            `(files, 1)` float32 for `"binary"`
    """
    if index.labels is None or label_mode is None:
        return None
    labels = torch.tensor(index.labels, dtype=torch.int64)
    if label_mode == "int":
        return labels
    if label_mode == "binary":
        return labels.to(torch.float32)[:, None]
    names = index.class_names or []
    return torch.nn.functional.one_hot(labels, len(names)).to(torch.float32)


def folder_batches(
    index: FolderIndex,
    make_source: Callable[[list[str], torch.Tensor | None, bool], BatchSource],
    *,
    label_mode: str | None,
    batch_size: int | None,
    shuffle: bool,
    seed: int | None,
    validation_split: float | None,
    subset: str | None,
    verbose: bool,
) -> Any:
    """Split an index and make batches of each part; the validation part keeps one order.

    Args:
        index: The files.
        make_source: Makes the source of batches from paths, label rows, and whether they validate.
        label_mode: The form of the labels.
        batch_size: Rows in a batch.
        shuffle: Whether to shuffle before the split, and the rest each epoch.
        seed: Makes split and orders repeat.
        validation_split: The share of files for validation.
        subset: Which part is wanted.
        verbose: Whether to print what was found.

    Returns:
        `Batches`, or a tuple of two for `subset="both"`.
    """
    check_label_mode(label_mode, index)
    parts = split_index(index, shuffle, seed, validation_split, subset)
    names = ("training", "validation") if subset == "both" else (subset,)
    if verbose:
        tell(index, dict(zip(names, parts, strict=True)))
    made = []
    for name, part in zip(names, parts, strict=True):
        rows = labels_as_tensor(part, label_mode)
        source = make_source(part.paths, rows, name == "validation")
        reorder = shuffle and name != "validation"
        batches = Batches(source, batch_size=batch_size, shuffle=reorder, seed=seed)
        batches.class_names, batches.class_counts = part.class_names, part.counts()
        batches.file_paths = part.paths
        made.append(batches)
    return tuple(made) if subset == "both" else made[0]


def check_label_mode(label_mode: str | None, index: FolderIndex) -> None:
    """Refuse an unknown `label_mode`, and `"binary"` for other than two classes."""
    if label_mode not in LABEL_MODES:
        raise ValueError(f"`label_mode` must be one of {LABEL_MODES}, got {describe(label_mode)}.")
    if label_mode == "binary" and index.labels is not None and len(index.class_names or []) != 2:
        raise ValueError(f"label_mode='binary' needs two classes, got {index.class_names}.")


def tell(index: FolderIndex, parts: Mapping[str | None, FolderIndex]) -> None:
    """Print what was found: files, classes, what was left aside, and the parts in use."""
    lines = [f"Found {count_of(len(index.paths), 'file')}"]
    if index.class_names is not None:
        counts = index.counts() or {}
        classes = "1 class" if len(counts) == 1 else f"{len(counts):,} classes"
        told = ", ".join(f"{name} {count:,}" for name, count in list(counts.items())[:12])
        lines[0] += f" belonging to {classes}: {told}{', …' if len(counts) > 12 else ''}"
    if index.ignored:
        more = ", …" if len(index.ignored) > 3 else ""
        left_aside = count_of(len(index.ignored), "file")
        lines.append(f"Left aside {left_aside}: {', '.join(index.ignored[:3])}{more}")
    for name, part in parts.items():
        if name is not None:
            lines.append(f"Using {count_of(len(part.paths), 'file')} for {name}")
    sys.stdout.write("\n".join(lines) + "\n")
