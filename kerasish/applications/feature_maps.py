"""FeatureMaps: what a network of torchvision or timm computes inside, as a layer of its own."""

from __future__ import annotations

import copy
import operator
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from kerasish.applications.backbone import Backbone, ImageNetwork
from kerasish.describe import describe, suggest
from kerasish.layers.foreign import unique_for


class FeatureMaps(ImageNetwork):
    """What some places inside a network give, such as the maps that a segmentation net joins.

    The weights are the network's own: training one trains the other. Only what the last of the
    places needs is computed, once for all of them.

    Shapes:
        input: as the network's
        output: a list with a tensor for each path, channels where the network's output has them

    Args:
        backbone: A network of torchvision or timm from `applications`, or its `Backbone`.
        paths: Names of modules inside, as torchvision has them: `"layer3"`, `"layer3.5.relu"`. A
            module that is called again has a number: `"layer3.5.relu_1"`.
        name: The layer's name.
        trainable: `False` freezes it.

    Raises:
        TypeError: If there is no such network in it.
        ValueError: If there is no such place, or no path is given.

    Example:
        >>> import torch
        >>> from kerasish import applications
        >>> base = applications.ResNet18(weights=None, include_top=False)
        >>> maps = applications.FeatureMaps(base, ["layer1", "layer3"])
        >>> [tuple(x.shape) for x in maps(torch.rand(1, 3, 64, 64))]
        [(1, 64, 16, 16), (1, 256, 4, 4)]
    """

    def __init__(
        self,
        backbone: Any,
        paths: Sequence[str],
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        network = _backbone_of(backbone)
        self_paths = [paths] if isinstance(paths, str) else list(paths)
        module = _extractor(network, self_paths)
        super().__init__(module, name=name or unique_for(FeatureMaps), trainable=trainable)
        self.paths = self_paths
        self.normalizes = network.normalizes
        if self.normalizes:
            self.register_buffer("scale", network.scale, persistent=False)
            self.register_buffer("offset", network.offset, persistent=False)
        self.is_last = network.is_last
        self.gives_last = network.gives_last
        self.settings = network.get_config()

    def forward(self, x: Tensor) -> list[Tensor]:
        """Run the network as far as is needed."""
        maps = self.module(self.entering(x))
        return [self.leaving(maps[path]) for path in self.paths]

    def get_config(self) -> dict[str, Any]:
        """What makes it again, without its weights."""
        own = {"name": self.name, "trainable": self._trainable}
        return {"backbone": self.settings, "paths": self.paths, **own}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> FeatureMaps:
        """Make it again, with new weights."""
        settings = dict(config)
        return cls(Backbone.from_config(settings.pop("backbone")), **settings)


def _backbone_of(network: Any) -> Backbone:
    if isinstance(network, Backbone):
        return network
    found = [layer for layer in getattr(network, "layers", []) if isinstance(layer, Backbone)]
    if len(found) != 1:
        raise TypeError(
            f"FeatureMaps: expected a network of torchvision or timm, got {describe(network)}. The "
            "networks that only Keras has are made of layers: take get_layer(name).output of them."
        )
    return found[0]


def _extractor(network: Backbone, paths: list[str]) -> nn.Module:
    """The torch module that gives a dict of what is computed at some places of a network."""
    from torchvision.models import feature_extraction

    if not paths:
        raise ValueError("FeatureMaps: give at least one path.")
    places = feature_extraction.get_graph_node_names(network.module)[1]
    for path in paths:
        if not any(place == path or place.startswith(f"{path}.") for place in places):
            parts = [name for name, _ in network.module.named_children()]
            raise ValueError(
                f"FeatureMaps: '{network.name}' has no '{path}'{suggest(path, parts)}; see "
                "print(layer.module) for what they hold."
            )
    module = feature_extraction.create_feature_extractor(
        network.module, {path: path for path in paths}
    )
    _keep_results(module)
    return module


def _keep_results(module: Any) -> None:
    """Let nothing work in place: a map that is handed out must not change afterwards."""
    for path, part in list(module.named_modules()):
        if getattr(part, "inplace", False):
            outside = copy.copy(part)
            outside.inplace = False
            module.set_submodule(path, outside)
    graphs = [getattr(module, name, None) for name in ("graph", "train_graph", "eval_graph")]
    for graph in graphs:
        for node in () if graph is None else graph.nodes:
            if node.target is operator.iadd:
                node.target = operator.add
    module.recompile()
