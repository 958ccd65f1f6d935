"""Dense, embedding and what needs no weights; activations as layers; regularisation at rest."""

from __future__ import annotations

import torch

from tests.parity.case import Made, Values, each, grid, one

RULES = {
    "kernel_initializer": ["he_uniform", "lecun_normal", "random_normal", "identity"],
    "bias_initializer": ["ones"],
    "kernel_regularizer": ["l1", "l2"],
    "bias_regularizer": ["l2"],
    "activity_regularizer": ["l2"],
    "kernel_constraint": ["max_norm", "non_neg", "unit_norm", "min_max_norm"],
    "bias_constraint": ["non_neg"],
}
# Not here, but in tests/test_activations.py: `glu` halves the axis, and Keras's output shape says
# otherwise; `sparsemax` sums too much in Keras's torch backend; `threshold` has arguments.
ACTIVATIONS = [
    "celu",
    "elu",
    "exponential",
    "gelu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "soft_shrink",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
    "swish",
    "tanh",
    "tanh_shrink",
]
TOKENS = Values((3, 5), high=7)

CORE = [
    *grid(
        "Dense",
        (3, 4),
        units=[1, 5],
        activation=[None, "relu", "softmax", "tanh"],
        use_bias=[True, False],
    ),
    *grid("Dense", (2, 3, 4), units=[5], activation=[None, "gelu"]),
    *each("Dense", (3, 4), base={"units": 4}, options=RULES),
    *grid("EinsumDense", (2, 4), equation=["ab,bc->ac"], output_shape=[5], bias_axes=[None, "c"]),
    one("EinsumDense", (2, 3, 4), equation="abc,cd->abd", output_shape=(None, 5), bias_axes="d"),
    one("EinsumDense", (2, 3, 4), equation="...x,xy->...y", output_shape=5, bias_axes="y"),
    one(
        "EinsumDense",
        (2, 3, 4),
        equation="abc,cde->abde",
        output_shape=(3, 2, 5),
        activation="relu",
    ),
    *grid("Embedding", TOKENS, input_dim=[7], output_dim=[1, 4], mask_zero=[False, True]),
    *each(
        "Embedding",
        TOKENS,
        base={"input_dim": 7, "output_dim": 3},
        options={
            "embeddings_initializer": ["zeros", "normal"],
            "embeddings_regularizer": ["l2"],
            "embeddings_constraint": ["unit_norm"],
        },
    ),
    *grid("ReversibleEmbedding", TOKENS, input_dim=[7], output_dim=[3], tie_weights=[True, False]),
    *grid("Activation", (3, 8), activation=ACTIVATIONS),
    one("Identity", (2, 3)),
    one("Masking", torch.tensor([[[1.0, 2.0], [0.0, 0.0], [0.0, 3.0]]])),
    one("Masking", torch.tensor([[[1.0, 2.0], [2.0, 2.0], [0.0, 2.0]]]), mask_value=2.0),
    one("ActivityRegularization", (2, 3), l1=0.1, l2=0.2),
]

ACTIVATION = [
    one("ReLU", (3, 6)),
    *grid("ReLU", (3, 6), max_value=[None, 1.0], negative_slope=[0.0, 0.2], threshold=[0.0, 0.5]),
    *grid("LeakyReLU", (3, 6), negative_slope=[0.3, 0.01]),
    *grid("ELU", (3, 6), alpha=[1.0, 0.5]),
    *grid("Softmax", (3, 4, 5), axis=[-1, 1, [1, 2]]),
    *(
        one("Softmax", (3, 5), call={"mask": Values((3, 5), flags=True)}, axis=axis)
        for axis in (-1, 1)
    ),
    *grid("PReLU", (2, 3, 4), shared_axes=[None, [1], [1, 2]], alpha_initializer=["zeros", "ones"]),
    *each(
        "PReLU",
        (2, 3),
        base={},
        options={"alpha_regularizer": ["l2"], "alpha_constraint": ["non_neg"]},
    ),
]

# In evaluation these change nothing; their randomness in training is tested in tests/layers.
REGULARIZATION = [
    *grid("Dropout", (3, 4), rate=[0.0, 0.5], noise_shape=[None, (None, 1)], seed=[None, 1]),
    *grid("GaussianDropout", (3, 4), rate=[0.2], seed=[None, 1]),
    *grid("GaussianNoise", (3, 4), stddev=[0.2], seed=[None, 1]),
    *grid("AlphaDropout", (3, 4), rate=[0.2], noise_shape=[None, (None, 1)]),
    one("Dropout", (3, 4), rate=0.0, training=True),
    *(
        case
        for rank, shape in {1: (2, 5, 3), 2: (2, 4, 5, 3), 3: (2, 3, 4, 5, 3)}.items()
        for case in grid(f"SpatialDropout{rank}D", shape, rate=[0.0, 0.4])
    ),
]

WRAPPERS = [
    one("TimeDistributed", (2, 3, 4), layer=Made("Dense", {"units": 5})),
    one("TimeDistributed", (2, 3, 4), layer=Made("LayerNormalization")),
    one("TimeDistributed", (2, 3, 6, 4), layer=Made("LSTM", {"units": 5})),
    one(
        "TimeDistributed",
        (2, 3, 6, 5, 4),
        layer=Made("Conv2D", {"filters": 2, "kernel_size": 3, "data_format": "channels_last"}),
    ),
    one("SpectralNormalization", (2, 4), layer=Made("Dense", {"units": 5})),
    *(
        one("SpectralNormalization", (2, 4), layer=Made("Dense", {"units": 5}), power_iterations=n)
        for n in (2, 3)
    ),
]

CASES = CORE + ACTIVATION + REGULARIZATION + WRAPPERS
