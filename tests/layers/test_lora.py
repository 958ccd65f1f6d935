"""LoRA against Keras, against merged kernels, and in everything that deals with weights."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.testing import assert_close

import kerasish
from kerasish import Input, Model, Sequential, layers
from tests.layers.harness import check_layer
from tests.layers.parity import assert_same_as_keras, in_peace, randomize

TOKENS = torch.tensor([[1, 2, 0], [3, 6, 6]])
IMAGES = {"data_format": "channels_last"}

# A layer's name, its arguments, an input.
CASES = [
    ("Dense", {"units": 4}, (2, 3)),
    ("Dense", {"units": 4, "use_bias": False, "activation": "tanh"}, (2, 5, 3)),
    ("EinsumDense", {"equation": "abc,cd->abd", "output_shape": (None, 5)}, (2, 3, 4)),
    (
        "EinsumDense",
        {"equation": "abcd,cde->abe", "output_shape": (None, 6), "bias_axes": "e"},
        (2, 3, 4, 5),
    ),
    ("EinsumDense", {"equation": "abc,dc->abd", "output_shape": (2, 7)}, (3, 2, 4)),
    ("EinsumDense", {"equation": "...x,xy->...y", "output_shape": 5}, (2, 3, 4)),
    ("EinsumDense", {"equation": "ab...,bc->ac...", "output_shape": 5}, (2, 3, 4)),
    ("Conv1D", {"filters": 4, "kernel_size": 3, "padding": "causal"}, (2, 6, 3)),
    (
        "Conv2D",
        {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same", **IMAGES},
        (2, 7, 6, 3),
    ),
    (
        "Conv2D",
        {"filters": 6, "kernel_size": 2, "groups": 3, "dilation_rate": 2, **IMAGES},
        (2, 6, 5, 6),
    ),
    ("Conv3D", {"filters": 4, "kernel_size": 2, **IMAGES}, (2, 3, 4, 3, 2)),
    ("Embedding", {"input_dim": 7, "output_dim": 4}, TOKENS),
    ("ReversibleEmbedding", {"input_dim": 7, "output_dim": 4}, TOKENS),
    ("ReversibleEmbedding", {"input_dim": 7, "output_dim": 4, "tie_weights": False}, TOKENS),
]
IDS = [f"{name}-{number}" for number, (name, _, _) in enumerate(CASES)]
every_case = pytest.mark.parametrize(("name", "arguments", "x"), CASES, ids=IDS)


def made(x):
    return x if isinstance(x, torch.Tensor) else torch.randn(x)


def built(name, arguments, x):
    layer = getattr(layers, name)(**arguments)
    layer(made(x))
    return layer


def adapted(name, arguments, x, rank=2, lora_alpha=3.0):
    """A layer with LoRA and with random numbers in all weights."""
    layer = built(name, arguments, x)
    layer.enable_lora(rank, lora_alpha)
    randomize(layer)
    return layer


# Against Keras


@every_case
def test_outputs_and_gradients_are_those_of_keras(name, arguments, x):
    keras = pytest.importorskip("keras")
    x = made(x)
    theirs = getattr(keras.layers, name)(**arguments)
    in_peace(theirs, x)
    theirs.enable_lora(2, lora_alpha=3.0)

    ours = adapted(name, arguments, x)

    assert_same_as_keras(ours, theirs, x, build=False)
    for kind in ("weights", "trainable_weights", "non_trainable_weights"):
        shown = [
            w.name
            for w in ours.keras_weights()
            if kind == "weights" or w.trainable == (kind[0] == "t")
        ]
        assert shown == [weight.name for weight in getattr(theirs, kind)], kind


@pytest.mark.parametrize("tied", [True, False])
def test_scores_of_tokens_are_those_of_keras(tied):
    keras = pytest.importorskip("keras")
    arguments = {"input_dim": 7, "output_dim": 4, "tie_weights": tied, "logit_soft_cap": 5.0}
    theirs = keras.layers.ReversibleEmbedding(**arguments)
    in_peace(theirs, TOKENS)
    theirs.enable_lora(2)
    ours = adapted("ReversibleEmbedding", arguments, TOKENS, lora_alpha=None)

    assert_same_as_keras(ours, theirs, torch.randn(2, 3, 4), build=False, reverse=True)


@every_case
def test_the_kernel_shown_is_the_one_computed_with(name, arguments, x):
    x = made(x)
    layer = adapted(name, arguments, x)
    weights = {w.name: w.read() for w in layer.keras_weights()}
    kernel = next(iter(weights))
    merged = weights[kernel] + 1.5 * weights[f"lora_{kernel}_a"] @ weights[f"lora_{kernel}_b"]

    plain = built(name, arguments, x)
    plain.set_weights([merged, *[w for n, w in weights.items() if n != kernel and "lora" not in n]])

    assert_close(getattr(layer, kernel), merged)
    assert_close(layer(x), plain(x))
