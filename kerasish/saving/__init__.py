"""Models, weights and configurations on disk, in files that run no code.

Besides the names listed here, Keras's functions for whole models are found here too: `load_model`,
`save_model`, `load_weights`, `save_weights`. The package of models, above, provides them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kerasish.custom_objects import (
    CustomObjectScope,
    custom_object_scope,
    deserialize_keras_object,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
    serialize_keras_object,
)

_provided: dict[str, Callable] = {}


def provide(*functions: Callable) -> None:
    """Offer functions from above under their own names."""
    _provided.update({function.__name__: function for function in functions})


def __getattr__(name: str) -> Any:
    if name in _provided:
        return _provided[name]
    raise AttributeError(f"module 'kerasish.saving' has no attribute '{name}'")


__all__ = [
    "CustomObjectScope",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "provide",
    "register_keras_serializable",
    "serialize_keras_object",
]
