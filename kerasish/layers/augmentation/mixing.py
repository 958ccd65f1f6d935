"""MixUp and CutMix: two samples in one image, and their labels mixed in the same proportion."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from kerasish.describe import describe
from kerasish.layers.augmentation.arguments import bounds, is_number
from kerasish.layers.augmentation.base import AugmentationLayer, Parameters
from kerasish.layers.augmentation.draws import Draws
from kerasish.layers.augmentation.parts import BOXES, LABELS, map_parts, parts_of
from kerasish.layers.augmentation.pixels import per_image
from kerasish.layers.checks import positive_int


class _MixingLayer(AugmentationLayer):
    """A layer that mixes each sample with another one of its batch.

    Call it on `(images, labels)` or on a dict with `images` and `labels`. Whom a sample is mixed
    with depends on its batch, unlike anything else that augmentation layers do.

    Labels must be shares of classes, such as one-hot rows, or numbers to mix. Class numbers become
    one-hot rows where `num_classes` is given, outside training as well.
    """

    is_separable = False

    def __init__(self, *, num_classes: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        if num_classes is not None:
            self.num_classes = positive_int(self, "num_classes", num_classes)

    def forward(self, data: Any) -> Any:
        """Mix in training."""
        for kind, value in parts_of(data):
            if kind == LABELS:
                self._check_labels(value)
            elif kind == BOXES:
                raise ValueError(
                    f'{type(self).__name__} "{self.name}" cannot mix boxes; leave it out where '
                    "objects are to be found."
                )
        if self.num_classes is not None:
            data = map_parts(lambda k, v: self._one_hot(v) if k == LABELS else v, data)
        return super().forward(data)

    def _check_labels(self, labels: Any) -> None:
        if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.dim() > 1:
            return
        if self.num_classes is None:
            raise ValueError(
                f'{type(self).__name__} "{self.name}" cannot mix class numbers, got '
                f"{describe(labels)}: give it num_classes=, or pass one-hot labels, with a loss "
                "that takes them."
            )

    def _one_hot(self, labels: Any) -> Any:
        whole = isinstance(labels, Tensor) and not labels.is_floating_point()
        if not whole or self.num_classes is None or labels.dim() > 1:
            return labels
        return F.one_hot(labels.to(torch.int64), self.num_classes).to(torch.float32)

    def transform_labels(self, labels: Tensor, parameters: Parameters) -> Tensor:
        """Mix the labels in the proportion of the images."""
        x = labels if labels.is_floating_point() else labels.to(torch.float32)
        weight = parameters["weight"].reshape(-1, *[1] * (x.dim() - 1)).to(x.dtype)
        return weight * x + (1 - weight) * x[parameters["partner"]]

    def _partners(self, draws: Draws) -> Tensor:
        """A random order of the batch: with whom each sample is mixed."""
        return torch.argsort(draws.uniform())


class MixUp(_MixingLayer):
    """Averages each image, and its label, with another of the batch (Zhang et al. 2018).

    Shapes:
        input: `(images, labels)` or a dict of them; labels `(batch, classes)`
        output: the same

    Args:
        alpha: The image's own share is from the distribution Beta(alpha, alpha): near 0 or 1 where
            alpha is small, uniform at 1.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        seed: Makes the draws repeatable.
        num_classes: Makes one-hot rows of class numbers.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If `alpha` is not positive.

    Example:
        >>> mix = MixUp(num_classes=2)
        >>> x, y = mix((torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 1, 0])))
        >>> y.shape, bool((y.sum(-1) - 1).abs().max() < 1e-6)
        (torch.Size([4, 2]), True)
    """

    def __init__(
        self,
        alpha: float = 0.2,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, seed=seed, **kwargs)
        if not is_number(alpha) or alpha <= 0:
            raise ValueError(f"MixUp: `alpha` must be a positive number, got {describe(alpha)}.")
        self.alpha = float(alpha)

    def draw(self, draws: Draws, size: tuple[int, int]) -> Parameters:
        """Shares and partners."""
        return {"weight": draws.beta(self.alpha, self.alpha), "partner": self._partners(draws)}

    def transform_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        """Average."""
        weight = per_image(parameters["weight"]).to(images.dtype)
        return weight * images + (1 - weight) * images[parameters["partner"]]


class CutMix(_MixingLayer):
    """Pastes a rectangle of another image of the batch into each (Yun et al. 2019).

    Labels are mixed by area.

    Shapes:
        input: `(images, labels)` or a dict of them; labels `(batch, classes)`
        output: the same

    Args:
        factor: The area that stays is from Beta(a, a), with a drawn from this range; one number
            stands for a range from 0.
        seed: Makes the draws repeatable.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        num_classes: Makes one-hot rows of class numbers.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If `factor` is not within [0, 1].
    """

    computes = False

    def __init__(
        self,
        factor: Any = 1.0,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, seed=seed, **kwargs)
        self.factor = bounds(self, "factor", factor, 0, 1, low=0.0)

    def draw(self, draws: Draws, size: tuple[int, int]) -> Parameters:
        """Rectangles, the area they leave, and partners."""
        alpha = draws.uniform(*self.factor) + 1e-6
        side = torch.sqrt(1 - draws.beta(alpha, alpha))
        parameters: Parameters = {}
        for name, length in zip(("rows", "columns"), size, strict=True):
            # Whole pixels, so that the labels' shares are exact.
            extent = (side * length).round()
            start = (draws.uniform() * (length - extent + 1)).floor()
            place = torch.arange(length, device=side.device)
            parameters[name] = (place >= start[:, None]) & (place < (start + extent)[:, None])
        shares = [parameters[n].to(torch.float32).mean(1) for n in ("rows", "columns")]
        return {
            **parameters,
            "weight": 1 - shares[0] * shares[1],
            "partner": self._partners(draws),
        }

    def transform_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        """Paste."""
        pasted = parameters["rows"][:, None, :, None] & parameters["columns"][:, None, None, :]
        return torch.where(pasted, images[parameters["partner"]], images)

    def transform_masks(self, masks: Tensor, parameters: Parameters) -> Tensor:
        """Paste the partner's mask likewise."""
        return self.transform_images(masks, parameters)
