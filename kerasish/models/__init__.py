"""Models: Sequential, functional and subclassed."""

from kerasish.models.clone import clone_model
from kerasish.models.functional import Functional
from kerasish.models.model import Model, ModuleModel
from kerasish.models.saving import load_model
from kerasish.models.sequential import Sequential

__all__ = ["Functional", "Model", "ModuleModel", "Sequential", "clone_model", "load_model"]
