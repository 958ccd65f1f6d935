"""The layers of a model, as a list that tells when a slice misses what it was meant for."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from torch import nn

_FEW = 8  # torch modules with no more parts than this are not what scripts slice


class LayersAroundNetwork(list):
    """Layers of which one is a whole network, such as a backbone of torchvision.

    In Keras such a network's layers are the model's own, and scripts freeze `layers[:100]` or
    `layers[:-4]`. Here that would freeze all or nothing without a word.
    """

    def __init__(self, layers: Iterable[Any], network: str) -> None:
        super().__init__(layers)
        self.network = network

    def __getitem__(self, index: Any) -> Any:
        ends = (index.start, index.stop) if isinstance(index, slice) else ()
        if any(end is not None and abs(end) > len(self) for end in ends):
            warnings.warn(
                f"There are {len(self)} layers, since the network '{self.network}' is one layer "
                f"round a torch module: a slice from {index.start} to {index.stop} does not reach "
                "into it. model.stages() lists its parts; freeze them by model.freeze(first=...) "
                "and model.unfreeze(last=...), or by a pattern.",
                stacklevel=2,
            )
        return super().__getitem__(index)


def around_networks(layers: list[Any]) -> list[Any]:
    """The same list, one that warns where a layer is a whole network."""
    for layer in layers:
        module = layer._modules.get("module")
        if isinstance(module, nn.Module) and sum(1 for _ in module.modules()) > _FEW:
            return LayersAroundNetwork(layers, layer.name)
    return layers
