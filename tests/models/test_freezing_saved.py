"""Frozen parts in saved files: what was frozen is so again, and the optimizer goes on."""

import pytest
import torch
from torch import nn

import kerasish
from kerasish import layers


def block(channels):
    return nn.Sequential(
        nn.Conv2d(channels, 2 * channels, 3, 1, 1), nn.BatchNorm2d(2 * channels), nn.ReLU()
    )


@kerasish.register
class Net(nn.Module):
    """A small backbone with the layout of torchvision's, and statistics without parameters."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 2, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(2, affine=False)
        self.layer1, self.layer2 = block(2), block(4)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = self.layer2(self.layer1(self.norm1(self.conv1(x)).relu()))
        return self.head(x.mean((2, 3)))


@kerasish.register
class Own(kerasish.Model):
    """A model of own code round the same module."""

    def __init__(self):
        super().__init__()
        self.net, self.out = layers.TorchModule(Net), layers.Dense(3)

    def call(self, inputs):
        return self.out(self.net(inputs))


def graph():
    image = kerasish.Input((1, 6, 6))
    return kerasish.Model(image, layers.Dense(3)(layers.TorchModule(Net)(image)))


def own():
    model = Own()
    model.build((None, 1, 6, 6))
    return model


MODELS = pytest.mark.parametrize("make", [graph, own])


def fit(model, seed):
    torch.manual_seed(seed)
    x, y = torch.rand(8, 1, 6, 6), torch.arange(8) % 3
    model.fit(x, y, batch_size=4, epochs=1, verbose=0)


def compiled(make):
    kerasish.config.set_random_seed(1)
    model = make()
    loss = kerasish.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(kerasish.optimizers.Adam(0.01), loss, lr_multipliers={"*conv1*": 0.5})
    return model


def learning(model):
    return [p.requires_grad for p in model.parameters()]


def assert_same(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def through_a_file(model, tmp_path):
    model.save(tmp_path / "m.kerasish")
    return kerasish.load_model(tmp_path / "m.kerasish")


@MODELS
@pytest.mark.parametrize("what", ["conv1", "layer1", ["conv1", "layer2"], "layer1.1", 0.5], ids=str)
def test_a_partly_frozen_torch_module_is_frozen_the_same_way_after_loading(make, what, tmp_path):
    model = compiled(make)
    model.freeze(what)

    again = through_a_file(model, tmp_path)

    assert not all(learning(model))
    assert learning(again) == learning(model)
    assert [m.training for m in again.train().modules()] == [
        m.training for m in model.train().modules()
    ]


@MODELS
def test_three_fits_with_freezing_between_go_on_after_loading_as_without(make, tmp_path):
    model = compiled(make)
    acts = [
        lambda m: m.freeze("conv1"),
        lambda m: (m.unfreeze(), m.freeze(["layer1", "conv1"])),
        lambda m: m.unfreeze("layer1"),
    ]
    for seed, act in enumerate(acts):
        act(model)
        fit(model, seed)
        again = through_a_file(model, tmp_path)
        torch.manual_seed(0)
        fit(model, seed + 10)
        fit(again, seed + 10)
        assert_same(model, again)


@MODELS
def test_freezing_between_fit_and_save_keeps_the_moments_of_all(make, tmp_path):
    model = compiled(make)
    fit(model, 0)
    model.freeze(0.5)
    again = through_a_file(model, tmp_path)

    assert len(again.optimizer.torch.state) == len(model.optimizer.torch.state)
    for act in (lambda m: None, lambda m: m.unfreeze()):
        act(model)
        act(again)
        fit(model, 5)
        fit(again, 5)
        assert_same(model, again)


def test_thawing_between_fit_and_save_is_kept(tmp_path):
    model = compiled(graph)
    model.freeze()
    fit(model, 0)
    model.unfreeze()
    again = through_a_file(model, tmp_path)

    assert all(learning(again))
    fit(model, 5)
    fit(again, 5)
    assert_same(model, again)
