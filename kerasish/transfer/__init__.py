"""Transfer learning: rates by stage, features of pretrained networks."""

from kerasish.transfer.features import extract_features
from kerasish.transfer.rates import discriminative

__all__ = ["discriminative", "extract_features"]
