"""Batches of pictures of different sizes: against the layers called one by one on each image."""

import warnings

import pytest
import torch
from torch.testing import assert_close

from kerasish import layers
from kerasish.layers import augmentation
from kerasish.layers.augmentation import sample_context
from kerasish.layers.augmentation.picture_batches import PictureBatches

SIZES = [(40, 60), (61, 40), (50, 50), (37, 81), (90, 41), (64, 48)]
MEAN, VARIANCE = [124.0, 116.0, 104.0], [58.4**2, 57.1**2, 57.4**2]


class Picture:
    def __init__(self, size, seed, channels=3):
        generator = torch.Generator().manual_seed(seed)
        self.size = size
        self.image = torch.randint(
            0, 256, (*size, channels), generator=generator, dtype=torch.uint8
        )

    def pixels(self):
        return self.image


PICTURES = [Picture(size, number) for number, size in enumerate(SIZES)]


def one_after_the_other(function, count):
    return [function(i) for i in range(count)]


def batches(augment, training=True, data_format="channels_first", dtype=None):
    return PictureBatches(augment, training, data_format, dtype, one_after_the_other)


def called_alone(augment, number, epoch, training=True):
    """What the pipeline makes of one image when it is called on it."""
    pipeline = layers.Pipeline(augment) if isinstance(augment, list) else augment
    pipeline.train(training)
    with sample_context(number, epoch):
        return pipeline(PICTURES[number].image.permute(2, 0, 1)[None])[0]


def flip():
    return layers.RandomFlip(seed=2)


def jitter():
    return layers.PCAColorJitter(sigma=2.0, seed=3)


PIPELINES = {
    "short side": lambda: [layers.RandomShortSide((20, 36), 16, seed=1)],
    "resized crop": lambda: [layers.RandomResizedCrop(16, 12, seed=1)],
    "crop": lambda: [layers.RandomCrop(30, 32, seed=1)],
    "padded crop": lambda: [layers.RandomCrop(30, 32, padding=3, seed=1)],
    "too large a crop": lambda: [layers.RandomCrop(64, 64, seed=1)],
    "resizing": lambda: [layers.Resizing(20, 24, antialias=True)],
    "centre": lambda: [layers.CenterCrop(32, 32), flip()],
    "flip first": lambda: [flip(), layers.RandomResizedCrop(16, 12, seed=1), jitter()],
    "recipe": lambda: layers.Pipeline(
        [layers.RandomShortSide((20, 36), 16), flip(), jitter()], seed=4
    ),
    "turned": lambda: [
        layers.RandomCrop(30, 32, seed=1),
        layers.RandomRotation(0.1, seed=5),
        layers.RandomZoom(0.2, seed=6),
    ],
    "contrast": lambda: [layers.Resizing(20, 24), layers.RandomContrast(0.5, seed=5), flip()],
    "erasing": lambda: [layers.RandomCrop(30, 32, seed=1), layers.RandomErasing(1.0, seed=5)],
    "by lot": lambda: [
        layers.RandomCrop(30, 32, seed=1),
        layers.RandomApply([jitter()], 0.5, seed=6),
        flip(),
    ],
}


@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
@pytest.mark.parametrize("name", PIPELINES)
def test_batch_is_what_the_layers_make_of_each_image(name, training):
    make = batches(PIPELINES[name](), training)

    x = make(PICTURES, None, range(6), 7)

    for number in range(6):
        alone = called_alone(PIPELINES[name](), number, 7, training)
        # Called by itself, the middle of an image is floating point.
        assert_close(x[number].float(), alone.float(), rtol=0, atol=0)
    assert x.dtype == torch.uint8


@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
def test_scaling_is_done_in_one_pass_and_gives_the_same(training):
    augment = [
        layers.RandomCrop(30, 32, seed=1),
        jitter(),
        layers.RandomBrightness(0.2, seed=4),
        layers.Rescaling(2.0, offset=-3.0),
        layers.Normalization(mean=MEAN, variance=VARIANCE),
    ]

    x = batches(augment, training)(PICTURES, None, range(6), 7)

    assert x.dtype == torch.float32
    assert x.is_contiguous()
    deviation = torch.tensor(VARIANCE).sqrt()[:, None, None]
    for number in range(6):
        with sample_context(number, 7):
            y = called_alone(augment[:1], number, 7, training).float()
            if training:
                y = augment[2](augment[1](y[None]))[0]
        y = (y * 2 - 3 - torch.tensor(MEAN)[:, None, None]) / deviation
        assert_close(x[number], y, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", PIPELINES)
def test_batch_size_changes_nothing(name):
    whole = batches(PIPELINES[name]())(PICTURES, None, range(6), 3)

    make = batches(PIPELINES[name]())
    for size in (1, 4):
        parts = [
            make(PICTURES[i : i + size], None, range(i, min(i + size, 6)), 3).clone()
            for i in range(0, 6, size)
        ]
        assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("name", PIPELINES)
def test_threads_change_nothing(name):
    from kerasish.data.threads import Threads

    expected = batches(PIPELINES[name]())(PICTURES, None, range(6), 3)
    make = PictureBatches(PIPELINES[name](), True, "channels_first", None, Threads(3).map)

    for _ in range(3):
        assert torch.equal(make(PICTURES, None, range(6), 3), expected)


def test_epochs_and_numbers_change_what_is_drawn():
    make = batches(layers.RandomCrop(30, 32, seed=1))

    first, later = make(PICTURES, None, range(6), 0), make(PICTURES, None, range(6), 1)
    others = make(PICTURES, None, range(6, 12), 0)

    assert not torch.equal(first, later)
    assert not torch.equal(first, others)


def test_without_an_epoch_each_call_draws_anew():
    make = batches(layers.RandomCrop(30, 32, seed=1))

    first, second = (make(PICTURES, None, range(6), None) for _ in range(2))

    assert not torch.equal(first, second)


def test_labels_go_along_and_are_mixed_where_images_are():
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    make = batches([layers.RandomCrop(30, 32), layers.MixUp(num_classes=3, seed=1)])

    images, mixed = make(PICTURES, labels, range(6), 0)

    assert images.shape == (6, 3, 30, 32)
    assert mixed.shape == (6, 3)
    assert_close(mixed.sum(1), torch.ones(6))


def test_channels_may_come_last():
    first = batches(layers.RandomCrop(30, 32, seed=1))(PICTURES, None, range(6), 0)
    last = batches(layers.RandomCrop(30, 32, seed=1), data_format="channels_last")

    assert torch.equal(last(PICTURES, None, range(6), 0), first.permute(0, 2, 3, 1))


def test_normalisation_by_the_last_axis_fits_images_with_the_channels_last():
    from kerasish import config

    config.set_image_data_format("channels_last")
    augment = [layers.CenterCrop(8, 8), layers.Normalization(mean=MEAN, variance=VARIANCE)]

    x = batches(augment, data_format="channels_last")(PICTURES, None, range(6), 0)

    middle = PICTURES[0].image[16:24, 26:34].float()
    assert_close(x[0], (middle - torch.tensor(MEAN)) / torch.tensor(VARIANCE).sqrt())


def test_number_type_may_be_asked_for():
    x = batches(layers.RandomCrop(30, 32, seed=1), dtype=torch.float32)

    assert x(PICTURES, None, range(6), 0).dtype == torch.float32


def test_torchvision_transforms_come_first_or_later():
    v2 = pytest.importorskip("torchvision.transforms.v2")
    for augment in (
        [v2.RandomResizedCrop(16, antialias=True), v2.RandomHorizontalFlip()],
        [layers.RandomCrop(30, 32, seed=1), v2.ColorJitter(0.3)],
        [v2.RandomHorizontalFlip(), v2.Resize((20, 20)), flip()],
    ):
        pipeline = layers.Pipeline(augment, seed=3)
        make = batches(pipeline)
        x = make(PICTURES, None, range(6), 2)

        for number in range(6):
            assert torch.equal(x[number], called_alone(pipeline, number, 2)), augment


def test_broken_pictures_are_left_out_with_their_labels():
    class Broken(Picture):
        def pixels(self):
            return None

    pictures = [*PICTURES[:2], Broken((9, 9), 0), *PICTURES[3:]]
    make = batches(layers.RandomCrop(30, 32, seed=1))

    images, labels = make(pictures, torch.arange(6), range(6), 0)

    assert labels.tolist() == [0, 1, 3, 4, 5]
    assert torch.equal(images, make(PICTURES, None, range(6), 0)[labels])
    assert make([Broken((9, 9), 0)], None, [0], 0) is None


def test_layers_that_leave_sizes_different_are_an_error():
    with pytest.raises(ValueError, match="must come out alike"):
        batches(flip())(PICTURES, None, range(6), 0)


def test_pixels_on_another_scale_are_warned_about():
    make = batches([layers.RandomCrop(30, 32), layers.Rescaling(1 / 255), jitter()])

    with pytest.warns(UserWarning, match=r"these go from 0 to 1: give it value_range=\(0, 1\)"):
        make(PICTURES, None, range(6), 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(PICTURES, None, range(6), 1)


def test_a_batch_that_is_held_is_not_written_over():
    make = batches([layers.RandomCrop(30, 32, seed=1)])

    first = make(PICTURES, None, range(6), 0)
    row, place = first[2], first.data_ptr()
    kept = first.clone()
    del first
    second = make(PICTURES, None, range(6), 1)

    assert torch.equal(row, kept[2])
    del row, second
    assert place in {make(PICTURES, None, range(6), 1).data_ptr() for _ in range(2)}


def test_gray_images_stay_gray():
    pictures = [Picture(size, 1, channels=1) for size in SIZES]

    x = batches([layers.RandomShortSide((20, 36), 16), flip()])(pictures, None, range(6), 0)

    assert x.shape == (6, 1, 16, 16)


def test_layers_keep_their_mode():
    shared = layers.Pipeline([layers.RandomCrop(30, 32), layers.RandomApply([jitter()], 1.0)])
    train, validation = batches(shared), batches(shared, training=False)

    x = validation(PICTURES, None, range(6), 0)
    y = train(PICTURES, None, range(6), 0)

    assert all(module.training for module in shared.modules())
    shared.eval()
    assert torch.equal(train(PICTURES, None, range(6), 0), y)
    assert torch.equal(validation(PICTURES, None, range(6), 0), x)
    assert not any(module.training for module in shared.modules())


EVERY_LAYER = {
    "AugMix": {},
    "AutoAugment": {},
    "AutoContrast": {},
    "ContrastLimitedAdaptiveHistogramEqualization": {},
    "Equalization": {},
    "RandAugment": {},
    "RandomColorDegeneration": {"factor": 0.5},
    "RandomColorJitter": {"brightness_factor": 0.2, "hue_factor": 0.1},
    "RandomElasticTransform": {},
    "RandomGaussianBlur": {},
    "RandomGrayscale": {},
    "RandomHue": {"factor": 0.2},
    "RandomInvert": {},
    "RandomLensDistortion": {},
    "RandomPerspective": {},
    "RandomPosterization": {"factor": 4},
    "RandomSaturation": {"factor": 0.5},
    "RandomSharpness": {"factor": 0.5},
    "RandomShear": {"x_factor": 0.2},
    "RandomTranslation": {"height_factor": 0.2, "width_factor": 0.2},
    "Solarization": {},
    "TrivialAugment": {},
}


@pytest.mark.parametrize("name", EVERY_LAYER)
def test_every_layer_gives_in_threads_what_it_gives_alone(name):
    from kerasish.data.threads import Threads

    def make():
        crop = layers.RandomCrop(30, 32, seed=1)
        return [crop, getattr(augmentation, name)(**EVERY_LAYER[name], seed=2)]

    batch = PictureBatches(make(), True, "channels_first", None, Threads(2).map)
    x = batch(PICTURES, None, range(6), 3)

    for number in range(6):
        alone = called_alone(make(), number, 3)
        # Kernels for one image and for several may round differently.
        assert (x[number].int() - alone.int()).abs().max() <= 1
