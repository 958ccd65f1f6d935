"""Clones: the same architecture and names, other weights, sharing kept."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from kerasish import Input, Model, Sequential, layers
from kerasish.models import clone_model


def stack():
    return Sequential(
        [Input((4,), name="start"), layers.Dense(8, activation="relu", name="a"), layers.Dense(2)],
        name="stack",
    )


def shared_graph():
    x = Input((4,), name="x")
    shared = layers.Dense(4, name="shared")
    y = torch.tanh(shared(x)) + shared(x * 2)
    return Model({"x": x}, [layers.Dense(1, name="head")(y), y[:, :2]], name="graph")


@pytest.mark.parametrize("make", [stack, shared_graph])
def test_clone_computes_the_same_with_the_same_weights(make):
    model = make()
    x = torch.randn(3, 4)
    x = x if make is stack else {"x": x}

    clone = clone_model(model)

    assert type(clone) is type(model)
    assert clone.name == model.name
    assert list(clone.state_dict()) == list(model.state_dict())
    first = next(iter(clone.parameters()))
    assert not torch.equal(first, next(iter(model.parameters())))
    clone.set_weights(model.get_weights())
    assert_close(clone(x), model(x))


def test_clone_shares_nothing_with_the_model():
    model = shared_graph()

    clone = clone_model(model)

    assert not {id(p) for p in clone.parameters()} & {id(p) for p in model.parameters()}
    assert not {id(layer) for layer in clone.layers} & {id(layer) for layer in model.layers}


def test_shared_layers_stay_shared():
    model = shared_graph()

    clone = clone_model(model)

    assert clone.count_params() == model.count_params() == 4 * 4 + 4 + 4 + 1
    assert [layer.name for layer in clone.layers] == [layer.name for layer in model.layers]


def test_unbuilt_sequential_stays_unbuilt():
    model = Sequential([layers.Dense(3), layers.Dense(2)])

    clone = clone_model(model)
    clone(torch.ones(1, 5))

    assert not model.layers[0].built
    assert clone.count_params() == 5 * 3 + 3 + 3 * 2 + 2


def test_clone_function_may_replace_layers():
    def wider(layer):
        if layer.name == "a":
            return layers.Dense(16, name="wide")
        return type(layer).from_config(layer.get_config())

    clone = clone_model(stack(), clone_function=wider)

    assert clone.layers[0].name == "wide"
    assert clone.count_params() == 4 * 16 + 16 + 16 * 2 + 2


def test_clone_function_may_share_layers():
    model = shared_graph()

    clone = clone_model(model, clone_function=lambda layer: layer)

    assert clone.get_layer("shared") is model.get_layer("shared")
    assert_close(clone({"x": torch.ones(1, 4)}), model({"x": torch.ones(1, 4)}))


def test_call_function_is_called_for_every_call():
    called = []

    def call(layer, *args, **kwargs):
        called.append(layer.name)
        return layer(*args, **kwargs)

    clone_model(shared_graph(), call_function=call)

    assert called == ["shared", "shared", "head"]


def test_input_tensors_take_the_place_of_the_inputs():
    x = Input((4,), name="other")

    functional = clone_model(shared_graph(), input_tensors={"x": x})
    sequential = clone_model(stack(), input_tensors=x)

    assert functional.input_names == ["other"]
    assert sequential.inputs[0] is x
    with pytest.raises(ValueError, match="has 1 inputs, but `input_tensors` holds 2"):
        clone_model(shared_graph(), input_tensors=[x, x])


def test_nested_models_are_cloned_whole_or_layer_by_layer():
    x = Input((4,))
    model = Model(x, layers.Dense(1, name="head")(stack()(x)))
    whole, inside = [], []

    def note(names):
        def clone(layer):
            names.append(layer.name)
            return clone_model(layer) if isinstance(layer, Model) else layer

        return clone

    clone_model(model, clone_function=note(whole))
    clone_model(model, clone_function=note(inside), recursive=True)

    assert whole == ["stack", "head"]
    assert [name for name in inside if not name.startswith("dense")] == ["a", "head"]
    assert clone_model(model).get_layer("stack") is not model.get_layer("stack")


def test_layers_inside_layers_get_new_weights():
    x = Input((5, 4))
    model = Model(x, layers.Bidirectional(layers.LSTM(3))(x))

    clone = clone_model(model)

    assert not {id(p) for p in clone.parameters()} & {id(p) for p in model.parameters()}
    assert clone.count_params() == model.count_params()
    clone.set_weights(model.get_weights())
    assert_close(clone(torch.ones(2, 5, 4)), model(torch.ones(2, 5, 4)))


@pytest.mark.parametrize(
    "wrap",
    [lambda: layers.TorchModule(nn.Linear(4, 4)), lambda: layers.TorchModule(nn.Linear, 4, 4)],
    ids=["module", "class"],
)
def test_wrapped_modules_get_new_weights(wrap):
    model = Sequential([Input((4,)), wrap()])

    clone = clone_model(model)

    ours, theirs = next(clone.parameters()), next(model.parameters())
    assert ours is not theirs
    assert not torch.equal(ours, theirs)


def test_lambdas_and_masks_and_unknown_sizes_survive():
    x = Input((None,), dtype="int64")
    y = layers.Embedding(10, 4, mask_zero=True)(x)
    y = layers.Lambda(lambda t: t * 2)(layers.LSTM(3)(y.reshape(y.size(0), -1, 4)[:, :] + y))
    model = Model(x, y)

    clone = clone_model(model)

    clone.set_weights(model.get_weights())
    tokens = torch.tensor([[1, 2, 0], [3, 0, 0]])
    assert_close(clone(tokens), model(tokens))
    assert clone.output_shape == model.output_shape


def test_frozen_layers_stay_frozen():
    model = stack()
    model.layers[0].trainable = False

    clone = clone_model(model)

    assert [layer.trainable for layer in clone.layers] == [False, True]
    assert len(clone.trainable_weights) == 2


def test_deep_chain_is_cloned():
    x = Input((2,))
    y = x
    for _ in range(1200):
        y = y + 1
    clone = clone_model(Model(x, y))

    assert_close(clone(torch.zeros(1, 2)), torch.full((1, 2), 1200.0))


class Own(Model):
    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(units)

    def forward(self, x):
        return self.dense(x)


def test_model_of_own_code_is_made_by_from_config():
    model = Own(5, name="own")
    model(torch.ones(1, 2))

    clone = clone_model(model)

    assert type(clone) is Own
    assert clone.name == "own"
    assert clone(torch.ones(1, 2)).shape == (1, 5)
    assert clone.dense is not model.dense
    with pytest.raises(ValueError, match="`clone_function` does not apply"):
        clone_model(model, clone_function=lambda layer: layer)


def test_module_model_is_cloned():
    model = Model(nn.Linear(3, 2))

    clone = clone_model(model)

    assert clone.module is not model.module
    assert clone(torch.ones(1, 3)).shape == (1, 2)


def test_what_is_not_a_model_is_refused():
    with pytest.raises(TypeError, match="expected a model, got"):
        clone_model(layers.Dense(2))
    with pytest.raises(ValueError, match="functional models only"):
        clone_model(stack(), call_function=lambda layer, x: layer(x))


def test_clone_model_takes_kerass_arguments_in_kerass_order():
    import inspect

    keras = pytest.importorskip("keras")
    theirs = inspect.signature(keras.models.clone_model).parameters
    ours = inspect.signature(clone_model).parameters

    assert list(ours) == [name for name in theirs if name != "kwargs"]
    assert [p.default for p in ours.values()] == [theirs[name].default for name in ours]
