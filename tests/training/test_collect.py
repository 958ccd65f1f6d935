"""Which rows are tried before features are collected, and what tells that weights have changed."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kerasish.training.collect import _shared_rows, checksum, second_batch


@given(count=st.integers(1, 200), size=st.integers(1, 70))
def test_the_second_batch_mixes_rows_of_the_first_with_the_next_ones(count, size):
    size = min(count, size)
    known = _shared_rows(count, size)

    rows = second_batch(count, size, known)

    assert len(rows) == size
    new = sorted(row for row in rows.tolist() if row >= size)
    assert new == list(range(size, min(count, 2 * size - known)))
    again = [(place, row) for place, row in enumerate(rows.tolist()) if row < size]
    assert len(again) >= min(8, size)
    # At most the one in the middle is where it was before.
    assert sum(place == row for place, row in again) <= 1


@given(batches=st.integers(2, 9), size=st.integers(16, 70), missing=st.integers(0, 69))
def test_the_first_two_batches_leave_whole_batches_or_one_of_a_few_rows(batches, size, missing):
    count = batches * size - missing % size

    second = second_batch(count, size, _shared_rows(count, size))

    left = count - len({*range(size), *second.tolist()})
    assert left % size in (0, 8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.uint8])
@pytest.mark.parametrize("offset", [0, 1])
def test_a_checksum_changes_with_any_value(dtype, offset):
    numbers = torch.arange(30).to(dtype)[offset:]
    before = checksum([numbers])

    for place in range(len(numbers)):
        changed = numbers.clone()
        changed[place] += 1
        assert checksum([changed]) != before
        numbers[place] += 1
        assert checksum([numbers]) != before
        numbers[place] -= 1
    assert checksum([numbers]) == before


def test_a_checksum_takes_tensors_of_any_kind():
    assert checksum([torch.zeros(0), torch.tensor(3), torch.zeros(2, 3).t()]) == [3, 0]
