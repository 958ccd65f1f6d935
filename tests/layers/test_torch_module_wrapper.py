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


def test_one_made_by_place_comes_back_from_a_file(tmp_path):
    layer = layers.TorchModuleWrapper(nn.Linear(3, 2), "inner", (2,))
    model = kerasish.Sequential([layers.Input((3,)), layer])
    x = torch.randn(4, 3)

    model.save(tmp_path / "m.kerasish")
    again = kerasish.models.load_model(tmp_path / "m.kerasish")

    assert again.layers[-1].name == "inner"
    assert_close(again(x), model(x))


def test_what_is_no_module_is_refused():
    with pytest.raises(TypeError, match=r"expected an nn\.Module"):
        layers.TorchModuleWrapper("linear")


def test_a_module_that_reads_a_count_of_its_own_can_be_recorded():
    norm = nn.BatchNorm1d(3, momentum=None)  # an average over all batches, by their number
    x, y = torch.randn(8, 3), torch.randn(8, 2)

    model = kerasish.Sequential([layers.Input((3,)), norm, layers.Dense(2)])

    assert model.output_shape == (None, 2)
    assert norm.training
    assert norm.num_batches_tracked == 0
    model.compile("sgd", "mse")
    model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    assert_close(norm.running_mean, x.view(2, 4, 3).mean((0, 1)))
