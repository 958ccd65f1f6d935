"""Losses of whole sequences (CTC) and of the distances within a batch (circle loss)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from kerasish.losses.base import Loss
from kerasish.losses.shapes import as_prediction, as_tensor, mismatch


def ctc(y_true: Any, y_pred: Any) -> Tensor:
    """Minus the log-probability of a label sequence, summed over all its alignments with the input.

    Class 0 is the blank, and pads the end of shorter label sequences.

    Shapes:
        y_true: `(batch, label_length)`, class indices
        y_pred: `(batch, time, classes)`, logits
        output: `(batch,)`

    Raises:
        ValueError: If a rank is wrong or the batch sizes differ.
    """
    y_pred = as_prediction(y_pred)
    y_true = as_tensor(y_true, y_pred.device).long()
    if y_true.ndim != 2 or y_pred.ndim != 3 or len(y_true) != len(y_pred):
        rule = "must be (batch, label_length) and (batch, time, classes)"
        raise ValueError(mismatch("ctc", y_true, y_pred, rule))
    steps = torch.full((len(y_pred),), y_pred.shape[1], dtype=torch.long, device=y_pred.device)
    lengths = (y_true != 0).sum(-1)
    log_p = y_pred.float().log_softmax(-1).transpose(0, 1)  # (time, batch, classes)
    return F.ctc_loss(log_p, y_true, steps, lengths, blank=0, reduction="none")


def circle(
    y_true: Any,
    y_pred: Any,
    ref_labels: Any = None,
    ref_embeddings: Any = None,
    remove_diagonal: bool = True,
    gamma: float = 80.0,
    margin: float = 0.4,
) -> Tensor:
    """Circle loss: pulls embeddings of one class together and pushes those of others away.

    Shapes:
        y_true: `(batch,)` or `(batch, 1)`, class indices
        y_pred: `(batch, d)`, embeddings of length 1
        ref_labels, ref_embeddings: `(refs,)` and `(refs, d)`; the batch itself by default
        output: `(batch,)`

    Args:
        y_true: Classes of the batch.
        y_pred: Embeddings of the batch.
        ref_labels: Classes of what the batch is compared with.
        ref_embeddings: Embeddings of what the batch is compared with.
        remove_diagonal: Whether the i-th row is not compared with the i-th reference.
        gamma: Scale of the similarities.
        margin: How much slack each similarity has.
    """
    y_pred = as_prediction(y_pred)
    y_true = as_tensor(y_true, y_pred.device).reshape(-1)
    if y_pred.ndim != 2 or len(y_true) != len(y_pred):
        rule = "must be (batch,) class indices and (batch, d) embeddings"
        raise ValueError(mismatch("circle", y_true, y_pred, rule))
    others = y_pred if ref_embeddings is None else as_tensor(ref_embeddings).to(y_pred)
    classes = y_true if ref_labels is None else as_tensor(ref_labels, y_pred.device).reshape(-1)

    distance = (1.0 - y_pred @ others.T).clamp(min=0.0)  # (batch, refs)
    same = y_true.unsqueeze(1) == classes
    different = ~same
    if remove_diagonal:
        same = same & ~torch.eye(*same.shape, dtype=torch.bool, device=same.device)
    pull = -gamma * (margin + distance) * (margin - distance)
    push = gamma * (1.0 + margin - distance).clamp(min=0.0) * (1.0 - margin - distance)
    # Finite, because logsumexp over nothing but -inf has a NaN gradient.
    nothing = torch.finfo(distance.dtype).min / 4
    return F.softplus(
        pull.masked_fill(~same, nothing).logsumexp(1)
        + push.masked_fill(~different, nothing).logsumexp(1)
    )


class CTC(Loss):
    """Connectionist temporal classification: labels without known positions in the input.

    Shapes:
        y_true: `(batch, label_length)`, class indices; 0 is the blank and pads shorter rows
        y_pred: `(batch, time, classes)`, logits
        output: `()`

    Args:
        reduction: As for every loss.
        name: As for every loss.
        dtype: As for every loss.

    Raises:
        ValueError: If a rank is wrong or the batch sizes differ.
    """

    target_dtype = "int64"

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "ctc",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """CTC loss of each sequence."""
        return ctc(y_true, y_pred)


class Circle(Loss):
    """Circle loss over the pairs of a batch; rows without loss do not count in the mean.

    Shapes:
        y_true: `(batch,)` or `(batch, 1)`, class indices
        y_pred: `(batch, d)`, embeddings of length 1
        output: `()`

    Args:
        gamma: Scale of the similarities.
        margin: How much slack each similarity has.
        remove_diagonal: Whether a row is not compared with itself.
        reduction: As for every loss.
        name: As for every loss.
        dtype: As for every loss.
    """

    target_dtype = "int64"
    options = ("gamma", "margin", "remove_diagonal")

    def __init__(
        self,
        gamma: float = 80.0,
        margin: float = 0.4,
        remove_diagonal: bool = True,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "circle",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.gamma = gamma
        self.margin = margin
        self.remove_diagonal = remove_diagonal

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """Circle loss of each row."""
        options = {option: getattr(self, option) for option in self.options}
        return circle(y_true, y_pred, **options)

    def valid(self, y_true: Any, values: Tensor) -> Tensor | None:
        """Rows whose loss is not zero."""
        return values.detach() > 0
