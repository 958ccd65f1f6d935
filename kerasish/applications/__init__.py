"""Networks by name: torchvision's backbones under Keras's names, and the classics of the field.

    from kerasish import applications

    model = applications.ResNet50(classes=5)
    applications.list("*resnet*")

    applications.classics.CIFARResNet(110)

Every name of the catalogue is an attribute of this module; `torchvision` is imported when a network
is made.
"""

from typing import Any

from kerasish.applications import classics
from kerasish.applications.application import Application
from kerasish.applications.backbone import Backbone
from kerasish.applications.catalogue import NAMES as _NAMES
from kerasish.applications.catalogue import find as _find
from kerasish.applications.catalogue import get, list
from kerasish.applications.preprocessing import ImagePreprocessing

__all__ = ["Application", "Backbone", "ImagePreprocessing", "classics", "get", "list"]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return get(name)
    found = None if name.startswith("_") else _find(name)
    if found is not None:
        # As in Keras, `applications.resnet50` has the network and its two functions.
        return get(found)
    raise AttributeError(f"module 'kerasish.applications' has no attribute '{name}'")


def __dir__() -> Any:
    return sorted([*__all__, *_NAMES])
