"""Loops, scans, maps and gradients do what their plain Python counterparts do."""

import pytest
import torch
from torch.testing import assert_close

from kerasish import ops

X = torch.arange(1.0, 13.0).reshape(4, 3)


def test_cond_calls_only_the_branch_that_holds():
    seen = []

    assert ops.cond(X.sum() > 0, lambda: 1, lambda: seen.append("no")) == 1
    assert ops.cond(False, lambda: seen.append("no"), lambda: 2) == 2
    assert seen == []


@pytest.mark.parametrize(("index", "expected"), [(0, 3), (1, 10), (-5, 3), (7, 10)])
def test_switch_takes_the_nearest_branch(index, expected):
    assert ops.switch(index, [lambda x: x + 1, lambda x: x * 5], 2) == expected


def test_while_loop_runs_until_the_condition_fails():
    count, total = ops.while_loop(lambda i, s: i < 5, lambda i, s: (i + 1, s + i), (0, 0))

    assert (int(count), int(total)) == (5, 10)
    assert int(ops.while_loop(lambda i: i < 5, lambda i: i + 1, 0, maximum_iterations=3)) == 3


def test_fori_loop_counts():
    assert ops.fori_loop(2, 5, lambda i, value: value + i, 0) == 9


@pytest.mark.parametrize("reverse", [False, True])
def test_scan_carries_a_value_along(reverse):
    def step(carry, x):
        return carry + x, carry * 1.0

    last, outputs = ops.scan(step, torch.zeros(3), X, reverse=reverse)

    rows = X.flip(0) if reverse else X
    expected = torch.cat([torch.zeros(1, 3), rows.cumsum(0)[:-1]])
    assert_close(last, X.sum(0))
    assert_close(outputs, expected.flip(0) if reverse else expected)


def test_scan_takes_structures_and_steps_without_slices():
    last, outputs = ops.scan(
        lambda carry, x: ({"n": carry["n"] + 1}, x["a"] * 2), {"n": torch.tensor(0)}, {"a": X}
    )
    count, nothing = ops.scan(lambda carry, _: (carry + 2, None), torch.tensor(0), length=3)

    assert int(last["n"]) == 4
    assert_close(outputs, X * 2)
    assert (int(count), nothing) == (6, None)
    with pytest.raises(ValueError, match="`xs`, or `length`"):
        ops.scan(lambda c, x: (c, x), 0)


@pytest.mark.parametrize("length", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("reverse", [False, True])
def test_associative_scan_of_addition_is_cumsum(length, axis, reverse):
    x = torch.randn(length, 2).movedim(0, axis)

    y = ops.associative_scan(lambda a, b: a + b, x, reverse=reverse, axis=axis)

    expected = x.flip(axis).cumsum(axis).flip(axis) if reverse else x.cumsum(axis)
    assert_close(y, expected)


def test_associative_scan_combines_in_order():
    matrices = torch.randn(6, 2, 2)

    products = ops.associative_scan(lambda a, b: a @ b, matrices)

    expected = matrices[0]
    for matrix in matrices[1:]:
        expected = expected @ matrix
    assert_close(products[-1], expected)


def test_maps_apply_to_every_slice():
    assert_close(ops.map(lambda row: row.sum(), X), X.sum(1))
    assert_close(ops.vectorized_map(lambda row: row.sum(), X), X.sum(1))
    assert_close(ops.vectorized_map(lambda pair: pair[0] @ pair[1], [X, X]), (X * X).sum(1))


def test_vectorize_broadcasts_single_elements():
    larger = ops.vectorize(lambda a, b: torch.where(a > b, a, b))

    assert_close(larger(X, torch.tensor([5.0, 6.0, 7.0])), X.maximum(torch.tensor([5.0, 6.0, 7.0])))


def test_vectorize_with_a_signature_passes_whole_axes():
    inner = ops.vectorize(lambda a, b: (a * b).sum(), signature="(n),(n)->()")
    scaled = ops.vectorize(lambda a, factor: a * factor, excluded=[1])

    assert_close(inner(X, X[0]), X @ X[0])
    assert_close(scaled(X, 3.0), X * 3)
    with pytest.raises(ValueError, match="names 2 arguments, got 1"):
        inner(X)


def test_custom_gradient_is_used_in_place_of_the_true_one():
    @ops.custom_gradient
    def square(x):
        return x * x, lambda x, upstream: 10 * upstream * x

    x = torch.tensor([1.0, 2.0], requires_grad=True)
    square(x).sum().backward()

    assert x.grad is not None
    assert x.grad.tolist() == [10.0, 20.0]


@pytest.mark.filterwarnings("ignore:.torch.jit.script")  # torch's own, on first use
def test_jvp_is_the_derivative_in_a_direction():
    value, slope = ops.jvp(lambda x: x**3, (torch.tensor(2.0),), (torch.tensor(0.5),))

    assert (value.item(), slope.item()) == (8.0, 6.0)


def test_stop_gradient_cuts_the_gradient_only():
    x = torch.tensor(3.0, requires_grad=True)

    (ops.stop_gradient(x) * x).backward()

    assert x.grad is not None
    assert x.grad.item() == 3.0


def test_rearrange_follows_the_pattern():
    x = torch.randn(2, 12, 3)

    y = ops.rearrange(x, "b (h w) c -> b c h w", h=4)

    assert_close(y, x.reshape(2, 4, 3, 3).permute(0, 3, 1, 2))
    assert_close(ops.rearrange(y, "b c h w -> b (h w) c"), x)
    assert ops.rearrange(x, "... c -> c ...").shape == (3, 2, 12)
    assert ops.rearrange(x, "b ... -> b (...)").shape == (2, 36)
    assert ops.rearrange(x, "b n c -> b 1 n c").shape == (2, 1, 12, 3)
