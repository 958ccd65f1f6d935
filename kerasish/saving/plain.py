"""Nested plain data with tensors in it, parted into what JSON holds and named tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from kerasish.describe import describe
from kerasish.registry import NotSerializableError


def flatten(state: Any, what: str = "The state") -> tuple[Any, dict[str, Tensor]]:
    """Take the tensors out of nested plain data, leaving their names in their places.

    Args:
        state: Dicts (keys of any plain type), lists, tuples, numbers, text, `None` and tensors.
        what: Who holds it, for the error.

    Raises:
        NotSerializableError: If it holds anything else.
    """
    tensors: dict[str, Tensor] = {}

    def take(value: Any, path: str) -> Any:
        if isinstance(value, Tensor):
            tensors[path] = value
            return {"__tensor__": path}
        if isinstance(value, Mapping):
            return {"__items__": [[k, take(v, f"{path}.{k}")] for k, v in value.items()]}
        if isinstance(value, (list, tuple)):
            items = [take(v, f"{path}.{i}") for i, v in enumerate(value)]
            return {"__tuple__": items} if isinstance(value, tuple) else items
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        raise NotSerializableError(f"{what} holds {describe(value)} at {path.partition('.')[2]}.")

    return take(state, "state"), tensors


def unflatten(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Put the tensors back into what `flatten` made."""
    if isinstance(value, list):
        return [unflatten(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "__tensor__" in value:
        return tensors[value["__tensor__"]]
    if "__tuple__" in value:
        return tuple(unflatten(item, tensors) for item in value["__tuple__"])
    return {key: unflatten(item, tensors) for key, item in value["__items__"]}
