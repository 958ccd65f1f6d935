"""What `model.weights` lists are torch's own parameters, and take Keras's words."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

import kerasish
from kerasish import layers
from kerasish.variables import State, Weight


def small_model():
    return kerasish.Sequential(
        [layers.Input((3,)), layers.Dense(4, name="first"), layers.BatchNormalization(name="norm")]
    )


def test_weights_are_the_parameters_and_buffers_of_the_torch_modules():
    model = small_model()

    dense, norm = model.get_layer("first").linear, model.get_layer("norm").norm

    theirs = [dense.weight, dense.bias, norm.weight, norm.bias, norm.running_mean, norm.running_var]
    assert [id(w) for w in model.weights] == [id(t) for t in theirs]
    assert all(isinstance(w, nn.Parameter) for w in model.trainable_weights)
    assert not any(isinstance(w, nn.Parameter) for w in model.non_trainable_weights)


def test_weights_have_names_and_paths():
    model = small_model()

    names = ["kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance"]
    assert [w.name for w in model.weights] == names
    assert [w.path for w in model.trainable_weights[:2]] == ["first/kernel", "first/bias"]
    assert [w.path for w in model.get_layer("norm").non_trainable_variables] == [
        "norm/moving_mean",
        "norm/moving_variance",
    ]


def test_gradients_are_found_where_keras_scripts_for_torch_look():
    model = small_model()

    model(torch.randn(5, 3)).square().sum().backward()

    for variable, parameter in zip(model.trainable_weights, model.parameters(), strict=True):
        assert variable.value.grad is parameter.grad is not None


class KeepsAverage(kerasish.Model):
    """A step written as Keras's guide for torch writes it, and a mean of weights as it goes."""

    def __init__(self):
        super().__init__()
        self.net = small_model()
        self.mean = kerasish.models.clone_model(self.net)
        self.mean.set_weights(self.net.get_weights())

    def call(self, x):
        return self.net(x)

    def train_step(self, data):
        x, y = data
        self.zero_grad()
        loss = self.compute_loss(y=y, y_pred=self(x, training=True))
        loss.backward()
        weights = list(self.net.trainable_weights)
        with torch.no_grad():
            self.optimizer.apply([v.value.grad for v in weights], weights)
        for weight, mean in zip(self.net.weights, self.mean.weights, strict=True):
            mean.assign(0.5 * mean + (1 - 0.5) * weight)
        return {"loss": loss}


def test_a_training_step_of_keras_guide_for_torch_runs():
    model = KeepsAverage()
    model.compile(optimizer=kerasish.optimizers.SGD(0.1), loss="mse")
    before = model.net.get_weights()

    model.fit(np.ones((4, 3), "float32"), np.ones((4, 4), "float32"), epochs=1, verbose=0)

    after = model.net.get_weights()
    assert not np.allclose(after[3], before[3])
    for first, last, mean in zip(before, after, model.mean.get_weights(), strict=True):
        np.testing.assert_allclose(mean, (first + last) / 2, rtol=1e-5, atol=1e-6)


def test_assigning_needs_the_shape_in_torchs_layout():
    kernel = small_model().weights[0]

    kernel.assign(np.full((4, 3), 2.0))
    kernel.assign_add(1.0)
    kernel.assign_sub(torch.tensor(0.5))

    assert kernel.numpy().tolist() == [[2.5] * 3] * 4
    with pytest.raises(ValueError, match=r'"kernel" has shape \(4, 3\), got'):
        kernel.assign(np.zeros((3, 4)))


def test_a_weight_freezes_by_its_word():
    kernel = small_model().weights[0]

    kernel.trainable = False

    assert (kernel.trainable, kernel.requires_grad) == (False, False)


def test_copies_and_pickles_hold_torchs_own_classes():
    model = small_model()
    assert {type(w) for w in model.weights} == {Weight, State}
    norm = model.get_layer("norm").norm

    again = pickle.loads(pickle.dumps(nn.ParameterList([norm.weight])))
    stored = io.BytesIO()
    torch.save(norm.weight, stored)
    stored.seek(0)

    assert type(again[0]) is nn.Parameter
    assert type(torch.load(stored, weights_only=True)) is nn.Parameter
    assert type(copy.deepcopy(norm.running_mean)) is torch.Tensor
    assert type(pickle.loads(pickle.dumps(norm.running_mean))) is torch.Tensor
    assert isinstance(copy.deepcopy(norm).weight, nn.Parameter)
    assert {type(value) for value in model.state_dict().values()} == {torch.Tensor}


def test_the_weights_of_a_copy_have_names_too():
    model = small_model()
    paths = [w.path for w in model.weights]

    twin = copy.deepcopy(model)

    assert type(next(twin.parameters())) is nn.Parameter
    assert [w.path for w in twin.weights] == paths


def test_a_model_whose_weights_were_listed_compiles_exports_and_trains_fused():
    model = small_model()
    assert model.weights
    x = torch.randn(2, 3)
    model.eval()
    want = model(x)

    assert_close(torch.compile(model, backend="eager")(x), want)
    assert_close(torch.export.export(model, (x,)).module()(x), want)
    assert_close(torch.func.functional_call(model, dict(model.named_parameters()), (x,)), want)
    model.compile("adam", "mse")
    model.fit(x, torch.zeros(2, 4), verbose=0)
    assert model.optimizer.torch.param_groups[0]["fused"]


def test_a_summary_leaves_the_parameters_as_they_are():
    model = small_model()

    model.summary(print_fn=str)

    assert {type(p) for p in model.parameters()} == {nn.Parameter}


def test_weights_are_listed_under_keras_names_for_completion():
    layer = layers.BatchNormalization()
    assert "gamma" not in dir(layer)

    layer(torch.ones(2, 3))

    assert {"gamma", "beta", "moving_mean", "moving_variance", "norm"} <= set(dir(layer))
    assert all(hasattr(layer, name) for name in dir(layer) if name.startswith("moving"))
