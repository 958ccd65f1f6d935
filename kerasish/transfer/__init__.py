"""Transfer learning: rates by stage, the features of pretrained networks."""

from kerasish.models.rates import discriminative
from kerasish.transfer.features import extract_features
from kerasish.transfer.probing import probe

__all__ = ["discriminative", "extract_features", "probe"]
