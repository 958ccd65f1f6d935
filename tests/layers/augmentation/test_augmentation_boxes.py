"""Boxes and masks move in step with the pixels, in Keras's dicts and in tv_tensors."""

import pytest
import torch
from torch.testing import assert_close

from kerasish import layers
from kerasish.layers.augmentation.boxes import FORMATS, from_corners, to_corners

SIZE = (60, 80)

MOVERS = {
    "flip": lambda **k: layers.RandomFlip(seed=1, **k),
    "turn": lambda **k: layers.RandomRotation((0.25, 0.25), fill_mode="constant", **k),
    "slant": lambda **k: layers.RandomShear(0.2, 0.1, fill_mode="constant", seed=1, **k),
    "zoom": lambda **k: layers.RandomZoom(0.3, 0.2, fill_mode="constant", seed=1, **k),
    "shift": lambda **k: layers.RandomTranslation(0.2, 0.2, fill_mode="constant", seed=1, **k),
    "corners": lambda **k: layers.RandomPerspective((1.0, 1.0), 0.5, seed=1, **k),
    "lens": lambda **k: layers.RandomLensDistortion(0.3, fill_mode="constant", seed=1, **k),
    "crop": lambda **k: layers.RandomCrop(50, 60, seed=1, **k),
    "padded crop": lambda **k: layers.RandomCrop(60, 80, padding=8, seed=1, **k),
    "resized crop": lambda **k: layers.RandomResizedCrop(40, 50, (0.6, 1.0), seed=1, **k),
    "short side": lambda **k: layers.RandomShortSide((40, 50), 36, seed=1, **k),
    "policy": lambda **k: layers.RandAugment((0, 1), 3, fill_mode="constant", seed=1, **k),
}


def scene(count=6):
    """Bright rectangles on black, their masks and their boxes as left, top, right, bottom."""
    generator = torch.Generator().manual_seed(4)
    boxes, masks = [], torch.zeros(count, *SIZE, dtype=torch.uint8)
    for i in range(count):
        left, top = (int(torch.randint(15, 30, (), generator=generator)) for _ in range(2))
        wide, tall = (int(torch.randint(12, 25, (), generator=generator)) for _ in range(2))
        masks[i, top : top + tall, left : left + wide] = 1
        boxes.append([left, top, left + wide, top + tall])
    images = masks[:, None].float().expand(-1, 3, -1, -1).contiguous()
    return images, masks, torch.tensor(boxes, dtype=torch.float32)[:, None]


def around(mask):
    """The box around the pixels of a mask."""
    rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
    if not len(rows):
        return None
    return torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).float()


@pytest.mark.parametrize("name", MOVERS)
def test_boxes_and_masks_follow_the_pixels(name):
    images, masks, boxes = scene()
    layer = MOVERS[name](bounding_box_format="xyxy")
    data = {
        "images": images,
        "segmentation_masks": masks[:, None],
        "bounding_boxes": {"boxes": boxes, "labels": torch.ones(6, 1)},
    }

    moved = layer(data)

    assert moved["segmentation_masks"].dtype == torch.uint8
    for i in range(6):
        mask = moved["segmentation_masks"][i, 0]
        seen = around(mask)
        if seen is None:
            continue
        assert_close(moved["bounding_boxes"]["boxes"][i, 0], seen, rtol=0, atol=2.5)
        if name != "policy":  # whose colours change
            differing = ((moved["images"][i, 0] > 0.5) != mask.bool()).float().mean()
            assert differing < 0.02
    assert torch.equal(moved["bounding_boxes"]["labels"], torch.ones(6, 1))


@pytest.mark.parametrize("name", ["flip", "turn", "resized crop", "short side", "crop"])
def test_tv_tensors_keep_their_kinds(name):
    tv = pytest.importorskip("torchvision.tv_tensors")
    images, masks, boxes = scene(1)
    sample = (
        tv.Image((images[0] * 255).to(torch.uint8)),
        {
            "boxes": tv.BoundingBoxes(boxes[0], format="XYXY", canvas_size=SIZE),
            "masks": tv.Mask(masks),
            "labels": torch.tensor([3]),
        },
    )

    image, target = MOVERS[name]()(sample)

    assert isinstance(image, tv.Image)
    assert isinstance(target["masks"], tv.Mask)
    assert isinstance(target["boxes"], tv.BoundingBoxes)
    assert image.dtype == torch.uint8
    assert tuple(target["boxes"].canvas_size) == tuple(image.shape[-2:])
    assert target["masks"].shape[-2:] == image.shape[-2:]
    assert target["labels"].tolist() == [3]
    assert_close(
        target["boxes"][0].as_subclass(torch.Tensor), around(target["masks"][0]), rtol=0, atol=2.0
    )


def test_flip_of_boxes_agrees_with_torchvision():
    tv = pytest.importorskip("torchvision.tv_tensors")
    v2 = pytest.importorskip("torchvision.transforms.v2.functional")
    boxes = tv.BoundingBoxes([[3, 4, 20, 10]], format="CXCYWH", canvas_size=SIZE, dtype=torch.float)
    image = tv.Image(torch.rand(3, *SIZE))

    _, moved = layers.RandomFlip("horizontal", rate=1.0)((image, boxes))

    assert_close(moved, v2.clamp_bounding_boxes(v2.horizontal_flip(boxes)))


def test_lists_of_boxes_go_with_a_batch():
    images, _, boxes = scene(3)
    several = [boxes[0], torch.cat([boxes[1], boxes[1]]), boxes[2][:0]]
    layer = layers.RandomTranslation((0.1, 0.1), (0.0, 0.0), bounding_box_format="xyxy")

    moved = layer({"images": images, "bounding_boxes": {"boxes": several}})["bounding_boxes"]

    assert [len(b) for b in moved["boxes"]] == [1, 2, 0]
    shift = torch.tensor([0.0, 6.0, 0.0, 6.0])
    assert_close(moved["boxes"][1], several[1] + shift, rtol=0, atol=1e-4)


def test_boxes_are_cut_off_at_the_border():
    images, _, _ = scene(1)
    boxes = torch.tensor([[[10.0, 20.0, 78.0, 50.0]]])
    layer = layers.RandomTranslation((0.0, 0.0), (0.5, 0.5), bounding_box_format="xyxy")

    moved = layer({"images": images, "bounding_boxes": {"boxes": boxes}})

    assert_close(moved["bounding_boxes"]["boxes"], torch.tensor([[[50.0, 20.0, 80.0, 50.0]]]))


@pytest.mark.parametrize("name", FORMATS)
def test_notations_of_boxes_go_there_and_back(name):
    layer = layers.RandomFlip(bounding_box_format=name)
    corners = torch.tensor([[[8.0, 15.0, 48.0, 45.0]]])

    written = from_corners(layer, corners, corners, SIZE)

    assert_close(to_corners(layer, written, SIZE), corners)


def test_notations_mean_what_they_say():
    corners = torch.tensor([[8.0, 15.0, 48.0, 45.0]])
    expected = {
        "yxyx": [15, 8, 45, 48],
        "xywh": [8, 15, 40, 30],
        "center_xywh": [28, 30, 40, 30],
        "rel_xyxy": [0.1, 0.25, 0.6, 0.75],
        "rel_center_xywh": [0.35, 0.5, 0.5, 0.5],
    }
    for name, numbers in expected.items():
        layer = layers.RandomFlip(bounding_box_format=name)
        written = from_corners(layer, corners, corners, SIZE)
        assert written[0].tolist() == pytest.approx(numbers), name


def test_color_layers_leave_boxes_and_masks_alone():
    images, masks, boxes = scene()
    data = {"images": images, "segmentation_masks": masks, "bounding_boxes": {"boxes": boxes}}

    moved = layers.RandomBrightness(0.5, (0, 1), bounding_box_format="xyxy")(data)

    assert_close(moved["bounding_boxes"]["boxes"], boxes)
    assert torch.equal(moved["segmentation_masks"], masks)


def test_masks_with_channels_last_move_too():
    images, masks, _ = scene()
    first = layers.RandomFlip(seed=1)({"images": images, "segmentation_masks": masks[:, None]})
    last = layers.RandomFlip(seed=1, data_format="channels_last")(
        {"images": images.movedim(1, -1), "segmentation_masks": masks[..., None]}
    )

    assert torch.equal(last["segmentation_masks"][..., 0], first["segmentation_masks"][:, 0])


def test_boxes_without_a_notation_are_an_error():
    images, _, boxes = scene()
    with pytest.raises(ValueError, match='bounding_box_format="xyxy"'):
        layers.RandomFlip()({"images": images, "bounding_boxes": {"boxes": boxes}})
    with pytest.raises(ValueError, match="unknown `bounding_box_format` 'xyxyy'"):
        layers.RandomFlip(bounding_box_format="xyxyy")


def test_masks_of_another_size_are_an_error():
    images, _, _ = scene()
    data = {"images": images, "segmentation_masks": torch.zeros(6, 1, 9, 9)}
    with pytest.raises(ValueError, match="masks must have the height and width"):
        layers.RandomFlip()(data)
