"""Feeds: every row once a pass, parts aligned, order from seed and epoch alone."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from kerasish.data import ArrayFeed, StreamFeed, make_feed, split_tail, to_tensor


class Rows(Dataset):
    def __init__(self, count):
        self.count = count
        self.read = []

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        self.read.append(i)
        return torch.tensor(float(i)), torch.tensor(-float(i))


def order_of(feed, epoch=0):
    return [int(row) for x, _, _ in feed.batches(epoch) for row in x]


@given(
    num_samples=st.integers(1, 50),
    batch_size=st.integers(1, 60),
    shuffle=st.sampled_from([False, True, "batch"]),
    epoch=st.integers(0, 5),
)
def test_every_row_appears_once_and_stays_aligned(num_samples, batch_size, shuffle, epoch):
    rows = torch.arange(num_samples)
    x, weight = {"a": rows, "b": (rows * 2, rows * 3)}, rows * 5
    feed = ArrayFeed(x, -rows, weight, batch_size=batch_size, shuffle=shuffle)

    seen = list(feed.batches(epoch))

    assert sorted(int(i) for x, _, _ in seen for i in x["a"]) == rows.tolist()
    for x, y, w in seen:
        assert (x["a"] == -y).all()
        assert (x["b"][0] == 2 * x["a"]).all()
        assert (x["b"][1] == 3 * x["a"]).all()
        assert (w == 5 * x["a"]).all()
    assert len(seen) == feed.num_batches
    assert [len(y) for _, y, _ in seen[:-1]] == [batch_size] * (len(seen) - 1)


@given(num_samples=st.integers(1, 40), batch_size=st.integers(1, 20), seed=st.integers(0, 9))
def test_arrays_and_datasets_share_one_order(num_samples, batch_size, seed):
    rows = torch.arange(num_samples, dtype=torch.float32)
    settings = {"batch_size": batch_size, "shuffle": True, "seed": seed}
    arrays, dataset = make_feed(rows, **settings), make_feed(Rows(num_samples), **settings)

    for epoch in range(3):
        assert order_of(arrays, epoch) == order_of(dataset, epoch)


def test_the_order_depends_on_seed_and_epoch_only():
    rows = torch.arange(100)

    def order(seed, epoch, batch_size=7):
        return order_of(ArrayFeed(rows, shuffle=True, seed=seed, batch_size=batch_size), epoch)

    assert order(1, 4) == order(1, 4, batch_size=50)
    assert order(1, 4) != order(1, 5) != order(2, 4)
    state = torch.get_rng_state()
    order(1, 0)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("epoch", [0, 3])
def test_looking_at_the_first_batch_uses_nothing_up(epoch):
    for feed in (
        ArrayFeed(torch.arange(10), batch_size=4),
        make_feed(Rows(10), batch_size=4),
        make_feed(DataLoader(Rows(10), batch_size=4)),
        make_feed(iter([torch.arange(4), torch.arange(4, 8), torch.arange(8, 10)])),
    ):
        assert feed.peek()[0].tolist() == feed.peek()[0].tolist() == [0, 1, 2, 3]
        assert order_of(feed, epoch) == list(range(10))


def test_a_first_pass_of_a_later_epoch_has_that_epochs_order():
    def order(peek):
        feed = make_feed(Rows(20), shuffle=True, seed=3, batch_size=6)
        feed.first_epoch = 7
        if peek:
            feed.peek()
        return order_of(feed, 7)

    assert order(peek=True) == order(peek=False)


def test_looking_at_a_loader_leaves_its_random_order_as_it_would_be():
    data = TensorDataset(torch.arange(12))

    def order(peek):
        torch.manual_seed(5)
        feed = make_feed(DataLoader(data, batch_size=5, shuffle=True))
        if peek:
            feed.peek()
        return order_of(feed), order_of(feed, 1)

    first, second = order(peek=True)
    assert (first, second) == order(peek=False)
    assert first != second


def test_a_dataset_of_tensors_is_not_read_row_by_row():
    feed = make_feed(TensorDataset(torch.arange(5), torch.arange(5), torch.ones(5)))

    assert type(feed) is ArrayFeed
    assert [part.shape for part in next(feed.batches(0))] == [(5,), (5,), (5,)]


def test_lengths_are_known_where_they_can_be():
    class Endless(IterableDataset):
        def __iter__(self):
            return iter(range(10**9))

    feeds = {
        "arrays": make_feed(torch.arange(10), batch_size=4),
        "dataset": make_feed(Rows(10), batch_size=4),
        "loader": make_feed(DataLoader(Rows(10), batch_size=4, drop_last=True)),
        "list": make_feed(DataLoader(Rows(10), batch_sampler=[[0], [1, 2]])),
        "stream": make_feed(Endless()),
        "generator": make_feed(iter([])),
    }

    assert {name: feed.num_batches for name, feed in feeds.items()} == {
        "arrays": 3,
        "dataset": 3,
        "loader": 2,
        "list": 2,
        "stream": None,
        "generator": None,
    }


def test_a_function_works_on_whole_arrays_once_and_on_each_batch_of_a_stream():
    calls = []

    def double(x, y, weight):
        calls.append(len(x))
        return x * 2, y, weight

    array = ArrayFeed(torch.arange(10), batch_size=4)
    stream = StreamFeed(DataLoader(list(range(10)), batch_size=4))
    for feed in (array, stream):
        feed.prepare(double)
        assert order_of(feed) == list(range(0, 20, 2))

    assert calls == [10, 4, 4, 2]


def test_integers_and_booleans_keep_their_type_and_doubles_are_narrowed():
    kinds = {"int8": "int8", "bool": "bool", "float16": "float16", "float64": "float32"}
    kinds |= {"uint8": "uint8", "uint16": "int32", "uint32": "int64", "complex64": "complex64"}

    for given_, kept in kinds.items():
        assert to_tensor(np.zeros(3, given_)).dtype == getattr(torch, kept)
    assert to_tensor(np.zeros(3), floats=torch.float64).dtype == torch.float64


def test_arrays_are_not_copied_where_that_is_possible():
    array = np.zeros((3, 2), "float32")

    assert to_tensor(array).data_ptr() == array.ctypes.data


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 0.9])
def test_the_tail_is_the_last_rows(fraction):
    x = np.arange(20, dtype="float32")
    (head, _, _), (tail, target, weight) = split_tail(x, -x, 2 * x, fraction)

    cut = int(20 * (1 - fraction))
    assert head.tolist() == x[:cut].tolist()
    assert tail.tolist() == x[cut:].tolist()
    assert target.tolist() == (-x[cut:]).tolist()
    assert weight.tolist() == (2 * x[cut:]).tolist()


@pytest.mark.parametrize(
    ("y", "weight"), [({"name": torch.arange(5.0)}, None), (torch.zeros(5), [torch.arange(5.0)])]
)
def test_a_structure_of_one_tensor_stays_a_structure_in_every_batch(y, weight):
    feed = ArrayFeed(torch.arange(5), y, weight, batch_size=2)

    for _, y_batch, weight_batch in feed.batches(0):
        assert type(y_batch) is type(y)
        assert type(weight_batch) is type(weight)
