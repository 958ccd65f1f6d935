"""ConvNeXt of the size XLarge: Keras's files, and numbers equal to Keras's."""

import hashlib

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import kerasish
from kerasish import applications
from kerasish.applications import keras_convnext
from kerasish.applications.keras_convnext import LayerScale, network
from kerasish.applications.keras_files import layers_as_keras
from tests.applications.test_layered import arranged, shape_of, write_older_file
from tests.loopback import loopback

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

DEPTHS, WIDTHS = (1, 1, 2, 1), (8, 16, 24, 32)


def theirs(**kwargs):
    """Keras's network in small, with numbers that tell every weight from the others."""
    keras = pytest.importorskip("keras")
    build = pytest.importorskip("keras.src.applications.convnext").ConvNeXt
    keras.backend.clear_session()
    given = {"classes": 3, "classifier_activation": None, "input_shape": (32, 32, 3), **kwargs}
    model = build([*DEPTHS], [*WIDTHS], name="convnext_tiny_one", weights=None, **given)
    random = np.random.default_rng(1)
    for weight in model.weights:
        if len(weight.shape) == 1:
            weight.assign(random.uniform(0.5, 1.0, weight.shape))
    return model


def ours(hashes=("", ""), **kwargs):
    small = network("Tiny_One", DEPTHS, WIDTHS, 0, 0.0, hashes)
    given = {"classes": 3, "classifier_activation": None, "input_shape": shape_of(32)}
    return small(**{"weights": None, **given, **kwargs})


def pixels(rows=2):
    return np.random.default_rng(0).uniform(0, 255, (rows, 32, 32, 3)).astype("float32")


@pytest.mark.parametrize("file", ["w.h5", "w.weights.h5"])
@pytest.mark.parametrize("form", ["channels_first", "channels_last"])
def test_keras_files_give_keras_numbers_on_raw_pixels(form, file, tmp_path):
    pytest.importorskip("h5py")
    model = theirs()
    if file == "w.h5":
        write_older_file(model, tmp_path / file)
    else:
        model.save_weights(tmp_path / file)
    kerasish.config.set_image_data_format(form)

    mine = ours(weights=tmp_path / file)

    assert mine.count_params() == model.count_params()
    want = model.predict(pixels(), verbose=0)
    assert_close(mine.predict(arranged(pixels()), verbose=0), want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pooling", [None, "avg", "max"])
def test_features_without_a_top_are_normalised_as_in_keras(pooling, tmp_path):
    pytest.importorskip("h5py")
    model = theirs(include_top=False, pooling=pooling)
    model.save_weights(tmp_path / "w.weights.h5")

    mine = ours(include_top=False, pooling=pooling, weights=tmp_path / "w.weights.h5")

    want = model.predict(pixels(), verbose=0)
    want = want if pooling else want.transpose(0, 3, 1, 2)
    assert_close(mine.predict(arranged(pixels()), verbose=0), want, rtol=1e-4, atol=1e-4)


def test_a_file_without_a_top_serves_a_network_with_one_and_the_other_way_round(tmp_path):
    pytest.importorskip("h5py")
    bare, whole = theirs(include_top=False), theirs()
    write_older_file(bare, tmp_path / "bare.h5")
    write_older_file(whole, tmp_path / "whole.h5")

    for model, mine in (
        (bare, ours(weights=tmp_path / "bare.h5", classes=5)),
        (whole, ours(weights=tmp_path / "whole.h5", include_top=False)),
    ):
        kept = [layer for layer in layers_as_keras(mine) if layer.weights and layer.name != "head"]
        for layer, other in zip(kept, [o for o in model.layers if o.weights], strict=False):
            assert_close(layer.get_weights(), other.get_weights(), rtol=0, atol=0)


def test_layers_have_kerass_names():
    model, mine = theirs(), ours()

    other = ("input", "convnext_tiny_one_head_dense", "head")
    names = [layer.name for layer in layers_as_keras(mine)]
    assert [n for n in names if not n.startswith(other)] == [
        layer.name
        for layer in model.layers
        if not layer.name.startswith(other) and not layer.name.endswith("_identity")
    ]


def test_xlarge_is_as_large_as_kerass():
    keras = pytest.importorskip("keras")
    for include_top in (True, False):
        with keras.device("meta"):
            want = keras.applications.ConvNeXtXLarge(weights=None, include_top=include_top)
        with torch.device("meta"):
            model = applications.ConvNeXtXLarge(weights=None, include_top=include_top)

        assert model.count_params() == want.count_params()
        assert model.name == want.name == "convnext_xlarge"
    assert model.output_shape == (None, 2048, None, None)


def test_preprocessing_is_inside_unless_told_otherwise():
    raw = arranged(pixels())
    inside, outside = ours(), ours(include_preprocessing=False)
    outside.set_weights(inside.get_weights())
    mean, std = (np.reshape(v, (3, 1, 1)) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))

    want = inside.predict(raw, verbose=0)

    ready = ((raw / 255 - mean) / std).astype("float32")
    assert_close(outside.predict(ready, verbose=0), want, rtol=1e-4, atol=1e-5)
    assert ours(input_shape=(1, 32, 32))(torch.rand(2, 1, 32, 32)).shape == (2, 3)


def test_downloads_are_checked_by_their_hash(tmp_path, monkeypatch):
    pytest.importorskip("h5py")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "none"))
    theirs(include_top=False).save_weights(tmp_path / "w.weights.h5")
    contents = (tmp_path / "w.weights.h5").read_bytes()
    digits = hashlib.sha256(contents).hexdigest()
    with loopback() as web:
        monkeypatch.setattr(keras_convnext, "_FOLDER", web.url(""))
        web.files["convnext_tiny_one_notop.h5"] = contents

        with pytest.raises(ValueError, match=r"sha256 0{64} was expected"):
            ours(weights="imagenet", hashes=("0" * 64, "0" * 64))
        assert not [*(tmp_path / "hub").rglob("*.h5")]
        model = ours(weights="imagenet", hashes=("0" * 64, digits))

    assert [path.name for path in (tmp_path / "hub").rglob("*.h5")] == [*web.files]
    assert model.get_layer("convnext_tiny_one_stage_0_block_0_layer_scale").gamma.min() > 0.4


@pytest.mark.parametrize("form", ["channels_first", "channels_last"])
def test_a_twin_of_plain_torch_gives_the_same(form):
    kerasish.config.set_image_data_format(form)
    model = ours().eval()
    x = torch.from_numpy(arranged(pixels()))

    twin = model.to_torch().eval()

    assert_close(twin(x), model(x))
    assert not any(type(m).__module__.startswith("kerasish") for m in twin.modules())


def test_stages_are_those_of_the_network_and_freeze():
    model = ours()

    stem, *names, head = [stage.name.removeprefix("convnext_tiny_one_") for stage in model.stages()]
    assert (stem, head) == ("stem_conv", "head")
    assert names[::2] == [f"stage_{n}" for n in range(4)]
    assert names[1::2] == [f"downsampling_{n}" for n in range(3)]
    model.freeze()
    model.unfreeze(last=2)
    thawed = [s.name for s in model.stages() if s.trainable]
    assert thawed == ["convnext_tiny_one_stage_3", "head"]


def test_it_trains_saves_and_comes_back(tmp_path):
    model = ours(classifier_activation="softmax")
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, y = torch.from_numpy(arranged(pixels())), torch.tensor([0, 1])

    model.fit(x, y, epochs=1, verbose=0)
    model.save(tmp_path / "m.kerasish")
    again = kerasish.load_model(tmp_path / "m.kerasish")

    assert_close(again.predict(x, verbose=0), model.predict(x, verbose=0), rtol=0, atol=0)


def test_layer_scale_multiplies_channels():
    layer = LayerScale(0.5)

    assert_close(layer(torch.ones(2, 4, 3)), torch.full((2, 4, 3), 0.5))
    assert [weight.shape for weight in layer.weights] == [(3,)]
