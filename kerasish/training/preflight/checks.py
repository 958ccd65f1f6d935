"""All checks of a fit, in order: errors first come out, then the advice together."""

from __future__ import annotations

from typing import Any

from kerasish.data.feed import Feed
from kerasish.training.plan import StepPlan
from kerasish.training.preflight.classes import check_batches, check_class_weights
from kerasish.training.preflight.inputs import check_inputs
from kerasish.training.preflight.lookups import Calls, check_lookups
from kerasish.training.preflight.masks import check_masks
from kerasish.training.preflight.metrics import check_metrics
from kerasish.training.preflight.outputs import check_losses, check_outputs
from kerasish.training.preflight.subject import Subject
from kerasish.training.preflight.targets import check_targets
from kerasish.training.preflight.weights import check_weights


def check_before_training(
    plan: StepPlan,
    feed: Feed,
    y_pred: Any,
    class_tables: list[dict | None],
    lookups: Calls | None = None,
) -> None:
    """Look for mistakes that training would not report by itself.

    Args:
        plan: The plan, with its objective.
        feed: The training data, targets prepared.
        y_pred: The outputs for the first rows, with their history.
        class_tables: For each output, class weights by class, or `None`.
        lookups: What `check_first_lookups` found.

    Raises:
        ValueError: If training would be wrong. Nothing has been changed then.
    """
    subject = Subject.of(plan, feed, y_pred)
    check_inputs(subject)
    check_lookups(subject, lookups or [])
    check_weights(subject)
    check_masks(subject)
    check_targets(subject)
    check_outputs(subject)
    check_losses(subject)
    check_metrics(subject)
    check_batches(subject)
    check_class_weights(subject, class_tables)
    subject.report.give()
