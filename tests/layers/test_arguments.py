"""The arguments of constructors: what a signature shows, what a place means, what is kept."""

import inspect

import pytest
import torch

from kerasish import layers

# A class of each constructor there is, and the arguments that it must be given.
NEEDED = {
    "Conv2D": (4, 3),
    "Conv2DTranspose": (4, 3),
    "Conv3DTranspose": (4, 3),
    "DepthwiseConv2D": (3,),
    "SeparableConv2D": (4, 3),
    "SimpleRNN": (4,),
    "LSTM": (4,),
    "GRU": (4,),
    "SimpleRNNCell": (4,),
    "LSTMCell": (4,),
    "GRUCell": (4,),
    "ConvLSTM2D": (4, 3),
    "BatchNormalization": (),
    "LayerNormalization": (),
    "GroupNormalization": (),
    "MultiHeadAttention": (2, 4),
    "GroupQueryAttention": (4, 2, 1),
}
OTHER_VALUES = {
    "activation": "elu",
    "attention_axes": (1,),
    "axis": 1,
    "data_format": "channels_last",
    "depth_multiplier": 3,
    "flash_attention": True,
    "groups": 2,
    "output_padding": 1,
    "output_shape": 6,
    "padding": "same",
    "recurrent_activation": "hard_sigmoid",
    "renorm_clipping": {"rmax": 3.0},
    "seed": 8,
    "sliding_window": 7,
    "strides": 2,
    "use_cudnn": False,
    "value_dim": 5,
}
OTHER_RULES = {"initializer": "he_normal", "regularizer": "l1", "constraint": "max_norm"}
# Attributes that follow from others.
DERIVED = {"seeds", "input_spec", "fixed_padding", "crops"}


def other_value(parameter):
    """A value for an argument that is not its default, where the test knows one."""
    if isinstance(parameter.default, bool):
        return not parameter.default
    if isinstance(parameter.default, float):
        return 0.25
    rule = OTHER_RULES.get(parameter.name.rsplit("_", 1)[-1])
    return rule or OTHER_VALUES.get(parameter.name, parameter.default)


def arguments(cls):
    return inspect.signature(cls).parameters


def test_a_signature_shows_the_list_of_the_class():
    found = arguments(layers.LSTM)

    assert list(found)[:5] == [
        "units",
        "activation",
        "recurrent_activation",
        "use_bias",
        "kernel_initializer",
    ]
    assert found["kernel_initializer"].default == "glorot_uniform"
    assert found["return_sequences"].default is False
    assert found["return_sequences"].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert found["zero_output_for_mask"].kind is inspect.Parameter.KEYWORD_ONLY  # not in Keras's


def test_each_layer_shows_its_own_kind_of_option_only():
    assert "unit_forget_bias" in arguments(layers.LSTMCell)
    assert "unit_forget_bias" not in arguments(layers.GRU)
    assert "recurrent_activation" not in arguments(layers.SimpleRNN)
    assert "return_sequences" not in arguments(layers.GRUCell)
    assert "kernel_initializer" not in arguments(layers.RNN)
    with pytest.raises(TypeError, match="GRUCell has no argument 'stateful'"):
        layers.GRUCell(3, stateful=True)


@pytest.mark.parametrize("name", NEEDED)
def test_an_argument_by_place_is_in_the_configuration_under_its_name(name):
    cls, needed = getattr(layers, name), NEEDED[name]
    by_place = [p for p in arguments(cls).values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    # The first of them set what the others must fit.
    rest = [
        p.default if p.name in ("strides", "output_padding", "groups") else other_value(p)
        for p in by_place[len(needed) :]
    ]

    config = cls(*needed, *rest).get_config()

    given = dict(zip([p.name for p in by_place], [*needed, *rest], strict=True))
    for name, value in given.items():
        written = config[name]
        # One number for all axes is written once for each, as in Keras.
        assert written == value or written == (value,) * len(written), name
    assert cls.from_config(config).get_config() == config


@pytest.mark.parametrize("name", NEEDED)
def test_an_argument_sets_the_attribute_of_its_name_and_no_other(name):
    cls, needed = getattr(layers, name), NEEDED[name]
    plain = settings(cls(*needed))
    for parameter in arguments(cls).values():
        value = other_value(parameter)
        if parameter.name not in plain or value == parameter.default:
            continue
        strides = {"strides": 2} if parameter.name == "output_padding" else {}

        changed = settings(cls(*needed, **{parameter.name: value, **strides}))

        differing = {key for key in plain if changed[key] != plain[key]}
        assert differing - DERIVED - strides.keys() == {parameter.name}


def settings(layer):
    """The public attributes; functions and rules by their kind."""
    found = {key: value for key, value in vars(layer).items() if not key.startswith("_")}
    del found["name"]
    return {k: type(v) if hasattr(v, "get_config") else v for k, v in found.items()}


def test_too_many_arguments_by_place_are_python_s_own_error():
    with pytest.raises(TypeError, match=r"takes from 2 to \d+ positional arguments but"):
        layers.LSTM(3, *range(40))


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
