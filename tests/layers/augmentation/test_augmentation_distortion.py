"""Bent images: known places of single points, identity at no strength, and moved boxes."""

import pytest
import torch
from torch.testing import assert_close

from kerasish import layers
from kerasish.layers.augmentation.distortion import _unbend
from kerasish.layers.augmentation.draws import Draws, sample_keys


def draws(count=100):
    return Draws(sample_keys(torch.arange(count), 11))


def test_lens_takes_pixels_from_their_bent_places():
    layer = layers.RandomLensDistortion((0.5, 0.5))
    x, y = layer.places({"k": torch.tensor([0.5])}, (11, 21))

    assert_close(x[0, 5, 10], torch.tensor(10.0))  # the middle stays
    assert_close(x[0, 0, 0], torch.tensor(10.0 - 10 * 1.5))  # a corner is at radius 1
    assert_close(y[0, 0, 0], torch.tensor(5.0 - 5 * 1.5))
    radius = (3**2) / (10**2 + 5**2)
    assert_close(x[0, 5, 13], torch.tensor(10 + 3 * (1 + 0.5 * radius)))


def test_barrel_and_pincushion_bend_a_line_opposite_ways():
    line = torch.zeros(1, 1, 41, 41)
    line[..., 4, :] = 1

    def height_at(k, column):
        bent = layers.RandomLensDistortion((k, k), fill_mode="constant")(line)[0, 0, :, column]
        return float((bent * torch.arange(41)).sum() / bent.sum())

    assert height_at(0.3, 20) < height_at(0.3, 8)  # bulges outwards in the middle
    assert height_at(-0.2, 20) > height_at(-0.2, 8)


def test_unbending_is_the_inverse_of_bending():
    radius = torch.linspace(0, 1, 50)
    for k in (-0.3, -0.1, 0.0, 0.4, 1.0):
        bent = radius * (1 + k * radius**2)
        back = bent * _unbend(bent, torch.tensor(k))
        assert_close(back, radius, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: layers.RandomLensDistortion(0.0),
        lambda: layers.RandomElasticTransform(0.0),
        lambda: layers.RandomElasticTransform(scale=0.0),
    ],
)
def test_no_strength_is_the_identity(layer):
    x = torch.rand(3, 3, 14, 17)

    assert_close(layer()(x), x, rtol=0, atol=2e-5)


def test_elastic_shifts_are_smooth_and_of_the_promised_size():
    layer = layers.RandomElasticTransform((1.0, 1.0), scale=(1.0, 1.0))
    size = (100, 140)
    x, y = layer.places(layer.draw(draws(), size), size)
    shift = x - torch.arange(140.0), y - torch.arange(100.0)[:, None]

    for field in shift:
        assert 1.0 < float(field.std()) < 2.6  # 2 % of 100, less where knots are averaged
        assert float(field.diff(dim=-1).std()) < 0.6
        assert abs(float(field.mean())) < 0.1


def test_elastic_masks_keep_their_classes():
    masks = torch.randint(0, 5, (4, 1, 20, 20)) * 1000
    data = {"images": torch.rand(4, 3, 20, 20), "segmentation_masks": masks}

    bent = layers.RandomElasticTransform((1.0, 1.0))(data)["segmentation_masks"]

    assert bent.dtype == masks.dtype
    assert set(bent.unique().tolist()) <= set(masks.unique().tolist())
    assert not torch.equal(bent, masks)


def test_folding_distortions_are_errors():
    with pytest.raises(ValueError, match="`factor` must be"):
        layers.RandomLensDistortion((-0.5, 0.0))
