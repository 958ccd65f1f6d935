"""EfficientNet V2 of the sizes B0 to B3: Keras's files, and numbers equal to Keras's."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import kerasish
from kerasish import applications, transfer
from kerasish.applications.keras_files import layers_as_keras
from tests.applications.test_layered import arranged, shape_of, varied, write_older_file

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SIZES = ["B0", "B1", "B2", "B3"]


def theirs(size="B0", **kwargs):
    keras = pytest.importorskip("keras")
    keras.backend.clear_session()
    build = getattr(keras.applications, f"EfficientNetV2{size}")
    return varied(build(**{"weights": None, "input_shape": (32, 32, 3), **kwargs}))


def ours(size="B0", **kwargs):
    given = {"weights": None, "input_shape": shape_of(32), **kwargs}
    return applications.get(f"EfficientNetV2{size}")(**given)


def pixels(channels=3, rows=2):
    shape = (rows, 32, 32, channels)
    return np.random.default_rng(0).uniform(0, 255, shape).astype("float32")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Keras's network, its two kinds of files, and what it predicts."""
    pytest.importorskip("h5py")
    model = theirs(classes=3, classifier_activation=None)
    folder = tmp_path_factory.mktemp("files")
    write_older_file(model, folder / "w.h5")
    model.save_weights(folder / "w.weights.h5")
    names = [(layer.name, bool(layer.weights)) for layer in model.layers]
    return folder, model.predict(pixels(), verbose=0), model.count_params(), names


@pytest.mark.parametrize(
    ("form", "file"), [("channels_first", "w.h5"), ("channels_last", "w.weights.h5")]
)
def test_keras_files_give_keras_numbers_on_raw_pixels(form, file, published):
    folder, want, parameters, names = published
    kerasish.config.set_image_data_format(form)

    model = ours(weights=folder / file, classes=3, classifier_activation=None)

    assert model.count_params() == parameters
    assert_close(model.predict(arranged(pixels()), verbose=0), want, rtol=1e-4, atol=1e-4)
    # Older files tell layers by these places.
    mine = [layer.name for layer in layers_as_keras(model) if layer.own_weights()]
    assert mine[:-1] == [name for name, has_weights in names if has_weights][:-1]


def test_layers_and_the_model_have_kerass_names(published):
    *_, names = published
    model = ours()

    automatic = ("input", "rescaling", "normalization", "predictions", "head")
    mine = [layer.name for layer in layers_as_keras(model)]
    assert [n for n in mine if not n.startswith(automatic)] == [
        name for name, _ in names if not name.startswith(automatic)
    ]
    assert model.name == "efficientnetv2-b0"


@pytest.mark.parametrize("size", SIZES)
def test_sizes_are_those_of_keras(size):
    keras = pytest.importorskip("keras")
    with keras.device("meta"):
        want = getattr(keras.applications, f"EfficientNetV2{size}")(weights=None)
    with torch.device("meta"):
        model = applications.get(f"EfficientNetV2{size}")(weights=None)

    assert model.count_params() == want.count_params()
    assert model.input_shape == (None, want.input_shape[-1], *want.input_shape[1:3])
    rates = {layer.name: layer.rate for layer in want.layers if hasattr(layer, "rate")}
    assert {layer.name: layer.rate for layer in model.layers if hasattr(layer, "rate")} == rates


def test_preprocessing_is_inside_unless_told_otherwise():
    raw = pixels().transpose(0, 3, 1, 2)
    inside, outside = ours(classes=3), ours(classes=3, include_preprocessing=False)
    outside.set_weights(inside.get_weights())

    mean, std = (np.reshape(v, (3, 1, 1)) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    ready = ((raw / 255 - mean) / std).astype("float32")
    want = inside.predict(raw, verbose=0)

    assert_close(outside.predict(ready, verbose=0), want, rtol=1e-4, atol=1e-5)
    assert applications.EfficientNetV2B0.preprocess_input(raw) is raw
    as_bytes = raw.astype("uint8")
    want = inside.predict(as_bytes.astype("float32"), verbose=0)
    for model in (inside, outside):
        assert_close(model.predict(as_bytes, verbose=0), want, rtol=1e-4, atol=1e-5)


def test_grey_images_are_seen_as_keras_sees_them(tmp_path):
    model = theirs(input_shape=(32, 32, 1), classes=3, classifier_activation=None)

    mine = ours(input_shape=(1, 32, 32), classes=3, classifier_activation=None)
    for layer, other in zip(
        [layer for layer in layers_as_keras(mine) if layer.own_weights()],
        [layer for layer in model.layers if layer.weights],
        strict=True,
    ):
        layer.set_weights(other.get_weights())

    x = pixels(channels=1)
    want = model.predict(x, verbose=0)
    assert_close(mine.predict(arranged(x), verbose=0), want, rtol=1e-4, atol=1e-4)


def test_stages_are_those_of_the_network_and_freeze():
    model = ours(classes=3)
    features = ours(include_top=False, pooling="avg")

    names = [stage.name for stage in model.stages()]
    blocks = [f"block{number}" for number in range(1, 7)]
    assert names == ["stem_conv", *blocks, "top_conv", "head"]
    assert (model.freeze_point, features.freeze_point) == ("top_conv", "top_conv")
    model.freeze()
    model.unfreeze(last=3)
    assert [s.name for s in model.stages() if s.trainable] == ["block6", "top_conv", "head"]
    assert features.output_shape == (None, 1280)


def test_it_trains_saves_and_comes_back(tmp_path):
    model = transfer.TransferModel(
        "EfficientNetV2B0", classes=["a", "b"], weights=None, input_shape=(3, 32, 32)
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = torch.from_numpy(pixels().transpose(0, 3, 1, 2)), torch.tensor([0, 1])

    model.fit(x, y, epochs=1, verbose=0)
    model.save(tmp_path / "m.kerasish")
    again = kerasish.load_model(tmp_path / "m.kerasish")

    assert_close(again.predict(x, verbose=0), model.predict(x, verbose=0), rtol=0, atol=0)
    assert again.class_names == ["a", "b"]


def test_files_of_the_model_serve_in_the_other_image_format(tmp_path):
    kerasish.config.set_image_data_format("channels_last")
    model = ours(classes=3)
    model.save(tmp_path / "m.kerasish")
    kerasish.config.set_image_data_format("channels_first")

    again = kerasish.load_model(tmp_path / "m.kerasish")

    assert_close(again.predict(pixels(), verbose=0), model.predict(pixels(), verbose=0))


def test_a_twin_of_plain_torch_gives_the_same():
    model = ours(classes=3).eval()
    x = torch.from_numpy(arranged(pixels()))

    assert_close(model.to_torch().eval()(x), model(x))
