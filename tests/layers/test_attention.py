"""Attention layers against Keras."""

import pytest
import torch
from torch.testing import assert_close

from kerasish import layers
from tests.layers.harness import assert_same_signature, check_layer
from tests.layers.parity import assert_same_as_keras

VALID_Q = torch.arange(6) < torch.tensor([6, 3, 1])[:, None]
VALID_V = torch.arange(5) < torch.tensor([2, 5, 3])[:, None]
SOME = torch.rand(3, 6, 5, generator=torch.Generator().manual_seed(0)) > 0.5
SOME[:, :, 0] = True


@pytest.fixture
def keras():
    return pytest.importorskip("keras")


def inputs(*, key=False):
    query, value = torch.randn(3, 6, 8), torch.randn(3, 5, 7)
    return (query, value, torch.randn(3, 5, 4)) if key else (query, value)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"value_dim": 5, "use_bias": False},
        {"output_shape": 9},
        {"output_shape": (2, 3)},
        {"sliding_window": 2},
        {"use_gate": True, "value_dim": 2},
    ],
)
@pytest.mark.parametrize("with_scores", [False, True])
@pytest.mark.parametrize("key", [False, True])
def test_multi_head_attention_matches_keras(keras, options, with_scores, key):
    ours = layers.MultiHeadAttention(2, 3, **options)
    theirs = keras.layers.MultiHeadAttention(2, 3, **options)

    assert_same_as_keras(ours, theirs, *inputs(key=key), return_attention_scores=with_scores)


@pytest.mark.parametrize(
    "masks",
    [
        {"use_causal_mask": True},
        {"value_mask": VALID_V},
        {"key_mask": VALID_V},
        {"attention_mask": SOME},
        {"attention_mask": SOME, "use_causal_mask": True, "value_mask": VALID_V},
    ],
    ids=lambda masks: "+".join(masks),
)
@pytest.mark.parametrize("with_scores", [False, True])
@pytest.mark.parametrize("name", ["MultiHeadAttention", "GroupQueryAttention"])
def test_masks_match_keras(keras, name, masks, with_scores):
    arguments = (2, 3) if name == "MultiHeadAttention" else (3, 4, 2)
    ours = getattr(layers, name)(*arguments)
    theirs = getattr(keras.layers, name)(*arguments)

    assert_same_as_keras(ours, theirs, *inputs(), return_attention_scores=with_scores, **masks)


@pytest.mark.parametrize("with_scores", [False, True])
def test_a_masked_query_gives_finite_numbers(with_scores):
    x = torch.randn(3, 6, 8, requires_grad=True)
    layer = layers.MultiHeadAttention(2, 3)

    y = layer(x, x, query_mask=VALID_Q, value_mask=VALID_Q, return_attention_scores=with_scores)
    y = y[0] if with_scores else y
    y.sum().backward()

    assert y.isfinite().all()
    assert x.grad.isfinite().all()
    alone = layer(x[2:, :1], x[2:, :1])
    assert_close(y[2:, :1], alone)


def test_causal_attention_sees_no_later_step():
    x = torch.randn(1, 6, 8)
    layer = layers.MultiHeadAttention(2, 3)

    whole = layer(x, x, use_causal_mask=True)

    assert_close(layer(x[:, :3], x[:, :3], use_causal_mask=True), whole[:, :3])
    _, scores = layer(x, x, use_causal_mask=True, return_attention_scores=True)
    assert not scores.triu(1).any()


@pytest.mark.parametrize("axes", [None, 1, 2, (1, 2), (-2,), (2, 3)])
@pytest.mark.parametrize("with_scores", [False, True])
def test_attention_along_chosen_axes_matches_keras(keras, axes, with_scores):
    shape = (2, 3, 4, 6) if axes != (2, 3) else (2, 3, 2, 4, 6)
    query, value = torch.randn(shape), torch.randn(shape)
    ours = layers.MultiHeadAttention(2, 3, attention_axes=axes)
    theirs = keras.layers.MultiHeadAttention(2, 3, attention_axes=axes)

    assert_same_as_keras(ours, theirs, query, value, return_attention_scores=with_scores)


@pytest.mark.parametrize("options", [{}, {"use_gate": True}, {"use_bias": False}])
@pytest.mark.parametrize("with_scores", [False, True])
def test_group_query_attention_matches_keras(keras, options, with_scores):
    ours = layers.GroupQueryAttention(3, 4, 2, **options)
    theirs = keras.layers.GroupQueryAttention(3, 4, 2, **options)

    assert_same_as_keras(ours, theirs, *inputs(), return_attention_scores=with_scores)


@pytest.mark.parametrize("seed", [None, 1])
def test_attention_dropout_acts_in_training_only(seed):
    query, value = inputs()
    layer = layers.MultiHeadAttention(2, 3, dropout=0.5, seed=seed)

    calm = layer(query, value, training=False)

    assert torch.equal(calm, layer(query, value, training=False))
    assert not torch.allclose(calm, layer(query, value, training=True))


def test_seeded_attention_dropout_repeats():
    query, value = inputs()
    one, two = (layers.MultiHeadAttention(2, 3, dropout=0.5, seed=1) for _ in range(2))
    one(query, value, training=False)
    two(query, value, training=False)
    two.set_weights(one.get_weights())

    assert torch.equal(one(query, value, training=True), two(query, value, training=True))


def test_attention_in_a_functional_model_takes_the_masks_along():
    tokens = layers.Input((None,), dtype="int64")
    x = layers.Embedding(5, 8, mask_zero=True)(tokens)
    layer = layers.MultiHeadAttention(2, 4)

    y = layer(x, x, use_causal_mask=True)

    assert y.shape == (None, None, 8)
    assert y.mask is x.mask
    assert set(y.node.kwargs) == {"use_causal_mask", "query_mask", "value_mask"}
    y, scores = layer(query=x, value=x, return_attention_scores=True)
    assert scores.shape == (None, 2, None, None)
    assert layer.compute_output_shape((None, 3, 8), (None, 4, 8)) == (None, 3, 8)


@pytest.mark.parametrize("options", [{}, {"use_scale": True}, {"score_mode": "concat"}])
@pytest.mark.parametrize("with_scores", [False, True])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masks", [None, [VALID_Q, VALID_V], [None, VALID_V], [VALID_Q, None]])
def test_attention_matches_keras(keras, options, with_scores, causal, masks):
    query, value = torch.randn(3, 6, 8), torch.randn(3, 5, 8)
    ours, theirs = layers.Attention(**options), keras.layers.Attention(**options)

    check_pair(ours, theirs, [query, value], with_scores, causal, masks)
    check_pair(ours, theirs, [query, torch.randn(3, 5, 2), value], with_scores, causal, masks)


@pytest.mark.parametrize("options", [{}, {"use_scale": False}])
@pytest.mark.parametrize("with_scores", [False, True])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masks", [None, [VALID_Q, VALID_V]])
def test_additive_attention_matches_keras(keras, options, with_scores, causal, masks):
    query, value = torch.randn(3, 6, 8), torch.randn(3, 5, 8)
    ours, theirs = layers.AdditiveAttention(**options), keras.layers.AdditiveAttention(**options)

    check_pair(ours, theirs, [query, value], with_scores, causal, masks)


def check_pair(ours, theirs, tensors, with_scores, causal, masks):
    options = {"return_attention_scores": with_scores, "use_causal_mask": causal}
    got = ours(tensors, mask=masks, **options)
    want = theirs(tensors, mask=masks, **options)
    if ours.weights:
        theirs.set_weights([w.detach() for w in ours.weights])
        want = theirs(tensors, mask=masks, **options)
    for one, other in zip(*([y] if not with_scores else y for y in (got, want)), strict=True):
        assert_close(one, other)


def test_plain_attention_in_a_functional_model():
    tokens = layers.Input((None,), dtype="int64")
    x = layers.Embedding(5, 8, mask_zero=True)(tokens)

    for layer in (layers.Attention(), layers.AdditiveAttention()):
        y = layer([x, x])
        assert y.shape == (None, None, 8)
        assert y.mask is x.mask


def test_configurations_make_the_same_layers():
    for layer in (
        layers.MultiHeadAttention(2, 3, value_dim=4, output_shape=5, attention_axes=1),
        layers.GroupQueryAttention(3, 4, 2, sliding_window=2),
        layers.Attention(use_scale=True, score_mode="concat", dropout=0.1),
        layers.AdditiveAttention(use_scale=False),
    ):
        assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()


def test_errors_of_attention_layers():
    with pytest.raises(ValueError, match="MultiHeadAttention: `num_heads` must be a positive"):
        layers.MultiHeadAttention(0, 3)
    with pytest.raises(ValueError, match="key and value must have the same steps"):
        layers.MultiHeadAttention(2, 3)(
            torch.ones(1, 2, 3), torch.ones(1, 2, 3), torch.ones(1, 4, 3)
        )
    with pytest.raises(ValueError, match="must be a multiple of"):
        layers.GroupQueryAttention(3, 4, 3)
    with pytest.raises(ValueError, match=r"is called on a list, \[query, value\]"):
        layers.Attention()(torch.ones(1, 2, 3))
    with pytest.raises(ValueError, match="`score_mode` must be one of"):
        layers.Attention(score_mode="sum")


@pytest.mark.parametrize("name", ["Attention", "AdditiveAttention"])
def test_what_every_layer_owes(name):
    check_layer(getattr(layers, name)(use_scale=True), [torch.randn(3, 6, 5), torch.randn(3, 4, 5)])


@pytest.mark.parametrize(
    "name", ["Attention", "AdditiveAttention", "MultiHeadAttention", "GroupQueryAttention"]
)
def test_arguments_are_those_of_keras(keras, name):
    assert_same_signature(getattr(layers, name), getattr(keras.layers, name))
