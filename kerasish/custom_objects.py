"""Keras's words for what saved files may name: registering classes, scopes, configs of objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ContextDecorator
from typing import Any

from kerasish import registry
from kerasish.registry import register, registered_name
from kerasish.registry import serialize as serialize_keras_object


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable:
    """Let saved files name a class or function: a decorator; `kerasish.register` is the same.

    Args:
        package: A prefix that keeps names of different projects apart.
        name: The name in the file. Defaults to the object's own.

    Example:
        >>> @register_keras_serializable("docs")
        ... def double(x):
        ...     return 2 * x
        >>> get_registered_name(double)
        'docs>double'
    """
    return register(package=package, name=name)


def get_registered_name(obj: Any) -> str:
    """The name a class or function was registered under, or its own."""
    return registered_name(obj) or obj.__name__


def get_registered_object(
    name: str,
    custom_objects: Mapping[str, Any] | None = None,
    module_objects: Mapping[str, Any] | None = None,
) -> Any:
    """The class or function that a name stands for, or `None`.

    Args:
        name: A registered name, such as `"Custom>Swish"`, or a key of the mappings.
        custom_objects: Looked at after what was registered.
        module_objects: Looked at last.
    """
    for table in (get_custom_objects(), custom_objects or {}, module_objects or {}):
        if name in table:
            return table[name]
    return None


def get_custom_objects() -> dict[str, Any]:
    """What is registered, by name: the dictionary itself, so that entries can be added."""
    return registry._registered


class CustomObjectScope(ContextDecorator):
    """Classes and functions that files and names may mean inside a `with` block.

    Args:
        custom_objects: They, by name.

    Example:
        >>> with CustomObjectScope({"double": lambda x: 2 * x}):
        ...     get_registered_object("double")(3)
        6
    """

    def __init__(self, custom_objects: Mapping[str, Any]) -> None:
        self.custom_objects = dict(custom_objects or {})
        self._before: list[dict[str, Any]] = []

    def __enter__(self) -> CustomObjectScope:
        self._before.append(dict(get_custom_objects()))
        get_custom_objects().update(self.custom_objects)
        return self

    def __exit__(self, *exc_info: object) -> None:
        objects, before = get_custom_objects(), self._before.pop()
        for name in self.custom_objects:
            if name in before:
                objects[name] = before[name]
            else:
                objects.pop(name, None)


custom_object_scope = CustomObjectScope


def deserialize_keras_object(
    config: Any, custom_objects: Mapping[str, Any] | None = None, safe_mode: bool = True
) -> Any:
    """Make the object that `serialize_keras_object` described.

    Args:
        config: What it returned.
        custom_objects: Classes and functions by name, beside the registered ones.
        safe_mode: Accepted for Keras's sake: a config never holds code.

    Raises:
        ValueError: If the config names what is neither kerasish's own, registered nor passed in.
    """
    return registry.deserialize(config, custom_objects)


__all__ = [
    "CustomObjectScope",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "register_keras_serializable",
    "serialize_keras_object",
]
