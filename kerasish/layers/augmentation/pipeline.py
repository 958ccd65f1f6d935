"""Pipeline, RandomApply and RandomChoice: augmentation layers one after the other, or by lot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from kerasish.describe import describe
from kerasish.devices import tensor_on
from kerasish.graph.symbolic import is_symbolic
from kerasish.layers.augmentation.base import AugmentationLayer
from kerasish.layers.augmentation.draws import Draws, mix_number, seeing
from kerasish.layers.augmentation.foreign import as_augmentation
from kerasish.layers.augmentation.geometry import JoinedGeometry, joinable
from kerasish.layers.augmentation.parts import (
    BOXES,
    images_in,
    like,
    map_parts,
    parts_of,
    plain,
    tv_kind,
)
from kerasish.layers.augmentation.preview import preview
from kerasish.layers.base import Layer
from kerasish.layers.checks import fraction
from kerasish.random import SeedGenerator


class Pipeline(Layer):
    """Runs data through layers, one after the other.

    Args:
        layers: Layers of any kind, torchvision v2 transforms, modules and functions of images.
            Random torchvision transforms, like augmentation layers, do nothing outside training.
        name: The layer's name.
        seed: Gives the augmentation layers without a seed one each, by their place.
        join: Whether neighbouring turns, zooms, shifts, shears and changes of perspective that
            interpolate and fill alike are done at once, by the product of their matrices: faster
            and sharper, and what one of them would push out of the picture another may bring back.
        **kwargs: Those of `Layer`.

    Raises:
        TypeError: If one of the layers cannot be called.

    Example:
        >>> from kerasish.layers import RandomFlip, RandomCrop
        >>> augment = Pipeline([RandomFlip("horizontal"), RandomCrop(24, 24)], seed=1)
        >>> augment(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 3, 24, 24])
    """

    def __init__(
        self,
        layers: Sequence[Any],
        name: str | None = None,
        *,
        seed: int | None = None,
        join: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **{"autocast": False, **kwargs})
        self.seed, self.join = seed, join
        self.layers = nn.ModuleList(as_augmentation(layer) for layer in layers)
        if seed is not None:
            _seed_all(self.layers, seed)
        # In no list or dict, whose layers become children: those inside are that already.
        self._runs = SimpleNamespace(layers=_joined(self.layers) if join else None)

    def build(self, input_shape: Any) -> None:
        """Build the augmentation layers, whatever sizes come to them."""
        _build_all(self.layers, input_shape)

    def forward(self, data: Any) -> Any:
        """One layer after the other."""
        is_plain = not self.training or is_symbolic(data)
        for layer in self.layers if is_plain else self.joined_layers():
            data = layer(data)
        return data

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again; transforms and functions as layers."""
        return {**super().get_config(), "layers": list(self.layers)}

    def joined_layers(self) -> tuple[nn.Module, ...]:
        """What the data go through in training: the layers, those done at once in one."""
        return self._runs.layers or tuple(self.layers)

    def preview(self, images: Any, path: Any = None, **kwargs: Any) -> Any:
        """Draw originals and variants; see `augmentation.preview`."""
        return preview(self, images, path, **kwargs)


def _joined(layers: Iterable[nn.Module]) -> tuple[nn.Module, ...] | None:
    """The layers with joined ones in place of their members; `None` where nothing is joined."""
    runs: list[list[nn.Module]] = []
    for layer in layers:
        if runs and joinable(runs[-1][-1], layer):
            runs[-1].append(layer)
        else:
            runs.append([layer])
    if all(len(run) == 1 for run in runs):
        return None
    return tuple(run[0] if len(run) == 1 else JoinedGeometry(run) for run in runs)  # type: ignore[arg-type]


def _build_all(modules: Iterable[nn.Module], input_shape: Any) -> None:
    # Outside training a layer by lot calls none of its layers, which have nothing to learn anyway.
    for module in modules:
        if isinstance(module, (AugmentationLayer, Pipeline)) and not module.built:
            module.build(input_shape)


def _seed_all(modules: Iterable[nn.Module], seed: int) -> None:
    """Give a seed to each layer that has none, different ones by place."""
    drawing = [m for module in modules for m in module.modules() if hasattr(m, "seeds")]
    for place, module in enumerate(drawing):
        if getattr(module, "seed", None) is None:
            # Small enough for a config file's integers, whatever reads it.
            module.seeds = SeedGenerator(mix_number(mix_number(seed) + place) & 0x7FFFFFFF)  # type: ignore[assignment]


class _ByLot(AugmentationLayer):
    """A layer that sends some samples through some of its layers."""

    layers: nn.ModuleList

    def _set_layers(self, layers: Sequence[Any], seed: int | None) -> None:
        self.layers = nn.ModuleList(as_augmentation(layer) for layer in layers)
        if seed is not None:
            _seed_all(self.layers, seed)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again; transforms and functions as layers."""
        return {**super().get_config(), "layers": list(self.layers)}

    def build(self, input_shape: Any) -> None:
        """Build the augmentation layers inside."""
        _build_all(self.layers, input_shape)

    def _lot(self, draws: Draws) -> Tensor:
        """Which layer each sample goes through; -1 for none."""
        raise NotImplementedError

    def forward(self, data: Any) -> Any:
        """Send the samples chosen through their layers, in training."""
        images = images_in(data)
        if not self.training or images is None:  # symbolic data have none
            return data
        if torch.compiler.is_compiling():
            return self._augment_eagerly(data, images)
        return self._augment(data, images)

    def _augment(self, data: Any, images: Tensor) -> Any:
        batch, _ = self._measure(images)
        samples = self._next_samples(batch, images.device)
        lot = self._lot(self._draws_for(samples, images.device))
        if images.device.type == "meta" or type(lot) is not Tensor:
            return self.layers[0](data)
        rows: dict[int, list[int]] = {}
        for row, number in enumerate(lot.tolist()):
            rows.setdefault(number, []).append(row)
        result = data
        for number, members in sorted(rows.items()):
            if number >= 0:
                with seeing(samples.of(torch.tensor(members))):
                    result = self._send(self.layers[number], data, result, images, members)
        return result

    def _send(
        self, layer: nn.Module, data: Any, result: Any, images: Tensor, members: list[int]
    ) -> Any:
        """The result, with what the layer makes of some samples in their places."""
        if images.dim() == 3 or len(members) == images.shape[0]:
            return layer(data)
        changed = layer(_take(data, members))
        parts = parts_of(changed)
        return map_parts(lambda kind, old: self._put(old, next(parts)[1], members), result)

    def _put(self, old: Any, new: Any, members: list[int]) -> Any:
        if not isinstance(old, Tensor):
            items = list(old)
            for place, item in zip(members, new, strict=True):
                items[place] = item
            return type(old)(items)
        if old.shape[1:] != new.shape[1:]:
            raise ValueError(
                f'{type(self).__name__} "{self.name}": a layer changed the shape of some samples '
                f"from {tuple(old.shape[1:])} to {tuple(new.shape[1:])}; the batch would not fit "
                "together. Put layers that change sizes outside."
            )
        index = tensor_on(old.device, members)
        return like(old, plain(old).index_copy(0, index, plain(new).to(old.dtype)))


def _take(data: Any, members: list[int]) -> Any:
    def pick(kind: str, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return type(value)(value[i] for i in members)
        if kind == BOXES and tv_kind(value) is not None:
            raise ValueError(
                "Boxes of a batch of images come as a list of BoundingBoxes, one for each image."
            )
        return like(value, plain(value)[tensor_on(value.device, members)])

    return map_parts(pick, data)


class RandomApply(_ByLot):
    """Sends each image through layers with a certain probability, and leaves the others.

    Args:
        layers: A layer or several, of the kinds that `Pipeline` takes.
        rate: The probability.
        seed: Makes the draws repeatable, those of the layers without a seed too.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If `rate` is not in [0, 1].
    """

    def __init__(
        self,
        layers: Any,
        rate: float = 0.5,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        several = layers if isinstance(layers, (list, tuple, nn.ModuleList)) else [layers]
        self._set_layers([Pipeline(list(several))], seed)
        self.rate = fraction(self, "rate", rate)

    def _lot(self, draws: Draws) -> Tensor:
        return torch.where(draws.chance(self.rate), 0, -1)


class RandomChoice(_ByLot):
    """Sends each image through one of several layers.

    Args:
        layers: Layers, of the kinds that `Pipeline` takes.
        probabilities: How probable each is; `None` makes them alike.
        seed: Makes the draws repeatable, those of the layers without a seed too.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If there are no layers, or not one probability for each.
    """

    def __init__(
        self,
        layers: Sequence[Any],
        probabilities: Sequence[float] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        shares = [1.0] * len(layers) if probabilities is None else list(probabilities)
        if not layers or len(shares) != len(layers) or min(shares) < 0 or sum(shares) <= 0:
            raise ValueError(
                f"RandomChoice: expected layers and as many probabilities, got {describe(layers)} "
                f"and {describe(probabilities)}."
            )
        self._set_layers(layers, seed)
        self.probabilities = [share / sum(shares) for share in shares]

    def _lot(self, draws: Draws) -> Tensor:
        ends = tensor_on(draws.keys.device, self.probabilities).cumsum(0)
        return torch.searchsorted(ends[:-1].contiguous(), draws.uniform().contiguous(), right=True)
