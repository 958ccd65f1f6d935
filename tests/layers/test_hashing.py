"""Hashing and HashedCrossing: stable, spread out, and the same bins for the same values."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

import kerasish
from kerasish import layers
from kerasish.layers.hashing import hash_values, mix
from kerasish.layers.texts import Texts
from kerasish.registry import deserialize, serialize
from tests.layers.harness import check_layer


def splitmix(value):
    """The mixing steps of SplitMix64 in Python's unbounded integers."""
    mask = (1 << 64) - 1
    value &= mask
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & mask
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & mask
    value ^= value >> 31
    return value - (1 << 64) if value >> 63 else value


@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_are_mixed_by_splitmix64(value):
    assert mix(torch.tensor([value])).item() == splitmix(value)


def test_bins_never_change():
    # Written down once: files of trained models rely on them.
    texts = Texts(["", "a", "Grüße"], (3,))
    assert hash_values(texts).tolist() == [
        -5426141060434712860,
        3405396810240292928,
        -7880296023282111738,
    ]
    assert layers.Hashing(1000)([0, 1, 2, -1]).tolist() == [0, 789, 922, 259]
    assert layers.Hashing(1000, salt=7)([0, 1, 2, -1]).tolist() == [197, 490, 232, 710]


@pytest.mark.parametrize("values", [list(range(20_000)), [f"user{i}" for i in range(20_000)]])
def test_bins_are_filled_evenly(values):
    counts = np.bincount(layers.Hashing(10)(values), minlength=10)

    assert counts.min() > 1800
    assert counts.max() < 2200


def test_salts_change_bins():
    x = torch.arange(100)

    plain, salted = layers.Hashing(50)(x), layers.Hashing(50, salt=[1, 2])(x)

    assert (plain != salted).sum() > 80
    assert_close(salted, layers.Hashing(50, salt=(1, 2))(x))
    texts = [str(i) for i in range(100)]
    assert (layers.Hashing(50)(texts) != layers.Hashing(50, salt=3)(texts)).sum() > 80


def test_the_mask_has_bin_0_to_itself():
    layer = layers.Hashing(3, mask_value=0)
    y = layer(torch.arange(50))
    assert y[0] == 0
    assert set(y[1:].tolist()) == {1, 2}

    texts = layers.Hashing(3, mask_value="")([["", "a"], ["b", ""]])
    assert (texts == 0).tolist() == [[True, False], [False, True]]


@pytest.mark.parametrize(
    ("mode", "shape"), [("one_hot", (2, 3, 5)), ("multi_hot", (2, 5)), ("count", (2, 5))]
)
def test_bins_are_encoded(mode, shape):
    x = [["a", "b", "a"], ["c", "c", "c"]]

    y = layers.Hashing(5, output_mode=mode)(x)

    assert y.shape == shape
    assert y.dtype == torch.float32
    bins = layers.Hashing(5)(x)
    assert_close(y, layers.CategoryEncoding(5, mode)(bins))


def test_integers_are_hashed_inside_models():
    inputs = layers.Input((1,), dtype="int64")
    model = kerasish.Model(inputs, layers.Embedding(10, 4)(layers.Hashing(10)(inputs)))

    assert model(torch.tensor([[123456789], [5]])).shape == (2, 1, 4)


def test_hashing_owes():
    check_layer(layers.Hashing(5), torch.randint(0, 100, (2, 3)), (2, 3))
    layer = layers.Hashing(5, salt=3, mask_value=1, dtype="int32")
    assert layer([1, 2]).dtype == torch.int32
    assert_close(deserialize(serialize(layer))(torch.arange(9)), layer(torch.arange(9)))


def test_hashing_refuses():
    with pytest.raises(ValueError, match="`num_bins` must be a positive integer"):
        layers.Hashing(0)
    with pytest.raises(ValueError, match="`salt` must be an integer or two"):
        layers.Hashing(3, salt="x")
    with pytest.raises(ValueError, match="sparse=True is not offered"):
        layers.Hashing(3, sparse=True)
    with pytest.raises(TypeError, match="expected strings, got"):
        layers.Hashing(3)(["a", 1])
    with pytest.raises(ValueError, match="rows differ in length"):
        layers.Hashing(3)([[1], [1, 2]])


# HashedCrossing


def test_crosses_depend_on_every_feature_and_on_nothing_else():
    layer = layers.HashedCrossing(1000)

    y = layer([["a", "b", "a", "a"], [1, 1, 2, 1]])

    assert y[0] == y[3]
    assert len(set(y.tolist())) == 3


def test_the_order_of_features_counts():
    a, b = torch.arange(50), torch.arange(50) + 7

    assert (layers.HashedCrossing(1000)([a, b]) != layers.HashedCrossing(1000)([b, a])).sum() > 40


@pytest.mark.parametrize("shape", [(), (4,), (4, 1)], ids=str)
def test_shapes_of_crosses(shape):
    x = torch.zeros(shape, dtype=torch.int64)

    assert layers.HashedCrossing(7)([x, x]).shape == shape
    assert layers.HashedCrossing(7, "one_hot")([x, x]).shape == (*shape[:1], 7)


def test_crosses_inside_models():
    a, b = layers.Input((1,), dtype="int64"), layers.Input((1,), dtype="int64")
    layer = layers.HashedCrossing(9, "one_hot")
    model = kerasish.Model([a, b], layer([a, b]))
    x = torch.arange(4).reshape(4, 1)

    assert_close(model([x, x + 1]), layer([x, x + 1]))


def test_crossing_refuses():
    layer = layers.HashedCrossing(5)
    with pytest.raises(ValueError, match="a list of two or more features"):
        layer([torch.arange(3)])
    with pytest.raises(ValueError, match="features of one shape"):
        layer([torch.arange(3), torch.arange(4)])
    with pytest.raises(ValueError, match="features of one shape"):
        layer([torch.zeros(3, 2).long(), torch.zeros(3, 2).long()])
    with pytest.raises(TypeError, match="Use Discretization before it"):
        layer([torch.ones(3), torch.ones(3)])
    with pytest.raises(ValueError, match="must be one of 'int', 'one_hot'"):
        layers.HashedCrossing(5, "count")
