"""Are the targets what the loss expects: their range, their spread, their classes."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from kerasish import losses
from kerasish.training.loss_kinds import CLASS_KINDS, kind_of_loss
from kerasish.training.preflight.subject import (
    FEW_ROWS,
    Subject,
    class_numbers,
    is_constant,
    shorten,
    some_rows,
    span,
)

# Beyond this spread the first gradients of a squared error are huge.
_LARGE_SPREAD = 1e3


def check_targets(subject: Subject) -> None:
    """Look at all targets, or at those of the first batch.

    Raises:
        ValueError: If a cross-entropy gets targets outside [0, 1].
    """
    for output, _, y in subject.outputs():
        kind = kind_of_loss(output.loss)
        if not y.numel():
            continue
        if kind in ("binary", "categorical") or (kind == "sparse" and y.is_floating_point()):
            _check_unit_interval(subject, output, kind, y)
        if kind == "regression":
            _check_spread(subject, output.name, y)
        if subject.is_whole and kind != "other":
            _check_constant(subject, output.name, kind, y)
        _check_order(subject, output.name, kind, y)


def _check_unit_interval(subject: Subject, output: Any, kind: str, y: Tensor) -> None:
    low, high = span(y)
    # Several classes may each count more than once; a yes/no question cannot.
    is_outside = low < -1e-3 or (kind == "binary" and high > 1 + 1e-3)
    # Rows of weight 0 may hold anything, such as -1 for "unknown".
    if is_outside and subject.weight is None:
        hint = "Number binary classes 0 and 1, and scale other targets to [0, 1]."
        raise ValueError(
            f"K117: fit: the loss '{output.loss.name}' of output '{output.name}' takes targets "
            f"between 0 and 1, but they lie in [{low:.4g}, {high:.4g}]. {hint}"
        )
    if kind == "binary" or y.dim() != 2 or isinstance(output.loss, losses.TorchLoss):
        return
    sums = some_rows(y).sum(-1)
    if subject.weight is None and bool(((sums - 1).abs() > 1e-2).any()):
        subject.report.advise(
            "K118",
            f"the targets of output '{output.name}' should add up to 1 in each row, but some add "
            f"up to {float(sums[(sums - 1).abs().argmax()]):.4g}. Where several classes may apply, "
            'use loss="binary_crossentropy" and a sigmoid.',
        )


def _check_spread(subject: Subject, name: str, y: Tensor) -> None:
    low, high = span(y)
    if high - low <= _LARGE_SPREAD or len(y) < 2:
        return
    spread = float(some_rows(y).float().std())
    if spread > _LARGE_SPREAD:
        subject.report.advise(
            "K120",
            f"the targets of output '{name}' have a standard deviation of {spread:.4g}, so the "
            "first gradients will be huge. Train on (y - y.mean()) / y.std(), or on log(y).",
        )


def _check_constant(subject: Subject, name: str, kind: str, y: Tensor) -> None:
    # Zeros as numbers are meant: what an equation leaves over, or a loss that looks at no target.
    if not is_constant(y) or (kind not in CLASS_KINDS and not y.any()):
        return
    what = "the same class" if kind in CLASS_KINDS else "the same values"
    subject.report.advise(
        "K119",
        f"all {len(y):,} rows have {what} as target of output '{name}': there is nothing to learn. "
        "Look at how y was made.",
    )


def _check_order(subject: Subject, name: str, kind: str, y: Tensor) -> None:
    """Whether batches will hold one class each."""
    feed = subject.feed
    if kind not in CLASS_KINDS or len(y) < 2 * FEW_ROWS:
        return
    classes = class_numbers(y, kind)
    if classes is None or len(classes) < 2 * FEW_ROWS:
        return
    if not subject.is_whole:
        units = subject.predictions[0].shape[-1]
        if kind in ("sparse", "categorical") and units >= 5 and bool((classes == classes[0]).all()):
            subject.report.advise(
                "K141",
                f"the first batch holds only class {int(classes[0])} of output '{name}': the data "
                "seem to be sorted. Shuffle them, for example with DataLoader(shuffle=True).",
            )
        return
    if getattr(feed, "shuffle", True) is True or (feed.num_batches or 1) < 2 or y.dim() > 2:
        return
    if bool((classes[1:] >= classes[:-1]).all()) and classes[0] != classes[-1]:
        subject.report.advise(
            "K141",
            f"the rows are sorted by the classes of output '{name}' ({_few(classes)}), and "
            f"shuffle={feed.shuffle!r} keeps them so: each batch sees few classes. "  # type: ignore[attr-defined]
            "Use shuffle=True.",
        )


def _few(classes: Tensor) -> str:
    return shorten(classes.unique().tolist(), 4)
