"""Comparison of a layer with the Keras layer of the same weights."""

import warnings

import numpy as np
import torch
from torch.testing import assert_close


def assert_same_as_keras(
    ours, theirs, *inputs, training=False, build=True, tolerance=1e-5, **kwargs
):
    """Move the weights from `ours` to `theirs`; outputs, input and weight gradients must agree."""
    here = [x.detach().clone().requires_grad_(x.is_floating_point()) for x in inputs]
    there = [x.detach().clone().requires_grad_(x.is_floating_point()) for x in inputs]
    if build:
        ours(*here, training=False, **kwargs)
        in_peace(theirs, *there, **kwargs)
        randomize(ours)
    names = [weight.name for weight in ours.keras_weights()]
    shapes = [tuple(weight.shape) for weight in theirs.weights]
    assert [w.shape for w in ours.get_weights()] == shapes, names
    in_peace(theirs.set_weights, ours.get_weights())
    got = flat(ours(*here, training=training, **kwargs))
    want = flat(in_peace(theirs, *there, training=training, **kwargs))
    assert len(got) == len(want)
    for one, other in zip(got, want, strict=True):
        assert_close(one, other, rtol=tolerance, atol=tolerance)
    weigh = [torch.randn_like(y) for y in got]
    for outputs in (got, want):
        sum((y * w).sum() for y, w in zip(outputs, weigh, strict=True)).backward()
    for one, other in zip(here, there, strict=True):
        if one.grad is not None:
            assert_close(one.grad, other.grad, rtol=10 * tolerance, atol=10 * tolerance)
    compare_weight_gradients(ours, theirs, 10 * tolerance)
    assert ours.count_params() == theirs.count_params()
    if not kwargs and len(inputs) == 1:
        shape = (None, *inputs[0].shape[1:])
        got, want = ours.compute_output_shape(shape), theirs.compute_output_shape(shape)
        assert_same_shapes(as_lists(got), as_lists(want))


def assert_same_shapes(one, other):
    """Sizes that Keras knows must agree; sometimes we know more."""
    if isinstance(other, list):
        assert len(one) == len(other)
        for item, wanted in zip(one, other, strict=True):
            assert_same_shapes(item, wanted)
    else:
        assert other is None or one == other


def in_peace(function, *args, **kwargs):
    """Call Keras, whose use of NumPy warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


def compare_weight_gradients(ours, theirs, tolerance):
    gradients = [gradient(weight) for weight in ours.keras_weights() if weight.trainable]
    wanted = [weight.value.grad for weight in theirs.trainable_weights]
    assert len(gradients) == len(wanted)
    for one, other in zip(gradients, wanted, strict=True):
        if one is not None and other is not None:
            assert_close(one, other, rtol=tolerance, atol=tolerance)
        else:
            assert one is None or not one.any()
            assert other is None or not other.any()


def gradient(weight):
    """The gradient of a weight in Keras's layout; of both tensors where Keras has one array."""
    tensors = getattr(weight, "tensors", (weight.tensor,))
    if any(tensor.grad is None for tensor in tensors):
        return None
    rows = [weight.to_keras(tensor.grad) for tensor in tensors]
    return rows[0] if len(rows) == 1 else torch.stack(rows)


def randomize(layer):
    """Give every weight values that no initialiser gives; variances stay positive."""
    generator = np.random.default_rng(0)
    layer.set_weights([generator.uniform(0.1, 0.6, w.shape) for w in layer.get_weights()])


def flat(value):
    if isinstance(value, torch.Tensor):
        return [value]
    return [tensor for item in value for tensor in flat(item)]


def as_lists(value):
    return [as_lists(item) for item in value] if isinstance(value, (tuple, list)) else value
