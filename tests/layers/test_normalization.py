"""Normalisation layers against Keras and torch."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from kerasish import Input, Sequential, config, layers
from tests.layers.harness import assert_same_signature, check_layer
from tests.layers.parity import assert_same_as_keras, in_peace

SHAPES = {2: (6, 4), 3: (6, 3, 4), 4: (6, 2, 3, 4), 5: (6, 2, 2, 3, 4), 6: (3, 2, 2, 2, 3, 4)}


@pytest.fixture
def keras():
    return pytest.importorskip("keras")


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("rank", SHAPES)
@pytest.mark.parametrize("axis", [1, -1])
def test_batch_normalization_matches_keras(keras, rank, axis, training):
    ours = layers.BatchNormalization(axis=axis)
    theirs = keras.layers.BatchNormalization(axis=axis)

    assert_same_as_keras(ours, theirs, torch.randn(SHAPES[rank]), training=training, tolerance=3e-5)

    for one, other in zip(ours.weights, theirs.weights, strict=True):
        assert_close(one.detach(), other.value.detach())


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("scale", [False, True])
def test_normalizations_without_scale_or_offset_match_keras(keras, center, scale):
    x = torch.randn(6, 3, 4)
    for name, arguments in [
        ("BatchNormalization", {}),
        ("LayerNormalization", {}),
        ("GroupNormalization", {"groups": 2}),
    ]:
        arguments = {**arguments, "center": center, "scale": scale}
        ours, theirs = getattr(layers, name)(**arguments), getattr(keras.layers, name)(**arguments)
        assert_same_as_keras(ours, theirs, x, training=True)


def test_batch_normalization_stores_the_biased_variance_and_torch_the_unbiased():
    x = torch.randn(5, 3)
    layer, reference = layers.BatchNormalization(momentum=0.9), nn.BatchNorm1d(3, 1e-3, 0.1)

    assert_close(layer(x), reference(x))

    assert_close(layer.norm.running_var, 0.9 + 0.1 * x.var(0, correction=0))
    assert_close(layer.norm.running_mean, reference.running_mean)
    assert_close(reference.running_var, 0.9 + 0.1 * x.var(0))


@pytest.mark.parametrize("momentum", [0.0, 0.6, 0.99])
@pytest.mark.parametrize("rank", SHAPES)
@pytest.mark.parametrize("axis", [1, -1])
def test_stored_statistics_equal_kerass_after_batches_of_any_size(keras, rank, axis, momentum):
    arguments = {"axis": axis, "momentum": momentum}
    ours, theirs = (
        layers.BatchNormalization(**arguments),
        keras.layers.BatchNormalization(**arguments),
    )

    for rows in (6, 6, 5, 2, 1):
        x = 2 * torch.randn(rows, *SHAPES[rank][1:]) + 1
        y, want = ours(x, training=True), in_peace(theirs, x, training=True)
        if rows > 2 or rank > 2:  # two values are -1 and 1, whatever they were: rounding decides
            assert_close(y, want, rtol=3e-5, atol=3e-5)

    assert_close(ours.norm.running_mean, theirs.moving_mean.value, rtol=1e-5, atol=1e-6)
    assert_close(ours.norm.running_var, theirs.moving_variance.value, rtol=1e-5, atol=1e-6)


def test_a_stored_variance_that_is_kept_does_not_drift_over_thousands_of_steps():
    layer = layers.BatchNormalization(momentum=1.0)
    layer.build((None, 8))
    before = torch.linspace(0.3, 3, 8)
    layer.norm.running_var.copy_(before)

    for _ in range(2000):
        layer(torch.ones(1000, 8))

    assert_close(layer.norm.running_var, before, rtol=2e-7, atol=0)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16", "mixed_float16", "float16"])
@pytest.mark.parametrize("masked", [False, True])
def test_statistics_of_half_types_are_computed_in_single_as_in_keras(keras, policy, masked):
    arguments = {"momentum": 0.5, "dtype": policy}
    ours, theirs = (
        layers.BatchNormalization(**arguments),
        keras.layers.BatchNormalization(**arguments),
    )
    options = {"mask": torch.rand(6, 5) > 0.3} if masked else {}

    for _ in range(3):
        x = 2 * torch.randn(6, 5, 4) + 1
        y = ours(x, training=True, **options)
        want = in_peace(theirs, x, training=True, **options)
        assert_close(y, want, rtol=2e-2, atol=2e-2)

    for one, other in zip(ours.weights, theirs.weights, strict=True):
        assert_close(one.detach(), other.value.detach(), check_stride=False)


def test_statistics_under_autocast_equal_kerass_of_the_same_rounded_values(keras):
    ours, theirs = (
        layers.BatchNormalization(momentum=0.5),
        keras.layers.BatchNormalization(momentum=0.5),
    )
    x = torch.randn(7, 4).bfloat16()

    ours(x.float())
    in_peace(theirs, x.float(), training=True)
    with torch.autocast("cpu", torch.bfloat16):
        ours.norm(x)
    in_peace(theirs, x.float(), training=True)

    assert_close(ours.norm.running_var, theirs.moving_variance.value)


@pytest.mark.parametrize("shape", [(1, 4), (1, 4, 1, 1), (1, 1, 1, 4)])
def test_a_single_value_per_channel_has_variance_0_as_in_keras(keras, shape):
    axis = 1 if shape[1] == 4 else -1
    ours, theirs = layers.BatchNormalization(axis=axis), keras.layers.BatchNormalization(axis=axis)

    assert_same_as_keras(ours, theirs, torch.randn(shape), training=True)

    for one, other in zip(ours.weights, theirs.weights, strict=True):
        assert_close(one.detach(), other.value.detach())


def test_fit_with_one_row_left_over_gives_the_weights_of_keras(keras):
    ours = Sequential(
        [Input((4,)), layers.Dense(6), layers.BatchNormalization(momentum=0.7), layers.Dense(1)]
    )
    theirs = keras.Sequential(
        [
            keras.layers.Dense(6),
            keras.layers.BatchNormalization(momentum=0.7),
            keras.layers.Dense(1),
        ]
    )
    theirs.build((None, 4))
    in_peace(theirs.set_weights, ours.get_weights())
    x, y = np.random.default_rng(0).normal(size=(2, 17, 4)).astype("float32")
    options = {"batch_size": 8, "epochs": 3, "shuffle": False, "verbose": 0}

    ours.compile("sgd", "mse")
    ours.fit(x, y[:, :1], **options)
    theirs.compile("sgd", "mse")
    in_peace(theirs.fit, x, y[:, :1], **options)

    for one, other in zip(ours.get_weights(), theirs.weights, strict=True):
        assert_close(one, other.value.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_batch_normalization_takes_the_channel_axis_of_the_image_format():
    first = layers.BatchNormalization()
    first.build((None, 3, 8, 8))
    config.set_image_data_format("channels_last")
    last = layers.BatchNormalization()
    last.build((None, 8, 8, 5))
    sequence = layers.BatchNormalization()
    sequence.build((None, 9, 7))

    assert [layer.norm.num_features for layer in (first, last, sequence)] == [3, 5, 7]


def test_frozen_batch_normalization_keeps_its_statistics():
    x = torch.randn(8, 4)
    layer = layers.BatchNormalization()
    layer(x)
    before = {key: value.clone() for key, value in layer.state_dict().items()}

    layer.trainable = False
    layer.train()
    layer(x)
    layer(x, training=True)
    made_frozen = layers.BatchNormalization(trainable=False)
    made_frozen(x)

    assert_close(layer.state_dict(), before)
    assert_close(made_frozen.norm.running_mean, torch.zeros(4))


@pytest.mark.parametrize("training", [False, True])
def test_masked_batch_normalization_matches_keras(keras, training):
    x = torch.randn(4, 5, 3)
    mask = torch.arange(5) < torch.tensor([5, 3, 1, 2])[:, None]
    ours, theirs = layers.BatchNormalization(), keras.layers.BatchNormalization()

    assert_same_as_keras(ours, theirs, x, training=training, mask=mask)

    for one, other in zip(ours.weights, theirs.weights, strict=True):
        assert_close(one.detach(), other.value, check_stride=False)


@pytest.mark.parametrize("clipping", [None, {"rmin": 0.8, "rmax": 1.2, "dmax": 0.1}])
def test_batch_renormalization_matches_keras(keras, clipping):
    x = torch.randn(6, 4, 3) * 2 + 1
    options = {"renorm": True, "renorm_clipping": clipping, "renorm_momentum": 0.8}
    ours = layers.BatchNormalization(**options)
    theirs = keras.layers.BatchNormalization(**options)

    for _ in range(3):
        assert_same_as_keras(ours, theirs, x, training=True)
        for one, other in zip(ours.weights, theirs.weights, strict=True):
            assert_close(one.detach(), other.value, check_stride=False)


def test_a_built_normalization_names_its_axis_in_the_configuration():
    layer = layers.BatchNormalization()
    assert layer.get_config()["axis"] is None

    layer.build((None, 3, 8, 8))

    assert layer.get_config()["axis"] == 1
    flat = layers.GroupNormalization(2)
    flat.build((None, 4))
    assert flat.get_config()["axis"] == -1


def test_batch_normalization_takes_a_mask_in_a_functional_model():
    inputs = layers.Input((6,), dtype="int64")
    embedded = layers.Embedding(5, 3, mask_zero=True)(inputs)

    y = layers.BatchNormalization()(embedded)

    assert y.shape == (None, 6, 3)
    assert y.mask is embedded.mask


@pytest.mark.parametrize("axis", [-1, [1, 2], [2]])
@pytest.mark.parametrize("name", ["LayerNormalization", "RMSNormalization"])
def test_layer_and_rms_normalization_match_keras(keras, name, axis):
    x = torch.randn(4, 3, 5)
    ours, theirs = getattr(layers, name)(axis=axis), getattr(keras.layers, name)(axis=axis)

    assert_same_as_keras(ours, theirs, x)


def test_layer_normalization_over_axes_in_any_order():
    x = torch.randn(4, 3, 6, 5)
    layer = layers.LayerNormalization(axis=[-1, 1])

    y = layer(x)

    assert layer.norm.normalized_shape == (3, 5)
    mean, std = x.mean((1, 3), keepdim=True), x.var((1, 3), keepdim=True, unbiased=False)
    assert_close(y, (x - mean) / (std + 1e-3).sqrt())


@pytest.mark.parametrize("groups", [-1, 1, 2])
@pytest.mark.parametrize("axis", [1, -1])
def test_group_normalization_matches_keras(keras, groups, axis):
    ours = layers.GroupNormalization(groups, axis=axis)
    theirs = keras.layers.GroupNormalization(groups, axis=axis)

    assert_same_as_keras(ours, theirs, torch.randn(3, 4, 5, 4))


@pytest.mark.parametrize("axis", [-1, 1, [1, 2]])
def test_unit_normalization_matches_keras(keras, axis):
    ours, theirs = layers.UnitNormalization(axis=axis), keras.layers.UnitNormalization(axis=axis)

    assert_same_as_keras(ours, theirs, torch.randn(3, 4, 5))

    assert not ours(torch.zeros(1, 4, 5)).any()


def test_weights_of_normalizations_are_in_keras_order():
    layer = layers.BatchNormalization()
    layer.build((None, 2))

    assert [w.name for w in layer.keras_weights()] == [
        "gamma",
        "beta",
        "moving_mean",
        "moving_variance",
    ]
    assert len(layer.trainable_weights) == 2


def test_configurations_make_the_same_layers():
    for layer in (
        layers.BatchNormalization(axis=1, momentum=0.5, scale=False),
        layers.LayerNormalization(axis=[1, 2], center=False),
        layers.RMSNormalization(axis=1),
        layers.GroupNormalization(2),
        layers.UnitNormalization([1, 2]),
    ):
        again = type(layer).from_config(layer.get_config())
        assert again.get_config() == layer.get_config()
        assert again(torch.randn(3, 4, 4)).shape == (3, 4, 4)


def test_errors_name_the_layer_and_the_fault():
    with pytest.raises(ValueError, match="3 groups do not divide 4 channels"):
        layers.GroupNormalization(3)(torch.randn(2, 4))
    with pytest.raises(ValueError, match="needs to know the size of axis -1"):
        layers.BatchNormalization().build((None, None))
    with pytest.raises(TypeError, match="`axis` must be an integer or several"):
        layers.LayerNormalization(axis="last")
    with pytest.raises(ValueError, match="a mask has one axis less"):
        layers.BatchNormalization()(torch.randn(2, 3, 4), mask=torch.ones(2, 3, 4) > 0)


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: layers.BatchNormalization(), (6, 4)),
        (lambda: layers.BatchNormalization(), (6, 5, 4)),
        (lambda: layers.BatchNormalization(), (6, 4, 3, 3)),
        (lambda: layers.BatchNormalization(axis=-1), (6, 3, 3, 4)),
        (lambda: layers.BatchNormalization(renorm=True), (6, 4, 3, 3)),
        (lambda: layers.BatchNormalization(center=False), (3, 2, 2, 2, 2, 2)),
        (lambda: layers.LayerNormalization(), (6, 5, 4)),
        (lambda: layers.LayerNormalization(axis=1), (6, 5, 4)),
        (lambda: layers.RMSNormalization(), (6, 5, 4)),
        (lambda: layers.GroupNormalization(2), (6, 4, 3, 3)),
        (lambda: layers.GroupNormalization(2, axis=-1), (6, 3, 3, 4)),
        (lambda: layers.UnitNormalization(), (3, 4)),
    ],
)
def test_what_every_layer_owes(make, shape):
    check_layer(make(), torch.randn(shape))


@pytest.mark.parametrize("name", ["LayerNormalization", "RMSNormalization", "UnitNormalization"])
def test_arguments_are_those_of_keras(name):
    keras = pytest.importorskip("keras")

    assert_same_signature(getattr(layers, name), getattr(keras.layers, name))
