"""`stateless_call`: a layer as a function of its weights."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from kerasish import Input, Sequential, layers


def network():
    stack = [Input((3,)), layers.Dense(4, "tanh"), layers.BatchNormalization(), layers.Dense(2)]
    return Sequential(stack)


def test_given_weights_take_the_places_of_the_own():
    layer = layers.Dense(2)
    x, weight, bias = torch.randn(5, 3), torch.randn(2, 3), torch.randn(2)
    layer(x)
    before = layer.get_weights()

    outputs, after = layer.stateless_call([weight, bias], [], x)

    assert_close(outputs, F.linear(x, weight, bias))
    assert after == []
    for a, b in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_statistics_come_back_changed_and_stay_as_they_were_inside():
    model, twin, x = network(), network(), torch.randn(6, 3)
    twin.set_weights(model.get_weights())
    given = model.non_trainable_variables
    kept = [tensor.clone() for tensor in given]

    outputs, after = model.stateless_call(model.trainable_variables, given, x, training=True)

    assert_close(outputs, twin(x, training=True))
    assert_close(after, [t.detach() for t in twin.non_trainable_variables], check_dtype=False)
    assert_close(model.non_trainable_variables, kept)
    assert model.layers[1].norm.num_batches_tracked == 0


def test_torchs_function_transforms_take_it():
    model, x, y = network(), torch.randn(6, 3), torch.randn(6, 2)
    weights, others = list(model.trainable_variables), model.non_trainable_variables

    def loss(weights, x, y):
        return F.mse_loss(model.stateless_call(weights, others, x, training=False)[0], y)

    grads = torch.func.grad(loss)([w.detach() for w in weights], x, y)
    each = torch.func.vmap(torch.func.grad(loss), (None, 0, 0))(
        [w.detach() for w in weights], x[:, None], y[:, None]
    )

    wanted = torch.autograd.grad(F.mse_loss(model(x, training=False), y), weights)
    assert_close(grads, list(wanted))
    assert_close([grad.mean(0) for grad in each], list(wanted))


def test_losses_are_those_of_the_given_weights():
    class Noted(layers.Dense):
        def call(self, inputs):
            outputs = super().call(inputs)
            self.add_loss(outputs.sum())
            return outputs

    layer = Noted(1, kernel_regularizer="l2")
    x, weight = torch.ones(2, 3), torch.full((1, 3), 2.0)
    layer(x)

    outputs, _, losses = layer.stateless_call([weight, torch.zeros(1)], [], x, return_losses=True)

    assert_close(outputs, torch.full((2, 1), 6.0))
    assert_close(losses, [torch.tensor(12.0), torch.tensor(0.01 * 3 * 4)])


def test_other_numbers_or_shapes_of_variables_are_refused():
    layer = layers.Dense(2)
    with pytest.raises(ValueError, match="no weights yet"):
        layer.stateless_call([], [], torch.ones(1, 3))
    layer(torch.ones(1, 3))

    with pytest.raises(ValueError, match=r"shapes \[\(2, 3\), \(2,\)\], got \[\(3, 2\), \(2,\)\]"):
        layer.stateless_call([torch.ones(3, 2), torch.ones(2)], [], torch.ones(1, 3))
    with pytest.raises(ValueError, match="non_trainable_variables must have"):
        layer.stateless_call(layer.trainable_variables, [torch.ones(1)], torch.ones(1, 3))


def test_no_loss_of_a_stateless_call_stays_with_the_layer():
    class Penalised(layers.Dense):
        def forward(self, x):
            y = super().forward(x)
            self.add_loss(y.square().mean())
            return y

    layer = Penalised(1)
    layer.build((None, 2))
    values = [v.detach() for v in layer.trainable_variables]

    def loss_of(weights):
        return sum(layer.stateless_call(weights, [], torch.ones(3, 2), return_losses=True)[2])

    gradients = torch.func.grad(loss_of)(values)

    assert gradients[0].shape == (1, 2)
    assert layer.losses == []
