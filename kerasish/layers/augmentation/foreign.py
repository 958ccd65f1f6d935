"""Torchvision's transforms, and plain functions, where an augmentation layer is expected."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from kerasish.describe import describe
from kerasish.graph.symbolic import is_symbolic
from kerasish.layers.augmentation.base import AugmentationLayer, Parameters
from kerasish.layers.augmentation.foreign_config import (
    is_config,
    is_transform,
    make_transform,
    transform_config,
)
from kerasish.layers.augmentation.parts import images_in, like, map_parts, parts_of, tv_kind
from kerasish.layers.base import Layer
from kerasish.random import globals_aside


class TorchTransform(AugmentationLayer):
    """A torchvision v2 transform, or any function of images, as a layer.

    Transforms that draw at random are called for one sample at a time, each with its own seed, and
    only in training; all others are called on the whole batch, in training and outside.

    Args:
        transform: A callable that takes images with the channels first.
        random: Whether it draws at random. `None` finds out for torchvision's transforms; other
            callables count as not random.
        seed: Makes the draws repeatable.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        TypeError: If `transform` cannot be called.
    """

    def __init__(
        self,
        transform: Callable[..., Any],
        random: bool | None = None,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        if is_config(transform):  # from a file
            transform = make_transform(transform)
        if not callable(transform):
            raise TypeError(
                "Expected a layer, a torchvision transform or a function of images, "
                f"got {describe(transform)}."
            )
        self.transform_function = transform
        self.is_random = _draws(transform) if random is None else random

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again; torchvision's transform by its own arguments.

        Raises:
            NotSerializableError: If a transform has settings that no file can hold.
        """
        transform: Any = self.transform_function
        if is_transform(transform):
            transform = transform_config(transform)
        return {**super().get_config(), "transform": transform, "random": self.is_random}

    def forward(self, data: Any) -> Any:
        """Call the transform on the batch, or on each sample."""
        if not self.is_random:
            return self._call(data)
        if not self.training or is_symbolic(data):
            return data
        images = images_in(data)
        if images is None:
            raise ValueError(f'{type(self).__name__} "{self.name}" found no images.')
        if torch.compiler.is_compiling():
            return self._augment_eagerly(data, images)
        return self._augment(data, images)

    def _augment(self, data: Any, images: Tensor) -> Any:
        batch, _ = self._measure(images)
        draws = self._next_draws(batch, images.device)
        if images.device.type == "meta":
            return self._call(data)
        # Torchvision draws from torch's global generator, which is put aside meanwhile.
        seeds = draws.bits().tolist()
        with globals_aside(images.device) as start:
            if images.dim() == 3:
                start(seeds[0])
                return self._call(data)
            results = []
            for row, seed in enumerate(seeds):
                start(seed)
                results.append(self._call(map_parts(lambda _, v, i=row: v[i], data)))
        return self._join(data, results)

    def _call(self, data: Any) -> Any:
        last = self.data_format == "channels_last" and any(
            tv_kind(value) is None for _, value in parts_of(data)
        )
        if not last:
            return self.transform_function(data)
        images = images_in(data)
        if not isinstance(data, Tensor) or images is None:
            raise ValueError(
                f'{type(self).__name__} "{self.name}" takes plain images only where the channels '
                "are last; pass torchvision's tv_tensors for boxes, masks and labels."
            )
        result = self.transform_function(images.movedim(-1, -3))
        return result.movedim(-3, -1) if isinstance(result, Tensor) else result

    def _join(self, data: Any, results: list[Any]) -> Any:
        parts = [[value for _, value in parts_of(result)] for result in results]
        columns = iter(zip(*parts, strict=True))

        def stack(kind: str, value: Any) -> Any:
            column = next(columns)
            if isinstance(value, Tensor):
                return like(value, torch.stack([torch.as_tensor(item) for item in column]))
            return type(value)(column)

        return map_parts(stack, data)

    def transform_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        """Not used: the transform is called on whole structures."""
        raise NotImplementedError


def _draws(transform: Any) -> bool:
    """Whether a torchvision transform, or one inside it, draws at random."""
    v2 = sys.modules.get("torchvision.transforms.v2")
    if v2 is None:
        return False
    if isinstance(transform, v2.Compose):
        return any(_draws(step) for step in transform.transforms)
    if not isinstance(transform, v2.Transform):
        return False
    kind = type(transform)
    by_lot = kind.__name__.startswith("Random") or kind.__module__.endswith("_auto_augment")
    return by_lot or kind.make_params is not v2.Transform.make_params


def as_augmentation(layer: Any) -> nn.Module:
    """A layer as it is; a torchvision transform, module or function wrapped.

    Raises:
        TypeError: If it cannot be called.
    """
    if isinstance(layer, Layer):
        return layer
    return TorchTransform(layer)
