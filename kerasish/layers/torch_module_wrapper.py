"""Keras's name for a torch module as a layer."""

from __future__ import annotations

from typing import Any

from torch import nn

from kerasish.layers.foreign import TorchModule


class TorchModuleWrapper(TorchModule):
    """A torch module as a layer: `TorchModule` with Keras's arguments.

    Args:
        module: A torch module.
        name: The layer's name.
        output_shape: Accepted for Keras's sake; shapes are found by running the module.
        trainable: `False` freezes it.

    Raises:
        TypeError: If it is not a module.

    Example:
        >>> TorchModuleWrapper(nn.Linear(3, 2)).compute_output_shape((None, 3))
        (None, 2)
    """

    def __init__(
        self,
        module: nn.Module,
        name: str | None = None,
        output_shape: Any = None,
        *,
        trainable: bool = True,
    ) -> None:
        super().__init__(module, name=name, trainable=trainable)

    def get_config(self) -> dict[str, Any]:
        """The module, and the layer's own settings."""
        own = {"name": self.name, "trainable": self._trainable}
        return {"module": self.module, "args": [], "kwargs": {}, **own}
