"""Transfer learning: rates by stage, features of pretrained networks."""

from kerasish.models.rates import discriminative
from kerasish.transfer.features import extract_features

__all__ = ["discriminative", "extract_features"]
