"""Data sets of Hugging Face, polars frames and memory maps give what plain arrays give."""

import numpy as np
import pytest
import torch

import kerasish
from kerasish import layers

R = np.random.default_rng(0)
X = R.normal(size=(48, 4)).astype("float32")
Y = R.integers(0, 3, 48)


def fitted(*data, model=None, **options):
    """The losses of two epochs from the same weights."""
    torch.manual_seed(0)
    model = model or kerasish.Sequential([layers.Input((4,)), layers.Dense(3)])
    loss = kerasish.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(kerasish.optimizers.SGD(0.1), loss)
    return model.fit(*data, epochs=2, verbose=0, **options).history


@pytest.fixture
def table():
    datasets = pytest.importorskip("datasets")
    return datasets.Dataset.from_dict({"x": X.tolist(), "label": Y.tolist()})


@pytest.mark.parametrize("kind", [None, "numpy", "torch", "pandas"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"shuffle": False, "batch_size": 7},
        {"validation_split": 0.25},
        {"class_weight": {0: 2.0, 1: 1.0, 2: 0.5}},
        {"steps_per_epoch": 2},
    ],
    ids=str,
)
def test_a_table_trains_as_its_arrays_do(table, kind, options):
    assert fitted(table.with_format(kind), **options) == fitted(X, Y, **options)


@pytest.mark.parametrize("made", [list, np.array, torch.tensor], ids=["list", "array", "tensor"])
def test_the_transform_of_a_table_is_applied(table, made):
    def doubled(rows):
        return {"pixels": [made(2 * np.array(x)) for x in rows["x"]], "labels": rows["label"]}

    found = fitted(table.with_transform(doubled), batch_size=7)

    assert found == fitted(2 * X, Y, batch_size=7)
    source = kerasish.data.columns.open_table(table.with_transform(doubled))
    assert source.is_fixed is None  # it may augment: features of its rows are not kept


def test_images_from_a_transform_are_stacked():
    image = pytest.importorskip("PIL.Image")
    pictures = [image.new("RGB", (5, 4), (shade, 0, 0)) for shade in (1, 2)]

    stacked = kerasish.data.columns.stacked(pictures, "image")

    assert stacked.shape == (2, 4, 5, 3)
    assert stacked[:, 0, 0, 0].tolist() == [1, 2]


def test_rows_of_different_shapes_from_a_transform_are_refused(table):
    def grown(rows):
        return {"x": [np.ones(1 + label) for label in rows["label"]], "label": rows["label"]}

    with pytest.raises(ValueError, match="different shapes in column 'x'"):
        fitted(table.with_transform(grown))


def test_a_stream_trains_as_its_arrays_do(table):
    found = fitted(table.to_iterable_dataset(), batch_size=16)
    assert found == fitted(X, Y, batch_size=16, shuffle=False)


def test_a_stream_that_shuffles_has_another_order_in_each_epoch(table):
    stream = table.to_iterable_dataset().shuffle(seed=1, buffer_size=48)
    seen = []

    class Watch(kerasish.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, x):
            seen.append(x[:, 0].detach().tolist())
            return self.dense(x)

    fitted(stream, batch_size=48, model=Watch())
    first, second = seen[-2:]
    assert sorted(first) == sorted(second) == sorted(X[:, 0].tolist())
    assert first != second


def test_a_table_validates_evaluates_and_predicts(table):
    held = fitted(X, Y, validation_data=table)
    assert held == fitted(X, Y, validation_data=(X, Y))
    model = kerasish.Sequential([layers.Input((4,)), layers.Dense(3)])
    np.testing.assert_array_equal(model.predict(table, verbose=0), model.predict(X, verbose=0))


def test_lazy_columns_are_arrays(table):
    for kind in (None, "numpy", "torch"):
        table = table.with_format(kind)
        assert fitted(table["x"], table["label"]) == fitted(X, Y)


def test_several_inputs_are_named_by_their_columns():
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict({"a": X.tolist(), "b": X.tolist(), "labels": Y.tolist()})

    def model():
        torch.manual_seed(1)
        a, b = layers.Input((4,), name="a"), layers.Input((4,), name="b")
        return kerasish.Model({"a": a, "b": b}, layers.Dense(3)(a - b * 2.0))

    assert fitted(table, model=model()) == fitted({"a": X, "b": X}, Y, model=model())


def test_splits_and_ambiguous_targets_are_refused(table):
    datasets = pytest.importorskip("datasets")
    with pytest.raises(ValueError, match=r"splits \['train'\].*data\['train'\]"):
        fitted(datasets.DatasetDict({"train": table}))
    with pytest.raises(ValueError, match=r"\['label', 'y'\].*remove_columns"):
        fitted(table.add_column("y", Y.tolist()))
    with pytest.raises(ValueError, match="no inputs"):
        fitted(table.remove_columns("x"))


def test_polars_frames_train_as_arrays_do():
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({f"f{i}": X[:, i] for i in range(4)})
    labels = polars.Series("y", Y)
    assert fitted(frame, labels) == fitted(X, Y)
    assert fitted(frame, labels, validation_split=0.25) == fitted(X, Y, validation_split=0.25)
    with pytest.raises(TypeError, match=r"\.collect\(\)"):
        fitted(frame.lazy(), labels)


def test_memory_maps_train_as_arrays_do_and_stay_on_disk(tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for options in ({}, {"shuffle": False}, {"validation_split": 0.25}):
        assert fitted(mapped, Y, **options) == fitted(X, Y, **options)
    assert kerasish.data.ArrayFeed(mapped).peek()[0].data_ptr() == mapped.ctypes.data


def test_a_memory_map_of_float64_says_that_it_is_read_whole(tmp_path):
    np.save(tmp_path / "x.npy", X.astype("float64"))
    with pytest.warns(UserWarning, match="read into memory whole.*float32"):
        found = fitted(np.load(tmp_path / "x.npy", mmap_mode="r"), Y)
    assert found == fitted(X, Y)
