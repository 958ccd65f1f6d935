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
from kerasish.backend import device
from kerasish.config import DTypePolicy
from kerasish.graph.symbolic import SymbolicTensor as KerasTensor
from kerasish.initializers import Initializer
from kerasish.layers import Input, InputSpec, Layer
from kerasish.losses import Loss
from kerasish.metrics import Metric
from kerasish.models import Ensemble, Function, Model, Sequential, load_model
from kerasish.optimizers import Optimizer
from kerasish.registry import register
from kerasish.regularizers import Regularizer
from kerasish.variables import Variable

if TYPE_CHECKING:
    from kerasish import (
        applications,
        backend,
        datasets,
        dtype_policies,
        mixed_precision,
        ops,
        preprocessing,
        random,
        report,
        saving,
        schedules,
        transfer,
        tree,
        tta,
        utils,
    )

__version__ = "0.1.0"

# Imported when first used, so that `import kerasish` stays light.
_LAZY = (
    "applications",
    "backend",
    "datasets",
    "dtype_policies",
    "mixed_precision",
    "ops",
    "preprocessing",
    "random",
    "report",
    "saving",
    "schedules",
    "transfer",
    "tree",
    "tta",
    "utils",
)

__all__ = [
    "DTypePolicy",
    "Ensemble",
    "Function",
    "Initializer",
    "Input",
    "InputSpec",
    "KerasTensor",
    "Layer",
    "Loss",
    "Metric",
    "Model",
    "Optimizer",
    "Regularizer",
    "Sequential",
    "Variable",
    "activations",
    "applications",
    "backend",
    "callbacks",
    "config",
    "constraints",
    "datasets",
    "device",
    "dtype_policies",
    "initializers",
    "layers",
    "load_model",
    "losses",
    "metrics",
    "mixed_precision",
    "models",
    "ops",
    "optimizers",
    "preprocessing",
    "random",
    "register",
    "regularizers",
    "report",
    "saving",
    "schedules",
    "transfer",
    "tree",
    "tta",
    "utils",
    "version",
]


def version() -> str:
    """The version of kerasish."""
    return __version__


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f"kerasish.{name}")
    raise AttributeError(f"module 'kerasish' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
