"""Activations give Keras's values, and their strings stand for torch's own functions."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

import kerasish
from kerasish import activations

X = torch.tensor([[-7.0, -2.0, -1.0, -0.4, 0.0, 0.3], [0.5, 1.0, 1.7, 3.0, 6.5, 9.0]])
NAMES = sorted(set(activations._NAMES) - {"threshold"})


# Keras 3.15's sparsemax adds up partial sums instead of scores; its definition is tested below.
@pytest.mark.parametrize("name", [name for name in NAMES if name != "sparsemax"])
def test_activation_gives_the_values_of_keras_by_name_and_as_function(name):
    keras = pytest.importorskip("keras")
    expected = keras.activations.get(name)(X).cpu()

    assert_close(activations.get(name)(X), expected, rtol=2e-6, atol=2e-6)
    assert_close(getattr(activations, name)(X), expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("negative_slope", [0.0, 0.3])
@pytest.mark.parametrize("max_value", [None, 6, 2.5])
@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_relu_takes_the_options_of_keras(negative_slope, max_value, threshold):
    keras = pytest.importorskip("keras")
    options = {"negative_slope": negative_slope, "max_value": max_value, "threshold": threshold}
    expected = keras.activations.relu(X.numpy(), **options).cpu()

    assert_close(activations.relu(X, **options), expected)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("celu", {"alpha": 0.5}),
        ("elu", {"alpha": 2.0}),
        ("gelu", {"approximate": True}),
        ("glu", {"axis": 0}),
        ("hard_shrink", {"threshold": 1.0}),
        ("leaky_relu", {"negative_slope": 0.1}),
        ("log_softmax", {"axis": 0}),
        ("soft_shrink", {"threshold": 1.0}),
        ("softmax", {"axis": 0}),
        ("squareplus", {"b": 1}),
        ("threshold", {"threshold": 0.4, "default_value": 5.0}),
    ],
)
def test_options_mean_what_they_mean_in_keras(name, options):
    keras = pytest.importorskip("keras")
    expected = getattr(keras.activations, name)(X.numpy(), **options).cpu()

    assert_close(getattr(activations, name)(X, **options), expected, rtol=2e-6, atol=2e-6)


def test_every_name_of_keras_is_here():
    keras = pytest.importorskip("keras")

    missing = {name for name in dir(keras.activations) if not name.startswith("_")} - set(
        dir(activations)
    )

    assert missing == set()


def test_strings_stand_for_the_torch_function_itself():
    assert activations.get("relu") is torch.relu
    assert activations.get("tanh") is torch.tanh
    assert activations.get("gelu") is F.gelu
    assert activations.get(None) is activations.linear


@pytest.mark.parametrize("name", ["softmax", "sigmoid"])
def test_probabilities_remember_their_logits(name):
    y = getattr(activations, name)(X)

    assert y._logits is X


def test_probabilities_forget_their_logits_under_compile():
    compiled = torch.compile(activations.softmax, backend="eager", fullgraph=True)

    assert_close(compiled(X), torch.softmax(X, -1))


def test_a_graph_records_softmax_so_that_its_result_remembers_the_logits():
    traced = torch.fx.symbolic_trace(lambda x: activations.softmax(x, axis=0))

    y = traced(X)

    assert y._logits is X
    assert_close(y, torch.softmax(X, 0))


@pytest.mark.parametrize("name", NAMES)
def test_activation_can_be_traced_without_looking_at_values(name):
    function = getattr(activations, name)
    traced = torch.fx.symbolic_trace(lambda x: function(x))

    assert_close(traced(X), function(X))


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"hard_shrink"}))
def test_gradient_matches_finite_differences(name):
    x = (torch.rand(3, 4, dtype=torch.float64) + 0.05).requires_grad_()

    assert torch.autograd.gradcheck(getattr(activations, name), x)


def test_sparsemax_of_a_dominant_score_is_one_hot():
    assert activations.sparsemax(torch.tensor([[3.0, 1.0, 0.0]])).tolist() == [[1.0, 0.0, 0.0]]


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_sparsemax_is_the_nearest_point_of_the_simplex(axis):
    x = torch.randn(5, 6, dtype=torch.float64)

    p = activations.sparsemax(x, axis=axis)

    assert_close(p.sum(axis), torch.ones_like(p.sum(axis)))
    # Nearest: x - p has one value where p > 0, and is nowhere larger.
    gap = x - p
    offset = gap.amax(axis, keepdim=True)
    assert (p >= 0).all()
    assert_close(torch.where(p > 0, gap, offset), offset.expand_as(gap))


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="Unknown activation 'relu6x'; did you mean 'relu6'"):
        activations.get("relu6x")


def test_what_cannot_be_called_is_refused():
    with pytest.raises(TypeError, match=r"activation: expected a name.*got 3"):
        activations.get(3)


def test_modules_and_functions_are_taken_as_they_are():
    module = nn.PReLU()

    assert activations.get(module) is module
    assert activations.get(F.relu) is F.relu
    assert isinstance(activations.get(nn.ReLU), nn.ReLU)


@pytest.mark.parametrize("name", [*NAMES, "threshold"])
def test_serialize_gives_the_name_that_get_understands(name):
    config = activations.serialize(activations.get(name))

    assert isinstance(config, str)
    assert activations.get(config) is activations.get(name)
    assert activations.serialize(getattr(activations, name)) == config
    assert activations.deserialize(config) is activations.get(name)


def test_registered_function_is_found_by_name_and_comes_back_from_its_config():
    @kerasish.registry.register(package="test_activations")
    def doubled(x):
        return x * 2

    config = activations.serialize(doubled)

    assert activations.get(config) is doubled
    assert activations.deserialize("doubled", {"doubled": doubled}) is doubled
