"""A model of a backbone and a head, with pretrained weights in both where they fit."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import torch
from torch import Tensor

from kerasish import activations, layers
from kerasish.applications.backbone import Backbone, for_channels
from kerasish.applications.preprocessing import ImagePreprocessing
from kerasish.applications.pretrained import load_backbone, read_weights, weights_enum
from kerasish.config import image_data_format
from kerasish.describe import describe
from kerasish.graph.symbolic import is_symbolic, symbolic_leaves
from kerasish.models import Model
from kerasish.models.bundle import checked_names
from kerasish.models.freezing import stages

HEAD = "head"


def assemble(
    label: str,
    architecture: str,
    *,
    include_top: bool,
    weights: Any,
    input_tensor: Any,
    input_shape: tuple[int | None, ...] | None,
    pooling: str | None,
    classes: Any,
    classifier_activation: Any,
    include_preprocessing: bool,
    options: dict[str, Any],
    name: str | None = None,
) -> Model:
    """Make the model that an `Application` is asked for; the arguments are explained there."""
    published = _published(architecture, weights)
    frame = prepare(
        label,
        published,
        include_top=include_top,
        weights=weights,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        needs_size=include_top or architecture.startswith(("vit", "maxvit")),
    )
    state = read_weights(label, architecture, weights)
    transforms = published.transforms()
    is_map = not include_top or architecture.startswith("squeezenet")
    backbone = Backbone(
        architecture,
        "map" if is_map else "vector",
        channels=frame.channels,
        options={**_sizes(architecture, frame.size), **options},
        mean=transforms.mean if include_preprocessing else None,
        std=transforms.std if include_preprocessing else None,
        name=architecture,
    )
    head_state = {} if state is None else load_backbone(backbone, state)
    features = backbone(frame.x)
    if include_top:
        outputs = classified(backbone, features, frame.classes, classifier_activation, head_state)
    else:
        outputs = pooled(features, pooling)
    model = Model(frame.inputs, outputs, name=name or architecture)
    furnish(model, frame, published, include_top, weights is not None, include_preprocessing)
    return model if state is None else model.eval()  # as a loaded model is


@dataclasses.dataclass
class Frame:
    """What a network is built into.

    Attributes:
        inputs: The model's inputs.
        x: The images that the network gets.
        channels: Their channels.
        size: Their height and width; `None` where any goes.
        classes: The number of classes.
        names: The classes' names, if they were given.
        has_own_input: Whether nothing comes before the network.
    """

    inputs: Any
    x: Any
    channels: int
    size: list[int | None]
    classes: int
    names: list[str] | None
    has_own_input: bool


def prepare(
    label: str,
    published: Any,
    *,
    include_top: bool,
    weights: Any,
    input_tensor: Any,
    input_shape: tuple[int | None, ...] | None,
    pooling: str | None,
    classes: Any,
    needs_size: bool,
) -> Frame:
    """Check the arguments that all networks share, and make the inputs."""
    names, classes = (None, classes) if isinstance(classes, int) else _named(label, classes)
    _check(label, include_top, pooling, classes)
    inputs, x = _inputs(label, published, needs_size, input_tensor, input_shape)
    is_last = image_data_format() == "channels_last"
    channels, *size = (x.shape[-1], *x.shape[1:3]) if is_last else x.shape[1:]
    _check_image(label, published, channels, size, weights)
    return Frame(inputs, x, channels, size, classes, names, input_tensor is None)


def furnish(
    model: Model,
    frame: Frame,
    published: Any,
    include_top: bool,
    is_pretrained: bool,
    include_preprocessing: bool,
) -> None:
    """Give a model what it knows of its images and classes, and where it freezes."""
    if frame.has_own_input:
        model.preprocessing = _preprocessing(
            published, frame.channels, frame.size, include_preprocessing
        )
    categories = published.meta["categories"]
    if frame.names is not None:
        model.class_names = frame.names
    elif include_top and is_pretrained and frame.classes == len(categories):
        model.class_names = categories
    model.freeze_point = stages(model)[-2 if include_top else -1].name


def _named(name: str, classes: Any) -> tuple[list[str] | None, Any]:
    """Class names, where they were given instead of a number, and how many there are."""
    if isinstance(classes, str) or not hasattr(classes, "__len__"):
        return None, classes
    names = checked_names(classes) or []
    if len(set(names)) < len(names):
        raise ValueError(f"{name}: `classes` names a class twice: {names}.")
    return names, len(names)


def _published(architecture: str, weights: Any) -> Any:
    """The entry of torchvision's enum that tells how images are made ready."""
    known = weights_enum(architecture)
    if isinstance(weights, known):
        return weights
    short = str(weights).removeprefix(f"{known.__name__}.")
    return known.__members__.get(short, known.DEFAULT)


def _preprocessing(
    published: Any, channels: int, size: list, is_inside: bool
) -> ImagePreprocessing | None:
    """What makes raw images ready; where the backbone normalises, they keep 0 to 255."""
    if channels not in (1, 3, 4):
        return None
    transforms = published.transforms()
    mean: Any = for_channels(transforms.mean, channels)
    std: Any = for_channels(transforms.std, channels)
    return ImagePreprocessing(
        None if None in size else (size[0], size[1]),
        None if is_inside else mean,
        None if is_inside else std,
        interpolation=transforms.interpolation.value,
        crop_fraction=transforms.crop_size[0] / transforms.resize_size[0],
        channels=channels,
    )


def _check(name: str, include_top: bool, pooling: str | None, classes: int) -> None:
    if pooling not in (None, "avg", "max"):
        raise ValueError(f"{name}: `pooling` must be 'avg', 'max' or None, got {describe(pooling)}")
    if pooling and include_top:
        warnings.warn(
            f"{name}: pooling={pooling!r} has no effect with a top; pass include_top=False.",
            stacklevel=5,
        )
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 1:
        raise ValueError(f"{name}: `classes` must be a positive integer, got {describe(classes)}.")


def _inputs(
    name: str,
    published: Any,
    needs_size: bool,
    input_tensor: Any,
    input_shape: tuple[int | None, ...] | None,
) -> tuple[Any, Any]:
    """The model's inputs, and the tensor that the backbone gets."""
    if input_tensor is not None:
        if not is_symbolic(input_tensor):
            raise TypeError(
                f"{name}: `input_tensor` must be symbolic, made by Input(...) or by layers called "
                f"on it; got {describe(input_tensor)}."
            )
        return _sources(input_tensor), input_tensor
    is_last = image_data_format() == "channels_last"
    if input_shape is None:
        side = published.transforms().crop_size[0] if needs_size else None
        input_shape = (side, side, 3) if is_last else (3, side, side)
    if not isinstance(input_shape, (tuple, list)) or len(input_shape) != 3:
        raise ValueError(
            f"{name}: `input_shape` must be {_order(is_last)}, got {describe(input_shape)}."
        )
    x = layers.Input(tuple(input_shape))
    return x, x


def _order(is_last: bool) -> str:
    return "(height, width, channels)" if is_last else "(channels, height, width)"


def _sources(tensor: Any) -> Any:
    """The inputs that a symbolic tensor is computed from."""
    found: dict[int, Any] = {}
    waiting, seen = [tensor], set()
    while waiting:
        node = waiting.pop().node
        if id(node) in seen:
            continue
        seen.add(id(node))
        if node.is_input:
            found[id(node)] = node.outputs
        waiting += [*symbolic_leaves((node.args, node.kwargs))]
    sources = [*found.values()]
    return sources[0] if len(sources) == 1 else sources


def _check_image(name: str, published: Any, channels: Any, size: list, weights: Any) -> None:
    if channels is None or channels < 1:
        raise ValueError(f"{name}: the number of channels must be known, got {channels}.")
    if channels > 4 and any(side in (1, 3) for side in size):
        is_last = image_data_format() == "channels_last"
        other = "first" if is_last else "last"
        raise ValueError(
            f"{name}: images are {_order(is_last)} here, and these would have {channels} channels "
            f"and the size {tuple(size)}. Turn the shape round, or call kerasish.config."
            f'set_image_data_format("channels_{other}").'
        )
    if channels != 3 and weights is not None:
        raise ValueError(
            f"{name}: its weights see 3 channels, but there are {channels}; repeat grey images "
            "three times, or pass weights=None."
        )
    least = published.meta["min_size"]
    if published.transforms().crop_size[0] in least:  # a size that is fixed, not a least one
        return
    if any(side is not None and side < low for side, low in zip(size, least, strict=True)):
        raise ValueError(f"{name}: images must be at least {least}, got {tuple(size)}.")


def _sizes(architecture: str, size: list[Any]) -> dict[str, Any]:
    """The options of networks that must know the size of their images."""
    if architecture.startswith("vit"):
        if size[0] != size[1] or None in size:
            raise ValueError(f"{architecture} sees square images of one size, got {tuple(size)}.")
        return {"image_size": size[0]}
    return {"input_size": tuple(size)} if architecture.startswith("maxvit") else {}


def classified(
    backbone: Backbone, features: Any, classes: int, activation: Any, state: dict[str, Tensor]
) -> Any:
    """A classifier on the features, with the pretrained weights if it has as many classes."""
    if backbone.output_kind == "map":  # SqueezeNet, whose classifier is a convolution
        head: Any = layers.Conv2D(classes, 1, activation="relu", name=HEAD)
        outputs = head(layers.Dropout(0.5)(features))
        outputs = layers.GlobalAveragePooling2D()(outputs)
        if activations.get(activation) is not activations.get("linear"):
            outputs = layers.Activation(activation)(outputs)
        inner = head.conv
    else:
        use_bias = "bias" in state or not backbone.architecture.startswith("maxvit")
        head = layers.Dense(classes, activation=activation, use_bias=use_bias, name=HEAD)
        outputs = head(features)
        inner = head.linear
    if "weight" in state and state["weight"].shape == inner.weight.shape:
        with torch.no_grad():
            inner.weight.copy_(state["weight"])
            if "bias" in state:
                inner.bias.copy_(state["bias"])
    return outputs


def pooled(features: Any, pooling: str | None) -> Any:
    """The features, pooled if they are a map and pooling is asked for."""
    if pooling is None or len(features.shape) != 4:
        return features
    if pooling == "avg":
        return layers.GlobalAveragePooling2D()(features)
    return layers.GlobalMaxPooling2D()(features)
