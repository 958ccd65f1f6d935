"""Torchvision's v2 transforms in words that a file can hold, and back."""

from __future__ import annotations

import enum
import inspect
import sys
from typing import Any

import torch

from kerasish.describe import describe
from kerasish.registry import NotSerializableError


def transform_config(transform: Any) -> dict[str, Any]:
    """The name of a transform's class and its arguments, as plain values.

    Raises:
        NotSerializableError: If it is no transform of torchvision's own, or holds something that
            has no place in a file.
    """
    cls = type(transform)
    if _own_class(cls.__name__) is not cls:
        raise NotSerializableError(
            f"{transform!r:.80} is no transform of torchvision.transforms.v2, and no file can "
            "describe it. Write it as a Layer with @kerasish.register, or apply it to the data."
        )
    config = {"class": cls.__name__, "arguments": _arguments(transform)}
    try:
        twin = make_transform(config)
    except Exception as error:  # whatever a constructor raises
        raise _no_words(transform) from error
    if _told(twin) != _told(transform):
        raise _no_words(transform)
    return config


def make_transform(config: Any) -> Any:
    """The transform that `transform_config` described.

    Raises:
        ValueError: If the description names anything but a transform of torchvision's own.
    """
    cls = _own_class(config.get("class")) if isinstance(config, dict) else None
    arguments = config.get("arguments") if cls is not None else None
    if cls is None or not isinstance(arguments, dict):
        raise ValueError(f"The file names a transform that is not torchvision's: {config!r:.80}")
    known = inspect.signature(cls.__init__).parameters
    if not set(arguments) <= set(known):
        raise ValueError(f"The file gives torchvision's {cls.__name__} arguments it does not take.")
    return cls(**{name: _from_plain(value) for name, value in arguments.items()})


def is_transform(value: Any) -> bool:
    """Whether a value is a torchvision v2 transform, of whatever class."""
    v2 = sys.modules.get("torchvision.transforms.v2")
    return v2 is not None and isinstance(value, v2.Transform)


def is_config(value: Any) -> bool:
    """Whether a value is what `transform_config` gives."""
    return isinstance(value, dict) and value.keys() == {"class", "arguments"}


def _own_class(name: Any) -> type | None:
    from torchvision.transforms import v2

    found = getattr(v2, name, None) if isinstance(name, str) else None
    # Lambda holds a function, which no file can.
    if not isinstance(found, type) or not issubclass(found, v2.Transform) or found is v2.Lambda:
        return None
    return found


def _arguments(transform: Any) -> dict[str, Any]:
    found = {}
    for name in inspect.signature(type(transform).__init__).parameters:
        if name != "self" and hasattr(transform, name):
            found[name] = _to_plain(getattr(transform, name))
    return found


def _told(transform: Any) -> dict[str, Any]:
    """All that a transform keeps, in a form that can be compared."""
    return {key: _alike(value) for key, value in vars(transform).items() if key != "training"}


def _alike(value: Any) -> str:
    # A list does as well as a tuple; files know lists alone.
    return repr(value).translate(str.maketrans("()", "[]")).replace(",]", "]")


def _to_plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return {"enum": type(value).__name__, "value": value.value}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if isinstance(value, (list, tuple)):
        return [_to_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, torch.nn.ModuleList):
        return [_to_plain(item) for item in value]
    if is_transform(value):
        return transform_config(value)
    raise NotSerializableError(f"{describe(value)} has no place in the config of a transform.")


def _from_plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_plain(item) for item in value]
    if is_config(value):
        return make_transform(value)
    if isinstance(value, dict) and value.get("enum") in ("InterpolationMode", "AutoAugmentPolicy"):
        from torchvision import transforms

        return getattr(transforms, value["enum"])(value["value"])
    if isinstance(value, dict) and value.keys() == {"dtype"}:
        dtype = getattr(torch, str(value["dtype"]), None)
        if isinstance(dtype, torch.dtype):
            return dtype
    if isinstance(value, dict):
        raise ValueError(f"The file gives a transform something unknown: {value!r:.80}")
    return value


def _no_words(transform: Any) -> NotSerializableError:
    return NotSerializableError(
        f"{transform!r:.80} has settings that no file can describe. Write it as a Layer with "
        "@kerasish.register, or apply it to the data."
    )
