"""What every loss does around its formula: conversion, weights, masks and reduction."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from kerasish import config, registry
from kerasish.describe import describe, suggest
from kerasish.losses.shapes import aligned, as_prediction, as_tensor, same_rank, weights_like

REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none")


def snake_case(name: str) -> str:
    """The log name of a class: `MeanSquaredError` gives `mean_squared_error`, `AUC` gives `auc`.

    Example:
        >>> snake_case("MeanSquaredError"), snake_case("AUC")
        ('mean_squared_error', 'auc')
    """
    words = re.sub(r"(?<=[^_])([A-Z][a-z]+)", r"_\1", re.sub(r"\W", "", name))
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", words).lower()


def reduce_values(
    values: Tensor,
    sample_weight: Any = None,
    mask: Any = None,
    reduction: str | None = "sum_over_batch_size",
    name: str = "loss",
) -> Tensor:
    """Weigh per-sample values and bring them down to one number.

    Weights do not change the divisor of `"sum_over_batch_size"` and `"mean"`: it is the number of
    values, or of values that the mask lets through. `"mean_with_sample_weight"` divides by the sum
    of weights. An empty batch, or one that is wholly masked or weighted away, gives 0.

    Shapes:
        values: `(batch, ...)`
        sample_weight, mask: `(batch,)` or more of the leading axes of `values`
        output: `()`, or that of `values` when the reduction is `None` or `"none"`
    """
    if mask is not None:
        mask = weights_like(mask, values, name, "mask")
        values = torch.where(
            mask.bool(), values, 0
        )  # not a product: NaN under the mask must not leak
    weight = None
    if sample_weight is not None:
        weight = weights_like(sample_weight, values, name)
        values = values * weight
    if reduction in (None, "none"):
        return values
    if reduction == "mean_with_sample_weight" and (weight is not None or mask is not None):
        parts = [part for part in (weight, mask) if part is not None]
        total = torch.stack(torch.broadcast_tensors(values, *parts)[1:]).prod(0).sum()
        return torch.where(total == 0, 0, values.sum() / torch.where(total == 0, 1, total))
    if reduction == "sum":
        return values.sum()
    if mask is None:
        return values.sum() if values.numel() == 0 else values.mean()
    valid = mask.sum() * (values.numel() / max(mask.numel(), 1))
    return values.sum() / valid.clamp(min=torch.finfo(values.dtype).tiny)


class Loss:
    """Base class of losses: `reduction(call(y_true, y_pred) * sample_weight)`.

    A loss of your own implements `call`, which returns one value per sample.

    Args:
        name: What errors and logs call it. Defaults to the class name in snake case.
        reduction: `"sum_over_batch_size"` or `"mean"` (over all values), `"sum"`,
            `"mean_with_sample_weight"` (sum divided by the sum of weights), `"none"` or `None`
            (keep the values).
        dtype: The type to compute in. Defaults to the predictions' own, half types widened to
            float32.

    Raises:
        ValueError: If the reduction is unknown.

    Example:
        >>> class Cubic(Loss):
        ...     def call(self, y_true, y_pred):
        ...         return (y_true - y_pred).abs().pow(3).mean(-1)
        >>> float(Cubic()(torch.zeros(2, 1), torch.tensor([[1.0], [2.0]])))
        4.5
    """

    target_dtype: str | None = None
    """`"int64"` where targets are class indices; `None` where they take the predictions' type."""

    options: ClassVar[tuple[str, ...]] = ()
    """Constructor arguments beside name, reduction and dtype; each is an attribute of that name."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # The parent's fused kernel computes the parent's formula.
        if {"call", "elements"} & cls.__dict__.keys() and "fused" not in cls.__dict__:
            cls.fused = Loss.fused

    def __init__(
        self,
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        if reduction is not None and reduction not in REDUCTIONS:
            raise ValueError(
                f"{type(self).__name__}: unknown reduction {describe(reduction)}"
                f"{suggest(reduction, REDUCTIONS)}."
            )
        self.name = name or snake_case(type(self).__name__)
        self.reduction = reduction
        self._dtype = None if dtype is None else config.as_policy(dtype).compute_dtype
        self._torch_reduction = {"sum": "sum", None: None, "none": None}.get(reduction, "mean")

    @property
    def dtype(self) -> str:
        """The name of the type that the loss is computed in, unless the predictions are wider."""
        return config.floatx() if self._dtype is None else config.dtype_name(self._dtype)

    def __call__(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Any = None
    ) -> Tensor:
        """Compute the reduced loss.

        Args:
            y_true: Targets.
            y_pred: Predictions.
            sample_weight: A factor for each row, or each element, of the per-sample values.
            mask: True where a value counts.

        Returns:
            A tensor of shape `()`, or the weighted values when the reduction is `None`.
        """
        if (
            type(y_pred) is not Tensor
            or type(y_true) is not Tensor
            or y_pred.dtype is not torch.float32
            or self._dtype is not None
        ):
            y_true, y_pred = self._converted(y_true, y_pred)
        if sample_weight is None and mask is None:
            loss = self.fused(y_true, y_pred)
            if loss is not None:
                return loss
        values = self.call(y_true, y_pred)
        own_mask = self.valid(y_true, values)
        if own_mask is not None and mask is not None:
            own_mask = weights_like(mask, values, self.name, "mask").bool() & own_mask
        mask = mask if own_mask is None else own_mask
        return reduce_values(values, sample_weight, mask, self.reduction, self.name)

    def per_sample(self, y_true: Any, y_pred: Any) -> tuple[Tensor, Tensor | None]:
        """The values before weights and reduction, and where they count (`None`: everywhere)."""
        y_true, y_pred = self._converted(y_true, y_pred)
        values = self.call(y_true, y_pred)
        return values, self.valid(y_true, values)

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """Compute one value per sample; the part that a subclass writes.

        Returns:
            A tensor of shape `(batch, ...)`.
        """
        raise NotImplementedError(
            f"{type(self).__name__}: a loss must implement call(y_true, y_pred)."
        )

    def fused(self, y_true: Tensor, y_pred: Tensor) -> Tensor | None:
        """The reduced loss without weights from a single kernel, or `None` where there is none."""
        return None

    def valid(self, y_true: Any, values: Tensor) -> Tensor | None:
        """Where a value counts, shaped as `values`, if the loss itself leaves some out."""
        return None

    def _converted(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        y_pred = _map_tensors(self._wide, y_pred)
        return _map_tensors(lambda y: as_tensor(y, _device(y_pred)), y_true), y_pred

    def _wide(self, y_pred: Any) -> Tensor:
        y_pred = as_prediction(y_pred)
        dtype = self._dtype or (torch.float32 if y_pred.dtype.itemsize < 4 else y_pred.dtype)
        if y_pred.dtype is dtype:
            return y_pred
        wide: Any = y_pred.to(dtype)
        if (logits := getattr(y_pred, "_logits", None)) is not None:
            wide._logits = logits.to(dtype)
        return wide

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments that make this loss again."""
        settings = {"name": self.name, "reduction": self.reduction}
        if self._dtype is not None:
            settings["dtype"] = self.dtype
        return settings | {option: getattr(self, option) for option in self.options}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Make a loss from what `get_config` returned."""
        return cls(**registry.deserialize(dict(config)))

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({settings})"


def _map_tensors(convert: Callable[[Any], Tensor], value: Any) -> Any:
    """Convert an array, or each array of a dict, tuple or list that holds arrays."""
    if isinstance(value, Mapping):
        return {key: _map_tensors(convert, item) for key, item in value.items()}
    if isinstance(value, (list, tuple)) and any(_is_array(item) for item in value):
        return type(value)(_map_tensors(convert, item) for item in value)
    return convert(value)


def _is_array(item: Any) -> bool:
    # NumPy's single numbers have a shape too; a list of them is one array.
    return hasattr(item, "shape") and not isinstance(item, np.generic)


def _device(value: Any) -> torch.device | None:
    while not isinstance(value, Tensor):
        items = list(value.values() if isinstance(value, Mapping) else value)
        if not items:
            return None
        value = items[0]
    return value.device


class ElementwiseLoss(Loss):
    """A loss that compares equal shapes element by element and averages over the last axis.

    Rank-1 targets and predictions are rows of one element each, so that weights and reductions see
    rows.
    """

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """Align the shapes, then average the elements' losses over the last axis."""
        y_true, y_pred = aligned(y_true, y_pred, self.name)
        if y_pred.ndim == 1:
            y_true, y_pred = y_true.unsqueeze(-1), y_pred.unsqueeze(-1)
        return self.elements(y_true, y_pred).mean(-1)

    def elements(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of each element, of the shape of both."""
        raise NotImplementedError

    def fits(self, y_true: Tensor, y_pred: Tensor) -> bool:
        """Whether a kernel that averages over everything gives the same number."""
        return (
            self._torch_reduction == "mean"
            and y_true.dtype is y_pred.dtype
            and y_true.shape == y_pred.shape
            and y_pred.numel() > 0
        )


class LossFunctionWrapper(Loss):
    """A loss from a function of yours: `fn(y_true, y_pred, **kwargs)`, one value per sample.

    Args:
        fn: The function, with arguments in Keras's order.
        reduction: As for every loss.
        name: Defaults to the function's name.
        dtype: As for every loss.
        kwargs: Passed to the function at each call.

    Example:
        >>> loss = LossFunctionWrapper(lambda y_true, y_pred: (y_true - y_pred).abs().mean(-1))
        >>> float(loss(torch.zeros(2, 1), torch.ones(2, 1)))
        1.0
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            name or getattr(fn, "__name__", None) or type(fn).__name__, reduction, dtype
        )
        self.fn = fn
        self.kwargs = kwargs

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """Call the function, with ranks aligned by Keras's rule."""
        if isinstance(y_true, Tensor) and isinstance(y_pred, Tensor):
            y_true, y_pred = same_rank(y_true, y_pred)
        return as_tensor(self.fn(y_true, y_pred, **self.kwargs))

    def get_config(self) -> dict[str, Any]:
        """The function and its arguments, beside what every loss has."""
        return super().get_config() | {"fn": self.fn} | self.kwargs
