"""Files of Keras 3: the model in them, and their weights for a model built here."""

import json
import zipfile

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import kerasish
from kerasish import Model, Sequential, layers
from kerasish.models import load_model, model_from_json

keras = pytest.importorskip("keras")
pytest.importorskip("h5py")
L = keras.layers

# Keras makes arrays of its variables in a way that NumPy has given up.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def shuffled(model):
    """Weights that no initialiser gives, so that none can be right by chance."""
    draw = np.random.default_rng(1).uniform
    model.set_weights([draw(0.1, 0.5, size=w.shape) for w in model.get_weights()])
    return model


def with_all_kinds_of_parts():
    x = keras.Input((5, 4))
    y = L.MultiHeadAttention(2, 3)(x, x)
    y = L.Bidirectional(L.LSTM(3, return_sequences=True))(y)
    y = L.TimeDistributed(L.Dense(2))(y)
    y = L.RNN([L.LSTMCell(3), L.GRUCell(2)], return_sequences=True)(y)
    y = L.Dropout(0.1, seed=1)(L.GRU(3)(y))
    y = L.SpectralNormalization(L.Dense(2))(y)
    return keras.Model(x, L.Dense(2)(L.PReLU()(y))), (3, 5, 4)


def with_models_inside():
    a, b = keras.Input((3,)), keras.Input((4,))
    stack = keras.Sequential([keras.Input((3,)), L.Dense(4), L.BatchNormalization(), L.Dense(4)])
    inner = keras.Model(b, L.add([L.Dense(4)(b), b]))
    y = L.Dense(2)(inner(stack(a)))
    return keras.Model(a, y), (3, 3)


def of_images():
    image = keras.Input((6, 6, 2))
    x = L.SeparableConv2D(3, 3, activation="relu")(image)
    y = L.Conv2D(3, 3)(image)
    z = L.GroupNormalization(3)(L.Conv2DTranspose(3, 2)(L.concatenate([x, y])))
    return keras.Model(image, L.Dense(2)(L.Flatten()(z))), (2, 6, 6, 2)


def with_groups_of_queries():
    x = keras.Input((5, 4))
    return keras.Model(x, L.GroupQueryAttention(3, 4, 2)(x, x)), (2, 5, 4)


def with_a_constant():
    x = keras.Input((3,))
    return keras.Model(x, L.Dense(2)(x + np.arange(3, dtype="float32"))), (2, 3)


MAKERS = [
    with_all_kinds_of_parts,
    with_models_inside,
    of_images,
    with_groups_of_queries,
    with_a_constant,
]


@pytest.mark.parametrize("make", MAKERS)
def test_a_keras_file_gives_the_same_predictions_here(make, tmp_path):
    theirs, shape = make()
    shuffled(theirs).save(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=shape).astype("float32")

    ours = load_model(tmp_path / "model.keras")

    assert not ours.training
    want, got = theirs.predict(x, verbose=0), ours.predict(x, verbose=0)
    assert_close(torch.as_tensor(got), torch.as_tensor(want), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", MAKERS)
def test_files_of_weights_fill_a_model_of_the_same_layers(make, tmp_path):
    theirs, _ = make()
    shuffled(theirs).save_weights(tmp_path / "model.weights.h5")
    ours = model_from_json(theirs.to_json())

    ours.load_weights(tmp_path / "model.weights.h5")

    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_bfloat16_weights_of_keras_are_read(tmp_path):
    x = keras.Input((3,))
    theirs = keras.Model(x, L.Dense(2, dtype="bfloat16")(x))
    shuffled(theirs).save(tmp_path / "model.keras")

    kernel = load_model(tmp_path / "model.keras").layers[1].kernel

    assert kernel.dtype == torch.bfloat16
    assert torch.equal(torch.as_tensor(kernel), theirs.layers[1].kernel.value)


def test_a_sequential_model_built_here_takes_weights_of_keras(tmp_path):
    theirs = keras.Sequential([keras.Input((4,)), L.Dense(3, "relu"), L.Dense(2)])
    shuffled(theirs).save(tmp_path / "model.keras")
    ours = Sequential([layers.Input((4,)), layers.Dense(3, "relu"), layers.Dense(2)])

    ours.load_weights(tmp_path / "model.keras")

    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def of_own_code(base, kinds):
    """A class of models with layers in attributes, lists and dicts, on Keras or on kerasish."""

    class Own(base):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.first, self.last = kinds.Dense(3), kinds.Dense(2)
            self.many = [kinds.Dense(3, "tanh"), kinds.Dense(3)]
            self.named = {"b": kinds.Dense(3), "a": kinds.Dense(3)}
            self.deep = [[kinds.Dense(3)], {"c": kinds.Dense(3)}]

        def call(self, inputs):
            x = self.first(inputs)
            inner = [*self.named.values(), self.deep[0][0], self.deep[1]["c"]]
            for layer in [*self.many, *inner]:
                x = layer(x)
            return self.last(x)

    return Own


Theirs, Ours = of_own_code(keras.Model, L), of_own_code(Model, layers)


def test_models_of_own_code_take_weights_by_their_attributes(tmp_path):
    theirs, ours = Theirs(), Ours()
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    theirs(x), ours(x)
    shuffled(theirs).save_weights(tmp_path / "model.weights.h5")
    theirs.save(tmp_path / "model.keras")

    ours.load_weights(tmp_path / "model.weights.h5")
    again = load_model(tmp_path / "model.keras", custom_objects={"Own": Ours})

    want = torch.as_tensor(theirs.predict(x, verbose=0))
    assert_close(torch.as_tensor(ours.predict(x, verbose=0)), want, rtol=1e-4, atol=1e-5)
    assert_close(torch.as_tensor(again.predict(x, verbose=0)), want, rtol=1e-4, atol=1e-5)


def of_a_dict(base, dense):
    class Pair(base):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.a, self.b = dense(2), dense(2)

        def call(self, inputs):
            return self.a(inputs["a"]) + self.b(inputs["b"])

    return Pair


def test_a_model_of_own_code_on_a_dict_is_built_from_its_shapes(tmp_path):
    theirs = of_a_dict(keras.Model, L.Dense)()
    x = {"a": np.ones((2, 4), "float32"), "b": np.ones((2, 3), "float32")}
    theirs(x)
    shuffled(theirs).save(tmp_path / "model.keras")

    ours = load_model(tmp_path / "model.keras", {"Pair": of_a_dict(Model, layers.Dense)})

    np.testing.assert_allclose(ours.predict(x, verbose=0), theirs.predict(x, verbose=0), rtol=1e-5)


def test_a_keras_file_comes_compiled_unless_told_not_to(tmp_path):
    theirs = keras.Sequential([keras.Input((4,)), L.Dense(1)])
    theirs.compile(keras.optimizers.SGD(0.5), "mse", metrics=["mae"])
    x, y = np.ones((4, 4), "float32"), np.zeros((4, 1), "float32")
    theirs.fit(x, y, verbose=0)
    theirs.save(tmp_path / "model.keras")

    ours = load_model(tmp_path / "model.keras")

    assert ours.evaluate(x, y, verbose=0) == pytest.approx(theirs.evaluate(x, y, verbose=0))
    ours.fit(x, y, verbose=0)
    theirs.fit(x, y, verbose=0)
    np.testing.assert_allclose(ours.get_weights()[0], theirs.get_weights()[0], rtol=1e-5)
    assert not load_model(tmp_path / "model.keras", compile=False).compiled


def test_the_kernel_of_an_adapted_layer_is_the_whole_one(tmp_path):
    theirs = keras.Sequential([keras.Input((4,)), L.Dense(3)])
    theirs.layers[0].enable_lora(2)
    shuffled(theirs).save(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")

    ours = load_model(tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    again.set_weights([w + 1 for w in again.get_weights()])
    again.load_weights(tmp_path / "model.keras")

    for model in (ours, again):
        np.testing.assert_allclose(model.predict(x), theirs.predict(x, verbose=0), rtol=1e-5)


def test_weights_of_another_model_are_refused_and_change_nothing(tmp_path):
    theirs = keras.Sequential([keras.Input((4,)), L.Dense(3), L.Dense(2)])
    theirs.save_weights(tmp_path / "model.weights.h5")
    wider = Sequential([layers.Input((4,)), layers.Dense(3), layers.Dense(5)], name="wider")
    deeper = Sequential([*(layers.Dense(3) for _ in range(2)), layers.Dense(2, name="top")])
    deeper.build((None, 4))
    before = wider.get_weights()

    with pytest.raises(ValueError, match=r"has shapes \[\(3, 5\), \(5,\)\], and the file \[\(3, 2"):
        wider.load_weights(tmp_path / "model.weights.h5")
    with pytest.raises(ValueError, match="'top' is missing"):
        deeper.load_weights(tmp_path / "model.weights.h5")
    with pytest.raises(ValueError, match="Keras's must fit"):
        wider.load_weights(tmp_path / "model.weights.h5", skip_mismatch=True)
    for a, b in zip(before, wider.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_file_of_weights_is_no_model(tmp_path):
    theirs = keras.Sequential([keras.Input((4,)), L.Dense(2)])
    theirs.save_weights(tmp_path / "model.weights.h5")

    with pytest.raises(ValueError, match="it holds weights and no model"):
        load_model(tmp_path / "model.weights.h5")


@pytest.mark.parametrize("make", [with_all_kinds_of_parts, with_models_inside, of_images])
def test_older_files_of_keras_3_give_the_same_predictions_here(make, tmp_path):
    theirs, shape = make()
    theirs.compile("sgd", "mse")
    shuffled(theirs).save(tmp_path / "model.h5")
    x = np.random.default_rng(0).normal(size=shape).astype("float32")

    ours = load_model(tmp_path / "model.h5")

    want, got = theirs.predict(x, verbose=0), ours.predict(x, verbose=0)
    assert_close(torch.as_tensor(got), torch.as_tensor(want), rtol=1e-4, atol=1e-5)
    assert type(ours.optimizer).__name__ == "SGD"


def test_older_files_come_compiled_with_losses_and_metrics_of_own_settings(tmp_path):
    theirs = keras.Sequential([keras.Input((4,)), L.Dense(3, activation="softmax")])
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.5)
    theirs.compile("sgd", loss, metrics=[keras.metrics.TopKCategoricalAccuracy(k=2, name="top")])
    theirs.save(tmp_path / "model.h5")
    x, y = np.random.default_rng(0).normal(size=(8, 4)), np.eye(3)[[0, 1, 2, 0, 1, 2, 0, 1]]

    ours = load_model(tmp_path / "model.h5")

    want = theirs.evaluate(x, y, verbose=0)
    assert ours.evaluate(x, y, verbose=0) == pytest.approx(want, rel=1e-5)


def test_older_files_of_another_model_are_refused(tmp_path):
    theirs = keras.Sequential([keras.Input((4,)), L.Dense(3), L.Dense(2)])
    theirs.save(tmp_path / "model.h5")
    ours = Sequential([layers.Input((4,)), layers.Dense(3)])

    with pytest.raises(ValueError, match="has 1 layers with weights, and the file 2"):
        ours.load_weights(tmp_path / "model.h5")


def keras_2_dense(name, units, **more):
    """The settings of a layer as Keras 2.15 wrote them."""
    nothing = ("kernel_regularizer", "bias_regularizer", "activity_regularizer")
    nothing += ("kernel_constraint", "bias_constraint")
    return {
        "name": name,
        "trainable": True,
        "dtype": "float32",
        "units": units,
        "activation": "relu",
        "use_bias": True,
        "kernel_initializer": {"class_name": "GlorotUniform", "config": {"seed": None}},
        "bias_initializer": {"class_name": "Zeros", "config": {}},
        **dict.fromkeys(nothing),
        **more,
    }


def keras_2_input(name):
    config = {"batch_input_shape": [None, 3], "dtype": "float32", "sparse": False, "ragged": False}
    return {"class_name": "InputLayer", "config": {**config, "name": name}}


KERAS_2 = {
    "Sequential": {
        "name": "sequential",
        "layers": [
            keras_2_input("dense_input"),
            {
                "class_name": "Dense",
                "config": keras_2_dense("dense", 4, batch_input_shape=[None, 3]),
            },
            {"class_name": "Dense", "config": keras_2_dense("dense_1", 2)},
        ],
    },
    "Functional": {
        "name": "model",
        "trainable": True,
        "layers": [
            {**keras_2_input("x"), "name": "x", "inbound_nodes": []},
            {
                "class_name": "Dense",
                "config": keras_2_dense("dense", 4),
                "name": "dense",
                "inbound_nodes": [[["x", 0, 0, {}]]],
            },
            {
                "class_name": "Concatenate",
                "config": {"name": "c", "trainable": True, "dtype": "float32", "axis": -1},
                "name": "c",
                "inbound_nodes": [[["x", 0, 0, {}], ["dense", 0, 0, {}]]],
            },
            {
                "class_name": "Dense",
                "config": keras_2_dense("dense_1", 2),
                "name": "dense_1",
                "inbound_nodes": [[["c", 0, 0, {}]]],
            },
        ],
        "input_layers": [["x", 0, 0]],
        "output_layers": [["dense_1", 0, 0]],
    },
}


@pytest.mark.filterwarnings("ignore:Do not pass an `input_shape`:UserWarning")
@pytest.mark.parametrize("kind", KERAS_2)
def test_files_of_keras_2_are_read_as_keras_3_reads_them(kind, tmp_path):
    import h5py

    draw = np.random.default_rng(0)
    inner = 4 if kind == "Sequential" else 7
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": kind, "config": KERAS_2[kind]})
        file.attrs["keras_version"], file.attrs["backend"] = "2.15.0", "tensorflow"
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [b"dense", b"dense_1"]
        for name, shape in (("dense", (3, 4)), ("dense_1", (inner, 2))):
            group = weights.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{k}:0".encode() for k in ("kernel", "bias")]
            group[f"{name}/kernel:0"] = draw.normal(size=shape).astype("float32")
            group[f"{name}/bias:0"] = draw.normal(size=shape[1]).astype("float32")
    x = draw.normal(size=(5, 3)).astype("float32")

    ours = load_model(tmp_path / "model.h5").predict(x, verbose=0)

    theirs = keras.models.load_model(tmp_path / "model.h5", compile=False).predict(x, verbose=0)
    assert_close(torch.as_tensor(ours), torch.as_tensor(theirs))


def test_vocabularies_beside_the_model_are_said_to_be_left_out(tmp_path):
    path = tmp_path / "model.keras"
    keras.Sequential([keras.Input((4,)), L.Dense(2)]).save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("assets/words/vocabulary.txt", "a")

    with pytest.warns(UserWarning, match=r"vocabularies in .*assets/words.* call set_vocabulary"):
        load_model(path)


def test_a_keras_file_may_have_another_name(tmp_path):
    theirs = keras.Sequential([keras.Input((4,)), L.Dense(2)])
    theirs.save(tmp_path / "model.keras")
    (tmp_path / "model.keras").rename(tmp_path / "best.model")

    ours = load_model(tmp_path / "best.model")

    np.testing.assert_array_equal(ours.get_weights()[0], theirs.get_weights()[0])


def test_code_in_a_keras_file_is_refused(tmp_path):
    path, changed = tmp_path / "model.keras", tmp_path / "changed.keras"
    keras.Sequential([keras.Input((4,)), L.Dense(2, "relu")]).save(path)
    code = {"class_name": "__lambda__", "config": {"value": ["4wEAAA==", None, None]}}
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            text = old.read(name)
            if name == "config.json":
                text = text.replace(
                    b'"activation": "relu"', b'"activation": ' + json.dumps(code).encode()
                )
            new.writestr(name, text)

    with pytest.raises(ValueError, match="holds a lambda"):
        load_model(changed)


def test_a_file_of_ours_may_be_called_keras(tmp_path):
    model = Sequential([layers.Input((4,)), layers.Dense(2)])
    model.save(tmp_path / "model.keras")

    again = kerasish.load_model(tmp_path / "model.keras")

    assert_close(again(torch.ones(1, 4)), model(torch.ones(1, 4)))
