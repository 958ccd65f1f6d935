"""ResNet V2: residual blocks that normalise and rectify before they convolve."""

from __future__ import annotations

from functools import partial
from typing import Any

from kerasish.applications.layered import Layered, Published
from kerasish.layers import (
    Activation,
    Add,
    BatchNormalization,
    Conv2D,
    MaxPooling2D,
    ZeroPadding2D,
)

_FOLDER = "https://storage.googleapis.com/tensorflow/keras-applications/resnet/"


def resnet_v2(x: Any, depths: tuple[int, ...]) -> Any:
    """The map of features: 2048 channels, 32 times smaller than the image.

    Args:
        x: Images.
        depths: The number of blocks in each of the four stages.
    """
    x = ZeroPadding2D(3, name="conv1_pad")(x)
    x = Conv2D(64, 7, strides=2, name="conv1_conv")(x)
    x = ZeroPadding2D(1, name="pool1_pad")(x)
    x = MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    for stage, depth in enumerate(depths):
        for number in range(1, depth + 1):
            # The last block of a stage halves height and width, but for the last stage.
            strides = 2 if number == depth and stage < 3 else 1
            name = f"conv{stage + 2}_block{number}"
            x = _block(x, 64 * 2**stage, strides, widens=number == 1, name=name)
    return _rectified(x, "post")


def _block(x: Any, filters: int, strides: int, widens: bool, name: str) -> Any:
    active = _rectified(x, f"{name}_preact")
    if widens:
        shortcut = Conv2D(4 * filters, 1, strides=strides, name=f"{name}_0_conv")(active)
    else:
        shortcut = MaxPooling2D(1, strides=strides)(x) if strides > 1 else x
    x = Conv2D(filters, 1, use_bias=False, name=f"{name}_1_conv")(active)
    x = _rectified(x, f"{name}_1")
    x = ZeroPadding2D(1, name=f"{name}_2_pad")(x)
    x = Conv2D(filters, 3, strides=strides, use_bias=False, name=f"{name}_2_conv")(x)
    x = _rectified(x, f"{name}_2")
    x = Conv2D(4 * filters, 1, name=f"{name}_3_conv")(x)
    return Add(name=f"{name}_out")([shortcut, x])


def _rectified(x: Any, name: str) -> Any:
    x = BatchNormalization(epsilon=1.001e-5, name=f"{name}_bn")(x)
    return Activation("relu", name=f"{name}_relu")(x)


def _network(
    depth: int, depths: tuple[int, ...], parameters: int, accuracy: float, *hashes: str
) -> Layered:
    architecture = f"resnet{depth}v2"

    def files(top: bool, **_: Any) -> tuple[str, str]:
        name = f"{architecture}_weights_tf_dim_ordering_tf_kernels{'' if top else '_notop'}.h5"
        return _FOLDER + name, hashes[0 if top else 1]

    published = Published(parameters, accuracy, size=224, least=32, files=files)
    return Layered(f"ResNet{depth}V2", architecture, partial(resnet_v2, depths=depths), published)


ResNet50V2 = _network(
    50,
    (3, 4, 6, 3),
    25_613_800,
    76.0,
    "3ef43a0b657b3be2300d5770ece849e0",
    "fac2f116257151a9d068a22e544a4917",
)
ResNet101V2 = _network(
    101,
    (3, 4, 23, 3),
    44_675_560,
    77.2,
    "6343647c601c52e1368623803854d971",
    "c0ed64b8031c3730f411d2eb4eea35b5",
)
ResNet152V2 = _network(
    152,
    (3, 8, 36, 3),
    60_380_648,
    78.0,
    "a49b44d1979771252814e80f8ec446f9",
    "ed17cf2e0169df9d443503ef94b23b33",
)
preprocess_input, decode_predictions = ResNet50V2.preprocess_input, ResNet50V2.decode_predictions
