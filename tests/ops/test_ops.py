"""Every operation gives Keras's values, types and shapes, called on the same arrays."""

import types

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from kerasish import ops, tree
from kerasish.tree import flatten

from .cases import CASES, MATRIX, NUMPY_CASES, SEQUENCE, VECTOR, X

# What Keras 3.15 gets wrong, or leaves open: checked by their definition in the files beside this.
OWN_TESTS = {
    "argpartition",
    "associative_scan",
    "cond",
    "custom_gradient",
    "eig",
    "fori_loop",
    "is_tensor",
    "jvp",
    "map",
    "scan",
    "switch",
    "vectorize",
    "vectorized_map",
    "while_loop",
}
# One vector per axis, as NumPy's; Keras on torch stacks them.
TUPLES_HERE = {"nonzero"}
UNDEFINED_VALUES = {"empty", "empty_like"}
ALL = [
    (name, number, args, kwargs)
    for name, calls in sorted(CASES.items())
    for number, (args, kwargs) in enumerate(calls)
]


def as_array(value):
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().resolve_conj().numpy()
    return np.asarray(value)


def as_tensor(value):
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


def kind(array):
    return "i" if array.dtype.kind == "u" else array.dtype.kind


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "args", "kwargs"),
    [case[:1] + case[2:] for case in ALL],
    ids=[f"{case[0]}-{case[1]}" for case in ALL],
)
def test_operation_gives_what_keras_gives(name, args, kwargs):
    keras = pytest.importorskip("keras")
    keras.config.set_image_data_format("channels_last")

    results = flatten(getattr(ops, name)(*args, **kwargs))
    # Some of Keras's own refuse arrays and lists.
    args, kwargs = tree.map_structure(as_tensor, (args, kwargs))
    expected = flatten(getattr(keras.ops, name)(*args, **kwargs))

    if name in TUPLES_HERE:
        results = [torch.stack(results)]
    assert len(results) == len(expected)
    for ours, theirs in zip(map(as_array, results), map(as_array, expected), strict=True):
        assert ours.shape == theirs.shape
        assert kind(ours) == kind(theirs)
        if name not in UNDEFINED_VALUES and ours.dtype.kind != "U":
            np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5)
        elif ours.dtype.kind == "U":
            assert ours == theirs


@pytest.mark.parametrize(
    ("name", "call", "expected"),
    NUMPY_CASES,
    ids=[f"{case[0]}-{number}" for number, case in enumerate(NUMPY_CASES)],
)
def test_operation_gives_what_numpy_gives(name, call, expected):
    args, kwargs = call

    results = flatten(getattr(ops, name)(*args, **kwargs))

    for ours, theirs in zip(map(as_array, results), flatten(expected), strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5)


def test_argpartition_puts_smaller_elements_before_and_larger_after():
    order = ops.argpartition(VECTOR, 2)
    values = VECTOR[order.numpy()]

    assert sorted(order.tolist()) == list(range(6))
    assert (values[:2] <= values[2]).all()
    assert (values[3:] >= values[2]).all()


def test_where_with_the_condition_alone_gives_the_true_indices():
    rows, columns = ops.where([[False, True], [True, False]])

    assert (rows.tolist(), columns.tolist()) == ([0, 1], [1, 0])
    with pytest.raises(ValueError, match="both `x1` and `x2`"):
        ops.where([True], 1.0)


def test_cross_of_vectors_in_two_dimensions_is_the_third_component():
    assert ops.cross([[1.0, 2.0]], [[3.0, 4.0]]).tolist() == [-2.0]


def test_average_pool_leaves_padding_out():
    x = torch.arange(1.0, 6.0).reshape(1, 1, 5)

    y = ops.average_pool(x, 2, 2, padding="same", data_format="channels_first")

    assert y.tolist() == [[[1.5, 3.5, 5.0]]]


def test_max_pool_padding_never_wins():
    x = -torch.arange(1.0, 6.0).reshape(1, 1, 5)

    y = ops.max_pool(x, 2, 2, padding="same", data_format="channels_first")

    assert y.tolist() == [[[-1.0, -3.0, -5.0]]]


@pytest.mark.parametrize("axis", [0, 1, (0, 2), (2, 0)])
def test_normalizations_work_over_any_axes(axis):
    x = torch.tensor(X)
    axes = sorted((axis,) if isinstance(axis, int) else axis)

    y = ops.layer_normalization(x, axis=axis, epsilon=0.1)
    z = ops.rms_normalization(x, axis=axis, epsilon=0.1)

    variance, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
    assert_close(y, (x - mean) / torch.sqrt(variance + 0.1))
    assert_close(z, x / torch.sqrt((x * x).mean(axes, keepdim=True) + 0.1))


def test_layer_normalization_takes_gamma_of_the_shape_of_its_axes():
    gamma, beta = torch.rand(3), torch.rand(3)

    y = ops.layer_normalization(X, gamma, beta, axis=1)

    assert_close(y, ops.layer_normalization(X, axis=1) * gamma[:, None] + beta[:, None])


def test_attention_scores_can_be_capped():
    q = torch.randn(2, 5, 4, 6)

    assert_close(
        ops.dot_product_attention(q, q, q, attn_logits_soft_cap=1e4, is_causal=True),
        ops.dot_product_attention(q, q, q, is_causal=True),
    )


def test_images_default_to_the_configured_axis_order():
    x = torch.randn(2, 3, 8, 8)

    assert ops.max_pool(x, 2).shape == (2, 3, 4, 4)
    assert ops.conv(x, torch.randn(3, 3, 3, 5), padding="same").shape == (2, 5, 8, 8)


def test_svd_and_eig_take_matrices_apart():
    u, s, vh = ops.svd(MATRIX)
    values, vectors = ops.eig(MATRIX[:, :3])

    assert_close((u * s) @ vh[:3], torch.tensor(MATRIX))
    matrix = torch.tensor(MATRIX[:, :3]).to(vectors.dtype)
    assert_close(matrix @ vectors, vectors * values, rtol=1e-4, atol=1e-4)


def test_istft_is_the_way_back_from_stft():
    x = torch.randn(2, 3, 64)

    spectrum = ops.stft(x, 12, 4, 16)

    assert_close(ops.istft(spectrum, 12, 4, 16), x, rtol=1e-4, atol=1e-4)
    assert_close(ops.istft(spectrum, 12, 4, 16, length=60), x[..., :60], rtol=1e-4, atol=1e-4)


def test_tensors_lists_and_arrays_are_told_apart():
    assert ops.is_tensor(torch.ones(1))
    assert not ops.is_tensor(np.ones(1))
    assert not ops.is_tensor([1.0])
    assert ops.convert_to_tensor([torch.tensor(1.0), 2.0]).tolist() == [1.0, 2.0]
    assert ops.convert_to_tensor(SEQUENCE[:, ::-1]).shape == SEQUENCE.shape
    assert ops.convert_to_tensor(np.broadcast_to(np.ones(2), (3, 2))).shape == (3, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.squeeze(X, axis=0), r"squeeze: axis 0 must have size 1.*\(2, 3, 4\)"),
        (lambda: ops.split(X, 2, axis=1), "cannot be cut into 2 equal parts along axis 1"),
        (lambda: ops.conv(X, X, padding="full"), "conv: unknown padding 'full'"),
        (lambda: ops.max_pool(X[0], 2), "one to three spatial axes"),
        (lambda: ops.conv(X, np.ones((1, 2, 3))), "3 channels of the input are no multiple"),
        (lambda: ops.scatter_update(X, [[0]], X[:1], "sum"), "unknown reduction 'sum'"),
        (lambda: ops.ctc_decode(X, [1, 1], "best"), "unknown strategy 'best'"),
        (lambda: ops.rfft(X) and ops.fft(X), r"A pair \(real, imaginary\)"),
        (lambda: ops.convert_to_tensor([1], sparse=True), "sparse and ragged"),
        (lambda: ops.rearrange(X, "a b -> b a"), "does not fit"),
        (lambda: ops.rearrange(X, "a b c -> b a"), "name the same axes"),
        (lambda: ops.rearrange(X, "a b (c d) -> a b c d"), "give the size of c or d"),
        (lambda: ops.rearrange(X, "a b (c d) -> a b c d", c=3), "does not divide"),
    ],
)
def test_errors_say_what_came_and_what_was_expected(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def names_of(module):
    return {
        name
        for name in dir(module)
        if name[0] != "_" and not isinstance(getattr(module, name), types.ModuleType)
    }


@pytest.mark.parametrize("space", ["", "numpy", "nn", "linalg", "image"])
def test_no_name_of_keras_is_missing(space):
    keras = pytest.importorskip("keras")
    ours, theirs = (getattr(m, space) if space else m for m in (ops, keras.ops))

    assert names_of(theirs) - names_of(ours) == set()


def test_every_operation_has_a_test():
    keras = pytest.importorskip("keras")

    tested = set(CASES) | OWN_TESTS | {case[0] for case in NUMPY_CASES}
    assert names_of(keras.ops) - tested == set()


def test_the_public_lists_hold_what_they_name():
    for module in (ops, ops.numpy, ops.nn, ops.image):
        assert len(set(module.__all__)) == len(module.__all__)
        assert all(hasattr(module, name) for name in module.__all__)


def test_the_number_of_segments_may_be_a_tensor():
    ids = torch.tensor([0, 0, 2])

    sums = ops.segment_sum(torch.ones(3), ids, num_segments=ops.max(ids) + 2)

    assert sums.tolist() == [2, 0, 1, 0]
