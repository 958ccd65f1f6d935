"""Arrays of any memory become tensors wherever values enter."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from kerasish import Sequential, Variable, initializers, layers, losses, metrics, ops
from kerasish.devices import as_torch_takes

ROWS = np.arange(12.0, dtype="float32").reshape(4, 3)


def read_only():
    return np.broadcast_to(ROWS[0], (4, 3))


def backwards():
    return ROWS[::-1]


def dense():
    model = Sequential([layers.Input((3,)), layers.Dense(2)])
    model.set_weights([np.ones((3, 2)), np.zeros(2)])
    return model


ENTRIES = {
    "model": lambda x: dense()(x).detach(),
    "layer": lambda x: layers.Rescaling(2.0)(x),
    "scale": lambda x: layers.Rescaling(1.0, offset=x[0])(torch.zeros(1, 3)),
    "mean": lambda x: layers.Normalization(mean=x[0], variance=x[0] * 0 + 1)(torch.zeros(1, 3)),
    "loss": lambda x: losses.MeanSquaredError()(x, torch.zeros(4, 3)),
    "prediction": lambda x: losses.MeanSquaredError()(torch.zeros(4, 3), x),
    "metric": lambda x: metrics.MeanSquaredError()(x, np.zeros((4, 3), "float32")),
    "op": lambda x: ops.add(x, 1),
    "variable": lambda x: Variable(x).detach(),
    "assign": lambda x: Variable(np.zeros((4, 3))).assign(x).detach(),
    "add": lambda x: Variable(np.ones((4, 3))).assign_add(x).detach(),
    "weights": lambda x: torch.tensor(with_weights(x).get_weights()[0]),
    "kernel": lambda x: with_kernel(x).layers[-1].kernel.detach(),
    "initializer": lambda x: initializers.Constant(x)((4, 3)),
}


def with_weights(x):
    model = dense()
    model.set_weights([x[:3, :2], x[0, :2]])
    return model


def with_kernel(x):
    model = dense()
    model.layers[-1].kernel.assign(x[:3, :2])
    return model


@pytest.mark.parametrize("enter", ENTRIES.values(), ids=ENTRIES)
@pytest.mark.parametrize("make", [read_only, backwards])
def test_arrays_of_any_memory_are_taken(enter, make):
    array = make()

    assert_close(enter(array), enter(array.copy()))


def test_ordinary_arrays_are_not_copied():
    assert as_torch_takes(ROWS) is ROWS
    assert as_torch_takes([1, 2]) == [1, 2]


@pytest.mark.parametrize(
    "enter", [layers.Dense(2), ops.convert_to_tensor, Variable], ids=["layer", "ops", "variable"]
)
def test_an_array_of_texts_is_refused_with_the_next_step(enter):
    with pytest.raises(TypeError, match=r"Expected numbers, got .* StringLookup"):
        enter(np.array(["a", "b"]))
