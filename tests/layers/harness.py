"""What every layer must do, and the comparison of a layer with Keras's."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.testing import assert_close

from kerasish import layers
from kerasish.graph.expand import expand
from kerasish.graph.symbolic import SymbolicTensor
from kerasish.registry import deserialize, serialize

# Values that kerasish's and Keras's configs write in different words.
_OTHER_WORDS = {"name", "dtype", "trainable"}


def _leaves(value: Any) -> list:
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value]


def _like(value: Any, function: Any) -> Any:
    return (
        [_like(v, function) for v in value] if isinstance(value, (list, tuple)) else function(value)
    )


def symbolic_for(x: Any) -> Any:
    """Symbolic inputs of the shapes and types of tensors, with an unknown batch size."""
    return _like(x, lambda t: layers.Input(tuple(t.shape[1:]), dtype=t.dtype))


def check_layer(
    layer: layers.Layer, x: Any, expected_output_shape: tuple | None = None, *, loads: bool = True
) -> Any:
    """Check what all layers owe, and return the layer's output in evaluation mode.

    Args:
        layer: A layer not called yet.
        x: A tensor or a list of tensors to call it on.
        expected_output_shape: Batch axis included.
        loads: Whether the layer can be made again from its config.
    """
    assert repr(layer)
    symbolic = layer(symbolic_for(x))
    assert layer.built
    y = layer(x)
    for shown, real in zip(_leaves(symbolic), _leaves(y), strict=True):
        assert isinstance(shown, SymbolicTensor)
        assert shown.shape == (None, *real.shape[1:])
        assert shown.dtype == real.dtype
    if expected_output_shape is not None:
        assert tuple(y.shape) == tuple(expected_output_shape)

    if layer.is_transparent:
        # A model may run the layer's own code on symbolic inputs, to call what it calls.
        inputs = symbolic_for(x)
        opened = expand(_leaves(inputs), layer(inputs), lambda module: module is layer)
        for shown, real in zip(_leaves(opened), _leaves(y), strict=True):
            assert shown.shape == (None, *real.shape[1:])

    _check_gradients(layer, x)
    _check_weights(layer)
    layer.eval()
    assert not any(module.training for module in layer.modules())
    y = layer(x)
    if loads:
        _check_config(layer, x, y)
    layer.train()
    assert layer.training
    layer.eval()
    return y


def _check_gradients(layer: layers.Layer, x: Any) -> None:
    x = _like(x, lambda t: t.clone().requires_grad_() if t.is_floating_point() else t)
    total = sum(leaf.double().square().sum() for leaf in _leaves(layer(x)))
    if not getattr(total, "requires_grad", False):
        return
    total.backward()
    for weight in layer.keras_weights():
        if weight.trainable:
            assert weight.tensor.grad is not None, f"{weight.name} got no gradient"
            weight.tensor.grad = None
    assert all(leaf.grad is not None for leaf in _leaves(x) if leaf.is_floating_point())


def _check_weights(layer: layers.Layer) -> None:
    arrays = layer.get_weights()
    assert layer.count_params() == sum(a.size for a in arrays)
    state = {key: value.clone() for key, value in layer.state_dict().items()}
    layer.set_weights([np.zeros_like(a) for a in arrays])
    assert all(not a.any() for a in layer.get_weights())
    layer.set_weights(arrays)
    for key, value in layer.state_dict().items():
        assert_close(value, state[key], rtol=0, atol=0)


def _check_config(layer: layers.Layer, x: Any, y: Any) -> None:
    again = deserialize(serialize(layer))
    assert type(again) is type(layer)
    assert again.get_config().keys() == layer.get_config().keys()
    again.eval()
    again(x)
    again.load_state_dict(layer.state_dict())
    for ours, theirs in zip(_leaves(again(x)), _leaves(y), strict=True):
        assert_close(ours, theirs)


def assert_same_signature(ours: type, theirs: type) -> None:
    """What can be given by place is what Keras takes by place, in its order, with its defaults.

    An argument that only we have goes by name.
    """
    own, keras = (inspect.signature(c).parameters for c in (ours, theirs))
    assert _by_place(own) == _by_place(keras)
    for name, parameter in keras.items():
        if parameter.kind is not parameter.VAR_KEYWORD:
            default = own[name].default
            assert _same_value(default, parameter.default), f"{name}: {default}"


def _by_place(parameters: Mapping[str, inspect.Parameter]) -> list[str]:
    """The arguments that need no name."""
    return [name for name, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]


def _same_value(ours: Any, theirs: Any) -> bool:
    """One number stands for as many equal ones."""
    if isinstance(theirs, (tuple, list)):
        items = [ours] * len(theirs) if isinstance(ours, (int, str)) else ours
        return len(items) == len(theirs) and all(map(_same_value, items, theirs))
    return ours == theirs


def assert_same_as_keras(
    ours: layers.Layer,
    theirs: Any,
    x: Any,
    *,
    atol: float = 1e-5,
    rtol: float = 1e-5,
    gradients: bool = True,
) -> Any:
    """A layer computes what Keras's does with the same weights, and describes itself alike.

    Args:
        ours: A layer not called yet.
        theirs: The Keras layer, likewise.
        x: A tensor or a list of tensors, in the axis order of both.
        atol: How far apart numbers may be.
        rtol: The same, relative.
        gradients: Whether gradients with respect to the inputs are compared.

    Returns:
        Our output.
    """
    assert_same_signature(type(ours), type(theirs))
    assert ours.supports_masking == theirs.supports_masking
    mine, their = (_like(x, lambda t: t.clone().requires_grad_(gradients)) for _ in range(2))
    y, expected = ours(mine), theirs(their)
    # Not get_weights(), whose conversion to NumPy warns.
    weights = [v.value.detach().numpy() for v in theirs.weights]
    assert [w.shape for w in ours.get_weights()] == [w.shape for w in weights]
    assert ours.count_params() == theirs.count_params()
    ours.set_weights(weights)
    y = ours(mine)
    assert_close(y, expected, atol=atol, rtol=rtol)

    if gradients:
        weighting = torch.linspace(-1, 1, y.numel()).reshape(y.shape)
        (y * weighting).sum().backward()
        (expected * weighting).sum().backward()
        for a, b in zip(_leaves(mine), _leaves(their), strict=True):
            assert_close(a.grad, b.grad, atol=atol, rtol=rtol)
    shapes = _like(x, lambda t: (None, *t.shape[1:]))
    assert ours.compute_output_shape(shapes) == tuple(theirs.compute_output_shape(shapes))
    _check_config_words(ours.get_config(), theirs.get_config())
    return y.detach()


def _check_config_words(ours: dict, theirs: dict) -> None:
    assert theirs.keys() - ours.keys() == set()
    for key, value in theirs.items():
        # Initialisers and the like are objects in one config and documents in the other.
        if key not in _OTHER_WORDS and not isinstance(value, dict):
            absent = ours[key] is None and key in ("strides", "activation")
            assert absent or _same_value(ours[key], value), f"{key}: {ours[key]!r}, Keras {value!r}"
