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


class StepTap:
    """Hooks on a model's layers and parameters for the length of one step.

    Args:
        on_output: Called with (layer name, output) after each layer's forward pass.
        on_gradient: Called with (layer name, parameter name, gradient) as each becomes ready.
    """

    def __init__(
        self,
        on_output: Callable[[str, Tensor], None] | None = None,
        on_gradient: Callable[[str, str, Tensor], None] | None = None,
    ) -> None:
        self.on_output = on_output
        self.on_gradient = on_gradient
        self._handles: list[Handle] = []

    @property
    def attached(self) -> bool:
        """Whether hooks are in place."""
        return bool(self._handles)

    def attach(self, model: nn.Module) -> None:
        """Put the hooks in place; a model without weights yet gets none."""
        for name, layer in weighted_layers(model).items():
            if self.on_output is not None:
                self._handles.append(layer.register_forward_hook(self._output_hook(name)))
            if self.on_gradient is None:
                continue
            for inner, parameter in layer.named_parameters():
                if parameter.requires_grad:
                    hook = self._gradient_hook(name, f"{name}.{inner}" if name else inner)
                    handle = parameter.register_post_accumulate_grad_hook(hook)
                    self._handles.append(handle)

    def detach(self) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _output_hook(self, name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: Any, output: Any) -> None:
            assert self.on_output is not None
            first = output
            while isinstance(first, (list, tuple)) and first:
                first = first[0]
            # Evaluation inside a step (a validation pass, a metric) is not what is asked about.
            if isinstance(first, Tensor) and first.is_floating_point() and torch.is_grad_enabled():
                self.on_output(name, first.detach())

        return hook

    def _gradient_hook(self, layer: str, parameter: str) -> Callable[[Tensor], None]:
        def hook(weight: Tensor) -> None:
            assert self.on_gradient is not None
            if weight.grad is not None:
                self.on_gradient(layer, parameter, weight.grad.detach())

        return hook
