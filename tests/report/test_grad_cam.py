"""Grad-CAM against maps worked out by hand, on models of every kind."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

import kerasish
from kerasish import layers, report


def images(rows=3, size=6, channels=1):
    generator = np.random.default_rng(0)
    return generator.normal(size=(rows, channels, size, size)).astype("float32")


def hand_network(activation="softmax"):
    """Two channels, x and -x; two classes, `2 mean(x) - mean(-x)` and `mean(-x)`."""
    model = kerasish.Sequential(
        [
            layers.Input((1, 4, 4)),
            layers.Conv2D(2, 1, name="maps", use_bias=False),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, activation=activation, use_bias=False),
        ]
    )
    with torch.no_grad():
        model.get_layer("maps").conv.weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
        model.layers[-1].linear.weight.copy_(torch.tensor([[2.0, -1.0], [0.0, 1.0]]))
    return model


@pytest.mark.parametrize("activation", ["softmax", None])
def test_maps_are_those_worked_out_by_hand(activation):
    model, x = hand_network(activation), images(2, 4)

    found = report.grad_cam(model, x, class_index=0)

    # d score / d A_k = w_k / 16 at every place, so alpha = (2, -1) / 16 and the map is 3 x / 16.
    by_hand = (3 * x[:, 0] / 16).clip(0)
    assert_close(found.maps, by_hand)
    assert_close(found.heat, by_hand / by_hand.max((1, 2), keepdims=True))
    assert found.layer == "maps"
    assert_close(found.scores, 2 * x.mean((1, 2, 3)) + x.mean((1, 2, 3)))


def test_each_image_is_explained_for_the_class_that_wins():
    model, x = hand_network(), images(6, 4)

    found = report.grad_cam(model, x)

    assert found.class_indices.tolist() == model.predict(x, verbose=0).argmax(1).tolist()
    assert len(set(found.class_indices.tolist())) == 2


def test_each_image_may_have_a_class_of_its_own_whatever_the_batch_size():
    model, x = hand_network(), images(5, 4)

    found = report.grad_cam(model, x, class_index=[0, 1, 1, 0, 1], batch_size=2)

    ones = report.grad_cam(model, x, class_index=1)
    zeros = report.grad_cam(model, x, class_index=0)
    wanted = np.where(np.array([0, 1, 1, 0, 1])[:, None, None], ones.maps, zeros.maps)
    assert_close(found.maps, wanted)


def test_one_output_speaks_for_class_one_or_against_it():
    model = kerasish.Sequential(
        [
            layers.Input((1, 4, 4)),
            layers.Conv2D(1, 1, use_bias=False),
            layers.GlobalAveragePooling2D(),
            layers.Dense(1, activation="sigmoid", use_bias=False),
        ]
    )
    for weight in model.parameters():
        nn.init.ones_(weight)
    x = images(3, 4)

    for number, sign in ((1, 1), (0, -1)):
        found = report.grad_cam(model, x, class_index=number)

        # alpha = ±1/16: what is bright speaks for class 1; against it, that map is negative
        assert_close(found.maps, (sign * x[:, 0] / 16).clip(0))
    assert report.grad_cam(model, x).class_indices.tolist() == (x.mean((1, 2, 3)) > 0).tolist()


class Net(nn.Module):
    """A small network with the layout of torchvision's, which works in place."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 3, 3, padding=1)
        self.layer1 = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(self.avgpool(self.layer1(F.relu(self.conv1(x)))).flatten(1))


def maps_by_autograd(net, x, module, number):
    """The definition, by torch's own hooks and retained gradients."""
    kept = {}
    handle = module.register_forward_hook(lambda m, a, y: kept.update(y=y))
    scores = net.eval()(torch.as_tensor(x))[:, number]
    handle.remove()
    kept["y"].retain_grad()
    scores.sum().backward()
    alpha = kept["y"].grad.mean((2, 3), keepdim=True)
    return (alpha * kept["y"]).sum(1).relu().detach().numpy()


@pytest.mark.parametrize("wrap", [lambda n: n, kerasish.Model], ids=["module", "model"])
def test_torch_modules_are_looked_into(wrap):
    net, x = Net(), images()
    net.requires_grad_(True)

    found = report.grad_cam(wrap(net), x, class_index=2)

    assert found.layer.endswith("layer1")
    assert_close(found.maps, maps_by_autograd(net, x, net.layer1, 2))
    assert found.heat.shape == (3, 6, 6)


def test_a_layer_that_is_changed_in_place_is_seen_as_it_was():
    net, x = Net(), images()

    found = report.grad_cam(net, x, 1, layer="layer1.1")

    plain = Net()
    plain.load_state_dict(net.state_dict())
    plain.layer1[2] = nn.ReLU()
    assert_close(found.maps, maps_by_autograd(plain, x, plain.layer1[1], 1))


def test_backbones_in_functional_models_are_looked_into():
    net = Net()
    net.avgpool, net.fc = nn.Identity(), nn.Identity()
    net.forward = lambda x: net.layer1(net.conv1(x))
    image = layers.Input((1, 6, 6))
    features = layers.TorchModule(net, name="backbone", trainable=False)(image)
    outputs = layers.Dense(3)(layers.GlobalAveragePooling2D()(features))
    model = kerasish.Model(image, outputs)

    found = report.grad_cam(model, images(), 0)
    inner = report.grad_cam(model, images(), 0, layer="conv1")

    assert found.layer == "backbone"
    assert inner.layer == "backbone.module.conv1"
    assert inner.maps.shape == (3, 6, 6)
    assert found.maps.shape == (3, 4, 4)


def test_channels_last_models_give_the_same_maps():
    model = hand_network()
    x = images(2, 4)
    last = kerasish.Sequential(
        [
            layers.Input((4, 4, 1)),
            layers.Conv2D(2, 1, use_bias=False, data_format="channels_last"),
            layers.GlobalAveragePooling2D(data_format="channels_last"),
            layers.Dense(2, activation="softmax", use_bias=False),
        ]
    )
    last.set_weights(model.get_weights())

    found = report.grad_cam(last, x.transpose(0, 2, 3, 1), 0)

    assert_close(found.maps, report.grad_cam(model, x, 0).maps)
    assert found.heat.shape == (2, 4, 4)


def test_the_model_is_left_as_it_was():
    model = kerasish.Sequential(
        [
            layers.Input((1, 6, 6)),
            layers.Conv2D(2, 3),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    before = {name: value.clone() for name, value in model.state_dict().items()}

    first, second = (report.grad_cam(model, images(), 1) for _ in range(2))

    assert_close(first.maps, second.maps, rtol=0, atol=0)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_one_image_is_enough():
    found = report.grad_cam(hand_network(), images(1, 4)[0])

    assert found.heat.shape == (1, 4, 4)


def test_raw_images_are_shown_as_they_were():
    model = kerasish.Sequential(
        [layers.Input((3, 6, 6)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(2)]
    )
    raw = np.random.default_rng(0).integers(0, 256, (2, 3, 6, 6), dtype="uint8")
    model.preprocessing = kerasish.applications.ImagePreprocessing(
        (6, 6), mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.4]
    )

    found = report.grad_cam(model, raw)

    assert (found.images == raw).all()
    ready = model.preprocessing(torch.as_tensor(raw)).numpy()
    assert_close(found.maps, report.grad_cam(model, ready).maps)
    assert (report.grad_cam(model, ready).images == raw).all()


def test_nothing_that_speaks_for_a_class_gives_an_empty_map():
    found = report.grad_cam(hand_network(), -np.ones((1, 1, 4, 4), "float32"), 0)

    assert (found.heat == 0).all()


def test_heat_is_drawn_over_images(tmp_path):
    pytest.importorskip("matplotlib")
    model = hand_network()
    model.class_names = ["cat", "dog"]

    found = report.grad_cam(model, images(3, 4), 1, plot=tmp_path / "heat.png")

    assert (tmp_path / "heat.png").read_bytes().startswith(b"\x89PNG")
    assert [axis.get_title() for axis in found.plot().axes] == ["dog"] * 3


def test_unknown_layers_are_refused_with_a_suggestion():
    with pytest.raises(ValueError, match=r"no layer or module 'map'.*did you mean 'maps'"):
        report.grad_cam(hand_network(), images(1, 4), layer="map")
    with pytest.raises(ValueError, match="no layer or module"):
        report.grad_cam(hand_network(), images(1, 4), layer=nn.Linear(1, 1))


def test_layers_without_maps_or_influence_are_refused():
    model = hand_network()
    with pytest.raises(ValueError, match="not maps of 4 axes"):
        report.grad_cam(model, images(1, 4), layer=model.layers[-1])

    class Aside(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.aside = nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 3)

        def forward(self, x):
            self.aside(x)
            return self.used(x).mean((2, 3))

    with pytest.raises(ValueError, match=r"does not depend on what 'module\.aside' gives"):
        report.grad_cam(Aside(), images(), layer="aside")


def test_networks_without_maps_are_refused():
    model = kerasish.Sequential([layers.Input((1, 4, 4)), layers.Flatten(), layers.Dense(2)])

    with pytest.raises(ValueError, match="gives maps"):
        report.grad_cam(model, images(1, 4))


def test_networks_that_make_tokens_of_images_must_name_a_layer():
    image = layers.Input((1, 6, 6))
    maps = layers.Conv2D(4, 2, strides=2, name="patches")(image)
    tokens = layers.LayerNormalization()(layers.Permute((2, 1))(layers.Reshape((4, 9))(maps)))
    model = kerasish.Model(image, layers.Dense(2)(layers.GlobalAveragePooling1D()(tokens)))

    with pytest.raises(ValueError, match=r"sequence of tokens, so the last layer .* 'patches'"):
        report.grad_cam(model, images())
    assert report.grad_cam(model, images(), layer="patches").maps.shape == (3, 3, 3)


@pytest.mark.parametrize("number", [2, -1, [0, 5]])
def test_classes_that_do_not_exist_are_refused(number):
    with pytest.raises(ValueError, match="classes go from 0 to 1"):
        report.grad_cam(hand_network(), images(2, 4), number)


def test_a_wrong_number_of_classes_is_refused():
    with pytest.raises(ValueError, match="one for each image"):
        report.grad_cam(hand_network(), images(3, 4), [0, 1])


# Where it is called


@pytest.mark.parametrize("without", [torch.no_grad, torch.inference_mode])
def test_gradients_are_taken_where_they_are_off(without):
    model, x = hand_network(), images(2, 4)
    want = report.grad_cam(model, x).maps

    with without():
        found = report.grad_cam(model, x).maps

    assert_close(found, want)


def test_the_modes_of_a_model_are_left_as_they_are():
    module = nn.Sequential(
        nn.Conv2d(1, 2, 1), nn.Dropout(0.5).eval(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    modes = [each.training for each in module.modules()]

    report.grad_cam(module, images())

    assert [each.training for each in module.modules()] == modes


@pytest.mark.parametrize("index", ["cat", [0, None, 1], 1.0, True])
def test_what_is_no_class_number_is_refused(index):
    with pytest.raises(ValueError, match="`class_index` must be one class number"):
        report.grad_cam(hand_network(), images(3, 4), class_index=index)
