"""Class weights, batch size and validation data, held against the classes that occur."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kerasish.data.feed import Feed
from kerasish.training.loss_kinds import kind_of_loss
from kerasish.training.plan import StepPlan
from kerasish.training.preflight.advice import Report
from kerasish.training.preflight.inputs import check_validation_inputs
from kerasish.training.preflight.subject import Subject, class_numbers, shorten

# Larger class numbers are identities rather than classes to count.
_MOST_CLASSES = 10_000
# What would come about by chance less often than this is told.
_UNLIKELY = 1e-3


def check_batches(subject: Subject) -> None:
    """Whether the batch size goes with the number of rows."""
    rows, size = subject.feed.num_samples, subject.feed.batch_size
    if rows and size and size > 32 and size >= 4 * rows:
        subject.report.advise(
            "K140",
            f"batch_size={size} is much larger than the {rows} rows, so that each epoch makes a "
            "single update. Use a smaller one, such as 32.",
        )


def check_class_weights(subject: Subject, tables: list[dict | None]) -> None:
    """Whether class weights name the classes that occur.

    Args:
        subject: The fit.
        tables: For each output, weights by class, or `None`.
    """
    if not subject.is_whole:
        return
    targets = subject.objective.flat(subject.y)
    for output, table, y in zip(subject.objective.outputs, tables, targets, strict=True):
        if not table or not isinstance(y, Tensor):
            continue
        counts = class_counts(y, kind_of_loss(output.loss))
        if counts is None:
            continue
        present = set(counts.nonzero().flatten().tolist())
        keys = {int(key) for key in table}
        if never := sorted(keys - present):
            subject.report.advise(
                "K142",
                f"class_weight names the classes {shorten(never)}, which never occur in the "
                f"targets of output '{output.name}' (there are {shorten(sorted(present))}). Use "
                "the class numbers of y as keys.",
            )
        missing = sorted(present - keys)
        if missing and len(present) > 2:
            subject.report.advise(
                "K143",
                f"class_weight leaves out the classes {shorten(missing)} of output "
                f"'{output.name}', which then weigh 1. Give every class a weight.",
            )


def check_validation(plan: StepPlan, training: Feed, validation: Feed, *, is_tail: bool) -> None:
    """Advise where the classes of validation data are not those of the training data.

    Raises:
        ValueError: If inputs are not finite.

    Args:
        plan: The plan, with its objective.
        training: The training data, targets prepared.
        validation: The validation data, targets prepared.
        is_tail: Whether they are the last rows of the data, split off.
    """
    if not (plan.model._trains_itself or plan.model._tests_itself):
        check_validation_inputs(Subject.of(plan, validation, []))
    (_, y, _), is_whole = training.known_rows()
    (_, held, _), is_all = validation.known_rows()
    if not (is_whole and is_all) or plan.objective is None or y is None or held is None:
        return
    report = Report()
    pairs = zip(plan.objective.flat(y), plan.objective.flat(held), strict=True)
    for output, (ours, theirs) in zip(plan.objective.outputs, pairs, strict=True):
        kind = kind_of_loss(output.loss)
        if not isinstance(ours, Tensor) or not isinstance(theirs, Tensor):
            continue
        counts, held_counts = class_counts(ours, kind), class_counts(theirs, kind)
        if counts is not None and held_counts is not None:
            _compare(report, output.name, counts, held_counts, is_tail=is_tail)
    report.give()


def class_counts(y: Tensor, kind: str) -> Tensor | None:
    """How often each class number occurs, `None` where targets are no classes."""
    classes = class_numbers(y, kind)
    if classes is None or not len(classes):
        return None
    low, high = (int(v) for v in classes.aminmax())
    if high > _MOST_CLASSES:
        return None
    return torch.bincount(classes if low >= 0 else classes[classes >= 0])


def _compare(report: Report, name: str, ours: Tensor, theirs: Tensor, *, is_tail: bool) -> None:
    size = max(len(ours), len(theirs))
    ours, theirs = (torch.nn.functional.pad(c, (0, size - len(c))).double() for c in (ours, theirs))
    rows, held_rows = float(ours.sum()), float(theirs.sum())
    if not rows or not held_rows:
        return
    # How likely it is to draw no row of a class, if both were drawn from the same data.
    both = (ours + theirs) / (rows + held_rows)
    none_held, none_ours = (1 - both) ** held_rows, (1 - both) ** rows
    missing = _numbers((theirs == 0) & (ours > 0) & (none_held < _UNLIKELY))
    new = _numbers((ours == 0) & (theirs > 0) & (none_ours < _UNLIKELY))
    if is_tail and (missing or new):
        where = "validation lacks" if missing else "training lacks"
        report.advise(
            "K144",
            f"validation_split takes the last rows, and {where} the classes "
            f"{shorten(missing or new)} of output '{name}': the rows seem to be sorted. Shuffle x "
            "and y together first, or pass validation_data.",
        )
    elif new:
        report.advise(
            "K145",
            f"the validation targets of output '{name}' have the classes {shorten(new)}, which "
            "training never shows. Split the data so that both have all classes.",
        )
    elif missing and int((theirs > 0).sum()) == 1:
        report.advise(
            "K146",
            f"all validation targets of output '{name}' are of class {int(theirs.argmax())}: the "
            "validation says nothing about the others. Split the data so that both have all "
            "classes.",
        )


def _numbers(mask: Tensor) -> list[Any]:
    return mask.nonzero().flatten().tolist()
