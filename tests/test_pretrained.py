"""Pretrained weights: files that the tests make, where torch hub looks, or on loopback."""

import functools
import hashlib
import http.server
import threading
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from kerasish import applications
from kerasish.applications.backbone import Backbone
from kerasish.applications.pretrained import fit_positions, load_backbone

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
def server(tmp_path):
    """A folder and the address at which loopback serves it."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *args):
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join()


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


def test_another_number_of_classes_keeps_the_backbone_and_renews_the_head(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "w.pth")

    model = squeezenet(weights=tmp_path / "w.pth", classes=5)

    backbone = model.get_layer("squeezenet1_1")
    assert model.output_shape == (None, 5)
    assert_close(backbone(IMAGES), network.features(IMAGES))


def test_a_download_is_checked_and_kept(network, hub, server, capfd):
    folder, address = server
    torch.save(network.state_dict(), folder / "w.pth")
    digest = hashlib.sha256((folder / "w.pth").read_bytes()).hexdigest()[:8]
    (folder / "w.pth").rename(folder / f"w-{digest}.pth")

    model = squeezenet(weights=f"{address}/w-{digest}.pth")
    (folder / f"w-{digest}.pth").unlink()
    again = squeezenet(weights=f"{address}/w-{digest}.pth")

    assert "100.0%" in capfd.readouterr().err
    assert [file.name for file in hub.iterdir()] == [f"w-{digest}.pth"]
    assert_close(model(IMAGES), network(IMAGES).softmax(-1))
    assert_close(again(IMAGES), model(IMAGES))


def test_a_download_with_another_hash_leaves_nothing_behind(network, hub, server):
    folder, address = server
    torch.save(network.state_dict(), folder / "w-00000000.pth")

    with pytest.raises(ConnectionError, match="invalid hash value"):
        squeezenet(weights=f"{address}/w-00000000.pth")

    assert list(hub.iterdir()) == []


def test_a_truncated_download_leaves_nothing_behind(network, hub, server):
    folder, address = server
    torch.save(network.state_dict(), folder / "w.pth")
    whole = (folder / "w.pth").read_bytes()
    digest = hashlib.sha256(whole).hexdigest()[:8]
    (folder / f"w-{digest}.pth").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(ConnectionError, match="could not be downloaded"):
        squeezenet(weights=f"{address}/w-{digest}.pth")

    assert list(hub.iterdir()) == []


def test_without_network_the_message_says_which_file_goes_where(hub, server):
    _, address = server

    with pytest.raises(ConnectionError) as caught:
        squeezenet(weights=f"{address}/gone-12345678.pth")

    text = str(caught.value)
    assert "Put the file gone-12345678.pth" in text
    assert str(hub) in text


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


@pytest.mark.parametrize("content", ["text", "list", "object"])
def test_files_that_hold_no_weights_are_refused(content, tmp_path):
    path = tmp_path / "w.pth"
    if content == "text":
        path.write_text("<html>not found</html>")
    else:
        torch.save([1, 2] if content == "list" else Path("x"), path)

    with pytest.raises(ValueError, match=r"holds no state_dict|damaged, or holds more"):
        squeezenet(weights=path)


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
