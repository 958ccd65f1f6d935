"""Targets and predictions from any kind of data."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch import nn
from torch.testing import assert_close
from torch.utils.data import DataLoader, Subset, TensorDataset

import kerasish
from kerasish import layers, report


class Named(TensorDataset):
    class_names = ("a", "b", "c")


def model():
    return kerasish.Sequential([layers.Input((4,)), layers.Dense(3)])


def data(rows=7):
    x = np.random.default_rng(0).normal(size=(rows, 4)).astype("float32")
    return x, np.arange(rows) % 3


@pytest.mark.parametrize("source", ["arrays", "tensors", "dataset", "loader", "generator"])
def test_targets_stay_beside_their_predictions(source):
    network, (x, y) = model(), data()
    pairs = TensorDataset(torch.as_tensor(x), torch.as_tensor(y))
    given = {
        "arrays": (x, y),
        "tensors": (torch.as_tensor(x), torch.as_tensor(y)),
        "dataset": (pairs,),
        "loader": (DataLoader(pairs, batch_size=3),),
        "generator": (((x[i : i + 2], y[i : i + 2]) for i in range(0, 7, 2)),),
    }[source]

    found = report.predictions(network, *given)

    assert_array_equal(found.y_true, y)
    assert_close(found.y_pred, network.predict(x, verbose=0))


def test_a_shuffling_loader_keeps_pairs_together():
    network, (x, y) = model(), data(20)
    pairs = TensorDataset(torch.as_tensor(x), torch.as_tensor(y))
    by_row = {tuple(p): t for p, t in zip(network.predict(x, verbose=0).round(4), y, strict=True)}

    found = report.predictions(network, DataLoader(pairs, batch_size=4, shuffle=True))

    assert [by_row[tuple(p)] for p in found.y_pred.round(4)] == found.y_true.tolist()


def test_names_come_from_the_data_and_reach_the_matrix():
    x, y = data()
    pairs = Named(torch.as_tensor(x), torch.as_tensor(y))

    found = report.confusion_matrix(*report.predictions(model(), pairs))

    assert found.class_names == ["a", "b", "c"]
    assert found.matrix.sum() == 7


def test_names_come_from_the_model_otherwise():
    network = model()
    network.class_names = ["x", "y", "z"]

    assert report.predictions(network, *data()).class_names == ["x", "y", "z"]


def test_raw_images_are_made_ready():
    network = kerasish.Sequential([layers.Input((3, 4, 4)), layers.Flatten(), layers.Dense(2)])
    network.preprocessing = kerasish.applications.ImagePreprocessing(
        (4, 4), mean=[0.5] * 3, std=[0.5] * 3
    )
    raw = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 8))

    class Folder:
        """Batches of pixels from 0 to 255, as those of image folders."""

        holds_pixels = True

        def __init__(self, dtype):
            self.dtype = dtype

        def __iter__(self):
            for rows in (slice(0, 2), slice(2, 5)):
                yield raw[rows].astype(self.dtype), np.zeros(len(raw[rows]))

    wanted = network.predict(raw.astype("uint8"), verbose=0)
    for dtype in ("uint8", "float32"):
        found = report.predictions(network, Folder(dtype))

        assert_close(found.y_pred, wanted, rtol=0, atol=0.02)


def test_views_are_averaged():
    x = np.random.default_rng(0).random((3, 1, 5, 5)).astype("float32")
    network = kerasish.Sequential([layers.Input((1, 5, 5)), layers.Flatten(), layers.Dense(2)])

    found = report.predictions(network, x, np.zeros(3), tta="flips")

    assert_close(found.y_pred, network.predict(x, verbose=0, tta="flips"))


def test_a_torch_module_is_taken():
    x, y = data()

    assert report.predictions(nn.Linear(4, 3), x, y).y_pred.shape == (7, 3)


def test_data_without_targets_are_refused():
    with pytest.raises(ValueError, match="must bring one target for each row"):
        report.predictions(model(), data()[0])


def test_several_outputs_are_refused():
    x = layers.Input((4,))
    network = kerasish.Model(x, [layers.Dense(1)(x), layers.Dense(2)(x)])

    with pytest.raises(ValueError, match="one output is needed"):
        report.predictions(network, *data())


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match="Expected a model or a torch module"):
        report.predictions("resnet", *data())


# Names of classes


def test_class_names_of_a_table_and_of_what_a_loader_reads_are_found():
    datasets = pytest.importorskip("datasets")
    rows, labels = np.ones((6, 4), "float32"), np.arange(6) % 2
    kinds = datasets.Features(
        {
            "x": datasets.List(datasets.Value("float32")),
            "label": datasets.ClassLabel(names=["cat", "dog"]),
        }
    )
    table = datasets.Dataset.from_dict({"x": rows.tolist(), "label": labels.tolist()}, kinds)
    pictures = TensorDataset(torch.as_tensor(rows), torch.as_tensor(labels))
    pictures.classes = ["cat", "dog"]  # as torchvision's have them
    model = kerasish.Sequential([layers.Input((4,)), layers.Dense(2)])

    for data in (table, pictures, DataLoader(Subset(pictures, [0, 1, 2]), batch_size=2)):
        assert report.predictions(model, data).class_names == ["cat", "dog"]
