"""Application: a network of the catalogue, which makes models and prepares images for them."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import Any

from kerasish.applications import images
from kerasish.applications.assembly import assemble
from kerasish.applications.pretrained import weights_enum
from kerasish.describe import describe, suggest
from kerasish.models.bundle import decode

COMMON = {
    "include_top": True,
    "weights": "imagenet",
    "input_tensor": None,
    "input_shape": None,
    "pooling": None,
    "classes": 1000,
    "classifier_activation": "softmax",
}
_PREPARED = {"include_preprocessing": True}
_BEFORE = {"input_shape": None, "alpha": 1.0}

# Keras's order of arguments, for families where it is another than the common one.
_ORDERS: dict[str, dict[str, Any]] = {
    "MobileNetV2": {**_BEFORE, **COMMON},
    "MobileNetV3": {
        **_BEFORE,
        "minimalistic": False,
        "include_top": True,
        "weights": "imagenet",
        "input_tensor": None,
        "classes": 1000,
        "pooling": None,
        "dropout_rate": 0.2,
        "classifier_activation": "softmax",
        **_PREPARED,
    },
    "EfficientNetV2": {**COMMON, **_PREPARED},
    "ConvNeXt": {"include_top": True, **_PREPARED, **COMMON},
}


class Application:
    """A network that can be made: `applications.ResNet50(classes=5)`.

    Calling it gives a model of two layers, the backbone (torchvision's module, under torchvision's
    name) and `"head"`. The arguments are those of Keras's function of that name, in its order:

    - `include_top`: whether there is a classifier; `False` ends in the map of features.
    - `weights`: `"imagenet"`, torchvision's enum or its name, a `.pth` or `.safetensors` path, an
      address, or `None`. Downloads go where `torch.hub` keeps its files.
    - `input_tensor`, `input_shape`: what the model sees; by default the size that the weights were
      trained on. Other numbers of channels need `weights=None`.
    - `pooling`: `"avg"` or `"max"` pools the map when there is no top.
    - `classes`: other than the weights' own, the head is new and the backbone pretrained. A list of
      names stands for so many classes of these names.
    - `classifier_activation`: that of the head; `None` gives logits.
    - `include_preprocessing`: whether the model takes images from 0 to 255 and normalises them
      itself; as in Keras the default of the families EfficientNet, ConvNeXt and MobileNetV3.
    - `name`, and any further argument of torchvision's function, such as `dropout=0.5`.

    The model takes raw images too: paths, PIL images and arrays of uint8 are made ready by
    `model.preprocessing`. Arrays of floats must be so already, as `preprocess_input` makes them
    (where `include_preprocessing` is set: from 0 to 255). `model.class_names` are those of the
    weights while the head is theirs, and `model.freeze()` freezes all before the head.

    Args:
        name: Its name in the catalogue.
        architecture: torchvision's name.
    """

    def __init__(self, name: str, architecture: str) -> None:
        self.name = name
        self.architecture = architecture
        self.__name__ = name
        self.takes_raw_images = name.startswith(("EfficientNet", "ConvNeXt", "MobileNetV3"))
        self.__signature__ = _signature(name, architecture, self.takes_raw_images)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Make a model.

        Raises:
            TypeError: If an argument is unknown to torchvision too.
            ValueError: If an argument does not fit.
        """
        bound = self.__signature__.bind(*args, **kwargs)
        bound.apply_defaults()
        arguments = dict(bound.arguments)
        options = self._options(arguments)
        return self._assemble(options=options, **arguments)

    def _assemble(self, **arguments: Any) -> Any:
        return assemble(self.name, self.architecture, **arguments)

    def _options(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Take out of the arguments what is for torchvision's function, in its words."""
        options = arguments.pop("options")
        if arguments.pop("minimalistic", False):
            raise ValueError(
                f"{self.name}: torchvision has no minimalistic variant of it; pass "
                "minimalistic=False."
            )
        alpha, dropout = arguments.pop("alpha", 1.0), arguments.pop("dropout_rate", None)
        check_alpha(self.name, alpha)
        if alpha != 1.0:
            if isinstance(arguments["weights"], str) and arguments["weights"].isidentifier():
                raise ValueError(
                    f"{self.name}: the published weights are of alpha=1.0, got {alpha}. Pass "
                    "weights=None, or a file."
                )
            options["width_mult"] = alpha
        if dropout is not None:
            options["dropout"] = dropout
        for key in options:
            if difflib.get_close_matches(key, arguments, cutoff=0.8):
                raise TypeError(f"{self.name} has no argument '{key}'{suggest(key, arguments)}.")
        return options

    @property
    def weights(self) -> Any:
        """Torchvision's enum of the pretrained weights."""
        return weights_enum(self.architecture)

    def preprocess_input(self, x: Any, data_format: str | None = None) -> Any:
        """Normalise images with the mean and deviation that the weights were trained with.

        Args:
            x: Images or one image, from 0 to 255: an array, a tensor or a model's input.
            data_format: Where the channels are.

        Returns:
            The same kind of array, as floats. For families whose models normalise by themselves,
            `x` as it is.
        """
        if self.takes_raw_images:
            return x
        ready = self.weights.DEFAULT.transforms()
        return images.normalize(x, ready.mean, ready.std, data_format, self.name)

    def decode_predictions(self, preds: Any, top: int = 5) -> list[list[tuple[int, str, float]]]:
        """The likeliest classes of each row of predictions.

        Args:
            preds: `(batch, classes)`, for the classes of the weights.
            top: How many classes to name.

        Returns:
            For each row a list of (index, name, score), best first.
        """
        names = self.weights.DEFAULT.meta["categories"]
        return decode(preds, names, top, f"{self.name}.decode_predictions")

    def __getattr__(self, name: str) -> Application:
        # As in Keras: `applications.resnet50.ResNet50`.
        if name == self.__dict__.get("name"):
            return self
        raise AttributeError(f"{self!r} has no attribute '{name}'")

    def __repr__(self) -> str:
        return f"applications.{self.name}"


def check_alpha(name: str, alpha: Any) -> None:
    """Raise a `ValueError` for a width that is not a positive number."""
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or alpha <= 0:
        raise ValueError(f"{name}: `alpha` must be a positive number, got {describe(alpha)}.")


def _signature(name: str, architecture: str, takes_raw_images: bool) -> inspect.Signature:
    order = next((o for family, o in _ORDERS.items() if name.startswith(family)), COMMON)
    kinds: Callable = inspect.Parameter
    values = {**order, "name": architecture}
    parameters = [kinds(key, kinds.POSITIONAL_OR_KEYWORD, default=v) for key, v in values.items()]
    if "include_preprocessing" not in values:
        parameters.append(
            kinds("include_preprocessing", kinds.KEYWORD_ONLY, default=takes_raw_images)
        )
    return inspect.Signature([*parameters, kinds("options", kinds.VAR_KEYWORD)])
