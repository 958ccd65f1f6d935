"""Pre-flight: a few rows before training starts, looking for known mistakes; nothing changes."""

from kerasish.training.preflight.advice import AdviceWarning
from kerasish.training.preflight.checks import check_before_training
from kerasish.training.preflight.classes import check_validation
from kerasish.training.preflight.lookups import check_first_lookups
from kerasish.training.preflight.probe import probe

__all__ = [
    "AdviceWarning",
    "check_before_training",
    "check_first_lookups",
    "check_validation",
    "probe",
]
