"""Feature maps from inside a network, against torchvision's modules called one by one."""

import pytest
import torch
from torch.testing import assert_close

import kerasish
from kerasish import Input, Model, applications, layers

pytest.importorskip("torchvision")

IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def resnet18(**kwargs):
    return applications.ResNet18(weights=None, include_top=False, **kwargs)


def by_hand(net):
    """What stages and places inside give, none of it changed in place afterwards."""
    x = net.maxpool(torch.relu(net.bn1(net.conv1(IMAGES))))
    first = net.layer1(x).clone()
    block = net.layer2[0]
    inside = block.bn2(block.conv2(torch.relu(block.bn1(block.conv1(first)))))
    return first, inside.clone(), net.layer2(first).clone()


def test_maps_are_those_of_the_networks_modules():
    base = resnet18().eval()
    maps = applications.FeatureMaps(base, ["layer1", "layer2.0.bn2", "layer2"]).eval()

    with torch.no_grad():
        assert_close(maps(IMAGES), list(by_hand(base.get_layer("resnet18").module)))


def test_channels_last_images_give_channels_last_maps():
    kerasish.config.set_image_data_format("channels_last")
    base = resnet18(include_preprocessing=True).eval()
    network = base.get_layer("resnet18")
    maps = applications.FeatureMaps(base, ["layer4"]).eval()
    pixels = 255 * IMAGES.permute(0, 2, 3, 1)

    assert_close(maps(pixels)[0], base(pixels, training=False))
    assert_close(maps(pixels)[0], network(pixels))


def test_maps_make_a_functional_model_that_trains_the_networks_weights(tmp_path):
    base = resnet18()
    images = Input((3, 32, 32))
    small, large = applications.FeatureMaps(base, ["layer2", "layer1"], name="maps")(images)
    joined = layers.Concatenate(axis=1)([layers.UpSampling2D(2)(small), large])
    model = Model(images, layers.Conv2D(1, 1)(joined))
    weight = base.get_layer("resnet18").module.conv1.weight
    before = weight.detach().clone()
    model.compile("sgd", "mse")

    model.fit(IMAGES, torch.zeros(2, 1, 8, 8), verbose=0)
    model.save(tmp_path / "model.kerasish")

    assert not torch.equal(weight, before)
    loaded = kerasish.saving.load_model(tmp_path / "model.kerasish")
    assert_close(loaded.predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0))
    listed = [id(weight) for weight in model.weights]
    assert len(listed) == len(set(listed))


def test_a_frozen_part_does_not_learn():
    base = resnet18()
    images = Input((3, 32, 32))
    maps = applications.FeatureMaps(base, "layer1", trainable=False)
    model = Model(images, layers.GlobalAveragePooling2D()(maps(images)[0]))

    assert maps.name.startswith("feature_maps")
    assert model.trainable_weights == []
    model.train()
    assert not maps.module.bn1.training


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["layer9"], "'resnet18' has no 'layer9'; did you mean 'layer"),
        (["conv4_block6_2_relu"], "'resnet18' has no 'conv4_block6_2_relu'"),
        ([], "give at least one path"),
    ],
)
def test_places_that_do_not_exist_are_refused(paths, message):
    with pytest.raises(ValueError, match=message):
        applications.FeatureMaps(resnet18(), paths)


def test_other_models_are_refused():
    with pytest.raises(TypeError, match="expected a network of torchvision or timm"):
        applications.FeatureMaps(kerasish.Sequential([layers.Dense(1)]), ["dense"])


def test_get_layer_tells_where_to_find_what_is_inside_a_network():
    with pytest.raises(
        ValueError, match=r"their outputs, applications.FeatureMaps as a layer of an"
    ):
        resnet18().get_layer("conv2_block2_out")
