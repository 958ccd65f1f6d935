"""The shipped digits: facts of the published set, and a split that is fair and repeats."""

import numpy as np
import pytest

from kerasish.datasets import digits

# Counts of 0..9 in the test part of the UCI set, as its description lists them.
CLASS_COUNTS = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def rows_of(x, y):
    return sorted(zip(map(bytes, x), y.tolist(), strict=True))


def test_set_has_the_published_size_classes_and_range():
    (x, y), (x_test, y_test) = digits.load_data(test_split=0)

    assert x.shape == (1797, 8, 8)
    assert x.dtype == np.uint8
    assert (x.min(), x.max()) == (0, 16)
    assert y.dtype == np.int64
    assert np.bincount(y).tolist() == CLASS_COUNTS
    assert x_test.shape == (0, 8, 8)
    assert y_test.shape == (0,)


def test_set_matches_scikit_learns_copy():
    source = pytest.importorskip("sklearn.datasets").load_digits()
    (x, y), _ = digits.load_data(test_split=0)

    assert rows_of(x, y) == rows_of(source.images.astype(np.uint8), source.target)


def test_first_row_of_the_published_file_is_a_zero():
    first = [0, 0, 5, 13, 9, 1, 0, 0]  # the first eight pixels of the published test file
    (x, y), _ = digits.load_data(test_split=0)

    found = (x[:, 0] == first).all(axis=1) & (y == 0)

    assert found.any()


def test_split_keeps_every_row_once():
    (x, y), _ = digits.load_data(test_split=0)
    (x_train, y_train), (x_test, y_test) = digits.load_data(test_split=0.3)

    together = rows_of(np.concatenate([x_train, x_test]), np.concatenate([y_train, y_test]))

    assert together == rows_of(x, y)


@pytest.mark.parametrize("test_split", [0.1, 0.2, 0.5])
def test_split_takes_the_same_share_of_every_class(test_split):
    _, (_, y_test) = digits.load_data(test_split=test_split)

    assert np.bincount(y_test).tolist() == [round(count * test_split) for count in CLASS_COUNTS]


def test_split_repeats_for_a_seed_and_differs_between_seeds():
    (first, _), _ = digits.load_data(seed=1)
    (again, _), _ = digits.load_data(seed=1)
    (other, _), _ = digits.load_data(seed=2)

    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_rows_are_shuffled():
    (_, y_train), (_, y_test) = digits.load_data()

    assert len(set(y_train[:50])) > 5
    assert len(set(y_test[:50])) > 5


@pytest.mark.parametrize("test_split", [-0.1, 1, 1.5, float("nan")])
def test_split_outside_zero_to_one_is_refused(test_split):
    with pytest.raises(ValueError, match=r"`test_split` must be in \[0, 1\)"):
        digits.load_data(test_split=test_split)
