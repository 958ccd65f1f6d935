"""AugmentationLayer: images changed at random, each its own way, in training only."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from kerasish.config import as_image_format
from kerasish.describe import describe
from kerasish.graph.symbolic import is_symbolic
from kerasish.layers.augmentation import boxes as box_formats
from kerasish.layers.augmentation.draws import (
    Draws,
    Samples,
    current_samples,
    layers_by_sample,
    mix_number,
    sample_keys,
)
from kerasish.layers.augmentation.parts import (
    BOXES,
    IMAGES,
    LABELS,
    MASKS,
    images_in,
    like,
    map_parts,
    plain,
    to_float,
    to_type_of,
)
from kerasish.layers.augmentation.preview import preview
from kerasish.layers.base import Layer
from kerasish.layers.input_spec import InputSpec
from kerasish.random import SeedGenerator

Parameters = dict[str, Tensor]

# How many pixel values to compute with at a time on a processor; a few float copies of them fit
# into its cache.
_CACHED = 1 << 18


class AugmentationLayer(Layer):
    """Changes each image at random in training, and leaves images alone otherwise.

    A subclass says what is random, in `draw`, and what it does to pixels, in `transform_images`;
    where pixels move, also `transform_boxes` and `transform_masks`. All samples of a batch are
    changed at once, on the batch's device. Results have the type of the input: uint8 stays uint8.

    What happens to a sample depends on the layer's seed, the epoch and the sample's index in the
    data alone: in `fit`, and inside `augmentation.sample_context`. Elsewhere the layer counts its
    calls, and a sample's place in the batch stands for its index.

    Shapes:
        input: `(batch, channels, height, width)`, `(batch, height, width, channels)` or one image
            without the batch axis; alone, as `(images, labels)`, or in a dict with Keras's keys
            `images`, `labels`, `bounding_boxes`, `segmentation_masks`; or torchvision's tv_tensors,
            which have the channels first
        output: the same structure

    Args:
        seed: Makes the draws repeatable. `None` takes a seed from Python's generator, which
            `set_random_seed` sets.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        bounding_box_format: How plain tensors of boxes are written: `"xyxy"`, `"yxyx"`, `"xywh"`,
            `"center_xywh"`, or `"rel_xyxy"`, `"rel_yxyx"`, `"rel_xywh"`, `"rel_center_xywh"`
            (parts of the image's size). tv_tensors say it themselves.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If the format is unknown.
    """

    # Whether pixels are numbers to compute with; where they only move, uint8 is moved as it is.
    computes: bool = True
    # Whether each image is changed by itself, so that a batch may be changed in parts.
    is_separable: bool = True
    # Whether the layer has a `value_range`, so that pixels on another scale are worth a warning.
    _reads_range: bool = False
    value_range: tuple[float, float]

    def __init__(
        self,
        *,
        seed: int | None = None,
        data_format: str | None = None,
        bounding_box_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        # Pixels are cast here, not by the policy: 0 to 255 does not fit into half precision.
        super().__init__(**{"autocast": False, **kwargs})
        self.seed = seed
        self.seeds = SeedGenerator(seed)
        self.data_format = as_image_format(data_format)
        self.bounding_box_format = box_formats.check_format(self, bounding_box_format)
        self.input_spec = InputSpec(
            min_ndim=3, max_ndim=4, hint="Pass a batch of images, or one image."
        )
        self._looked_at_range = False
        layers_by_sample.any = True

    # What subclasses define

    def draw(self, draws: Draws, size: tuple[int, int]) -> Parameters:
        """Draw what differs between samples: tensors whose first axis is the batch.

        Args:
            draws: A source of random numbers for each sample.
            size: Height and width of the images.
        """
        return {}

    def transform_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        """Change images: (batch, channels, height, width), floating point where `computes`."""
        raise NotImplementedError(
            f"{type(self).__name__} must define transform_images(self, images, parameters)."
        )

    def transform_masks(self, masks: Tensor, parameters: Parameters) -> Tensor:
        """Move masks as the images' pixels: (batch, channels, height, width)."""
        return masks

    def transform_boxes(
        self, boxes: Tensor, parameters: Parameters, size: tuple[int, int]
    ) -> Tensor:
        """Move boxes: (batch, boxes, 4), as left, top, right, bottom in pixels."""
        return boxes

    def transform_labels(self, labels: Tensor, parameters: Parameters) -> Tensor:
        """Change labels; augmentation mostly keeps them."""
        return labels

    def changer(self, parameters: Parameters) -> Callable[[Tensor, int], Tensor]:
        """A function that changes one image, (channels, height, width), given its row in the batch.

        Threads call it, each for images of its own.

        Args:
            parameters: As `draw` gives them for the batch.
        """
        rows = {key: value.split(1) for key, value in parameters.items()}

        def change(image: Tensor, row: int) -> Tensor:
            own = {key: value[row] for key, value in rows.items()}
            x = image[None]
            y = self.transform_images(to_float(x) if self.computes else x, own)
            return to_type_of(y, x)[0]

        return change

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the result, from those of the input."""
        return size

    def fixed(self, batch: int, size: tuple[int, int], device: torch.device) -> Parameters | None:
        """What to do outside training: `None` for nothing."""
        return None

    def followed(self, data: Any) -> Any:
        """What the layer is where its code is followed, as for a plain torch twin: nothing."""
        return data

    # The call

    casts_outputs = False  # images keep their type
    draws_by_sample = True  # so `fit` tells which samples a batch holds

    def forward(self, data: Any) -> Any:
        """Augment in training."""
        if is_symbolic(data):
            return self.followed(data)
        images = images_in(data)
        if images is None:
            raise ValueError(
                f'{type(self).__name__} "{self.name}" found no images in {describe(data)}. Pass '
                "images, (images, labels), or a dict with the key 'images'."
            )
        # Counting calls and looking up samples are no work for a compiler: it leaves this out.
        if torch.compiler.is_compiling() and self.training:
            return self._augment_eagerly(data, images)
        return self._augment(data, images)

    # torch.compiler.disable would load the whole compiler now, this only when it is at work.
    @torch._disable_dynamo  # type: ignore[attr-defined]
    def _augment_eagerly(self, data: Any, images: Tensor) -> Any:
        return self._augment(data, images)

    def _augment(self, data: Any, images: Tensor) -> Any:
        batch, size = self._measure(images)
        with _full_precision(images.device.type):
            if self.training:
                self._look_at_range(images)
                parameters = self._draw_parameters(batch, size, images.device)
            else:
                parameters = self.fixed(batch, size, images.device)
                if parameters is None:
                    return data
            return self.transform(data, parameters, size)

    def _draw_parameters(
        self, batch: int, size: tuple[int, int], device: torch.device
    ) -> Parameters:
        return self.draw(self._next_draws(batch, device), size)

    def transform(self, data: Any, parameters: Parameters, size: tuple[int, int]) -> Any:
        """Do to data what the parameters say.

        Args:
            data: As the layer is called on.
            parameters: As `draw` gives them.
            size: Height and width of the images.
        """

        def change(kind: str, value: Any) -> Any:
            if kind == IMAGES:
                return like(value, self._change_images(value, parameters))
            if kind == MASKS:
                return like(value, self._change_masks(value, parameters, size))
            if kind == BOXES:
                return self._change_boxes(value, parameters, size)
            return self.transform_labels(value, parameters) if kind == LABELS else value

        return map_parts(change, data)

    def _is_last(self, value: Tensor) -> bool:
        return self.data_format == "channels_last" and type(value) is Tensor

    def _measure(self, images: Tensor) -> tuple[int, tuple[int, int]]:
        """The number of samples, and height and width."""
        shape = images.shape
        if images.dim() not in (3, 4):
            raise ValueError(
                f'{type(self).__name__} "{self.name}" expects images of 3 or 4 axes, '
                f"got {describe(images)}."
            )
        height, width = shape[-3:-1] if self._is_last(images) else shape[-2:]
        return (shape[0] if images.dim() == 4 else 1), (height, width)

    def _change_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        x = plain(images)
        x = x.movedim(-1, -3) if self._is_last(images) else x
        x = x if x.dim() == 4 else x[None]
        y = self._change_in_parts(x, parameters)
        y = y if images.dim() == 4 else y[0]
        return y.movedim(-3, -1) if self._is_last(images) else y

    def _change_in_parts(self, x: Tensor, parameters: Parameters) -> Tensor:
        """Change images a few at a time where that keeps them in the processor's cache."""
        is_followed = type(x) is not Tensor or torch.compiler.is_compiling()
        rows = x.shape[0]  # len() would settle how many rows an exported model takes
        if self.computes and self.is_separable and x.device.type == "cpu" and not is_followed:
            rows = max(1, _CACHED // (x.numel() // rows)) if x.numel() else rows
        if is_followed or rows >= len(x):
            y = self.transform_images(to_float(x) if self.computes else x, parameters)
            return to_type_of(y, x)
        parts = []
        for start in range(0, len(x), rows):
            part = x[start : start + rows]
            own = {key: value[start : start + rows] for key, value in parameters.items()}
            parts.append(to_type_of(self.transform_images(to_float(part), own), part))
        return torch.cat(parts)

    def _change_masks(self, masks: Tensor, parameters: Parameters, size: tuple[int, int]) -> Tensor:
        x = plain(masks)
        batch = next((p.shape[0] for p in parameters.values()), 1)
        # A mask may lack the axis of channels; only its sizes tell where they are.
        last = self._is_last(masks) and tuple(x.shape[-3:-1]) == size and x.dim() > 2
        x = x.movedim(-1, -3) if last else x
        if tuple(x.shape[-2:]) != tuple(size):
            raise ValueError(
                f'{type(self).__name__} "{self.name}": masks must have the height and width of '
                f"the images, {tuple(size)}, got {describe(masks)}."
            )
        shape = x.shape
        y = self.transform_masks(x.reshape(batch, -1, *size), parameters)
        y = to_type_of(y, x).reshape(*shape[:-2], *y.shape[-2:])
        return y.movedim(-3, -1) if last else y

    def _change_boxes(self, boxes: Any, parameters: Parameters, size: tuple[int, int]) -> Any:
        if isinstance(boxes, (list, tuple)):
            rows = [{k: v[i : i + 1] for k, v in parameters.items()} for i in range(len(boxes))]
            return type(boxes)(
                self._change_boxes(item, row, size) for item, row in zip(boxes, rows, strict=True)
            )
        corners = box_formats.to_corners(self, boxes, size)
        x = corners if corners.dim() == 3 else corners[None]
        y = self.transform_boxes(x, parameters, size)
        new_size = self.output_size(size)
        y = box_formats.clip(y if corners.dim() == 3 else y[0], new_size)
        return box_formats.from_corners(self, y, boxes, new_size)

    def preview(self, images: Any, path: Any = None, **kwargs: Any) -> Any:
        """Draw originals and variants; see `augmentation.preview`."""
        return preview(self, images, path, **kwargs)

    # Randomness

    def _next_draws(self, batch: int, device: torch.device) -> Draws:
        """A source of numbers for the samples of this call."""
        return self._draws_for(self._next_samples(batch, device), device)

    def _draws_for(self, samples: Samples, device: torch.device) -> Draws:
        # Layers with the same seed draw different numbers when they are of different classes.
        salt = zlib.crc32(type(self).__name__.encode())
        indices = samples.indices.to(device, non_blocking=True)
        return Draws(sample_keys(indices, self.seeds.state[0], salt, samples.epoch))

    def _next_samples(self, batch: int, device: torch.device) -> Samples:
        """The samples of this call: as told from outside, else by place and count of calls."""
        known = current_samples()
        if known is not None and device.type != "meta":
            samples = known.seen_by(self, batch)
            if samples is not None:
                return samples
            if known.calls is None:
                raise ValueError(
                    f'{type(self).__name__} "{self.name}" got a batch of {batch} in a '
                    f"sample_context of {len(known.indices)} indices. Give one index for each "
                    "sample."
                )
        start, calls = self.seeds.state
        places = torch.arange(batch, device=device)
        if device.type != "meta" and type(places) is Tensor:  # not while shapes are worked out
            self.seeds.state = start, calls + 1
        for number in process_numbers():
            calls = mix_number(calls + mix_number(number))
        return Samples(places, calls)

    def _look_at_range(self, images: Tensor) -> None:
        """Warn once where the pixels' scale is not the one that the layer was made for."""
        if self._looked_at_range or images.device.type == "meta" or not self._reads_range:
            return
        self._looked_at_range = True
        if images.is_floating_point():
            wrong = self.value_range == (0, 255) and 0 < float(images.detach().amax()) <= 1
            seen, say = "these go from 0 to 1", "(0, 1)"
        else:
            wrong = self.value_range[1] <= 1
            seen, say = "these are whole numbers", "(0, 255)"
        if wrong:
            low, high = self.value_range
            warnings.warn(
                f'{type(self).__name__} "{self.name}" expects pixels from {low:g} to {high:g}, but '
                f"{seen}: give it value_range={say}.",
                stacklevel=2,
            )


def _full_precision(device: str) -> AbstractContextManager:
    """Grids and filters want it, whatever the model around computes in."""
    if device == "meta" or not torch.is_autocast_enabled(device):
        return nullcontext()
    return torch.autocast(device, enabled=False)


def process_numbers() -> list[int]:
    """Numbers that differ between processes, which otherwise would all draw alike."""
    numbers = []
    worker = torch.utils.data.get_worker_info()
    if worker is not None:
        numbers.append(worker.seed)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        numbers.append(torch.distributed.get_rank())
    return numbers
