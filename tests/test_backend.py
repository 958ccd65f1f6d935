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


def spelled(probabilities, path_labels):
    """The probability of a row of labels, by adding that of every path through the steps."""
    steps, classes = probabilities.shape
    total = 0.0
    for path in itertools.product(range(classes), repeat=steps):
        merged = [c for i, c in enumerate(path) if i == 0 or c != path[i - 1]]
        if [c for c in merged if c != classes - 1] == path_labels:
            total += torch.stack([probabilities[i, c] for i, c in enumerate(path)]).prod().item()
    return total


@pytest.mark.parametrize("fill", [0, 99], ids=["told by lengths", "told by numbers"])
def test_ctc_batch_cost_is_minus_the_log_of_the_probability_of_the_labels(fill):
    y_pred = torch.softmax(torch.randn(2, 4, 3), dim=-1)
    y_true = torch.tensor([[1, 0], [1, fill]]).float()
    lengths = [[2], [1]] if fill == 0 else [[2], [2]]

    cost = backend.ctc_batch_cost(y_true, y_pred, [[4], [4]], lengths)

    want = [[spelled(y_pred[0], [1, 0])], [spelled(y_pred[1], [1])]]
    torch.testing.assert_close(torch.exp(-cost), torch.tensor(want), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("greedy", [True, False])
def test_ctc_decode_takes_the_last_class_for_no_label(greedy):
    steps = torch.tensor([[1, 1, 2, 1, 0], [2, 0, 2, 2, 1]])
    y_pred = torch.nn.functional.one_hot(steps, 3) * 0.97 + 0.01

    (labels,), _ = backend.ctc_decode(y_pred.numpy(), [5.0, 4.0], greedy=greedy)

    assert labels[0].tolist() == [1, 1, 0, -1, -1]
    assert labels[1].tolist() == [0, -1, -1, -1, -1]


def test_tracebacks_are_never_filtered():
    kerasish.config.disable_traceback_filtering()
    with pytest.warns(UserWarning, match="enable_traceback_filtering has no effect"):
        kerasish.config.enable_traceback_filtering()

    assert not kerasish.config.is_traceback_filtering_enabled()
