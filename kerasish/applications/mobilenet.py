"""MobileNet: depthwise and 1×1 convolutions in turn, of any width."""

from __future__ import annotations

from typing import Any

from kerasish.applications.application import check_alpha
from kerasish.applications.layered import HEAD, Layered, Published
from kerasish.describe import describe
from kerasish.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    DepthwiseConv2D,
    Dropout,
    GlobalAveragePooling2D,
    ReLU,
    Reshape,
    ZeroPadding2D,
)

_FOLDER = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet/"
_WIDTHS = {0.25: "2_5", 0.5: "5_0", 0.75: "7_5", 1.0: "1_0"}
_SIDES = (128, 160, 192, 224)


def _files(
    top: bool, size: list[int | None], alpha: float, depth_multiplier: int, **_: Any
) -> tuple[str, None]:
    """The file of a width and an image size; other sizes get that of 224."""
    if alpha not in _WIDTHS or depth_multiplier != 1:
        raise ValueError(
            f"MobileNet: there are pretrained weights for `alpha` of {[*_WIDTHS]} and "
            f"`depth_multiplier` 1, got {describe(alpha)} and {describe(depth_multiplier)}. Pass "
            "weights=None."
        )
    side = size[0] if size[0] == size[1] and size[0] in _SIDES else 224
    ending = "" if top else "_no_top"
    return f"{_FOLDER}mobilenet_{_WIDTHS[alpha]}_{side}_tf{ending}.h5", None


def mobilenet(x: Any, alpha: float, depth_multiplier: int, dropout: float) -> Any:
    """The map of features: 1024 · alpha channels, 32 times smaller than the image."""
    check_alpha("MobileNet", alpha)
    x = Conv2D(int(32 * alpha), 3, strides=2, padding="same", use_bias=False, name="conv1")(x)
    x = BatchNormalization(name="conv1_bn")(x)
    x = ReLU(6.0, name="conv1_relu")(x)
    widths = [64, 128, 128, 256, 256, *[512] * 6, 1024, 1024]
    for number, filters in enumerate(widths, start=1):
        shrinks = number in (2, 4, 6, 12)
        if shrinks:
            x = ZeroPadding2D(((0, 1), (0, 1)), name=f"conv_pad_{number}")(x)
        x = DepthwiseConv2D(
            3,
            strides=2 if shrinks else 1,
            padding="valid" if shrinks else "same",
            depth_multiplier=depth_multiplier,
            use_bias=False,
            name=f"conv_dw_{number}",
        )(x)
        x = BatchNormalization(name=f"conv_dw_{number}_bn")(x)
        x = ReLU(6.0, name=f"conv_dw_{number}_relu")(x)
        x = Conv2D(int(filters * alpha), 1, use_bias=False, name=f"conv_pw_{number}")(x)
        x = BatchNormalization(name=f"conv_pw_{number}_bn")(x)
        x = ReLU(6.0, name=f"conv_pw_{number}_relu")(x)
    return x


def _top(x: Any, classes: int, activation: Any, dropout: float, **_: Any) -> Any:
    x = GlobalAveragePooling2D(keepdims=True)(x)
    x = Dropout(dropout, name="dropout")(x)
    x = Conv2D(classes, 1, padding="same", name=HEAD)(x)
    x = Reshape((classes,), name="reshape_2")(x)
    return Activation(activation, name="predictions")(x)


MobileNet = Layered(
    "MobileNet",
    "mobilenet_{alpha:.2f}_{rows}",
    mobilenet,
    Published(4_253_864, 70.4, size=224, least=32, files=_files),
    top=_top,
    options={"alpha": 1.0, "depth_multiplier": 1, "dropout": 0.001},
    order="input_shape, alpha, depth_multiplier, dropout, include_top, weights, input_tensor, "
    "pooling, classes, classifier_activation",
)
preprocess_input, decode_predictions = MobileNet.preprocess_input, MobileNet.decode_predictions
