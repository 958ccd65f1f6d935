"""The padding rule, against its definition."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from kerasish.layers.windows import fixed_same_padding, pad_spatial, same_padding

WINDOW = {
    "size": st.integers(1, 50),
    "kernel": st.integers(1, 9),
    "stride": st.integers(1, 9),
    "dilation": st.integers(1, 4),
}


@given(**WINDOW)
def test_same_padding_makes_as_many_windows_as_strides_fit(size, kernel, stride, dilation):
    before, after = same_padding(size, kernel, stride, dilation)

    assert after - before in (0, 1)
    reach = (kernel - 1) * dilation + 1
    padded = size + before + after
    assert padded >= reach or before == after == 0
    assert (padded - reach) // stride + 1 == -(-size // stride)
    if before + after:  # and no more than needed
        assert (padded - 1 - reach) // stride + 1 < -(-size // stride)


@given(**WINDOW)
def test_fixed_padding_holds_for_every_size(size, kernel, stride, dilation):
    fixed = fixed_same_padding([kernel], [stride], [dilation])

    if fixed is not None:
        assert same_padding(size, kernel, stride, dilation) == fixed * 2
    else:
        found = {same_padding(n, kernel, stride, dilation) for n in range(1, 60)}
        assert len(found) > 1 or any(before != after for before, after in found)


def test_no_padding_is_no_copy():
    x = torch.zeros(1, 1, 3)

    assert pad_spatial(x, [(0, 0)]) is x
    assert pad_spatial(x, [(1, 2)]).shape == (1, 1, 6)
