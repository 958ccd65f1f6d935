"""EfficientNet V2 of the sizes B0 to B3, of which only Keras has weights."""

from __future__ import annotations

import math
from functools import partial
from string import ascii_lowercase
from typing import Any

from kerasish.applications.layered import HEAD, Layered, Published, channels_of, normalized
from kerasish.config import image_data_format
from kerasish.initializers import VarianceScaling
from kerasish.layers import (
    Activation,
    Add,
    BatchNormalization,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    GlobalAveragePooling2D,
    Multiply,
    Rescaling,
    Reshape,
)

_FOLDER = "https://storage.googleapis.com/tensorflow/keras-applications/efficientnet_v2/"
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# Of B0, for each stage: blocks, channels, how much wider a block is inside, the first block's
# strides, and whether blocks are fused: one full convolution in place of a 1×1 and a depthwise one.
_STAGES = (
    (1, 16, 1, 1, True),
    (2, 32, 4, 2, True),
    (2, 48, 4, 2, True),
    (3, 96, 4, 2, False),
    (5, 112, 6, 1, False),
    (8, 192, 6, 2, False),
)
_DROP_RATE = 0.2


def efficientnet_v2(x: Any, width: float, depth: float) -> Any:
    """The map of features: 1280 · width channels, 32 times smaller than the image.

    Args:
        x: Images.
        width: How many channels there are, in relation to B0's.
        depth: How many blocks there are, likewise.
    """
    x = _convolution(x, _whole(32 * width), 3, "stem_", strides=2)
    total, number = sum(repeats for repeats, *_ in _STAGES), 0
    for stage, (repeats, filters, wider, strides, is_fused) in enumerate(_STAGES, start=1):
        block = _fused_block if is_fused else _block
        for place in range(math.ceil(depth * repeats)):
            name = f"block{stage}{ascii_lowercase[place]}_"
            y = block(x, _whole(width * filters), wider, 1 if place else strides, name)
            if place:  # a stage's first block changes size or channels
                # As in Keras: deeper networks than B0 go on to higher rates.
                rate = _DROP_RATE * number / total
                y = Dropout(rate, noise_shape=(None, 1, 1, 1), name=f"{name}drop")(y)
                y = Add(name=f"{name}add")([y, x])
            x, number = y, number + 1
    return _convolution(x, _whole(1280 * width), 1, "top_")


def _whole(filters: float) -> int:
    """The nearest multiple of 8."""
    return int(filters + 4) // 8 * 8


def _kernel() -> VarianceScaling:
    return VarianceScaling(2.0, mode="fan_out", distribution="truncated_normal")


def _normal(x: Any, name: str, is_active: bool = True) -> Any:
    x = BatchNormalization(momentum=0.9, name=f"{name}bn")(x)
    return Activation("swish", name=f"{name}activation")(x) if is_active else x


def _convolution(
    x: Any, filters: int, window: int, name: str, strides: int = 1, is_active: bool = True
) -> Any:
    convolution = Conv2D(
        filters,
        window,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer=_kernel(),
        name=f"{name}conv",
    )
    return _normal(convolution(x), name, is_active)


def _fused_block(x: Any, filters: int, wider: int, strides: int, name: str) -> Any:
    if wider == 1:
        return _convolution(x, filters, 3, f"{name}project_", strides)
    x = _convolution(x, wider * channels_of(x), 3, f"{name}expand_", strides)
    return _convolution(x, filters, 1, f"{name}project_", is_active=False)


def _block(x: Any, filters: int, wider: int, strides: int, name: str) -> Any:
    count = channels_of(x)
    x = _convolution(x, wider * count, 1, f"{name}expand_")
    x = DepthwiseConv2D(
        3,
        strides=strides,
        padding="same",
        use_bias=False,
        depthwise_initializer=_kernel(),
        name=f"{name}dwconv2",
    )(x)
    x = _excited(_normal(x, name), count // 4, name)
    return _convolution(x, filters, 1, f"{name}project_", is_active=False)


def _excited(x: Any, squeezed: int, name: str) -> Any:
    """Squeeze and excitation: channels times weights from 0 to 1 that all channels together set."""
    count = channels_of(x)
    is_last = image_data_format() == "channels_last"
    projection = partial(Conv2D, kernel_size=1, padding="same", kernel_initializer=_kernel())
    se = GlobalAveragePooling2D(name=f"{name}se_squeeze")(x)
    se = Reshape((1, 1, count) if is_last else (count, 1, 1), name=f"{name}se_reshape")(se)
    se = projection(squeezed, activation="swish", name=f"{name}se_reduce")(se)
    se = projection(count, activation="sigmoid", name=f"{name}se_expand")(se)
    return Multiply(name=f"{name}se_excite")([x, se])


def _top(x: Any, classes: int, activation: Any, **_: Any) -> Any:
    x = GlobalAveragePooling2D(name="avg_pool")(x)
    x = Dropout(0.2, name="top_dropout")(x)
    kernel = VarianceScaling(1 / 3, mode="fan_out", distribution="uniform")
    return Dense(classes, activation=activation, kernel_initializer=kernel, name=HEAD)(x)


def _inside(x: Any) -> Any:
    """What the network sees of images from 0 to 255, as Keras has it for 3 and other channels."""
    if channels_of(x) != len(_MEAN):
        return Rescaling(1 / 128, offset=-1)(x)
    return normalized(x, _MEAN, _STD)


def _network(
    size: str, width: float, depth: float, side: int, parameters: int, accuracy: float, *hashes: str
) -> Layered:
    title = f"efficientnetv2-{size.lower()}"

    def files(top: bool, **_: Any) -> tuple[str, str]:
        return f"{_FOLDER}{title}{'' if top else '_notop'}.h5", hashes[0 if top else 1]

    return Layered(
        f"EfficientNetV2{size}",
        title,
        partial(efficientnet_v2, width=width, depth=depth),
        Published(parameters, accuracy, size=side, least=32, files=files, mean=_MEAN, std=_STD),
        top=_top,
        inside=_inside,
        order="include_top, weights, input_tensor, input_shape, pooling, classes, "
        "classifier_activation, include_preprocessing",
    )


EfficientNetV2B0 = _network(
    "B0",
    1.0,
    1.0,
    224,
    7_200_312,
    78.7,
    "21ecbf6da12460d5c40bb2f29ceb2188",
    "893217f2bb855e2983157299931e43ff",
)
EfficientNetV2B1 = _network(
    "B1",
    1.0,
    1.1,
    240,
    8_212_124,
    79.8,
    "069f0534ff22adf035c89e2d9547a9dc",
    "0e80663031ca32d657f9caa404b6ec37",
)
EfficientNetV2B2 = _network(
    "B2",
    1.1,
    1.2,
    260,
    10_178_374,
    80.5,
    "424e49f28180edbde1e94797771950a7",
    "1dfe2e7a5d45b6632553a8961ea609eb",
)
EfficientNetV2B3 = _network(
    "B3",
    1.2,
    1.4,
    300,
    14_467_622,
    82.0,
    "1f1fc43bd98a6e4fd8fdfd551e02c7a0",
    "f6abf7b5849ac99a89b50dd3fd532856",
)
