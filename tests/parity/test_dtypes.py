"""Under a mixed policy, layers give numbers of the type that Keras's give."""

import inspect
from itertools import groupby

import pytest
import torch

from kerasish import layers
from tests.layers.parity import flat, in_peace
from tests.parity.case import in_library
from tests.parity.test_parity import CASES

pytestmark = pytest.mark.usefixtures("keras_image_format")

# The layers inside follow a policy of their own; of categories, Keras's never become bfloat16;
# our images keep their type.
OTHERWISE = {"CategoryEncoding", "Resizing", "StackedRNNCells", "TimeDistributed"}
FIRST = [
    case
    for name, cases in groupby(sorted(CASES, key=lambda case: case.name), lambda case: case.name)
    for case in list(cases)[:2]
    if name not in OTHERWISE
]


def called(library, case):
    """What the layer of a library gives under the policy, or `None` where Keras's cannot."""
    arguments = in_library(case.arguments, library) | {"dtype": "mixed_bfloat16"}
    layer = in_peace(getattr(library, case.name), **arguments)
    args, kwargs = case.make_inputs()
    code = layer.call if library is not layers else layer.forward
    quiet = {"training": False} if "training" in inspect.signature(code).parameters else {}
    try:
        return flat(in_peace(layer, *args, **kwargs, **quiet))
    except Exception:
        if library is layers:
            raise
        return None


@pytest.mark.parametrize("case", FIRST, ids=str)
def test_outputs_under_a_mixed_policy_have_the_type_of_keras(case):
    keras = pytest.importorskip("keras")
    theirs = called(keras.layers, case)
    if theirs is None:
        pytest.skip("Keras's layer knows no bfloat16")
    for one, other in zip(called(layers, case), theirs, strict=True):
        assert getattr(one, "dtype", None) == getattr(other, "dtype", None)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_a_layer_called_before_casts_what_comes_in_another_type(dtype):
    x = torch.rand(2, 3, 4)
    for layer in (layers.Dense(2), layers.LSTM(2), layers.Conv1D(2, 1)):
        expected = layer(x)
        got = layer(x.to(dtype))
        assert got.dtype is torch.float32
        torch.testing.assert_close(got, expected, rtol=0.05, atol=0.05)
