"""DropConnect: which weights fall, when, and what the mean is."""

import pytest
import torch
from torch.testing import assert_close

from kerasish import layers
from tests.layers.harness import check_layer


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: layers.Dense(4, activation="relu"), (3, 5)),
        (lambda: layers.Conv2D(4, 3, padding="same"), (3, 5, 6, 6)),
        (lambda: layers.Residual(layers.Dense(5)), (3, 5)),
    ],
    ids=["dense", "convolution", "residual"],
)
def test_layers_owe(make, shape):
    check_layer(layers.DropConnect(make(), 0.3), torch.randn(shape))


def test_weights_fall_in_training_and_biases_stay():
    dense = layers.Dense(50, kernel_initializer="ones", bias_initializer="ones")
    layer = layers.DropConnect(dense, 0.5)
    x = torch.eye(40)
    layer(x)

    y = layer(x, training=True)

    assert set((y - 1).unique().tolist()) == {0.0, 2.0}  # an eye shows the kernel itself
    assert 0.4 < ((y - 1) == 0).float().mean() < 0.6
    assert (dense.kernel == 1).all()  # the weights themselves are as they were
    assert_close(layer(x, training=False), torch.full((40, 50), 2.0))


def test_the_mean_over_draws_is_the_whole_layer():
    layer = layers.DropConnect(layers.Conv2D(3, 3), 0.4)
    x = torch.randn(2, 4, 5, 5)
    whole = layer(x, training=False)

    with torch.no_grad():
        mean = torch.stack([layer(x, training=True) for _ in range(3000)]).mean(0)

    assert_close(mean, whole, atol=0.08, rtol=0)


def test_dropped_weights_get_no_gradient():
    dense = layers.Dense(30, use_bias=False, kernel_initializer="ones")
    layer = layers.DropConnect(dense, 0.5)
    x = torch.eye(20)
    layer(x)

    y = layer(x, training=True)
    y.sum().backward()

    assert_close(dense.linear.weight.grad.T, y.detach())


def test_a_layer_without_kernel_is_refused():
    with pytest.raises(ValueError, match="has no kernel whose weights could be dropped"):
        layers.DropConnect(layers.Flatten())(torch.zeros(2, 3))
