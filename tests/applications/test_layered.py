"""Networks that only Keras has: sizes, Keras's own files, and numbers equal to Keras's."""

import inspect

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import kerasish
from kerasish import applications
from kerasish.applications import catalogue
from kerasish.applications.keras_files import layers_as_keras

# Keras writes files in a way that NumPy will drop.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SMALL = {
    "MobileNet": (32, {"alpha": 0.25, "depth_multiplier": 2}),
    "ResNet50V2": (32, {}),
    "Xception": (71, {}),
}
LAYERED = sorted(catalogue.LAYERED)


def shape_of(side, channels=3):
    is_last = kerasish.config.image_data_format() == "channels_last"
    return (side, side, channels) if is_last else (channels, side, side)


def images(side, rows=2):
    return np.random.default_rng(0).uniform(-1, 1, (rows, side, side, 3)).astype("float32")


def arranged(x):
    return x if kerasish.config.image_data_format() == "channels_last" else x.transpose(0, 3, 1, 2)


def theirs(name, **kwargs):
    """Keras's network of that name, with numbers that tell every weight from the others."""
    keras = pytest.importorskip("keras")
    keras.backend.clear_session()
    side, options = SMALL[name]
    given = {"classes": 3, "weights": None, "input_shape": (side, side, 3), **options, **kwargs}
    model = getattr(keras.applications, name)(**given)
    random = np.random.default_rng(1)
    for weight in model.weights:
        lows = {"gamma": 0.5, "moving_variance": 0.5, "beta": -0.1, "moving_mean": -0.1}
        low = lows.get(weight.name)
        if low is not None:
            weight.assign(random.uniform(low, low + 0.5, weight.shape))
    return model


def ours(name, **kwargs):
    side, options = SMALL[name]
    given = {"classes": 3, "weights": None, "input_shape": shape_of(side), **options, **kwargs}
    return applications.get(name)(**given)


def write_older_file(model, path):
    h5py = pytest.importorskip("h5py")
    form = pytest.importorskip("keras.src.legacy.saving.legacy_h5_format")
    with h5py.File(path, "w") as file:
        form.save_weights_to_hdf5_group(file, model)


# Keras's networks


@pytest.mark.parametrize("name", sorted(SMALL))
def test_keras_files_give_keras_numbers_in_both_formats(name, tmp_path):
    pytest.importorskip("h5py")
    model = theirs(name)
    x = images(SMALL[name][0])
    want = np.asarray(model.predict(x, verbose=0))
    model.save_weights(tmp_path / "w.weights.h5")
    write_older_file(model, tmp_path / "old.h5")

    for form, file in [("channels_first", "w.weights.h5"), ("channels_last", "old.h5")]:
        kerasish.config.set_image_data_format(form)
        mine = ours(name, weights=tmp_path / file)
        assert_close(mine.predict(arranged(x), verbose=0), want, rtol=1e-4, atol=1e-5)


def test_a_whole_saved_model_of_keras_serves_as_weights(tmp_path):
    pytest.importorskip("h5py")
    model = theirs("MobileNet")
    model.save(tmp_path / "m.keras")

    mine = ours("MobileNet", weights=tmp_path / "m.keras")

    x = images(32)
    assert_close(
        mine.predict(arranged(x), verbose=0), model.predict(x, verbose=0), atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("form", ["weights.h5", "h5"])
def test_the_head_is_new_where_the_file_has_other_classes_or_none(form, tmp_path):
    path = tmp_path / f"w.{form}"
    for kwargs in ({"classes": 5}, {"include_top": False}):
        model = theirs("MobileNet", **kwargs)
        model.save_weights(path) if form == "weights.h5" else write_older_file(model, path)

        mine = ours("MobileNet", weights=path)
        features = ours("MobileNet", weights=path, include_top=False, pooling="avg")

        kernel = model.get_layer("conv_pw_13").get_weights()[0]
        assert mine.output_shape == (None, 3)
        assert mine.class_names is None
        for each in (mine, features):
            assert_close(each.get_layer("conv_pw_13").get_weights()[0], kernel, rtol=0, atol=0)


@pytest.mark.parametrize("name", LAYERED)
def test_arguments_are_those_of_keras(name):
    keras = pytest.importorskip("keras")
    theirs = inspect.signature(getattr(keras.applications, name)).parameters
    ours = inspect.signature(applications.get(name)).parameters

    assert list(ours)[: len(theirs)] == list(theirs)
    assert {k: p.default for k, p in ours.items() if k in theirs} == {
        k: p.default for k, p in theirs.items()
    }


@pytest.mark.parametrize("name", LAYERED)
def test_whole_networks_have_as_many_parameters_as_published(name):
    with torch.device("meta"):
        model = applications.get(name)(weights=None)
        features = applications.get(name)(weights=None, include_top=False)

    published = applications.get(name).published
    assert model.count_params() == published.parameters
    assert model.output_shape == (None, 1000)
    assert features.output_shape[2:] == (None, None)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_maps_have_kerass_shapes_and_layers_kerass_names(name):
    model = theirs(name, include_top=False)

    mine = ours(name, include_top=False)

    batch, height, width, channels = model.output_shape
    assert mine.output_shape == (batch, channels, height, width)
    named = [layer.name for layer in model.layers]
    pairs = zip(named, [layer.name for layer in layers_as_keras(mine)], strict=True)
    automatic = ("input", "conv2d", "batch_norm", "add", "max_pooling")
    assert all(a == b for a, b in pairs if not a.startswith(automatic))


@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_maps_are_pooled(pooling):
    assert ours("MobileNet", include_top=False, pooling=pooling).output_shape == (None, 256)
