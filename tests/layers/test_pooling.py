"""Pooling over windows against Keras, torch and windows taken one by one."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from kerasish import layers
from kerasish.layers.windows import same_padding
from tests.layers.harness import assert_same_as_keras, check_layer

SHAPES = {1: (2, 9, 3), 2: (2, 9, 8, 3), 3: (2, 5, 6, 7, 3)}
KINDS = ["Max", "Average"]


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "kwargs",
    [
        {"pool_size": 2},
        {"pool_size": 3, "strides": 2},
        {"pool_size": 3, "strides": 1, "padding": "same"},
        {"pool_size": 2, "strides": 3},
    ],
    ids=str,
)
def test_pooling_is_that_of_keras(rank, kind, kwargs):
    keras = pytest.importorskip("keras")
    name = f"{kind}Pooling{rank}D"
    theirs = getattr(keras.layers, name)(data_format="channels_last", **kwargs)
    ours = getattr(layers, name)(data_format="channels_last", **kwargs)

    assert_same_as_keras(ours, theirs, torch.randn(SHAPES[rank]))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_layers_owe(rank, kind):
    layer = getattr(layers, f"{kind}Pooling{rank}D")(2, padding="same", data_format="channels_last")
    size = [-(-n // 2) for n in SHAPES[rank][1:-1]]

    check_layer(layer, torch.randn(SHAPES[rank]), (2, *size, 3))


def windows_one_by_one(x, size, stride, reduce):
    """Same-padded pooling of the last axis, by the definition: each window of what there is."""
    before, _ = same_padding(x.shape[-1], size, stride)
    count = -(-x.shape[-1] // stride)
    starts = [i * stride - before for i in range(count)]
    return torch.stack([reduce(x[..., max(s, 0) : s + size]) for s in starts], dim=-1)


@settings(max_examples=80, deadline=None)
@given(
    length=st.integers(1, 12),
    size=st.integers(1, 6),
    stride=st.integers(1, 5),
    kind=st.sampled_from(KINDS),
)
def test_same_pooling_pads_nothing_into_the_numbers(length, size, stride, kind):
    x = torch.randn(2, 3, length) - 5  # negative, so that a zero would win a maximum
    layer = getattr(layers, f"{kind}Pooling1D")(
        size, stride, padding="same", data_format="channels_first"
    )

    reduce = (lambda w: w.amax(-1)) if kind == "Max" else (lambda w: w.mean(-1))
    assert_close(layer(x), windows_one_by_one(x, size, stride, reduce))


def test_same_pooling_treats_axes_apart():
    x = torch.randn(1, 2, 7, 7)
    layer = layers.MaxPooling2D((2, 3), strides=(1, 2), padding="same")

    rows = windows_one_by_one(x.mT, 2, 1, lambda w: w.amax(-1)).mT
    assert_close(layer(x), windows_one_by_one(rows, 3, 2, lambda w: w.amax(-1)))


@pytest.mark.parametrize("kind", KINDS)
def test_same_pooling_does_not_copy_the_input_to_pad_it(kind, monkeypatch):
    monkeypatch.setattr(F, "pad", None)

    for size, stride in [(2, 2), (3, 2), (3, 1), (2, 1)]:
        layer = getattr(layers, f"{kind}Pooling2D")(size, stride, padding="same")
        assert layer(torch.randn(1, 1, 9, 8)).shape == (1, 1, -(-9 // stride), -(-8 // stride))


@pytest.mark.parametrize("kind", KINDS)
def test_both_axis_orders_give_the_same_numbers(kind):
    x = torch.randn(2, 3, 9, 8)
    cls = getattr(layers, f"{kind}Pooling2D")

    first = cls(3, 2, "same")(x)
    last = cls(3, 2, "same", data_format="channels_last")(x.movedim(1, -1))

    assert_close(last.movedim(-1, 1), first)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 1), ((3, 2), (1, 2)), (1, 2)])
def test_usual_same_pooling_is_one_torch_module(kind, size, stride):
    layer = getattr(layers, f"{kind}Pooling2D")(size, stride, padding="same")
    x, calls = torch.randn(1, 2, 7, 8), []
    layer.pool.register_forward_hook(lambda module, args, y: calls.append((args[0], y)))

    y = layer(x)

    assert len(calls) == 1
    assert calls[0][0] is x
    assert calls[0][1] is y
    assert layer.is_transparent


def test_strides_default_to_the_window():
    assert layers.MaxPooling2D((3, 2)).strides == (3, 2)
    assert layers.MaxPooling1D().pool_size == (2,)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="`pool_size` must be an integer >= 1 or 2 of them"):
        layers.MaxPooling2D(0)
    with pytest.raises(ValueError, match="`padding` must be one of 'valid', 'same'"):
        layers.AveragePooling1D(2, padding="full")
    with pytest.raises(ValueError, match=r"expects 3-D input \(batch, steps, channels\)"):
        layers.MaxPooling1D()(torch.zeros(2, 10))
