"""The arguments of constructors: what a signature shows, and what a configuration keeps."""

import inspect

import pytest
import torch

from kerasish import layers
from kerasish.layers.arguments import LayerOptions
from kerasish.layers.recurrent.options import RecurrentOptions


def arguments(cls):
    return inspect.signature(cls).parameters


def test_options_stated_by_a_base_class_are_shown_with_their_defaults():
    found = arguments(layers.LSTM)

    assert list(found)[:4] == ["units", "activation", "recurrent_activation", "use_bias"]
    assert found["kernel_initializer"].default == "glorot_uniform"
    assert found["return_sequences"].default is False
    assert found["return_sequences"].kind is inspect.Parameter.KEYWORD_ONLY


def test_each_layer_shows_its_own_kind_of_option_only():
    assert "unit_forget_bias" in arguments(layers.LSTMCell)
    assert "unit_forget_bias" not in arguments(layers.GRU)
    assert "recurrent_activation" not in arguments(layers.SimpleRNN)
    assert "return_sequences" not in arguments(layers.GRUCell)
    assert "kernel_initializer" not in arguments(layers.RNN)
    with pytest.raises(TypeError, match="GRUCell has no argument 'stateful'"):
        layers.GRUCell(3, stateful=True)


def test_too_many_arguments_by_place_say_which_go_by_name():
    layer = layers.LSTM(3, "tanh", "sigmoid", False)

    assert not layer.use_bias
    with pytest.raises(TypeError, match=r"LSTM takes 4 .* got 5.*by name: .*kernel_initializer"):
        layers.LSTM(3, "tanh", "sigmoid", True, "he_normal")


def test_the_types_for_editors_are_the_options_that_there_are():
    shown = set(arguments(layers.LSTM)) - {"units", "activation", "recurrent_activation"}
    shown -= {"use_bias", "unit_forget_bias", "kwargs"}
    of_all_layers = set(LayerOptions.__annotations__) - {"activity_regularizer"}

    assert set(RecurrentOptions.__annotations__) == shown | of_all_layers


def test_the_signature_of_an_instance_is_that_of_its_call():
    shown = inspect.signature(layers.LSTM(3))

    assert "units" not in shown.parameters


def test_a_configuration_has_every_option_even_those_not_given():
    config = layers.LSTM(3, stateful=True).get_config()

    assert (config["stateful"], config["dropout"], config["unroll"]) == (True, 0.0, False)
    assert layers.LSTM.from_config(config).get_config() == config


def test_a_subclass_with_a_constructor_of_its_own_keeps_its_own_arguments():
    class Wide(layers.LSTM):
        def __init__(self, factor, **kwargs):
            super().__init__(8 * factor, return_sequences=True, **kwargs)

    layer = Wide(2, dropout=0.1)
    config = layer.get_config()

    assert set(config) == {"factor", "dropout", "name", "trainable", "dtype"}
    assert Wide.from_config(config)(torch.ones(2, 3, 4)).shape == (2, 3, 16)
    assert list(arguments(Wide)) == ["factor", "kwargs"]
