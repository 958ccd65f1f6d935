"""Constraints give Keras's projections, on Keras's layout."""

import pytest
import torch
from torch.testing import assert_close

from kerasish import constraints

EXAMPLES = [
    ("MaxNorm", {}),
    ("MaxNorm", {"max_value": 0.5, "axis": 1}),
    ("MaxNorm", {"max_value": 0.5, "axis": [0, 1]}),
    ("NonNeg", {}),
    ("UnitNorm", {}),
    ("UnitNorm", {"axis": [0, 1]}),
    ("MinMaxNorm", {}),
    ("MinMaxNorm", {"min_value": 3.0, "max_value": 4.0, "rate": 0.3, "axis": 1}),
]


@pytest.mark.parametrize(("name", "arguments"), EXAMPLES)
def test_projection_is_that_of_keras(name, arguments):
    keras = pytest.importorskip("keras")
    w = torch.randn(4, 3, 2)

    expected = getattr(keras.constraints, name)(**arguments)(w).cpu()

    assert_close(getattr(constraints, name)(**arguments)(w), expected)


@pytest.mark.parametrize(("name", "arguments"), EXAMPLES)
def test_config_makes_the_same_constraint_again(name, arguments):
    constraint = getattr(constraints, name)(**arguments)

    again = constraints.deserialize(constraints.serialize(constraint))

    assert type(again) is type(constraint)
    assert again.get_config() == constraint.get_config()


def test_max_norm_limits_the_incoming_weights_of_each_unit():
    w = torch.tensor([[3.0, 0.3], [4.0, 0.4]])  # (in, out): norms 5 and 0.5

    assert_close(constraints.MaxNorm(1.0)(w), torch.tensor([[0.6, 0.3], [0.8, 0.4]]))


@pytest.mark.parametrize(("name", "arguments"), [e for e in EXAMPLES if e[1].get("rate", 1) == 1])
def test_projecting_twice_changes_nothing(name, arguments):
    constraint = getattr(constraints, name)(**arguments)
    once = constraint(torch.randn(4, 3, 2))

    assert_close(constraint(once), once)


def test_every_name_of_keras_is_here():
    keras = pytest.importorskip("keras")

    assert {n for n in dir(keras.constraints) if n[0] != "_"} <= set(dir(constraints))
    assert isinstance(constraints.get("non_neg"), constraints.NonNeg)
    assert constraints.get(None) is None


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"Unknown constraint 'maxnorm'.*did you mean 'MaxNorm'"):
        constraints.get("maxnorm")
