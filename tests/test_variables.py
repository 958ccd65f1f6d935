"""Variable: first values, changes in place, and its place in layers and optimizers."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

import kerasish
from kerasish import Variable, layers


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(1.0, "float32"), ([1, 2], "int64"), (np.ones((2, 3)), "float32"), (torch.ones(2), "float32")],
)
def test_values_keep_their_kind(value, dtype):
    variable = Variable(value)

    assert kerasish.backend.standardize_dtype(variable.dtype) == dtype
    assert_close(variable.numpy(), np.asarray(value, dtype=dtype))
    assert variable.trainable == (dtype == "float32")


def test_initialisers_fill_a_shape():
    assert Variable("ones", shape=(2, 3)).sum() == 6
    assert Variable(lambda shape, dtype: torch.zeros(shape, dtype=dtype), shape=(2,)).shape == (2,)
    assert Variable(2, shape=(1, 1), dtype="float64").dtype == torch.float64
    with pytest.raises(ValueError, match="an initializer needs a `shape`"):
        Variable("ones")


def test_assignments_change_it_in_place_and_return_it():
    variable = Variable([1.0, 2.0], name="total")
    address = variable.data_ptr()

    assert variable.assign([3.0, 4.0]) is variable
    variable.assign_add(1.0).assign_sub(torch.tensor([0.0, 2.0]))

    assert variable.tolist() == [4.0, 3.0]
    assert variable.data_ptr() == address
    assert variable.name == "total"
    with pytest.raises(ValueError, match=r'"total" has shape \(2,\), got'):
        variable.assign([1.0])


def test_the_value_of_another_is_copied():
    first = torch.zeros(2)

    Variable(first).assign([1.0, 1.0])

    assert not first.any()


def test_results_are_plain_tensors_that_know_the_variable():
    variable = Variable(3.0)

    (variable * variable).backward()

    assert type(variable * 2) is torch.Tensor
    assert variable.grad == 6
    assert variable.value is variable


def test_it_is_a_parameter_of_the_layer_that_holds_it():
    class Scale(layers.Layer):
        def build(self, input_shape):
            self.factor = Variable(2.0, name="factor")
            self.count = Variable(0, trainable=False)

        def call(self, x):
            return self.factor * x

    layer = Scale()
    y = layer(torch.ones(2))

    assert y.tolist() == [2, 2]
    assert [name for name, _ in layer.named_parameters()] == ["factor", "count"]
    assert len(layer.trainable_weights) == 1
    torch.optim.SGD(layer.trainable_weights, 0.5).step()


def test_a_copy_is_a_variable_of_its_own():
    module = nn.Module()
    module.weight = Variable(1.0, trainable=False, name="weight")

    twin = copy.deepcopy(module)
    twin.weight.assign(5.0)

    assert module.weight == 1
    assert isinstance(twin.weight, Variable)
    assert (twin.weight.name, twin.weight.trainable) == ("weight", False)
    twin.weight.trainable = True
    assert twin.weight.requires_grad


BESIDE_ARRAYS = {
    "variable * array": (lambda v, a: v * a, lambda v, a: v * a),
    "array * variable": (lambda v, a: a * v, lambda v, a: v * a),
    "variable - array": (lambda v, a: v - a, lambda v, a: v - a),
    "array / variable": (lambda v, a: a / v, lambda v, a: a / v),
    "variable ** array": (lambda v, a: v**a, lambda v, a: v**a),
    "array @ variable": (lambda v, a: a @ v, lambda v, a: (a * v).sum()),
    "number of numpy + variable": (lambda v, a: a[0] + v, lambda v, a: a[0] + v),
    "reversed array * variable": (lambda v, a: a[::-1] * v, lambda v, a: a.flip(0) * v),
    "double array @ variable": (
        lambda v, a: a.astype("d") @ v,
        lambda v, a: (a.double() * v).sum(),
    ),
}


@pytest.mark.parametrize(("ours", "torchs"), BESIDE_ARRAYS.values(), ids=BESIDE_ARRAYS)
@pytest.mark.parametrize("kind", ["variable", "weight"])
def test_gradients_flow_through_arithmetic_with_arrays(ours, torchs, kind):
    array = np.array([1.0, 2.0, 3.0], "float32")
    array.flags.writeable = False
    if kind == "variable":
        variable = Variable([4.0, 5.0, 6.0])
    else:
        layer = layers.PReLU()
        layer.build((None, 3))
        variable = layer.trainable_weights[0]
        variable.assign([4.0, 5.0, 6.0])
    plain = torch.tensor([4.0, 5.0, 6.0], requires_grad=True)

    got, want = ours(variable, array), torchs(plain, torch.tensor(array))
    got.sum().backward()
    want.sum().backward()

    assert type(got) is torch.Tensor
    assert_close(got, want)
    assert_close(variable.grad, plain.grad)


def test_numpy_functions_take_a_variable_as_an_array():
    variable = Variable([-1.0, 2.0])

    assert np.abs(variable).tolist() == [1, 2]
    assert np.maximum(variable, np.zeros(2)).tolist() == [0, 2]
    assert np.add.reduce(variable) == 1
    assert type(np.abs(variable)) is np.ndarray
