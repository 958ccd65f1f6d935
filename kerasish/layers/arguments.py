"""The arguments of a layer's constructor: its own, and the options that it passes on."""

from __future__ import annotations

import inspect
from inspect import Parameter, Signature
from typing import Any, TypedDict


class LayerOptions(TypedDict, total=False):
    """What every layer takes by keyword; see `Layer`."""

    activity_regularizer: Any
    input_shape: tuple[int | None, ...] | None
    trainable: bool
    dtype: Any
    autocast: bool
    name: str | None


def constructor_signature(cls: type) -> Signature:
    """What a class may be called with.

    A constructor that ends in `**options: Unpack[SomeOptions]` says by that type that the options
    are arguments of its own, which a class further along in the order of inheritance states by
    keyword, with their defaults; a class between that takes `*args, **kwargs` hands on what is not
    its own. They are listed here in place of `**options`. The arguments of all layers, such as
    `name`, stay behind `**kwargs`.
    """
    found: dict[str, Parameter] = {}
    rest: list[Parameter] = []
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        if found and "__signature__" in vars(base):
            break
        parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
        own = [p for p in parameters if p.kind is p.KEYWORD_ONLY or not found]
        hands_on = bool(found) and any(p.kind is p.VAR_POSITIONAL for p in parameters)
        rest = [p for p in parameters if p.kind is p.VAR_KEYWORD]
        found.update({p.name: p for p in own if p not in rest and p.name not in found})
        if not rest or not (hands_on or "Unpack[" in str(rest[0].annotation)):
            break
    return Signature(sorted(found.values(), key=lambda parameter: parameter.kind) + rest)


def check_places(cls: type, count: int) -> None:
    """Make sure that so many arguments can be given by place.

    Raises:
        TypeError: If fewer can; it names those that must be given by name.
    """
    parameters = constructor_signature(cls).parameters.values()
    by_place = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    by_name = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    takes_any = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if count > len(by_place) and by_name and not takes_any:
        raise TypeError(
            f"{cls.__name__} takes {len(by_place)} arguments by place ({', '.join(by_place)}), got "
            f"{count}. Give the others by name: {', '.join(by_name)}."
        )


class ShownSignature:
    """Lets `inspect.signature(SomeLayer)`, and with it notebooks, show all arguments."""

    def __get__(self, instance: Any, owner: type) -> Signature:
        if instance is not None:
            raise AttributeError("__signature__")  # that of an instance is its call's
        return constructor_signature(owner)
