"""Networks that only Keras has: sizes, Keras's own files, and numbers equal to Keras's."""

import inspect
import re
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import kerasish
from kerasish import applications, layers, transfer
from kerasish.applications import catalogue
from kerasish.applications.inception_resnet_v2 import inception_resnet_v2
from kerasish.applications.keras_files import layers_as_keras
from kerasish.applications.layered import Layered, Published
from kerasish.applications.nasnet import nasnet
from tests.loopback import loopback

# Keras writes files in a way that NumPy will drop.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SMALL = {
    "MobileNet": (32, {"alpha": 0.25, "depth_multiplier": 2}),
    "ResNet50V2": (32, {}),
    "Xception": (71, {}),
}
LARGE = {"InceptionResNetV2", "NASNetLarge", "NASNetMobile", "ResNet101V2", "ResNet152V2"}
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
    return varied(getattr(keras.applications, name)(**given))


def varied(model):
    """Other normalisations than the first, which would hide a mistaken order."""
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


@pytest.mark.parametrize("name", SMALL)
def test_keras_files_give_keras_numbers(name, tmp_path):
    pytest.importorskip("h5py")
    model = theirs(name, classifier_activation=None)
    x = images(SMALL[name][0])
    want = model.predict(x, verbose=0)
    write = {"old.h5": write_older_file, "w.weights.h5": lambda m, path: m.save_weights(path)}

    cases = [("channels_last", "old.h5"), ("channels_first", "w.weights.h5")]
    # The larger ones in one way each; MobileNet shows that both give the same.
    for form, file in {"ResNet50V2": cases[:1], "Xception": cases[1:]}.get(name, cases):
        write[file](model, tmp_path / file)
        kerasish.config.set_image_data_format(form)
        mine = ours(name, weights=tmp_path / file, classifier_activation=None)
        assert_close(mine.predict(arranged(x), verbose=0), want, rtol=1e-4, atol=1e-5)


def test_inception_resnets_blocks_give_keras_numbers(tmp_path, monkeypatch):
    pytest.importorskip("h5py")
    keras = pytest.importorskip("keras")
    keras.backend.clear_session()
    module = pytest.importorskip("keras.src.applications.inception_resnet_v2")
    # One round of each of its loops, which are 39 in all.
    monkeypatch.setattr(module, "range", lambda start, stop: (start,), raising=False)
    given = {"weights": None, "classes": 3, "classifier_activation": None}
    model = varied(module.InceptionResNetV2(input_shape=(75, 75, 3), **given))
    write_older_file(model, tmp_path / "w.h5")
    facts = Published(0, 0.0, size=75, least=75, files=lambda **_: ("", None))
    network = Layered("Tiny", "tiny", partial(inception_resnet_v2, depths=(1, 1, 2)), facts)

    mine = network(weights=tmp_path / "w.h5", classes=3, classifier_activation=None)

    x = images(75)
    assert mine.count_params() == model.count_params()
    assert not mine.training
    want = model.predict(x, verbose=0)
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


@pytest.mark.parametrize("skip_reduction", [True, False])
def test_nasnets_cells_give_keras_numbers(skip_reduction, tmp_path):
    pytest.importorskip("h5py")
    keras = pytest.importorskip("keras")
    keras.backend.clear_session()
    build = pytest.importorskip("keras.src.applications.nasnet").NASNet
    shape = {"penultimate_filters": 96, "num_blocks": 1, "stem_block_filters": 8}
    shape["skip_reduction"] = skip_reduction
    given = {"weights": None, "classes": 3, "default_size": 224, "classifier_activation": None}
    model = varied(build((64, 64, 3), filter_multiplier=2, name="tiny", **given, **shape))
    model.save_weights(tmp_path / "w.weights.h5")
    facts = Published(0, 0.0, size=64, least=32, files=lambda **_: ("", None))
    network = Layered("Tiny", "tiny", partial(nasnet, **shape), facts, fixes_size=True)

    mine = network(weights=tmp_path / "w.weights.h5", classes=3, classifier_activation=None)

    x = images(64)
    assert mine.count_params() == model.count_params()
    assert_close(mine.predict(arranged(x), verbose=0), model.predict(x, verbose=0))
    # Older files tell layers by these places.
    places = [layer.name for layer in layers_as_keras(mine) if layer.own_weights()]
    assert places[:-1] == [layer.name for layer in model.layers if layer.weights][:-1]


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in LARGE else []) for n in LAYERED]
)
def test_whole_networks_have_as_many_parameters_as_published(name):
    with torch.device("meta"):
        model = applications.get(name)(weights=None)

    assert model.count_params() == applications.get(name).published.parameters
    assert model.output_shape == (None, 1000)


def test_maps_of_images_of_any_size_are_given_where_the_network_allows_it():
    with torch.device("meta"):
        free = applications.MobileNet(weights=None, include_top=False, alpha=0.25)
        fixed = applications.NASNetMobile(weights=None, include_top=False)

    assert free.output_shape == (None, 256, None, None)
    assert fixed.output_shape == (None, 1056, 7, 7)


@pytest.mark.parametrize("name", ["MobileNet", "ResNet50V2", "Xception"])
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


def test_normalisation_may_be_inside():
    x = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32), dtype=np.uint8)
    outside, inside = ours("MobileNet"), ours("MobileNet", include_preprocessing=True)
    inside.set_weights(outside.get_weights())

    ready = applications.mobilenet.preprocess_input(x)

    assert_close(ready, (x / 127.5 - 1).astype("float32"))
    want = outside.predict(ready, verbose=0)
    assert_close(inside.predict(x.astype("float32"), verbose=0), want, atol=1e-5, rtol=1e-4)
    for model in (outside, inside):
        assert_close(model.predict(x, verbose=0), want, atol=1e-5, rtol=1e-4)


def test_a_layered_network_fits_freezes_saves_and_comes_back(tmp_path):
    model = ours("MobileNet", classes=["a", "b", "c"])
    model.freeze()
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, y = torch.rand(4, 3, 32, 32), torch.arange(4) % 3
    before = model.get_layer("conv_pw_13").get_weights()[0]

    model.fit(x, y, epochs=1, verbose=0)
    model.save(tmp_path / "m.kerasish")
    again = kerasish.load_model(tmp_path / "m.kerasish")

    assert [stage.name for stage in model.stages() if stage.trainable] == ["head"]
    assert_close(model.get_layer("conv_pw_13").get_weights()[0], before, rtol=0, atol=0)
    assert_close(again.predict(x, verbose=0), model.predict(x, verbose=0), rtol=0, atol=0)
    assert again.class_names == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("name", "number", "last"),
    [
        ("MobileNet", 15, "conv_13"),
        ("NASNetMobile", 18, "cell_12"),
        ("ResNet50V2", 6, "conv5"),
        ("Xception", 15, "block14"),
    ],
)
def test_stages_are_blocks_of_which_the_last_thaws_whole(name, number, last):
    with torch.device("meta"):
        model = applications.get(name)(weights=None)

    model.freeze()
    model.unfreeze(last=2)

    assert len(model.stages()) == number
    assert model.freeze_point == last
    assert [stage.name for stage in model.stages() if stage.trainable] == [last, "head"]


def test_a_block_has_all_layers_that_are_named_for_it():
    with torch.device("meta"):
        mobile = applications.MobileNet(weights=None)
        nasnet = applications.NASNetMobile(weights=None)

    blocks = {stage.name: {layer.name for layer in stage.layers} for stage in mobile.stages()}
    assert blocks["conv_13"] == {"conv_dw_13", "conv_dw_13_bn", "conv_pw_13", "conv_pw_13_bn"}
    names = [layer.name for layer in nasnet.layers]
    for stage in nasnet.stages()[1:-1]:
        ending = stage.name.removeprefix("cell")
        named = [n for n in names if re.search(rf"(?<!_stem)(?<!_reduce){ending}$", n)]
        weighted = {name for name in named if nasnet.get_layer(name).weights}
        assert {layer.name for layer in stage.layers} == weighted
        assert len(weighted) > 20


def test_inception_resnets_layers_have_names_of_their_own_and_stages():
    with torch.device("meta"):
        first, second = (applications.InceptionResNetV2(weights=None) for _ in range(2))

    assert first.state_dict().keys() == second.state_dict().keys()
    names = [stage.name for stage in first.stages()]
    kinds = ["mixed5", "block35", "mixed6", "block17", "mixed7", "block8"]
    assert names == ["stem1", "stem2", *kinds, "conv_7b", "head"]


def test_parts_of_a_layered_network_are_at_hand():
    image = kerasish.Input((3, 32, 32))
    halved = layers.Rescaling(0.5)(image)
    model = ours("ResNet50V2", input_tensor=halved, input_shape=None, include_top=False)
    part = kerasish.Model(model.input, model.get_layer("conv3_block4_out").output)
    whole = transfer.TransferModel("MobileNet", classes=2, weights=None, input_shape=(3, 32, 32))

    assert model.input is image
    assert part.output_shape == (None, 512, 2, 2)
    assert whole.output_shape == (None, 2)
    assert whole.freeze_point == "conv_13"


def test_state_dicts_of_the_model_serve_as_weights(tmp_path):
    model = ours("MobileNet")
    torch.save(model.state_dict(), tmp_path / "w.pth")
    model.save_weights(tmp_path / "w.safetensors")

    for name in ("w.pth", "w.safetensors"):
        same = ours("MobileNet", weights=tmp_path / name)
        other = ours("MobileNet", weights=tmp_path / name, classes=4)
        assert_close(dict(same.state_dict()), dict(model.state_dict()), rtol=0, atol=0)
        assert other.output_shape == (None, 4)


# Weights by name


@pytest.mark.parametrize("place", ["hub", "keras"])
def test_imagenet_means_kerass_file_where_hub_or_keras_keep_it(place, tmp_path, monkeypatch):
    pytest.importorskip("h5py")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "k"))
    folder = tmp_path / ("hub/checkpoints" if place == "hub" else "k/models")
    folder.mkdir(parents=True)
    model = theirs("MobileNet", include_top=False, depth_multiplier=1)
    write_older_file(model, folder / "mobilenet_2_5_224_tf_no_top.h5")

    mine = ours("MobileNet", weights="imagenet", depth_multiplier=1)

    kernel = model.get_layer("conv_pw_13").get_weights()[0]
    assert_close(mine.get_layer("conv_pw_13").get_weights()[0], kernel, rtol=0, atol=0)


def test_a_head_that_came_from_the_file_knows_its_classes(tmp_path, monkeypatch):
    pytest.importorskip("h5py")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub/checkpoints"
    folder.mkdir(parents=True)
    model = theirs("MobileNet", classes=1000, depth_multiplier=1)
    write_older_file(model, folder / "mobilenet_2_5_224_tf.h5")

    mine = ours("MobileNet", weights="imagenet", depth_multiplier=1, classes=1000)

    assert len(mine.class_names) == 1000
    kernel = model.get_layer("conv_preds").get_weights()[0]
    assert_close(mine.get_layer("head").get_weights()[0], kernel, rtol=0, atol=0)


@pytest.mark.parametrize("name", LAYERED)
def test_addresses_and_hashes_are_those_of_keras(name):
    module = catalogue.LAYERED[name].removeprefix("keras_").replace("resnet_v2", "resnet")
    module = "inception_resnet_v2" if name.startswith("Inception") else module
    source = inspect.getsource(pytest.importorskip(f"keras.src.applications.{module}"))
    pieces = "".join(re.findall(r'"([^"]*)"', source))
    network = applications.get(name)

    for top in (True, False):
        address, digits = network.published.files(top=top, size=[224, 224], **network.own_options)
        assert address.rpartition("/")[0] + "/" in pieces
        assert digits is None or digits in pieces


def test_an_address_may_end_in_a_question(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    model = ours("MobileNet")
    with loopback() as web:
        model.save_weights(tmp_path / "w.safetensors")
        web.files["w.safetensors?download=true"] = (tmp_path / "w.safetensors").read_bytes()

        same = ours("MobileNet", weights=web.url("w.safetensors?download=true"))

    assert_close(dict(same.state_dict()), dict(model.state_dict()), rtol=0, atol=0)


# Wrong arguments


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"clases": 4}, TypeError, "no argument 'clases'; did you mean 'classes'"),
        ({"weights": "imagnet"}, ValueError, "did you mean 'imagenet'"),
        ({"weights": "w.weights.h5"}, FileNotFoundError, r"no weights file w\.weights\.h5"),
        ({"weights": Path(__file__).parent}, FileNotFoundError, "no weights file"),
        ({"weights": "imagenet"}, ValueError, r"for `alpha` of \[0\.25, .* got 0\.25 .* and 2"),
        ({"input_shape": (3, 16, 16)}, ValueError, r"at least \(32, 32\), got \(16, 16\)"),
        ({"input_shape": (1, 32, 32), "weights": "x.h5"}, ValueError, "see 3 channels"),
        ({"classes": 0}, ValueError, "`classes` must be a positive integer"),
    ],
)
def test_wrong_arguments_are_explained(kwargs, error, message):
    with pytest.raises(error, match=message):
        ours("MobileNet", **kwargs)


def test_too_many_arguments_are_said_to_be_so_of_whom():
    with pytest.raises(TypeError, match="MobileNet: too many positional arguments"):
        applications.MobileNet(*range(20))


def test_nasnet_must_know_its_images_size():
    with pytest.raises(ValueError, match="size of images must be known"):
        applications.NASNetMobile(weights=None, include_top=False, input_shape=(3, None, None))


@pytest.mark.parametrize("form", ["weights.h5", "h5"])
def test_files_of_another_network_are_named_briefly(form, tmp_path):
    path = tmp_path / f"w.{form}"
    model = theirs("MobileNet", alpha=0.5)
    model.save_weights(path) if form == "weights.h5" else write_older_file(model, path)

    with pytest.raises(ValueError, match=r"do not fit: 'conv1' has shapes .* and \d+ more\. Noth"):
        ours("MobileNet", weights=path)


def test_damaged_files_and_a_missing_reader_are_explained(tmp_path, monkeypatch):
    pytest.importorskip("h5py")
    (tmp_path / "w.h5").write_text("<html>not found</html>")
    with pytest.raises(ValueError, match="damaged, or no file of Keras's"):
        ours("MobileNet", weights=tmp_path / "w.h5")
    torch.save({"conv1.conv.weight": torch.ones(2)}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"do not fit\. missing: .*of another shape: conv1"):
        ours("MobileNet", weights=tmp_path / "w.pth")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match="takes h5py: pip install h5py"):
        ours("MobileNet", weights=tmp_path / "w.h5")
