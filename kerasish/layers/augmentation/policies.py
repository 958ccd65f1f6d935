"""Random and learned policies: RandAugment, TrivialAugment, AutoAugment and AugMix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from kerasish.devices import tensor_on
from kerasish.layers.augmentation import boxes as box_formats
from kerasish.layers.augmentation.arguments import bounds, is_number
from kerasish.layers.augmentation.base import Parameters
from kerasish.layers.augmentation.color import ColorLayer
from kerasish.layers.augmentation.draws import Draws
from kerasish.layers.augmentation.operations import (
    COLOR_ENHANCEMENTS,
    OPERATIONS,
    STANDARD_SPACE,
    WIDE_SPACE,
    Operation,
    Space,
)
from kerasish.layers.augmentation.pixels import per_image
from kerasish.layers.augmentation.warp import FILL_MODES, INTERPOLATIONS, inverse, warp
from kerasish.layers.checks import one_of, positive_int

Size = tuple[int, int]


class PolicyLayer(ColorLayer):
    """A layer that does to each image a few operations chosen from a list.

    What is drawn: `operation`, numbers of operations, -1 for none, and `value`, how strong each is:
    both (batch, steps).

    Args:
        space: The operations and what their values are at strength 0 and 1.
        value_range: The least and the greatest pixel value.
        interpolation: `"bilinear"` or `"nearest"`.
        fill_mode: What lies outside: `"reflect"`, `"wrap"`, `"nearest"` or `"constant"`.
        fill_value: What lies outside in mode `"constant"`.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If a mode is unknown.
    """

    def __init__(
        self,
        space: Space,
        value_range: Any = (0, 255),
        *,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(value_range, **kwargs)
        self.interpolation = one_of(self, "interpolation", interpolation, INTERPOLATIONS)
        self.fill_mode = one_of(self, "fill_mode", fill_mode, FILL_MODES)
        self.fill_value = fill_value
        self.space = space

    def values(self, operation: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
        """What strengths from 0 to 1 mean to the operations chosen."""
        ends = tensor_on(strength.device, list(self.space.values()))
        signed = tensor_on(strength.device, [OPERATIONS[n].signed for n in self.space])
        low, high = ends[operation].unbind(-1)
        value = low + strength * (high - low)
        return torch.where(signed[operation], value * sign, value)

    def _draw_steps(self, draws: Draws, steps: int, strength: Tensor) -> Parameters:
        operation = draws.integers(0, len(self.space) - 1, (steps,))
        sign = 1.0 - 2.0 * draws.integers(0, 1, (steps,))
        return {"operation": operation, "value": self.values(operation, strength, sign)}

    def _chosen(self, parameters: Parameters, step: int) -> Iterator[tuple[Operation, Tensor, Any]]:
        """The operations of a step, each with its images' numbers and values."""
        choices = parameters["operation"][:, step]
        if choices.device.type == "meta" or type(choices) is not Tensor:
            return
        rows: dict[int, list[int]] = {}
        for row, choice in enumerate(choices.tolist()):
            rows.setdefault(choice, []).append(row)
        operations = [OPERATIONS[name] for name in self.space]
        for choice, members in sorted(rows.items()):
            if choice >= 0 and operations[choice] != Operation():
                index = tensor_on(choices.device, members)
                yield operations[choice], index, parameters["value"][index, step]

    def _each(
        self,
        x: Tensor,
        parameters: Parameters,
        size: Size,
        move: Callable[[Tensor, Tensor], Tensor],
        *,
        colors: bool,
    ) -> Tensor:
        """Do all steps: `move(rows, matrices)` where places change; and pixels, if these are."""
        x = x.clone()
        for step in range(parameters["operation"].shape[1]):
            for operation, index, value in self._chosen(parameters, step):
                if operation.matrices is not None:
                    x.index_copy_(0, index, move(x[index], operation.matrices(value, size)))
                elif colors and operation.change is not None:
                    x.index_copy_(0, index, operation.change(x[index], value.to(x.dtype)))
        return x

    def transform_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        """One step after the other."""
        return self.from_unit(self._run(self.to_unit(images), parameters))

    def _run(self, x: Tensor, parameters: Parameters) -> Tensor:
        low, high = self.value_range
        fill = (self.fill_value - low) / (high - low)
        height, width = x.shape[-2:]
        return self._each(
            x,
            parameters,
            (height, width),
            lambda rows, m: warp(rows, m, self.interpolation, self.fill_mode, fill, affine=True),
            colors=True,
        )

    def transform_masks(self, masks: Tensor, parameters: Parameters) -> Tensor:
        """Move the masks' pixels likewise."""
        height, width = masks.shape[-2:]
        moved = self._each(
            masks.to(torch.float64),
            parameters,
            (height, width),
            lambda rows, m: warp(rows, m, "nearest", self.fill_mode, affine=True),
            colors=False,
        )
        return moved.to(masks.dtype)

    def transform_boxes(self, boxes: Tensor, parameters: Parameters, size: Size) -> Tensor:
        """Move the boxes likewise."""
        return self._each(
            boxes,
            parameters,
            size,
            lambda rows, m: box_formats.move(rows, inverse(m)),
            colors=False,
        )


class RandAugment(PolicyLayer):
    """Does `num_ops` of fourteen operations to each image, one after the other (Cubuk et al. 2020).

    The operations: none; shears by up to 0.3; shifts by up to 45 % of the image; turns by up to 30
    degrees; brightness, colour, contrast and sharpness times 0.1 to 1.9; posterisation down to 4
    bits; solarisation; automatic contrast; equalisation. Each image has its own.

    Args:
        value_range: The least and the greatest pixel value.
        num_ops: How many operations an image gets.
        factor: The range of strengths, from 0 to the most named above at 1; one number stands for a
            range from 0. The paper's fixed magnitude of 9 in 30 is (0.3, 0.3).
        interpolation: `"bilinear"` or `"nearest"`.
        seed: Makes the draws repeatable.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        **kwargs: Those of `AugmentationLayer`; `fill_mode` and `fill_value` say what lies outside.

    Raises:
        ValueError: If `num_ops` is not positive, or `factor` not within [0, 1].
    """

    def __init__(
        self,
        value_range: Any = (0, 255),
        num_ops: int = 2,
        factor: Any = 0.5,
        interpolation: str = "bilinear",
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            STANDARD_SPACE,
            value_range,
            interpolation=interpolation,
            seed=seed,
            data_format=data_format,
            **kwargs,
        )
        self.num_ops = positive_int(self, "num_ops", num_ops)
        self.factor = bounds(self, "factor", factor, 0, 1, low=0.0)

    def draw(self, draws: Draws, size: Size) -> Parameters:
        """Operations and their values."""
        strength = draws.uniform(*self.factor, (self.num_ops,))
        return self._draw_steps(draws, self.num_ops, strength)


class TrivialAugment(PolicyLayer):
    """Does one operation to each image, of any strength (Müller and Hutter 2021, wide space).

    The operations are those of `RandAugment`, with shears by up to 0.99, shifts by up to a seventh
    of the image, turns by up to 135 degrees, enhancements times 0.01 to 1.99, and posterisation
    down to 2 bits. There is nothing to tune.

    Args:
        value_range: The least and the greatest pixel value.
        interpolation: `"bilinear"` or `"nearest"`.
        seed: Makes the draws repeatable.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        **kwargs: Those of `AugmentationLayer`; `fill_mode` and `fill_value` say what lies outside.
    """

    def __init__(
        self,
        value_range: Any = (0, 255),
        interpolation: str = "bilinear",
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            WIDE_SPACE,
            value_range,
            interpolation=interpolation,
            seed=seed,
            data_format=data_format,
            **kwargs,
        )

    def draw(self, draws: Draws, size: Size) -> Parameters:
        """An operation, and one of 31 strengths, as in the paper."""
        return self._draw_steps(draws, 1, draws.integers(0, 30, (1,)) / 30)


class AutoAugment(PolicyLayer):
    """Does to each image one of 25 pairs of operations that were learned (Cubuk et al. 2019).

    Args:
        policy: The data set that the pairs were learned on: `"imagenet"`, `"cifar10"` or `"svhn"`.
        value_range: The least and the greatest pixel value.
        interpolation: `"bilinear"` or `"nearest"`.
        seed: Makes the draws repeatable.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        **kwargs: Those of `AugmentationLayer`; `fill_mode` and `fill_value` say what lies outside.

    Raises:
        ValueError: If the policy is none of these.
    """

    def __init__(
        self,
        policy: str = "imagenet",
        value_range: Any = (0, 255),
        interpolation: str = "bilinear",
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            {**STANDARD_SPACE, "invert": (0.0, 0.0)},
            value_range,
            interpolation=interpolation,
            seed=seed,
            data_format=data_format,
            **kwargs,
        )
        self.policy = one_of(self, "policy", policy, ("imagenet", "cifar10", "svhn"))
        self._pairs = self._read_policy()

    def _read_policy(self) -> list[list[tuple[int, float, float]]]:
        """For each pair, twice: the operation's number, its probability and its strength."""
        from torchvision import transforms

        published: Any = transforms.AutoAugment(transforms.AutoAugmentPolicy(self.policy)).policies
        words = {name.replace("_", ""): number for number, name in enumerate(self.space)}
        # Strengths are numbered from 0 to 9.
        return [
            [(words[name.lower()], rate, (level or 0) / 9) for name, rate, level in pair]
            for pair in published
        ]

    def draw(self, draws: Draws, size: Size) -> Parameters:
        """The operations of the pair chosen, or -1 where one does not happen."""
        table = tensor_on(draws.keys.device, self._pairs)  # (pairs, 2, 3)
        operation, rate, strength = table[draws.integers(0, len(table) - 1)].unbind(-1)
        operation = operation.to(torch.int64)
        happens = draws.uniform(shape=(2,)) < rate
        sign = 1.0 - 2.0 * draws.integers(0, 1, (2,))
        value = self.values(operation, strength, sign)
        return {"operation": torch.where(happens, operation, -1), "value": value}


class AugMix(PolicyLayer):
    """Averages several chains of operations, and that with the image (Hendrycks et al. 2020).

    Masks and boxes stay, as the image does in part.

    Args:
        value_range: The least and the greatest pixel value.
        num_chains: How many chains are averaged.
        chain_depth: The most operations of a chain; any of them may be none.
        factor: The range of strengths; one number stands for a range from 0.
        alpha: The parameter of the distributions of the shares: Dirichlet for the chains, Beta for
            the image itself.
        all_ops: Whether brightness, colour, contrast and sharpness are among the operations.
        interpolation: `"bilinear"` or `"nearest"`.
        seed: Makes the draws repeatable.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        **kwargs: Those of `AugmentationLayer`; `fill_mode` and `fill_value` say what lies outside.

    Raises:
        ValueError: If a number is not positive, or `factor` not within [0, 1].
    """

    def __init__(
        self,
        value_range: Any = (0, 255),
        num_chains: int = 3,
        chain_depth: int = 3,
        factor: Any = 0.3,
        alpha: float = 1.0,
        all_ops: bool = True,
        interpolation: str = "bilinear",
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        space = STANDARD_SPACE
        if not all_ops:
            space = {k: v for k, v in space.items() if k not in COLOR_ENHANCEMENTS}
        super().__init__(
            space,
            value_range,
            interpolation=interpolation,
            seed=seed,
            data_format=data_format,
            **kwargs,
        )
        self.num_chains = positive_int(self, "num_chains", num_chains)
        self.chain_depth = positive_int(self, "chain_depth", chain_depth)
        self.factor = bounds(self, "factor", factor, 0, 1, low=0.0)
        if not is_number(alpha) or alpha <= 0:
            raise ValueError(f"AugMix: `alpha` must be a positive number, got {alpha!r}.")
        self.alpha, self.all_ops = float(alpha), all_ops

    def draw(self, draws: Draws, size: Size) -> Parameters:
        """The operations of all chains in a row, and the shares."""
        steps = self.num_chains * self.chain_depth
        strength = draws.uniform(*self.factor, (steps,))
        return {
            **self._draw_steps(draws, steps, strength),
            "shares": draws.dirichlet(self.alpha, self.num_chains),
            "original": draws.beta(self.alpha, self.alpha),
        }

    def transform_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        """Average."""
        x = self.to_unit(images)
        mixed = torch.zeros_like(x)
        for chain in range(self.num_chains):
            steps = slice(chain * self.chain_depth, (chain + 1) * self.chain_depth)
            own = {key: parameters[key][:, steps] for key in ("operation", "value")}
            mixed = mixed + per_image(parameters["shares"][:, chain]) * self._run(x, own)
        return self.from_unit(torch.lerp(mixed, x, per_image(parameters["original"]).to(x.dtype)))

    def transform_masks(self, masks: Tensor, parameters: Parameters) -> Tensor:
        """Masks stay."""
        return masks

    def transform_boxes(self, boxes: Tensor, parameters: Parameters, size: Size) -> Tensor:
        """Boxes stay."""
        return boxes
