"""Modules called with other tensors than their own."""

import torch
from torch import nn
from torch.testing import assert_close

from kerasish import Input, Sequential, layers
from kerasish.other_tensors import call_with


def shared_twice():
    """A Dense layer that is reached by two paths."""
    dense = layers.Dense(3, use_bias=False)
    parts = [Sequential([Input((3,)), dense]) for _ in range(2)]
    return dense, Sequential([Input((3,)), *parts])


def test_every_place_of_a_tensor_gets_the_other_one():
    one, tied = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
    tied.weight = one.weight
    model = nn.Sequential(nn.Sequential(one), nn.Sequential(one), tied)
    before = one.weight

    result = call_with(model, {id(before): 2 * torch.eye(2)}, (torch.ones(1, 2),), {})

    assert_close(result, torch.full((1, 2), 8.0))
    assert one.weight is before
    assert tied.weight is before
    assert [id(p) for p in model.parameters()] == [id(before)]


def test_layers_on_other_weights_keep_their_own_where_two_paths_lead_to_them():
    dense, model = shared_twice()
    weight, x = dense.linear.weight, torch.ones(2, 3)

    result, _ = model.stateless_call([torch.zeros(3, 3)], [], x)
    assert_close(result, torch.zeros(2, 3))
    thinned = layers.DropConnect(model, 0.5)
    thinned.train()
    thinned(x).sum().backward()

    assert dense.linear.weight is weight
    assert weight.grad is not None
