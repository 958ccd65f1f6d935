"""Every layer, by name."""

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

__all__ = [
    "Activation",
    "Dense",
    "Embedding",
    "Identity",
    "Input",
    "InputLayer",
    "InputSpec",
    "Lambda",
    "Layer",
    "Masking",
    "TorchModule",
    "as_layer",
]
