"""Every operation gives Keras's values, types and shapes, called on the same arrays."""

import types

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from kerasish import ops
from kerasish.tree import flatten
from tests.ops.cases import CASES

# What Keras 3.15 gets wrong, or leaves open: checked by their definition in the files beside this.
OWN_TESTS = {
    "associative_scan",
    "cond",
    "custom_gradient",
    "eig",
    "fori_loop",
    "jvp",
    "map",
    "scan",
    "switch",
    "vectorize",
    "vectorized_map",
    "while_loop",
}
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

    expected = flatten(getattr(keras.ops, name)(*args, **kwargs))
    results = flatten(getattr(ops, name)(*args, **kwargs))

    assert len(results) == len(expected)
    for ours, theirs in zip(map(as_array, results), map(as_array, expected), strict=True):
        assert ours.shape == theirs.shape
        assert kind(ours) == kind(theirs)
        if name not in UNDEFINED_VALUES and ours.dtype.kind != "U":
            np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5)
        elif ours.dtype.kind == "U":
            assert ours == theirs


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

    assert names_of(keras.ops) - set(CASES) - OWN_TESTS == set()


def test_the_public_list_is_complete_and_sorted():
    for module in (ops, ops.numpy, ops.nn, ops.image):
        assert module.__all__ == sorted(module.__all__)
        assert all(hasattr(module, name) for name in module.__all__)
