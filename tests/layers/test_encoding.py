"""CategoryEncoding and Discretization against Keras and numbers worked by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from torch.utils.data import DataLoader, TensorDataset

from kerasish import layers
from kerasish.layers.encoding import encode
from kerasish.registry import deserialize, serialize
from tests.layers.harness import check_layer


@pytest.mark.parametrize("mode", ["one_hot", "multi_hot", "count"])
@pytest.mark.parametrize("shape", [(5,), (4, 1), (4, 3)], ids=str)
def test_encodings_are_those_of_keras(mode, shape):
    keras = pytest.importorskip("keras")
    x = torch.randint(0, 6, shape)
    ours, theirs = layers.CategoryEncoding(6, mode), keras.layers.CategoryEncoding(6, mode)

    y = ours(x)

    assert_close(y, theirs(x), check_dtype=True)
    rows = (None, *shape[1:])
    assert ours.compute_output_shape(rows) == tuple(theirs.compute_output_shape(rows))


def test_items_may_count_differently():
    y = layers.CategoryEncoding(3, "count")([[0, 1, 1]], count_weights=[[0.5, 0.25, 1.0]])

    assert_close(y, torch.tensor([[0.5, 1.25, 0.0]]))


def test_category_encoding_owes():
    check_layer(layers.CategoryEncoding(4), torch.randint(0, 4, (2, 3)), (2, 4))
    check_layer(layers.CategoryEncoding(4, "one_hot"), torch.randint(0, 4, (2, 3)), (2, 3, 4))


def test_the_type_may_be_an_integer_and_is_kept():
    layer = layers.CategoryEncoding(3, dtype="int32")

    assert layer([[0, 2]]).dtype == torch.int32
    assert deserialize(serialize(layer))([[0, 2]]).dtype == torch.int32


@given(rows=st.lists(st.lists(st.integers(-1, 4), min_size=3, max_size=3), min_size=1, max_size=5))
def test_counts_are_bincounts_and_negatives_count_as_nothing(rows):
    counts = encode(torch.tensor(rows), "count", 5, torch.float32)

    for row, counted in zip(rows, counts, strict=True):
        kept = [item for item in row if item >= 0]
        assert counted.tolist() == np.bincount(kept, minlength=5).tolist()
    assert_close(encode(torch.tensor(rows), "multi_hot", 5, torch.float32), counts.clamp(max=1))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"num_tokens": None}, "use IntegerLookup"),
        ({"num_tokens": 0}, "`num_tokens` must be a positive integer"),
        ({"num_tokens": 3, "output_mode": "int"}, "`output_mode` must be one of"),
        ({"num_tokens": 3, "sparse": True}, "sparse=True is not offered"),
    ],
    ids=str,
)
def test_category_encoding_refuses(arguments, text):
    with pytest.raises(ValueError, match=text):
        layers.CategoryEncoding(**arguments)


def test_categories_out_of_range_are_errors():
    with pytest.raises(ValueError, match="expects integers from 0 to 2, got some from 0 to 3"):
        layers.CategoryEncoding(3)([[0, 3]])
    with pytest.raises(ValueError, match="from -1 to 1"):
        layers.CategoryEncoding(3)([[1, -1]])
    with pytest.raises(ValueError, match="needs output_mode='count'"):
        layers.CategoryEncoding(3)([[1]], count_weights=[[1.0]])


# Discretization


@pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count"])
def test_bins_are_those_of_keras(mode):
    keras = pytest.importorskip("keras")
    x = torch.tensor([[-1.0, 0.0, 0.5], [1.0, 2.0, 9.0]])
    boundaries = [0.0, 1.0, 2.0]

    y = layers.Discretization(boundaries, output_mode=mode)(x)

    assert_close(y, keras.layers.Discretization(boundaries, output_mode=mode)(x))


@pytest.mark.parametrize("sizes", [(1000,), (2900, 13, 500), (3, 4)], ids=str)
@pytest.mark.parametrize("num_bins", [2, 7])
def test_learned_boundaries_are_those_of_keras(sizes, num_bins):
    keras = pytest.importorskip("keras")
    batches = [np.random.RandomState(size).randn(size) for size in sizes]
    theirs = keras.layers.Discretization(num_bins=num_bins)
    for batch in batches:  # its adapt() needs TensorFlow
        theirs.update_state(batch)
    theirs.finalize_state()
    ours = layers.Discretization(num_bins=num_bins)

    ours.adapt(batches)

    assert ours.bin_boundaries == pytest.approx(theirs.bin_boundaries, rel=1e-6)


def test_boundaries_are_quantiles():
    x = np.random.RandomState(0).rand(10_000)
    layer = layers.Discretization(num_bins=4)

    layer.adapt(x)

    assert layer.bin_boundaries == pytest.approx(np.quantile(x, [0.25, 0.5, 0.75]), abs=0.02)


def test_loaders_and_datasets_give_the_same_boundaries():
    x = torch.randn(512, 1)
    from_loader, from_dataset = layers.Discretization(num_bins=5), layers.Discretization(num_bins=5)

    from_loader.adapt(DataLoader(TensorDataset(x, x), batch_size=512))
    from_dataset.adapt(TensorDataset(x))

    assert from_loader.bin_boundaries == from_dataset.bin_boundaries


def test_learned_boundaries_are_in_the_configuration():
    layer = layers.Discretization(num_bins=3)
    layer.adapt([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])

    again = deserialize(serialize(layer))

    x = torch.tensor([[0.0, 3.0, 9.0]])
    assert_close(again(x), layer(x))
    again.adapt([10.0, 20.0, 30.0])
    assert again.bin_boundaries != layer.bin_boundaries


def test_discretization_owes():
    check_layer(layers.Discretization([0.0, 1.0]), torch.randn(2, 3), (2, 3))
    check_layer(layers.Discretization([0.0], output_mode="one_hot"), torch.randn(2, 3), (2, 3, 2))


def test_integers_are_numbers_too():
    assert layers.Discretization([2.0, 4.0])([[1, 2, 5]]).tolist() == [[0, 1, 2]]


def test_discretization_refuses():
    with pytest.raises(ValueError, match="give either"):
        layers.Discretization()
    with pytest.raises(ValueError, match="give either"):
        layers.Discretization([1.0], 2)
    with pytest.raises(ValueError, match="in rising order"):
        layers.Discretization([2.0, 1.0])
    with pytest.raises(ValueError, match="no boundaries yet"):
        layers.Discretization(num_bins=3)(torch.ones(1))
    with pytest.raises(ValueError, match="this one has its boundaries"):
        layers.Discretization([1.0]).adapt([1.0])
    with pytest.raises(TypeError, match="expected numbers"):
        layers.Discretization(num_bins=3).adapt(["a"])
