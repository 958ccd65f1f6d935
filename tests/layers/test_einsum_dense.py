"""EinsumDense against Keras."""

import pytest
import torch

from kerasish import layers
from tests.layers.parity import assert_same_as_keras


@pytest.mark.parametrize(
    ("equation", "output_shape", "bias_axes", "shape"),
    [
        ("ab,bc->ac", 5, "c", (3, 4)),
        ("ab,bc->ac", 5, None, (3, 4)),
        ("abc,cd->abd", (None, 5), "d", (3, 2, 4)),
        ("abc,cd->abd", (2, 5), "bd", (3, 2, 4)),
        ("abc,cde->abde", (None, 5, 6), "de", (3, 2, 4)),
        ("abcd,cde->abe", (None, 6), "e", (2, 3, 4, 5)),
        ("...x,xy->...y", 5, "y", (2, 3, 4)),
        ("ab...,bc->ac...", 5, "c", (2, 3, 4)),
        ("abc,dc->abd", (2, 7), "b", (3, 2, 4)),
    ],
)
def test_einsum_dense_matches_keras(equation, output_shape, bias_axes, shape):
    keras = pytest.importorskip("keras")
    arguments = {"output_shape": output_shape, "bias_axes": bias_axes, "activation": "tanh"}
    ours = layers.EinsumDense(equation, **arguments)
    theirs = keras.layers.EinsumDense(equation, **arguments)

    assert_same_as_keras(ours, theirs, torch.randn(shape))

    assert layers.EinsumDense.from_config(ours.get_config())(torch.randn(shape)).ndim > 1


def test_errors_of_einsum_dense():
    with pytest.raises(ValueError, match="cannot read the equation"):
        layers.EinsumDense("ab->c", 3)
    with pytest.raises(ValueError, match="expects an input 'abc'"):
        layers.EinsumDense("abc,cd->abd", (None, 3))(torch.ones(2, 3))
    with pytest.raises(ValueError, match="output_shape names the axes 'bd'"):
        layers.EinsumDense("abc,cd->abd", 3)(torch.ones(2, 3, 4))
    with pytest.raises(ValueError, match="axis 'b' has size 3 in the input and 5"):
        layers.EinsumDense("abc,cd->abd", (5, 3))(torch.ones(2, 3, 4))
    with pytest.raises(ValueError, match=r"bias axes \['c'\] are not in the output"):
        layers.EinsumDense("abc,cd->abd", (None, 3), bias_axes="c")(torch.ones(2, 3, 4))
    with pytest.raises(ValueError, match="needs to know the size of axis 'd'"):
        layers.EinsumDense("abc,cd->abd", (None, None))(torch.ones(2, 3, 4))
