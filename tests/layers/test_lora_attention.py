"""LoRA in the projections of attention layers."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

import kerasish
from kerasish import Input, Model, layers
from kerasish.models import clone_model
from tests.layers.parity import randomize

MAKERS = {
    "heads": lambda **options: layers.MultiHeadAttention(2, 3, value_dim=4, **options),
    "gate": lambda **options: layers.MultiHeadAttention(2, 3, use_gate=True, **options),
    "no bias": lambda **options: layers.MultiHeadAttention(2, 3, use_bias=False, **options),
    "groups": lambda **options: layers.GroupQueryAttention(3, 4, 2, **options),
}
each = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def adapted(make, **options):
    layer = make(name="attend", **options)
    layer(torch.ones(2, 5, 6), torch.ones(2, 4, 7))
    layer.enable_lora(2, 3.0)
    randomize(layer)
    return layer


@each
def test_each_projection_computes_with_the_sum(make):
    layer, plain = adapted(make), make()
    query, value = torch.randn(2, 5, 6), torch.randn(2, 4, 7)
    plain(query, value)
    numbers = {weight.name: weight.read().numpy() for weight in layer.keras_weights()}
    for name in [name for name in numbers if name.endswith("/kernel")]:
        prefix = name.removesuffix("kernel")
        a, b = numbers.pop(f"{prefix}lora_kernel_a"), numbers.pop(f"{prefix}lora_kernel_b")
        numbers[name] = numbers[name] + (1.5 * a @ b).reshape(numbers[name].shape)

    plain.set_weights([numbers[weight.name] for weight in plain.keras_weights()])

    assert_close(layer(query, value), plain(query, value))


@each
def test_kernels_rest_and_the_matrices_learn(make):
    layer = adapted(make)

    layer(torch.randn(2, 5, 6), torch.randn(2, 4, 7)).square().sum().backward()

    for name, parameter in layer.named_parameters():
        assert (parameter.grad is None) == name.endswith(".weight"), name
    layer.trainable = False
    layer.trainable = True
    assert not layer.query.weight.requires_grad
    assert layer.query.lora_kernel_a.requires_grad


def test_nothing_changes_when_it_is_enabled_or_switched_off():
    query, value = torch.randn(2, 5, 6), torch.randn(2, 4, 7)
    layer = MAKERS["heads"]()
    before = layer(query, value)

    layer.enable_lora(2)
    assert_close(layer(query, value), before)

    randomize_matrices(layer)
    assert not torch.allclose(layer(query, value), before)
    layer.lora_alpha = 0
    assert_close(layer(query, value), before)


def randomize_matrices(layer):
    with torch.no_grad():
        for weight in layer.lora_weights():
            weight.tensor.normal_()


def network(**options):
    x = Input((5, 6))
    y = layers.MultiHeadAttention(2, 3, name="attend", **options)(x, x)
    return Model(x, layers.Dense(1, name="head")(layers.Flatten()(y)))


def test_fit_files_clones_and_twins_know_it(tmp_path):
    model = network(lora_rank=2, lora_alpha=4)
    x, y = np.random.default_rng(0).normal(size=(8, 5, 6)).astype("float32"), np.ones((8, 1))
    kernel = model.get_layer("attend").query.weight.clone()
    model.compile("adam", "mse")
    model.fit(x, y, epochs=2, verbose=0)
    expected = model.predict(x, verbose=0)

    model.save(tmp_path / "model.keras")
    loaded = kerasish.models.load_model(tmp_path / "model.keras")
    copy = clone_model(model)
    copy.set_weights(model.get_weights())
    twin = model.to_torch()

    assert torch.equal(model.get_layer("attend").query.weight, kernel)
    assert model.get_layer("attend").lora_weights()[1].tensor.any()
    for other in (loaded, copy):
        assert other.get_layer("attend").lora_alpha == 4
        assert_close(other.predict(x, verbose=0), expected)
    assert_close(twin(torch.as_tensor(x)).detach().numpy(), expected, atol=1e-5, rtol=1e-5)
    assert {type(m) for m in twin.modules() if isinstance(m, nn.Linear)} == {nn.Linear}


def test_weights_from_before_load_into_it(tmp_path):
    plain, model = network(), network(lora_rank=2)
    randomize_matrices(model.get_layer("attend"))
    plain.save_weights(tmp_path / "plain.weights.h5")

    model.load_weights(tmp_path / "plain.weights.h5")

    x = torch.randn(3, 5, 6)
    assert_close(model(x), plain(x))


def test_a_constraint_on_the_kernels_is_refused_and_changes_nothing():
    layer = MAKERS["heads"](kernel_constraint="non_neg")
    layer(torch.ones(2, 5, 6), torch.ones(2, 4, 7))

    with pytest.raises(ValueError, match="query/kernel has a constraint"):
        layer.enable_lora(2)

    assert type(layer.query) is nn.Linear
    assert layer.query.weight.requires_grad
