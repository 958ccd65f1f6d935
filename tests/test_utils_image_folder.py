"""image_dataset_from_directory with `augment`: what images become, and at what epoch."""

import sys

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from kerasish import layers, utils
from kerasish.layers.augmentation import sample_context
from kerasish.utils import images as utils_images

Image = pytest.importorskip("PIL.Image")

SIZES = [(40, 60), (61, 40), (50, 50), (37, 81), (90, 41), (64, 48), (45, 45), (40, 52)]


@pytest.fixture
def photos(tmp_path):
    """Eight JPEG files in two folders."""
    rng = np.random.default_rng(0)
    for number, size in enumerate(SIZES):
        folder = tmp_path / ("ant", "bee")[number // 4]
        folder.mkdir(exist_ok=True)
        pixels = rng.integers(0, 256, (size[0] // 8, size[1] // 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize(size[::-1]).save(folder / f"{number}.jpg", quality=90)
    return tmp_path


def load(folder, **options):
    return utils.image_dataset_from_directory(folder, verbose=False, seed=1, **options)


def recipe():
    return layers.Pipeline(
        [
            layers.RandomShortSide((20, 36), 16),
            layers.RandomFlip("horizontal"),
            layers.PCAColorJitter(sigma=2.0),
            layers.Rescaling(1 / 255),
        ],
        seed=5,
    )


def decoded(path):
    return torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)


def test_augmented_images_are_what_the_layers_make_of_each_file(photos):
    batches = load(photos, augment=recipe(), shuffle=False, batch_size=3)

    x = torch.cat([x for x, _ in batches])

    assert x.dtype == torch.float32
    for number, path in enumerate(batches.file_paths):
        with sample_context(number, 0):
            alone = recipe()(decoded(path)[None])[0]
        # The layers alone round between jitter and scaling.
        assert_close(x[number], alone, rtol=0, atol=0.51 / 255)


def test_passes_differ_and_repeat(photos):
    batches, again = (load(photos, augment=recipe(), batch_size=4) for _ in range(2))

    first, second = (torch.cat([x for x, _ in batches]) for _ in range(2))

    assert not torch.equal(first, second)
    assert torch.equal(torch.cat([x for x, _ in again]), first)
    again.sampler.set_epoch(1)
    assert torch.equal(torch.cat([x for x, _ in again]), second)


def test_unshuffled_passes_differ_too(photos):
    batches = load(photos, augment=recipe(), shuffle=False)

    first, second = (next(iter(batches))[0].clone() for _ in range(2))

    assert not torch.equal(first, second)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch_size", [4, 8])
def test_threads_and_batch_size_change_nothing(photos, threads, batch_size):
    expected = torch.cat([x for x, _ in load(photos, augment=recipe(), batch_size=3, threads=1)])

    batches = load(photos, augment=recipe(), batch_size=batch_size, threads=threads)

    assert torch.equal(torch.cat([x for x, _ in batches]), expected)


def test_validation_part_is_not_changed_at_random(photos):
    options = {"validation_split": 0.5, "subset": "both", "augment": recipe()}
    train, validation = load(photos, **options)

    first, second = (torch.cat([x for x, _ in validation]) for _ in range(2))

    assert torch.equal(first, second)
    middle = layers.RandomShortSide((20, 36), 16).eval()
    for image, path in zip(first, validation.file_paths, strict=True):
        assert_close(image, middle(decoded(path)) / 255)
    assert not torch.equal(*(torch.cat([x for x, _ in train]) for _ in range(2)))


def test_inference_may_be_asked_for(photos):
    batches = load(photos, augment=recipe(), training=False, shuffle=False)

    x = next(iter(batches))[0]

    middle = layers.RandomShortSide((20, 36), 16).eval()
    assert_close(x[0], middle(decoded(batches.file_paths[0])) / 255)


def test_layers_that_keep_sizes_get_images_of_the_size_asked_for(photos):
    flip = layers.RandomFlip("horizontal", rate=1.0)

    x = next(iter(load(photos, augment=flip, image_size=(24, 20), shuffle=False)))[0]

    plain = next(iter(load(photos, image_size=(24, 20), shuffle=False)))[0]
    assert_close(x, plain.flip(-1))
    assert x.dtype == torch.float32


def test_size_asked_for_twice_is_an_error(photos):
    with pytest.raises(ValueError, match=r"`image_size`.* have no effect where `augment` begins"):
        load(photos, augment=recipe(), image_size=(64, 64))
    with pytest.raises(ValueError, match=r"`image_size`.* have no effect where `augment` begins"):
        load(photos, augment=recipe(), crop_to_aspect_ratio=True)


def test_own_sizes_need_layers_that_make_them_alike(photos):
    with pytest.raises(ValueError, match=r"different sizes.*\[Resizing\(224, 224\)\]"):
        next(iter(load(photos, image_size=None)))
    sizes = {tuple(x.shape[1:]) for x, _ in load(photos, image_size=None, batch_size=None)}
    assert sizes == set(SIZES)


@pytest.mark.parametrize("color_mode", ["rgb", "grayscale"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("crop", [False, True], ids=["squeezed", "cropped"])
def test_resizing_is_that_of_pil_up_to_rounding(photos, color_mode, interpolation, crop):
    options = {"interpolation": interpolation, "crop_to_aspect_ratio": crop}
    batches = load(
        photos, image_size=(24, 30), color_mode=color_mode, shuffle=False, dtype="uint8", **options
    )

    x = next(iter(batches))[0]

    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    for image, path in zip(x, batches.file_paths, strict=True):
        pil = Image.open(path).convert({"rgb": "RGB", "grayscale": "L"}[color_mode])
        pil = pil.crop(utils_images.centre_box(pil.size, (30, 24))) if crop else pil
        expected = np.array(pil.resize((30, 24), filters[interpolation]))
        expected = torch.from_numpy(expected.reshape(24, 30, -1)).permute(2, 0, 1)
        # Gray levels come from the file itself, not from colours.
        most = 1 if color_mode == "rgb" else 4
        assert (image.int() - expected.int()).abs().max() <= most


def test_number_type_and_axis_order_are_as_asked(photos):
    crop = layers.RandomCrop(16, 12, seed=1)

    x = next(iter(load(photos, augment=crop, dtype="uint8", data_format="channels_last")))[0]

    assert x.dtype == torch.uint8
    assert x.shape == (8, 16, 12, 3)


def test_choice_of_a_data_set_library_is_without_effect(photos):
    with pytest.warns(UserWarning, match="format='grain' has no effect"):
        batches = load(photos, format="grain")
    assert isinstance(batches, torch.utils.data.DataLoader)


def test_broken_files_are_left_out_when_found_and_when_decoded(photos):
    (photos / "ant" / "1.jpg").write_bytes(b"no image")
    file = photos / "bee" / "5.jpg"
    file.write_bytes(file.read_bytes()[:-300])
    batches = load(photos, augment=recipe(), shuffle=False, batch_size=3, broken="skip", threads=1)

    with pytest.warns(UserWarning, match="Skipped") as caught:
        x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))

    assert len(caught) == 2
    assert y.tolist() == [0, 0, 0, 1, 1, 1]
    with sample_context(2, 0):
        alone = recipe()(decoded(photos / "ant" / "2.jpg")[None])[0]
    assert_close(x[1], alone, rtol=0, atol=0.51 / 255)


def test_broken_file_is_an_error_that_names_it(photos):
    (photos / "ant" / "1.jpg").write_bytes(b"no image")

    with pytest.raises(ValueError, match=r"Cannot read the image .*1\.jpg") as caught:
        next(iter(load(photos, augment=recipe())))
    assert "broken='skip'" in caught.value.__notes__[0]


@pytest.mark.parametrize("decoder", ["torchcodec", "torchvision", "PIL"])
def test_decoders_agree(photos, monkeypatch, decoder):
    from kerasish.data import image_files

    if decoder == "PIL":
        monkeypatch.setattr(image_files, "jpeg_decoder", lambda: None)
    else:
        pytest.importorskip(decoder)
        if decoder == "torchvision":
            monkeypatch.setitem(sys.modules, "torchcodec.decoders", None)
        monkeypatch.setattr(image_files, "jpeg_decoder", image_files.jpeg_decoder.__wrapped__)
        assert image_files.jpeg_decoder() is not None
    file = photos / "ant" / "0.jpg"

    color, gray = (image_files.ImageFile(str(file), channels).pixels() for channels in (3, 1))

    assert torch.equal(color.permute(2, 0, 1), decoded(file))
    expected = torch.from_numpy(np.array(Image.open(file).convert("L")))
    # Decoders take the file's brightness; PIL works it out from colours that may have been clipped.
    assert_close(gray[..., 0].int(), expected.int(), rtol=0, atol=4)


def test_head_of_a_jpeg_file_tells_the_size(photos, tmp_path):
    from kerasish.data.image_files import ImageFile, jpeg_frame

    data = np.fromfile(photos / "bee" / "4.jpg", dtype=np.uint8)

    assert jpeg_frame(data) == (90, 41, 3)
    assert jpeg_frame(data[:100]) is None
    assert jpeg_frame(data[:-300]) is None
    for name, options in {"progressive": {"progressive": True}, "gray": {}}.items():
        image = Image.open(photos / "bee" / "4.jpg")
        image = image.convert("L") if name == "gray" else image
        image.save(tmp_path / f"{name}.jpg", **options)
        assert ImageFile(str(tmp_path / f"{name}.jpg"), 3).size == (90, 41)
        assert torch.equal(
            ImageFile(str(tmp_path / f"{name}.jpg"), 3).pixels().permute(2, 0, 1),
            torch.from_numpy(np.array(Image.open(tmp_path / f"{name}.jpg").convert("RGB"))).permute(
                2, 0, 1
            ),
        )


def test_four_colours_are_left_to_pil(photos, tmp_path):
    from kerasish.data.image_files import ImageFile

    Image.open(photos / "ant" / "0.jpg").convert("CMYK").save(tmp_path / "x.jpg")

    pixels = ImageFile(str(tmp_path / "x.jpg"), 3).pixels()

    expected = np.array(Image.open(tmp_path / "x.jpg").convert("RGB"))
    assert np.array_equal(pixels.numpy(), expected)
