"""Number types for weights and for computing, under Keras's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from kerasish.config import DTypePolicy, as_policy
from kerasish.describe import describe

FloatDTypePolicy = DTypePolicy


def get(identifier: Any) -> DTypePolicy:
    """The policy that a name, a torch type, a config or a policy means; `None` is the current one.

    Raises:
        ValueError: If there is no such policy.

    Example:
        >>> get("mixed_bfloat16").compute_dtype
        torch.bfloat16
    """
    if isinstance(identifier, Mapping):
        return deserialize(identifier)
    if identifier is None or isinstance(identifier, (str, torch.dtype, DTypePolicy)):
        return as_policy(identifier)
    raise ValueError(f"A dtype policy is a name, a type or a config, got {describe(identifier)}.")


def serialize(dtype_policy: DTypePolicy) -> dict[str, Any]:
    """A config of the policy."""
    return {"class_name": "DTypePolicy", "config": dtype_policy.get_config()}


def deserialize(config: Mapping[str, Any], custom_objects: Any = None) -> DTypePolicy:
    """Make the policy of a config, ours or Keras's."""
    return DTypePolicy(config["config"]["name"])


__all__ = ["DTypePolicy", "FloatDTypePolicy", "deserialize", "get", "serialize"]
