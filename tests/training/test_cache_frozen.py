"""Training on what the frozen part made of the data once: the same bits as without."""

import numpy as np
import pytest
import torch
from torch import nn

import kerasish
from kerasish import layers


class Net(nn.Module):
    """A small backbone with the layout of torchvision's."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(nn.Conv2d(4, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU())
        self.layer2 = nn.Sequential(nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        self.rows = 0

    def forward(self, x):
        if isinstance(x, torch.Tensor) and not x.is_meta:
            self.rows += len(x)
        x = self.layer1(self.relu(self.bn1(self.conv1(x))))
        x = self.layer2(x)
        return torch.flatten(x.mean((2, 3)), 1)


def nested():
    """A net inside a torch module, and a head with dropout."""
    image = kerasish.Input((1, 12, 12))
    x = layers.TorchModule(Net(), name="net")(image)
    x = layers.Dropout(0.5)(x)
    return kerasish.Model(image, layers.Dense(3, name="head")(x))


def stack():
    """Layers of kerasish in a row."""
    return kerasish.Sequential(
        [
            layers.Input((1, 12, 12)),
            layers.Rescaling(0.5),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Conv2D(8, 3, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(3, name="head"),
        ]
    )


def branches():
    """A frozen branch, and one that sees the image itself."""
    image = kerasish.Input((1, 12, 12))
    a = layers.Conv2D(4, 3, name="frozen")(image)
    b = layers.Conv2D(4, 3, name="learns")(image)
    x = layers.Flatten()(layers.Concatenate()([a, b, a * 2]))
    return kerasish.Model(image, layers.Dense(3, name="head")(x))


def wrapped():
    """A torch module of one's own as a model."""
    net = Net()
    return kerasish.Model(nn.Sequential(net, nn.Linear(8, 3)))


MODELS = {
    "backbone": (nested, lambda m: m.freeze()),
    "part of a backbone": (nested, lambda m: m.freeze(until="layer1")),
    "first convolution": (nested, lambda m: m.freeze(until="conv1")),
    "layers": (stack, lambda m: m.freeze()),
    "some layers": (stack, lambda m: m.freeze(first=1)),
    "branches": (branches, lambda m: m.freeze("frozen")),
    "torch module": (wrapped, lambda m: m.freeze(["*conv1*", "*bn1*", "*layer1*"])),
}


def compiled(make, **kwargs):
    kerasish.utils.set_random_seed(0)
    model = make()
    if not model.built:
        model(torch.zeros(2, 1, 12, 12))
    loss = kerasish.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"], **kwargs)
    return model


def data(rows=45):
    random = np.random.default_rng(0)
    return random.random((rows, 1, 12, 12)).astype("float32"), np.arange(rows) % 3


def fitted(make, freeze, cache_frozen, *, compile=None, x=None, y=None, **kwargs):
    model = compiled(make, **(compile or {}))
    freeze(model)
    if x is None:
        x, y = data()
    settings = {"epochs": 3, "batch_size": 8, "verbose": 0, "validation_split": 0.2}
    kerasish.utils.set_random_seed(1)
    history = model.fit(x, y, cache_frozen=cache_frozen, **{**settings, **kwargs})
    return history.history, model.state_dict(), torch.rand(())


def assert_same_bits(got, want):
    assert got[0] == want[0]
    pairs = zip(got[1].values(), want[1].values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert torch.equal(got[2], want[2])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("batch_size", [8, 7, 35, 50])
def test_losses_and_weights_are_the_same_bits(name, batch_size):
    make, freeze = MODELS[name]

    got = fitted(make, freeze, True, batch_size=batch_size)

    assert_same_bits(got, fitted(make, freeze, False, batch_size=batch_size))


@pytest.mark.parametrize(
    "settings",
    [
        {"shuffle": False},
        {"shuffle": "batch"},
        {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}},
        {"sample_weight": np.linspace(0.5, 2, 45)},
        {"steps_per_epoch": 3},
        {"validation_freq": 2},
        {"validation_steps": 1},
        {"compile": {"accumulate_steps": 2}},
        {"compile": {"clip_norm": 0.1}},
        {"compile": {"precision": "bfloat16-mixed"}},
        {"compile": {"precision": "float64"}},
        {"compile": {"memory_format": "channels_last"}},
    ],
    ids=lambda settings: str(settings)[:50],
)
def test_settings_work_on_features_as_on_data(settings):
    make, freeze = MODELS["part of a backbone"]

    got = fitted(make, freeze, True, **settings)

    assert_same_bits(got, fitted(make, freeze, False, **settings))


def test_the_frozen_part_sees_each_row_once():
    model = compiled(nested)
    model.freeze()
    x, y = data(80)
    net = model.get_layer("net").module
    net.rows = 0

    model.fit(x, y, batch_size=8, epochs=20, verbose=0, cache_frozen=True)

    assert net.rows < 80 + 8 * 8  # once, and a few batches to try
