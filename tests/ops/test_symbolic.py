"""Every operation can be recorded in a graph, which then computes the same."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from kerasish import ops, tree
from kerasish.graph.build import compile_graph, to_fx
from kerasish.graph.symbolic import Symbolic, symbolic_input

from .cases import CASES

# The shape of the result depends on values, or there is nothing to record.
WITHOUT_DATA = {
    "array",
    "convert_to_numpy",
    "dtype",
    "empty",
    "empty_like",
    "nonzero",
    "bincount",
    "unique",
    "ndim",
    "shape",
    "size",
    "segment_max",
    "segment_min",
    "segment_prod",
    "segment_sum",
}
ALL = [
    (name, number)
    for name, calls in sorted(CASES.items())
    for number, _ in enumerate(calls)
    if name not in WITHOUT_DATA
]


class Constants:
    """Where the generated function finds the tensors that were used as constants."""

    def __call__(self, tensor):
        name = f"c{len(vars(self))}"
        setattr(self, name, tensor)
        return name


def run_as_graph(function, arrays):
    """Call a function on symbolic tensors and run the graph that this records."""
    inputs = [
        symbolic_input(a.shape, torch.from_numpy(a).dtype, SimpleNamespace(name=f"x{i}"))
        for i, a in enumerate(arrays)
    ]
    outputs = function(*inputs)
    constants = Constants()
    graph = to_fx(inputs, outputs, lambda module: "", constants)
    forward = compile_graph(graph, "test")
    return outputs, forward(constants, *(torch.from_numpy(a) for a in arrays))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "number"), ALL)
def test_recorded_operation_computes_the_same(name, number):
    args, kwargs = CASES[name][number]
    leaves = tree.flatten((args, kwargs))
    arrays = [leaf for leaf in leaves if isinstance(leaf, np.ndarray)]
    if not arrays:
        pytest.skip("no tensors among the arguments")

    def call(*values):
        remaining = iter(values)
        filled = [next(remaining) if isinstance(leaf, np.ndarray) else leaf for leaf in leaves]
        new_args, new_kwargs = tree.pack_sequence_as((args, kwargs), filled)
        return getattr(ops, name)(*new_args, **new_kwargs)

    expected = tree.flatten(call(*(torch.from_numpy(a) for a in arrays)))
    symbols, results = run_as_graph(call, arrays)

    for symbol, ours, theirs in zip(
        tree.flatten(symbols), tree.flatten(results), expected, strict=True
    ):
        assert isinstance(symbol, Symbolic)
        assert symbol.shape == theirs.shape
        assert symbol.dtype == theirs.dtype
        assert_close(ours, theirs, equal_nan=True)


def test_unknown_sizes_stay_unknown():
    x = symbolic_input((None, 8, 8, 3), torch.float32)

    assert ops.reshape(x, (-1, 192)).shape == (None, 192)
    assert ops.reshape(x, (ops.shape(x)[0], 192)).shape == (None, 192)
    assert ops.mean(x, axis=(1, 2)).shape == (None, 3)
    assert ops.concatenate([x, x], axis=-1).shape == (None, 8, 8, 6)
    kernel = np.ones((3, 3, 3, 5), "float32")
    y = ops.conv(x, kernel, 2, padding="same", data_format="channels_last")
    assert y.shape == (None, 4, 4, 5)
    assert ops.image.resize(x, (4, 5), data_format="channels_last").shape == (None, 4, 5, 3)
    assert ops.one_hot(ops.cast(x, "int32"), 7).shape == (None, 8, 8, 3, 7)


def test_arrays_beside_symbolic_tensors_become_constants():
    table = np.arange(12.0, dtype="float32").reshape(4, 3)

    indices = np.array([[0, 3], [2, 1]])
    symbol, result = run_as_graph(lambda i: ops.take(table, i, axis=0) + 1.0, [indices])

    assert symbol.shape == (2, 2, 3)
    assert_close(result, torch.from_numpy(table[indices] + 1))


def test_scalars_on_either_side_are_recorded():
    x = np.ones((2, 3), "float32")

    _, result = run_as_graph(lambda s: 2 - ops.add(1, s) / ops.maximum(s, 4.0), [x])

    assert_close(result, torch.full((2, 3), 1.5))
