"""Splitting data in two."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import Dataset, TensorDataset

from kerasish import utils


def rows_of(dataset):
    return [row[0].item() for row in dataset]


def test_left_part_is_the_first_rows():
    left, right = utils.split_dataset(np.arange(10), left_size=0.7)

    assert rows_of(left) == [0, 1, 2, 3, 4, 5, 6]
    assert rows_of(right) == [7, 8, 9]
    assert isinstance(left, TensorDataset)


@settings(max_examples=60, deadline=None)
@given(
    total=st.integers(2, 40),
    share=st.floats(0.05, 0.95),
    shuffle=st.booleans(),
    seed=st.integers(0, 9),
)
def test_every_row_is_on_one_side_and_keeps_its_target(total, share, shuffle, seed):
    x = np.arange(total)
    if round(total * share) in (0, total):
        return

    left, right = utils.split_dataset((x, -x), left_size=share, shuffle=shuffle, seed=seed)

    assert sorted(rows_of(left) + rows_of(right)) == x.tolist()
    assert all(a == -b for part in (left, right) for a, b in part)
    assert len(left) == round(total * share)


@pytest.mark.parametrize(
    "sizes",
    [{"left_size": 3}, {"right_size": 0.25}, {"left_size": 0.5}, {"left_size": 0.35}],
    ids=str,
)
def test_sizes_are_those_of_keras(sizes):
    keras = pytest.importorskip("keras")

    expected = keras.utils.split_dataset(np.arange(10), preferred_backend="torch", **sizes)
    parts = utils.split_dataset(np.arange(10), **sizes)

    assert [len(part) for part in parts] == [len(part) for part in expected]


def test_both_sizes_may_leave_rows_out():
    left, right = utils.split_dataset(np.arange(10), left_size=3, right_size=0.2)

    assert rows_of(left) == [0, 1, 2]
    assert rows_of(right) == [3, 4]


def test_shuffle_repeats_for_a_seed():
    def left(seed):
        return rows_of(utils.split_dataset(np.arange(50), 0.5, shuffle=True, seed=seed)[0])

    assert left(1) == left(1)
    assert left(1) != left(2)


@pytest.mark.parametrize("shuffle", [True, False])
def test_stratified_parts_have_each_class_in_proportion(shuffle):
    y = np.repeat([0, 1, 2], [60, 30, 10])
    x = np.arange(100)

    left, right = utils.split_dataset((x, y), 0.8, shuffle=shuffle, seed=0, stratify=True)

    assert np.bincount([int(label) for _, label in left]).tolist() == [48, 24, 8]
    assert np.bincount([int(label) for _, label in right]).tolist() == [12, 6, 2]
    assert sorted(rows_of(left) + rows_of(right)) == x.tolist()
    assert (rows_of(left) == sorted(rows_of(left))) != shuffle


def test_stratify_takes_given_classes_and_one_hot_rows():
    classes = np.array([0, 1] * 10)
    given_classes, _ = utils.split_dataset(np.arange(20), 0.5, stratify=classes)
    one_hot, _ = utils.split_dataset((np.arange(20), np.eye(2)[classes]), 0.5, stratify=True)

    assert sum(row % 2 for row in rows_of(given_classes)) == 5
    assert sum(row % 2 for row in rows_of(one_hot)) == 5


def test_dict_of_arrays_gives_rows_that_are_dicts():
    left, right = utils.split_dataset({"a": np.arange(4), "b": np.zeros((4, 2))}, left_size=1)

    assert left[0]["a"] == 0
    assert left[0]["b"].shape == (2,)
    assert [row["a"].item() for row in (right[i] for i in range(len(right)))] == [1, 2, 3]


class Squares(Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, index):
        return torch.tensor(index**2), index % 2


def test_dataset_gives_subsets():
    left, right = utils.split_dataset(Squares(), left_size=2, stratify=True)

    assert [left[0][0].item(), left[1][0].item()] == [0, 1]
    assert len(right) == 4


@pytest.mark.parametrize(
    ("sizes", "error", "words"),
    [
        ({}, ValueError, "give `left_size` or `right_size`"),
        ({"left_size": 0}, ValueError, "below 10 or a share"),
        ({"left_size": 10}, ValueError, "below 10 or a share"),
        ({"left_size": 1.0}, ValueError, "below 10 or a share"),
        ({"left_size": -1}, ValueError, "below 10 or a share"),
        ({"left_size": 0.01}, ValueError, "empty"),
        ({"left_size": 0.9, "right_size": 0.9}, ValueError, "more than the 10 rows"),
        ({"left_size": "half"}, TypeError, "must be a number"),
        ({"left_size": True}, TypeError, "must be a number"),
        ({"left_size": 0.5, "stratify": [0, 1]}, ValueError, "2 classes for 10 rows"),
        ({"left_size": 0.5, "preferred_backend": "jax"}, ValueError, "works on torch"),
    ],
    ids=str,
)
def test_impossible_sizes_are_refused(sizes, error, words):
    with pytest.raises(error, match=words):
        utils.split_dataset(np.arange(10), **sizes)


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="same number of rows"):
        utils.split_dataset((np.arange(3), np.arange(4)), left_size=0.5)
