"""Stages of networks; freezing and thawing them between fits."""

import copy
from functools import partial

import pytest
import torch
from torch import nn

import kerasish
from kerasish import layers
from kerasish.models.freezing import freeze, stages, unfreeze


def block(channels, step):
    return nn.Sequential(
        nn.Conv2d(channels, 2 * channels, 3, step, 1), nn.BatchNorm2d(2 * channels), nn.ReLU()
    )


class Net(nn.Module):
    """A small backbone with the layout of torchvision's."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 2, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(2)
        self.layer1, self.layer2 = block(2, 1), block(4, 2)
        self.layer3 = nn.Sequential(block(8, 2), nn.Dropout(0.5))
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(self.bn1(self.conv1(x)).relu())))
        return self.pool(x).flatten(1)


def torch_backed():
    image = kerasish.Input((1, 8, 8))
    x = layers.TorchModule(Net(), name="net")(image)
    return kerasish.Model(image, layers.Dense(3, name="head")(x))


def all_kerasish():
    def unit(filters, name):
        return [
            layers.Conv2D(filters, 3, padding="same", name=name),
            layers.BatchNormalization(name=f"{name}_norm"),
            layers.Dropout(0.2, name=f"{name}_drop"),
        ]

    return kerasish.Sequential(
        [
            layers.Input((1, 8, 8)),
            *unit(2, "conv1"),
            *unit(4, "layer1"),
            *unit(4, "layer2"),
            *unit(8, "layer3"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, name="head"),
        ]
    )


MODELS = pytest.mark.parametrize("make", [torch_backed, all_kerasish])
NAMES = ["conv1", "layer1", "layer2", "layer3", "head"]


def frozen(model):
    return [stage.name for stage in stages(model) if not stage.trainable]


def fit(model, seed=0):
    torch.manual_seed(seed)
    x, y = torch.rand(12, 1, 8, 8), torch.arange(12) % 3
    model.fit(x, y, batch_size=4, epochs=1, verbose=0)


def compiled(make):
    model = make()
    model.compile("adam", kerasish.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def state(model, names):
    """Copies of the parameters and buffers of stages, by name."""
    tensors = dict(model.state_dict(keep_vars=True))
    chosen = [s for s in stages(model) if s.name in names]
    owners = {n.rpartition(".")[0] for s in chosen for n in s.parameters}
    return {
        key: tensor.detach().clone()
        for key, tensor in tensors.items()
        if key.rpartition(".")[0] in owners
    }


def same(a, b):
    return [key for key in a if not torch.equal(a[key], b[key])] == []


# Stages


@MODELS
def test_stages_go_from_generic_to_specific_and_the_head_is_last(make):
    assert [stage.name for stage in make().stages()] == NAMES


@MODELS
def test_every_parameter_is_in_one_stage(make):
    model = make()

    found = [name for stage in model.stages() for name in stage.parameters]

    assert sorted(found) == sorted(name for name, _ in model.named_parameters())


def test_torchvisions_containers_are_opened():
    convs = [nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3), nn.MaxPool2d(2), nn.Conv2d(2, 4, 3)]
    net = nn.ModuleDict({"features": nn.Sequential(*convs), "classifier": nn.Linear(4, 2)})

    assert [s.name for s in stages(net)] == ["features.0", "features.4", "classifier"]


def test_parameters_outside_all_children_join_the_stage_after_them():
    net = nn.TransformerEncoderLayer(4, 1)
    net.token = nn.Parameter(torch.ones(4))

    assert "token" in stages(net)[0].parameters


def test_stages_of_equal_names_are_told_apart_by_their_paths():
    image = kerasish.Input((1, 8, 8))
    nets = [layers.TorchModule(Net(), name=name)(image) for name in ("left", "right")]
    model = kerasish.Model(image, layers.Dense(2, name="head")(layers.concatenate(nets)))

    names = [stage.name for stage in model.stages()]

    assert "left.module.layer1" in names
    assert "right.module.layer1" in names


def test_a_model_inside_a_model_shows_its_stages():
    inner = all_kerasish()
    image = kerasish.Input((1, 8, 8))
    model = kerasish.Model(image, layers.Dense(2, name="top")(inner(image)))

    assert [stage.name for stage in model.stages()] == [*NAMES, "top"]


def test_stages_of_an_unbuilt_model_are_refused():
    with pytest.raises(ValueError, match="has no weights yet"):
        stages(kerasish.Sequential([layers.Dense(2)]))


def test_a_stage_prints_its_name_size_and_state():
    model = torch_backed()
    model.freeze(until="conv1")

    assert repr(model.stages()[0]) == "Stage('conv1', 24 parameters, frozen)"


# What is chosen


@MODELS
@pytest.mark.parametrize(
    ("args", "kwargs", "want"),
    [
        ((), {}, NAMES[:-1]),
        ((), {"until": "layer2"}, NAMES[:3]),
        ((), {"first": 2}, NAMES[:2]),
        (("layer[1-2]*",), {}, ["layer1", "layer2"]),
        ((["conv1", "layer3"],), {}, ["conv1", "layer3"]),
        ((0.4,), {}, NAMES[:2]),
        (("*",), {}, NAMES),
    ],
)
def test_freeze_takes_stages_patterns_and_fractions(make, args, kwargs, want):
    model = make()

    model.freeze(*args, **kwargs)

    assert [n for n in frozen(model) if n != "layer1_norm"] == want


@MODELS
@pytest.mark.parametrize(
    ("args", "kwargs", "want"),
    [
        ((), {}, []),
        ((), {"last": 2}, NAMES[:3]),
        ((), {"since": "layer2"}, NAMES[:2]),
        (("layer1",), {}, ["conv1", "layer2", "layer3", "head"]),
        ((0.4,), {}, NAMES[:3]),
    ],
)
def test_unfreeze_takes_stages_patterns_and_fractions(make, args, kwargs, want):
    model = make()
    model.trainable = False

    model.unfreeze(*args, **kwargs)

    assert frozen(model) == want
    assert model.trainable


def test_patterns_reach_parameters_inside_torch_modules():
    model = torch_backed()

    model.freeze("layer[1-2].*")
    model.freeze("*.bias")

    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert learning == {
        "net.module.conv1.weight",
        "net.module.bn1.weight",
        "net.module.layer3.0.0.weight",
        "net.module.layer3.0.1.weight",
        "head.linear.weight",
    }


def test_plain_torch_modules_are_frozen_too():
    net = Net()

    freeze(net, until="layer1")
    unfreeze(net, "bn1")

    learning = [name for name, p in net.named_parameters() if not p.requires_grad]
    assert learning == ["conv1.weight", "conv1.bias", *(f"layer1.{k}" for k in PARTS)]


PARTS = ["0.weight", "0.bias", "1.weight", "1.bias"]


@MODELS
def test_dropout_follows_the_frozen_part_it_is_in_and_no_other(make):
    model = make()
    model.trainable = False

    model.unfreeze(last=1)
    model.train()
    off = [m for m in model.modules() if isinstance(m, nn.Dropout) and not m.training]
    model.unfreeze()
    model.train()

    assert len(off) == (1 if make is torch_backed else 0)
    assert all(m.training for m in model.modules() if isinstance(m, nn.Dropout))


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"until": "layer9"}, ValueError, "has no stage 'layer9'; did you mean 'layer"),
        ({"what": "block*"}, ValueError, "nothing in .* fits 'block\\*'"),
        ({"what": 1.5}, ValueError, "a fraction lies between 0 and 1, got 1.5"),
        ({"first": -1}, ValueError, "expected a number of stages, got -1"),
        ({"what": {"a": 1}}, TypeError, "expected a pattern, a list of them or a fraction"),
    ],
)
def test_what_fits_nothing_is_refused_and_nothing_changes(kwargs, error, message):
    model = torch_backed()

    with pytest.raises(error, match=message):
        model.freeze(**kwargs)

    assert frozen(model) == []


# Over several fits


@MODELS
def test_frozen_parameters_and_buffers_are_byte_equal_over_three_fits(make):
    model = compiled(make)

    model.freeze(until="layer2")
    before, learning = state(model, NAMES[:3]), state(model, ["layer3", "head"])
    fit(model)
    assert same(before, state(model, NAMES[:3]))
    assert not same(learning, state(model, ["layer3", "head"]))

    model.unfreeze("layer2")
    before, learning = state(model, NAMES[:2]), state(model, ["layer2"])
    fit(model)
    assert same(before, state(model, NAMES[:2]))
    assert not same(learning, state(model, ["layer2"]))

    model.freeze()
    before, learning = state(model, NAMES[:4]), state(model, ["head"])
    fit(model)
    assert same(before, state(model, NAMES[:4]))
    assert not same(learning, state(model, ["head"]))


def test_statistics_without_parameters_are_frozen_with_their_stage():
    net = nn.Sequential()
    net.add_module("conv1", nn.Conv2d(1, 2, 3))
    net.add_module("norm1", nn.BatchNorm2d(2, affine=False))
    net.add_module("layer1", block(2, 1))
    net.add_module("pool", nn.AdaptiveAvgPool2d(1))
    image = kerasish.Input((1, 8, 8))
    features = layers.Flatten()(layers.TorchModule(net, name="net")(image))
    model = kerasish.Model(image, layers.Dense(3, name="head")(features))
    model.compile("sgd", kerasish.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.freeze(until="conv1")
    before = net.norm1.running_mean.clone()

    fit(model)
    assert torch.equal(net.norm1.running_mean, before)

    model.unfreeze()
    fit(model)
    assert not torch.equal(net.norm1.running_mean, before)


@MODELS
def test_optimizer_keeps_the_moments_of_what_goes_on_learning(make):
    model = compiled(make)
    fit(model)
    moments = model.optimizer.torch.state
    head = model.stages()[-1].parameters
    before = {name: copy.deepcopy(moments[p]) for name, p in head.items()}

    model.freeze(until="layer3")
    torch.manual_seed(3)
    model.train_on_batch(torch.rand(4, 1, 8, 8), torch.arange(4) % 3)

    assert set(moments) == set(head.values())
    for name, parameter in head.items():
        grown = moments[parameter]
        assert float(grown["step"]) == float(before[name]["step"]) + 1
        # Adam's average keeps nine tenths of what it was.
        rest = grown["exp_avg"] - 0.9 * before[name]["exp_avg"]
        assert not torch.equal(grown["exp_avg"], before[name]["exp_avg"])
        assert float(rest.abs().sum()) < float(rest.numel())


def test_freezing_gives_the_numbers_of_training_the_rest_by_hand():
    model = torch_backed()
    twin = copy.deepcopy(model)
    model.compile("sgd", kerasish.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.freeze()
    x, y = torch.rand(4, 1, 8, 8), torch.arange(4) % 3

    model.fit(x, y, batch_size=4, epochs=1, verbose=0, shuffle=False)

    features = twin.get_layer("net").eval()(x).detach()
    head = twin.get_layer("head")
    nn.functional.cross_entropy(head(features), y).backward()
    want = head.linear.weight - 0.01 * head.linear.weight.grad
    torch.testing.assert_close(model.get_layer("head").linear.weight, want)


def test_layers_named_as_one_block_are_one_stage():
    convolution = partial(layers.Conv2D, 4, 3, padding="same")
    model = kerasish.Sequential(
        [
            layers.Input((3, 8, 8)),
            convolution(name="block1_conv1"),
            convolution(name="block1_conv2"),
            layers.BatchNormalization(name="block1_bn"),
            layers.MaxPooling2D(name="block1_pool"),
            convolution(name="block2_conv1"),
            layers.MaxPooling2D(name="block2_pool"),
            convolution(name="block2_conv2"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2),
            layers.Dense(2),
        ]
    )
    names = [stage.name for stage in model.stages()]
    assert names[:2] == ["block1", "block2"]
    assert len(names) == 4  # layers with names of their own making are stages of their own

    model.freeze(until="block1")

    assert [layer.trainable for layer in model.layers if layer.weights] == [False] * 3 + [True] * 4
