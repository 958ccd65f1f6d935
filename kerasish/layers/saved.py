"""What a layer's author may change of how it is written to a file and read back."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor


class SavingHooks:
    """Keras's hooks around a layer's file; what they say is in it only where they are overridden.

    Two more have no default: `save_assets(self, folder)` writes files into a folder, and
    `load_assets(self, folder)` reads them.
    """

    _built_on: Any = None  # the shape that `build` was given

    def get_build_config(self) -> dict[str, Any] | None:
        """What `build_from_config` needs: by default the input's shape, `None` before `build`."""
        return None if self._built_on is None else {"input_shape": self._built_on}

    def build_from_config(self, config: Mapping[str, Any]) -> None:
        """Make the weights as `get_build_config` says; called once the layer is made again."""
        if config.get("input_shape") is not None:
            self.build(config["input_shape"])  # type: ignore[attr-defined]

    def save_own_variables(self, store: MutableMapping[str, Any]) -> None:
        """Put this layer's own weights into a dict, by numbers as text: `store["0"]`, and so on.

        Args:
            store: Takes tensors and arrays. They are in the order and layout of `weights`, without
                those of layers inside.
        """
        for number, tensor in enumerate(self._own_tensors()):
            store[str(number)] = tensor.detach()

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Set this layer's own weights from what `save_own_variables` put into a dict.

        Raises:
            ValueError: If a weight is missing or has another shape; nothing is changed then.
        """
        own = self._own_tensors()
        given = {key: torch.as_tensor(value) for key, value in store.items()}
        for number, tensor in enumerate(own):
            shape = tuple(given[str(number)].shape) if str(number) in given else "nothing"
            if shape != tuple(tensor.shape):
                raise ValueError(
                    f"{type(self).__name__}.load_own_variables: weight {number} has shape "
                    f"{tuple(tensor.shape)}, and `store` holds {shape}. What a "
                    "save_own_variables of your own writes, a load_own_variables must read."
                )
        with torch.no_grad():
            for number, tensor in enumerate(own):
                tensor.copy_(given[str(number)])

    def _own_tensors(self) -> list[Tensor]:
        return [t for weight in self.held_weights() for t in weight.tensors]  # type: ignore[attr-defined]

    def has_own(self, hook: str) -> bool:
        """Whether a subclass has a hook of its own by this name."""
        return getattr(type(self), hook, None) is not getattr(SavingHooks, hook, None)
