"""Colour jitter along the principal colours: against NumPy, and its draws by their statistics."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from torch.utils.data import DataLoader, TensorDataset

from kerasish import layers
from kerasish.layers.augmentation.jitter import (
    IMAGENET_EIGENVALUES,
    IMAGENET_EIGENVECTORS,
    pixel_covariance,
    principal_colors,
)

UNIT = {"value_range": (0, 1)}


def photos(count=40):
    generator = np.random.default_rng(3)
    mixing = np.array([[1.0, 0.6, 0.2], [0.9, -0.1, 0.3], [0.8, -0.5, 0.1]])
    colors = generator.uniform(0, 1, (count, 6, 7, 3)) @ mixing.T / 4 + 0.4
    return np.moveaxis(colors, -1, 1)


def by_numpy(x):
    pixels = np.moveaxis(x, 1, -1).reshape(-1, 3)
    values, vectors = np.linalg.eigh(np.cov(pixels.T, bias=True))
    return values[::-1], vectors[:, ::-1]


@pytest.mark.parametrize("batch_size", [1, 7, 40])
def test_streaming_covariance_equals_numpy_in_float64(batch_size):
    x = photos()
    batches = [x[i : i + batch_size] for i in range(0, 40, batch_size)]

    values, vectors = principal_colors(pixel_covariance(batches, "channels_first"))

    expected_values, expected_vectors = by_numpy(x)
    np.testing.assert_allclose(values, expected_values, rtol=1e-11, atol=1e-15)
    np.testing.assert_allclose(np.abs((vectors * expected_vectors).sum(0)), 1, rtol=1e-11)


def test_covariance_survives_a_far_away_mean():
    x = photos() + 1e4

    covariance = pixel_covariance(torch.from_numpy(x).split(3), "channels_first")

    np.testing.assert_allclose(
        covariance, np.cov(np.moveaxis(x, 1, 0).reshape(3, -1), bias=True), rtol=1e-7
    )


@pytest.mark.parametrize(
    "wrap",
    [
        lambda x: x,
        lambda x: torch.from_numpy(x),
        lambda x: DataLoader(TensorDataset(torch.from_numpy(x), torch.arange(40)), batch_size=6),
        lambda x: (x[i : i + 9] for i in range(0, 40, 9)),
        lambda x: list(x),
    ],
    ids=["array", "tensor", "loader", "generator", "list of images"],
)
def test_adapt_takes_arrays_and_streams(wrap):
    layer = layers.PCAColorJitter(**UNIT)

    layer.adapt(wrap(photos()))

    values, vectors = by_numpy(photos())
    np.testing.assert_allclose(layer.eigenvalues.numpy(), values, rtol=1e-5)
    np.testing.assert_allclose(np.abs((layer.eigenvectors.numpy() * vectors).sum(0)), 1, rtol=1e-5)


def test_adapt_counts_on_the_scale_from_0_to_1():
    small, large = layers.PCAColorJitter(**UNIT), layers.PCAColorJitter(data_format="channels_last")

    small.adapt(photos())
    large.adapt(np.moveaxis(photos(), 1, -1) * 255)

    assert_close(small.eigenvalues, large.eigenvalues)


def test_offsets_have_the_deviation_of_the_principal_colors():
    layer = layers.PCAColorJitter(0.1, **UNIT, seed=1, clip=False)
    x = torch.full((20_000, 3, 1, 1), 0.5)

    offset = (layer(x) - x)[:, :, 0, 0].double()

    values, vectors = np.array(IMAGENET_EIGENVALUES), np.array(IMAGENET_EIGENVECTORS)
    expected = vectors @ np.diag((0.1 * values) ** 2) @ vectors.T
    np.testing.assert_allclose(np.cov(offset.numpy().T), expected, atol=0.03 * expected.max())
    assert float(offset.mean().abs()) < 5e-4


def test_one_offset_for_all_pixels_of_an_image():
    x = torch.rand(4, 3, 5, 6)

    offset = layers.PCAColorJitter(1.0, **UNIT, clip=False)(x) - x

    assert_close(offset, offset[:, :, :1, :1].expand_as(offset), rtol=0, atol=1e-6)
    assert len(offset[:, 0, 0, 0].unique()) == 4


def test_offsets_scale_with_the_value_range():
    x = torch.full((4, 3, 2, 2), 0.5)

    a = layers.PCAColorJitter(seed=1, **UNIT)(x)
    b = layers.PCAColorJitter(seed=1)(x * 255)

    assert_close(b / 255, a)


def test_adapted_colors_are_saved_with_the_weights():
    layer, other = layers.PCAColorJitter(**UNIT), layers.PCAColorJitter(**UNIT)
    layer.adapt(photos())

    other.load_state_dict(layer.state_dict())

    assert_close(other.eigenvalues, layer.eigenvalues, rtol=0, atol=0)
    assert not other.trainable_weights


def test_jitter_is_its_steps_in_order():
    x = torch.rand(2, 3, 8, 8)
    layer = layers.RandomColorJitter((0, 1), (0.1, 0.1), (0.0, 0.0), (0.7, 0.7), (0.0, 0.0))

    y = layer(x)

    brighter = layers.RandomBrightness((0.1, 0.1), (0, 1))(x)
    assert_close(y, layers.RandomSaturation((0.7, 0.7), (0, 1))(brighter), rtol=0, atol=1e-6)


def test_bad_arguments_are_errors():
    with pytest.raises(ValueError, match="`sigma` must be a number >= 0"):
        layers.PCAColorJitter(-0.1)
    with pytest.raises(ValueError, match="together"):
        layers.PCAColorJitter(eigenvalues=[1, 2, 3])
    with pytest.raises(ValueError, match="3 channels"):
        layers.PCAColorJitter().adapt(torch.rand(4, 1, 5, 5))
    with pytest.raises(ValueError, match="no pixels"):
        layers.PCAColorJitter().adapt([])
