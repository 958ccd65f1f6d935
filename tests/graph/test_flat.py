"""Graphs as flat lists: everything that nodes hold is there again after the way back."""

import pickle

import torch

from kerasish import Input, Model, layers
from kerasish.graph.flat import flatten_graph, restore_graph
from kerasish.graph.symbolic import SymbolicNumber


def restored(roots, inputs):
    return restore_graph(pickle.loads(pickle.dumps(flatten_graph(roots, inputs))))


def test_shapes_types_and_names_come_back():
    x = Input((None, 4), dtype="int64", name="x")
    y = torch.relu(x.float())

    (x2, y2), nodes = restored((x, y), [x])

    assert (x2.shape, x2.dtype, x2.name) == ((None, None, 4), torch.int64, "x")
    assert (y2.shape, y2.dtype, y2.name) == ((None, None, 4), torch.float32, "relu")
    assert [node.name for node in nodes] == ["x", "float", "relu"]
    assert nodes[0].is_input
    assert y2.node.args[0].node is nodes[1]


def test_new_nodes_come_after_all_older_ones():
    x = Input((2,))
    later = x + 1

    (y,), _ = restored((x * 2,), [x])

    assert y.node.index > later.node.index


def test_items_of_results_keep_their_places():
    x = Input((6,))
    a, b = x.split(3, dim=1)

    found, nodes = restored({"x": x, "b": b}, [x])

    model = Model(found["x"], found["b"])
    assert model(torch.arange(6.0)[None]).tolist() == [[3.0, 4.0, 5.0]]
    split = next(node for node in nodes if node.name == "split")
    assert [tensor.shape for tensor in split.outputs] == [a.shape, b.shape]


def test_unknown_sizes_stay_computed():
    x = Input((None, 2))
    steps = x.size(1) + 1

    (x2, steps2), _ = restored((x, steps), [x])

    assert isinstance(steps2, SymbolicNumber)
    assert Model(x2, x2.sum(1) / steps2)(torch.ones(1, 3, 2)).tolist() == [[0.75, 0.75]]


def test_masks_belong_to_their_tensors_again():
    x = Input((5,), dtype="int64")
    y = layers.Embedding(4, 3, mask_zero=True)(x)

    (y2,), nodes = restored((y,), [x])

    assert y2.mask.shape == (None, 5)
    assert y2.mask.node in nodes


def test_what_lies_before_the_inputs_is_left_out():
    x = Input((2,))
    middle = layers.Dense(3)(x)

    _, nodes = restored((middle * 2,), [middle])

    assert [node.is_input for node in nodes] == [True, False]
    assert nodes[0].target is None


def test_plain_values_among_the_roots_stay():
    assert restored({"a": None, "b": [1, ("c",)]}, [])[0] == {"a": None, "b": [1, ("c",)]}
