"""The arguments of a layer's constructor: those of all layers, and what a signature shows."""

from __future__ import annotations

import inspect
from inspect import Signature
from typing import Any, TypedDict


class LayerOptions(TypedDict, total=False):
    """What every layer takes by keyword besides its own list; see `Layer`."""

    trainable: bool
    dtype: Any
    autocast: bool
    name: str | None
    input_shape: tuple[int | None, ...] | None


class ActivityOptions(LayerOptions, total=False):
    """The same, for layers in whose list the penalty on the output is not."""

    activity_regularizer: Any


class LoraOptions(LayerOptions, total=False):
    """The same, for layers that take LoRA where Keras's do not."""

    lora_rank: int | None
    lora_alpha: float | None


def constructor_signature(cls: type) -> Signature:
    """What a class may be called with: the arguments of its constructor."""
    return Signature(list(inspect.signature(cls.__init__).parameters.values())[1:])


def texts_in(function: Any) -> set[str]:
    """The strings that the code of a function holds, those in tuples of names too.

    Example:
        >>> sorted(texts_in(lambda d: dict(a=d["b"])))
        ['a', 'b']
    """
    code = getattr(inspect.unwrap(function), "__code__", None)
    found: set[str] = set()
    for constant in () if code is None else code.co_consts:
        items = constant if isinstance(constant, tuple) else (constant,)
        found |= {item for item in items if isinstance(item, str)}
    return found


class ShownSignature:
    """Lets `inspect.signature(SomeLayer)` look at `__init__`, though `__new__` takes anything."""

    def __get__(self, instance: Any, owner: type) -> Signature:
        if instance is not None:
            raise AttributeError("__signature__")  # that of an instance is its call's
        return constructor_signature(owner)
