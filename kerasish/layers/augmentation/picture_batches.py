"""Batches from images of different sizes: each is read, cut, resized and changed by one thread.

Of each image only the window that is shown is resized, as uint8. What layers draw is drawn for the
whole batch before the first image is read; so it depends on no thread's pace.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from kerasish.layers.augmentation.base import AugmentationLayer
from kerasish.layers.augmentation.buffers import Buffers
from kerasish.layers.augmentation.cropping import WindowLayer
from kerasish.layers.augmentation.draws import Draws, sample_context
from kerasish.layers.augmentation.foreign import TorchTransform
from kerasish.layers.augmentation.pipeline import Pipeline
from kerasish.layers.augmentation.pointwise import is_pointwise, pointwise
from kerasish.layers.augmentation.steps import (
    Change,
    Points,
    finish,
    form_of,
    join_steps,
    unchanged,
)
from kerasish.layers.base import Layer
from kerasish.layers.preprocessing import Normalization, Rescaling
from kerasish.layers.resizing import CenterCrop, Resizing

Size = tuple[int, int]
_CPU = torch.device("cpu")
# Layers that draw from their own seeds, if at all; and what holds them.
_OWN = (AugmentationLayer, Pipeline, Rescaling, Normalization, nn.ModuleList)
_KNOWN = ("kerasish.", "torch.nn.")
# Layers that change images in training as outside of it, and draw nothing.
_STILL = (Resizing, CenterCrop)
# Held while a layer is in the mode of a data set.
_MODES = threading.RLock()


class Picture(Protocol):
    """An image whose pixels are fetched only when somebody asks."""

    @property
    def size(self) -> Size:
        """Height and width."""
        ...

    def pixels(self) -> Tensor | None:
        """uint8 (height, width, channels); `None` where it turns out to be unreadable."""
        ...


class PictureBatches:
    """A pipeline that makes batches of images which need not have one size.

    The first layers, up to one that gives images a common size, see each image alone. What follows
    and changes each image by itself is done image by image, too; other layers (mixing, choosing
    by lot, torchvision's, functions) see the batch.

    Args:
        augment: A `Pipeline`, a layer, or a list of what a `Pipeline` takes.
        training: Whether layers do what they do in training.
        data_format: The axis order of the result.
        dtype: The number type of the result; `None` leaves it to the layers.
        run: Calls a function with 0, 1, 2… up to a number, perhaps in several threads, and
            returns what it returned.
    """

    def __init__(
        self,
        augment: Any,
        training: bool,
        data_format: str,
        dtype: torch.dtype | None,
        run: Callable[[Callable[[int], Any], int], list[Any]],
    ) -> None:
        self.layers = list(_flat(_as_pipeline(augment)))
        self.training, self.data_format, self.dtype, self.run = training, data_format, dtype, run
        self._buffers = Buffers()
        # Shape and type of the images that come out, for the size that goes in.
        self._forms: dict[Size, tuple[tuple[int, ...], torch.dtype]] = {}
        lead = _lead(self.layers)
        self._lead, rest = self.layers[:lead], self.layers[lead:]
        count = next((i for i, layer in enumerate(rest) if not _is_alone(layer)), len(rest))
        self._alone, self._together = rest[:count], rest[count:]

    @property
    def is_own(self) -> bool:
        """Whether all layers are of the kinds that draw from no generator but their own."""
        modules = [module for layer in self.layers for module in layer.modules()]
        return all(
            isinstance(m, _OWN)
            and type(m).__module__.startswith(_KNOWN)
            and not isinstance(m, TorchTransform)
            for m in modules
        )

    @property
    def is_fixed(self) -> bool | None:
        """Whether an image comes out the same in every pass; `None` where nobody knows."""
        modules = [module for layer in self.layers for module in layer.modules()]
        known = [_is_fixed(module, self.training) for module in modules]
        return False if False in known else None if None in known else True

    @property
    def holds_pixels(self) -> bool:
        """Whether values from 0 to 255 stay in that range, as far as the kinds of layers tell."""
        modules = [module for layer in self.layers for module in layer.modules()]
        return not any(
            isinstance(m, TorchTransform) or not isinstance(m, (AugmentationLayer, Pipeline))
            for m in modules
            if isinstance(m, Layer)
        )

    def __call__(
        self,
        pictures: Sequence[Picture],
        labels: Tensor | None,
        numbers: Sequence[int],
        epoch: int | None,
    ) -> Any:
        """The batch: images, or images and labels; `None` where no image can be read.

        Args:
            pictures: The images.
            labels: One row for each, or `None`.
            numbers: Their numbers in the data set.
            epoch: The pass; with the number it decides what is random. `None` where nobody counts.
        """
        # Threads know nothing of the caller's inference mode, whose tensors they must not fill.
        with torch.inference_mode(False), torch.no_grad():
            images, rows = self._images(pictures, numbers, epoch)
            if len(rows) < len(pictures):
                if not rows:
                    return None
                images, numbers = images[rows], [numbers[row] for row in rows]
                labels = None if labels is None else labels[rows]
            data: Any = images if labels is None else (images, labels)
            with _context(numbers, epoch):
                for layer in self._together:
                    if isinstance(data, tuple) and not isinstance(layer, AugmentationLayer):
                        data = (self._call(layer, data[0]), *data[1:])
                    else:
                        data = self._call(layer, data)
        return data

    def _images(
        self, pictures: Sequence[Picture], numbers: Sequence[int], epoch: int | None
    ) -> tuple[Tensor, list[int]]:
        """The images in a batch, and the rows of those that could be read."""
        with _context(numbers, epoch):
            pictures, first, size = self._first(pictures, numbers, epoch)
            singly = list(self._steps(len(pictures), size))
        steps = join_steps(step for _, step in singly)
        if size not in self._forms:
            # The first image tells the form of all others.
            for row, picture in enumerate(pictures):
                pixels = picture.pixels()
                if pixels is not None:
                    image = first(pixels.permute(2, 0, 1), row)
                    self._forms[size] = form_of(image, row, singly)
                    break
        if size not in self._forms:
            return torch.empty(0), []
        shape, dtype = self._forms[size]
        batch = self._buffers.take((len(pictures), *shape), self.dtype or dtype)

        def make(row: int) -> bool:
            pixels = pictures[row].pixels()
            if pixels is None:
                return False
            finish(first(pixels.permute(2, 0, 1), row), row, steps, batch[row])
            return True

        good = self.run(make, len(pictures))
        images = batch if self.data_format == "channels_first" else batch.permute(0, 2, 3, 1)
        return images, [row for row, is_good in enumerate(good) if is_good]

    def _call(self, layer: nn.Module, data: Any) -> Any:
        """What the layer makes of the data, in training or outside of it as is wanted here."""
        # Another data set may use the same layer, and make its batches ahead in a thread.
        with _MODES:
            before = layer.training
            try:
                return layer.train(self.training)(data)
            finally:
                layer.train(before)

    def _first(
        self, pictures: Sequence[Picture], numbers: Sequence[int], epoch: int | None
    ) -> tuple[Sequence[Picture], Change, Size]:
        """The pictures, what is done to each first, and the common size it gives them."""
        sizes = [picture.size for picture in pictures]
        layer = self._lead[0] if len(self._lead) == 1 else None
        if isinstance(layer, WindowLayer):
            return pictures, self._window(layer, sizes), layer.output_size(sizes[0])
        if isinstance(layer, (Resizing, CenterCrop)):
            one = {"one": torch.ones(len(pictures))}
            return pictures, layer.changer(one), layer.output_size(sizes[0])
        if self._lead:
            made = self._one_by_one(pictures, numbers, epoch)
            return made, unchanged, next((p.size for p in made), (0, 0))
        return pictures, unchanged, sizes[0]

    def _window(self, layer: WindowLayer, sizes: list[Size]) -> Change:
        """What shows each image's window."""
        changes: list[Change | None]
        if not self.training:
            known = {size: _fixed(layer, size) for size in set(sizes)}
            changes = [known[size] for size in sizes]
        elif layer.draws_sizes:
            height, width = torch.tensor(sizes, dtype=torch.float32).unbind(1)
            return layer.changer(layer.draw(layer._next_draws(len(sizes), _CPU), (height, width)))
        else:
            keys = layer._next_draws(len(sizes), _CPU).keys.split(1)
            drawn = [layer.draw(Draws(key), size) for key, size in zip(keys, sizes, strict=True)]
            changes = [layer.changer(own) for own in drawn]

        def change(image: Tensor, row: int) -> Tensor:
            own = changes[row]
            return image if own is None else own(image, 0)

        return change

    def _one_by_one(
        self, pictures: Sequence[Picture], numbers: Sequence[int], epoch: int | None
    ) -> list[Picture]:
        """The pictures after the first layers, which are called on each alone."""
        made: list[Picture] = []
        pixels = self.run(lambda row: pictures[row].pixels(), len(pictures))
        for number, image in zip(numbers, pixels, strict=True):
            if image is None:
                made.append(_Made(None))
                continue
            with _context([number], epoch):
                x = image.permute(2, 0, 1) if self.data_format == "channels_first" else image
                for layer in self._lead:
                    x = self._call(layer, x)
                made.append(
                    _Made(x.permute(1, 2, 0) if self.data_format == "channels_first" else x)
                )
        return made

    def _steps(self, batch: int, size: Size) -> Iterator[tuple[nn.Module, Change | Points]]:
        """What the layers that see images alone do to this batch, with what they draw for it."""
        for layer in self._alone:
            parameters = None
            if isinstance(layer, AugmentationLayer):
                if self.training:
                    parameters = layer._draw_parameters(batch, size, _CPU)
                else:
                    parameters = layer.fixed(batch, size, _CPU)
                if parameters is None:
                    continue
            if is_pointwise(layer):
                yield (
                    layer,
                    Points(
                        [pointwise(layer, parameters, self._shape(batch, size))],
                        not isinstance(layer, AugmentationLayer),
                    ),
                )
            else:
                assert isinstance(layer, AugmentationLayer)
                assert parameters is not None
                yield layer, layer.changer(parameters)
                size = layer.output_size(size)

    def _shape(self, batch: int, size: Size) -> tuple[int, ...]:
        if self.data_format == "channels_first":
            return batch, 3, *size
        return batch, *size, 3


class _Made:
    """An image in memory as a picture."""

    def __init__(self, image: Tensor | None) -> None:
        self._image = image

    @property
    def size(self) -> Size:
        return (0, 0) if self._image is None else (self._image.shape[0], self._image.shape[1])

    def pixels(self) -> Tensor | None:
        return self._image


def _is_fixed(module: nn.Module, training: bool) -> bool | None:
    """Whether a part of a pipeline does the same to an image each time, as far as it is known."""
    if isinstance(module, TorchTransform):
        return not training if module.is_random else None
    if not isinstance(module, _OWN) or not type(module).__module__.startswith(_KNOWN):
        return None
    changes = isinstance(module, AugmentationLayer) and not isinstance(module, _STILL)
    return not (training and changes)


def _fixed(layer: WindowLayer, size: Size) -> Change | None:
    """What a layer does to images of this size outside training."""
    parameters = layer.fixed(1, size, _CPU)
    return None if parameters is None else layer.changer(parameters)


def _context(numbers: Sequence[int], epoch: int | None) -> AbstractContextManager:
    return nullcontext() if epoch is None else sample_context(list(numbers), epoch)


def _as_pipeline(augment: Any) -> Pipeline:
    if isinstance(augment, Pipeline):
        return augment
    return Pipeline(augment if isinstance(augment, (list, tuple)) else [augment])


def gives_size(augment: Any) -> bool:
    """Whether layers take images of any sizes, and give them one size."""
    return augment is not None and _lead(list(_flat(_as_pipeline(augment)))) > 0


def _flat(pipeline: Pipeline) -> Iterator[nn.Module]:
    """The layers of a pipeline and of pipelines in it, joined where they join theirs."""
    for layer in pipeline.joined_layers():
        if type(layer) is Pipeline:
            yield from _flat(layer)
        else:
            yield layer


def _lead(layers: list[nn.Module]) -> int:
    """How many layers see each image alone, in its own size."""
    for number, layer in enumerate(layers, 1):
        if isinstance(layer, (WindowLayer, Resizing, CenterCrop)):
            return number
    foreign = [i for i, layer in enumerate(layers, 1) if isinstance(layer, TorchTransform)]
    return foreign[-1] if foreign else 0


def _is_alone(layer: nn.Module) -> bool:
    """Whether what the layer does to an image depends on that image and what was drawn for it."""
    if is_pointwise(layer):
        return True
    if not isinstance(layer, AugmentationLayer) or not layer.is_separable:
        return False
    # A layer that overrides these does something else when it is called.
    names = ("forward", "_augment", "transform", "_change_images", "_change_in_parts")
    return all(getattr(type(layer), n) is getattr(AugmentationLayer, n) for n in names)
