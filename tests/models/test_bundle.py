"""Class names of a model: taken from data, kept in files, put to predictions."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import kerasish
from kerasish import layers
from kerasish.saving.archive import read_archive, write_archive


def made(units=3, activation="softmax"):
    model = kerasish.Sequential([layers.Input((4,)), layers.Dense(units, activation=activation)])
    loss = "binary_crossentropy" if units == 1 else "sparse_categorical_crossentropy"
    model.compile("sgd", loss)
    return model


def data(names, rows=6):
    loader = DataLoader(TensorDataset(torch.rand(rows, 4), torch.arange(rows) % 2), batch_size=3)
    loader.class_names = names
    return loader


def test_fit_takes_class_names_from_the_data():
    model = made()
    model.fit(data(["cat", "dog", "owl"]), verbose=0)

    assert model.class_names == ["cat", "dog", "owl"]


@pytest.mark.parametrize("names", [["a", "b"], [], "abc", None], ids=str)
def test_names_that_do_not_fit_are_left_aside(names):
    model = made()
    model.fit(data(names), verbose=0)

    assert model.class_names is None


def test_names_that_are_known_stay_and_others_are_told_of():
    model = made()
    model.class_names = ["x", "y", "z"]
    with pytest.warns(UserWarning, match="named x, y, z and the data's a, b, c"):
        model.fit(data(["a", "b", "c"]), verbose=0)

    assert model.class_names == ["x", "y", "z"]


def test_class_names_and_freeze_point_are_in_the_file(tmp_path):
    model = made()
    model.class_names, model.freeze_point = ["x", "y", "z"], "dense"
    model.save(tmp_path / "m.kerasish")
    again = kerasish.load_model(tmp_path / "m.kerasish")

    assert again.class_names == ["x", "y", "z"]
    assert again.freeze_point == "dense"


@pytest.mark.parametrize("name", ["about", "frozen"])
@pytest.mark.parametrize("value", [["x"], "text", 3], ids=str)
def test_a_file_whose_bundle_was_altered_is_refused(name, value, tmp_path):
    made().save(tmp_path / "m.kerasish")
    archive = read_archive(tmp_path / "m.kerasish")
    documents = {**archive.documents, name: value}
    write_archive(tmp_path / "m.kerasish", documents, archive.tensors)

    with pytest.raises(ValueError, match="The file is damaged"):
        kerasish.load_model(tmp_path / "m.kerasish")


def test_predictions_are_decoded_best_first():
    model = made()
    model.class_names = ["x", "y", "z"]

    got = model.decode_predictions(np.array([[0.1, 0.7, 0.2], [0.5, 0.1, 0.4]]), top=2)

    assert [[(i, n) for i, n, _ in row] for row in got] == [
        [(1, "y"), (2, "z")],
        [(0, "x"), (2, "z")],
    ]
    assert [[score for *_, score in row] for row in got] == [[0.7, 0.2], [0.5, 0.4]]


def test_one_output_is_the_probability_of_the_second_class():
    model = made(1, "sigmoid")
    model.fit(data(["no", "yes"]), verbose=0)

    assert model.decode_predictions([[0.75]], top=1) == [[(1, "yes", 0.75)]]
    assert model.decode_predictions([[0.25]], top=1) == [[(0, "no", 0.75)]]


def test_classify_is_predict_and_decode():
    model = made()
    model.class_names = ["x", "y", "z"]
    x = np.random.default_rng(0).random((5, 4), dtype="float32")

    assert model.classify(x, top=2) == model.decode_predictions(model.predict(x, verbose=0), 2)


def test_what_cannot_be_decoded_is_explained():
    model = made()
    with pytest.raises(ValueError, match=r"does not know its class names. Set model.class_names"):
        model.classify(np.ones((2, 4), "float32"))
    model.class_names = ["x", "y", "z"]
    with pytest.raises(ValueError, match=r"expected shape \(batch, 3\)"):
        model.decode_predictions(np.ones((2, 4)))
    with pytest.raises(ValueError, match="`top` must be a positive number, got 0"):
        model.decode_predictions(np.ones((2, 3)), top=0)
    with pytest.raises(ValueError, match="must be a list of strings"):
        model.class_names = "xyz"


def test_freeze_stops_at_the_freeze_point():
    stack = [layers.Dense(3, name=name) for name in ("one", "two", "three")]
    model = kerasish.Sequential([layers.Input((4,)), *stack])
    model.freeze_point = "one"
    model.freeze()

    assert [stage.trainable for stage in model.stages()] == [False, True, True]


def test_models_may_call_a_layer_of_theirs_preprocessing():
    class Own(kerasish.Model):
        def __init__(self):
            super().__init__()
            self.preprocessing = layers.Rescaling(2.0)

        def call(self, inputs):
            return self.preprocessing(inputs)

    graph = made()
    graph.preprocessing = layers.Rescaling(2.0)
    x = np.ones((2, 4), "uint8")

    assert Own().predict(x, verbose=0).max() == 2
    assert graph.predict(x, verbose=0).shape == (2, 3)
    assert graph.preprocessing(torch.ones(1)) == 2
    with pytest.raises(TypeError, match="expected an object such as"):
        made().preprocessing = len
