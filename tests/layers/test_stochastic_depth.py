"""Random paths: what is drawn, what stays, and what the gradients are."""

import pytest
import torch
from torch.testing import assert_close

from kerasish import layers
from tests.layers.harness import check_layer


def test_stochastic_depth_drops_whole_samples_and_scales_the_rest():
    x = torch.rand(200, 3, 2, 2) + 1
    layer = layers.StochasticDepth(0.25)

    y = layer(x, training=True)

    dropped = (y == 0).flatten(1).all(dim=1)
    assert 25 < dropped.sum() < 80
    assert_close(y[~dropped], x[~dropped] / 0.75)
    assert_close(layer(x, training=False), x)


def test_stochastic_depth_of_a_batch_keeps_or_drops_all():
    layer = layers.StochasticDepth(0.5, mode="batch")
    x = torch.ones(4, 3)

    seen = {float(layer(x, training=True).unique()) for _ in range(40)}

    assert seen == {0.0, 2.0}


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_stochastic_depth_at_the_ends(rate):
    x = torch.randn(4, 3)
    assert_close(layers.StochasticDepth(rate)(x, training=True), x * (1 - rate))


def test_layers_owe():
    check_layer(layers.StochasticDepth(0.5), torch.randn(2, 3), (2, 3))
    check_layer(layers.ShakeShake(), [torch.randn(2, 3), torch.randn(2, 3)], (2, 3))


@pytest.mark.parametrize(("mode", "draws"), [("sample", 64), ("batch", 1)])
def test_shake_shake_mixes_by_other_numbers_backward_than_forward(mode, draws):
    a = torch.ones(64, 2, 3, requires_grad=True)
    b = torch.zeros(64, 2, 3, requires_grad=True)
    layer = layers.ShakeShake(mode)

    y = layer([a, b], training=True)
    y.sum().backward()

    alpha, beta = y.detach(), a.grad
    for numbers in (alpha, beta):
        assert ((numbers >= 0) & (numbers <= 1)).all()
        assert (numbers == numbers[:, :1, :1]).all()  # one number for a whole sample
        assert len(numbers[:, 0, 0].unique()) == draws
    assert_close(b.grad, 1 - beta)
    assert not torch.allclose(alpha, beta)


def test_shake_shake_is_the_mean_at_test():
    a = torch.randn(4, 3, requires_grad=True)
    b = torch.randn(4, 3, requires_grad=True)

    y = layers.ShakeShake()([a, b], training=False)
    y.sum().backward()

    assert_close(y, (a + b) / 2)
    assert_close(a.grad, torch.full((4, 3), 0.5))


def test_shake_shake_block_learns():
    branches = [
        [layers.Dense(8, activation="relu"), layers.Dense(4)],
        [layers.Dense(8, activation="relu"), layers.Dense(4)],
    ]
    layer = layers.Residual(layers.Branches(branches, layers.ShakeShake()))
    x = torch.randn(64, 4)
    target = x.roll(1, dims=1)
    layer(x)
    optimizer = torch.optim.Adam(layer.parameters(), 0.02)
    first = ((layer(x, training=False) - target) ** 2).mean()

    for _ in range(100):
        loss = ((layer(x, training=True) - target) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    assert ((layer(x, training=False) - target) ** 2).mean() < 0.3 * first


def test_bad_calls_are_refused():
    with pytest.raises(ValueError, match="exactly two inputs of one shape"):
        layers.ShakeShake()([torch.zeros(2, 3)] * 3)
    with pytest.raises(ValueError, match="`mode` must be one of 'sample', 'batch'"):
        layers.ShakeShake("row")
    with pytest.raises(ValueError, match="`rate` must be a number from 0 to 1, got 2"):
        layers.StochasticDepth(2)
