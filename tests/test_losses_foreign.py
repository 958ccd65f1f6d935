"""torch's own losses as kerasish losses: argument order, weights, targets, saving."""

from __future__ import annotations

import functools

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from kerasish import losses

LOGITS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
CLASSES = torch.tensor([0, 1, 2, 3, 1, 0])
BITS = (LOGITS > 0).float()


@pytest.mark.parametrize(
    ("loss", "y_true", "expected"),
    [
        (nn.CrossEntropyLoss(), CLASSES, F.cross_entropy(LOGITS, CLASSES)),
        (nn.CrossEntropyLoss(), CLASSES[:, None], F.cross_entropy(LOGITS, CLASSES)),
        (nn.CrossEntropyLoss(), CLASSES.float(), F.cross_entropy(LOGITS, CLASSES)),
        (nn.CrossEntropyLoss(), BITS, F.cross_entropy(LOGITS, BITS)),
        (nn.KLDivLoss(reduction="batchmean"), BITS, F.kl_div(LOGITS, BITS, reduction="batchmean")),
        (nn.BCEWithLogitsLoss, BITS.long(), F.binary_cross_entropy_with_logits(LOGITS, BITS)),
        (F.l1_loss, BITS, F.l1_loss(LOGITS, BITS)),
        (
            F.binary_cross_entropy_with_logits,
            BITS,
            F.binary_cross_entropy_with_logits(LOGITS, BITS),
        ),
        (
            functools.partial(F.cross_entropy, label_smoothing=0.2),
            CLASSES,
            F.cross_entropy(LOGITS, CLASSES, label_smoothing=0.2),
        ),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_predictions_are_the_first_argument(loss, y_true, expected):
    found = losses.get(loss)

    assert isinstance(found, losses.TorchLoss)
    assert_close(found(y_true, LOGITS), expected)
    assert_close(found(y_true, LOGITS, sample_weight=None), expected)


WEIGHTED = {
    "cross_entropy": nn.CrossEntropyLoss(),
    "class weights": nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0, 4.0])),
    "ignored": nn.CrossEntropyLoss(ignore_index=1),
    "sum": nn.CrossEntropyLoss(reduction="sum"),
    "partial": functools.partial(F.cross_entropy, weight=torch.tensor([1.0, 2.0, 3.0, 4.0])),
    "nll": nn.NLLLoss(),
}


@pytest.mark.parametrize("case", WEIGHTED)
def test_weights_of_one_change_nothing(case):
    loss = losses.get(WEIGHTED[case])
    assert_close(loss(CLASSES, LOGITS, torch.ones(6)), loss(CLASSES, LOGITS))


def test_weights_scale_the_samples_and_the_reduction_comes_back():
    module = nn.MSELoss()
    weights = torch.tensor([1.0, 0.0, 2.0, 0.0, 0.0, 0.0])

    loss = losses.get(module)(BITS, LOGITS, sample_weight=weights)

    expected = ((BITS - LOGITS) ** 2 * weights[:, None]).sum() / BITS.numel()
    assert_close(loss, expected)
    assert module.reduction == "mean"


def test_masks_leave_samples_out():
    mask = torch.tensor([True, False, True, True, False, True])
    loss = losses.get(nn.CrossEntropyLoss())(CLASSES, LOGITS, mask=mask)
    assert_close(loss, F.cross_entropy(LOGITS[mask], CLASSES[mask]))


def test_losses_without_a_reduction_refuse_weights():
    class Own(nn.Module):
        def forward(self, y_pred, y_true):
            return (y_pred - y_true).abs().mean()

    loss = losses.get(Own())

    assert_close(loss(BITS, LOGITS), (LOGITS - BITS).abs().mean())
    with pytest.raises(ValueError, match="own: sample weights and masks need"):
        loss(BITS, LOGITS, sample_weight=torch.ones(6))


def test_columns_are_aligned_and_broadcasts_refused():
    loss = losses.get(nn.MSELoss())
    flat, column = torch.rand(5), torch.rand(5, 1)
    assert_close(loss(flat, column), F.mse_loss(column[:, 0], flat))
    with pytest.raises(ValueError, match=r"mse_loss: y_true and y_pred .*\(5,\).*\(5, 3\)"):
        loss(flat, torch.rand(5, 3))


def test_targets_of_class_losses_are_indices():
    assert losses.get(nn.CrossEntropyLoss()).target_dtype == "int64"
    assert losses.get(F.nll_loss).target_dtype == "int64"
    assert losses.get(nn.MSELoss()).target_dtype is None
    assert losses.get(nn.CrossEntropyLoss(ignore_index=7)).ignore_class == 7
    assert losses.get(nn.BCEWithLogitsLoss()).from_logits
    assert not losses.get(nn.BCELoss()).from_logits


def test_registered_parts_survive_saving_and_others_say_why_not():
    again = losses.deserialize(losses.serialize(losses.get(F.l1_loss)))
    assert_close(again(BITS, LOGITS), F.l1_loss(LOGITS, BITS))
    stock = losses.deserialize(losses.serialize(nn.MSELoss(reduction="sum")))
    assert_close(stock(BITS, LOGITS), F.mse_loss(LOGITS, BITS, reduction="sum"))

    class Own(nn.MSELoss):
        pass

    with pytest.raises(TypeError, match="Own"):
        losses.serialize(Own())
