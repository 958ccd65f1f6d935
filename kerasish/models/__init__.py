"""Models: Sequential, functional and subclassed."""

from kerasish import saving as _saving
from kerasish.models.clone import clone_model
from kerasish.models.ensemble import Ensemble
from kerasish.models.functional import Function, Functional
from kerasish.models.model import Model, ModuleModel
from kerasish.models.saving import (
    load_model,
    load_weights,
    model_from_json,
    save_model,
    save_weights,
)
from kerasish.models.sequential import Sequential

_saving.provide(load_model, load_weights, save_model, save_weights)

__all__ = [
    "Ensemble",
    "Function",
    "Functional",
    "Model",
    "ModuleModel",
    "Sequential",
    "clone_model",
    "load_model",
    "load_weights",
    "model_from_json",
    "save_model",
    "save_weights",
]
