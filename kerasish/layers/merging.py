"""Layers that make one tensor of several: sums, products, extremes, concatenation, dot products."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any, ClassVar

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from kerasish.describe import describe
from kerasish.graph.symbolic import is_symbolic
from kerasish.layers.base import Layer


class Merge(Layer):
    """A layer of a list of tensors.

    Args:
        **kwargs: Those of `Layer`.
    """

    fewest: ClassVar[int] = 1
    supports_masking = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the layer on a list of tensors, arrays or symbolic tensors."""
        if self._direct and len(args) == 1 and not kwargs and self.is_plain(args[0]):
            try:
                return nn.Module.__call__(self, args[0])
            except Exception as error:
                self._explain(error, args)
                raise
        return super().__call__(*args, **kwargs)

    def _explain(self, error: Exception, args: tuple) -> None:
        try:
            self._check(args)
        except ValueError as clearer:
            raise clearer from error
        super()._explain(error, args)

    def is_plain(self, inputs: Any) -> bool:
        """Whether these are tensors that need no check or conversion."""
        return False

    def _check(self, args: tuple) -> None:
        inputs = args[0] if args else None
        if not isinstance(inputs, (list, tuple)) or len(inputs) < self.fewest:
            raise ValueError(
                f'{type(self).__name__} "{self.name}" expects a list of at least {self.fewest} '
                f"tensors, as one argument, got {describe(inputs)}."
            )
        if all(hasattr(x, "shape") for x in inputs):
            # Inside code that a model opens up, sizes may be symbolic, and so unknown.
            self.check_shapes(
                [tuple(None if is_symbolic(n) else n for n in x.shape) for x in inputs]
            )

    def check_shapes(self, shapes: list[tuple[int | None, ...]]) -> None:
        """Raise a ValueError if tensors of these shapes cannot be merged; `None` is unknown."""

    def refuse(self, shapes: list[tuple[int | None, ...]], why: str) -> None:
        """Raise the error that names the layer and the shapes."""
        listed = ", ".join(str(shape) for shape in shapes)
        raise ValueError(f'{type(self).__name__} "{self.name}" got shapes {listed}: {why}')


class ElementwiseMerge(Merge):
    """A merge of each element with its counterparts.

    Sizes of 1 are repeated, as anywhere in torch. Where ranks differ, axes of size 1 are put after
    the batch axis of the smaller. A batch of 1 is repeated, too, by a layer that was made for any
    size of batch: one set of learned queries, say, beside a batch of images.

    Args:
        **kwargs: Those of `Layer`.
    """

    is_transparent = True
    combine: ClassVar[Callable[[Any, Any], Any]]

    def is_plain(self, inputs: Any) -> bool:
        """Whether they are tensors of one shape."""
        if type(inputs) is not list or len(inputs) < self.fewest:
            return False
        shape = getattr(inputs[0], "shape", None)
        return all(type(x) is Tensor and x.shape == shape for x in inputs)

    def check_shapes(self, shapes: list[tuple[int | None, ...]]) -> None:
        """Each axis must have one size, or 1; the batch axis one size, until the layer is built."""
        rank = max(len(shape) for shape in shapes)
        aligned = [(*shape[:1], *(1,) * (rank - len(shape)), *shape[1:]) for shape in shapes]
        for axis, along in enumerate(zip(*aligned, strict=True)):
            # Lists, because sizes that torch.export keeps open cannot be put into a set.
            repeats = axis > 0 or self.built
            known = [size for size in along if size is not None and (size != 1 or not repeats)]
            if any(size != known[0] for size in known):
                what = "batch sizes" if axis == 0 else f"sizes on axis {axis}"
                self.refuse(
                    shapes, f"the {what} differ. Merge tensors of one shape, or reshape them first."
                )

    def merge(self, inputs: list[Tensor]) -> Tensor:
        """What the layer computes, on tensors of one rank."""
        return functools.reduce(type(self).combine, inputs)

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """Merge, after making the ranks equal."""
        return self.merge(_of_one_rank(inputs))

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """True where any input's mask is; no mask if an input has none."""
        if not isinstance(mask, (list, tuple)) or any(m is None for m in mask):
            return None
        return functools.reduce(operator.or_, mask)


def _of_one_rank(inputs: list[Tensor]) -> list[Tensor]:
    rank = max(x.dim() for x in inputs)
    if all(x.dim() == rank for x in inputs):
        return inputs
    return [x[(slice(None), *(None,) * (rank - x.dim()))] for x in inputs]


class Add(ElementwiseMerge):
    """The sum of its inputs.

    Shapes:
        inputs: a list of tensors of one shape
        output: the same shape

    Args:
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> Add()([torch.ones(1, 2), torch.ones(1, 2), torch.ones(1, 2)])
        tensor([[3., 3.]])
    """

    combine = staticmethod(torch.add)


class Subtract(ElementwiseMerge):
    """The first of its two inputs minus the second.

    Args:
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If there are not two inputs, or the shapes do not fit.
    """

    fewest = 2
    combine = staticmethod(torch.sub)

    def is_plain(self, inputs: Any) -> bool:
        """Whether they are two tensors of one shape."""
        return super().is_plain(inputs) and len(inputs) == 2

    def check_shapes(self, shapes: list[tuple[int | None, ...]]) -> None:
        """There must be two."""
        if len(shapes) != 2:
            self.refuse(shapes, "it takes exactly two inputs.")
        super().check_shapes(shapes)


class Multiply(ElementwiseMerge):
    """The product of its inputs, element by element.

    Where an input has a mask, masked steps count as 1; where all inputs have one, steps that no
    mask keeps become 0.

    Args:
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> Multiply()([torch.tensor([[2.0, 3.0]]), torch.tensor([[4.0, 5.0]])])
        tensor([[ 8., 15.]])
    """

    is_transparent = True
    combine = staticmethod(torch.mul)

    def forward(self, inputs: list[Tensor], mask: list[Tensor | None] | None = None) -> Tensor:
        """Multiply, heeding the masks."""
        if mask is None or all(m is None for m in mask):
            return super().forward(inputs)
        keeps = [None if m is None else m.bool().unsqueeze(-1) for m in mask]
        pairs = zip(inputs, keeps, strict=True)
        y = super().forward([x if k is None else x.masked_fill(~k, 1) for x, k in pairs])
        found = [k for k in keeps if k is not None]
        if len(found) < len(keeps):
            return y
        return y.masked_fill(~functools.reduce(torch.logical_or, found), 0)


class Average(ElementwiseMerge):
    """The mean of its inputs, element by element.

    Args:
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If the shapes do not fit.
    """

    combine = staticmethod(torch.add)

    def merge(self, inputs: list[Tensor]) -> Tensor:
        """Sum, and divide by the number of inputs."""
        return super().merge(inputs) / len(inputs)


class Maximum(ElementwiseMerge):
    """The largest of its inputs, element by element.

    Args:
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If the shapes do not fit.
    """

    combine = staticmethod(torch.maximum)


class Minimum(ElementwiseMerge):
    """The smallest of its inputs, element by element.

    Args:
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If the shapes do not fit.
    """

    combine = staticmethod(torch.minimum)


class Concatenate(Merge):
    """Its inputs one after the other along an axis.

    Shapes:
        inputs: a list of tensors whose shapes are the same but for `axis`
        output: the same with the sizes on `axis` added up

    Args:
        axis: The axis, counted with the batch axis. For images with channels first it is 1.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> Concatenate(axis=1)([torch.ones(1, 2, 5), torch.ones(1, 3, 5)]).shape
        torch.Size([1, 5, 5])
    """

    is_transparent = True

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis

    def is_plain(self, inputs: Any) -> bool:
        """Whether they are tensors; `torch.cat` checks their shapes."""
        return type(inputs) is list and all(type(x) is Tensor for x in inputs)

    def check_shapes(self, shapes: list[tuple[int | None, ...]]) -> None:
        """One rank, and the same sizes on the other axes."""
        rank = len(shapes[0])
        if any(len(shape) != rank for shape in shapes):
            self.refuse(shapes, "the numbers of axes differ.")
        if not -rank <= self.axis < rank:
            self.refuse(shapes, f"there is no axis {self.axis}.")
        for axis, along in enumerate(zip(*shapes, strict=True)):
            known = [size for size in along if size is not None]
            if any(size != known[0] for size in known) and axis != self.axis % rank:
                self.refuse(
                    shapes,
                    f"sizes differ on axis {axis}, and the concatenation is along axis "
                    f"{self.axis % rank}.",
                )

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """Concatenate."""
        return torch.cat(tuple(inputs), dim=self.axis)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The masks, concatenated likewise; an input without one counts everywhere."""
        if not isinstance(mask, (list, tuple)) or all(m is None for m in mask):
            return None
        whole = []
        for x, m in zip(inputs, mask, strict=True):
            everywhere = torch.ones_like(x, dtype=torch.bool)
            whole.append(
                everywhere if m is None else torch.logical_and(everywhere, m.unsqueeze(-1))
            )
        return torch.cat(whole, dim=self.axis).any(dim=-1)


class Dot(Merge):
    """The dot product of two tensors along one axis of each, for every sample.

    Shapes:
        inputs: two tensors with the same batch size, and the same size on the chosen axes
        output: the batch axis, the other axes of the first, the other axes of the second; at least
            `(batch, 1)`

    Args:
        axes: The axis to sum over, or one for each input, counted with the batch axis.
        normalize: Whether to scale to length 1 first, which makes cosine similarities.
        **kwargs: Those of `Layer`.

    Raises:
        TypeError: If `axes` is neither an integer nor two.
        ValueError: If the shapes do not fit, or the batch axis is chosen.

    Example:
        >>> Dot(axes=1)([torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]])])
        tensor([[11.]])
    """

    is_transparent = True
    fewest = 2

    def __init__(self, axes: Any, normalize: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        pair = (axes, axes) if isinstance(axes, int) else axes
        good = isinstance(pair, (list, tuple)) and len(pair) == 2
        if not good or not all(isinstance(axis, int) for axis in pair):
            raise TypeError(f"Dot: `axes` must be an integer or two, got {describe(axes)}.")
        self.axes = axes
        self.normalize = normalize
        self.axis_pair = tuple(pair)

    def check_shapes(self, shapes: list[tuple[int | None, ...]]) -> None:
        """Two tensors whose chosen axes fit."""
        if len(shapes) != 2 or min(len(shape) for shape in shapes) < 2:
            self.refuse(shapes, "it takes two tensors of at least two axes each.")
        found = []
        for shape, axis in zip(shapes, self.axis_pair, strict=True):
            if not -len(shape) <= axis < len(shape) or axis % len(shape) == 0:
                self.refuse(shapes, f"axis {axis} is not one to sum over.")
            found.append(shape[axis])
        if None not in found and found[0] != found[1]:
            self.refuse(shapes, f"sizes {found[0]} and {found[1]} on axes {self.axes} differ.")
        if None not in (shapes[0][0], shapes[1][0]) and shapes[0][0] != shapes[1][0]:
            self.refuse(shapes, "the batch sizes differ.")

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """No mask: the steps are summed over or combined."""
        return None

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """Sum the products along the chosen axes."""
        x, y = inputs
        a, b = (axis % t.dim() for axis, t in zip(self.axis_pair, inputs, strict=True))
        if self.normalize:
            x, y = F.normalize(x, dim=a), F.normalize(y, dim=b)
        # One letter for each axis: "a" is the batch, "b" the axis summed over.
        others = iter("cdefghijklmnopqrstuvwxyz")
        of_x = "a" + "".join("b" if i == a else next(others) for i in range(1, x.dim()))
        of_y = "a" + "".join("b" if i == b else next(others) for i in range(1, y.dim()))
        kept = "a" + (of_x + of_y).replace("a", "").replace("b", "")
        result = torch.einsum(f"{of_x},{of_y}->{kept}", x, y)
        return result.unsqueeze(-1) if result.dim() == 1 else result


def add(inputs: list[Any], **kwargs: Any) -> Any:
    """The sum of tensors: `Add()(inputs)`."""
    return Add(**kwargs)(inputs)


def subtract(inputs: list[Any], **kwargs: Any) -> Any:
    """The first tensor minus the second: `Subtract()(inputs)`."""
    return Subtract(**kwargs)(inputs)


def multiply(inputs: list[Any], **kwargs: Any) -> Any:
    """The product of tensors, element by element: `Multiply()(inputs)`."""
    return Multiply(**kwargs)(inputs)


def average(inputs: list[Any], **kwargs: Any) -> Any:
    """The mean of tensors, element by element: `Average()(inputs)`."""
    return Average(**kwargs)(inputs)


def maximum(inputs: list[Any], **kwargs: Any) -> Any:
    """The largest of tensors, element by element: `Maximum()(inputs)`."""
    return Maximum(**kwargs)(inputs)


def minimum(inputs: list[Any], **kwargs: Any) -> Any:
    """The smallest of tensors, element by element: `Minimum()(inputs)`."""
    return Minimum(**kwargs)(inputs)


def concatenate(inputs: list[Any], axis: int = -1, **kwargs: Any) -> Any:
    """Tensors one after the other along an axis: `Concatenate(axis)(inputs)`."""
    return Concatenate(axis=axis, **kwargs)(inputs)


def dot(inputs: list[Any], axes: Any = -1, **kwargs: Any) -> Any:
    """The dot product of two tensors: `Dot(axes)(inputs)`."""
    return Dot(axes=axes, **kwargs)(inputs)
