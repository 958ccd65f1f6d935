"""Inception-ResNet v2: Inception's branches as residuals, scaled down before they are added."""

from __future__ import annotations

from typing import Any

from kerasish.applications.layered import Layered, Published, channels_of, concatenated
from kerasish.layers import Activation, AveragePooling2D, BatchNormalization, Conv2D, MaxPooling2D

_FOLDER = "https://storage.googleapis.com/tensorflow/keras-applications/inception_resnet_v2/"
_FILE = "inception_resnet_v2_weights_tf_dim_ordering_tf_kernels"

# Branches of convolutions, each as (filters, window).
_BLOCK35 = [[(32, 1)], [(32, 1), (32, 3)], [(32, 1), (48, 3), (64, 3)]]
_BLOCK17 = [[(192, 1)], [(128, 1), (160, (1, 7)), (192, (7, 1))]]
_BLOCK8 = [[(192, 1)], [(192, 1), (224, (1, 3)), (256, (3, 1))]]


def _files(top: bool, **_: Any) -> tuple[str, str]:
    if top:
        return f"{_FOLDER}{_FILE}.h5", "e693bd0210a403b3192acc6073ad2e96"
    return f"{_FOLDER}{_FILE}_notop.h5", "d19885ff4a710c122648d3b5c3b684e4"


def inception_resnet_v2(x: Any, depths: tuple[int, int, int] = (10, 20, 10)) -> Any:
    """The map of features: 1536 channels, about 32 times smaller than the image.

    Args:
        x: Images.
        depths: The number of blocks of each of the three kinds.
    """
    x = _convolution(x, 32, 3, "stem1_conv1", strides=2, padding="valid")
    x = _convolution(x, 32, 3, "stem1_conv2", padding="valid")
    x = _convolution(x, 64, 3, "stem1_conv3")
    x = MaxPooling2D(3, strides=2)(x)
    x = _convolution(x, 80, 1, "stem2_conv1", padding="valid")
    x = _convolution(x, 192, 3, "stem2_conv2", padding="valid")
    x = MaxPooling2D(3, strides=2)(x)
    kinds = [[(96, 1)], [(48, 1), (64, 5)], [(64, 1), (96, 3), (96, 3)]]
    branches = _branches(x, kinds, "mixed5b")
    pooled = AveragePooling2D(3, strides=1, padding="same")(x)
    pooled = _convolution(pooled, 64, 1, "mixed5b_pooled_conv")
    x = concatenated([*branches, pooled], "mixed_5b")
    for number in range(1, depths[0] + 1):
        x = _residual(x, _BLOCK35, 0.17, f"block35_{number}")
    x = _shrinking(x, [[(384, 3)], [(256, 1), (256, 3), (384, 3)]], "mixed_6a")
    for number in range(1, depths[1] + 1):
        x = _residual(x, _BLOCK17, 0.1, f"block17_{number}")
    branches = [[(256, 1), (384, 3)], [(256, 1), (288, 3)], [(256, 1), (288, 3), (320, 3)]]
    x = _shrinking(x, branches, "mixed_7a")
    for number in range(1, depths[2]):
        x = _residual(x, _BLOCK8, 0.2, f"block8_{number}")
    x = _residual(x, _BLOCK8, 1.0, f"block8_{depths[2]}", is_last=True)
    return _convolution(x, 1536, 1, "conv_7b")


def _convolution(
    x: Any, filters: int, window: Any, name: str, strides: int = 1, padding: str = "same"
) -> Any:
    x = Conv2D(filters, window, strides=strides, padding=padding, use_bias=False, name=name)(x)
    x = BatchNormalization(scale=False, name=f"{name}_bn")(x)
    return Activation("relu", name=f"{name}_ac")(x)


def _branches(
    x: Any, branches: list[list[tuple[int, Any]]], name: str, shrink: bool = False
) -> list[Any]:
    """The ends of several chains of convolutions; `shrink` halves the size in the last of each."""
    ends = []
    for number, branch in enumerate(branches, start=1):
        y = x
        for place, (filters, window) in enumerate(branch, start=1):
            # Keras counts these layers through; names that say where they are make stages.
            part = f"{name}_branch{number}_conv{place}"
            if shrink and place == len(branch):
                y = _convolution(y, filters, window, part, strides=2, padding="valid")
            else:
                y = _convolution(y, filters, window, part)
        ends.append(y)
    return ends


def _shrinking(x: Any, branches: list[list[tuple[int, Any]]], name: str) -> Any:
    ends = _branches(x, branches, name.replace("_", ""), shrink=True)
    return concatenated([*ends, MaxPooling2D(3, strides=2)(x)], name)


def _residual(
    x: Any, branches: list[list[tuple[int, Any]]], scale: float, name: str, is_last: bool = False
) -> Any:
    mixed = concatenated(_branches(x, branches, name), f"{name}_mixed")
    up = Conv2D(channels_of(x), 1, padding="same", name=f"{name}_conv")(mixed)
    x = x + scale * up
    return x if is_last else Activation("relu", name=f"{name}_ac")(x)


InceptionResNetV2 = Layered(
    "InceptionResNetV2",
    "inception_resnet_v2",
    inception_resnet_v2,
    Published(55_873_736, 80.3, size=299, least=75, files=_files),
)
preprocess_input = InceptionResNetV2.preprocess_input
decode_predictions = InceptionResNetV2.decode_predictions
