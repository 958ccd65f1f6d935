"""Input, Dense, Embedding, Activation, Lambda, Masking, TorchModule against torch and by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from kerasish import Input, Model, Sequential, layers, models


@pytest.mark.parametrize("shape", [(2, 3), (2, 5, 3)], ids=["matrix", "sequence"])
@pytest.mark.parametrize("use_bias", [True, False])
def test_dense_matches_torch_linear(shape, use_bias):
    x = torch.randn(shape)
    layer = layers.Dense(4, use_bias=use_bias)

    y = layer(x)

    assert_close(y, F.linear(x, layer.linear.weight, layer.linear.bias))
    assert y.shape == (*shape[:-1], 4)
    assert (layer.bias is not None) == use_bias


def test_dense_applies_its_activation():
    layer = layers.Dense(4, activation="relu")
    x = torch.randn(6, 3)
    assert_close(layer(x), F.linear(x, layer.linear.weight, layer.linear.bias).relu())


@pytest.mark.parametrize("units", ["64", 0, -1, 2.5, True, None])
def test_dense_refuses_units_that_are_no_positive_integer(units):
    with pytest.raises(ValueError, match="Dense: `units` must be a positive integer, got"):
        layers.Dense(units)


def test_dense_starts_with_glorot_uniform_kernel_and_zero_bias():
    layer = layers.Dense(50)
    layer(torch.ones(1, 100))
    limit = (6 / 150) ** 0.5
    assert layer.kernel.abs().max() <= limit
    assert layer.kernel.abs().max() > 0.9 * limit
    assert_close(layer.bias, torch.zeros(50))


def test_dense_over_an_unknown_size_says_what_to_do():
    with pytest.raises(ValueError, match="needs to know the size of the last input axis"):
        layers.Dense(2)(Input((None,)))


def test_embedding_looks_rows_up():
    layer = layers.Embedding(7, 4)
    x = torch.tensor([[1, 6], [0, 1]])
    assert_close(layer(x), layer.embedding.weight[x])
    assert_close(layer(x.float()), layer(x))


def test_embedding_marks_zeros_when_asked():
    x = torch.tensor([[1, 0]])
    assert layers.Embedding(7, 4, mask_zero=True).compute_mask(x).tolist() == [[True, False]]
    assert layers.Embedding(7, 4).compute_mask(x) is None


def test_masking_marks_steps_that_equal_the_value_and_zeroes_them():
    layer = layers.Masking(2.0)
    x = torch.tensor([[[2.0, 2.0], [2.0, 1.0]]])
    assert layer.compute_mask(x).tolist() == [[False, True]]
    assert_close(layer(x), torch.tensor([[[0.0, 0.0], [2.0, 1.0]]]))


def test_input_has_the_shape_and_type_it_was_given():
    x = Input((28, None), batch_size=4, dtype="int64", name="pixels")
    assert (x.shape, x.dtype, x.name) == ((4, 28, None), torch.int64, "pixels")
    assert Input(batch_shape=(None, 3)).shape == (None, 3)
    by_place = Input(None, None, "int32", False, False, (None, 3), "ids")
    assert (by_place.shape, by_place.dtype, by_place.name) == ((None, 3), torch.int32, "ids")


def test_an_input_layer_can_be_like_a_symbolic_tensor():
    like = Input((28, None), dtype="int64")

    layer = layers.InputLayer(input_tensor=like)

    assert (layer.output.shape, layer.output.dtype) == (like.shape, torch.int64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give either `shape`"),
        ({"shape": (3,), "batch_shape": (None, 3)}, "give either `shape`"),
        ({"shape": (3, -1)}, "non-negative integers"),
        ({"shape": (3,), "dtype": "floot32"}, "did you mean 'float32'"),
        ({"shape": (3,), "sparse": True}, "sparse tensors are not supported"),
        ({"shape": (3,), "ragged": True}, "ragged tensors are not supported"),
        ({"shape": (3,), "optional": True}, "optional tensors are not supported"),
    ],
    ids=["none", "both", "negative", "type", "sparse", "ragged", "optional"],
)
def test_an_impossible_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Input(**arguments)


def test_lambda_takes_functions_that_make_their_own_tensors():
    layer = layers.Lambda(lambda x, times: x + times * torch.arange(3.0), arguments={"times": 2})
    y = Model(x := Input((3,)), layer(x))(torch.zeros(1, 3))
    assert_close(y, torch.tensor([[0.0, 2.0, 4.0]]))


def test_a_torch_module_is_a_layer_with_its_own_weights():
    module = nn.Linear(3, 2)
    layer = layers.TorchModule(module)
    x = torch.randn(4, 3)

    assert_close(layer(x), module(x))
    assert layer.trainable_weights[0] is module.weight
    assert layers.TorchModule(nn.Linear, 3, 2)(x).shape == (4, 2)


def test_sequential_wraps_modules_and_functions_by_itself():
    model = Sequential([nn.Linear(3, 4), torch.relu, layers.Dense(2)])
    assert model(torch.randn(5, 3)).shape == (5, 2)
    assert [type(layer).__name__ for layer in model.layers] == ["TorchModule", "Lambda", "Dense"]


def test_a_class_in_place_of_a_layer_is_refused_with_the_reason():
    with pytest.raises(TypeError, match="Make an instance of it, with parentheses"):
        Sequential([layers.Flatten])


def test_a_plain_module_called_on_a_symbolic_tensor_says_how_to_wrap_it():
    with pytest.raises(TypeError, match=r"Wrap it: layers.TorchModule\(module\)\(x\)"):
        nn.Linear(3, 2)(Input((3,)))


def test_lazy_torch_modules_make_their_weights_with_the_model():
    lazy = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten())
    model = Sequential([Input((3, 6, 6)), lazy, nn.LazyLinear(2)])
    x = torch.randn(5, 3, 6, 6)

    assert model.output_shape == (None, 2)
    assert model.count_params() == (27 + 1) * 4 + 4 * 4 + (64 + 1) * 2
    assert_close(lazy[1].running_mean, torch.zeros(4))
    assert_close(model.eval()(x), model.layers[-1].module(lazy.eval()(x)))


def test_input_layer_takes_the_older_word_for_its_shape():
    model = Sequential([layers.InputLayer(input_shape=(3,)), layers.Dense(2)])
    assert model.input_shape == (None, 3)


@pytest.mark.parametrize("dtype", ["string", str, object], ids=str)
def test_input_of_strings_is_refused_with_what_to_do(dtype):
    with pytest.raises(ValueError, match=r"Input 'title': torch has no .*layer\.map\(dataset\)"):
        Input((1,), dtype=dtype, name="title")


@pytest.mark.parametrize(
    ("given", "expected"), [(None, lambda x: x), ("relu", F.relu), (nn.Tanh(), torch.tanh)]
)
def test_an_activation_may_be_changed_later(given, expected):
    model = Sequential([Input((4,)), layers.Dense(3, activation="softmax")])
    x = torch.randn(2, 4)
    model.predict(x.numpy(), verbose=0)
    layer = model.layers[-1]

    layer.activation = given

    assert_close(model(x), expected(layer.linear(x)))
    assert_close(torch.tensor(model.predict(x.numpy(), verbose=0)), model(x).detach())
    copied = models.clone_model(model)
    copied.set_weights(model.get_weights())
    assert_close(copied(x), model(x))
