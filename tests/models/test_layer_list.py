"""Slices of a model's layers, where one of them is a whole network."""

import warnings

import pytest
from torch import nn

import kerasish
from kerasish import layers


def around(*modules):
    x = kerasish.Input((4,))
    return kerasish.Model(x, layers.Dense(2)(layers.TorchModule(nn.Sequential(*modules))(x)))


def network():
    return around(*(nn.Linear(4, 4) for _ in range(9)))


@pytest.mark.parametrize("part", [slice(None, 100), slice(None, -4), slice(-20, None)], ids=str)
def test_a_slice_that_means_the_layers_of_a_network_inside_warns(part):
    found = network().layers
    with pytest.warns(UserWarning, match=r"3 layers, since the network 'sequential.*stages\(\)"):
        found[part]


def test_other_slices_places_and_models_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = network().layers
        assert [found[0], *found[1:3]] == found[:3] == found[:] == list(found)
        assert found[:-1] + found[-1:] == found
        around(nn.Linear(4, 4)).layers[:100]
        kerasish.Sequential([kerasish.Input((4,)), layers.Dense(2)]).layers[:-4]
