"""Networks of timm as applications: names, numbers, images, files, and no timm at all."""

import sys

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import kerasish
from kerasish import applications
from kerasish.applications.timm_models import pretrained_state


def small(name="timm/test_resnet", **kwargs):
    pytest.importorskip("timm")
    given = {"weights": None, "classes": 3, "input_shape": (3, 64, 64), **kwargs}
    return applications.get(name)(**given)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext.r160_in1k"])
def test_a_model_with_timms_weights_gives_timms_numbers(name, tmp_path):
    timm = pytest.importorskip("timm")
    whole = timm.create_model(name, num_classes=3).eval()
    torch.save(whole.state_dict(), tmp_path / "w.pth")

    model = small(
        f"timm/{name}",
        weights=tmp_path / "w.pth",
        input_shape=(3, 160, 160),
        classifier_activation=None,
    )

    x = torch.rand(2, 3, 160, 160)
    assert_close(model(x), whole(x))


@pytest.mark.parametrize(
    ("name", "features"), [("test_resnet", 96), ("swin_tiny_patch4_window7_224", 768)]
)
def test_maps_are_in_our_image_format(name, features):
    with torch.device("meta"):
        first = small(f"timm/{name}", include_top=False, input_shape=(3, 224, 224))
    kerasish.config.set_image_data_format("channels_last")
    with torch.device("meta"):
        last = small(f"timm/{name}", include_top=False, input_shape=(224, 224, 3))

    assert first.output_shape == (None, features, 7, 7)
    assert last.output_shape == (None, 7, 7, features)


def test_images_are_made_ready_as_timm_does():
    timm = pytest.importorskip("timm")
    known = timm.data.resolve_data_config(
        pretrained_cfg=timm.get_pretrained_cfg("test_resnet").to_dict()
    )
    application = applications.get("timm/test_resnet")
    x = np.random.default_rng(0).integers(0, 256, (1, 3, 8, 8), dtype=np.uint8)

    mean, std = (np.reshape(known[key], (3, 1, 1)) for key in ("mean", "std"))
    assert_close(application.preprocess_input(x), ((x / 255 - mean) / std).astype("float32"))
    ready = small(input_shape=None).preprocessing
    assert (ready.size, ready.interpolation) == ((160, 160), known["interpolation"])
    assert ready.crop_fraction == pytest.approx(known["crop_pct"])


def test_vision_transformers_are_made_for_other_sizes():
    model = small("timm/test_vit", input_shape=(3, 64, 64))

    assert model(torch.rand(1, 3, 64, 64)).shape == (1, 3)


def test_stages_have_timms_names_and_freeze():
    model = small()

    names = [stage.name for stage in model.stages()]
    model.freeze(until="layer3")

    assert names[-5:] == ["layer1", "layer2", "layer3", "layer4", "head"]
    assert [s.trainable for s in model.stages()][-2:] == [True, True]
    assert not any(s.trainable for s in model.stages()[:-2])


def test_model_fits_saves_and_comes_back(tmp_path):
    model = small("timm/test_resnet.r160_in1k", drop_path_rate=0.1)
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, y = torch.rand(4, 3, 64, 64), torch.arange(4) % 3

    model.fit(x, y, batch_size=2, epochs=1, verbose=0)
    model.save(tmp_path / "m.kerasish")
    again = kerasish.load_model(tmp_path / "m.kerasish")

    assert_close(again.predict(x, verbose=0), model.predict(x, verbose=0), rtol=0, atol=0)


def test_other_channels_go_with_new_weights():
    assert small(input_shape=(1, 64, 64))(torch.rand(1, 1, 64, 64)).shape == (1, 3)
    with pytest.raises(ValueError, match="see 3 channels, but there are 1"):
        small(weights="imagenet", input_shape=(1, 64, 64))


def test_unknown_names_weights_and_options_are_explained(tmp_path):
    pytest.importorskip("timm")
    with pytest.raises(ValueError, match="no network 'resnet180'; did you mean 'resnet18"):
        applications.get("timm/resnet180")
    with pytest.raises(ValueError, match=r"no weights 'r160_in1' of test_vit; did you mean"):
        applications.get("timm/test_vit.r160_in1")
    with pytest.raises(ValueError, match=r"`weights` must be 'imagenet' .timm's weights"):
        small(weights="imagnet")
    with pytest.raises(TypeError, match="timm refuses"):
        small(colour=3)
    torch.save({"fc.weight": torch.ones(3, 96)}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"do not fit. missing: conv1"):
        small(weights=tmp_path / "w.pth")


def test_weights_that_cannot_be_downloaded_are_explained(monkeypatch):
    timm = pytest.importorskip("timm")

    def refuse(*_, **__):
        raise OSError("no route to host")

    application = applications.get("timm/test_resnet.r160_in1k")
    monkeypatch.setattr(timm, "create_model", refuse)

    with pytest.raises(ConnectionError, match=r"no route to host.*give the \.safetensors"):
        pretrained_state(application.name)


def test_list_knows_timms_networks_with_weights():
    pytest.importorskip("timm")

    assert "timm/test_resnet.r160_in1k" in applications.list("timm/test_*")


def test_without_timm_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)

    with pytest.raises(ImportError, match="pip install timm"):
        applications.get("timm/some_network_nobody_asked_for")
