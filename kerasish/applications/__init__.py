"""Networks by name: torchvision's backbones under Keras's names, and the classics of the field.

    from kerasish import applications

    model = applications.ResNet50(classes=5)
    applications.list("*resnet*")
    applications.table("*resnet*", sort="top1")

    applications.classics.CIFARResNet(110)

Every name of the catalogue is an attribute of this module; `torchvision` is imported when a network
is made.
"""

import importlib as _importlib
from typing import Any

from kerasish.applications import classics
from kerasish.applications.application import Application
from kerasish.applications.backbone import Backbone
from kerasish.applications.catalogue import ALL as _ALL
from kerasish.applications.catalogue import LAYERED as _LAYERED
from kerasish.applications.catalogue import find as _find
from kerasish.applications.catalogue import get, list
from kerasish.applications.feature_maps import FeatureMaps
from kerasish.applications.modules import provide as _provide
from kerasish.applications.preprocessing import ImagePreprocessing
from kerasish.applications.table import table

__all__ = [
    "Application",
    "Backbone",
    "FeatureMaps",
    "ImagePreprocessing",
    "classics",
    "get",
    "list",
    "table",
]

_FILES = {"imagenet_utils", *_LAYERED.values()}

# Modules of Keras's names, such as `applications.resnet50`.
globals().update(_provide())


def __getattr__(name: str) -> Any:
    if name in _ALL:
        return get(name)
    if name in _FILES:
        return _importlib.import_module(f"{__name__}.{name}")
    if not name.startswith("_") and (found := _find(name)) is not None:
        return get(found)
    raise AttributeError(f"module 'kerasish.applications' has no attribute '{name}'")


def __dir__() -> Any:
    return sorted([*__all__, *_ALL])
