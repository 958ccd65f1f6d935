"""`to_torch()`, and the short way that training takes through a graph."""

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from kerasish import Input, Model, Sequential, layers


def convolutional():
    return Sequential(
        [
            Input((1, 8, 8)),
            layers.Conv2D(4, 3, activation="relu", padding="same"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(3, activation="softmax"),
        ]
    ), torch.randn(5, 1, 8, 8)


def recurrent():
    tokens = Input((None,), dtype="int64")
    x = layers.Embedding(10, 4, mask_zero=True)(tokens)
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(x)
    x = layers.GlobalAveragePooling1D()(x)
    return Model(tokens, layers.Dense(2)(x)), torch.tensor([[1, 2, 3, 0], [4, 5, 0, 0]])


def branching():
    x = Input((6,))
    a = layers.Dense(4, activation="tanh")(x)
    b = layers.Dense(4, activation="gelu")(x)
    y = layers.Concatenate()([a, torch.relu(b), a * b])
    return Model(x, {"sum": y.sum(dim=-1), "y": layers.Dense(2)(y)}), torch.randn(3, 6)


@pytest.mark.parametrize("make", [convolutional, recurrent, branching])
def test_the_twin_gives_the_same_numbers_under_the_same_keys(make):
    model, x = make()
    model.eval()

    twin = model.to_torch()

    want, got = model(x), twin.eval()(x)
    assert_close(got, want)
    assert list(twin.state_dict()) == list(model.state_dict())


@pytest.mark.parametrize("make", [convolutional, recurrent, branching])
def test_the_twin_is_made_of_nothing_but_torch(make):
    twin = make()[0].to_torch()

    assert all(type(module).__module__.startswith("torch.") for module in twin.modules())
    assert "kerasish" not in twin.code


def test_the_twin_shares_weights_until_copied():
    model, x = convolutional()
    twin = model.to_torch()
    own = copy.deepcopy(twin)
    with torch.no_grad():
        model.layers[-1].linear.bias.add_(torch.tensor([5.0, 0.0, 0.0]))

    assert_close(twin.eval()(x), model.eval()(x))
    assert not torch.allclose(own.eval()(x), model(x))


def test_the_twin_loads_a_saved_state():
    model, x = convolutional()
    twin = copy.deepcopy(convolutional()[0].to_torch())
    keys = dict(zip(twin.state_dict(), model.state_dict().values(), strict=True))

    twin.load_state_dict(keys)

    assert_close(twin.eval()(x), model.eval()(x))


def test_the_twin_trains_with_dropout_and_batch_statistics():
    model, x = convolutional()
    twin = copy.deepcopy(model.to_torch()).train()
    before = (
        twin.state_dict()["batch_normalization.norm.running_mean"].clone()
        if ("batch_normalization.norm.running_mean" in twin.state_dict())
        else None
    )

    first, second = twin(x), twin(x)

    assert not torch.equal(first, second)
    running = next(v for k, v in twin.state_dict().items() if k.endswith("running_mean"))
    assert before is None or not torch.equal(before, running)
    assert running.abs().sum() > 0


def test_the_twin_stores_the_variance_that_torch_stores():
    model = Sequential([Input((3,)), layers.BatchNormalization(momentum=0.0, name="norm")])
    twin, x = copy.deepcopy(model.to_torch()), torch.randn(5, 3)

    assert_close(twin.train()(x), model.train()(x))

    assert type(twin.norm.norm) is nn.BatchNorm1d
    assert_close(twin.norm.norm.running_var, x.var(0))
    assert_close(model.layers[0].norm.running_var, x.var(0, correction=0))


STEPPING = {
    "LSTM of another activation": (lambda: layers.LSTM(3, activation="relu"), (5, 4)),
    "backwards": (
        lambda: layers.LSTM(3, activation="relu", return_sequences=True, go_backwards=True),
        (5, 4),
    ),
    "both ways": (lambda: layers.Bidirectional(layers.SimpleRNN(2, activation="relu")), (5, 4)),
    "convolutional": (lambda: layers.ConvLSTM1D(2, 3, return_sequences=True), (5, 6, 4)),
}


@pytest.mark.parametrize("kind", STEPPING)
def test_the_twin_takes_all_steps_of_layers_that_loop_over_time(kind):
    make, shape = STEPPING[kind]
    model, x = Sequential([Input(shape), make()]), torch.rand(2, *shape)

    assert_close(model.to_torch().eval()(x), model.eval()(x))


@pytest.mark.parametrize("layer", [layers.Resizing(4, 4), layers.CenterCrop(4, 4)], ids=str)
def test_layers_that_look_at_sizes_are_refused(layer):
    model = Sequential([Input((3, 8, 8)), layer])

    with pytest.raises(TypeError, match=f'"{layer.name}" cannot be written as torch calls'):
        model.to_torch()


def test_a_twin_that_would_give_other_numbers_is_refused():
    class Deceptive(layers.Layer):
        def forward(self, x):
            return x * (2.0 if type(x) is torch.Tensor else 3.0)

    with pytest.raises(TypeError, match="gives other numbers"):
        Sequential([Input((3,)), Deceptive()]).to_torch()


def test_the_module_of_a_module_model_is_its_own_twin():
    module = nn.Linear(2, 2)
    assert Model(module).to_torch() is module


def test_a_subclassed_model_says_that_it_has_no_twin():
    class Own(Model):
        def forward(self, x):
            return x

    with pytest.raises(TypeError, match="only models with a graph"):
        Own().to_torch()


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_the_short_way_gives_the_same_numbers(training):
    model, x = convolutional()
    model.train(training)
    other = copy.deepcopy(model)

    torch.manual_seed(1)
    want = model(x)
    torch.manual_seed(1)
    got = other.shortest_forward()(x)

    assert torch.equal(want, got)
    for a, b in zip(model.buffers(), other.buffers(), strict=True):
        assert torch.equal(a, b)


def test_the_short_way_follows_a_changed_activation():
    model = Sequential([Input((3,)), layers.Dense(2)])
    x = torch.randn(4, 3)
    model.shortest_forward()(x)

    model.layers[0].activation = torch.relu

    assert torch.equal(model.shortest_forward()(x), model(x))
    assert (model.shortest_forward()(x) >= 0).all()


def test_the_short_way_follows_a_replaced_module():
    model = Sequential([Input((3,)), layers.Dense(2)])
    x = torch.randn(4, 3)
    model.shortest_forward()(x)

    model.layers[0].linear = nn.Linear(3, 2)

    assert torch.equal(model.shortest_forward()(x), model(x))


@pytest.mark.parametrize("inner", [False, True], ids=["layer", "torch module"])
def test_hooks_run_during_fit(inner):
    model = Sequential([Input((3,)), layers.Dense(2)])
    seen = []
    target = model.layers[0].linear if inner else model.layers[0]
    target.register_forward_hook(lambda *args: seen.append(1))
    model.compile("sgd", "mse")

    model.fit(torch.randn(8, 3), torch.randn(8, 2), batch_size=4, verbose=0)

    assert len(seen) >= 2


def test_parametrised_weights_train():
    model = Sequential([Input((3,)), layers.Dense(2)])
    nn.utils.parametrizations.weight_norm(model.layers[0].linear)
    model.compile("sgd", "mse")
    before = [p.detach().clone() for p in model.parameters()]

    model.fit(torch.randn(8, 3), torch.randn(8, 2), verbose=0)

    assert all(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_wrong_batch_is_explained_on_the_short_way_too():
    model = Sequential([Input((3,)), layers.Dense(2, name="head")])
    with pytest.raises(ValueError, match="expects size 3 on axis 1"):
        model.shortest_forward()(torch.randn(4, 5))


def test_a_recurrent_model_is_built_without_walking_through_time(monkeypatch):
    lengths = []
    kernel = torch._VF.lstm
    monkeypatch.setattr(
        torch._VF, "lstm", lambda x, *rest: lengths.append(x.shape[1]) or kernel(x, *rest)
    )
    model, _ = recurrent()

    model.shortest_forward()

    assert set(lengths) == {1}
    assert model.get_layer(index=2).output.shape == (None, None, 6)


class Passing(layers.Layer):
    """Hands its mode on, as layers on keras.io do."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(2)
        self.dropout = layers.Dropout(0.5)

    def call(self, inputs, training=None):
        return self.dropout(self.dense(inputs), training=training)


@pytest.mark.parametrize("training", [None, False])
@pytest.mark.parametrize("make", [Passing, lambda: Sequential([Input((3,)), Passing()])])
def test_the_twin_follows_calls_that_name_evaluation_mode(make, training):
    x, data = Input((3,)), torch.randn(4, 3)
    model = Model(x, layers.Dense(1)(make()(x, training=training)))

    assert_close(model.to_torch().eval()(data), model.eval()(data))


def test_a_layer_that_always_trains_has_no_twin():
    x = Input((3,))
    model = Model(x, layers.Dense(1)(layers.Dropout(0.5, name="dropped")(x, training=True)))

    with pytest.raises(TypeError, match=r'"dropped" is called with training=True.*its own mode'):
        model.to_torch()
