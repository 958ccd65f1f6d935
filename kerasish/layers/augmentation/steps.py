"""What is done to the images of a batch one by one, and how it is joined and ends in the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from kerasish.layers.augmentation.base import AugmentationLayer
from kerasish.layers.augmentation.parts import to_type_of
from kerasish.layers.augmentation.pointwise import Pointwise, joined

# Changes one image, (channels, height, width), given its row in the batch.
Change = Callable[[Tensor, int], Tensor]


class Points:
    """Steps that go value by value.

    Args:
        steps: What is done to each value, one after the other.
        is_float: Whether the result is floating point; otherwise it has the image's type.
    """

    def __init__(self, steps: list[Pointwise], is_float: bool) -> None:
        self.steps, self.is_float = steps, is_float

    def __call__(self, image: Tensor, row: int, into: Tensor | None = None) -> Tensor:
        """The image changed, in new memory or in that given."""
        if into is None:
            into = image.to(torch.float32, copy=True)
        else:
            into.copy_(image)
        for step in self.steps:
            step.apply_(into, row)
        return into if self.is_float else to_type_of(into, image)

    def fits(self, into: Tensor) -> bool:
        """Whether the work can be done where the result is to be."""
        return self.is_float and into.dtype == torch.float32


def unchanged(image: Tensor, row: int) -> Tensor:
    """The image as it is."""
    return image


def form_of(
    image: Tensor, row: int, singly: list[tuple[nn.Module, Change | Points]]
) -> tuple[tuple[int, ...], torch.dtype]:
    """Shape and type of the images that come out; layers look at the range of what goes in."""
    for layer, step in singly:
        if isinstance(layer, AugmentationLayer):
            layer._look_at_range(image)
        image = step(image, row)
    return tuple(image.shape), image.dtype


def join_steps(steps: Iterable[Change | Points]) -> list[Change | Points]:
    """Neighbouring steps that go value by value, as one."""
    result: list[Change | Points] = []
    for step in steps:
        before = result[-1] if result else None
        if isinstance(step, Points) and isinstance(before, Points):
            both = before.steps + step.steps
            result[-1] = Points(both, before.is_float or step.is_float)
        else:
            result.append(step)
    for step in result:
        if isinstance(step, Points):
            step.steps = joined(step.steps)
    return result


def finish(image: Tensor, row: int, steps: list[Change | Points], into: Tensor) -> None:
    """Take one image through the steps to its place in the batch."""
    for step in steps[:-1]:
        image = step(image, row)
    last = steps[-1] if steps else unchanged
    if image.shape == into.shape and isinstance(last, Points) and last.fits(into):
        last(image, row, into)
        return
    image = last(image, row)
    if image.shape != into.shape:
        raise ValueError(
            f"The images of a batch must come out alike, got shapes {tuple(into.shape)} and "
            f"{tuple(image.shape)}. Begin the pipeline with a layer that gives them one size, such "
            "as RandomResizedCrop, RandomShortSide or Resizing."
        )
    into.copy_(image)
