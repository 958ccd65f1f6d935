"""Global and adaptive pooling against Keras and torch."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from kerasish import layers
from tests.layers.harness import assert_same_as_keras, check_layer

SHAPES = {1: (2, 9, 3), 2: (2, 9, 8, 3), 3: (2, 5, 6, 7, 3)}
KINDS = ["Max", "Average"]


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize("keepdims", [False, True])
def test_global_pooling_is_that_of_keras(rank, kind, data_format, keepdims):
    keras = pytest.importorskip("keras")
    name = f"Global{kind}Pooling{rank}D"
    kwargs = {"data_format": data_format, "keepdims": keepdims}

    ours, theirs = (getattr(p, name)(**kwargs) for p in (layers, keras.layers))

    assert_same_as_keras(ours, theirs, torch.randn(SHAPES[rank]))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_adaptive_pooling_is_that_of_keras(rank, kind, data_format):
    keras = pytest.importorskip("keras")
    name = f"Adaptive{kind}Pooling{rank}D"

    ours, theirs = (getattr(p, name)(2, data_format=data_format) for p in (layers, keras.layers))

    assert_same_as_keras(ours, theirs, torch.randn(SHAPES[rank]))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_layers_owe(rank, kind):
    x = torch.randn(SHAPES[rank])
    last = {"data_format": "channels_last"}

    check_layer(getattr(layers, f"Global{kind}Pooling{rank}D")(**last), x, (2, 3))
    adaptive = getattr(layers, f"Adaptive{kind}Pooling{rank}D")(2, **last)
    check_layer(adaptive, x, (2, *[2] * rank, 3))


def test_average_over_the_steps_a_mask_keeps():
    x = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [9.0, 9.0]], [[4.0, 4.0], [9.0, 9.0], [9.0, 9.0]]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    layer = layers.GlobalAveragePooling1D()

    assert_close(layer(x, mask=mask), torch.tensor([[2.0, 4.0], [4.0, 4.0]]))

    x[0, 2] = torch.nan  # padding may hold anything
    assert_close(layer(x, mask=mask), torch.tensor([[2.0, 4.0], [4.0, 4.0]]))
    assert_close(layer(x[1:], mask=torch.zeros(1, 3, dtype=torch.bool)), torch.zeros(1, 2))


def test_mask_of_an_embedding_reaches_the_average():
    tokens = layers.Input((4,), dtype="int64")
    embedded = layers.Embedding(10, 3, mask_zero=True)(tokens)
    layer = layers.GlobalAveragePooling1D()

    pooled = layer(embedded)

    assert embedded.mask is not None
    assert pooled.mask is None
    assert any(kwarg is embedded.mask for kwarg in pooled.node.kwargs.values())


def test_channels_first_sequences_take_masks_too():
    x, mask = torch.randn(2, 5, 3), torch.rand(2, 5) > 0.5
    mask[:, 0] = True

    last = layers.GlobalAveragePooling1D(keepdims=True)(x, mask=mask)
    first = layers.GlobalAveragePooling1D("channels_first", keepdims=True)(x.mT, mask=mask)

    assert_close(first, last.mT)


def test_adaptive_pooling_is_that_of_torch():
    x = torch.randn(2, 3, 13, 11)

    assert_close(layers.AdaptiveAveragePooling2D((6, 4))(x), F.adaptive_avg_pool2d(x, (6, 4)))
    assert_close(layers.AdaptiveMaxPooling2D(5)(x), F.adaptive_max_pool2d(x, 5))
