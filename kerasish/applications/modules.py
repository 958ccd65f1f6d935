"""The modules that Keras has for its families of networks, such as `applications.resnet50`."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from kerasish.applications.catalogue import ALL, LAYERED, find, get

_PACKAGE = "kerasish.applications"

# Module = the beginnings of its networks' names. Families of kerasish layers alone have files.
FAMILIES = {
    "convnext": ("ConvNeXt",),
    "densenet": ("DenseNet",),
    "efficientnet": ("EfficientNetB",),
    "efficientnet_v2": ("EfficientNetV2",),
    "inception_v3": ("InceptionV3",),
    "mobilenet_v2": ("MobileNetV2",),
    "mobilenet_v3": ("MobileNetV3",),
    "resnet": ("ResNet",),
    "resnet50": ("ResNet50",),
    "vgg16": ("VGG16",),
    "vgg19": ("VGG19",),
}


class Family(ModuleType):
    """A module without a file: networks of one family, and their two functions.

    `from kerasish.applications.resnet50 import ResNet50, preprocess_input` works as in Keras.
    """

    def __init__(self, name: str, beginnings: tuple[str, ...]) -> None:
        super().__init__(f"{_PACKAGE}.{name}", f"{name}: networks, and functions for their images.")
        self.names = [
            known
            for known in ALL
            if known.startswith(beginnings)
            and LAYERED.get(known, f"keras_{name}") == f"keras_{name}"
        ]

    def __getattr__(self, name: str) -> Any:
        if name in ("preprocess_input", "decode_predictions"):
            return getattr(get(self.names[0]), name)
        if not name.startswith("_") and find(name) in self.names:
            return get(name)
        raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")

    def __dir__(self) -> list[str]:
        return [*self.names, "decode_predictions", "preprocess_input"]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The network, where a module has one: `applications.vgg16(...)`."""
        return get(self.__name__.rpartition(".")[2])(*args, **kwargs)


def provide() -> dict[str, Family]:
    """Make the modules known to Python's import, and return them by name."""
    made = {name: Family(name, beginnings) for name, beginnings in FAMILIES.items()}
    sys.modules.update({f"{_PACKAGE}.{name}": module for name, module in made.items()})
    return made
