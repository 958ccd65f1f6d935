"""Padding, and windows over a time series."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasish import utils


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(1, 99), max_size=6), max_size=5),
    maxlen=st.none() | st.integers(1, 8),
    padding=st.sampled_from(["pre", "post"]),
    truncating=st.sampled_from(["pre", "post"]),
)
def test_pad_sequences_matches_keras(rows, maxlen, padding, truncating):
    keras = pytest.importorskip("keras")
    options = {"maxlen": maxlen, "padding": padding, "truncating": truncating, "value": -1}
    if not rows and maxlen is None:
        return

    expected = keras.utils.pad_sequences(rows, **options)
    padded = utils.pad_sequences(rows, **options)

    assert padded.dtype == expected.dtype
    assert np.array_equal(padded, expected)


def test_pad_sequences_keeps_vectors_and_text():
    vectors = utils.pad_sequences([[[1, 2]], [[3, 4], [5, 6]]])
    words = utils.pad_sequences([["a"], ["b", "c"]], dtype=object, value="")

    assert vectors.tolist() == [[[0, 0], [1, 2]], [[3, 4], [5, 6]]]
    assert words.tolist() == [["", "a"], ["b", "c"]]


def test_pad_sequences_takes_tensors_and_arrays():
    padded = utils.pad_sequences([torch.tensor([1]), np.array([2, 3])])

    assert padded.tolist() == [[0, 1], [2, 3]]


BAD = {
    "unknown side": ({"sequences": [[1]], "padding": "left"}, "'pre' or 'post'"),
    "unknown cut": ({"sequences": [[1]], "truncating": "middle"}, "'pre' or 'post'"),
    "no sequence": ({"sequences": [1, 2]}, "every row must be a sequence"),
    "text in numbers": ({"sequences": [[1]], "value": "x"}, "dtype=object"),
    "different items": ({"sequences": [[[1, 2]], [[1, 2, 3]]]}, "one shape"),
}


@pytest.mark.parametrize("case", BAD)
def test_pad_sequences_says_what_is_wrong(case):
    arguments, words = BAD[case]

    with pytest.raises(ValueError, match=words):
        utils.pad_sequences(**arguments)


def windows_of(*args, **options):
    return list(utils.timeseries_dataset_from_array(*args, **options))


def test_windows_and_targets_are_those_of_the_written_definition():
    series = torch.arange(20)
    batches = windows_of(
        series, series * 10, sequence_length=3, sequence_stride=2, sampling_rate=4, batch_size=5
    )
    # The last window that fits starts at 20 - (3 - 1) * 4 - 1 = 11, so starts are 0, 2, …, 10.
    starts = [0, 2, 4, 6, 8, 10]

    assert [len(x) for x, _ in batches] == [5, 1]
    assert torch.cat([x for x, _ in batches]).tolist() == [[s, s + 4, s + 8] for s in starts]
    assert torch.cat([y for _, y in batches]).tolist() == [s * 10 for s in starts]


def test_targets_decide_how_many_windows_there_are():
    series = np.arange(10.0)

    ((x, y),) = windows_of(series, series[3:], sequence_length=3)

    # Each target is the step after its window; the window 7, 8, 9 has none.
    assert x[-1].tolist() == [6, 7, 8]
    assert y.tolist() == [3, 4, 5, 6, 7, 8, 9]


def test_windows_stay_within_start_and_end():
    ((x, y),) = windows_of(np.arange(10), np.arange(10), 2, start_index=3, end_index=7)

    assert x.tolist() == [[3, 4], [4, 5], [5, 6]]
    assert y.tolist() == [3, 4, 5]


def test_windows_without_batches_come_one_by_one():
    windows = windows_of(np.arange(4), None, 3, batch_size=None)

    assert [w.tolist() for w in windows] == [[0, 1, 2], [1, 2, 3]]


def test_windows_of_vectors_keep_their_features():
    (x,) = windows_of(np.zeros((6, 5)), None, 4)

    assert x.shape == (3, 4, 5)
    assert x.dtype == torch.float32


def test_shuffled_windows_are_all_there_and_repeat_for_a_seed():
    def starts(seed):
        dataset = utils.timeseries_dataset_from_array(
            np.arange(50), None, 1, batch_size=7, shuffle=True, seed=seed
        )
        return [torch.cat(list(dataset)).flatten().tolist() for _ in range(2)]

    first, second = starts(1)

    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second, "a new order each epoch"
    assert starts(1) == [first, second]
    assert starts(2)[0] != first


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sequence_length": 0}, "`sequence_length` must be a positive integer"),
        ({"sequence_length": 3, "sampling_rate": 0}, "`sampling_rate`"),
        ({"sequence_length": 3, "sequence_stride": -1}, "`sequence_stride`"),
        ({"sequence_length": 11}, "no window"),
        ({"sequence_length": 2, "start_index": 5, "end_index": 5}, "in order"),
        ({"sequence_length": 2, "end_index": 11}, "in order"),
        ({"sequence_length": 2, "start_index": -1}, "in order"),
    ],
    ids=str,
)
def test_impossible_windows_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        utils.timeseries_dataset_from_array(np.arange(10), None, **options)
