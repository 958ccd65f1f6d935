"""Pipelines, lots, foreign transforms, recipes and previews."""

import json

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import kerasish
from kerasish import layers
from kerasish.layers.augmentation import (
    cifar_recipe,
    preview,
    resnet_recipe,
    sample_context,
)
from kerasish.layers.augmentation.foreign_config import make_transform, transform_config
from kerasish.registry import deserialize, serialize


def images(count=8):
    return torch.rand(count, 3, 12, 14)


def torchvision():
    return pytest.importorskip("torchvision.transforms.v2")


def test_pipeline_is_its_layers_in_order():
    x = images()
    pipeline = layers.Pipeline([layers.RandomFlip(seed=1), layers.RandomCrop(8, 8, seed=2)])

    expected = layers.RandomCrop(8, 8, seed=2)(layers.RandomFlip(seed=1)(x))

    assert_close(pipeline(x), expected, rtol=0, atol=0)


def test_seed_of_a_pipeline_reaches_layers_without_one():
    def make(seed):
        inner = layers.RandomApply(layers.RandomRotation(0.3))
        return layers.Pipeline([layers.RandomFlip(), layers.RandomFlip(), inner], seed=seed)

    x = images()
    first, again, other = make(3), make(3), make(4)

    assert_close(first(x), again(x), rtol=0, atol=0)
    assert not torch.equal(first(x), other(x))
    # Two layers alike draw differently.
    assert first.layers[0].seeds.state[0] != first.layers[1].seeds.state[0]


def test_pipeline_is_inert_outside_training_and_made_again_from_its_config():
    x = images()
    pipeline = layers.Pipeline([layers.RandomFlip(), layers.RandomHue(0.1, (0, 1))], seed=5)
    again = deserialize(serialize(pipeline))

    assert_close(again(x), pipeline(x), rtol=0, atol=0)
    assert pipeline(x, training=False) is x


def test_pipeline_is_a_layer_of_a_model():
    inputs = layers.Input((3, 12, 14))
    pipeline = layers.Pipeline([layers.RandomCrop(8, 8), layers.RandomFlip()])
    outputs = layers.Dense(2)(layers.Flatten()(pipeline(inputs)))
    model = kerasish.Model(inputs, outputs)
    model.compile(optimizer="sgd", loss="mse")

    history = model.fit(images(), torch.zeros(8, 2), epochs=2, batch_size=4, verbose=0)

    assert len(history.history["loss"]) == 2


def test_random_apply_changes_as_many_as_asked():
    x = images(1).expand(2000, -1, -1, -1)
    half = layers.RandomApply(layers.RandomInvert((1.0, 1.0), (0, 1)), rate=0.3, seed=1)

    changed = (half(x) != x).flatten(1).any(1)

    assert abs(float(changed.float().mean()) - 0.3) < 0.04
    assert_close(half(x)[~(half(x) != x).flatten(1).any(1)][:1], x[:1])


def test_random_choice_sends_each_image_one_way():
    x = torch.full((3000, 1, 2, 2), 0.5)
    add = [layers.RandomBrightness((n / 10, n / 10), (0, 1)) for n in (1, 2, 3)]
    choice = layers.RandomChoice(add, probabilities=[2, 1, 1], seed=1)

    values, counts = (choice(x)[:, 0, 0, 0] * 10).round().unique(return_counts=True)

    assert values.tolist() == [6, 7, 8]
    assert_close(counts / 3000, torch.tensor([0.5, 0.25, 0.25]), rtol=0, atol=0.04)


def test_samples_sent_by_lot_see_what_they_would_see_alone():
    def make():
        return layers.RandomChoice([layers.RandomRotation(0.2), layers.RandomZoom(0.3)], seed=2)

    x = images()
    with sample_context(range(8), 1):
        whole = make()(x)
    for i in range(8):
        with sample_context(i, 1):
            assert_close(make()(x[i]), whole[i], rtol=0, atol=1e-6)


def test_labels_go_along_by_lot():
    x, y = images(), torch.arange(8)

    moved, labels = layers.RandomApply(layers.RandomFlip(), seed=1)((x, y))

    assert moved.shape == x.shape
    assert_close(labels, y)


def test_layers_by_lot_must_keep_the_size():
    with pytest.raises(ValueError, match="changed the shape of some samples"):
        layers.RandomApply(layers.RandomCrop(4, 4), seed=1)(images())


def test_choice_needs_a_probability_for_each_layer():
    with pytest.raises(ValueError, match="as many probabilities"):
        layers.RandomChoice([layers.RandomFlip()], [0.5, 0.5])


@pytest.mark.parametrize("count", [1, 8])
def test_random_torchvision_transform_is_repeatable_and_inert_outside_training(count):
    v2 = torchvision()
    x = images(count)

    def make():
        return layers.Pipeline([v2.RandomAffine(30), v2.ColorJitter(0.3)], seed=1)

    with sample_context(range(count), 2):
        whole = make()(x)
    with sample_context(count - 1, 2):
        last = make()(x[-1])

    assert not torch.equal(whole, x)
    assert_close(last, whole[-1], rtol=0, atol=1e-6)
    assert make()(x, training=False) is x


def test_torchvision_transform_leaves_the_global_generator_alone():
    v2 = torchvision()
    x = images()
    before = torch.get_rng_state()
    layers.Pipeline([v2.RandomHorizontalFlip()])(x)

    assert torch.equal(torch.get_rng_state(), before)


def test_fixed_torchvision_transforms_act_outside_training_too():
    v2 = torchvision()
    pipeline = layers.Pipeline([v2.Resize([6, 6]), v2.Normalize([0.5] * 3, [0.5] * 3)])
    x = images()

    y = pipeline(x, training=False)

    assert_close(y, v2.functional.normalize(v2.functional.resize(x, [6, 6]), [0.5] * 3, [0.5] * 3))
    assert_close(pipeline(x), y)


def test_torchvision_transform_in_a_pipeline_takes_channels_last():
    v2 = torchvision()
    flip = layers.TorchTransform(v2.RandomHorizontalFlip(1.0), data_format="channels_last")
    x = torch.rand(2, 5, 7, 3)

    assert_close(flip(x), x.flip(2))


def test_functions_and_modules_are_layers_of_a_pipeline():
    pipeline = layers.Pipeline([lambda x: x * 2, nn.ReLU()])
    x = images() - 0.5

    assert_close(pipeline(x), (2 * x).relu())


def test_what_cannot_be_called_is_no_layer():
    with pytest.raises(TypeError, match="Expected a layer, a torchvision transform"):
        layers.Pipeline([3])


def test_recipe_of_resnet_is_short_side_window_mirror_and_colors():
    recipe = resnet_recipe(seed=1)

    assert [type(layer).__name__ for layer in recipe.layers] == [
        "RandomShortSide",
        "RandomFlip",
        "PCAColorJitter",
    ]
    x = torch.randint(0, 256, (2, 3, 240, 300), dtype=torch.uint8)
    assert recipe(x).shape == (2, 3, 224, 224)
    assert recipe(x).dtype == torch.uint8


def test_recipe_of_small_images_keeps_their_size():
    assert cifar_recipe(12, 2, seed=1)(torch.rand(4, 3, 12, 12)).shape == (4, 3, 12, 12)


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_preview_saves_a_picture_and_changes_nothing(tmp_path, data_format):
    pytest.importorskip("matplotlib")
    x = images(5) if data_format == "channels_first" else images(5).movedim(1, -1)
    flip = layers.RandomFlip(data_format=data_format)
    pipeline = layers.Pipeline([flip, layers.RandomRotation(0.1, data_format=data_format)])
    states = [layer.seeds.state for layer in pipeline.layers]
    pipeline.eval()

    figure = pipeline.preview(x, tmp_path / "pictures" / "preview.png", variants=3, rows=2)

    assert (tmp_path / "pictures" / "preview.png").read_bytes()[:4] == b"\x89PNG"
    assert len(figure.axes) == 2 * 4
    shown = figure.axes[0].images[0].get_array()
    first = x[0] if data_format == "channels_last" else x[0].movedim(0, -1)
    assert_close(torch.as_tensor(shown), first)
    assert not pipeline.training
    assert [layer.seeds.state for layer in pipeline.layers] == states


def test_preview_takes_images_one_by_one_from_a_data_set():
    pytest.importorskip("matplotlib")
    x = images(3)
    figure = layers.RandomFlip().preview([x[0], x[2].numpy()], variants=1)
    shown = figure.axes[2].images[0].get_array()
    assert_close(torch.as_tensor(shown), x[2].movedim(0, -1))


def test_preview_wants_a_batch():
    with pytest.raises(ValueError, match="batch of images"):
        preview(layers.RandomFlip(), torch.rand(3, 4, 4))


def test_plain_torch_twin_of_a_model_has_no_augmentation():
    inputs = layers.Input((3, 12, 14))
    x = layers.RandomApply(layers.RandomZoom(0.1))(layers.RandomFlip()(inputs))
    model = kerasish.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    model.eval()

    twin = model.to_torch().eval()

    x = images()
    assert_close(twin(x), model(x))


def test_model_with_augmentation_is_saved_and_loaded(tmp_path):
    inputs = layers.Input((3, 12, 14))
    policy = layers.Pipeline([layers.RandAugment((0, 1)), layers.PCAColorJitter(0.2, (0, 1))])
    policy.layers[1].adapt(images())
    model = kerasish.Model(inputs, layers.Dense(2)(layers.Flatten()(policy(inputs))))
    model.save(tmp_path / "model.kerasish")

    again = kerasish.models.load_model(tmp_path / "model.kerasish")

    x = images()
    assert_close(again(x, training=False), model(x, training=False))
    for (key, a), (other, b) in zip(
        model.state_dict().items(), again.state_dict().items(), strict=True
    ):
        assert key == other
        assert_close(a, b, rtol=0, atol=0)


def moves():
    turn, zoom = layers.RandomRotation(0.2, seed=1), layers.RandomZoom(0.3, seed=2)
    return [layers.RandomFlip(seed=9), turn, zoom, layers.RandomShear(0.2, seed=3)]


def test_neighbouring_moves_are_one_interpolation(monkeypatch):
    from torch.nn import functional

    calls = []
    real = functional.grid_sample
    monkeypatch.setattr(functional, "grid_sample", lambda *a, **k: calls.append(1) or real(*a, **k))
    pipeline = layers.Pipeline(moves())

    pipeline(images())

    assert len(calls) == 1
    assert len(list(pipeline.sublayers())) == 4


def test_joined_moves_show_what_the_moves_show_one_after_the_other():
    # Smooth pictures, which one interpolation more or less hardly changes.
    x = torch.nn.functional.interpolate(torch.rand(8, 3, 5, 6), (60, 72), mode="bicubic")

    joined = layers.Pipeline(moves())(x)
    apart = layers.Pipeline(moves(), join=False)(x)

    inside = (joined - apart)[..., 15:-15, 15:-15].abs()
    assert float(inside.mean()) < 0.03
    assert float(inside.quantile(0.9)) < 0.08


def test_joined_moves_keep_to_seed_and_sample():
    x = images()
    with sample_context(range(8), 4):
        whole = layers.Pipeline(moves())(x)
    pipeline = layers.Pipeline(moves())
    pipeline(x)
    with sample_context([6, 7], 4):
        assert_close(pipeline(x[6:]), whole[6:], rtol=0, atol=1e-5)


def test_moves_that_fill_differently_are_not_joined():
    one = layers.RandomRotation(0.2, fill_mode="constant", seed=1)
    pipeline = layers.Pipeline([one, layers.RandomZoom(0.2, seed=2)])
    x = images()

    expected = layers.RandomRotation(0.2, fill_mode="constant", seed=1)(x)

    assert_close(pipeline(x), layers.RandomZoom(0.2, seed=2)(expected), rtol=0, atol=0)


def test_boxes_follow_joined_moves():
    x = torch.zeros(4, 3, 60, 60)
    x[:, :, 25:35, 20:40] = 1
    boxes = torch.tensor([[20.0, 25.0, 40.0, 35.0]]).expand(4, 1, 4)
    same = {"fill_mode": "constant", "bounding_box_format": "xyxy"}
    pipeline = layers.Pipeline(
        [layers.RandomRotation((0.25, 0.25), **same), layers.RandomTranslation(0.1, 0.1, **same)]
    )

    moved = pipeline({"images": x, "bounding_boxes": {"boxes": boxes}})

    for image, box in zip(moved["images"], moved["bounding_boxes"]["boxes"], strict=True):
        rows, columns = (image[0] > 0.5).nonzero().unbind(-1)
        seen = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        assert_close(box[0], seen.float(), rtol=0, atol=1.5)


# Saved


def saved_and_loaded(model, path):
    kerasish.saving.save_model(model, path)
    return kerasish.saving.load_model(path)


def test_pipeline_with_torchvision_transforms_is_saved_and_draws_the_same(tmp_path):
    v2 = torchvision()
    pipeline = layers.Pipeline(
        [
            v2.RandomResizedCrop(12, antialias=True),
            layers.RandomApply([v2.ColorJitter(0.3, hue=0.1)], 0.5),
            v2.Compose([v2.RandomRotation(10), v2.Normalize([0.5] * 3, [0.2] * 3)]),
            layers.RandomFlip(),
        ],
        seed=4,
    )
    model = kerasish.Sequential([layers.Input((3, 16, 16)), pipeline, layers.Flatten()])

    again = saved_and_loaded(model, tmp_path / "m.kerasish").layers[0].train()

    x = torch.rand(3, 3, 16, 16)
    with sample_context(range(3), 2):
        assert torch.equal(again(x), pipeline.train()(x))


@pytest.mark.parametrize(
    "make",
    [
        lambda v2: v2.RandomCrop(4, padding=2, fill=(1, 2, 3)),
        lambda v2: v2.RandomAffine(30, translate=(0.1, 0.2), shear=5),
        lambda v2: v2.RandomApply([v2.GaussianBlur(3)], p=0.2),
        lambda v2: v2.AutoAugment(v2.AutoAugmentPolicy("svhn")),
        lambda v2: v2.RandomErasing(value=0.5),
        lambda v2: v2.ToDtype(torch.float32, scale=True),
    ],
    ids=["crop", "affine", "apply", "policy", "erasing", "dtype"],
)
def test_config_of_a_torchvision_transform_is_plain_and_makes_it_again(make):
    transform = make(pytest.importorskip("torchvision.transforms.v2"))

    config = json.loads(json.dumps(transform_config(transform)))

    assert repr(make_transform(config)).replace("[", "(").replace("]", ")") == repr(
        transform
    ).replace("[", "(").replace("]", ")")


def test_config_that_names_something_else_makes_nothing():
    torchvision()
    for config in (
        {"class": "Lambda", "arguments": {"lambd": "print"}},
        {"class": "functional", "arguments": {}},
        {"class": "Resize", "arguments": {"size": 3, "os": 1}},
        {"class": "Resize", "arguments": {"size": {"class": "system", "arguments": {}}}},
    ):
        with pytest.raises(ValueError, match="The file"):
            make_transform(config)


def test_transform_that_no_file_can_hold_is_a_clear_error():
    v2 = torchvision()

    with pytest.raises(TypeError, match="no transform of torchvision"):
        layers.TorchTransform(v2.Lambda(abs)).get_config()
    with pytest.raises(TypeError, match="has no place in the config of a transform"):
        transform_config(v2.LinearTransformation(torch.eye(3), torch.zeros(3)))
