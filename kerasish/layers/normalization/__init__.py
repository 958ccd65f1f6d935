"""Layers that normalise: by batch, by sample, by group, by length."""

from kerasish.layers.normalization.batch import BatchNormalization
from kerasish.layers.normalization.sample import (
    GroupNormalization,
    LayerNormalization,
    RMSNormalization,
    UnitNormalization,
)

__all__ = [
    "BatchNormalization",
    "GroupNormalization",
    "LayerNormalization",
    "RMSNormalization",
    "UnitNormalization",
]
