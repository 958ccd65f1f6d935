"""MixUp and CutMix: images and labels mixed in the same proportion."""

import pytest
import torch
from torch.testing import assert_close

from kerasish import layers
from tests.layers.harness import assert_same_signature


def numbered(count=64):
    """Images of one value each, whose label is the value."""
    value = torch.arange(count, dtype=torch.float32)
    return value[:, None, None, None].expand(-1, 3, 12, 10).contiguous(), value[:, None]


@pytest.mark.parametrize("name", ["MixUp", "CutMix"])
def test_signature_is_that_of_keras(name):
    keras = pytest.importorskip("keras")

    assert_same_signature(getattr(layers, name), getattr(keras.layers, name))


@pytest.mark.parametrize("layer", [layers.MixUp(1.0, seed=1), layers.CutMix((1.0, 1.0), seed=1)])
@pytest.mark.parametrize("form", ["tuple", "dict"])
def test_labels_are_mixed_as_the_pixels_are(layer, form):
    x, y = numbered()

    if form == "tuple":
        images, labels = layer((x, y))
    else:
        document = layer({"images": x, "labels": y})
        images, labels = document["images"], document["labels"]

    # The mean of the pixels tells the share of each of the two images.
    assert_close(images.mean((1, 2, 3)), labels[:, 0], rtol=1e-4, atol=1e-3)
    assert (labels != y).any()


def test_mixup_shares_have_the_beta_distribution():
    x, y = torch.zeros(20_000, 1, 1, 1), torch.zeros(20_000, 2)
    y[:10_000, 0] = y[10_000:, 1] = 1
    mix = layers.MixUp(0.4, seed=2)
    weight = mix.draw(mix._next_draws(20_000, x.device), (1, 1))["weight"].double()

    assert abs(float(weight.mean()) - 0.5) < 0.01
    assert abs(float(weight.var()) - 1 / (4 * 1.8)) < 0.005
    _, labels = mix((x, y))
    assert_close(labels.sum(-1), torch.ones(20_000))


def test_partners_are_a_random_order_of_the_batch():
    mix = layers.MixUp(seed=3)
    partner = mix.draw(mix._next_draws(50, torch.device("cpu")), (1, 1))["partner"]

    assert partner.sort().values.tolist() == list(range(50))
    assert (partner == torch.arange(50)).sum() < 10


def test_cutmix_pastes_one_rectangle():
    x, y = numbered(200)

    images, _ = layers.CutMix((1.0, 1.0), seed=4)((x, y))

    pasted = images[:, 0] != x[:, 0]
    rows, columns = pasted.any(2), pasted.any(1)
    assert torch.equal(pasted, rows[:, :, None] & columns[:, None, :])
    assert len(rows.sum(1).unique()) > 5
    for line in (*rows, *columns):
        edges = (line[1:] ^ line[:-1]).sum()
        assert edges <= 2


def test_class_numbers_become_rows_where_their_number_is_known():
    x, y = torch.rand(6, 3, 4, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    mix = layers.MixUp(num_classes=3, seed=1)

    assert mix((x, y))[1].shape == (6, 3)
    _, labels = mix((x, y), training=False)
    assert_close(labels, torch.eye(3)[y])


def test_uint8_images_and_masks_are_cut_as_they_are():
    x = torch.arange(8, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 6, 6).contiguous()
    data = {"images": x, "segmentation_masks": x[:, :1], "labels": torch.eye(8)}

    mixed = layers.CutMix((1.0, 1.0), seed=1)(data)

    assert mixed["images"].dtype == torch.uint8
    assert torch.equal(mixed["images"][:, :1], mixed["segmentation_masks"])


def test_what_cannot_be_mixed_is_an_error():
    x, y = torch.rand(4, 3, 4, 4), torch.tensor([0, 1, 2, 0])
    with pytest.raises(ValueError, match="num_classes="):
        layers.MixUp()((x, y))
    with pytest.raises(ValueError, match="cannot mix boxes"):
        layers.CutMix()({"images": x, "bounding_boxes": {"boxes": torch.rand(4, 2, 4)}})
    with pytest.raises(ValueError, match="`alpha` must be a positive number"):
        layers.MixUp(0.0)
