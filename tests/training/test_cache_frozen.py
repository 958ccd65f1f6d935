"""Training on what the frozen part made of the data once: the same bits as without."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import kerasish
from kerasish import callbacks, layers
from kerasish.training import cache, storage


class Net(nn.Module):
    """A small backbone with the layout of torchvision's."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(nn.Conv2d(4, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU())
        self.layer2 = nn.Sequential(nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        self.rows = []

    def forward(self, x):
        if isinstance(x, torch.Tensor) and not x.is_meta:
            self.rows.append(len(x))
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
@pytest.mark.parametrize("batch_size", [8, 18, 35, 50])
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
    net.rows.clear()

    model.fit(x, y, batch_size=8, epochs=20, verbose=0, cache_frozen=True)

    assert sum(net.rows) < 80 + 5 * 8  # once, and a few batches to try


class Recorder(callbacks.Callback):
    """Keeps the losses of batches, and does something at the beginning of an epoch."""

    def __init__(self, epoch=None, action=None):
        super().__init__()
        self.epoch, self.action = epoch, action
        self.losses = []

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            self.action(self.model)

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(float(logs["loss"]))


def swap_weights(model):
    with torch.no_grad():
        model.get_layer("net").module.conv1.weight.data.mul_(2)


@pytest.mark.parametrize(
    "action",
    [
        lambda model: model.unfreeze("layer2"),
        lambda model: model.unfreeze(),
        lambda model: model.freeze(until="layer2"),
        swap_weights,
        lambda model: model.get_layer("net").module.layer1.register_forward_hook(
            lambda module, args, output: output * 2
        ),
    ],
    ids=["thaw a stage", "thaw all", "freeze more", "other weights", "hook"],
)
def test_what_a_callback_changes_between_epochs_counts(action):
    make, _ = MODELS["part of a backbone"]

    def freeze(model):
        model.freeze(until="layer1" if "layer2" in str(action.__code__.co_consts) else "layer2")

    mine, plain = Recorder(2, action), Recorder(2, action)

    got = fitted(make, freeze, True, epochs=5, callbacks=[mine])

    assert_same_bits(got, fitted(make, freeze, False, epochs=5, callbacks=[plain]))
    assert mine.losses == plain.losses


def test_features_go_to_a_file_without_a_name_where_memory_is_short(monkeypatch, tmp_path):
    make, freeze = MODELS["part of a backbone"]
    want = fitted(make, freeze, False)
    monkeypatch.setattr(storage, "free_memory", lambda: 1000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    sizes = []
    on_disk = storage._on_disk
    monkeypatch.setattr(storage, "_on_disk", lambda size: sizes.append(size) or on_disk(size))
    listing = Recorder(1, lambda model: sizes.append(list(tmp_path.iterdir())))

    got = fitted(make, freeze, True, callbacks=[listing])

    assert_same_bits(got, want)
    assert sizes[0] == 21632  # 36 maps of 6 x 5 x 5, in whole lines of 64 bytes
    assert list(tmp_path.iterdir()) == []
    if os.name == "posix":
        assert [] in sizes


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_no_file_is_left_open_after_an_error(monkeypatch, error):
    monkeypatch.setattr(storage, "free_memory", lambda: 0)

    def fail(model):
        raise error("stop")

    def maps():
        lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
        return [line for line in lines if "kerasish-" in line or "(deleted)" in line]

    before = len(maps())
    model = compiled(nested)
    model.freeze()
    x, y = data()
    try:
        model.fit(x, y, epochs=3, verbose=0, cache_frozen=True, callbacks=[Recorder(1, fail)])
    except error as caught:
        caught.__traceback__ = None

    assert len(maps()) == before


def test_without_room_data_are_used_as_they_are(monkeypatch):
    make, freeze = MODELS["backbone"]
    want = fitted(make, freeze, False)
    monkeypatch.setattr(storage, "free_memory", lambda: 0)
    monkeypatch.setattr(storage, "DISK_SHARE", 0)
    monkeypatch.setattr(cache, "WORTH", -1)

    assert_same_bits(fitted(make, freeze, "auto"), want)
    with pytest.raises(ValueError, match=r"neither memory nor .* has room for"):
        fitted(make, freeze, True)


def test_auto_caches_where_it_pays_and_says_so(capsys, monkeypatch):
    make, freeze = MODELS["part of a backbone"]

    fitted(make, freeze, "auto", verbose=2)
    assert "cached" not in capsys.readouterr().out  # milliseconds are not worth it

    monkeypatch.setattr(cache, "WORTH", -1)
    fitted(make, freeze, "auto", verbose=2)
    line = "fit: features of 36 rows up to 'layer1' cached: 21.6 kB\n"
    assert capsys.readouterr().out.count(line) == 1
    fitted(make, freeze, "auto", verbose=0)
    assert capsys.readouterr().out == ""


class WithNoise(nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x)


class AcrossRows(nn.Module):
    def forward(self, x):
        return x - x.mean(0)


def with_layer(layer):
    def make():
        return kerasish.Sequential(
            [layers.Input((1, 12, 12)), layer(), layers.Flatten(), layers.Dense(3, name="head")]
        )

    return make


def penalised():
    return layers.Conv2D(2, 3, activity_regularizer="l2", name="conv")


class AddsLoss(layers.Layer):
    def forward(self, x):
        self.add_loss(x.mean())
        return x


@pytest.mark.parametrize(
    ("make", "freeze", "message"),
    [
        (nested, lambda m: None, "nothing is frozen"),
        (nested, lambda m: m.freeze("head"), "no frozen part without randomness comes first"),
        (with_layer(WithNoise), lambda m: m.freeze("head.linear.bias"), "draws random numbers"),
        (
            with_layer(AcrossRows),
            lambda m: m.freeze("head.linear.bias"),
            "depend on the other rows",
        ),
        (with_layer(penalised), lambda m: m.freeze(), "no frozen part"),
        (with_layer(AddsLoss), lambda m: m.freeze("head.linear.bias"), "adds to the loss"),
        (
            with_layer(lambda: layers.RandomFlip(seed=0)),
            lambda m: m.freeze("head.linear.bias"),
            "no frozen part",
        ),
    ],
)
def test_true_says_why_features_cannot_be(make, freeze, message):
    with pytest.raises(ValueError, match=f"cache_frozen=True, but .*{message}"):
        fitted(make, freeze, True)

    assert_same_bits(fitted(make, freeze, "auto"), fitted(make, freeze, False))


def test_a_word_that_is_none_is_refused():
    model = compiled(nested)
    model.freeze()

    with pytest.raises(ValueError, match="must be \"auto\", True or False, got 'yes'"):
        model.fit(*data(), verbose=0, cache_frozen="yes")


def test_a_run_goes_on_from_its_backup(tmp_path):
    make, freeze = MODELS["part of a backbone"]
    want = fitted(make, freeze, False, epochs=4)

    def fail(model):
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        fitted(make, freeze, True, epochs=4, callbacks=[Recorder(2, fail)], resume=tmp_path)
    got = fitted(make, freeze, True, epochs=4, resume=tmp_path)

    assert_same_bits(got, want)


def test_a_run_goes_on_in_the_middle_of_an_epoch(tmp_path):
    make, freeze = MODELS["part of a backbone"]
    want = fitted(make, freeze, False, epochs=4)

    class Fails(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations == 8:
                raise RuntimeError("killed")

    backup = callbacks.BackupAndRestore(tmp_path, save_freq=3)
    with pytest.raises(RuntimeError, match="killed"):
        fitted(make, freeze, True, epochs=4, callbacks=[backup, Fails()])
    backup = callbacks.BackupAndRestore(tmp_path, save_freq=3)
    got = fitted(make, freeze, True, epochs=4, callbacks=[backup])

    # Backups close the sums of the mean loss more often, which rounds; weights know nothing of it.
    assert got[0]["loss"] == pytest.approx(want[0]["loss"], rel=1e-6)
    assert_same_bits(({}, *got[1:]), ({}, *want[1:]))


def test_the_saved_model_is_the_whole_one(tmp_path):
    make, freeze = MODELS["part of a backbone"]
    path = tmp_path / "best.weights.safetensors"
    saver = callbacks.ModelCheckpoint(path, save_weights_only=True)

    _, state, _ = fitted(make, freeze, True, callbacks=[saver])

    other = make()
    other.load_weights(path)
    assert all(torch.equal(v, state[k]) for k, v in other.state_dict().items())


def test_user_arrays_stay_as_they_are_when_the_rest_works_in_place():
    class InPlace(nn.Module):
        def forward(self, x):
            return x.mul_(2)

    def make():
        return kerasish.Sequential(
            [
                layers.Input((4,)),
                layers.Dense(4, name="body"),
                layers.Dropout(0.0),
                InPlace(),
                layers.Dense(3, name="head"),
            ]
        )

    x, y = np.random.default_rng(0).random((20, 4)).astype("float32"), np.arange(20) % 3
    before = x.copy()
    results = []
    for cached in (True, False):
        kerasish.utils.set_random_seed(0)
        model = make()
        model.freeze("body")
        model.compile("sgd", kerasish.losses.SparseCategoricalCrossentropy(from_logits=True))
        history = model.fit(x, y, epochs=4, shuffle=False, verbose=0, cache_frozen=cached)
        results.append(history.history["loss"])

    assert results[0] == results[1]
    np.testing.assert_array_equal(x, before)


def test_validation_counts_no_losses_that_training_left_behind():
    model = compiled(with_layer(AddsLoss))
    x, y = data(10)

    history = model.fit(x, y, epochs=1, verbose=0, validation_data=(x, y)).history

    assert history["val_loss"][0] == pytest.approx(model.evaluate(x, y, verbose=0)[0], rel=1e-6)
