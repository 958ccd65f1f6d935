"""`Function`: the calls between symbolic tensors, to be called."""

import pytest
import torch
from torch.testing import assert_close

from kerasish import Function, Input, Model, Sequential, layers
from kerasish.models import load_model


def test_a_function_computes_what_lies_between_symbolic_tensors():
    model = Sequential(
        [Input((4,)), layers.Dense(3, "relu", name="hidden"), layers.Dense(2, name="last")]
    )
    x = torch.randn(5, 4)
    hidden = model.get_layer("hidden")

    front = Function(model.inputs, hidden.output, name="front")
    back = Function(hidden.output, model.output)
    both = Function(model.input, {"a": hidden.output, "b": model.output})

    assert_close(front(x), torch.relu(hidden.linear(x)))
    assert_close(back(front(x)), model(x))
    assert_close(both(x.numpy()), {"a": front(x), "b": model(x)})
    assert front.name == "front"
    assert front.compute_output_shape((None, 4)) == (None, 3)
    assert Model(model.input, back(front(model.input)))(x).shape == (5, 2)


def test_a_function_shares_the_layers_and_their_modes():
    x, y = torch.ones(200, 4), Input((4,))
    model = Model(y, layers.Dropout(0.5)(y))
    function = Function(y, model.output)

    assert (function(x) == 0).any()
    model.eval()
    assert_close(function(x), x)


def test_a_function_is_saved_with_what_it_is_part_of(tmp_path):
    x = Input((4,))
    model = Model(x, layers.Dense(2)(Function(x, layers.Dense(3)(x))(x)))

    model.save(tmp_path / "model.kerasish")
    again = load_model(tmp_path / "model.kerasish")

    assert_close(again(torch.ones(1, 4)), model(torch.ones(1, 4)))


def test_a_function_needs_symbolic_tensors():
    with pytest.raises(TypeError, match="must be symbolic tensors"):
        Function(torch.ones(2), torch.ones(2))
