"""Shapes told without data, and kernels that are passed by for it."""

import pytest
import torch
from torch import nn

from kerasish import Input, layers
from kerasish.graph.abstract import run_without_data


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_batch_normalisation_without_data_is_not_worked_out(is_training, dtype, monkeypatch):
    norm = nn.BatchNorm2d(3).train(is_training)
    x = torch.empty(4, 3, 5, 6, device="meta", dtype=dtype)
    expected = torch.batch_norm(x, *[None] * 4, True, 0.1, 1e-5, False)
    monkeypatch.setattr(torch, "batch_norm", None)

    y = run_without_data(norm, (x,), {})

    assert y.is_meta
    assert (y.shape, y.dtype, y.stride()) == (expected.shape, expected.dtype, expected.stride())
    assert norm.num_batches_tracked == 0
    assert torch.batch_norm is None  # what was there is there again


def test_batch_normalisation_of_other_channels_is_refused_when_it_is_recorded():
    x = Input((4, 5, 5))

    with pytest.raises(RuntimeError, match="4"):
        layers.TorchModuleWrapper(nn.BatchNorm2d(3))(x)


def test_numbers_pass_through_the_short_ways():
    x = torch.randn(4, 3, 2)

    y = run_without_data(lambda _: nn.BatchNorm1d(3)(x), (torch.empty(1),), {})

    torch.testing.assert_close(y, nn.BatchNorm1d(3)(x))
