"""Pretrained weights: files that the tests make, where torch hub looks, or on loopback."""

import dataclasses
import hashlib
import io
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from kerasish import applications
from kerasish.applications.backbone import Backbone
from kerasish.applications.pretrained import fit_positions, load_backbone
from kerasish.utils import download as downloader
from tests.loopback import loopback, names

torchvision = pytest.importorskip("torchvision")


@pytest.fixture(scope="module")
def network():
    """The smallest network of the catalogue, with the published number of classes."""
    torch.manual_seed(1)
    return torchvision.models.squeezenet1_1(weights=None).eval()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty folder where torch hub keeps its files."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub_home"))
    folder = tmp_path / "hub_home" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def web(monkeypatch):
    monkeypatch.setattr(downloader, "PAUSE", 0.0)
    with loopback() as web:
        yield web


def serve(web, network):
    """Offer a network's weights under a name with their hash."""
    stream = io.BytesIO()
    torch.save(network.state_dict(), stream)
    name = f"w-{hashlib.sha256(stream.getvalue()).hexdigest()[:8]}.pth"
    web.files[name], web.tags[name] = stream.getvalue(), '"v1"'
    return name


def squeezenet(**kwargs):
    return applications.SqueezeNet1_1(input_shape=(3, 32, 32), **kwargs).eval()


IMAGES = torch.linspace(0, 1, 2 * 3 * 32 * 32).view(2, 3, 32, 32)


@pytest.mark.parametrize(
    "weights", ["imagenet", "IMAGENET1K_V1", "SqueezeNet1_1_Weights.IMAGENET1K_V1", "enum"]
)
def test_weights_in_the_hubs_folder_are_found_by_name(weights, network, hub):
    enum = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1
    torch.save(network.state_dict(), hub / Path(enum.url).name)

    model = squeezenet(weights=enum if weights == "enum" else weights)

    assert_close(model(IMAGES), network(IMAGES).softmax(-1))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_are_read_from_files(suffix, network, tmp_path):
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        parallel = {f"module.{key}": value for key, value in network.state_dict().items()}
        torch.save({"state_dict": parallel}, path)
    else:
        safetensors = pytest.importorskip("safetensors.torch")
        safetensors.save_file(network.state_dict(), path)

    model = squeezenet(weights=str(path))

    assert_close(model(IMAGES), network(IMAGES).softmax(-1))


def test_a_pretrained_network_is_called_for_its_predictions_as_a_loaded_model_is(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "w.pth")

    model = applications.SqueezeNet1_1(input_shape=(3, 32, 32), weights=tmp_path / "w.pth")
    fresh = applications.SqueezeNet1_1(input_shape=(3, 32, 32), weights=None)

    assert_close(model(IMAGES), network(IMAGES).softmax(-1))  # no dropout
    assert fresh.training


def test_another_number_of_classes_keeps_the_backbone_and_renews_the_head(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "w.pth")

    model = squeezenet(weights=tmp_path / "w.pth", classes=5)

    backbone = model.get_layer("squeezenet1_1")
    assert model.output_shape == (None, 5)
    assert_close(backbone(IMAGES), network.features(IMAGES))


def test_a_download_is_checked_and_kept(network, hub, web, capsys):
    name = serve(web, network)

    model = squeezenet(weights=web.url(name))
    again = squeezenet(weights=web.url(name))

    assert f"Downloading {name}" in capsys.readouterr().out
    assert names(hub) == [name]
    assert len(web.asked) == 1
    assert_close(model(IMAGES), network(IMAGES).softmax(-1))
    assert_close(again(IMAGES), model(IMAGES))


def test_files_of_one_name_from_two_addresses_are_two_files(network, hub, web):
    torch.manual_seed(2)
    other = torchvision.models.squeezenet1_1(weights=None).eval()
    for folder, one in (("a", network), ("b", other)):
        stream = io.BytesIO()
        torch.save(one.state_dict(), stream)
        web.files[f"{folder}/w.pth"], web.tags[f"{folder}/w.pth"] = stream.getvalue(), f'"{folder}"'

    for _ in range(2):
        for folder, one in (("a", network), ("b", other)):
            model = squeezenet(weights=web.url(f"{folder}/w.pth"))
            assert_close(model(IMAGES), one(IMAGES).softmax(-1))

    assert len(web.asked) == 2
    assert (hub / "w.pth").is_file()


def test_a_file_in_the_hubs_folder_is_taken_by_its_name(network, hub, web):
    torch.save(network.state_dict(), hub / "w.pth")

    model = squeezenet(weights=web.url("anywhere/w.pth"))

    assert web.asked == []
    assert names(hub) == ["w.pth"]
    assert_close(model(IMAGES), network(IMAGES).softmax(-1))


def test_torchvisions_address_is_asked_for_weights_by_name(network, hub, web, monkeypatch):
    enum = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1
    name = serve(web, network)
    served = dataclasses.replace(enum.value, url=web.url(name))
    monkeypatch.setattr(enum, "_value_", served)

    model = squeezenet(weights="imagenet")

    assert names(hub) == [name]
    assert_close(model(IMAGES), network(IMAGES).softmax(-1))


def test_a_download_that_broke_off_goes_on_in_the_next_call(network, hub, web):
    name = serve(web, network)
    web.cuts = [1_000_000, 0, 0, 0]
    total = len(web.files[name])

    with pytest.raises(ConnectionError, match=f"ended after 1,000,000 of {total:,} bytes"):
        squeezenet(weights=web.url(name))
    model = squeezenet(weights=web.url(name))

    assert web.asked[-1] == (name, "bytes=1000000-")
    assert names(hub) == [name]
    assert_close(model(IMAGES), network(IMAGES).softmax(-1))


@pytest.mark.parametrize("damage", ["another file", "half the file"])
def test_a_download_with_another_hash_leaves_nothing_behind(damage, network, hub, web):
    name = serve(web, network)
    web.files[name] = b"<html>" if damage == "another file" else web.files[name][:1000]

    with pytest.raises(ValueError, match=rf"^SqueezeNet1_1: .*sha256 {name[2:10]} was expected"):
        squeezenet(weights=web.url(name))

    assert names(hub) == []


def test_without_network_the_message_says_which_file_goes_where(hub, web):
    with pytest.raises(ConnectionError) as caught:
        squeezenet(weights=web.url("gone-12345678.pth"))

    text = str(caught.value)
    assert text.startswith("SqueezeNet1_1: gone-12345678.pth could not be downloaded from http://")
    assert f"put it here: {hub / 'gone-12345678.pth'} (Or give the file's path" in text
    assert names(hub) == []


def test_weights_that_do_not_fit_are_named_briefly(network, tmp_path):
    state = network.state_dict()
    state["extra.weight"] = torch.ones(1)
    for key in [key for key in state if key.startswith("features.3.")]:
        del state[key]
    state["features.0.weight"] = torch.ones(2, 2)
    torch.save(state, tmp_path / "w.pth")

    with pytest.raises(ValueError, match="do not fit") as caught:
        squeezenet(weights=tmp_path / "w.pth")

    text = str(caught.value)
    assert "missing: features.3.squeeze.weight" in text
    assert " more; unexpected: extra.weight" in text
    assert "features.0.weight (2, 2) instead of (64, 3, 3, 3)" in text


@pytest.mark.parametrize("content", ["text", "letter", "list", "object"])
def test_files_that_hold_no_weights_are_refused(content, tmp_path):
    path = tmp_path / "w.pth"
    if content in ("text", "letter"):
        path.write_text("<html>not found</html>" if content == "text" else "a")
    else:
        torch.save([1, 2] if content == "list" else Path("x"), path)

    with pytest.raises(ValueError, match=r"holds no state_dict|damaged, or holds more"):
        squeezenet(weights=path)


@pytest.mark.parametrize("name", ["w.weights.h5", "w.h5", "w.keras"])
def test_files_of_keras_do_not_fit_torchvisions_networks(name, tmp_path):
    (tmp_path / name).write_bytes(b"\x89HDF\r\n\x1a\n")

    with pytest.raises(ValueError, match=r"is a file of Keras's.* takes \.pth and \.safetensors"):
        squeezenet(weights=str(tmp_path / name))
    with pytest.raises(FileNotFoundError, match="there is no weights file"):
        squeezenet(weights=name)


def test_weights_of_another_network_are_refused(hub):
    with pytest.raises(ValueError, match="`weights` must be one of"):
        squeezenet(weights=torchvision.models.ResNet18_Weights.DEFAULT)


def test_densenets_published_names_are_understood():
    whole = torchvision.models.densenet121(weights=None)
    old = {
        key.replace("norm1", "norm.1").replace("conv2", "conv.2"): value
        for key, value in whole.state_dict().items()
    }
    backbone = Backbone("densenet121")

    load_backbone(backbone, old)

    want = whole.features.denseblock1.denselayer1.conv2.weight
    assert_close(backbone.module.features.denseblock1.denselayer1.conv2.weight, want)


def test_position_embeddings_are_interpolated_for_another_image_size():
    options = {"num_layers": 1, "num_heads": 2, "hidden_dim": 8, "mlp_dim": 8}
    large = torchvision.models.VisionTransformer(64, 16, **options)
    little = torchvision.models.VisionTransformer(32, 16, **options)

    little.load_state_dict(fit_positions(little, large.state_dict()))

    assert_close(little.encoder.pos_embedding[:, 0], large.encoder.pos_embedding[:, 0])
    assert_close(little.conv_proj.weight, large.conv_proj.weight)
