"""Where and in which number type a model computes."""

from __future__ import annotations

import itertools
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from kerasish.config import as_policy
from kerasish.data.arrays import map_leaves
from kerasish.layers.base import Layer
from kerasish.training.memory import keep_freed_memory
from kerasish.training.recipe import Recipe

_HALF = {"bfloat16-mixed": torch.bfloat16, "float16-mixed": torch.float16}


def place_model(model: nn.Module, recipe: Recipe) -> torch.device:
    """Move a model to the device, type and memory format of its recipe; free if it is there."""
    device = target_device(model, recipe)
    if device.type == "cpu":
        keep_freed_memory()
    # All are looked at: a new layer on top of others that were trained is where it was built.
    anywhere = recipe.torch_device().index is None  # on any device of this kind, or on several
    held = itertools.chain(model.parameters(), model.buffers())
    if any(t.device.type != device.type or not (anywhere or t.device == device) for t in held):
        model.to(device)
    first = next(model.parameters(), None)
    if first is None:
        return device
    _set_width(model, recipe.precision == "float64", first.dtype)
    memory_format = recipe.torch_memory_format()
    if memory_format is not None:
        model.to(memory_format=memory_format)  # type: ignore[call-overload]
    return device


def target_device(model: nn.Module, recipe: Recipe) -> torch.device:
    """Where a recipe lets a model compute, with a number where such devices have one.

    "cuda" is the GPU that the model is on already, else torch's current one: two devices compare
    equal only if both have numbers, and a model may have been moved to the second GPU.
    """
    device = recipe.torch_device()
    if device.index is not None or device.type == "cpu":
        return device
    first = next(model.parameters(), None)
    if first is not None and first.device.type == device.type:
        return first.device
    return torch.empty(0, device=device).device


def device_of(model: nn.Module) -> str:
    """Where a model is, as a recipe says it; `"auto"` for one without weights."""
    first = next(model.parameters(), None)
    return "auto" if first is None else str(first.device)


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


_SHORT = (torch.uint8, torch.int8, torch.int16)


def input_caster(
    recipe: Recipe, takes_integers: bool, is_module: bool = False, widens: bool = True
) -> Any:
    """A function for a batch's inputs.

    Integers become floats where the model computes with them (images travel as bytes), floats take
    the recipe's type, images its memory format.

    Args:
        recipe: What `compile` decided.
        takes_integers: Whether integers are indices to the model.
        is_module: Whether the model is code of its own, which casts nothing itself.
        widens: Whether its weights are float32, so that half-precision inputs must be too.
    """
    memory_format = recipe.torch_memory_format()
    wanted = torch.float64 if recipe.precision == "float64" else torch.float32

    def cast(tensor: Tensor) -> Tensor:
        is_float = tensor.is_floating_point()
        if is_module and takes_integers and tensor.dtype in _SHORT:
            return tensor.long()  # torch's embeddings look up int32 and int64 only
        is_narrow = is_float and is_module and widens and tensor.dtype.itemsize < 4
        is_number = not is_float and not takes_integers
        if is_narrow or is_number or (is_float and wanted == torch.float64):
            tensor = tensor.to(wanted)
        if memory_format is not None and tensor.dim() == 4:
            tensor = tensor.contiguous(memory_format=memory_format)
        return tensor

    return lambda x: map_leaves(cast, x)
