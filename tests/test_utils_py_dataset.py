"""Data that makes its own batches by number."""

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


def test_workers_that_have_no_effect_are_said():
    with pytest.warns(UserWarning, match="Counting: `workers` .* no effect"):
        Counting(workers=4)


@pytest.mark.parametrize("use", [len, lambda dataset: dataset[0]], ids=["len", "getitem"])
def test_missing_method_is_named(use):
    with pytest.raises(NotImplementedError, match="PyDataset must define"):
        use(utils.PyDataset())
