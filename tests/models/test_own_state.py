"""Hooks by which layers save values and files of their own, and say how they were built."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import kerasish
from kerasish import layers
from kerasish.models.own_state import own_state
from kerasish.saving.archive import read_archive, write_archive

X = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")


@kerasish.register(package="own_state")
class WithWords(layers.Dense):
    """Keeps a text in a file, and a number that no state_dict holds."""

    def __init__(self, words=None, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.words, self.calls = words, 0

    def save_assets(self, folder):
        (Path(folder) / "deep").mkdir()
        (Path(folder) / "deep" / "words.txt").write_text(self.words)
        (Path(folder) / "empty").touch()

    def load_assets(self, folder):
        assert (Path(folder) / "empty").read_bytes() == b""
        self.words = (Path(folder) / "deep" / "words.txt").read_text()

    def save_own_variables(self, store):
        super().save_own_variables(store)
        store["calls"] = np.int64(self.calls)

    def load_own_variables(self, store):
        self.calls = int(store["calls"])
        super().load_own_variables(store)


@kerasish.register(package="own_state")
class BuiltWith(layers.Layer):
    """Its `build` takes an argument more, as Keras's guide has it."""

    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape, kind):
        super().build(input_shape)
        self.kind, self._shape = kind, input_shape
        self.w = self.add_weight(shape=(input_shape[-1], self.units), initializer=kind)
        self.b = self.add_weight(shape=(self.units,), initializer=kind)

    def call(self, inputs):
        return inputs @ self.w + self.b

    def get_config(self):
        return dict(units=self.units, **super().get_config())

    def get_build_config(self):
        return {"kind": self.kind, "input_shape": self._shape}

    def build_from_config(self, config):
        self.build(config["input_shape"], config["kind"])


def saved(model, path):
    model.save(path / "model.kerasish")
    return kerasish.load_model(path / "model.kerasish")


def test_values_and_files_of_layers_come_back(tmp_path):
    model = kerasish.Sequential([layers.Input((4,)), WithWords("Mary had a lamb", units=2)])
    first = kerasish.Sequential([layers.Input((4,)), WithWords("none", units=2)])
    model.layers[0].calls = 7
    assert set(own_state(model)) == {"own_variables", "assets"}

    for again in (saved(model, tmp_path), saved(kerasish.Sequential([model]), tmp_path).layers[0]):
        layer = again.layers[0]
        assert layer.words == "Mary had a lamb"
        assert layer.calls == 7
        assert_close(again.predict(X, verbose=0), model.predict(X, verbose=0))
    assert saved(first, tmp_path).layers[0].words == "none"


def test_files_without_hooks_have_no_more_groups_than_before(tmp_path):
    model = kerasish.Sequential([layers.Input((4,)), layers.Dense(2)])
    model.save(tmp_path / "model.kerasish")
    assert list(read_archive(tmp_path / "model.kerasish").tensors) == ["weights"]


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out", "", "c:\\out", "..\\out"])
def test_assets_stay_in_their_folder(name, tmp_path):
    model = kerasish.Sequential([layers.Input((4,)), WithWords("x", units=2, name="words")])
    path = tmp_path / "model.kerasish"
    model.save(path)
    archive = read_archive(path)
    archive.tensors["assets"]["words/" + name] = torch.zeros(3, dtype=torch.uint8)
    write_archive(path, archive.documents, archive.tensors)

    with pytest.raises(ValueError, match="asset of a strange name"):
        kerasish.load_model(path)


def graph(layer):
    x = kerasish.Input((4,))
    return kerasish.Model(x, layers.Dense(1)(layer(x)))


@pytest.mark.parametrize("make", [graph, lambda layer: kerasish.Sequential([layer])])
def test_a_layer_that_says_how_it_was_built_is_built_so_again(make, tmp_path):
    layer = BuiltWith(2)
    layer.build((None, 4), kind="random_normal")
    model = make(layer)
    model(X)

    again = saved(model, tmp_path)

    found = next(part for part in again.layers if isinstance(part, BuiltWith))
    assert found.kind == "random_normal"
    assert again.built
    assert_close(again.predict(X, verbose=0), model.predict(X, verbose=0))
    assert kerasish.models.model_from_json(model.to_json()).count_params() == model.count_params()


def test_the_shape_of_the_build_is_kept_and_builds_again():
    layer = layers.Dense(2)
    assert layer.get_build_config() is None
    layer.build((None, 4))
    other = layers.Dense(2)
    other.build_from_config(layer.get_build_config())
    assert other.kernel.shape == (4, 2)


def test_own_variables_are_the_weights_by_number_without_those_of_inner_layers():
    layer, store = layers.Dense(2), {}
    layer.build((None, 4))
    layer.save_own_variables(store)
    assert {key: tuple(value.shape) for key, value in store.items()} == {"0": (2, 4), "1": (2,)}

    layer.load_own_variables({"0": np.ones((2, 4)), "1": torch.zeros(2)})
    assert_close(layer(torch.ones(1, 4)), torch.full((1, 2), 4.0))
    wrapped, store = layers.TimeDistributed(layers.Dense(2)), {}
    wrapped(torch.ones(1, 3, 4))
    wrapped.save_own_variables(store)
    assert store == {}


@kerasish.register(package="own_state")
def tenth(y_true, y_pred):
    return (y_pred - y_true).square().mean(-1) / 10


@kerasish.register(package="own_state")
class OwnCompile(kerasish.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(1)

    def call(self, inputs):
        return self.dense(inputs)

    def compile(self, optimizer, loss_fn):
        super().compile(optimizer=optimizer, loss=loss_fn)
        self.my_optimizer, self.loss_fn = optimizer, loss_fn

    def get_compile_config(self):
        return {"my_optimizer": self.my_optimizer, "loss_fn": self.loss_fn}

    def compile_from_config(self, config):
        find = kerasish.saving.deserialize_keras_object
        self.compile(find(config["my_optimizer"]), loss_fn=find(config["loss_fn"]))


@pytest.mark.filterwarnings("ignore::kerasish.training.preflight.AdviceWarning")
def test_a_compile_of_ones_own_is_saved_by_its_own_config(tmp_path):
    model = OwnCompile()
    model.compile("adam", loss_fn=tenth)
    model.fit(X, X[:, :1], verbose=0)

    again = saved(model, tmp_path)

    assert (again.my_optimizer, again.loss_fn) == ("adam", tenth)
    for one in (model, again):
        one.fit(X, X[:, :1], epochs=2, shuffle=False, verbose=0)
    assert_close(again.get_weights(), model.get_weights())


@pytest.mark.parametrize("store", [{}, {"0": torch.ones(2)}, {"0": 1.0, "1": torch.ones(2)}])
def test_own_variables_that_do_not_fit_change_nothing(store):
    dense = layers.Dense(2)
    dense.build((None, 3))
    before = [w.copy() for w in dense.get_weights()]

    with pytest.raises(ValueError, match=r"Dense\.load_own_variables: weight 0 has shape \(2, 3\)"):
        dense.load_own_variables(store)

    assert all((a == b).all() for a, b in zip(before, dense.get_weights(), strict=True))


def test_files_for_a_layer_that_reads_none_are_told(tmp_path):
    model = kerasish.Sequential([kerasish.Input((3,)), layers.Dense(2, name="dense")])
    model.save(tmp_path / "model.kerasish")
    archive = read_archive(tmp_path / "model.kerasish")
    assets = {"dense/words.txt": torch.zeros(3, dtype=torch.uint8)}
    groups = {**archive.tensors, "assets": assets}
    write_archive(tmp_path / "model.kerasish", archive.documents, groups)

    with pytest.raises(ValueError, match="assets of 'dense', and Dense has no load_assets"):
        kerasish.load_model(tmp_path / "model.kerasish")
