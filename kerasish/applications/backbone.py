"""Backbone: a network of torchvision or timm without its last layer, as one layer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kerasish.applications.timm_models import PREFIX, timm_network
from kerasish.config import image_data_format
from kerasish.describe import describe
from kerasish.layers import TorchModule
from kerasish.layers.checks import one_of
from kerasish.layers.weights import KerasWeight

# Where, among a network's children, the feature map ends and its classifier begins.
_AFTER_MAP = {"avgpool", "classifier", "fc", "head", "heads"}
_AUXILIARY = {"aux1", "aux2", "AuxLogits"}


class ImageNetwork(TorchModule):
    """A torch network of images: their channels on either side, normalised where asked.

    Attributes:
        normalizes: Whether images are multiplied by `scale`, and `offset` is added.
        is_last: Whether the layer takes and gives channels last.
        gives_last: Whether the torch module gives them so.
    """

    scale: Tensor
    offset: Tensor
    normalizes: bool
    is_last: bool
    gives_last: bool

    def entering(self, x: Tensor) -> Tensor:
        """Images as the torch module takes them."""
        if self.is_last:
            x = x.permute(0, 3, 1, 2)
        return x * self.scale + self.offset if self.normalizes else x

    def leaving(self, y: Tensor) -> Tensor:
        """What the torch module gives, with the channels where the layer has them."""
        if y.dim() != 4 or self.is_last == self.gives_last:
            return y
        return y.permute(0, 2, 3, 1) if self.is_last else y.permute(0, 3, 1, 2)

    def own_weights(self) -> list[KerasWeight]:
        """Those of the torch module; the numbers of the normalisation are constants."""
        kept = {id(tensor) for tensor in self.state_dict(keep_vars=True).values()}
        return [weight for weight in super().own_weights() if id(weight.tensor) in kept]


class Backbone(ImageNetwork):
    """A network of torchvision or timm up to its last layer, with its own names inside.

    The torch module is `backbone.module`; what `state_dict()` calls `module.layer4.0.conv1.weight`
    is torchvision's `layer4.0.conv1.weight`.

    Shapes:
        input: `(batch, channels, height, width)`, or channels last
        output: `(batch, features)`, or a map such as `(batch, features, height / 32, width / 32)`

    Args:
        architecture: torchvision's name, such as `"resnet50"`, or timm's after `"timm/"`.
        output: `"vector"`, what the last layer gets, or `"map"`, what is there before pooling.
        channels: The number of image channels.
        options: Further arguments of torchvision's function, or of `timm.create_model`.
        mean: Subtracted from each channel after division by 255, and `std` divides the difference;
            `None` takes images as they come. For another number of channels its average counts.
        std: See `mean`.
        data_format: Where the channels of images are.
        frozen: Paths inside the module whose parameters are frozen.
        **kwargs: `name` and `trainable`.

    Raises:
        ValueError: If there is no such architecture or option.
    """

    def __init__(
        self,
        architecture: str,
        output: str = "vector",
        *,
        channels: int = 3,
        options: dict[str, Any] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        data_format: str | None = None,
        frozen: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        self_options = dict(options or {})
        if architecture.startswith(PREFIX):
            head_path, module = timm_network(architecture, output, channels, self_options)
        else:
            module = whole_network(architecture, channels, self_options)
            head_path, module = cut(module, output)
        super().__init__(module, **kwargs)
        self.architecture = architecture
        self.output_kind = one_of(self, "output", output, ("vector", "map"))
        self.channels = channels
        self.options = self_options
        self.head_path = head_path
        # Some networks of timm keep channels last inside.
        self.gives_last = getattr(module, "output_fmt", None) == "NHWC"
        self.mean = None if mean is None else for_channels(mean, channels)
        self.std = None if std is None else for_channels(std, channels)
        self.data_format = data_format or image_data_format()
        self.is_last = self.data_format == "channels_last"
        self.normalizes = self.mean is not None
        if self.mean is not None and self.std is not None:
            scale, offset = _affine([255 * a for a in self.mean], [255 * b for b in self.std])
            self.register_buffer("scale", scale, persistent=False)
            self.register_buffer("offset", offset, persistent=False)
        for path in frozen:
            self.module.get_submodule(path).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise where asked, and call torchvision's module."""
        return self.leaving(self.module(self.entering(x)))

    # For the message of `get_layer`, which knows nothing of applications.
    way_inside = ", applications.FeatureMaps as a layer of another model"

    def get_config(self) -> dict[str, Any]:
        """What makes it again, its frozen parts included, without its weights."""
        return {
            "architecture": self.architecture,
            "output": self.output_kind,
            "channels": self.channels,
            "options": dict(self.options),
            "mean": self.mean,
            "std": self.std,
            "data_format": self.data_format,
            "frozen": frozen_paths(self.module) if self._trainable else [],
            "name": self.name,
            "trainable": self._trainable,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> Backbone:
        """Make it again, with new weights."""
        return cls(**config)


def whole_network(architecture: str, channels: int, options: dict[str, Any]) -> nn.Module:
    """Torchvision's network with new weights, its classifier as small as can be.

    Raises:
        ValueError: If torchvision does not know the architecture or an option.
    """
    from torchvision import models

    try:
        make = models.get_model_builder(architecture)
    except ValueError as error:
        raise ValueError(
            f"Backbone: this version of torchvision has no network {describe(architecture)}."
        ) from error
    defaults: dict[str, Any] = {}
    if architecture in ("googlenet", "inception_v3"):
        # Their published weights expect another normalisation, which this switch computes.
        transform = channels == 3
        defaults = {"aux_logits": False, "init_weights": True, "transform_input": transform}
    try:
        module = make(weights=None, num_classes=1, **{**defaults, **options})
    except TypeError as error:
        raise TypeError(f"{architecture}: torchvision refuses {options}: {error}.") from error
    if channels != 3:
        _replace_first_convolution(module, channels)
    return module


def _replace_first_convolution(module: nn.Module, channels: int) -> None:
    path, old = next((n, m) for n, m in module.named_modules() if isinstance(m, nn.Conv2d))
    new = nn.Conv2d(
        channels,
        old.out_channels,
        old.kernel_size,  # type: ignore[arg-type]
        stride=old.stride,  # type: ignore[arg-type]
        padding=old.padding,  # type: ignore[arg-type]
        bias=old.bias is not None,
    )
    module.set_submodule(path, new)


def cut(module: nn.Module, output: str) -> tuple[str, nn.Module]:
    """The path of the last layer, and the network without it, ending in a vector or in a map."""
    kinds = (nn.Linear, nn.Conv2d)
    head_path = [n for n, m in module.named_modules() if isinstance(m, kinds)][-1]
    if output == "vector" or not has_map(module):
        module.set_submodule(head_path, nn.Identity())
        return head_path, module
    kept: OrderedDict[str, nn.Module] = OrderedDict()
    if getattr(module, "transform_input", False):
        kept["recenter"] = _Recenter()
    for name, child in module.named_children():
        if name in _AFTER_MAP:
            break
        if name not in _AUXILIARY:
            kept[name] = nn.Sequential(*child) if isinstance(child, nn.ModuleList) else child
    if type(module).__name__ == "DenseNet":
        kept["relu"] = nn.ReLU()
    return head_path, nn.Sequential(kept)


def has_map(module: nn.Module) -> bool:
    """Whether a network has a map of features: all have, but those that see an image as tokens."""
    return not hasattr(module, "class_token")


class _Recenter(nn.Module):
    """From ImageNet's mean and deviation to 0.5 and 0.5, as GoogLeNet and Inception expect."""

    scale: Tensor
    offset: Tensor

    def __init__(self) -> None:
        super().__init__()
        mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
        middle = [(0.5 - a) / b for a, b in zip(mean, std, strict=True)]
        scale, offset = _affine(middle, [0.5 / value for value in std])
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("offset", offset, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.offset


def for_channels(values: Sequence[float], channels: int) -> list[float]:
    """One value for each channel: their average where there are more or fewer channels."""
    if len(values) != channels:
        values = [sum(values) / len(values)] * channels
    return [float(value) for value in values]


def _affine(mean: Sequence[float], std: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Factors and terms of `(x - mean) / std` for each channel of (batch, channels, *sides)."""
    scale = [1 / value for value in std]
    offset = [-a / b for a, b in zip(mean, std, strict=True)]
    return torch.tensor(scale).view(-1, 1, 1), torch.tensor(offset).view(-1, 1, 1)


def frozen_paths(module: nn.Module, prefix: str = "") -> list[str]:
    """The largest parts of a module whose parameters are all frozen."""
    found = []
    for name, child in module.named_children():
        learns = [parameter.requires_grad for parameter in child.parameters()]
        if learns and not any(learns):
            found.append(prefix + name)
        elif not all(learns):
            found += frozen_paths(child, f"{prefix}{name}.")
    return found
