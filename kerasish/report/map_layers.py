"""Finding the layer of a network whose maps are looked at."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn

from kerasish.describe import describe, suggest
from kerasish.hooks import removed_after
from kerasish.layers import TorchModule
from kerasish.layers.holder import WeightHolder
from kerasish.tta.crops import format_of


def find_layer(model: Any, layer: str | nn.Module | None, x: Tensor) -> tuple[str, nn.Module]:
    """The path and the module that are meant.

    Args:
        model: The model.
        layer: A name, the end of a path, or a module; `None` for the last that gives maps.
        x: A batch of inputs, to see what gives maps.

    Raises:
        ValueError: If there is none.
    """
    if layer is None:
        return _last_with_maps(model, x)
    paths = {path: module for path, module in model.named_modules() if path}
    if isinstance(layer, str):
        # The shortest first: `conv1` is that of the network, not of a block inside.
        fits = sorted((p for p in paths if f".{p}".endswith(f".{layer}")), key=len)
    else:
        fits = [path for path, module in paths.items() if module is layer]
    if not fits:
        known = dict.fromkeys([*paths, *(path.rpartition(".")[2] for path in paths)])
        hint = suggest(layer, known) if isinstance(layer, str) else ""
        raise ValueError(
            f'grad_cam: "{model.name}" has no layer or module {describe(layer)}{hint}.'
        )
    return fits[0], paths[fits[0]]


@torch.no_grad()
def _last_with_maps(model: Any, x: Tensor) -> tuple[str, nn.Module]:
    found: list[tuple[str, nn.Module]] = []
    places = 0  # of the last maps
    has_tokens = False  # whether these have become a sequence

    def note(path: str, module: nn.Module, args: Any, output: Any) -> None:
        nonlocal places, has_tokens
        if not isinstance(output, Tensor):
            return
        if output.dim() == 4:
            count = channels_first(output, module, model)[0, 0].numel()
            if count > 1:
                found.append((path, module))
                places, has_tokens = count, False
        elif output.dim() == 3 and places > 1:
            has_tokens |= output.shape[1] in (places, places + 1)

    handles = [
        module.register_forward_hook(functools.partial(note, path))
        for path, module in model.named_modules()
        if path
    ]
    with removed_after(handles):
        model(x[:1])
    if not found:
        raise ValueError(
            f'grad_cam: no layer of "{model.name}" gives maps: (batch, channels, height, width) of '
            "several places."
        )
    if has_tokens:
        raise ValueError(
            f'grad_cam: "{model.name}" sees an image as a sequence of tokens, so the last layer '
            f"that gives maps, '{found[-1][0]}', comes before most of it. If it is meant, name it."
        )
    return found[-1]


def channels_first(maps: Tensor, module: nn.Module, model: Any) -> Tensor:
    """A layer's output with its channels at axis 1.

    Shapes:
        maps: `(batch, channels, height, width)` or `(batch, height, width, channels)`
    """
    return maps.movedim(-1, 1) if _is_channels_last(module, model) else maps


def _is_channels_last(module: nn.Module, model: Any) -> bool:
    own = getattr(module, "data_format", None)
    if own is None and isinstance(module, WeightHolder) and not isinstance(module, TorchModule):
        own = format_of(model)
    if own is not None:
        return own == "channels_last"
    # Torch's own modules have channels first; only Swin's blocks keep them last.
    return any(type(m).__name__.startswith("SwinTransformer") for m in module.modules())
