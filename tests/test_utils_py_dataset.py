"""Data that makes its own batches by number."""

import os
import threading

import numpy as np
import pytest

from kerasish import Sequential, layers, utils
from kerasish.data import make_feed


class Counting(utils.PyDataset):
    def __init__(self, **options):
        super().__init__(**options)
        self.passes = 0

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return np.full((2, 1), index), np.zeros(2)

    def on_epoch_end(self):
        self.passes += 1


def test_feed_takes_the_batches_in_order_and_tells_the_end_of_each_pass():
    dataset = Counting()
    feed = make_feed(dataset)

    seen = [[int(x[0]) for x, _, _ in feed.batches(epoch)] for epoch in range(2)]

    assert seen == [[0, 1, 2], [0, 1, 2]]
    assert dataset.passes == 2
    assert feed.num_batches == dataset.num_batches == 3


def test_a_pass_begins_before_its_first_batch_is_made():
    class Noting(Counting):
        def __init__(self):
            super().__init__()
            self.calls = []

        def on_epoch_begin(self):
            super().on_epoch_begin()
            self.calls.append("begin")

        def __getitem__(self, index):
            self.calls.append(index)
            return super().__getitem__(index)

        def on_epoch_end(self):
            self.calls.append("end")

    model = Sequential([layers.Input((1,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    data = Noting()

    model.fit(data, epochs=2, shuffle=False, verbose=0)

    assert data.calls == ["begin", 0, 1, 2, "end"] * 2


def test_fit_shuffles_the_batches_anew_in_each_epoch_unless_told_not_to():
    class Seen(Counting):
        def __init__(self):
            super().__init__()
            self.order = []

        def __len__(self):
            return 20

        def __getitem__(self, index):
            self.order.append(index)
            return super().__getitem__(index)

    def orders(**options):
        utils.set_random_seed(1)
        model = Sequential([layers.Input((1,)), layers.Dense(1)])
        model.compile("sgd", "mse")
        data = Seen()
        model.fit(data, epochs=2, verbose=0, **options)
        return data.order[:20], data.order[20:]

    first, second = orders()

    assert sorted(first) == sorted(second) == list(range(20))
    assert first != list(range(20))
    assert first != second
    assert orders() == (first, second)
    assert orders(shuffle=False) == (list(range(20)),) * 2
    assert orders(shuffle="batch") == (first, second)


def test_an_order_of_batches_is_gone_on_with():
    feed, again = (make_feed(Counting(), shuffle=True, seed=seed) for seed in (5, 6))
    whole = [int(x[0]) for x, _, _ in feed.batches(3)]

    again.resume(3, 1, feed.state_dict())

    assert [int(x[0]) for x, _, _ in again.batches(3)] == whole[1:]


def test_sequence_is_the_same_class():
    assert utils.Sequence is utils.PyDataset


class Slow(Counting):
    """Says who made a batch, and when."""

    def __init__(self, count=6, **options):
        super().__init__(**options)
        self.count, self.meeting = count, threading.Barrier(2)

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if not self.use_multiprocessing:
            self.meeting.wait(10)  # somebody else makes a batch at the same time
        return np.full((2, 1), index), np.full(2, os.getpid())

    def __getstate__(self):
        return {**vars(self), "meeting": None}


@pytest.mark.parametrize("in_processes", [False, True], ids=["threads", "processes"])
def test_workers_make_batches_at_the_same_time_and_keep_their_order(in_processes):
    feed = make_feed(Slow(workers=2, use_multiprocessing=in_processes))

    for epoch in range(2):
        seen = [(int(x[0]), int(y[0])) for x, y, _ in feed.batches(epoch)]

        assert [number for number, _ in seen] == [0, 1, 2, 3, 4, 5]
        assert (os.getpid() in {process for _, process in seen}) != in_processes


def test_an_error_of_a_worker_is_raised_where_its_batch_would_have_come():
    class Failing(Counting):
        def __getitem__(self, index):
            if index == 2:
                raise KeyError("no row 2")
            return super().__getitem__(index)

    batches = make_feed(Failing(workers=2)).batches(0)

    assert int(next(batches)[0][0]) == 0
    assert int(next(batches)[0][0]) == 1
    with pytest.raises(KeyError, match="no row 2"):
        next(batches)


def test_a_pass_that_breaks_off_stops_its_workers():
    before = threading.active_count()
    batches = make_feed(Counting(workers=3)).batches(0)
    next(batches)

    batches.close()

    assert threading.active_count() == before


@pytest.mark.parametrize("use", [len, lambda dataset: dataset[0]], ids=["len", "getitem"])
def test_missing_method_is_named(use):
    with pytest.raises(NotImplementedError, match="PyDataset must define"):
        use(utils.PyDataset())
