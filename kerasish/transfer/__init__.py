"""Transfer learning: new heads, rates by stage, plans of phases, features of several stages."""

from kerasish.models.rates import discriminative
from kerasish.transfer.features import extract_features
from kerasish.transfer.fine_tuning import PhasedHistory, fine_tune
from kerasish.transfer.model import TransferModel
from kerasish.transfer.plan import Phase, Plan, gradual_plan, make_plan
from kerasish.transfer.probing import probe

__all__ = [
    "Phase",
    "PhasedHistory",
    "Plan",
    "TransferModel",
    "discriminative",
    "extract_features",
    "fine_tune",
    "gradual_plan",
    "make_plan",
    "probe",
]
