"""What is asked of timm, a library of networks: a network, its weights, what is known of them."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn

from kerasish.applications.images import imagenet_classes
from kerasish.describe import suggest

PREFIX = "timm/"


def library() -> Any:
    """The module `timm`.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        import timm
    except ImportError as error:
        raise ImportError(
            "applications: networks named 'timm/…' come from timm, which is not installed: "
            "pip install timm."
        ) from error
    return timm


def check_name(name: str) -> None:
    """Raise a `ValueError` with suggestions if timm has no such network or no such weights."""
    timm = library()
    short = name.removeprefix(PREFIX)
    network, _, tag = short.partition(".")
    if not timm.is_model(network):
        raise ValueError(
            f"applications: timm has no network '{network}'{suggest(network, timm.list_models())}."
        )
    tags = [known.partition(".")[2] for known in timm.list_models(f"{network}.*", pretrained=True)]
    if tag and tag not in tags:
        raise ValueError(
            f"applications: timm has no weights '{tag}' of {network}{suggest(tag, tags)}. "
            f"Weights: {', '.join(tags) or 'none'}."
        )


def timm_network(
    name: str, output: str, channels: int, options: dict[str, Any]
) -> tuple[str, nn.Module]:
    """The path of the last layer, and the network without it, with new weights.

    Args:
        name: timm's name after `"timm/"`.
        output: `"vector"` or `"map"`; networks that see an image as tokens give a vector.
        channels: The number of image channels.
        options: Further arguments of `timm.create_model`.

    Raises:
        TypeError: If timm refuses an option.
    """
    short = name.removeprefix(PREFIX)
    given: dict[str, Any] = {"num_classes": 0, "in_chans": channels, **options}
    try:
        module = library().create_model(short, pretrained=False, **given)
        if output == "map" and not hasattr(module, "num_prefix_tokens"):
            module = library().create_model(short, pretrained=False, global_pool="", **given)
    except TypeError as error:
        raise TypeError(f"{name}: timm refuses {options}: {error}.") from error
    path = module.default_cfg["classifier"]
    return (path if isinstance(path, str) else path[0]), module


def pretrained_state(name: str) -> dict[str, Tensor]:
    """The weights of a name, classifier included, which timm downloads and keeps.

    Raises:
        ConnectionError: If they cannot be had.
    """
    timm = library()
    short = name.removeprefix(PREFIX)
    try:
        return timm.create_model(short, pretrained=True).state_dict()
    except Exception as error:
        raise ConnectionError(
            f"{name}: timm could not get the weights ({type(error).__name__}: "
            f"{(str(error).splitlines() or [''])[0]}). Download them on a machine with network and "
            "give the .safetensors or .pth file as `weights=`, or pass weights=None."
        ) from error


@dataclasses.dataclass(frozen=True)
class TimmWeights:
    """What timm knows of a network's weights, in the manner of torchvision's entries."""

    config: Any

    @property
    def is_fixed(self) -> bool:
        """Whether the network is made for one size of images."""
        return bool(self.config.fixed_input_size)

    @property
    def meta(self) -> dict[str, Any]:
        """The least size, and the class names where they are ImageNet's."""
        imagenet = imagenet_classes()
        known = imagenet if self.config.num_classes == len(imagenet) else []
        return {"min_size": (1, 1), "categories": known}

    def transforms(self) -> Any:
        """How images are made ready."""
        from timm.data.config import resolve_data_config

        known = resolve_data_config(pretrained_cfg=self.config.to_dict())
        side = known["input_size"][-1]
        return SimpleNamespace(
            crop_size=[side],
            resize_size=[side / known["crop_pct"]],
            mean=list(known["mean"]),
            std=list(known["std"]),
            interpolation=SimpleNamespace(value=known["interpolation"]),
        )


def timm_weights(name: str) -> TimmWeights:
    """What timm knows of the weights of a name."""
    return TimmWeights(library().get_pretrained_cfg(name.removeprefix(PREFIX)))
