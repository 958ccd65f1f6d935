"""TorchModuleWrapper: Keras's name and arguments for a torch module as a layer."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import kerasish
from kerasish import layers


def test_it_computes_and_trains_what_the_module_does():
    module = nn.Linear(3, 2)
    layer = layers.TorchModuleWrapper(module, name="inner", output_shape=(2,))
    model = kerasish.Sequential([layers.Input((3,)), layer])
    x = torch.randn(4, 3)

    assert_close(model(x), module(x))
    assert model.output_shape == (None, 2)
    assert layer.name == "inner"
    assert model.count_params() == 8


def test_what_is_no_module_is_refused():
    with pytest.raises(TypeError, match=r"expected an nn\.Module"):
        layers.TorchModuleWrapper("linear")
