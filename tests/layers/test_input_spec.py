"""InputSpec: Keras's arguments in its order, and a last axis that may be there or not."""

import pytest
import torch

from kerasish import layers


def test_arguments_by_place_are_keras_s():
    spec = layers.InputSpec("float32", None, 3, None, None, {-1: 4}, False, "sequence", True)

    assert (spec.dtype, spec.ndim, spec.axes) == ("float32", 3, {-1: 4})
    assert (spec.name, spec.optional) == ("sequence", True)


@pytest.mark.parametrize("shape", [(None, 3), (None, 3, 1)], ids=["without", "with"])
@pytest.mark.parametrize("given", [(5, 3), (5, 3, 1)], ids=["without", "with"])
def test_a_last_axis_of_one_may_be_there_or_not(shape, given):
    class Whole(layers.Layer):
        def __init__(self):
            super().__init__()
            self.input_spec = layers.InputSpec(shape=shape, allow_last_axis_squeeze=True)

        def forward(self, x):
            return x * 2

    layer = Whole()

    assert layer(torch.ones(given)).shape == given
    with pytest.raises(ValueError, match="expects 2-D input"):
        layer(torch.ones(5, 3, 2))
    with pytest.raises(ValueError, match="size 3 on axis 1"):
        layer(torch.ones(5, 4))
