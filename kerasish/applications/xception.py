"""Xception: residual blocks of separable convolutions."""

from __future__ import annotations

from typing import Any

from kerasish.applications.layered import Layered, Published
from kerasish.layers import (
    Activation,
    Add,
    BatchNormalization,
    Conv2D,
    MaxPooling2D,
    SeparableConv2D,
)

_FOLDER = "https://storage.googleapis.com/tensorflow/keras-applications/xception/"
_FILE = "xception_weights_tf_dim_ordering_tf_kernels"


def _files(top: bool, **_: Any) -> tuple[str, str]:
    if top:
        return f"{_FOLDER}{_FILE}.h5", "0a58e3b7378bc2990ea3b43d5981f1f6"
    return f"{_FOLDER}{_FILE}_notop.h5", "b0042744bf5b25fce3cb969f33bebb97"


def xception(x: Any) -> Any:
    """The map of features: 2048 channels, 32 times smaller than the image."""
    x = _convolution(x, 32, 2, "block1_conv1")
    x = _convolution(x, 64, 1, "block1_conv2")
    for place, filters in enumerate((128, 256, 728), start=2):
        x = _shrinking(x, (filters, filters), f"block{place}", starts_with_relu=place > 2)
    for place in range(5, 13):
        name = f"block{place}"
        x = Add(name=f"{name}_add")([_separable(x, (728, 728, 728), name), x])
    x = _shrinking(x, (728, 1024), "block13")
    for number, filters in enumerate((1536, 2048), start=1):
        name = f"block14_sepconv{number}"
        x = SeparableConv2D(filters, 3, padding="same", use_bias=False, name=name)(x)
        x = BatchNormalization(name=f"{name}_bn")(x)
        x = Activation("relu", name=f"{name}_act")(x)
    return x


def _convolution(x: Any, filters: int, strides: int, name: str) -> Any:
    x = Conv2D(filters, 3, strides=strides, use_bias=False, name=name)(x)
    x = BatchNormalization(name=f"{name}_bn")(x)
    return Activation("relu", name=f"{name}_act")(x)


def _separable(x: Any, filters: tuple[int, ...], name: str, starts_with_relu: bool = True) -> Any:
    """Separable convolutions, each with a rectifier before it."""
    for number, count in enumerate(filters, start=1):
        part = f"{name}_sepconv{number}"
        if number > 1 or starts_with_relu:
            x = Activation("relu", name=f"{part}_act")(x)
        x = SeparableConv2D(count, 3, padding="same", use_bias=False, name=part)(x)
        x = BatchNormalization(name=f"{part}_bn")(x)
    return x


def _shrinking(x: Any, filters: tuple[int, ...], name: str, starts_with_relu: bool = True) -> Any:
    """A residual block that halves height and width."""
    shortcut = Conv2D(
        filters[-1], 1, strides=2, padding="same", use_bias=False, name=f"{name}_shortcut"
    )(x)
    shortcut = BatchNormalization(name=f"{name}_shortcut_bn")(shortcut)
    x = _separable(x, filters, name, starts_with_relu)
    x = MaxPooling2D(3, strides=2, padding="same", name=f"{name}_pool")(x)
    return Add(name=f"{name}_add")([x, shortcut])


Xception = Layered(
    "Xception", "xception", xception, Published(22_910_480, 79.0, size=299, least=71, files=_files)
)
preprocess_input, decode_predictions = Xception.preprocess_input, Xception.decode_predictions
