"""What all augmentation layers owe: inert outside training, repeatable, any type and format."""

import pickle
import random

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from torch.utils.data import DataLoader, Dataset

import kerasish
from kerasish import layers
from kerasish.layers.augmentation import base, sample_context
from tests.layers.harness import assert_same_signature, check_layer

UNIT = {"value_range": (0, 1)}
MAKERS = {
    "RandomFlip": dict,
    "RandomRotation": lambda: {"factor": 0.2},
    "RandomZoom": lambda: {"height_factor": 0.3},
    "RandomTranslation": lambda: {"height_factor": 0.2, "width_factor": 0.3},
    "RandomShear": lambda: {"x_factor": 0.3, "y_factor": 0.1},
    "RandomPerspective": lambda: {"factor": (1.0, 1.0)},
    "RandomCrop": lambda: {"height": 8, "width": 6},
    "RandomResizedCrop": lambda: {"height": 8, "width": 6},
    "RandomShortSide": lambda: {"short_side": (14, 20), "crop": 12},
    "RandomBrightness": lambda: {"factor": 0.3, **UNIT},
    "RandomContrast": lambda: {"factor": 0.5, **UNIT},
    "RandomSaturation": lambda: {"factor": 0.9, **UNIT},
    "RandomHue": lambda: {"factor": 0.5, **UNIT},
    "RandomGrayscale": dict,
    "RandomColorDegeneration": lambda: {"factor": 0.9, **UNIT},
    "RandomSharpness": lambda: {"factor": 1.0, **UNIT},
    "RandomPosterization": lambda: {"factor": (1, 6), **UNIT},
    "RandomInvert": lambda: {"factor": 1.0, **UNIT},
    "RandomGaussianBlur": lambda: {"sigma": (0.5, 2.0), **UNIT},
    "RandomErasing": lambda: UNIT,
    "RandomColorJitter": lambda: {
        **UNIT,
        "brightness_factor": 0.2,
        "contrast_factor": 0.3,
        "saturation_factor": 0.7,
        "hue_factor": 0.1,
    },
    "PCAColorJitter": lambda: {**UNIT, "sigma": 0.5},
    "Solarization": lambda: {**UNIT, "addition_factor": 0.2, "threshold_factor": 0.8},
    "RandomElasticTransform": lambda: {"factor": (1.0, 1.0), **UNIT},
    "RandomLensDistortion": lambda: {"factor": 0.3},
    "RandAugment": lambda: {**UNIT, "num_ops": 3, "factor": 1.0},
    "TrivialAugment": lambda: UNIT,
    "AutoAugment": lambda: {**UNIT, "policy": "cifar10"},
    "AugMix": lambda: UNIT,
    "RandomApply": lambda: {"layers": layers.RandomRotation(0.2, seed=7)},
    "RandomChoice": lambda: {"layers": [layers.RandomFlip(seed=1), layers.RandomZoom(0.3, seed=2)]},
}
RESIZING = {"RandomCrop", "RandomResizedCrop", "RandomShortSide"}
OURS = {
    "RandomResizedCrop",
    "RandomShortSide",
    "PCAColorJitter",
    "RandomLensDistortion",
    "TrivialAugment",
    "AutoAugment",
    "RandomApply",
    "RandomChoice",
}

every_layer = pytest.mark.parametrize("name", MAKERS)


def make(name, **kwargs):
    return getattr(layers, name)(**{**MAKERS[name](), **kwargs})


def images(count=8, dtype=torch.float32, size=(13, 16)):
    x = torch.rand(count, 3, *size)
    return x if dtype.is_floating_point else (x * 255).to(dtype)


@pytest.fixture
def quiet_python_seed():
    state = random.getstate()
    yield
    random.setstate(state)


@every_layer
def test_layer_does_what_all_layers_owe(name):
    check_layer(make(name).eval(), images())


@pytest.mark.parametrize("name", [n for n in MAKERS if n not in OURS])
def test_signature_is_that_of_keras(name):
    keras = pytest.importorskip("keras")

    assert_same_signature(getattr(layers, name), getattr(keras.layers, name))


@every_layer
def test_layer_changes_images_in_training_only(name):
    layer, x = make(name, seed=1), images()

    assert layer.training
    assert layer(x).shape[-2:] != x.shape[-2:] or not torch.equal(layer(x), x)
    layer.eval()
    if name in RESIZING:
        assert_close(layer(x), layer(x), rtol=0, atol=0)
        assert layer(x).shape == layer(x, training=True).shape
    else:
        assert layer(x) is x
    assert not layer.training


@every_layer
def test_training_argument_overrides_the_mode(name):
    layer, x = make(name, seed=1), images()
    off = layer(x, training=False)
    layer.eval()

    assert_close(off, layer(x), rtol=0, atol=0)
    assert any(not torch.equal(layer(x, training=True), off) for _ in range(3))


@every_layer
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
def test_type_of_images_stays(name, dtype):
    kwargs = {"value_range": (0, 255)} if "value_range" in MAKERS[name]() else {}
    layer = make(name, **kwargs)
    x = images(dtype=torch.uint8).to(dtype)

    assert layer(x).dtype == dtype
    assert layer(x, training=False).dtype == dtype
    assert torch.isfinite(layer(x).float()).all()


@every_layer
def test_samples_of_a_batch_are_changed_differently(name):
    layer = make(name, seed=2)
    x = images(1).expand(16, -1, -1, -1)

    y = layer(x)

    assert len({row.numpy().tobytes() for row in y}) > 1


@every_layer
def test_what_a_sample_sees_depends_on_seed_epoch_and_index_alone(name):
    x = images(8)
    whole, parts = make(name, seed=3), make(name, seed=3)
    with sample_context(range(8), epoch=2):
        expected = whole(x)

    # Other batches, another order, and calls before that should not matter.
    with sample_context([9], epoch=0):
        parts(images(1))
    batches = []
    for start in (4, 0):
        with sample_context(torch.arange(start, start + 4), epoch=2):
            batches.append(parts(x[start : start + 4]))
    with sample_context(5, epoch=2):
        single = parts(x[5])

    assert_close(torch.cat(batches[::-1]), expected, rtol=0, atol=1e-6)
    assert_close(single, expected[5], rtol=0, atol=1e-6)


@every_layer
def test_another_epoch_or_seed_shows_another_picture(name):
    x = images(8)
    layer, other = make(name, seed=3), make(name, seed=4)
    with sample_context(range(8), epoch=0):
        first, foreign = layer(x), other(x)
    with sample_context(range(8), epoch=1):
        second = layer(x)

    assert not torch.equal(first, second)
    assert not torch.equal(first, foreign)


@every_layer
def test_without_a_context_a_seed_repeats_the_sequence_of_calls(name):
    x = images(8)
    a, b = make(name, seed=5), make(name, seed=5)
    first, second = a(x), a(x)

    assert_close(b(x), first, rtol=0, atol=0)
    assert_close(b(x), second, rtol=0, atol=0)
    assert not torch.equal(first, second)


@every_layer
def test_state_of_the_draws_can_be_put_back(name):
    x = images(8)
    layer = make(name)
    layer(x)
    state = layer.seeds.state
    expected = layer(x)
    again = make(name)
    again.seeds.state = state

    assert_close(again(x), expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", [n for n in MAKERS if n not in ("RandomApply", "RandomChoice")])
def test_image_formats_agree(name):
    x = images()
    first = make(name, seed=6, data_format="channels_first")
    last_kwargs = {"data_format": "channels_last"}
    last = make(name, seed=6, **last_kwargs)

    expected = first(x)

    assert_close(last(x.movedim(1, -1)), expected.movedim(1, -1), rtol=0, atol=1e-6)
    assert_close(last(x.movedim(1, -1), training=False), first(x, training=False).movedim(1, -1))


@every_layer
def test_layer_works_in_a_model_under_half_precision(name):
    inputs = layers.Input((3, 13, 16))
    layer = make(name, seed=1, dtype="mixed_bfloat16")
    model = kerasish.Model(inputs, layers.Conv2D(2, 3)(layer(inputs)))
    x = images()

    assert model(x, training=False).shape[:2] == (8, 2)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.float32
    # Making the model and evaluating it draws nothing, so this was the layer's first draw.
    assert_close(y, make(name, seed=1)(x), rtol=0, atol=1e-6)


def test_set_random_seed_repeats_layers_without_a_seed(quiet_python_seed):
    x = images()
    pictures = []
    for _ in range(2):
        kerasish.utils.set_random_seed(3)
        pictures.append(layers.RandomRotation(0.3)(x))

    assert_close(*pictures, rtol=0, atol=0)


def test_layers_of_one_seed_and_different_classes_draw_differently():
    x = images(64)
    turns = layers.RandomRotation((0.0, 1.0), seed=1).draw(
        layers.RandomRotation(0.1, seed=1)._next_draws(64, x.device), (8, 8)
    )
    shift = layers.RandomBrightness((0.0, 1.0), seed=1)
    added = shift.draw(shift._next_draws(64, x.device), (8, 8))["shift"]

    cosines = turns["matrices"][:, 0, 0]
    assert not torch.allclose(cosines, torch.cos(added / 255 * 6.283185))


def test_batch_that_does_not_fit_the_context_is_an_error():
    with sample_context([1, 2]), pytest.raises(ValueError, match=r"batch of 8 .* 2 indices"):
        layers.RandomFlip()(images(8))


def test_pixels_from_0_to_1_under_a_range_to_255_are_pointed_out():
    layer = layers.RandomBrightness(0.1)

    with pytest.warns(UserWarning, match=r"value_range=\(0, 1\)"):
        layer(images())
    layer(images())  # once is enough


def test_integers_under_a_range_to_1_are_pointed_out():
    with pytest.warns(UserWarning, match=r"value_range=\(0, 255\)"):
        layers.RandomBrightness(0.1, value_range=(0, 1))(images(dtype=torch.uint8))


def test_vectors_are_refused():
    with pytest.raises(ValueError, match="at least 3 axes"):
        layers.RandomFlip()(torch.rand(4, 5))


def test_data_without_images_are_refused():
    with pytest.raises(ValueError, match="found no images"):
        layers.RandomFlip()({"pictures": images()})


def test_labels_stay_beside_the_images():
    x, y = images(), torch.arange(8)

    moved, labels = layers.RandomFlip(seed=1)((x, y))
    document = layers.RandomFlip(seed=1)({"images": x, "labels": y})

    assert labels is y
    assert document["labels"] is y
    assert_close(document["images"], moved)


class Photos(Dataset):
    """A data set that augments its samples itself, each under its index."""

    def __init__(self, layer, epoch):
        self.layer, self.epoch = layer, epoch
        self.pixels = torch.rand(12, 3, 9, 9, generator=torch.Generator().manual_seed(1))

    def __len__(self):
        return 12

    def __getitem__(self, index):
        with sample_context(index, self.epoch):
            return self.layer(self.pixels[index])


@pytest.mark.parametrize(("workers", "batch_size"), [(0, 8), (2, 4)])
def test_dataset_transform_is_the_same_for_any_workers_and_batch(workers, batch_size):
    layer = nn.Sequential(layers.RandomRotation(0.2, seed=1), layers.RandomContrast(0.5, (0, 1)))
    layer[1].seeds.state = (9, 0)
    data = Photos(layer, epoch=3)
    expected = torch.stack([data[i] for i in range(12)])

    loader = DataLoader(data, batch_size=batch_size, num_workers=workers)

    assert_close(torch.cat(list(loader)), expected, rtol=0, atol=0)


def test_workers_without_a_context_do_not_repeat_each_other():
    class Plain(Photos):
        def __getitem__(self, index):
            return self.layer(torch.full((3, 4, 4), 100.0))

    loader = DataLoader(Plain(layers.RandomBrightness(0.3, seed=1), 0), num_workers=2)
    seen = [float(batch[0, 0, 0, 0]) for batch in loader]

    assert len(set(seen)) == 12


def test_layer_survives_pickling():
    layer = layers.RandomRotation(0.2, seed=1)
    x = images()
    layer(x)
    copy = pickle.loads(pickle.dumps(layer))

    assert_close(copy(x), layer(x), rtol=0, atol=0)


def test_drawing_leaves_the_global_generators_alone():
    x = images()
    layer = layers.RandomErasing(value_range=(0, 1))
    before, python = torch.get_rng_state(), random.getstate()
    layer(x)

    assert torch.equal(torch.get_rng_state(), before)
    assert random.getstate() == python


@every_layer
def test_large_batches_changed_in_parts_are_changed_alike(name, monkeypatch):
    x = images(7, torch.uint8)
    kwargs = {"value_range": (0, 255)} if "value_range" in MAKERS[name]() else {}
    monkeypatch.setattr(base, "_CACHED", 10**9)
    whole = make(name, seed=3, **kwargs)(x)
    monkeypatch.setattr(base, "_CACHED", 2 * 3 * 13 * 16)

    assert_close(make(name, seed=3, **kwargs)(x), whole, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["RandomRotation", "RandomContrast", "RandomCrop", "RandAugment"])
def test_gradients_pass_through(name):
    x = images().requires_grad_()

    make(name, seed=1)(x).sum().backward()

    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("name", ["RandomFlip", "RandomCrop", "RandAugment", "RandomChoice"])
def test_compiled_layers_draw_the_same(name):
    eager, other = make(name, seed=1), make(name, seed=1)
    compiled = torch.compile(other, backend="eager")
    x = images()

    for _ in range(3):
        assert_close(compiled(x), eager(x), rtol=0, atol=1e-6)
    torch._dynamo.reset()


@every_layer
def test_evaluation_compiles_into_one_graph(name):
    layer, x = make(name).eval(), images()
    expected = layer(x)
    compiled = torch.compile(layer, backend="eager", fullgraph=True)

    # Compiled windows are computed all at once, by matrices.
    assert_close(compiled(x), expected, rtol=0, atol=1e-4)
    torch._dynamo.reset()
