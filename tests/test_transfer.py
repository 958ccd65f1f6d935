"""Transfer learning: rates by stage, and features of several stages."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close
from torch.utils.data import DataLoader, TensorDataset

import kerasish
from kerasish import layers, transfer
from kerasish.optimizers.groups import multiplier_for
from kerasish.transfer.probing import _ridge


class Net(nn.Module):
    """A small backbone with the layout of torchvision's."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 2, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(2)
        self.layer1 = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU())
        self.layer2 = nn.Sequential(nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Dropout(0.5))
        self.calls = []

    def forward(self, x):
        x = self.layer1(self.bn1(self.conv1(x)))
        self.calls.append("layer1")
        x = self.layer2(x)
        self.calls.append("layer2")
        return x.mean((2, 3))


@pytest.fixture
def model():
    image = kerasish.Input((1, 8, 8))
    x = layers.TorchModule(Net(), name="net")(image)
    return kerasish.Model(image, layers.Dense(3, name="head")(x))


def images(rows=5):
    return np.random.default_rng(0).random((rows, 1, 8, 8)).astype("float32")


def net_of(model):
    return model.get_layer("net").module


# Rates


def test_discriminative_rates_are_a_tenth_for_the_head_and_a_hundredth_below(model):
    factors = transfer.discriminative(model)

    got = {name: multiplier_for(name, factors) for name, _ in model.named_parameters()}

    assert {name: f for name, f in got.items() if f != 0.01} == {
        "head.linear.weight": 0.1,
        "head.linear.bias": 0.1,
    }
    assert factors["head"] == 0.1


def test_discriminative_rates_may_decay_stage_by_stage(model):
    factors = transfer.discriminative(model, decay=0.5)

    assert factors == {
        "head": 1.0,
        "net.module.layer2": 0.5,
        "net.module.layer1": 0.25,
        "net.module.conv1": 0.125,
        "net.module.bn1": 0.125,
    }


def test_a_step_with_discriminative_rates_is_that_of_sgd_with_those_rates(model):
    x, y = torch.as_tensor(images(3)), torch.arange(3)
    model.compile(
        "sgd",
        kerasish.losses.SparseCategoricalCrossentropy(from_logits=True),
        lr_multipliers=transfer.discriminative(model, top=0.5, intermediate=0.25),
    )
    model.freeze("net")  # no dropout, no statistics
    model.unfreeze("conv1")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    model.train()
    nn.functional.cross_entropy(model(x), y).backward()
    want = {name: p.grad for name, p in model.named_parameters()}

    model.train_on_batch(x, y)

    after = dict(model.named_parameters())
    name = "head.linear.bias"
    assert_close(after[name].detach(), before[name] - 0.01 * 0.5 * want[name])
    assert not torch.equal(after["net.module.conv1.weight"], before["net.module.conv1.weight"])


def test_compile_knows_discriminative_rates_by_name(model):
    loss = kerasish.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, lr_multipliers="discriminative")

    model.fit(images(3), torch.arange(3), epochs=1, verbose=0)

    groups = model.optimizer.torch.param_groups
    rates = {round(group["lr"], 9): len(group["params"]) for group in groups}
    assert rates == {0.001: 2, 0.0001: 8}
    with pytest.raises(ValueError, match="did you mean 'discriminative'"):
        model.compile("sgd", "mse", lr_multipliers="discriminativ")


def test_patterns_use_the_names_inside_a_torch_module(model):
    factors = {"head.*": 0.1, "layer2.*": 0.01, "bias": 0.5}

    got = {name: multiplier_for(name, factors) for name, _ in model.named_parameters()}

    assert {name for name, factor in got.items() if factor != 1} == {
        "head.linear.weight",
        "head.linear.bias",
        "net.module.layer2.0.weight",
        "net.module.layer2.0.bias",
    }


def test_a_head_of_several_layers_learns_at_one_rate(model):
    features = model.get_layer("net").output
    hidden = layers.Dense(4, name="hidden")(features)
    deep = kerasish.Model(model.input, layers.Dense(3, name="head")(hidden))
    deep.freeze_point = "layer2"

    factors = transfer.discriminative(deep, decay=0.5)

    assert {n.split(".")[0] for n, f in factors.items() if f == 1.0} == {"hidden", "head"}
    assert multiplier_for("net.module.layer2.0.weight", factors) == 0.5
    assert multiplier_for("net.module.layer1.0.weight", factors) == 0.25


@pytest.mark.parametrize("form", ["by name", "by function", "by decay"])
def test_discriminative_rates_go_with_schedules_and_freezing(model, form):
    net_of(model).layer2[2].p = 0.0  # the same numbers by hand
    factors = {
        "by name": "discriminative",
        "by function": transfer.discriminative(model),
        "by decay": transfer.discriminative(model, decay=0.5),
    }[form]
    schedule = kerasish.schedules.ExponentialDecay(0.5, 2, 0.7)
    loss = kerasish.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(kerasish.optimizers.SGD(schedule), loss, lr_multipliers=factors)
    twin = copy.deepcopy(model)
    x, y = torch.from_numpy(images(6)), torch.arange(6) % 3
    fits = [lambda m: m.freeze(), lambda m: m.unfreeze(last=2), lambda m: m.freeze("layer1")]
    for act in fits:
        act(model)
        model.fit(x, y, batch_size=3, epochs=1, shuffle=False, verbose=0)

    rates = {"layer2": 0.01, "layer1": 0.01, "conv1": 0.01, "bn1": 0.01, "head": 0.1}
    if form == "by decay":
        rates = {"head": 1.0, "layer2": 0.5, "layer1": 0.25, "conv1": 0.125, "bn1": 0.125}
    learning = [{"head"}, {"head", "layer2"}, {"head", "layer2"}]
    for step in range(6):
        twin.train()
        for part in ("conv1", "bn1", "layer1", "layer2"):
            if part not in learning[step // 2]:
                net_of(twin).get_submodule(part).eval()
        rows = slice(3 * (step % 2), 3 * (step % 2) + 3)
        twin.zero_grad()
        nn.functional.cross_entropy(twin(x[rows]), y[rows]).backward()
        for name, parameter in twin.named_parameters():
            part = next(p for p in rates if f".{p}." in f".{name}")
            if part in learning[step // 2]:
                parameter.data -= 0.5 * 0.7 ** (step / 2) * rates[part] * parameter.grad

    for (name, got), want in zip(model.named_parameters(), twin.parameters(), strict=True):
        assert_close(got, want, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("kwargs", [{"top": -1}, {"intermediate": "a"}, {"decay": 0}])
def test_impossible_rates_are_refused(model, kwargs):
    with pytest.raises(ValueError, match="discriminative"):
        transfer.discriminative(model, **kwargs)


# Features


def test_features_are_what_the_head_gets(model):
    x = images()

    features = transfer.extract_features(model, x, batch_size=2)

    assert list(features) == ["features"]
    assert_close(torch.as_tensor(features["features"]), net_of(model).eval()(torch.as_tensor(x)))


def test_several_stages_come_from_one_pass(model):
    x = torch.as_tensor(images())
    net = net_of(model.eval())

    features = transfer.extract_features(model, x, ["conv1", "layer1", "layer1.0", "head"])

    first = net.bn1(net.conv1(x))
    assert_close(torch.as_tensor(features["conv1"]), first.detach())
    assert_close(torch.as_tensor(features["layer1"]), net.layer1(first).detach())
    assert_close(torch.as_tensor(features["layer1.0"]), net.layer1[0](first).detach())
    assert_close(torch.as_tensor(features["head"]), model(x).detach())


def test_a_pass_stops_at_the_last_stage_that_is_asked_for(model):
    net = net_of(model)
    net.calls.clear()

    transfer.extract_features(model, images(), "layer1", batch_size=5)

    assert net.calls == []


@pytest.mark.parametrize("pooling", ["avg", "max"])
@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_maps_may_be_pooled(pooling, data_format):
    kerasish.config.set_image_data_format(data_format)
    shape = (1, 8, 8) if data_format == "channels_first" else (8, 8, 1)
    model = kerasish.Sequential(
        [
            layers.Input(shape),
            layers.Conv2D(4, 3, name="conv"),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    x = np.random.default_rng(0).random((3, *shape))

    whole = transfer.extract_features(model, x, "conv")["conv"]
    pooled = transfer.extract_features(model, x, "conv", pooling=pooling)["conv"]

    axes = (2, 3) if data_format == "channels_first" else (1, 2)
    want = whole.mean(axes) if pooling == "avg" else whole.max(axes)
    np.testing.assert_allclose(pooled, want, rtol=1e-5)


def test_targets_of_a_loader_come_in_the_order_of_the_rows(model):
    x, y = torch.as_tensor(images(7)), torch.arange(7)
    loader = DataLoader(TensorDataset(x, y), batch_size=3, shuffle=True)

    features = transfer.extract_features(model, loader)

    want = net_of(model).eval()(x[torch.as_tensor(features["targets"])])
    assert sorted(features["targets"]) == list(range(7))
    assert_close(torch.as_tensor(features["features"]), want.detach())


def test_features_go_to_a_file(model, tmp_path):
    features = transfer.extract_features(model, images(), ["layer1"], file=tmp_path / "f.npz")

    with np.load(tmp_path / "f.npz") as stored:
        np.testing.assert_array_equal(stored["layer1"], features["layer1"])


@pytest.mark.parametrize("rows", [5, 12])
def test_features_are_written_batch_by_batch_to_a_map(model, tmp_path, rows):
    x, y = torch.as_tensor(images(rows)), torch.arange(rows)
    file = tmp_path / "f.npy"
    want = transfer.extract_features(model, x, "layer1")["layer1"]

    loader = DataLoader(TensorDataset(x, y), batch_size=2)
    features = transfer.extract_features(model, loader, "layer1", file=file)

    assert isinstance(features["layer1"], np.memmap)
    np.testing.assert_allclose(features["layer1"], want, rtol=1e-5)
    np.testing.assert_array_equal(np.load(file), features["layer1"])
    np.testing.assert_array_equal(features["targets"], y)
    with pytest.raises(ValueError, match="holds one array"):
        transfer.extract_features(model, x, ["conv1", "layer1"], file=file)


def test_a_failed_extraction_leaves_no_file(model, tmp_path):
    def batches():
        yield images(2)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        transfer.extract_features(model, batches(), "layer1", file=tmp_path / "f.npy")

    assert list(tmp_path.iterdir()) == []


def test_extraction_leaves_the_model_as_it_was(model):
    model.train()
    before = {name: t.clone() for name, t in model.state_dict().items()}

    transfer.extract_features(model, images(), ["layer1"])

    assert model.training
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_features_feed_a_linear_classifier(model):
    svm = pytest.importorskip("sklearn.svm")
    x = np.concatenate([images(10), images(10) + 3])

    features = transfer.extract_features(model, x, pooling="avg")["features"]
    classifier = svm.LinearSVC().fit(features, [0] * 10 + [1] * 10)

    assert classifier.score(features, [0] * 10 + [1] * 10) == 1.0


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"layers": ["layer9"]}, "no stage or module 'layer9'; did you mean 'layer"),
        ({"layers": []}, "`layers` is empty"),
        ({"pooling": "mean"}, "`pooling` must be one of"),
    ],
)
def test_wrong_arguments_are_explained(model, kwargs, message):
    with pytest.raises(ValueError, match=message):
        transfer.extract_features(model, images(), **kwargs)


# Probing


def test_probe_finds_the_stage_that_tells_the_classes_apart():
    model = kerasish.Sequential(
        [
            layers.Input((6,)),
            layers.Dense(4, use_bias=False, name="good"),
            layers.Dense(4, use_bias=False, kernel_initializer="zeros", name="blind"),
            layers.Dense(3, name="head"),
        ]
    )
    x = np.random.default_rng(0).normal(size=(90, 6))
    x[:30, 0] += 9
    x[30:60, 1] += 9
    y = np.repeat([5, 7, 9], 30)

    scores = transfer.probe(model, x, y)

    assert list(scores) == ["good", "blind"]
    assert scores["good"] > 0.9
    assert scores["blind"] < 0.6


@pytest.mark.parametrize("columns", [3, 30], ids=["few columns", "many columns"])
def test_the_probes_classifier_is_ridge_regression(columns):
    linear = pytest.importorskip("sklearn.linear_model")
    z, target = torch.randn(10, columns).double(), torch.randn(10, 2).double()

    ours = _ridge(z, target, 0.5)

    theirs = linear.Ridge(alpha=0.5, fit_intercept=False).fit(z.numpy(), target.numpy())
    assert_close(ours, torch.as_tensor(theirs.coef_.T))


def test_probe_takes_targets_from_a_loader(model):
    data = TensorDataset(torch.as_tensor(images(10)), torch.arange(10) % 2)

    scores = transfer.probe(model, DataLoader(data, batch_size=4), layers=["layer1"])

    assert list(scores) == ["layer1"]


def test_probe_draws_its_result(model, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "probe.png"

    transfer.probe(model, images(10), np.arange(10) % 2, plot=path)

    assert path.read_bytes()[:4] == b"\x89PNG"


def test_probe_without_targets_or_rows_is_refused(model):
    with pytest.raises(ValueError, match="bring no targets"):
        transfer.probe(model, images(4))
    with pytest.raises(ValueError, match="nothing to train or to measure on"):
        transfer.probe(model, images(4), [0, 1, 0, 1], validation_split=0)
