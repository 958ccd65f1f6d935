"""The mean of several predictions, of probabilities or of logits, and how far they are apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from kerasish import activations
from kerasish.data.arrays import leaves, map_leaves
from kerasish.describe import describe, suggest

AVERAGED = ("outputs", "probabilities", "logits")


def check_averaged(what: Any, owner: str) -> str:
    """Refuse what cannot be averaged.

    Raises:
        ValueError: If it is not one of `AVERAGED`.
    """
    if what not in AVERAGED:
        raise ValueError(f"{owner}: unknown `average` {describe(what)}{suggest(what, AVERAGED)}.")
    return what


class OutputKind(NamedTuple):
    """What the numbers of an output are.

    Attributes:
        activation: What makes probabilities of them, or made them: `"softmax"` or `"sigmoid"`.
        is_probability: Whether that has been done.
        axis: The axis of the classes.
    """

    activation: str
    is_probability: bool
    axis: int


class Mean:
    """A running mean of predictions, which may be any structure of tensors.

    Whatever is averaged, the mean is of the same kind as the predictions: the mean of the
    probabilities behind logits comes back as logits. Where that must be known, softmax and sigmoid
    activations tell; else rows of positive numbers that add up to 1 are probabilities, and all
    other rows logits: of classes, or of one answer where a row is one number.

    Args:
        average: `"outputs"`, the numbers as they are, `"probabilities"` or `"logits"`.
        owner: Who asks, for messages.

    Raises:
        ValueError: If an output cannot be averaged so.

    Example:
        >>> mean = Mean()
        >>> for y in (torch.tensor([1.0]), torch.tensor([3.0])):
        ...     mean.add(y)
        >>> mean.result(), mean.spread()
        (tensor([2.]), tensor([1.]))
    """

    def __init__(self, average: str = "outputs", owner: str = "Mean") -> None:
        self.average = check_averaged(average, owner)
        self.owner = owner
        self.kinds: list[OutputKind] = []  # of the first prediction, and so of the mean
        self._like: Any = None
        self._means: list[Tensor] = []
        self._squares: list[Tensor] = []
        self._weight = 0.0

    def add(
        self,
        y_pred: Any,
        weight: float = 1.0,
        *,
        keeps_spread: bool = True,
        kinds: list[OutputKind] | None = None,
    ) -> None:
        """Take in one more prediction.

        Args:
            y_pred: A tensor, or a structure of tensors.
            weight: How much it counts.
            keeps_spread: Whether `spread` will be asked for.
            kinds: What these outputs are, as `kinds_of` tells, which looks at them by default.
        """
        values = self._to_averaged(list(leaves(y_pred)), kinds)
        if self._like is None:
            self._like = y_pred
            self._means = [torch.zeros_like(value) for value in values]
            self._squares = [torch.zeros_like(value) for value in values] if keeps_spread else []
        self._weight += weight
        share = weight / self._weight if weight else 0.0
        # Welford's way: equal predictions have exactly themselves as mean, and no spread.
        for i, value in enumerate(values):
            delta = value - self._means[i]
            self._means[i] = self._means[i] + delta * share
            if self._squares:
                self._squares[i] = self._squares[i] + weight * delta * (value - self._means[i])

    def result(self) -> Any:
        """The mean, as the predictions are."""
        return self._like_outputs(self._from_averaged(self._means))

    def spread(self) -> Any:
        """The standard deviation over the predictions, of what is averaged."""
        return self._like_outputs(iter([(s / self._weight).sqrt() for s in self._squares]))

    def _like_outputs(self, values: Iterator[Tensor]) -> Any:
        def take(output: Tensor) -> Tensor:
            value = next(values)
            return value if value.dtype == output.dtype else value.to(output.dtype)

        return map_leaves(take, self._like)

    def _to_averaged(self, outputs: list[Tensor], kinds: list[OutputKind] | None) -> list[Tensor]:
        for output in outputs:
            if not output.is_floating_point():
                raise ValueError(
                    f"{self.owner}: outputs of type {output.dtype} have no mean; the model should "
                    "end in scores, not in labels."
                )
        wide = [output.float() if output.dtype.itemsize < 4 else output for output in outputs]
        if self.average == "outputs":
            return wide
        kinds = kinds or kinds_of(outputs, self.owner)
        self.kinds = self.kinds or kinds
        convert = _probabilities if self.average == "probabilities" else _logits
        parts = zip(outputs, wide, kinds, strict=True)
        return [convert(output, value, kind) for output, value, kind in parts]

    def _from_averaged(self, means: list[Tensor]) -> Iterator[Tensor]:
        if self.average == "outputs":
            yield from means
            return
        for mean, kind in zip(means, self.kinds, strict=True):
            is_probability = self.average == "probabilities"
            if is_probability == kind.is_probability:
                yield mean
            else:
                yield _activated(mean, kind) if kind.is_probability else _log(mean, kind)


def kinds_of(outputs: list[Tensor], owner: str = "Mean") -> list[OutputKind]:
    """Whether outputs are logits or probabilities, and of what.

    Args:
        outputs: What a model gave for a batch, one tensor for each output.
        owner: Who asks, for messages.

    Raises:
        ValueError: If that cannot be told.
    """
    return [_kind_of(output, owner) for output in outputs]


def _kind_of(output: Tensor, owner: str) -> OutputKind:
    if output.is_meta:  # only its shape will be asked for
        return OutputKind("softmax", False, -1)
    known = getattr(output, "_logits_of", None)
    is_one = output.dim() == 1 or output.shape[-1] == 1
    if known == "sigmoid":
        return OutputKind("sigmoid", True, -1)
    if known is not None or not is_one:
        axes = [axis for axis in (-1, 1) if axis < output.dim() and _adds_up(output, axis)]
        if known is not None or axes:
            return OutputKind("softmax", True, (axes or [-1])[0])
    if output.dim() > 2 or ((output >= 0) & (output <= 1)).all():
        raise ValueError(
            f"{owner}: whether outputs of shape {tuple(output.shape)} are logits or probabilities "
            "cannot be told; end the model with kerasish's softmax or sigmoid, or use "
            'average="outputs".'
        )
    return OutputKind("sigmoid" if is_one else "softmax", False, -1)


def _adds_up(output: Tensor, axis: int) -> bool:
    sums = output.sum(axis)
    return bool((output >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-2)


def _probabilities(output: Tensor, wide: Tensor, kind: OutputKind) -> Tensor:
    return wide if kind.is_probability else _activated(wide, kind)


def _logits(output: Tensor, wide: Tensor, kind: OutputKind) -> Tensor:
    if not kind.is_probability:
        return wide
    known = getattr(output, "_logits", None)
    return _log(wide, kind) if known is None else known.to(wide.dtype)


def _activated(logits: Tensor, kind: OutputKind) -> Tensor:
    if kind.activation == "sigmoid":
        return activations.sigmoid(logits)
    return activations.softmax(logits, kind.axis)


def _log(p: Tensor, kind: OutputKind) -> Tensor:
    p = p.clamp(min=torch.finfo(p.dtype).tiny)
    if kind.activation == "softmax":
        return p.log()
    return p.log() - (1 - p).clamp(min=torch.finfo(p.dtype).eps / 2).log()
