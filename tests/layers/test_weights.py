"""Weights as attributes in Keras's words: `layer.kernel`, `assign`, `add_weight` and copies."""

import copy
import io
import pickle
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

import kerasish
from kerasish import Variable, layers

BUILT = [
    (lambda: layers.Dense(3), (2, 4), ["kernel", "bias"]),
    (lambda: layers.Conv2D(3, 2), (2, 4, 5, 5), ["kernel", "bias"]),
    (lambda: layers.DepthwiseConv2D(2, depth_multiplier=2), (2, 3, 4, 4), ["kernel", "bias"]),
    (lambda: layers.LSTM(3), (2, 4, 5), ["kernel", "recurrent_kernel", "bias"]),
    (lambda: layers.GRU(3), (2, 4, 5), ["kernel", "recurrent_kernel", "bias"]),
    (
        layers.BatchNormalization,
        (2, 4),
        ["gamma", "beta", "moving_mean", "moving_variance"],
    ),
    (layers.LayerNormalization, (2, 4), ["gamma", "beta"]),
    (layers.PReLU, (2, 4), ["alpha"]),
]
IDS = [f"{names[0]}-{len(names)}-{i}" for i, (_, _, names) in enumerate(BUILT)]


def built(make, shape):
    layer = make()
    layer(torch.randn(shape))
    return layer


@pytest.mark.parametrize(("make", "shape", "names"), BUILT, ids=IDS)
def test_every_weight_is_an_attribute_in_the_layout_of_get_weights(make, shape, names):
    layer = built(make, shape)

    for name, value in zip(names, layer.get_weights(), strict=True):
        weight = getattr(layer, name)
        np.testing.assert_array_equal(weight.numpy(), value)
        assert (weight.name, weight.path) == (name, f"{layer.name}/{name}")
        assert tuple(weight.shape) == value.shape


@pytest.mark.parametrize(("make", "shape", "names"), BUILT, ids=IDS)
def test_what_is_assigned_to_an_attribute_reaches_the_layer(make, shape, names):
    layer = built(make, shape)
    values = [np.random.default_rng(0).uniform(0.1, 1, w.shape) for w in layer.get_weights()]

    for name, value in zip(names, values, strict=True):
        getattr(layer, name).assign(value)
    for mine, value in zip(layer.get_weights(), values, strict=True):
        np.testing.assert_allclose(mine, value, rtol=1e-6)
    for name in names:
        getattr(layer, name).assign_add(1.0)
        getattr(layer, name).assign_sub(torch.tensor(0.5))
    for mine, value in zip(layer.get_weights(), values, strict=True):
        np.testing.assert_allclose(mine, value + 0.5, rtol=1e-6)


def test_gradients_flow_through_an_attribute_and_can_be_read_from_it():
    layer = built(lambda: layers.Dense(3), (2, 4))

    (layer.kernel * torch.arange(12.0).view(4, 3)).sum().backward()

    assert_close(layer.linear.weight.grad, torch.arange(12.0).view(4, 3).T)
    assert_close(layer.kernel.grad, torch.arange(12.0).view(4, 3))
    assert_close(layer.kernel.value.grad, layer.kernel.grad)
    assert layer.bias.grad is None
    assert type(layer.kernel * 2) is torch.Tensor


def test_a_bias_that_is_not_used_is_none_and_other_names_are_unknown():
    layer = built(lambda: layers.Dense(3, use_bias=False), (2, 4))

    assert layer.bias is None
    assert not hasattr(layer, "gamma")
    assert not hasattr(layers.Dense(3), "kernel")
    with pytest.raises(ValueError, match=r"'kernel' has shape \(4, 3\), got"):
        layer.kernel.assign(np.zeros((3, 4)))


def test_attributes_are_no_parameters_of_a_module_that_keeps_them():
    layer = built(lambda: layers.Dense(3), (2, 4))
    module = nn.Module()

    module.kernel = layer.kernel

    assert list(module.parameters()) == []
    assert not isinstance(layer.kernel, nn.Parameter)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda w: pickle.loads(pickle.dumps(w))])
def test_a_copy_of_an_attribute_is_a_variable_of_its_own(again):
    layer = built(lambda: layers.Dense(3), (2, 4))
    before = layer.get_weights()[0]

    copied = again(layer.kernel)
    copied.assign(np.zeros((4, 3)))

    assert (copied.name, copied.path) == ("kernel", layer.kernel.path)
    np.testing.assert_array_equal(layer.get_weights()[0], before)


def test_another_layer_may_share_a_kernel_even_when_compiled():
    class Tied(layers.Layer):
        def __init__(self):
            super().__init__()
            self.table = layers.Embedding(7, 4)

        def call(self, x):
            return self.table(x) @ self.table.embeddings.T

    layer, tokens = Tied(), torch.tensor([[1, 2]])
    y = layer(tokens)

    assert y.shape == (1, 2, 7)
    assert_close(y, layer.table.embedding.weight[[1, 2]][None] @ layer.table.embedding.weight.T)
    assert_close(torch.compile(layer, backend="eager", fullgraph=True)(tokens), y)


class Counting(layers.Layer):
    """A trainable weight, and a count of its calls, as Keras's guides write them."""

    def build(self, input_shape):
        self.w = self.add_weight(
            (input_shape[-1],), "ones", name="w", regularizer="l2", constraint="non_neg"
        )
        self.count = self.add_weight((), "zeros", trainable=False, name="count")
        self.hits = self.add_weight((), "zeros", "int32", trainable=False)

    def call(self, x):
        self.count.assign_add(1.0)
        self.hits.assign(self.hits + 2)
        return x * self.w + 0 * self.count


def counting():
    return built(lambda: Counting(name="counting"), (2, 3))


def still_works(layer, count=1.0):
    assert isinstance(layer.w, Variable)
    assert isinstance(layer.count, Variable)
    assert (layer.w.name, layer.w.path) == ("w", "counting/w")
    assert [key for key, _ in layer.named_parameters()] == ["w"]
    assert [key for key, _ in layer.named_buffers()] == ["count", "hits"]
    assert_close(sum(layer.losses), torch.tensor(0.03, dtype=layer.w.dtype))
    layer(torch.ones(2, 3, dtype=layer.w.dtype, device=layer.w.device))
    assert float(layer.count) == count + 1
    assert int(layer.hits) == 2 * count + 2
    assert layer.state_dict()["count"] == count + 1


def test_added_weights_take_keras_words():
    layer = counting()

    layer.w.assign([1.0, 2.0, 3.0])
    (layer.w.sum() * 2).backward()

    assert [v.name for v in layer.trainable_weights] == ["w"]
    assert [v.path for v in layer.non_trainable_weights] == ["counting/count", "counting/variable"]
    assert [v.value.grad.tolist() for v in layer.trainable_weights] == [[2, 2, 2]]
    assert layer.w.numpy().tolist() == [1, 2, 3]
    assert np.asarray(layer.w).tolist() == [1, 2, 3]
    assert isinstance(layer.w, nn.Parameter)
    assert not isinstance(layer.count, nn.Parameter)


@pytest.mark.parametrize(
    "again",
    [
        copy.deepcopy,
        copy.copy,
        lambda layer: pickle.loads(pickle.dumps(layer)),
        lambda layer: layer.to(torch.float64).to(torch.float32),
        lambda layer: layer.half().float(),
    ],
    ids=["deepcopy", "copy", "pickle", "dtype", "half"],
)
def test_added_weights_survive_copies_and_moves(again):
    still_works(again(counting()))


def test_added_weights_survive_moves_from_the_meta_device():
    layer = counting().to("meta").to_empty(device="cpu")
    layer.load_state_dict(counting().state_dict())

    still_works(layer)


def loaded_by_assignment(layer):
    layer.load_state_dict(counting().state_dict(), assign=True)
    return layer


def with_another_buffer(layer):
    layer.count = layer.count + 0  # as torch users write it
    assert float(copy.deepcopy(layer).count) == 1
    return pickle.loads(pickle.dumps(layer))


@pytest.mark.parametrize("put", [loaded_by_assignment, with_another_buffer])
def test_added_weights_survive_tensors_put_in_their_place(put):
    still_works(put(counting()))


def test_added_weights_stand_in_torchs_function_transforms():
    copies = [counting() for _ in range(3)]
    parameters, buffers = torch.func.stack_module_state(copies)

    def run(parameters, buffers, x):
        return torch.func.functional_call(copies[0], (parameters, buffers), (x,))

    y = torch.vmap(run, (0, 0, None))(parameters, buffers, torch.ones(2, 3))

    assert y.shape == (3, 2, 3)
    assert buffers["count"].tolist() == [2, 2, 2]
    still_works(copies[0])


def test_added_weights_survive_files_of_torch():
    file = io.BytesIO()
    torch.save(counting(), file)
    file.seek(0)
    still_works(torch.load(file, weights_only=False))

    file = io.BytesIO()
    torch.save(counting().state_dict(), file)
    file.seek(0)
    state = torch.load(file)
    assert {type(value) for value in state.values()} == {torch.Tensor}
    layer = counting()
    layer.load_state_dict(state)
    still_works(layer)


def test_a_layer_that_counts_compiles_whole():
    layer = counting()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)

    compiled(torch.ones(2, 3)).sum().backward()

    assert layer.w.grad is not None
    assert float(layer.count) == 2
    assert int(layer.hits) == 4


def test_a_layer_that_counts_stands_in_a_model_and_is_exported():
    model = kerasish.Sequential([layers.Input((3,)), Counting(name="counting"), layers.Dense(1)])
    layer = model.layers[-2]
    assert layer.count == 0

    model.compile("sgd", "mse")
    model.fit(torch.randn(8, 3), torch.randn(8, 1), batch_size=4, verbose=0)
    before = float(layer.count)
    assert before >= 2
    assert layer.hits == 2 * before

    file = io.BytesIO()
    torch.export.save(torch.export.export(model, (torch.ones(2, 3),)), file)
    file.seek(0)
    exported = torch.export.load(file).module()
    assert_close(exported(torch.ones(2, 3)), model(torch.ones(2, 3)))
    assert exported.get_buffer("counting.count") == before + 1


class Scale(layers.Layer):
    def build(self, input_shape):
        self.w = self.add_weight((input_shape[-1],), "ones", name="w")
        self.shift = self.add_weight((1,), "ones", trainable=False)

    def call(self, x):
        return x * self.w + self.shift


def test_added_weights_are_exported():
    layer = built(Scale, (2, 3))

    exported = torch.export.export(layer, (torch.ones(2, 3),)).module()

    assert exported(torch.ones(2, 3)).tolist() == [[2.0] * 3] * 2


def test_added_weights_train_in_the_fast_path_of_the_optimizer():
    model = kerasish.Sequential([Scale(), layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(torch.randn(8, 3), torch.randn(8, 1), epochs=2, verbose=0)

    assert model.optimizer.torch.param_groups[0]["fused"]
    assert not (model.layers[0].w == 1).any()


def test_torch_chooses_its_fast_kernels_beside_a_variable():
    assert Variable in sys.modules["torch.optim.optimizer"]._foreach_supported_types
    parameters = [Variable([1.0, 2.0]), nn.Parameter(torch.ones(2))]
    optimizer = torch.optim.SGD(parameters, 0.1, foreach=True, momentum=0.9)
    for parameter in parameters:
        parameter.grad = torch.ones(2)
    optimizer.step()
    assert parameters[0].tolist() == pytest.approx([0.9, 1.9])


def test_a_saved_model_gives_added_weights_back(tmp_path):
    model = kerasish.Sequential([layers.Input((3,)), Scale()])
    model.layers[-1].w.assign([1.0, 2.0, 3.0])
    model.save(tmp_path / "model.kerasish")

    again = kerasish.models.load_model(tmp_path / "model.kerasish", custom_objects={"Scale": Scale})

    assert again.layers[-1].w.numpy().tolist() == [1, 2, 3]
    assert isinstance(again.layers[-1].w, Variable)


def test_the_torch_twin_shares_added_weights_as_plain_parameters():
    model = kerasish.Sequential([layers.Input((3,)), Scale(), layers.PReLU()])

    twin = model.to_torch()

    assert {type(p) for p in twin.parameters()} == {nn.Parameter}
    assert {type(b) for b in twin.buffers()} == {torch.Tensor}
    model.layers[-2].w.assign([1.0, 2.0, 3.0])
    assert_close(twin(torch.ones(1, 3)), torch.tensor([[2.0, 3.0, 4.0]]))


class Scaled(layers.Dense):
    """A ready-made layer with a weight, a state and a torch module more."""

    def build(self, input_shape):
        super().build(input_shape)
        self.scale = self.add_weight(
            shape=(self.units,), initializer="ones", name="scale", regularizer="l2"
        )
        self.count = self.add_weight(shape=(), name="count", trainable=False)
        self.head = torch.nn.Linear(self.units, 1, bias=False)

    def call(self, inputs):
        return self.head(super().call(inputs) * self.scale)


def test_weights_that_a_subclass_adds_to_a_ready_made_layer_count():
    model = kerasish.Sequential([layers.Input((4,)), Scaled(3)])
    layer = model.layers[0]

    assert [w.shape for w in layer.get_weights()] == [(4, 3), (3,), (3,), (), (1, 3)]
    assert model.count_params() == 12 + 3 + 3 + 1 + 3
    assert any(weight is layer.scale for weight in layer.trainable_weights)
    assert [weight is layer.count for weight in layer.non_trainable_weights] == [True]
    assert_close(sum(model.losses), torch.tensor(0.01 * 3))

    model.compile("sgd", "mse", device="cpu")
    loss = model.evaluate(np.zeros((2, 4)), np.zeros((2, 1)), verbose=0)
    assert loss == pytest.approx(0.03)
    layer.trainable = False
    assert not layer.trainable_weights


def test_weights_without_names_may_be_added_after_the_layer_is_built():
    class Late(layers.Layer):
        def build(self, input_shape):
            super().build(input_shape)
            self.w = self.add_weight(shape=(2,), initializer="ones")
            self.b = self.add_weight(shape=(2,), initializer="zeros")

    layer = Late()
    layer.build((None, 2))
    assert sorted(layer.state_dict()) == ["b", "w"]


def test_a_layers_weights_are_printed_with_their_paths():
    layer = layers.BatchNormalization(name="norm")
    layer.build((None, 2))

    gamma, *_, variance = layer.weights

    assert repr(gamma) == 'Weight("norm/gamma", tensor([1., 1.]))'
    assert repr(variance) == 'State("norm/moving_variance", tensor([1., 1.]))'


@pytest.mark.parametrize(
    "value", [torch.zeros(3, 2), np.zeros((3, 2)), nn.Parameter(torch.ones(3, 2))]
)
def test_a_weight_in_a_torch_module_is_not_hidden_by_an_attribute(value):
    layer = layers.Dense(2)
    layer.build((None, 3))

    with pytest.raises(AttributeError, match=r"Dense .*go on with the kernel.*kernel\.assign"):
        layer.kernel = value
    layer.note = value
    assert_close(layer(torch.ones(1, 3)), layer.kernel.sum(0, keepdim=True))
