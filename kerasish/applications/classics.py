"""The papers' own networks in a few lines each: LeNet-5, AlexNet, VGG, the ResNets for CIFAR."""

from __future__ import annotations

from typing import Any

from kerasish.config import image_data_format
from kerasish.describe import describe
from kerasish.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Branches,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Highway,
    Input,
    Layer,
    LocalResponseNormalization,
    MaxPooling2D,
    Residual,
    ShakeShake,
)
from kerasish.models import Sequential

Shape = tuple[int, ...]


def _image(given: Shape | None, channels: int, side: int) -> Any:
    """An input of the shape given, or of the paper's."""
    last = image_data_format() == "channels_last"
    return Input(given or ((side, side, channels) if last else (channels, side, side)))


def LeNet5(  # noqa: N802
    classes: int = 10,
    *,
    input_shape: Shape | None = None,
    activation: Any = "tanh",
    classifier_activation: Any = "softmax",
    name: str = "lenet5",
) -> Sequential:
    """LeNet-5: two convolutions with pooling, three dense layers.

    Args:
        classes: The number of classes.
        input_shape: One channel of 32×32 pixels by default.
        activation: After each layer.
        classifier_activation: That of the head; `None` gives logits.
        name: The model's name.

    Example:
        >>> LeNet5().count_params()
        61706

    Reference: LeCun et al. (1998), "Gradient-Based Learning Applied to Document Recognition".
    """
    return Sequential(
        [
            _image(input_shape, 1, 32),
            Conv2D(6, 5, activation=activation),
            AveragePooling2D(2),
            Conv2D(16, 5, activation=activation),
            AveragePooling2D(2),
            Flatten(),
            Dense(120, activation=activation),
            Dense(84, activation=activation),
            Dense(classes, activation=classifier_activation, name="head"),
        ],
        name=name,
    )


def AlexNet(  # noqa: N802
    classes: int = 1000,
    *,
    input_shape: Shape | None = None,
    classifier_activation: Any = "softmax",
    dropout: float = 0.5,
    name: str = "alexnet",
) -> Sequential:
    """AlexNet on one processor: five convolutions, none of them grouped, and three dense layers.

    Args:
        classes: The number of classes.
        input_shape: Three channels of 227×227 pixels by default.
        classifier_activation: That of the head; `None` gives logits.
        dropout: The rate before each hidden dense layer.
        name: The model's name.

    Reference: Krizhevsky et al. (2012), "ImageNet Classification with Deep Convolutional Neural
    Networks".
    """

    def norm() -> Layer:
        # The paper's alpha of 1e-4 weighs each square; the layer's is shared among the five.
        return LocalResponseNormalization(5, alpha=5e-4, beta=0.75, k=2.0)

    def convolution(filters: int, size: int) -> Layer:
        return Conv2D(filters, size, padding="same", activation="relu")

    return Sequential(
        [
            _image(input_shape, 3, 227),
            Conv2D(96, 11, strides=4, activation="relu"),
            MaxPooling2D(3, strides=2),
            norm(),
            convolution(256, 5),
            MaxPooling2D(3, strides=2),
            norm(),
            convolution(384, 3),
            convolution(384, 3),
            convolution(256, 3),
            MaxPooling2D(3, strides=2),
            Flatten(),
            Dropout(dropout),
            Dense(4096, activation="relu"),
            Dropout(dropout),
            Dense(4096, activation="relu"),
            Dense(classes, activation=classifier_activation, name="head"),
        ],
        name=name,
    )


# How many 3×3 convolutions each of the five blocks has.
_VGG_BLOCKS = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}


def VGG(  # noqa: N802
    depth: int = 16,
    classes: int = 1000,
    *,
    input_shape: Shape | None = None,
    classifier_activation: Any = "softmax",
    dropout: float = 0.5,
    name: str | None = None,
) -> Sequential:
    """VGG: blocks of 3×3 convolutions, each followed by pooling, then three dense layers.

    Args:
        depth: 11, 13, 16 or 19 layers with weights.
        classes: The number of classes.
        input_shape: Three channels of 224×224 pixels by default.
        classifier_activation: That of the head; `None` gives logits.
        dropout: The rate before each dense layer but the first.
        name: The model's name.

    Raises:
        ValueError: If there is no VGG of this depth.

    Reference: Simonyan & Zisserman (2014), "Very Deep Convolutional Networks for Large-Scale Image
    Recognition".
    """
    if depth not in _VGG_BLOCKS:
        raise ValueError(f"VGG: `depth` must be one of {[*_VGG_BLOCKS]}, got {describe(depth)}.")
    layers: list[Any] = [_image(input_shape, 3, 224)]
    for filters, count in zip((64, 128, 256, 512, 512), _VGG_BLOCKS[depth], strict=True):
        layers += [Conv2D(filters, 3, padding="same", activation="relu") for _ in range(count)]
        layers.append(MaxPooling2D(2))
    layers += [Flatten(), Dense(4096, activation="relu"), Dropout(dropout)]
    layers += [Dense(4096, activation="relu"), Dropout(dropout)]
    layers.append(Dense(classes, activation=classifier_activation, name="head"))
    return Sequential(layers, name=name or f"vgg{depth}")


# The ResNets for CIFAR

_KINDS = ("residual", "stochastic_depth", "shake_shake", "highway", "plain")


def CIFARResNet(  # noqa: N802
    depth: int = 20,
    classes: int = 10,
    *,
    input_shape: Shape | None = None,
    kind: str = "residual",
    shortcut: str = "pad",
    filters: int = 16,
    drop_rate: float = 0.5,
    classifier_activation: Any = "softmax",
    name: str | None = None,
) -> Sequential:
    """A residual network for small images: three stages of equal numbers of blocks.

    Each block has two 3×3 convolutions; the stages have 1, 2 and 4 times `filters` channels, and
    the later two halve the height and width.

    Args:
        depth: 6n + 2 layers with weights, such as 20, 32, 44, 56, 110 or 1202.
        classes: The number of classes.
        input_shape: Three channels of 32×32 pixels by default.
        kind: `"residual"`; `"stochastic_depth"`, where training skips a block the more often the
            later it is; `"shake_shake"`, two branches in each block, mixed at random;
            `"highway"`, a learned gate between block and input; `"plain"`, no shortcuts at all.
        shortcut: Where channels grow, `"pad"` adds zeros and `"conv"` is a 1×1 convolution.
        filters: The channels of the first stage.
        drop_rate: For stochastic depth: how often the last block is skipped.
        classifier_activation: That of the head; `None` gives logits.
        name: The model's name.

    Raises:
        ValueError: If the depth is not 6n + 2, or the kind is unknown.

    Blocks are named, such as `"stage2_block1"`, so that `model.freeze("stage1*")` works.

    Example:
        >>> CIFARResNet(20).count_params(), CIFARResNet(20, shortcut="conv").count_params()
        (271098, 273658)

    References: He et al. (2015), "Deep Residual Learning for Image Recognition"; Srivastava et al.
    (2015), "Highway Networks"; Huang et al. (2016), "Deep Networks with Stochastic Depth"; Gastaldi
    (2017), "Shake-Shake regularization".
    """
    count, rest = divmod(depth - 2, 6)
    if isinstance(depth, bool) or not isinstance(depth, int) or rest or count < 1:
        raise ValueError(
            f"CIFARResNet: `depth` must be 6n + 2, such as 20, 56 or 110, got {describe(depth)}."
        )
    if kind not in _KINDS:
        raise ValueError(f"CIFARResNet: `kind` must be one of {_KINDS}, got {describe(kind)}.")
    layers: list[Any] = [_image(input_shape, 3, 32), *_convolution(filters, 1), Activation("relu")]
    for place in range(3 * count):
        stage, index = divmod(place, count)
        step = 2 if stage and not index else 1
        rate = drop_rate * (place + 1) / (3 * count)
        label = f"stage{stage + 1}_block{index + 1}"
        layers += _block(kind, filters * 2**stage, step, shortcut, rate, label)
    layers += [
        GlobalAveragePooling2D(),
        Dense(classes, activation=classifier_activation, name="head"),
    ]
    return Sequential(layers, name=name or f"cifar_resnet{depth}")


def _convolution(filters: int, strides: int) -> list[Layer]:
    return [
        Conv2D(
            filters,
            3,
            strides=strides,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
        ),
        BatchNormalization(axis=-1 if image_data_format() == "channels_last" else 1),
    ]


def _block(
    kind: str, filters: int, strides: int, shortcut: str, drop_rate: float, name: str
) -> list[Layer]:
    def path() -> list[Layer]:
        first = [*_convolution(filters, strides), Activation("relu")]
        return first + _convolution(filters, 1)

    if kind == "plain" or (kind == "highway" and strides > 1):
        return [*path(), Activation("relu")]  # a highway cannot change sizes
    if kind == "highway":
        return [Highway([*path(), Activation("relu")], name=name)]
    if kind == "shake_shake":
        branches = [[Activation("relu"), *path()] for _ in range(2)]
        block: list[Layer] = [Branches(branches, merge=ShakeShake())]
    else:
        block = path()
    rate = drop_rate if kind == "stochastic_depth" else 0.0
    return [Residual(block, shortcut, activation="relu", drop_rate=rate, name=name)]
