"""NASNet-A: two kinds of cells that a search has found, stacked."""

from __future__ import annotations

from functools import partial
from typing import Any

from kerasish.applications.layered import (
    Layered,
    Published,
    channels_of,
    concatenated,
    sides_of,
)
from kerasish.layers import (
    Activation,
    Add,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Cropping2D,
    MaxPooling2D,
    SeparableConv2D,
    ZeroPadding2D,
)

_FOLDER = "https://storage.googleapis.com/tensorflow/keras-applications/nasnet/"


def nasnet(
    x: Any,
    penultimate_filters: int,
    num_blocks: int,
    stem_block_filters: int,
    skip_reduction: bool,
) -> Any:
    """The map of features: `penultimate_filters` channels, 32 times smaller than the image.

    Args:
        x: Images.
        penultimate_filters: The channels of the map, a multiple of 96.
        num_blocks: How many normal cells follow each other.
        stem_block_filters: The channels of the first convolution.
        skip_reduction: Whether the cell after a reduction sees what was before it, rather than what
            the reduction saw.
    """
    filters = penultimate_filters // 24
    x = Conv2D(
        stem_block_filters,
        3,
        strides=2,
        use_bias=False,
        kernel_initializer="he_normal",
        name="stem_conv1",
    )(x)
    x = _norm(x, "stem_bn1")
    x, before = _reduction_cell(x, None, filters // 4, "stem_1")
    x, before = _reduction_cell(x, before, filters // 2, "stem_2")
    for stage in range(3):
        width = filters * 2**stage
        if stage:
            x, seen = _reduction_cell(x, before, width, f"reduce_{stage * num_blocks}")
            before = before if skip_reduction else seen
        for number in range(num_blocks):
            place = stage * num_blocks + number + (1 if stage else 0)
            x, before = _normal_cell(x, before, width, str(place))
    return Activation("relu")(x)


def _norm(x: Any, name: str) -> Any:
    return BatchNormalization(momentum=0.9997, name=name)(x)


def _projected(x: Any, filters: int, name: str) -> Any:
    """A 1×1 convolution without a bias."""
    return Conv2D(
        filters, 1, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )(x)


def _separable(x: Any, filters: int, window: int, name: str, strides: int = 1) -> Any:
    """Rectifier, separable convolution and normalisation, twice; the first may halve the size."""
    x = Activation("relu")(x)
    if strides == 2:
        x = ZeroPadding2D(_margins(x, window), name=f"separable_conv_1_pad_{name}")(x)
    for number, step in enumerate((strides, 1), start=1):
        x = Activation("relu")(x) if number == 2 else x
        x = SeparableConv2D(
            filters,
            window,
            strides=step,
            padding="valid" if step == 2 else "same",
            use_bias=False,
            name=f"separable_conv_{number}_{name}",
        )(x)
        x = _norm(x, f"separable_conv_{number}_bn_{name}")
    return x


def _margins(x: Any, window: int) -> Any:
    """Zeros around an image, so that a step of 2 sees it as a "same" convolution does."""
    half = window // 2
    firsts = [half - 1 if side is None else half - 1 + side % 2 for side in sides_of(x)]
    return tuple((first, half) for first in firsts)


def _adjusted(before: Any, x: Any, filters: int, name: str) -> Any:
    """The output of the cell before the last, in the size and channels that the cell works in."""
    if before is None:
        return x
    if sides_of(before) != sides_of(x):
        y = Activation("relu", name=f"adjust_relu_1_{name}")(before)
        shifted = Cropping2D(((1, 0), (1, 0)))(ZeroPadding2D(((0, 1), (0, 1)))(y))
        parts = []
        for number, part in enumerate((y, shifted), start=1):
            pool = AveragePooling2D(1, strides=2, name=f"adjust_avg_pool_{number}_{name}")
            parts.append(_projected(pool(part), filters // 2, f"adjust_conv_{number}_{name}"))
        return _norm(concatenated(parts), f"adjust_bn_{name}")
    if channels_of(before) != filters:
        y = _projected(Activation("relu")(before), filters, f"adjust_conv_projection_{name}")
        return _norm(y, f"adjust_bn_{name}")
    return before


def _normal_cell(x: Any, before: Any, filters: int, name: str) -> tuple[Any, Any]:
    p = _adjusted(before, x, filters, name)
    h = _norm(
        _projected(Activation("relu")(x), filters, f"normal_conv_1_{name}"), f"normal_bn_1_{name}"
    )

    def pool(y: Any, label: str) -> Any:
        layer = AveragePooling2D(3, strides=1, padding="same", name=f"normal_{label}_{name}")
        return layer(y)

    def separable(y: Any, window: int, label: str) -> Any:
        return _separable(y, filters, window, f"normal_{label}_{name}")

    pairs = [
        lambda: [separable(h, 5, "left1"), separable(p, 3, "right1")],
        lambda: [separable(p, 5, "left2"), separable(p, 3, "right2")],
        lambda: [pool(h, "left3"), p],
        lambda: [pool(p, "left4"), pool(p, "right4")],
        lambda: [separable(h, 3, "left5"), h],
    ]
    sums = [Add(name=f"normal_add_{n}_{name}")(pair()) for n, pair in enumerate(pairs, start=1)]
    return concatenated([p, *sums], f"normal_concat_{name}"), x


def _reduction_cell(x: Any, before: Any, filters: int, name: str) -> tuple[Any, Any]:
    p = _adjusted(before, x, filters, name)
    h = _norm(
        _projected(Activation("relu")(x), filters, f"reduction_conv_1_{name}"),
        f"reduction_bn_1_{name}",
    )
    padded = ZeroPadding2D(_margins(h, 3), name=f"reduction_pad_1_{name}")(h)

    def pool(kind: Any, label: str) -> Any:
        return kind(3, strides=2, name=f"reduction_{label}_{name}")(padded)

    def separable(y: Any, window: int, label: str, strides: int = 2) -> Any:
        return _separable(y, filters, window, f"reduction_{label}_{name}", strides)

    def added(label: str, *terms: Any) -> Any:
        return Add(name=f"reduction_{label}_{name}")(list(terms))

    first = added("add_1", separable(h, 5, "left1"), separable(p, 7, "right1"))
    second = added("add_2", pool(MaxPooling2D, "left2"), separable(p, 7, "right2"))
    third = added("add3", pool(AveragePooling2D, "left3"), separable(p, 5, "right3"))
    smooth = AveragePooling2D(3, strides=1, padding="same", name=f"reduction_left4_{name}")
    fourth = Add()([second, smooth(first)])
    fifth = added("add4", separable(first, 3, "left4", 1), pool(MaxPooling2D, "right5"))
    return concatenated([second, third, fourth, fifth], f"reduction_concat_{name}"), x


def _network(
    kind: str, size: int, parameters: int, accuracy: float, hashes: tuple[str, str], **shape: Any
) -> Layered:
    def files(top: bool, **_: Any) -> tuple[str, str]:
        ending = "" if top else "-no-top"
        return f"{_FOLDER}NASNet-{kind.lower()}{ending}.h5", hashes[0 if top else 1]

    return Layered(
        f"NASNet{kind}",
        f"nasnet_{kind.lower()}",
        partial(nasnet, **shape),
        Published(parameters, accuracy, size=size, least=32, files=files),
        order="input_shape, include_top, weights, input_tensor, pooling, classes, "
        "classifier_activation",
        fixes_size=True,
    )


NASNetMobile = _network(
    "Mobile",
    224,
    5_326_716,
    74.4,
    ("020fb642bf7360b370c678b08e0adf61", "1ed92395b5b598bdda52abe5c0dbfd63"),
    penultimate_filters=1056,
    num_blocks=4,
    stem_block_filters=32,
    skip_reduction=False,
)
NASNetLarge = _network(
    "Large",
    331,
    88_949_818,
    82.5,
    ("11577c9a518f0070763c2b964a382f17", "d81d89dc07e6e56530c4e77faddd61b5"),
    penultimate_filters=4032,
    num_blocks=6,
    stem_block_filters=96,
    skip_reduction=True,
)
preprocess_input = NASNetLarge.preprocess_input
decode_predictions = NASNetLarge.decode_predictions
