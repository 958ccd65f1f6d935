"""Configurations that Keras wrote: the same networks on our layers."""

import json

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import kerasish
from kerasish import layers
from kerasish.models import model_from_json

keras = pytest.importorskip("keras")
L = keras.layers

# Keras makes arrays of its variables in a way that NumPy has given up.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def branching():
    image = keras.Input((8, 8, 3), name="img")
    x = L.Conv2D(4, 3, activation="relu")(image)
    a, b = L.GlobalAveragePooling2D()(x), L.Flatten()(x)
    y = L.Dense(3, kernel_regularizer="l2")(L.concatenate([a, L.Dense(4)(b)]))
    return keras.Model(image, {"y": 2 * y - 1, "b": b}), [(2, 8, 8, 3)]


def of_operations():
    ops, x = keras.ops, keras.Input((4,))
    y = ops.mean(ops.reshape(x, (-1, 2, 2)), axis=1)
    y = ops.expand_dims(y, -1)[:, 0:1]
    y = -ops.transpose(ops.concatenate([y, y], axis=1), (0, 2, 1))
    y = ops.where(y > 0, ops.relu(y), 0.5)
    y = ops.split(y, 2, axis=-1)[1]
    return keras.Model(x, ops.einsum("abc,abc->ab", y, y)), [(3, 4)]


def shared():
    x, dense = keras.Input((3,)), L.Dense(3)
    return keras.Model([x], [dense(dense(x)), dense.output]), [(2, 3)]


def nested():
    inner = keras.Sequential([keras.Input((3,)), L.Dense(4, "gelu"), L.BatchNormalization()])
    a, b = keras.Input((3,)), keras.Input((3,))
    return keras.Model([a, b], L.add([inner(a), inner(b)])), [(2, 3), (2, 3)]


def attending():
    x = keras.Input((5, 4))
    y = L.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True)
    y = L.LayerNormalization()(y + x)
    return keras.Model(x, L.TimeDistributed(L.Dense(2))(y)), [(2, 5, 4)]


def stacked():
    return keras.Sequential([keras.Input((4,)), L.Dense(3), L.Activation("tanh")]), [(2, 4)]


def without_an_input():
    model = keras.Sequential([L.Dense(3), L.Dropout(0.1), L.Dense(2)])
    model.build((None, 4))
    return model, [(2, 4)]


def ending_with_models():
    x, a, b = keras.Input((4,)), keras.Input((4,)), keras.Input((4,))
    net, stack = keras.Model(a, L.Dense(4)(a)), keras.Sequential([b, L.Dense(4)])
    twice = net(net(x))
    return keras.Model(x, [twice, stack(stack(twice))]), [(2, 4)]


def random_outside_of_training():
    x = keras.Input((4, 4, 2))
    return keras.Model(x, L.RandomFlip()(L.Dropout(0.9)(x, training=True))), [(2, 4, 4, 2)]


MAKERS = [
    branching,
    of_operations,
    shared,
    nested,
    attending,
    stacked,
    without_an_input,
    ending_with_models,
    random_outside_of_training,
]


@pytest.mark.parametrize("make", MAKERS)
def test_a_model_of_keras_gives_the_same_from_its_json(make):
    theirs, shapes = make()
    data = [np.random.default_rng(0).normal(size=shape).astype("float32") for shape in shapes]
    x = data[0] if len(data) == 1 else data

    ours = model_from_json(theirs.to_json())
    ours.set_weights(theirs.get_weights())

    assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]
    want, got = theirs.predict(x, verbose=0), ours.predict(x, verbose=0)
    assert_close(_tensors(got), _tensors(want), rtol=1e-5, atol=1e-6)


def _tensors(value):
    if isinstance(value, dict):
        return {key: torch.as_tensor(item) for key, item in value.items()}
    items = value if isinstance(value, (list, tuple)) else [value]
    return [torch.as_tensor(item) for item in items]


def test_masks_go_their_way_in_a_model_from_keras():
    tokens = keras.Input((None,), dtype="int32")
    x = L.Embedding(9, 4, mask_zero=True)(tokens)
    x = L.Bidirectional(L.LSTM(3, return_sequences=True))(x)
    theirs = keras.Model(tokens, L.GRU(3, return_state=True)(x))
    x = np.array([[1, 2, 0], [3, 4, 5]])

    ours = model_from_json(theirs.to_json())
    ours.set_weights(theirs.get_weights())

    got, want = ours.predict(x, verbose=0), theirs.predict(x, verbose=0)
    assert_close(_tensors(got), _tensors(want), rtol=1e-5, atol=1e-6)


def test_dropout_of_a_model_from_keras_follows_the_mode_of_the_model():
    x = keras.Input((100,))
    ours = model_from_json(keras.Model(x, L.Dropout(0.5)(x)).to_json())

    assert (ours.train()(torch.ones(1, 100)) == 0).any()
    assert (ours.eval()(torch.ones(1, 100)) == 1).all()


def test_keras_2_counts_the_calls_of_models_inside_from_one():
    x, inner = keras.Input((3,), name="x"), keras.Input((3,), name="y")
    net = keras.Model(inner, L.Dense(3, use_bias=False)(inner), name="net")
    config = json.loads(keras.Model(x, net(net(x))).to_json())
    entry = config["config"]["layers"][1]
    entry["inbound_nodes"] = [[["x", 0, 0, {}]], [["net", 1, 0, {}]]]

    ours = model_from_json(json.dumps(config))

    ours.set_weights([np.diag([2.0, 3.0, 4.0]).astype("float32")])
    np.testing.assert_array_equal(ours.predict(np.ones((1, 3)), verbose=0), [[4, 9, 16]])


@pytest.mark.parametrize("place", [["dense", 5, 0], ["dense", 0, 1], ["nobody", 0, 0]])
def test_an_output_that_no_layer_gives_is_told(place):
    x = keras.Input((3,))
    config = json.loads(keras.Model(x, L.Dense(3, name="dense")(x)).to_json())
    config["config"]["output_layers"] = place

    with pytest.raises(ValueError, match="The file is damaged: there is no result"):
        model_from_json(json.dumps(config))


FUNCTIONS_THAT_ACT = [("save_model", "kerasish.models"), ("ResNet18", "kerasish.applications")]


@pytest.mark.parametrize(("name", "module"), [*FUNCTIONS_THAT_ACT, ("relu", "kerasish.ops")])
def test_only_layers_are_called_and_no_function_that_acts(name, module):
    x = keras.Input((3,))
    config = json.loads(keras.Model(x, L.Dense(3, name="dense")(x)).to_json())
    named = {"class_name": "function", "config": name, "module": module}
    config["config"]["layers"][1] |= {**named, "registered_name": None}

    with pytest.raises(ValueError, match=r"not part of kerasish|is no layer"):
        model_from_json(json.dumps(config))


def test_a_compiled_model_of_keras_comes_compiled():
    theirs, _ = stacked()
    theirs.compile(keras.optimizers.SGD(0.5), "mse", metrics=["mae"])

    ours = model_from_json(theirs.to_json())
    x, y = np.ones((4, 4), "float32"), np.ones((4, 3), "float32")

    assert ours.optimizer.learning_rate == 0.5
    ours.set_weights(theirs.get_weights())
    got, want = ours.evaluate(x, y, verbose=0), theirs.evaluate(x, y, verbose=0)
    assert got == pytest.approx(want, rel=1e-5)


def test_how_a_model_is_compiled_goes_to_another():
    first, second = kerasish.Sequential([layers.Dense(1)]), kerasish.Sequential([layers.Dense(1)])
    assert first.get_compile_config() is None
    first.compile(kerasish.optimizers.Adam(0.25), "mae", metrics=["mse"])

    second.compile_from_config(json.loads(json.dumps(first.get_compile_config())))

    assert second.optimizer.learning_rate == 0.25
    x, y = np.zeros((2, 3), "float32"), np.full((2, 1), 2.0, "float32")
    assert second.evaluate(x, y, verbose=0, return_dict=True) == {"loss": 2.0, "mse": 4.0}


OBJECTS = [
    lambda: keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.1, 10)),
    lambda: keras.losses.Huber(delta=2.0),
    lambda: keras.metrics.AUC(num_thresholds=20),
    lambda: keras.initializers.HeNormal(seed=3),
    lambda: keras.regularizers.L1L2(0.1, 0.2),
    lambda: keras.constraints.MaxNorm(3.0),
    lambda: L.Dense(3, "gelu", kernel_initializer="he_normal", dtype="mixed_bfloat16"),
    lambda: L.LayerNormalization(epsilon=0.1),
    lambda: L.RNN([L.LSTMCell(3), L.GRUCell(2)]),
]


@pytest.mark.parametrize("make", OBJECTS)
def test_single_objects_of_keras_are_made_with_their_settings(make):
    theirs = make()
    text = json.dumps(keras.saving.serialize_keras_object(theirs))

    ours = kerasish.saving.deserialize_keras_object(json.loads(text))

    assert type(ours).__name__ == type(theirs).__name__
    known, wanted = ours.get_config(), theirs.get_config()
    same = [key for key in known if isinstance(wanted.get(key), (bool, int, float, str))]
    assert same
    assert {key: known[key] for key in same} == pytest.approx({key: wanted[key] for key in same})


def test_functions_of_keras_are_found_by_their_names():
    config = keras.saving.serialize_keras_object(keras.activations.gelu)

    function = kerasish.saving.deserialize_keras_object(config)

    x = torch.randn(5)
    assert_close(function(x), torch.nn.functional.gelu(x))


def test_a_layer_takes_the_config_of_its_namesake():
    config = L.Dense(3, "relu", kernel_regularizer=keras.regularizers.L2(0.5)).get_config()

    layer = layers.Dense.from_config(config)

    assert layer.units == 3
    assert_close(layer.kernel_regularizer(torch.ones(2)), torch.tensor(1.0))


def test_names_with_dots_get_underscores():
    x = keras.Input((3,), name="half_05")
    inner = keras.Sequential([keras.Input((3,)), L.Dense(2, name="dense_05")], name="net_05")
    text = keras.Model(x, inner(x), name="all_05").to_json()

    model = model_from_json(text.replace("_05", "_0.5"))

    assert model.name == "all_0_5"
    assert [layer.name for layer in model.layers] == ["half_0_5", "net_0_5"]
    assert "net_0_5.dense_0_5.linear.weight" in model.state_dict()


def test_code_in_a_config_is_refused():
    x = keras.Input((3,))
    text = keras.Model(x, L.Dense(2)(x)).to_json()
    lambda_ = {"class_name": "__lambda__", "config": {"value": ["4wEAAA==", None, None]}}

    with pytest.raises(ValueError, match="holds a lambda, which is code and is never run"):
        model_from_json(
            text.replace('"activation": "linear"', f'"activation": {json.dumps(lambda_)}')
        )


def test_what_kerasish_has_not_is_named():
    x = keras.Input((3,))
    text = keras.Model(x, keras.ops.relu(x)).to_json()

    with pytest.raises(ValueError, match=r"Keras's operation Blur.*Build this model in code"):
        model_from_json(text.replace('"Relu"', '"Blur"'))
    dense = json.loads(json.dumps(keras.saving.serialize_keras_object(L.Dense(2))))
    with pytest.raises(ValueError, match="names 'Denser', which is not part of kerasish"):
        layers.deserialize({**dense, "class_name": "Denser"})
    with pytest.raises(ValueError, match="cannot be ordered: 'relu"):
        model_from_json(text.replace('"keras_history": ["', '"keras_history": ["lost_'))


def test_own_layers_in_a_model_of_keras_are_passed_in():
    class Twice(L.Layer):
        def call(self, inputs):
            return 2 * inputs

    x = keras.Input((3,))
    text = keras.Model(x, Twice()(x)).to_json()

    class OurTwice(layers.Layer):
        def call(self, inputs):
            return 2 * inputs

    model = model_from_json(text, custom_objects={"Twice": OurTwice})

    assert_close(model(torch.ones(2, 3)), torch.full((2, 3), 2.0))
