"""Keras's words, PyTorch's substance: build, train, evaluate and save networks in a few lines."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from kerasish import (
    activations,
    callbacks,
    config,
    constraints,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    regularizers,
)
from kerasish.layers import Input, Layer
from kerasish.losses import Loss
from kerasish.metrics import Metric
from kerasish.models import Model, Sequential, load_model
from kerasish.registry import register

if TYPE_CHECKING:
    from kerasish import datasets, ops, random, saving, schedules, tree, utils

__version__ = "0.1.0"

# Imported when first used, so that `import kerasish` stays light.
_LAZY = ("datasets", "ops", "random", "saving", "schedules", "tree", "utils")

__all__ = [
    "Input",
    "Layer",
    "Loss",
    "Metric",
    "Model",
    "Sequential",
    "activations",
    "callbacks",
    "config",
    "constraints",
    "datasets",
    "initializers",
    "layers",
    "load_model",
    "losses",
    "metrics",
    "models",
    "ops",
    "optimizers",
    "random",
    "register",
    "regularizers",
    "saving",
    "schedules",
    "tree",
    "utils",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f"kerasish.{name}")
    raise AttributeError(f"module 'kerasish' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
