"""Looking at the gradients and activations of one step, layer by layer, through torch's hooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Handle = torch.utils.hooks.RemovableHandle


def weighted_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The layers that own parameters, by dotted name.

    A kerasish layer counts as one, with the torch module right inside it; in a larger foreign
    module, every part that owns parameters itself does.
    """
    modules = dict(model.named_modules())
    found: dict[str, nn.Module] = {}
    for name, module in modules.items():
        if not any(True for _ in module.parameters(recurse=False)):
            continue
        # Layers of kerasish are known by having a name of their own.
        outer = name.rpartition(".")[0]
        named = outer and isinstance(getattr(modules[outer], "name", None), str)
        owner = outer if named else name
        found.setdefault(owner, modules[owner])
    return found


class OutputTap:
    """Forward hooks on a model's layers that report only while `active`.

    They stay in place for a whole training: a step is planned once, and only layers that have hooks
    by then are called one by one.

    Args:
        see: Called with (layer name, output) after a layer's forward pass.
    """

    def __init__(self, see: Callable[[str, Tensor], None]) -> None:
        self.active = False
        self._see = see
        self._handles: list[Handle] = []

    def attach(self, model: nn.Module) -> None:
        """Put the hooks in place, unless they are; a model without weights yet gets none."""
        if not self._handles:
            for name, layer in weighted_layers(model).items():
                self._handles.append(layer.register_forward_hook(self._hook_for(name)))

    def detach(self) -> None:
        """Take the hooks away."""
        self.active = False
        _remove(self._handles)

    def _hook_for(self, name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: Any, output: Any) -> None:
            # A pass without gradients inside a step (a metric's) is not what is asked about.
            if not self.active or not torch.is_grad_enabled():
                return
            while isinstance(output, (list, tuple)) and output:
                output = output[0]
            if isinstance(output, Tensor) and output.is_floating_point():
                self._see(name, output.detach())

        return hook


class GradientTap:
    """Hooks on a model's parameters, for the length of one step.

    Args:
        see: Called with (layer name, parameter name, gradient) as each gradient becomes ready.
    """

    def __init__(self, see: Callable[[str, str, Tensor], None]) -> None:
        self._see = see
        self._handles: list[Handle] = []

    @property
    def attached(self) -> bool:
        """Whether hooks are in place."""
        return bool(self._handles)

    def attach(self, model: nn.Module) -> None:
        """Put the hooks in place; a model without weights yet gets none."""
        for name, layer in weighted_layers(model).items():
            for inner, parameter in layer.named_parameters():
                if parameter.requires_grad:
                    hook = self._hook_for(name, f"{name}.{inner}" if name else inner)
                    handle = parameter.register_post_accumulate_grad_hook(hook)
                    self._handles.append(handle)

    def detach(self) -> None:
        """Take the hooks away."""
        _remove(self._handles)

    def _hook_for(self, layer: str, parameter: str) -> Callable[[Tensor], None]:
        def hook(weight: Tensor) -> None:
            if weight.grad is not None:
                self._see(layer, parameter, weight.grad.detach())

        return hook


def _remove(handles: list[Handle]) -> None:
    for handle in handles:
        handle.remove()
    handles.clear()
