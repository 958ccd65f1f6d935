"""LSUV leaves every layer's outputs with variance 1 ± 0.02, on any network."""

import pytest
import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

import kerasish
from kerasish import layers
from kerasish.initializers import lsuv_


def deep_mlp():
    parts = [part for _ in range(12) for part in (nn.Linear(32, 32), nn.Tanh())]
    return nn.Sequential(nn.Linear(10, 32), *parts, nn.Linear(32, 3)), torch.randn(300, 10) * 3


def torch_convolutions():
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=2, bias=False),
        nn.Dropout(0.5),
        nn.ConvTranspose2d(8, 4, 2),
        nn.Flatten(),
        nn.Linear(4 * 5 * 5, 6),
    )
    return net, torch.rand(64, 3, 8, 8)


def functional_model():
    x = inputs = layers.Input((3, 8, 8))
    for _ in range(3):
        x = layers.Residual(
            [
                layers.Conv2D(6, 3, padding="same", activation="relu"),
                layers.Conv2D(6, 3, padding="same"),
            ],
            "conv",
        )(x)
    x = layers.Dense(5, activation="relu")(layers.Flatten()(x))
    return kerasish.Model(inputs, layers.Dense(2)(x)), torch.randn(64, 3, 8, 8)


def unbuilt_model():
    return kerasish.Sequential([layers.Dense(9, activation="relu"), layers.Dense(4)]), torch.randn(
        50, 7
    )


def variances(model, batch):
    """Of all outputs of linear and convolutional modules, by hooks of their own."""
    found = []
    for module in model.modules():
        if isinstance(module, (nn.Linear, _ConvNd)):
            module.register_forward_hook(lambda m, args, y: found.append(float(y.var())))
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train()
    with torch.no_grad():
        model(batch)
    return found


@pytest.mark.parametrize(
    "make",
    [deep_mlp, torch_convolutions, functional_model, unbuilt_model],
    ids=lambda f: f.__name__,
)
def test_every_layer_has_unit_variance(make):
    model, batch = make()

    told = lsuv_(model, batch)

    found = variances(model, batch)
    assert len(found) == len(told) > 1
    assert all(abs(variance - 1) < 0.021 for variance in found)
    assert all(abs(variance - 1) <= 0.02 for variance in told.values())


def test_weights_are_orthogonal_and_biases_zero():
    model, batch = deep_mlp()

    lsuv_(model, batch)

    for layer in model:
        if isinstance(layer, nn.Linear):
            product = layer.weight @ layer.weight.T
            small = layer.weight.T @ layer.weight if len(product) > layer.in_features else product
            scale = small.diagonal().mean()
            torch.testing.assert_close(small / scale, torch.eye(len(small)), atol=1e-5, rtol=0)
            assert not layer.bias.any()


def test_modes_buffers_and_gradients_are_left_alone():
    model, batch = torch_convolutions()
    model.train()
    model[4].eval()
    before = {name: value.clone() for name, value in model.named_buffers()}

    lsuv_(model, batch)

    assert [module.training for module in model].count(False) == 1
    assert all(value.equal(before[name]) for name, value in model.named_buffers())
    assert all(weight.requires_grad and weight.grad is None for weight in model.parameters())
    assert not any(module._forward_hooks for module in model)


def test_frozen_layers_keep_their_weights():
    model = kerasish.Sequential([layers.Input((4,)), layers.Dense(8), layers.Dense(3)])
    model.layers[0].trainable = False
    before = model.get_weights()[0]

    told = lsuv_(model, torch.randn(40, 4))

    assert len(told) == 1
    assert (model.get_weights()[0] == before).all()


def test_a_layer_used_twice_keeps_the_scale_of_its_first_use():
    shared = nn.Linear(6, 6)
    model = nn.Sequential(shared, nn.ReLU(), shared)

    assert list(lsuv_(model, torch.randn(100, 6))) == ["0"]


def test_several_inputs_are_spread_and_half_types_work():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4, dtype=torch.bfloat16)

        def forward(self, a, b):
            return self.linear(a + b)

    inputs = torch.randn(2, 200, 4, dtype=torch.bfloat16).unbind()

    assert abs(lsuv_(Two(), inputs)["linear"] - 1) <= 0.02


def test_what_cannot_be_initialised_is_said():
    with pytest.raises(ValueError, match="nothing to initialise"):
        lsuv_(nn.ReLU(), torch.randn(3, 3))
    with pytest.raises(ValueError, match=r"outputs of '0' have variance 0\.0"):
        lsuv_(nn.Sequential(nn.Linear(3, 3)), torch.zeros(5, 3))


def test_a_model_that_stays_random_is_warned_about():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, x):
            return self.linear(x * torch.rand(()) * 9)

    with pytest.warns(UserWarning, match="after 2 passes some variances"):
        lsuv_(Noisy(), torch.randn(50, 3), tolerance=1e-6, max_iterations=2)
