"""Layered: a network that only Keras has, made of kerasish layers."""

from __future__ import annotations

import dataclasses
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from kerasish.applications.application import COMMON, Application
from kerasish.applications.assembly import HEAD, Frame, furnish, pooled, prepare
from kerasish.applications.images import imagenet_classes
from kerasish.applications.keras_files import load_keras_weights
from kerasish.applications.pretrained import OF_KERAS, fetch, fitted_state, read_file
from kerasish.config import image_data_format
from kerasish.describe import describe, suggest
from kerasish.layers import Concatenate, Dense, GlobalAveragePooling2D, Rescaling
from kerasish.models import Model
from kerasish.utils.download import file_in

__all__ = [
    "HEAD",
    "Layered",
    "Published",
    "channels_of",
    "concatenated",
    "normalized",
    "sides_of",
]


@dataclasses.dataclass(frozen=True)
class Published:
    """What Keras's documentation says of a network's pretrained weights.

    It speaks as torchvision's entries of weights do: `meta`, and `transforms()`.

    Attributes:
        parameters: The number of parameters, with the classifier for 1000 classes.
        accuracy: The share of ImageNet's validation images that are classified right, in percent.
        size: The side of the images.
        least: The smallest side that goes through the network.
        files: From `top`, the size of images and the network's options to an address and its MD5
            or SHA-256 hash.
        mean: Of images from 0 to 1, as they were normalised in training.
        std: See `mean`.
    """

    parameters: int
    accuracy: float
    size: int
    least: int
    files: Callable[..., tuple[str, str | None]]
    mean: tuple[float, ...] = (0.5,) * 3
    std: tuple[float, ...] = (0.5,) * 3

    @property
    def meta(self) -> dict[str, Any]:
        """Sizes, class names and accuracy."""
        return {
            "num_params": self.parameters,
            "min_size": (self.least, self.least),
            "categories": imagenet_classes(),
            "_metrics": {"ImageNet-1K": {"acc@1": self.accuracy}},
        }

    def transforms(self) -> Any:
        """How images are made ready: by default from -1 to 1."""
        return SimpleNamespace(
            crop_size=[self.size],
            resize_size=[self.size],
            mean=[*self.mean],
            std=[*self.std],
            interpolation=SimpleNamespace(value="bilinear"),
        )


def _from_minus_one_to_one(x: Any) -> Any:
    return Rescaling(1 / 127.5, offset=-1)(x)


def _classifier(x: Any, classes: int, activation: Any, **_: Any) -> Any:
    x = GlobalAveragePooling2D(name="avg_pool")(x)
    return Dense(classes, activation=activation, name=HEAD)(x)


class Layered(Application):
    """A network that can be made of kerasish layers: `applications.Xception(classes=5)`.

    Its layers are the model's own, under Keras's names, so that `model.get_layer(...)`,
    `model.layers[:100]` and `Model(model.input, model.get_layer(...).output)` do what they do in
    Keras; only the classifier is called `"head"`, as in all applications.

    The arguments are those of Keras's function of that name, and mean what `Application` says.
    `weights` is `"imagenet"` (Keras's own files; they take h5py), a file of Keras's (`.weights.h5`,
    `.keras`, `.h5`), a `.pth` or `.safetensors` file of this model, an address, or `None`.

    Args:
        name: Its name in the catalogue.
        title: The name of its models; the options may stand in it.
        body: From images and options to the map of features.
        published: What is known of the pretrained weights.
        top: From features, classes, activation and options to the predictions.
        ending: Without a top: from features and the kind of pooling to the output.
        inside: From images from 0 to 255 to what the network sees. Given, that is the default
            of its models; otherwise they go from -1 to 1 where `include_preprocessing` asks.
        options: Arguments of its own, and their defaults.
        order: The names of its arguments in Keras's order, where it is not the common one.
        fixes_size: Whether it must know the size of its images.
    """

    def __init__(
        self,
        name: str,
        title: str,
        body: Callable[..., Any],
        published: Published,
        *,
        top: Callable[..., Any] = _classifier,
        ending: Callable[..., Any] = pooled,
        inside: Callable[..., Any] | None = None,
        options: dict[str, Any] | None = None,
        order: str | None = None,
        fixes_size: bool = False,
    ) -> None:
        self.name = self.__name__ = name
        self.architecture = self.title = title
        self.body, self.top, self.ending = body, top, ending
        self.inside = inside or _from_minus_one_to_one
        self.published = published
        self.own_options = options or {}
        self.fixes_size = fixes_size
        self.takes_raw_images = inside is not None
        self.__signature__ = self._signature(order)

    def _signature(self, order: str | None) -> inspect.Signature:
        defaults = {**COMMON, **self.own_options}
        names = order.split(", ") if order else [*defaults]
        inside = {"include_preprocessing": self.takes_raw_images}
        values = {key: {**defaults, **inside}[key] for key in names}
        values["name"] = None if "{" in self.title else self.title
        kinds: Callable = inspect.Parameter
        parameters = [kinds(k, kinds.POSITIONAL_OR_KEYWORD, default=v) for k, v in values.items()]
        last = {} if "include_preprocessing" in names else inside
        parameters += [kinds(k, kinds.KEYWORD_ONLY, default=v) for k, v in last.items()]
        return inspect.Signature(parameters)

    @property
    def weights(self) -> Any:
        """The pretrained weights, in the manner of torchvision's enums."""
        return SimpleNamespace(DEFAULT=self.published)

    def __call__(self, *args: Any, **kwargs: Any) -> Model:
        """Make a model.

        Raises:
            TypeError: If there is no such argument.
            ValueError: If an argument does not fit.
        """
        for key in kwargs.keys() - self.__signature__.parameters.keys():
            known = [*self.__signature__.parameters]
            raise TypeError(f"{self.name} has no argument '{key}'{suggest(key, known)}.")
        try:
            bound = self.__signature__.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}: {error}") from None
        bound.apply_defaults()
        return self._make(**bound.arguments)

    def _make(
        self,
        *,
        include_top: bool,
        weights: Any,
        input_tensor: Any,
        input_shape: Any,
        pooling: str | None,
        classes: Any,
        classifier_activation: Any,
        include_preprocessing: bool,
        name: str | None,
        **options: Any,
    ) -> Model:
        frame = prepare(
            self.name,
            self.published,
            include_top=include_top,
            weights=weights,
            input_tensor=input_tensor,
            input_shape=input_shape,
            pooling=pooling,
            classes=classes,
            needs_size=include_top or self.fixes_size,
        )
        if self.fixes_size and None in frame.size:
            raise ValueError(f"{self.name}: the size of images must be known, got {frame.size}.")
        path = self._find(weights, include_top and frame.classes == 1000, frame, options)
        x = self.inside(frame.x) if include_preprocessing else frame.x
        features = self.body(x, **options)
        if include_top:
            outputs = self.top(features, frame.classes, classifier_activation, **options)
        else:
            outputs = self.ending(features, pooling)
        title = self.title.format(**options, rows=frame.size[0]).replace(".", "_")
        model = Model(frame.inputs, outputs, name=name or title)
        has_head = path is not None and self._load(model, path, HEAD if include_top else None)
        furnish(model, frame, self.published, include_top, has_head, include_preprocessing)
        return model if path is None else model.eval()  # as a loaded model is

    def _find(
        self, weights: Any, has_top: bool, frame: Frame, options: dict[str, Any]
    ) -> Path | None:
        """The file that `weights` means, after a download if need be."""
        if weights is None:
            return None
        if isinstance(weights, str) and weights.lower() in ("imagenet", "default"):
            address, digits = self.published.files(top=has_top, size=frame.size, **options)
            home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
            return fetch(self.name, address, digits, [home / "models" / file_in(address)])
        if isinstance(weights, str) and weights.startswith(("http://", "https://", "file://")):
            return fetch(self.name, weights)
        suffixes = (*OF_KERAS, ".pth", ".pt", ".safetensors")
        is_path = isinstance(weights, str) and (weights.endswith(suffixes) or os.sep in weights)
        if is_path or isinstance(weights, os.PathLike):
            if not Path(weights).is_file():
                raise FileNotFoundError(f"{self.name}: there is no weights file {weights}.")
            return Path(weights)
        raise ValueError(
            f"{self.name}: `weights` must be 'imagenet', a file ({', '.join(suffixes)}), an "
            f"address or None; got {describe(weights)}{suggest(weights, ['imagenet'])}."
        )

    def _load(self, model: Model, path: Path, head: str | None) -> bool:
        """Fill a model from a file; says whether the head came from it, too."""
        if path.suffix in OF_KERAS:
            return load_keras_weights(model, path, head, self.name)
        own = model.state_dict()
        state, has_head = fitted_state(self.name, own, read_file(self.name, path), head)
        model.load_state_dict(state)
        return has_head


def channels_of(x: Any) -> int:
    """The channels of images or maps."""
    return x.shape[-1 if image_data_format() == "channels_last" else 1]


def sides_of(x: Any) -> tuple[int | None, ...]:
    """Height and width of images or maps; `None` where unknown."""
    return tuple(x.shape[1:3] if image_data_format() == "channels_last" else x.shape[2:])


def concatenated(maps: list[Any], name: str | None = None) -> Any:
    """Maps side by side along their channels."""
    axis = -1 if image_data_format() == "channels_last" else 1
    return Concatenate(axis=axis, name=name)(maps)


def normalized(
    x: Any, mean: tuple[float, ...], std: tuple[float, ...], name: str | None = None
) -> Any:
    """`(x / 255 - mean) / std` of images from 0 to 255, in one multiplication."""
    # Written out to three axes: a file of the model serves in either image format.
    shape = (1, 1, -1) if image_data_format() == "channels_last" else (-1, 1, 1)
    scale = np.reshape([1 / (255 * b) for b in std], shape)
    offset = np.reshape([-a / b for a, b in zip(mean, std, strict=True)], shape)
    return Rescaling(scale.tolist(), offset.tolist(), name=name)(x)
