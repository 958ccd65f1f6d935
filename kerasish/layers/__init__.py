"""Every layer, by name."""

from kerasish.layers.activation import ELU, LeakyReLU, PReLU, ReLU, Softmax
from kerasish.layers.base import Layer
from kerasish.layers.core import (
    Activation,
    Dense,
    Embedding,
    Identity,
    Input,
    InputLayer,
    Lambda,
    Masking,
    TorchModule,
    as_layer,
)
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.normalization import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    RMSNormalization,
    UnitNormalization,
)
from kerasish.layers.regularization import (
    ActivityRegularization,
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)

__all__ = [
    "ELU",
    "Activation",
    "ActivityRegularization",
    "AlphaDropout",
    "BatchNormalization",
    "Dense",
    "Dropout",
    "Embedding",
    "GaussianDropout",
    "GaussianNoise",
    "GroupNormalization",
    "Identity",
    "Input",
    "InputLayer",
    "InputSpec",
    "Lambda",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Masking",
    "PReLU",
    "RMSNormalization",
    "ReLU",
    "Softmax",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "TorchModule",
    "UnitNormalization",
    "as_layer",
]
