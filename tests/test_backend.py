"""Keras's backend helpers, against Keras's where they compute something."""

import itertools

import pytest
import torch

import kerasish
from kerasish import backend, layers

TYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32"]


@pytest.fixture
def keras():
    return pytest.importorskip("keras")


def test_defaults_are_those_of_config():
    backend.set_image_data_format("channels_last")

    assert kerasish.config.image_data_format() == backend.image_data_format() == "channels_last"
    assert (backend.backend(), backend.floatx(), backend.epsilon()) == ("torch", "float32", 1e-7)


def test_clear_session_starts_names_again():
    layers.Dense(1)
    backend.get_uid("a")

    backend.clear_session()

    assert layers.Dense(1).name == "dense"
    assert [backend.get_uid("a"), backend.get_uid("a"), backend.get_uid("b")] == [1, 2, 1]


def test_symbolic_tensors_are_keras_tensors():
    assert backend.is_keras_tensor(layers.Input((2,)))
    assert not backend.is_keras_tensor(torch.ones(2))
    assert isinstance(layers.Dense(1)(layers.Input((2,))), kerasish.KerasTensor)


@pytest.mark.parametrize("dtype", [*TYPES, None, "int", int, float])
def test_types_are_named_as_in_keras(keras, dtype):
    assert backend.standardize_dtype(dtype) == keras.backend.standardize_dtype(dtype)
    if dtype is not None:
        assert backend.is_float_dtype(dtype) == keras.backend.is_float_dtype(dtype)
        assert backend.is_int_dtype(dtype) == keras.backend.is_int_dtype(dtype)


@pytest.mark.parametrize(
    "pair", list(itertools.combinations_with_replacement([*TYPES, int, float], 2)), ids=str
)
def test_types_of_results_are_those_of_keras(keras, pair):
    if "int64" in pair and keras.backend.result_type(*pair) == "int32":
        pytest.skip("Keras narrows 64-bit integers")
    assert backend.result_type(*pair) == keras.backend.result_type(*pair)


def test_long_integers_stay_long():
    assert backend.result_type("int64", "bool") == "int64"
    assert backend.result_type("int64", int) == "int64"


def test_a_torch_type_has_a_plain_name():
    assert backend.standardize_dtype(torch.bfloat16) == "bfloat16"
    with pytest.raises(ValueError, match="Unknown dtype"):
        backend.standardize_dtype("float12")


def test_a_device_holds_inside_a_block():
    with kerasish.device("meta"):
        assert torch.ones(1).is_meta
    assert backend.device("GPU:1") == torch.device("cuda:1")


def test_the_version_is_told():
    assert kerasish.version() == kerasish.__version__
