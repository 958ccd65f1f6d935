"""torch's own losses, called as kerasish's are: targets first, weights per sample."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from kerasish.losses.base import Loss, reduce_values, snake_case
from kerasish.losses.shapes import as_prediction, as_tensor, mismatch, same_rank

_INDEX_TARGETS = (
    "CrossEntropyLoss",
    "NLLLoss",
    "MultiMarginLoss",
    "MultiLabelMarginLoss",
    "CTCLoss",
)
_INDEX_FUNCTIONS = ("cross_entropy", "nll_loss", "multi_margin_loss", "multilabel_margin_loss")
_FROM_LOGITS = (
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "MultiLabelSoftMarginLoss",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "multilabel_soft_margin_loss",
)
_ELEMENTWISE = (
    "BCELoss",
    "BCEWithLogitsLoss",
    "GaussianNLLLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "PoissonNLLLoss",
    "SmoothL1Loss",
    "SoftMarginLoss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
)


def is_torch_loss(identifier: Any) -> bool:
    """Whether an object is a torch loss: a module or a function of `torch.nn.functional`."""
    if isinstance(identifier, nn.Module):
        return True
    function = identifier.func if isinstance(identifier, functools.partial) else identifier
    module = getattr(function, "__module__", None) or ""
    # Built-in functions (binary_cross_entropy_with_logits among them) carry various module names.
    return module.startswith("torch.nn.functional") or (
        inspect.isbuiltin(function) and module.startswith("torch")
    )


class TorchLoss(Loss):
    """A torch loss, such as `torch.nn.CrossEntropyLoss(label_smoothing=0.1)` or `F.l1_loss`.

    The predictions are its first argument and the targets its second, as torch has it. Without
    sample weights its result is taken as it is. With them it is asked for one value per element,
    and the weights do not change the divisor, as for every loss.

    Args:
        loss: A module called as `loss(input, target)`, or a function (or a partial of one).
        name: Defaults to the class's or function's name in snake case.

    Raises:
        ValueError: If sample weights or a mask are given and the loss has no `reduction` to turn
            off, or if the shapes would broadcast.

    Example:
        >>> float(TorchLoss(nn.L1Loss())(torch.zeros(2, 1), torch.ones(2, 1)))
        1.0
    """

    def __init__(self, loss: Callable[..., Tensor], name: str | None = None) -> None:
        function = loss.func if isinstance(loss, functools.partial) else loss
        kind = (
            type(loss).__name__
            if isinstance(loss, nn.Module)
            else getattr(function, "__name__", type(function).__name__)
        )
        super().__init__(name or snake_case(kind), _own_reduction(loss))
        self.loss = loss
        self._kind = kind
        self._has_tensors = isinstance(loss, nn.Module) and any(
            True for _ in (*loss.parameters(), *loss.buffers())
        )
        if kind in _INDEX_TARGETS or kind in _INDEX_FUNCTIONS:
            self.target_dtype = "int64"
            self.ignore_class = self._setting("ignore_index", -100)
        self.from_logits = kind in _FROM_LOGITS

    def __call__(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Any = None
    ) -> Tensor:
        """Call torch's loss; arguments and result as for every loss."""
        y_true, y_pred = self._fitted(y_true, y_pred)
        if sample_weight is None and mask is None:
            return self.loss(y_pred, y_true)
        with self._per_element() as per_element:
            values = per_element(y_pred, y_true)
        counts = self._counts(y_true, values)
        if counts is not None and self.reduction == "mean":
            total = reduce_values(values, sample_weight, mask, "sum", self.name)
            return total / reduce_values(counts, None, mask, "sum", self.name)
        return reduce_values(values, sample_weight, mask, self.reduction, self.name)

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """One value per element, whatever the loss's own reduction."""
        y_true, y_pred = self._fitted(y_true, y_pred)
        with self._per_element() as per_element:
            return per_element(y_pred, y_true)

    def _fitted(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        y_pred = as_prediction(y_pred) if not isinstance(y_pred, (tuple, list, dict)) else y_pred
        if not isinstance(y_pred, Tensor):
            return y_true, y_pred
        if self._has_tensors:
            self._follow(y_pred.device)
        y_true = as_tensor(y_true, y_pred.device)
        if self.target_dtype == "int64":
            if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1 != y_pred.shape[-1]:
                y_true = y_true.squeeze(-1)
            # Same rank means class probabilities, which stay floating-point.
            return (y_true.long() if y_true.ndim < y_pred.ndim else y_true), y_pred
        if self._kind in _ELEMENTWISE:
            y_true = y_true.to(y_pred)
            if y_true.shape != y_pred.shape:
                y_true, y_pred = same_rank(y_true, y_pred)
                if y_true.shape != y_pred.shape:
                    rule = "must have the same shape"
                    raise ValueError(mismatch(self.name, y_true, y_pred, rule))
        return y_true, y_pred

    def _follow(self, device: torch.device) -> None:
        # Class weights inside a loss are given on the CPU and needed where the predictions are.
        assert isinstance(self.loss, nn.Module)
        self.loss.to(device)

    @contextmanager
    def _per_element(self) -> Iterator[Callable[..., Tensor]]:
        if not isinstance(self.loss, nn.Module):
            self._require_reduction("reduction" in _parameters(self.loss))
            yield functools.partial(self.loss, reduction="none")
            return
        self._require_reduction(hasattr(self.loss, "reduction"))
        before = self.loss.reduction
        self.loss.__dict__["reduction"] = "none"
        try:
            yield self.loss
        finally:
            self.loss.__dict__["reduction"] = before

    def _require_reduction(self, there: bool) -> None:
        if not there:
            raise ValueError(
                f"{self.name}: sample weights and masks need one loss value per sample, but this "
                "loss has no `reduction` argument. Give it one, or write a kerasish.losses.Loss."
            )

    def _setting(self, name: str, default: Any) -> Any:
        """What the module, or the partial's keywords, say about an argument of torch's loss."""
        keywords = self.loss.keywords if isinstance(self.loss, functools.partial) else {}
        return keywords.get(name, getattr(self.loss, name, default))

    def _counts(self, y_true: Any, values: Tensor) -> Tensor | None:
        """What each value adds to the divisor of torch's mean, where that is not 1."""
        weight = self._setting("weight", None)
        if (
            self.target_dtype != "int64"
            or y_true.is_floating_point()
            or y_true.shape != values.shape
        ):
            return None
        valid = y_true != self.ignore_class
        per_class = torch.ones_like(values) if weight is None else weight[y_true.where(valid, 0)]
        return per_class * valid

    def get_config(self) -> dict[str, Any]:
        """The torch loss itself and the name."""
        return {"loss": self.loss, "name": self.name}


def _parameters(function: Any) -> set[str]:
    if isinstance(function, functools.partial):
        return _parameters(function.func)
    try:
        return set(inspect.signature(function).parameters)
    except (
        ValueError
    ):  # built-in functions of torch tell nothing; the losses among them take a reduction
        return {"reduction"}


def _own_reduction(loss: Any) -> str:
    keywords = loss.keywords if isinstance(loss, functools.partial) else {}
    return {"sum": "sum", "none": "none"}.get(
        keywords.get("reduction", getattr(loss, "reduction", "mean")), "mean"
    )
