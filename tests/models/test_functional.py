"""`Function`: the calls between symbolic tensors, to be called."""

import pytest
import torch
from torch.testing import assert_close

from kerasish import Function, Input, Model, Sequential, layers
from kerasish.models import clone_model, load_model


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


@pytest.mark.parametrize("kind", [list, tuple])
def test_one_output_in_a_list_comes_out_alone_as_in_keras(kind, tmp_path):
    inputs = Input((4,))
    outputs = layers.Dense(2)(inputs)
    model = Model(kind([inputs]), kind([outputs]))
    x, y = torch.randn(6, 4), torch.randn(6, 2)

    model.compile("sgd", ["mse"])
    model.fit([x], [y], verbose=0)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")

    assert model.predict(x, verbose=0).shape == (6, 2)
    assert_close(model(x), load_model(tmp_path / "model.keras")(x))
    assert Model(model.inputs, model.outputs)(x).shape == (6, 2)
    assert layers.Dense(3)(model(Input((4,)))).shape == (None, 3)


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_model_of_one_output_in_a_list_stays_one_in_copies_and_twins(kind, tmp_path):
    x = Input((3,))
    model = Model(x, kind([layers.Dense(2)(x)]))
    model.save(tmp_path / "model.kerasish")
    twin = model.to_torch()

    copies = [load_model(tmp_path / "model.kerasish"), clone_model(model)]

    assert twin(torch.ones(4, 3)).shape == (4, 2)
    for copy in copies:
        assert type(copy.output) is kind
        assert copy(torch.ones(4, 3)).shape == (4, 2)


def test_shapes_of_one_input_and_one_output_are_no_lists_but_the_tensors_are():
    inputs = Input((4,))
    model = Model([inputs], [layers.Dense(2)(inputs)])

    assert model.input_shape == (None, 4)
    assert model.output_shape == (None, 2)
    assert isinstance(model.input, list)
    assert isinstance(model.output, list)
    assert model.output[0] is model.outputs[0]


def test_a_function_keeps_a_list_of_one():
    inputs = Input((4,))

    assert isinstance(Function(inputs, [layers.Dense(2)(inputs)])(torch.ones(1, 4)), list)


def test_keras_agrees_on_lists_of_one():
    keras = pytest.importorskip("keras")
    inputs = keras.Input((4,))
    model = keras.Model([inputs], [keras.layers.Dense(2)(inputs)])

    assert tuple(model(torch.ones(3, 4)).shape) == (3, 2)
    assert model.input_shape == (None, 4)
    assert isinstance(model.output, list)
