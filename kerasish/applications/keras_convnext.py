"""ConvNeXt of the size XLarge, of which only Keras has weights."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor

from kerasish.applications.assembly import pooled
from kerasish.applications.layered import HEAD, Layered, Published, channels_of, normalized
from kerasish.config import image_data_format
from kerasish.initializers import Constant
from kerasish.layers import (
    Activation,
    Conv2D,
    Dense,
    GlobalAveragePooling2D,
    Layer,
    LayerNormalization,
)
from kerasish.models import Sequential

_FOLDER = "https://storage.googleapis.com/tensorflow/keras-applications/convnext/"
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_EPSILON = 1e-6


class LayerScale(Layer):
    """`x * gamma`, one learned factor for each channel, small at first.

    Shapes:
        input: `(batch, ..., channels)`
        gamma: `(channels,)`
        output: as the input

    Args:
        value: What the factors are at first.
        **kwargs: Those of `Layer`.
    """

    gamma: Tensor

    def __init__(self, value: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.value = value

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the factors."""
        self.gamma = self.add_weight((input_shape[-1],), Constant(self.value), name="gamma")  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Multiply each channel by its factor."""
        return x * self.gamma.to(x.dtype)


def convnext(x: Any, depths: tuple[int, ...], widths: tuple[int, ...], name: str) -> Any:
    """The map of features: as many channels as the last width, 32 times smaller than the image.

    Args:
        x: Images.
        depths: The number of blocks in each of the four stages.
        widths: Their channels.
        name: What the names of layers begin with.
    """
    # Blocks work on the last axis, so the whole network keeps channels there, whatever the format.
    is_last = image_data_format() == "channels_last"
    x = x if is_last else x.permute(0, 2, 3, 1)
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
        x = _shrunk(x, stage, width, name)
        for number in range(depth):
            x = x + _branch(x, width, f"{name}_stage_{stage}_block_{number}")
    return x if is_last else x.permute(0, 3, 1, 2)


def _shrunk(x: Any, stage: int, width: int, name: str) -> Any:
    """A convolution that shrinks the image to a quarter, or a map to half, and a normalisation."""
    kind, ending = ("stem", "") if stage == 0 else ("downsampling", f"_{stage - 1}")
    step = 4 if stage == 0 else 2
    norm = LayerNormalization(epsilon=_EPSILON, name=f"{name}_{kind}_layernorm{ending}")
    convolution = Conv2D(
        width,
        step,
        strides=step,
        data_format="channels_last",
        name=f"{name}_{kind}_conv{ending}",
    )
    layers = [convolution, norm] if stage == 0 else [norm, convolution]
    block = "" if stage == 0 else "_block"
    return Sequential(layers, name=f"{name}_{kind}{block}{ending}")(x)


def _branch(x: Any, width: int, name: str) -> Any:
    y = Conv2D(
        width,
        7,
        padding="same",
        groups=width,
        data_format="channels_last",
        name=f"{name}_depthwise_conv",
    )(x)
    y = LayerNormalization(epsilon=_EPSILON, name=f"{name}_layernorm")(y)
    y = Dense(4 * width, name=f"{name}_pointwise_conv_1")(y)
    y = Activation("gelu", name=f"{name}_gelu")(y)
    y = Dense(width, name=f"{name}_pointwise_conv_2")(y)
    return LayerScale(name=f"{name}_layer_scale")(y)


def _top(x: Any, classes: int, activation: Any, name: str, **_: Any) -> Any:
    x = GlobalAveragePooling2D(name=f"{name}_head_gap")(x)
    x = LayerNormalization(epsilon=_EPSILON, name=f"{name}_head_layernorm")(x)
    return Dense(classes, activation=activation, name=HEAD)(x)


def _ending(x: Any, pooling: str | None, name: str) -> Any:
    """Features without a top are normalised, too."""
    x = pooled(x, pooling)
    axis = 1 if len(x.shape) == 4 and image_data_format() == "channels_first" else -1
    return LayerNormalization(axis=axis, epsilon=_EPSILON, name=f"{name}_head_layernorm")(x)


def _inside(x: Any, name: str) -> Any:
    """What the network sees of images from 0 to 255; of other channels than three, all."""
    if channels_of(x) != len(_MEAN):
        return x
    return normalized(x, _MEAN, _STD, f"{name}_prestem_normalization")


def network(
    size: str,
    depths: tuple[int, ...],
    widths: tuple[int, ...],
    parameters: int,
    accuracy: float,
    hashes: tuple[str, str],
) -> Layered:
    """A network of the family, whose files have these hashes, with the top and without it."""
    title = f"convnext_{size.lower()}"

    def files(top: bool, **_: Any) -> tuple[str, str]:
        return f"{_FOLDER}{title}{'' if top else '_notop'}.h5", hashes[0 if top else 1]

    return Layered(
        f"ConvNeXt{size}",
        title,
        partial(convnext, depths=depths, widths=widths, name=title),
        Published(parameters, accuracy, size=224, least=32, files=files, mean=_MEAN, std=_STD),
        top=partial(_top, name=title),
        ending=partial(_ending, name=title),
        inside=partial(_inside, name=title),
        order="include_top, include_preprocessing, weights, input_tensor, input_shape, pooling, "
        "classes, classifier_activation",
    )


ConvNeXtXLarge = network(
    "XLarge",
    (3, 3, 27, 3),
    (256, 512, 1024, 2048),
    350_196_968,
    86.7,
    (
        "c1f5ccab661354fc3a79a10fa99af82f0fbf10ec65cb894a3ae0815f17a889ee",
        "de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05",
    ),
)
