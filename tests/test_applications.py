"""The catalogue of networks: names, arguments, models, images and class names."""

import importlib
import inspect
import sys
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

import kerasish
from kerasish import Input, Model, applications, layers
from kerasish.applications.backbone import Backbone
from kerasish.applications.catalogue import ALL, NAMES
from kerasish.applications.pretrained import load_backbone, weights_enum
from kerasish.applications.timm_application import TimmApplication

torchvision = pytest.importorskip("torchvision")


def small(name="ResNet18", **kwargs):
    return applications.get(name)(
        **{"weights": None, "classes": 3, "input_shape": (3, 32, 32), **kwargs}
    )


# Names


def test_catalogue_names_every_classification_network_of_torchvision():
    known = torchvision.models.list_models(module=torchvision.models)

    assert sorted(NAMES.values()) == known


def test_list_takes_patterns_and_is_sorted():
    assert applications.list() == sorted(ALL)
    assert applications.list("vgg*bn") == ["VGG11BN", "VGG13BN", "VGG16BN", "VGG19BN"]


def test_table_tells_what_is_published():
    table = applications.table("resnet50*", sort="parameters")

    want = torchvision.models.ResNet50_Weights.DEFAULT.meta
    assert [(e.name, e.parameters, e.top1, e.size, e.source) for e in table] == [
        (
            "ResNet50",
            want["num_params"],
            want["_metrics"]["ImageNet-1K"]["acc@1"],
            224,
            "torchvision",
        ),
        ("ResNet50V2", 25_613_800, 76.0, 224, "keras"),
    ]
    assert repr(table).splitlines()[2].split() == [
        "ResNet50V2",
        "25,613,800",
        "76.0",
        "224",
        "keras",
    ]
    assert table._repr_html_().count("<tr>") == 3


def test_table_has_all_networks_and_becomes_a_frame():
    pandas = pytest.importorskip("pandas")
    table = applications.table(sort="top1")

    frame = table.to_frame()

    assert isinstance(frame, pandas.DataFrame)
    assert sorted(frame.index) == applications.list()
    assert frame.top1.is_monotonic_increasing
    assert applications.table("nothing*").to_frame().shape == (0, 4)
    with pytest.raises(ValueError, match=r"`sort` is one of .* did you mean 'top1'"):
        applications.table(sort="top")


@pytest.mark.parametrize("name", ["ResNet50", "resnet50", "RESNET_50"])
def test_get_ignores_case_and_underscores(name):
    assert applications.get(name) is applications.ResNet50


def test_networks_are_attributes_as_in_keras():
    from kerasish.applications import VGG16

    assert VGG16 is applications.vgg16.VGG16
    assert "VGG16" in dir(applications)


def test_unknown_name_gets_a_suggestion():
    with pytest.raises(ValueError, match="did you mean 'ResNet50'"):
        applications.get("ResNet5O")
    with pytest.raises(TypeError, match="expected a name"):
        applications.get(3)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = applications.Nothing


@pytest.mark.parametrize(
    "name",
    [
        "ResNet50",
        "VGG16",
        "DenseNet121",
        "MobileNetV2",
        "MobileNetV3Small",
        "EfficientNetB0",
        "EfficientNetV2S",
        "ConvNeXtTiny",
        "InceptionV3",
    ],
)
def test_arguments_have_the_names_order_and_defaults_of_keras(name):
    keras = pytest.importorskip("keras")
    theirs = inspect.signature(getattr(keras.applications, name)).parameters
    ours = inspect.signature(applications.get(name)).parameters

    assert list(ours)[: len(theirs)] == list(theirs)
    for key in theirs.keys() - {"name"}:
        assert ours[key].default == theirs[key].default


@pytest.mark.parametrize("name", sorted(NAMES))
def test_backbone_and_head_have_as_many_parameters_as_torchvision_says(name):
    architecture = NAMES[name]
    if architecture in ("vit_h_14", "googlenet", "inception_v3"):
        pytest.skip("another image size, or auxiliary classifiers in torchvision's number")
    if architecture.startswith("regnet") and not architecture.endswith("00mf"):
        pytest.skip("too large to make; torchvision computes its widths on real tensors")
    builder = torchvision.models.get_model_builder(architecture)
    with torch.device("cpu" if architecture.startswith("regnet") else "meta"):
        backbone = Backbone(architecture)
        whole = builder(weights=None)

    head = whole.get_submodule(backbone.head_path)
    count = sum(p.numel() for p in [*backbone.parameters(), *head.parameters()])

    assert count == weights_enum(architecture).DEFAULT.meta["num_params"]


# Models


@pytest.mark.parametrize("name", ["ResNet18", "MobileNetV3Small", "SqueezeNet1_1", "MNASNet0_5"])
def test_a_model_with_torchvisions_weights_gives_torchvisions_numbers(name, tmp_path):
    whole = torchvision.models.get_model(NAMES[name], weights=None, num_classes=3).eval()
    torch.save(whole.state_dict(), tmp_path / "w.pth")
    model = small(
        name,
        weights=tmp_path / "w.pth",
        input_shape=(3, 64, 64),
        classifier_activation=None,
        include_preprocessing=False,
    )
    x = torch.rand(2, 3, 64, 64)

    assert_close(model.eval()(x), whole(x))


@pytest.mark.parametrize(
    ("name", "reach"),
    [
        ("ResNet18", lambda m, x: m.layer4(m.layer3(m.layer2(m.layer1(stem(m, x)))))),
        ("DenseNet121", lambda m, x: m.features(x).relu()),
        ("SwinT", lambda m, x: m.permute(m.norm(m.features(x)))),
        ("ShuffleNetV2_x0_5", lambda m, x: m.conv5(m.stage4(m.stage3(m.stage2(pool(m, x)))))),
    ],
)
def test_a_map_is_what_torchvision_has_before_pooling(name, reach):
    whole = torchvision.models.get_model(NAMES[name], weights=None).eval()
    backbone = Backbone(NAMES[name], "map")
    load_backbone(backbone, whole.state_dict())
    x = torch.rand(1, 3, 64, 64)

    assert_close(backbone.eval()(x), reach(whole, x))


def stem(m, x):
    return m.maxpool(m.relu(m.bn1(m.conv1(x))))


def pool(m, x):
    return m.maxpool(m.conv1(x))


def test_googlenets_map_is_normalised_as_its_weights_expect():
    whole = torchvision.models.googlenet(
        weights=None, init_weights=True, aux_logits=False, transform_input=True
    ).eval()
    backbone, vector = Backbone("googlenet", "map"), Backbone("googlenet")
    load_backbone(backbone, whole.state_dict())
    load_backbone(vector, whole.state_dict())
    x = torch.rand(1, 3, 64, 64)

    y = backbone.eval()(x)

    assert_close(whole.fc(y.mean((2, 3))), whole(x), rtol=1e-4, atol=1e-4)
    assert_close(whole.fc(vector.eval()(x)), whole(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pooling", [None, "avg", "max"])
def test_without_top_the_map_may_be_pooled(pooling):
    model = small(include_top=False, pooling=pooling, input_shape=(3, 64, 64))

    assert model.output_shape == ((None, 512, 2, 2) if pooling is None else (None, 512))


def test_without_top_or_input_shape_any_size_goes():
    model = small("SqueezeNet1_1", include_top=False, pooling="avg", input_shape=None)

    assert model(torch.rand(1, 3, 40, 48)).shape == (1, 512)


def test_channels_last_images_give_the_same_numbers():
    x = torch.rand(2, 3, 32, 32)
    first = small(include_top=False).eval()
    kerasish.config.set_image_data_format("channels_last")
    last = small(include_top=False, input_shape=(32, 32, 3)).eval()
    last.load_state_dict(first.state_dict())

    y = last(x.permute(0, 2, 3, 1).contiguous())

    assert_close(y.permute(0, 3, 1, 2), first(x))


def test_grey_images_go_with_new_weights():
    model = small(input_shape=(1, 32, 32))

    assert model(torch.rand(2, 1, 32, 32)).shape == (2, 3)


def test_input_tensor_may_come_from_other_layers():
    image = kerasish.Input((32, 32, 3))
    model = small(input_tensor=layers.Permute((3, 1, 2))(image), input_shape=None)

    assert model.input_shape == (None, 32, 32, 3)
    assert model(torch.rand(2, 32, 32, 3)).shape == (2, 3)


def test_preprocessing_inside_the_model_equals_preprocess_input_before_it():
    x = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32), dtype=np.uint8)
    outside = small().eval()
    inside = small(include_preprocessing=True).eval()
    inside.load_state_dict(outside.state_dict())

    y = outside(applications.ResNet18.preprocess_input(x))

    assert_close(inside(x.astype("float32")), y, rtol=1e-4, atol=1e-4)
    assert inside.count_params() == outside.count_params()


def test_vision_transformer_is_made_for_its_image_size():
    with torch.device("meta"):
        model = Backbone("vit_b_32", options={"image_size": 64})

    assert model.module.encoder.pos_embedding.shape == (1, 1 + 2 * 2, 768)


def test_torchvisions_own_arguments_are_passed_on():
    model = small("SqueezeNet1_1", dropout=0.25)

    assert model.get_layer("squeezenet1_1").options == {"dropout": 0.25}


def test_mobilenet_takes_kerass_alpha():
    model = small("MobileNetV2", alpha=0.5)

    assert model.get_layer("mobilenet_v2").module.features[1].conv[-1].num_features == 8


def test_model_fits_saves_and_comes_back_in_all_its_parts(tmp_path):
    model = small()
    backbone = model.get_layer("resnet18")
    backbone.module.layer1.requires_grad_(False)
    backbone.module.conv1.requires_grad_(False)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = torch.rand(6, 3, 32, 32), torch.arange(6) % 3

    history = model.fit(x, y, batch_size=3, epochs=1, verbose=0)
    model.save(tmp_path / "m.kerasish")
    again = kerasish.saving.load_model(tmp_path / "m.kerasish")

    assert np.isfinite(history.history["loss"][0])
    assert_close(again.predict(x, verbose=0), model.predict(x, verbose=0), rtol=0, atol=0)
    assert again.get_layer("resnet18").get_config()["frozen"] == ["conv1", "layer1"]


def test_backbone_keeps_torchvisions_names():
    backbone = small().get_layer("resnet18")

    theirs = torchvision.models.resnet18().state_dict().keys()

    assert set(backbone.module.state_dict()) == {k for k in theirs if not k.startswith("fc")}
    assert isinstance(backbone.module.layer4[0].conv1, nn.Conv2d)


# Wrong arguments


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"pooling": "mean"}, ValueError, "`pooling` must be 'avg', 'max' or None"),
        ({"classes": 0}, ValueError, "`classes` must be a positive integer, got 0"),
        ({"classes": 2.5}, ValueError, "`classes` must be a positive integer, got 2.5"),
        ({"clases": 4}, TypeError, "no argument 'clases'; did you mean 'classes'"),
        ({"colour": 4}, TypeError, "torchvision refuses"),
        ({"input_shape": (32, 32)}, ValueError, r"`input_shape` must be \(channels, height"),
        ({"input_tensor": np.ones(3)}, TypeError, "`input_tensor` must be symbolic"),
        ({"weights": "imagnet"}, ValueError, "did you mean 'imagenet'"),
        ({"weights": "x.pth"}, FileNotFoundError, "no weights file x.pth"),
        ({"input_shape": (None, 32, 32)}, ValueError, "number of channels must be known"),
    ],
)
def test_wrong_arguments_are_explained(kwargs, error, message):
    with pytest.raises(error, match=message):
        small(**kwargs)


def test_images_with_the_wrong_channels_or_too_small_are_refused(tmp_path):
    with pytest.raises(ValueError, match="see 3 channels, but there are 1"):
        small(weights="imagenet", input_shape=(1, 32, 32))
    with pytest.raises(ValueError, match=r"channels, height, width. here.*channels_last"):
        small(input_shape=(32, 32, 3))
    with pytest.raises(ValueError, match=r"at least .63, 63., got .32, 32."):
        small("AlexNet")


def test_pooling_with_a_top_warns():
    with pytest.warns(UserWarning, match="no effect with a top"):
        small("SqueezeNet1_1", pooling="avg")


def test_mobilenet_has_no_minimalistic_variant():
    with pytest.raises(ValueError, match="pass minimalistic=False"):
        small("MobileNetV3Small", minimalistic=True)


@pytest.mark.parametrize("alpha", [0, -1.0, "wide", True])
def test_alpha_is_a_positive_number(alpha):
    for name in ("MobileNet", "MobileNetV2", "MobileNetV3Small"):
        with pytest.raises(ValueError, match="`alpha` must be a positive number"):
            small(name, alpha=alpha)


def test_outputs_in_between_are_those_that_torchvision_finds():
    extraction = pytest.importorskip("torchvision.models.feature_extraction")
    model = small("SqueezeNet1_1", include_top=False, input_shape=(3, 32, 32)).eval()
    inside = model.get_layer("squeezenet1_1").module
    parts = extraction.create_feature_extractor(
        inside, {"features.2": "early", "features.6": "late"}
    )
    x = kerasish.Input((3, 32, 32))

    maps = kerasish.Model(x, layers.TorchModule(parts)(x)).predict(
        torch.ones(1, 3, 32, 32), verbose=0
    )

    assert {name: values.shape[1:] for name, values in maps.items()} == {
        "early": (64, 7, 7),
        "late": (256, 3, 3),
    }


def test_published_weights_are_of_one_width():
    with pytest.raises(ValueError, match=r"weights are of alpha=1\.0, got 0\.5"):
        small("MobileNetV2", alpha=0.5, weights="imagenet")


# Keras's names


def keras_applications():
    return pytest.importorskip("keras").applications


def test_every_name_of_keras_is_there_without_timm(monkeypatch):
    theirs = keras_applications()
    monkeypatch.setitem(sys.modules, "timm", None)
    names = [name for name in dir(theirs) if name[0].isupper()]

    assert len(names) >= 40
    for name in names:
        assert getattr(applications, name) is applications.get(name.lower())
        assert not isinstance(getattr(applications, name), TimmApplication)
    for name in ("EfficientNetV2B3", "ConvNeXtXLarge"):  # built here, not only named
        with torch.device("meta"):
            model = getattr(applications, name)(weights=None, include_top=False)
        assert model.output_shape[2:] == (None, None)


@pytest.mark.parametrize("name", ["EfficientNetB0", "ConvNeXtTiny", "MobileNetV3Small"])
def test_grey_images_are_normalised_inside_by_the_average_channel(name):
    model = small(name, input_shape=(1, 32, 32), include_top=False)
    backbone = model.layers[-1]
    x = torch.rand(2, 1, 32, 32) * 255

    ready = (x / 255 - 0.449) / 0.226

    assert_close(backbone.eval()(x), backbone.module(ready), rtol=1e-4, atol=1e-4)


def test_every_module_of_keras_can_be_imported_and_has_kerass_names():
    theirs = keras_applications()
    modules = [n for n in dir(theirs) if inspect.ismodule(getattr(theirs, n)) and n[0] != "_"]

    assert len(modules) > 15
    for module in modules:
        ours = importlib.import_module(f"kerasish.applications.{module}")
        assert getattr(applications, module) is ours
        for name in (n for n in dir(getattr(theirs, module)) if n[0] != "_"):
            assert callable(getattr(ours, name)), (module, name)


def test_modules_of_keras_hold_the_networks_and_their_functions():
    from kerasish.applications.resnet import ResNet101
    from kerasish.applications.vgg16 import VGG16, decode_predictions, preprocess_input

    from kerasish.applications.xception import Xception

    assert VGG16 is applications.VGG16
    assert ResNet101 is applications.ResNet101
    assert Xception is applications.Xception
    assert preprocess_input == VGG16.preprocess_input
    assert decode_predictions == VGG16.decode_predictions
    assert "VGG16" in dir(applications.vgg16)
    with pytest.raises(ImportError, match="cannot import name 'VGG19'"):
        from kerasish.applications.vgg16 import VGG19  # noqa: F401


@pytest.mark.parametrize("mode", ["tf", "torch", "caffe"])
@pytest.mark.parametrize("form", ["channels_first", "channels_last"])
@pytest.mark.parametrize("rank", [3, 4])
def test_imagenet_utils_make_images_ready_as_keras_does(mode, form, rank):
    theirs = keras_applications().imagenet_utils.preprocess_input
    shape = (3, 5, 4) if form == "channels_first" else (5, 4, 3)
    x = np.random.default_rng(0).uniform(0, 255, (2, *shape)[4 - rank :]).astype("float32")

    got = applications.imagenet_utils.preprocess_input(x, form, mode)
    tensor = applications.imagenet_utils.preprocess_input(torch.from_numpy(x), form, mode)

    want = theirs(x.copy(), form, mode)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(tensor.numpy(), want, rtol=1e-4, atol=1e-4)
    assert got.dtype == want.dtype


def test_imagenet_utils_decode_and_refuse():
    utils = applications.imagenet_utils
    scores = np.eye(1000, dtype="float32")[[7]]

    assert utils.decode_predictions(scores, top=1) == [[(7, "cock", 1.0)]]
    with pytest.raises(ValueError, match="`mode` is 'caffe', 'tf' or 'torch', got 'pil'"):
        utils.preprocess_input(np.ones((3, 4, 4)), mode="pil")
    with pytest.raises(ValueError, match="expected 3 channels"):
        utils.preprocess_input(np.ones((8, 4, 4)))


# Images and class names


@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_preprocess_input_is_torchvisions_normalisation(kind):
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    want = torchvision.transforms.functional.normalize(
        images / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    )
    x = images if kind == "tensor" else images.numpy()
    last = images.permute(0, 2, 3, 1) if kind == "tensor" else images.numpy().transpose(0, 2, 3, 1)

    got = applications.ResNet18.preprocess_input(x)
    got_last = applications.ResNet18.preprocess_input(last, data_format="channels_last")

    assert type(got) is type(x)
    assert_close(torch.as_tensor(got), want)
    assert_close(torch.as_tensor(got_last).permute(0, 3, 1, 2), want)


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch", None])
@pytest.mark.parametrize("form", ["channels_first", "channels_last"])
def test_preprocess_input_is_a_step_of_a_model_where_it_gets_an_input(form, mode, tmp_path):
    shape = (3, 4, 5) if form == "channels_first" else (4, 5, 3)
    utils = applications.imagenet_utils
    ready = partial(utils.preprocess_input, mode=mode) if mode else applications.VGG16
    ready = getattr(ready, "preprocess_input", ready)
    pixels = Input(shape)
    model = Model(pixels, ready(pixels, data_format=form))
    x = torch.randint(256, (2, *shape)).float()

    assert_close(model(x), ready(x, data_format=form))
    assert model.count_params() == 0
    model.save(tmp_path / "ready.kerasish")
    assert_close(
        kerasish.saving.load_model(tmp_path / "ready.kerasish")(x), ready(x, data_format=form)
    )


def test_preprocess_input_leaves_images_alone_where_the_model_normalises():
    x = np.ones((1, 3, 4, 4), "float32")

    assert applications.EfficientNetB0.preprocess_input(x) is x


def test_preprocess_input_refuses_other_channels():
    with pytest.raises(ValueError, match="expected 3 channels at axis -3"):
        applications.ResNet18.preprocess_input(np.ones((1, 8, 8, 3)))


def test_decode_predictions_names_the_best_classes_first():
    scores = np.zeros((1, 1000), "float32")
    scores[0, [3, 7]] = [0.25, 0.75]
    names = torchvision.models.ResNet18_Weights.DEFAULT.meta["categories"]

    decoded = applications.ResNet18.decode_predictions(scores, top=2)

    assert decoded == [[(7, names[7], 0.75), (3, names[3], 0.25)]]
    with pytest.raises(ValueError, match=r"expected shape \(batch, 1000\)"):
        applications.ResNet18.decode_predictions(scores[:, :10])
