"""Views that show parts of images: crops at one and at several scales, mirror images."""

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv
from torch import nn
from torch.testing import assert_close

import kerasish
from kerasish import layers, tta


def images(rows=5, height=11, width=13, channels=3):
    return np.random.default_rng(0).random((rows, channels, height, width)).astype("float32")


def network(size=8, activation="softmax", format=None):
    shape = (size, size, 3) if format == "channels_last" else (3, size, size)
    return kerasish.Sequential(
        [
            layers.Input(shape),
            layers.Conv2D(4, 3, activation="relu", data_format=format),
            layers.Flatten(),
            layers.Dense(3, activation=activation),
        ]
    )


def mean_network():
    """A network that sees no more of an image than its mean colour."""
    return kerasish.Sequential(
        [layers.Input((3, 8, 8)), layers.GlobalAveragePooling2D(), layers.Dense(4)]
    )


# Ten crops


def hand_made_crops(x, size):
    """Torchvision's five crops, and the mirror images of them."""
    five = tv.five_crop(torch.as_tensor(x), [size, size])
    return [*five, *(crop.flip(-1) for crop in five)]


def test_ten_crop_averages_ten_predictions_made_by_hand():
    model, x = network(), images()

    averaged = model.predict(x, batch_size=2, verbose=0, tta="ten_crop")

    by_hand = [model.predict(crop, verbose=0) for crop in hand_made_crops(x, 8)]
    assert_close(averaged, np.mean(by_hand, axis=0), rtol=1e-5, atol=1e-6)
    assert np.ptp(by_hand, axis=0).max() > 1e-3


def test_ten_crop_shows_torchvisions_crops_when_sizes_are_odd():
    views = list(tta.TenCrop((4, 6)).views(torch.as_tensor(images(2, 9, 9)), torch.arange(2)))

    five = tv.five_crop(torch.as_tensor(images(2, 9, 9)), [4, 6])
    for view, crop in zip(views, [*five, *(c.flip(-1) for c in five)], strict=True):
        assert torch.equal(view, crop)


def test_evaluate_sees_the_averaged_predictions():
    model, x = network(), images(7)
    y = np.array([0, 1, 2, 0, 1, 2, 0])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])

    loss, accuracy = model.evaluate(x, y, batch_size=3, verbose=0, tta="ten_crop")

    p = model.predict(x, verbose=0, tta=tta.TenCrop())
    assert loss == pytest.approx(-np.log(p[np.arange(7), y]).mean(), rel=1e-5)
    assert accuracy == pytest.approx((p.argmax(1) == y).mean())


def test_a_crop_invariant_model_gives_what_one_crop_gives():
    model = mean_network()
    x = np.ones((4, 3, 20, 16), "float32") * np.arange(1, 5).reshape(4, 1, 1, 1)

    for name in ("ten_crop", "multi_scale_ten_crop"):
        averaged = model.predict(x, verbose=0, tta=name)

        assert_close(averaged, model.predict(x[..., :8, :8], verbose=0), rtol=1e-5, atol=1e-5)


def test_crops_keep_channels_last_images_as_they_are():
    model, x = network(format="channels_last"), images().transpose(0, 2, 3, 1)

    averaged = model.predict(x, verbose=0, tta="ten_crop")

    crops = [c.permute(0, 2, 3, 1) for c in hand_made_crops(x.transpose(0, 3, 1, 2), 8)]
    by_hand = [model.predict(crop, verbose=0) for crop in crops]
    assert_close(averaged, np.mean(by_hand, axis=0), rtol=1e-5, atol=1e-6)


def test_crops_of_bytes_are_crops_of_numbers():
    model, x = network(activation=None), (images() * 255).astype("uint8")

    from_bytes = model.predict(x, verbose=0, tta="ten_crop")

    from_floats = model.predict(x.astype("float32"), verbose=0, tta="ten_crop")
    assert_close(from_bytes, from_floats)


def test_crops_of_a_torch_module_need_a_size():
    model = kerasish.Model(nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2)))
    x = images()

    with pytest.raises(ValueError, match="does not say which size"):
        model.predict(x, verbose=0, tta="ten_crop")
    averaged = model.predict(x, verbose=0, tta=tta.TenCrop(8))

    by_hand = [model.predict(crop, verbose=0) for crop in hand_made_crops(x, 8)]
    assert_close(averaged, np.mean(by_hand, axis=0), rtol=1e-5, atol=1e-6)


def test_other_inputs_are_shown_as_they_are():
    image, number = layers.Input((3, 8, 8), name="image"), layers.Input((2,), name="number")
    parts = [layers.Flatten()(image), number]
    model = kerasish.Model([image, number], layers.Dense(2)(layers.Concatenate()(parts)))
    x, numbers = images(), np.ones((5, 2), "float32")

    averaged = model.predict([x, numbers], verbose=0, tta="ten_crop")

    by_hand = [model.predict([c, numbers], verbose=0) for c in hand_made_crops(x, 8)]
    assert_close(averaged, np.mean(by_hand, axis=0), rtol=1e-5, atol=1e-6)


def test_images_smaller_than_the_crops_are_refused():
    with pytest.raises(ValueError, match="images of 7×13 have no crops of 8×8"):
        network().predict(images(height=7), verbose=0, tta="ten_crop")


def test_images_as_large_as_the_crops_bring_a_warning():
    with pytest.warns(UserWarning, match="all five are the same"):
        network().predict(images(2, 8, 8), verbose=0, tta="ten_crop")


@pytest.mark.parametrize("size", [0, (8, 8, 8), "8", (8, -1)])
def test_impossible_sizes_are_refused(size):
    with pytest.raises((ValueError, TypeError), match="`size` must be"):
        tta.TenCrop(size)


def test_vectors_have_no_crops():
    model = kerasish.Sequential([layers.Input((4,)), layers.Dense(2)])

    with pytest.raises(ValueError, match="expected images of 4 axes"):
        model.predict(np.ones((3, 4), "float32"), verbose=0, tta="flips")


# Scales


def test_multi_scale_ten_crop_averages_crops_at_every_scale():
    model, x = network(), images(3, 10, 14)

    averaged = model.predict(x, verbose=0, tta=tta.MultiScaleTenCrop(scales=(8, 12)))

    by_hand = []
    for scale in (8, 12):
        resized = tv.resize(torch.as_tensor(x), [scale], antialias=True)
        by_hand += [model.predict(crop, verbose=0) for crop in hand_made_crops(resized, 8)]
    assert len(by_hand) == 20
    assert_close(averaged, np.mean(by_hand, axis=0), rtol=1e-5, atol=1e-6)


def test_default_scales_are_resnets_for_crops_of_224_and_in_proportion_for_others():
    bound = tta.MultiScaleTenCrop(224).for_model(network())
    small = tta.MultiScaleTenCrop().for_model(network(size=56))

    assert bound.scales == (224, 256, 384, 480, 640)
    assert small.scales == (56, 64, 96, 120, 160)


def test_multi_scale_ten_crop_has_fifty_views():
    views = tta.MultiScaleTenCrop().for_model(network())

    shown = list(views.views(torch.as_tensor(images(1)), torch.arange(1)))

    assert len(shown) == 50
    assert {view.shape for view in shown} == {(1, 3, 8, 8)}


def test_scales_below_the_crops_are_refused():
    with pytest.raises(ValueError, match="`scales` must be lengths of at least 8"):
        network().predict(images(), verbose=0, tta=tta.MultiScaleTenCrop(scales=(6, 12)))


# Flips


def test_flips_average_an_image_and_its_mirror_image():
    model, x = network(), images(height=8, width=8)

    averaged = model.predict(x, verbose=0, tta="flips")

    pair = [model.predict(x, verbose=0), model.predict(x[..., ::-1].copy(), verbose=0)]
    assert_close(averaged, np.mean(pair, axis=0), rtol=1e-5, atol=1e-6)


def test_flips_of_a_symmetric_model_change_nothing():
    model, x = mean_network(), images(height=8, width=8)

    averaged = model.predict(x, verbose=0, tta=tta.Flips("horizontal_and_vertical"))

    assert_close(averaged, model.predict(x, verbose=0), rtol=1e-5, atol=1e-6)


def test_flips_both_ways_show_four_views():
    x = torch.as_tensor(images(1, 3, 4))

    views = list(tta.Flips("horizontal_and_vertical").views(x, torch.arange(1)))

    assert_close(views, [x, x.flip(-1), x.flip(-2), x.flip(-1, -2)])


def test_unknown_flips_are_refused():
    with pytest.raises(ValueError, match=r"unknown mode 'horizontl' .*did you mean 'horizontal'"):
        tta.Flips("horizontl")


# Raw images of models with preprocessing


def raw_network():
    model = network(activation=None)
    model.preprocessing = kerasish.applications.ImagePreprocessing(
        (8, 8), mean=[0.5] * 3, std=[0.25] * 3, crop_fraction=0.8
    )
    return model


def test_raw_images_are_resized_to_leave_room_for_crops():
    model = raw_network()
    raw = (images(3, 20, 30) * 255).astype("uint8")

    averaged = model.predict(raw, verbose=0, tta="ten_crop")

    # The short side becomes 8 / 0.8 = 10, and the middle of 10 by 10 is what crops are cut from.
    whole = tv.center_crop(tv.resize(torch.as_tensor(raw), [10], antialias=True), [10, 10])
    ready = (whole.float() / 255 - 0.5) / 0.25
    by_hand = [model.predict(crop, verbose=0) for crop in hand_made_crops(ready, 8)]
    assert_close(averaged, np.mean(by_hand, axis=0), rtol=0, atol=0.05)
    assert np.ptp(by_hand, axis=0).max() > 0.1
    assert model.preprocessing.size == (8, 8)


def test_scales_are_made_from_raw_images_as_they_are():
    model = raw_network()
    raw = (images(3, 20, 30) * 255).astype("uint8")
    model.compile("sgd", "mse")

    views = tta.MultiScaleTenCrop(scales=(8, 16))
    averaged = model.predict(raw, verbose=0, tta=views)
    loss = model.evaluate(raw, averaged, verbose=0, tta=views)

    by_hand = []
    for scale in (8, 16):
        ready = (
            tv.resize(torch.as_tensor(raw), [scale], antialias=True).float() / 255 - 0.5
        ) / 0.25
        by_hand += [model.predict(crop, verbose=0) for crop in hand_made_crops(ready, 8)]
    assert_close(averaged, np.mean(by_hand, axis=0), rtol=0, atol=0.05)
    assert loss == pytest.approx(0, abs=1e-10)


def test_preprocessing_comes_back_when_prediction_fails():
    model = raw_network()
    own = model.preprocessing

    with pytest.raises(ValueError, match="no crops"):
        model.predict(images(2, 7, 7), verbose=0, tta="ten_crop")

    assert model.preprocessing is own


# Maps


@pytest.mark.parametrize("format", ["channels_first", "channels_last"])
@pytest.mark.parametrize("mode", ["horizontal", "vertical", "horizontal_and_vertical"])
def test_maps_are_mirrored_back_before_they_are_averaged(mode, format):
    shape = (6, 5, 3) if format == "channels_last" else (3, 6, 5)
    convolution = layers.Conv2D(2, 3, padding="same", data_format=format)
    model = kerasish.Sequential([layers.Input(shape), convolution])
    x = np.random.default_rng(0).random((2, *shape)).astype("float32")
    height = 1 if format == "channels_last" else 2
    axes = {"horizontal": [height + 1], "vertical": [height]}.get(mode)

    averaged = model.predict(x, verbose=0, tta=tta.Flips(mode))

    every = [[], axes] if axes else [[], [height + 1], [height], [height, height + 1]]
    by_hand = [np.flip(model.predict(np.flip(x, a).copy(), verbose=0), a) for a in every]
    assert_close(averaged, np.mean(by_hand, axis=0), rtol=1e-5, atol=1e-6)


def test_maps_of_crops_have_no_mean():
    model = kerasish.Sequential([layers.Input((3, 8, 8)), layers.Conv2D(2, 3)])
    pooled = kerasish.Sequential(
        [layers.Input((3, 8, 8)), layers.GlobalAveragePooling2D(keepdims=True)]
    )

    with pytest.raises(ValueError, match=r"TenCrop: the model gives maps of \(5, 2, 6, 6\)"):
        model.predict(images(), verbose=0, tta="ten_crop")
    assert pooled.predict(images(), verbose=0, tta="ten_crop").shape == (5, 3, 1, 1)


# Arguments of a wrong kind


def test_sizes_may_be_numpys_and_must_be_lengths():
    assert tta.TenCrop(np.int64(8)).size == (8, 8)
    for size in (8.0, "8", (8,), 0, True):
        with pytest.raises(ValueError, match="TenCrop: `size` must be a positive number"):
            tta.TenCrop(size)
    for scales in (8, [9.5], "9"):
        with pytest.raises(ValueError, match="`scales` must be a list of lengths"):
            tta.MultiScaleTenCrop(8, scales)
    with pytest.raises(ValueError, match="Flips: unknown mode list"):
        tta.Flips(["horizontal"])
