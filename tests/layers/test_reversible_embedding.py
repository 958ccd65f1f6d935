"""ReversibleEmbedding in both directions, against Keras and against matrix products."""

import pytest
import torch
from torch.testing import assert_close

import kerasish
from kerasish import layers
from tests.layers.parity import assert_same_as_keras


@pytest.mark.parametrize("tie_weights", [True, False])
@pytest.mark.parametrize("cap", [None, 0.5])
def test_scores_are_those_of_keras(tie_weights, cap):
    keras = pytest.importorskip("keras")
    ours, theirs = (
        library.layers.ReversibleEmbedding(7, 3, tie_weights, logit_soft_cap=cap)
        for library in (kerasish, keras)
    )

    assert_same_as_keras(ours, theirs, torch.randn(2, 5, 3), reverse=True)


def test_tied_weights_are_one_matrix_trained_from_both_ends():
    layer = layers.ReversibleEmbedding(5, 3)
    tokens = torch.tensor([[1, 4]])

    scores = layer(layer(tokens), reverse=True)
    scores.sum().backward()

    weight = layer.embedding.weight
    assert_close(scores, weight[tokens] @ weight.T)
    assert layer.count_params() == 15
    assert weight.grad[0].any()


def test_it_ends_a_model_that_it_began():
    layer = layers.ReversibleEmbedding(11, 4, mask_zero=True)
    tokens = layers.Input((None,), dtype="int64")
    vectors = layer(tokens)

    scores = layer(layers.Dense(4)(vectors), reverse=True)

    assert vectors.mask is not None
    assert scores.shape == (None, None, 11)
    assert scores.mask is None


def test_scores_have_the_type_that_is_asked_for():
    layer = layers.ReversibleEmbedding(5, 3, reverse_dtype="float64")

    assert layer(layer(torch.tensor([[1]])), reverse=True).dtype == torch.float64
