"""Data of every kind comes as batches of inputs, and is mapped batch by batch."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from kerasish.layers.streams import as_array, batches_of, first_of, is_in_memory, mapped
from kerasish.utils import PyDataset


class Halves(PyDataset):
    """A Keras dataset of two batches."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return np.arange(2) + 2 * index, np.zeros(2)


class Counting(IterableDataset):
    """Rows that come one after the other."""

    def __iter__(self):
        return iter(range(4))


@pytest.mark.parametrize(
    "data",
    [
        [0, 1, 2, 3],
        np.arange(4),
        torch.arange(4),
        TensorDataset(torch.arange(4), torch.zeros(4)),
        DataLoader(TensorDataset(torch.arange(4), torch.zeros(4)), batch_size=3),
        [(torch.arange(2), torch.zeros(2)), (torch.arange(2) + 2, torch.zeros(2))],
        (np.arange(2) + 2 * i for i in range(2)),
        Halves(),
        Counting(),
    ],
    ids=lambda data: type(data).__name__,
)
def test_inputs_come_in_their_order(data):
    rows = [int(row) for batch in batches_of(data, "Layer") for row in batch]

    assert rows == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("item", "first"),
    [
        (("a", 1), "a"),
        (["a", "b"], ["a", "b"]),
        ([("a", "b"), torch.zeros(2)], ("a", "b")),
        ([["a"], ["b", "c"]], [["a"], ["b", "c"]]),
        ({"a": 1}, {"a": 1}),
    ],
    ids=str,
)
def test_targets_are_told_from_rows(item, first):
    assert first_of(item) == first


def test_one_array_is_told_from_many():
    assert is_in_memory([[1, 2], [3, 4]])
    assert is_in_memory(["a", "b"])
    assert is_in_memory([torch.tensor(1), torch.tensor(2)])
    assert not is_in_memory([np.ones(2), np.ones(2)])
    assert not is_in_memory([{"a": 1}])
    assert not is_in_memory(iter([1]))


def test_numbers_become_tensors():
    assert as_array([torch.tensor(1.0), torch.tensor(2.0)], "Layer").tolist() == [1.0, 2.0]
    assert as_array(3, "Layer").shape == ()
    assert as_array(np.arange(6).reshape(2, 3).T, "Layer").tolist() == [[0, 3], [1, 4], [2, 5]]
    read_only = np.ones(3)
    read_only.flags.writeable = False
    assert as_array(read_only, "Layer").tolist() == [1, 1, 1]
    with pytest.raises(TypeError, match="Layer: expected numbers, got"):
        as_array(["a"], "Layer")
    with pytest.raises(ValueError, match="Layer: rows differ in length"):
        as_array([[1], [1, 2]], "Layer")


def test_mapped_generators_have_no_length():
    stream = mapped(iter([(torch.ones(2), 1)]), lambda x: x * 2, "Layer")

    assert not hasattr(stream, "__len__")
    ((x, y),) = list(stream)
    assert (x.tolist(), y) == ([2, 2], 1)


def test_mapped_weights_stay():
    ((x, y, weight),) = list(mapped([(torch.ones(1), 1, 0.5)], lambda x: x + 1, "Layer"))

    assert (x.item(), y, weight) == (2, 1, 0.5)
