"""Where and in which number type a model computes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from kerasish.config import as_policy
from kerasish.data.arrays import map_leaves
from kerasish.layers.base import Layer
from kerasish.training.recipe import Recipe

_HALF = {"bfloat16-mixed": torch.bfloat16, "float16-mixed": torch.float16}


def place_model(model: nn.Module, recipe: Recipe) -> torch.device:
    """Move a model to the device, type and memory format of its recipe; free if it is there."""
    device = recipe.torch_device()
    first = next(model.parameters(), None)
    if first is None:
        return device
    if first.device.type != device.type or (
        device.index is not None and first.device.index != device.index
    ):
        model.to(device)
    _set_width(model, recipe.precision == "float64", first.dtype)
    memory_format = recipe.torch_memory_format()
    if memory_format is not None:
        model.to(memory_format=memory_format)  # type: ignore[call-overload]
    return device


def _set_width(model: nn.Module, is_double: bool, dtype: torch.dtype) -> None:
    """Make a model compute in float64, or take that back; one that was made so stays so."""
    if is_double == (dtype == torch.float64) or not (is_double or hasattr(model, "_was_widened")):
        return
    if is_double:
        model.double()
        model.__dict__["_was_widened"] = True
    else:
        model.float()
        del model.__dict__["_was_widened"]
    policy = as_policy("float64" if is_double else "float32")
    for layer in model.modules():
        if isinstance(layer, Layer) and layer.dtype_policy.name in ("float32", "float64"):
            layer.set_policy(policy)


def autocast(recipe: Recipe, device: torch.device) -> AbstractContextManager[Any]:
    """The context in which forward and loss run."""
    half = _HALF.get(recipe.precision)
    return nullcontext() if half is None else torch.autocast(device.type, dtype=half)


def input_caster(recipe: Recipe, takes_integers: bool) -> Any:
    """A function for a batch's inputs, or `None` when they can stay as they are.

    Integers become floats where the model computes with them (images travel as bytes), floats take
    the recipe's type, images its memory format.
    """
    memory_format = recipe.torch_memory_format()
    wanted = torch.float64 if recipe.precision == "float64" else torch.float32

    def cast(tensor: Tensor) -> Tensor:
        is_float = tensor.is_floating_point()
        if (is_float and wanted == torch.float64) or (not is_float and not takes_integers):
            tensor = tensor.to(wanted)
        if memory_format is not None and tensor.dim() == 4:
            tensor = tensor.contiguous(memory_format=memory_format)
        return tensor

    return lambda x: map_leaves(cast, x)
