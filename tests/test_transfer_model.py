"""New heads on networks of several kinds."""

import numpy as np
import pytest
import torch
from torch import nn

import kerasish
from kerasish import applications, layers
from kerasish.transfer import TransferModel

torchvision = pytest.importorskip("torchvision")

SIZE = {"weights": None, "input_shape": (3, 32, 32)}


def network(name="ShuffleNetV2_x0_5", **kwargs):
    return applications.get(name)(**{**SIZE, "classes": 7, **kwargs})


def stack():
    return kerasish.Sequential(
        [layers.Input((4,)), layers.Dense(6, name="body"), layers.Dense(9, name="old")]
    )


def names(model):
    return [layer.name for layer in model.layers]


def learning(model):
    return [stage.name for stage in model.stages() if stage.trainable]


@pytest.mark.parametrize("name", ["ShuffleNetV2_x0_5", "SqueezeNet1_1", "MobileNetV3Small"])
@pytest.mark.parametrize("top", [True, False], ids=["with top", "without"])
def test_an_applications_classifier_is_replaced_and_the_backbone_shared(name, top):
    old = network(name, include_top=top)
    model = TransferModel(old, classes=3)

    assert model.output_shape == (None, 3)
    assert model.layers[1] is old.layers[1]
    assert names(model)[-1] == "head"
    model.freeze()
    assert learning(model) == ["head"]
    assert all(not p.requires_grad for p in old.layers[1].parameters())


def test_a_name_makes_the_application_with_its_arguments():
    model = TransferModel("shufflenet_v2_x0_5", classes=["a", "b"], **SIZE)

    assert model.class_names == ["a", "b"]
    assert model.preprocessing.size == (32, 32)
    assert model.layers[1].architecture == "shufflenet_v2_x0_5"


def test_raw_images_are_made_ready_as_the_network_has_them():
    old = network()
    model = TransferModel(old, classes=3)
    raw = np.random.default_rng(0).integers(0, 256, (2, 3, 40, 40), dtype="uint8")
    features = kerasish.transfer.extract_features(old, raw)["features"]

    want = model.get_layer("head")(torch.from_numpy(features)).detach().numpy()

    np.testing.assert_allclose(model.predict(raw, verbose=0), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("pooling", "reduce"), [(None, "mean"), ("avg", "mean"), ("max", "amax")])
def test_maps_are_pooled_before_a_dense_head(pooling, reduce):
    old = network(include_top=False)
    model = TransferModel(old, classes=3, pooling=pooling, classifier_activation=None).eval()
    x = torch.rand(2, 3, 32, 32)

    pooled = getattr(old.eval()(x), reduce)((2, 3))

    torch.testing.assert_close(model(x), model.get_layer("head")(pooled))


def test_tokens_are_pooled_too():
    tokens = kerasish.Sequential(
        [layers.Input((5, 4)), layers.Dense(6), layers.LayerNormalization()]
    )
    assert TransferModel(tokens, classes=2, features=tokens.layers[-1].name).output_shape == (
        None,
        2,
    )


def test_a_head_of_ones_own_gets_the_features_as_they_are():
    old = network(include_top=False)
    head = [layers.Flatten(), nn.Linear(1024, 5), layers.Dropout(0.5), layers.Dense(3)]
    model = TransferModel(old, head=head)

    assert model.output_shape == (None, 3)
    model.freeze()
    assert len(learning(model)) == 2


def test_a_plain_torch_module_is_used_as_it_is():
    net = torchvision.models.shufflenet_v2_x0_5(weights=None)
    net.fc = nn.Identity()
    model = TransferModel(net, classes=3, input_shape=(3, 32, 32)).eval()
    x = torch.rand(2, 3, 32, 32)

    torch.testing.assert_close(model(x), model.get_layer("head")(net.eval()(x)))
    assert model.preprocessing is None
    model.freeze()
    assert learning(model) == ["head"]


def test_a_model_of_kerasish_layers_is_cut_before_its_last_dense_layer():
    model = TransferModel(stack(), classes=2)

    assert names(model)[1:] == ["body", "head"]


def test_the_layer_whose_output_is_used_can_be_named():
    model = TransferModel(stack(), classes=2, features="old")

    assert names(model)[1:] == ["body", "old", "head"]


def test_a_model_without_a_classifier_is_used_whole():
    old = kerasish.Sequential(
        [layers.Input((1, 8, 8)), layers.Conv2D(4, 3, name="conv"), layers.GlobalMaxPooling2D()]
    )

    assert TransferModel(old, classes=2).layers[1:3] == old.layers


def test_it_is_saved_with_all_it_knows(tmp_path):
    model = TransferModel(network(), classes=["x", "y"])
    model.freeze()
    model.save(tmp_path / "m.kerasish")
    again = kerasish.load_model(tmp_path / "m.kerasish")
    raw = np.random.default_rng(0).integers(0, 256, (2, 40, 48, 3), dtype="uint8")

    assert np.array_equal(again.predict(raw, verbose=0), model.predict(raw, verbose=0))
    assert again.classify(raw) == model.classify(raw)
    assert learning(again) == ["head"]
    again.unfreeze()
    again.freeze()
    assert learning(again) == ["head"]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: TransferModel(stack()), ValueError, "give the number of `classes`, or a `head`"),
        (lambda: TransferModel("ResNet5O", 2), ValueError, "did you mean 'ResNet50'"),
        (lambda: TransferModel(3, 2), TypeError, "must be a name of applications.list"),
        (
            lambda: TransferModel(stack(), 2, weights=None),
            TypeError,
            "'weights' goes with the name",
        ),
        (lambda: TransferModel(nn.Linear(3, 2), 2), TypeError, "needs an `input_shape`"),
        (lambda: TransferModel(stack(), 2, features="bodi"), ValueError, "did you mean 'body'"),
        (lambda: TransferModel(stack(), 1), ValueError, "classifier_activation='sigmoid'"),
        (lambda: TransferModel(stack(), 2, pooling="sum"), ValueError, "`pooling` must be one of"),
        (
            lambda: TransferModel(stack(), 2, head=layers.Dense(5)),
            ValueError,
            "for 2 classes; let its last layer have 2 units",
        ),
    ],
)
def test_wrong_arguments_are_explained(make, error, message):
    with pytest.raises(error, match=message):
        make()
