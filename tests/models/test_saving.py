"""Models as files: what comes back, what cannot, and what is refused."""

import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

import kerasish
from kerasish import layers, losses, metrics, optimizers, schedules
from kerasish.registry import _registered
from kerasish.saving.archive import read_archive, write_archive

pytestmark = pytest.mark.filterwarnings("ignore::kerasish.training.preflight.AdviceWarning")

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(40, 4)).astype("float32")
Y = DRAW.integers(0, 3, 40)


def sequential():
    return kerasish.Sequential(
        [layers.Input((4,)), layers.Dense(8, "tanh"), layers.BatchNormalization(), layers.Dense(3)]
    )


def deferred():
    model = kerasish.Sequential([layers.Dense(8, kernel_regularizer="l2"), layers.Dense(3)])
    model(torch.tensor(X[:2]))
    return model


def functional():
    x = kerasish.Input((4,), name="x")
    shared = layers.Dense(4, "relu")
    y = layers.Add()([shared(x), shared(x * 2)])
    return kerasish.Model(x, layers.Dense(3)(torch.cat([y, x], dim=-1)))


def nested():
    x = kerasish.Input((4,))
    return kerasish.Model(x, layers.Dense(3)(sequential()(x)))


@kerasish.register(package="tests")
class Block(kerasish.Model):
    """Written in Keras's style, with an argument and a layer that is built at the first call."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.inner, self.last = layers.Dense(units, "tanh"), layers.Dense(3)

    def call(self, inputs):
        return self.last(self.inner(inputs))


def subclass():
    model = Block(5)
    model(torch.tensor(X[:2]))
    return model


def wrapped():
    return kerasish.Model(nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)))


@kerasish.register(package="tests")
class OwnSteps(kerasish.Model):
    """A graph with a train_step of its own, as Keras's guides make it."""

    def train_step(self, data):
        return {**super().train_step(data), "seen": float(len(data[0]))}


def with_steps():
    x = kerasish.Input((4,))
    return OwnSteps(x, layers.Dense(3)(layers.Dense(4, "relu")(x)))


@kerasish.register(package="tests")
class MakesItsGraph(kerasish.Model):
    def __init__(self, units, **kwargs):
        x = kerasish.Input((4,))
        super().__init__(x, layers.Dense(3)(layers.Dense(units)(x)), **kwargs)


KINDS = {
    "own_steps": with_steps,
    "own_graph": lambda: MakesItsGraph(5),
    "sequential": sequential,
    "deferred": deferred,
    "functional": functional,
    "nested": nested,
    "subclass": subclass,
    "module": wrapped,
}


def compiled(model, optimizer="adam"):
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"], device="cpu")
    return model


def saved(model, folder, **options):
    """The model, saved and loaded again."""
    path = folder / "model.kerasish"
    model.save(path)
    return kerasish.load_model(path, **options)


def assert_same_state(one, other):
    one, other = one.state_dict(), other.state_dict()
    assert len(one) == len(other)
    # A model that makes layers of its own names them anew.
    for (key, a), b in zip(one.items(), other.values(), strict=True):
        assert torch.equal(a, b), key


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_comes_back(kind, tmp_path):
    model = KINDS[kind]()

    again = saved(model, tmp_path)

    assert type(again).__mro__[-6:] == type(model).__mro__[-6:]
    assert type(again).__name__ == type(model).__name__
    assert again.name == model.name
    assert_same_state(again, model)
    np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))


SETTINGS = {
    "momentum": lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "adam": lambda: optimizers.Adam(0.01, weight_decay=0.1),
    "schedule": lambda: optimizers.Adam(schedules.ExponentialDecay(0.1, 3, 0.5)),
    "clipping": lambda: optimizers.RMSprop(0.01, clipnorm=0.1),
    "averages": lambda: optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9),
    "amsgrad": lambda: optimizers.Adam(0.01, amsgrad=True),
}


def trained(model, epochs=2):
    return model.fit(X, Y, batch_size=7, epochs=epochs, shuffle=False, verbose=0)


@pytest.mark.parametrize("setting", SETTINGS)
def test_training_goes_on_to_the_bit(setting, tmp_path):
    model = compiled(sequential(), SETTINGS[setting]())
    trained(model)

    again = saved(model, tmp_path)
    a, b = trained(model), trained(again)

    assert a.history == b.history
    assert_same_state(again, model)
    assert again.optimizer.iterations == model.optimizer.iterations


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("averaged", [False, True])
def test_every_kind_of_model_trains_on_after_loading(kind, averaged, tmp_path):
    model = compiled(KINDS[kind](), optimizers.Adam(use_ema=averaged, ema_momentum=0.5))
    trained(model)

    again = saved(model, tmp_path)
    trained(model), trained(again)

    assert_same_state(again, model)


def test_what_compile_was_given_comes_back(tmp_path):
    x = kerasish.Input((4,))
    model = kerasish.Model(x, [layers.Dense(3, name="a")(x), layers.Dense(1, name="b")(x)])
    model.compile(
        optimizers.SGD(0.1),
        {"a": losses.SparseCategoricalCrossentropy(from_logits=True), "b": "mse"},
        loss_weights={"a": 0.5, "b": 2.0},
        metrics={"a": ["accuracy", metrics.SparseTopKCategoricalAccuracy(2, name="two")]},
        weighted_metrics={"b": ["mae"]},
        clip_norm=1.0,
        accumulate_steps=2,
        lr_multipliers={"a.*": 0.1},
        device="cpu",
    )
    y = {"a": Y, "b": X[:, :1]}
    history = model.fit(X, y, verbose=0).history

    again = saved(model, tmp_path)

    a, b = (m.evaluate(X, y, verbose=0, return_dict=True) for m in (model, again))
    assert a == b
    assert list(b) == list(history)
    a, b = (m.fit(X, y, shuffle=False, verbose=0) for m in (model, again))
    assert a.history == b.history


def test_a_metric_shared_by_name_keeps_its_name(tmp_path):
    model = compiled(sequential())
    model.compile("sgd", "mse", metrics=["mae"], weighted_metrics=["mae"], device="cpu")
    y = DRAW.normal(size=(40, 3)).astype("float32")
    model.evaluate(X, y, verbose=0)

    again = saved(model, tmp_path)

    assert list(again.evaluate(X, y, verbose=0, return_dict=True)) == [
        "loss",
        "mae",
        "weighted_mae",
    ]


def test_without_compile_only_the_network_comes_back(tmp_path):
    model = compiled(sequential())
    trained(model)

    again = saved(model, tmp_path, compile=False)

    assert not again.compiled
    assert_same_state(again, model)


def test_without_the_optimizer_the_file_is_smaller(tmp_path):
    model = compiled(sequential())
    trained(model)

    model.save(tmp_path / "whole.kerasish")
    model.save(tmp_path / "half.kerasish", include_optimizer=False)

    whole, half = (read_archive(tmp_path / f"{n}.kerasish") for n in ("whole", "half"))
    assert "optimizer" in whole.tensors
    assert "optimizer" not in half.tensors
    again = kerasish.load_model(tmp_path / "half.kerasish")
    assert again.compiled
    assert again.optimizer.iterations == 0


def test_frozen_layers_come_back_frozen(tmp_path):
    model = compiled(sequential())
    model.layers[0].trainable = False

    again = saved(model, tmp_path)

    assert [layer.trainable for layer in again.layers] == [False, True, True]
    assert len(again.trainable_weights) == len(model.trainable_weights)


def test_a_loaded_model_is_in_evaluation_mode(tmp_path):
    assert not any(module.training for module in saved(sequential(), tmp_path).modules())


def test_dtype_policies_come_back(tmp_path):
    model = kerasish.Sequential(
        [layers.Input((4,)), layers.Dense(3, dtype="mixed_bfloat16"), layers.Dense(2)]
    )

    again = saved(model, tmp_path)

    assert again.layers[0].dtype_policy.name == "mixed_bfloat16"


# torch's own modules


STOCK = {
    "linear": (lambda: nn.Linear(4, 3, bias=False), (4,)),
    "batch_norm": (lambda: nn.BatchNorm1d(4, eps=0.1, momentum=0.3), (4,)),
    "convolution": (
        lambda: nn.Conv2d(2, 4, (3, 1), padding="same", groups=2, padding_mode="circular"),
        (2, 5, 5),
    ),
    "activation": (lambda: nn.LeakyReLU(0.3), (4,)),
    "dropout": (lambda: nn.Dropout(0.25), (4,)),
    "embedding": (lambda: nn.Embedding(10, 3, padding_idx=0), None),
    "layer_norm": (lambda: nn.LayerNorm((2, 3), bias=False), (2, 3)),
    "pooling": (lambda: nn.AdaptiveAvgPool2d((1, None)), (2, 5, 5)),
    "stack": (lambda: nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.GELU("tanh"))), (4,)),
}


@pytest.mark.parametrize("kind", STOCK)
def test_torchs_modules_come_back_with_their_settings(kind, tmp_path):
    make, shape = STOCK[kind]
    start = layers.Input((3,), dtype="int64") if shape is None else layers.Input(shape)
    x = torch.randint(10, (2, 3)) if shape is None else torch.randn(2, *shape)
    model = kerasish.Sequential([start, make()])

    again = saved(model, tmp_path)

    assert repr(again.layers[0].module) == repr(model.layers[0].module)
    assert_close(again(x), model.eval()(x))


def with_a_hook():
    module = nn.Linear(4, 3)
    module.register_forward_hook(lambda module, args, output: output * 2)
    return module


class OwnModule(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, x):
        return x * self.weight


UNKNOWN = {
    "own_class": OwnModule,
    "hook": with_a_hook,
    "parametrised": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)),
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_a_model_without_a_config_saves_its_weights_and_says_so(kind, tmp_path):
    path = tmp_path / "model.kerasish"
    model = kerasish.Sequential([layers.Input((4,)), UNKNOWN[kind]()])

    with pytest.warns(UserWarning, match="only the weights"):
        model.save(path)

    with pytest.raises(ValueError, match=r"holds weights but no configuration.*load_weights"):
        kerasish.load_model(path)
    other = kerasish.Sequential([layers.Input((4,)), UNKNOWN[kind]()])
    for parameter in other.parameters():
        nn.init.zeros_(parameter)
    other.load_weights(path)
    assert_close(list(other.state_dict().values()), list(model.state_dict().values()))


# Classes and functions of the user's own


@pytest.fixture
def own_names():
    """Whatever a test registers is forgotten after it."""
    before = dict(_registered)
    yield _registered
    _registered.clear()
    _registered.update(before)


def scaled_layer():
    class Scaled(layers.Layer):
        def __init__(self, factor, **kwargs):
            super().__init__(**kwargs)
            self.factor = factor

        def build(self, input_shape):
            self.gain = self.add_weight(shape=(input_shape[-1],), name="gain")

        def call(self, inputs):
            return self.factor * self.gain * inputs

    return Scaled


def test_a_registered_layer_comes_back(tmp_path, own_names):
    cls = kerasish.register(scaled_layer())
    model = kerasish.Sequential([layers.Input((4,)), cls(2.5), layers.Dense(3)])

    again = saved(model, tmp_path)

    assert again.layers[0].factor == 2.5
    assert_close(again.predict(X, verbose=0), model.predict(X, verbose=0))


def test_an_unregistered_layer_is_named_with_what_to_do(tmp_path):
    cls = scaled_layer()
    model = kerasish.Sequential([layers.Input((4,)), cls(2.5)])
    model.save(tmp_path / "model.kerasish")

    with pytest.raises(ValueError, match=r"Scaled.*@kerasish\.register.*custom_objects"):
        kerasish.load_model(tmp_path / "model.kerasish")

    again = kerasish.load_model(tmp_path / "model.kerasish", custom_objects={"Scaled": cls})
    assert_close(again.predict(X, verbose=0), model.predict(X, verbose=0))


def test_functions_of_ones_own(tmp_path, own_names):
    @kerasish.register
    def bent(x):
        return x.abs().sqrt()

    @kerasish.register
    def cubic(y_true, y_pred):
        return (y_true - y_pred).abs().pow(3).mean(-1)

    model = kerasish.Sequential([layers.Input((4,)), layers.Dense(3, bent), layers.Lambda(bent)])
    model.compile("sgd", cubic, metrics=[cubic], device="cpu")

    again = saved(model, tmp_path)

    assert again.loss is cubic or again.loss.name == "cubic"
    assert_close(again.predict(X, verbose=0), model.predict(X, verbose=0))


def test_a_lambda_cannot_be_saved_with_its_configuration(tmp_path):
    model = kerasish.Sequential([layers.Input((4,)), layers.Lambda(lambda x: x * 2)])

    with pytest.warns(UserWarning, match=r"only the weights.*lambda"):
        model.save(tmp_path / "model.kerasish")


def test_a_loss_that_cannot_be_named_leaves_the_network_whole(tmp_path):
    model = sequential()
    model.compile("sgd", lambda y, p: (y - p).abs().mean(-1), device="cpu")

    with pytest.warns(UserWarning, match="how the model was compiled is not saved"):
        model.save(tmp_path / "model.kerasish")

    assert not kerasish.load_model(tmp_path / "model.kerasish").compiled


def test_torchs_losses_and_optimizers_come_back(tmp_path):
    model = sequential()
    model.compile(torch.optim.Adam, nn.CrossEntropyLoss(label_smoothing=0.1), device="cpu")
    trained(model)

    again = saved(model, tmp_path)

    assert model.evaluate(X, Y, verbose=0) == again.evaluate(X, Y, verbose=0)


# Weights alone


@pytest.mark.parametrize("suffix", ["safetensors", "kerasish", "weights.safetensors"])
def test_weights_come_back_from_either_kind_of_file(suffix, tmp_path):
    path = tmp_path / f"model.{suffix}"
    model, other = functional(), functional()
    (model.save if suffix == "kerasish" else model.save_weights)(path)

    other.load_weights(path)

    assert_close(list(other.state_dict().values()), list(model.state_dict().values()))


def test_weights_go_to_the_same_place_whatever_number_a_layer_has(tmp_path):
    """The two Dense layers of a model built later are called otherwise, perhaps like others."""

    def model():
        same = {"kernel_initializer": "random_normal"}
        inner = kerasish.Sequential([layers.Input((4,)), layers.Dense(4, **same)])
        return kerasish.Sequential(
            [layers.Input((4,)), inner, *(layers.Dense(4, **same) for _ in range(12))]
        )

    first = model()
    layers.Dense(1)
    second = model()
    first.save_weights(tmp_path / "model.safetensors")

    second.load_weights(tmp_path / "model.safetensors")

    assert_close(second.get_weights(), first.get_weights())


def test_names_that_were_given_must_agree(tmp_path):
    def model(name):
        return kerasish.Sequential([layers.Input((4,)), layers.Dense(3, name=name)])

    model("block_1").save_weights(tmp_path / "model.safetensors")

    with pytest.raises(ValueError, match="does not fit this model"):
        model("block_2").load_weights(tmp_path / "model.safetensors")


def test_weights_of_another_architecture_are_refused_and_change_nothing(tmp_path):
    model = sequential()
    model.save_weights(tmp_path / "model.safetensors")
    other = kerasish.Sequential([layers.Input((4,)), layers.Dense(9), layers.Dense(3)])
    before = {key: value.clone() for key, value in other.state_dict().items()}

    with pytest.raises(ValueError, match=r"does not fit this model.*skip_mismatch=True"):
        other.load_weights(tmp_path / "model.safetensors")

    for key, value in other.state_dict().items():
        assert torch.equal(value, before[key])


def test_what_does_not_fit_can_be_skipped(tmp_path):
    def model(units):
        return kerasish.Sequential(
            [layers.Input((4,)), layers.Dense(8, name="body"), layers.Dense(units, name="head")]
        )

    old, new = model(3), model(5)
    old.save_weights(tmp_path / "model.safetensors")
    head = new.layers[1].kernel.detach().clone()

    with pytest.warns(UserWarning, match=r"not loaded: .*head"):
        new.load_weights(tmp_path / "model.safetensors", skip_mismatch=True)

    assert torch.equal(new.layers[0].kernel, old.layers[0].kernel)
    assert torch.equal(new.layers[1].kernel, head)


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such file|There is no file"):
        sequential().load_weights(tmp_path / "none.safetensors")
    with pytest.raises(FileNotFoundError, match="no such file"):
        kerasish.load_model(tmp_path / "none.kerasish")


# Files that exist, and failures


def test_an_existing_file_may_be_protected(tmp_path):
    path = tmp_path / "model.kerasish"
    path.write_text("mine")

    for save in (sequential().save, sequential().save_weights):
        with pytest.raises(FileExistsError, match="overwrite=True"):
            save(path, overwrite=False)

    assert path.read_text() == "mine"


def test_a_failure_while_saving_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "model.kerasish"
    sequential().save(path)
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        sequential().save(path)

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_saving_changes_neither_model_nor_random_numbers(tmp_path):
    model = compiled(sequential())
    trained(model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()

    model.save(tmp_path / "model.kerasish")

    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


# Files that mean harm


def edited(path, name, change):
    """The archive at `path` with one document changed."""
    archive = read_archive(path)
    documents = dict(archive.documents)
    text = json.dumps(documents[name])
    documents[name] = json.loads(change(text))
    write_archive(path, documents, archive.tensors)


HOSTILE = {
    "os.system": {"class_name": "system", "module": "os", "config": {}, "registered_name": None},
    "torch.load": {"class_name": "function", "module": "torch", "config": "torch.load"},
    "eval": {"class_name": "function", "module": "builtins", "config": "eval"},
    "import": {"class_name": "Popen", "module": "subprocess", "config": {"args": "true"}},
    "inner_import": {
        "class_name": "importlib",
        "module": "kerasish.registry",
        "config": {},
        "registered_name": None,
    },
    "private": {"class_name": "_find", "module": "kerasish.layers", "config": {}},
    "dotted": {"class_name": "function", "module": "kerasish.layers.os", "config": "system"},
    "not_torch_nn": {"class_name": "__torch_nn__", "config": {"class": "DataParallel"}},
    "operator": {"class_name": "function", "module": "torch", "config": "operator.methodcaller"},
    "missing_module": {"class_name": "Spam", "module": "kerasish_evil_module", "config": {}},
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("document", ["model", "compile"])
def test_a_file_that_names_foreign_code_is_refused(case, document, tmp_path):
    path = tmp_path / "model.kerasish"
    model = kerasish.Sequential([layers.Input((4,)), layers.Dense(3, activation="relu")])
    compiled(model).save(path)
    archive = read_archive(path)
    documents = dict(archive.documents)
    if document == "model":
        documents["model"]["config"]["layers"][0]["config"]["activation"] = HOSTILE[case]
    else:
        documents["compile"]["loss"] = HOSTILE[case]
    write_archive(path, documents, archive.tensors)
    loaded = set(sys.modules)

    with pytest.raises(ValueError, match=r"names|takes"):
        kerasish.load_model(path)

    assert not {name for name in set(sys.modules) - loaded if not name.startswith("kerasish")}


def graph_of(nodes):
    """A functional model's configuration with the given calls."""
    x = kerasish.Input((4,), name="x")
    config = json.loads(kerasish.Model(x, torch.relu(x)).to_json())
    config["config"]["nodes"] = nodes(config["config"]["nodes"])
    return json.dumps(config)


@pytest.mark.parametrize("name", ["__class__", "_backward_hooks", "__reduce_ex__"])
def test_a_graph_cannot_reach_private_attributes(name):
    def nodes(nodes):
        reference = nodes[0]["args"]["config"][0]
        args = {"class_name": "__tuple__", "config": [reference, name]}
        return [{"target": {"attribute": name}, "args": args, "kwargs": {}}]

    with pytest.raises(ValueError, match="private"):
        kerasish.models.model_from_json(graph_of(nodes))


@pytest.mark.parametrize("name", ["torch.Tensor.apply_", "operator.attrgetter", "torch.load"])
def test_a_graph_cannot_call_what_calls(name):
    def nodes(nodes):
        target = {"function": {"class_name": "function", "config": name, "module": "torch"}}
        return [{**nodes[0], "target": target}]

    with pytest.raises(ValueError, match="not a torch function"):
        kerasish.models.model_from_json(graph_of(nodes))


def test_a_pickle_is_never_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    path = tmp_path / "model.kerasish"
    torch.save({"weights": Trap()}, path)

    with pytest.raises(ValueError, match=r"torch\.save file"):
        kerasish.load_model(path)
    with pytest.raises(ValueError, match="Cannot read"):
        sequential().load_weights(path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("keep", [0, 10, 200, -1])
def test_a_truncated_file_is_one_clear_error(keep, tmp_path):
    path = tmp_path / "model.kerasish"
    sequential().save(path)
    path.write_bytes(path.read_bytes()[:keep])

    with pytest.raises(ValueError, match=f"Cannot read {path}"):
        kerasish.load_model(path)


def test_weights_of_the_wrong_shape_in_a_file_are_refused(tmp_path):
    path = tmp_path / "model.kerasish"
    sequential().save(path)
    archive = read_archive(path)
    tensors = {"weights": {k: torch.zeros(2, 2) for k in archive.tensors["weights"]}}
    write_archive(path, archive.documents, tensors)

    with pytest.raises(ValueError, match="does not fit"):
        kerasish.load_model(path)


def test_another_process_loads_what_this_one_saved(tmp_path):
    path = tmp_path / "model.kerasish"
    model = compiled(functional())
    trained(model)
    model.save(path)
    code = (
        "import kerasish, numpy as np, sys;"
        "m = kerasish.load_model(sys.argv[1]);"
        "np.save(sys.argv[2], m.predict(np.load(sys.argv[3]), verbose=0))"
    )
    np.save(tmp_path / "x.npy", X)

    subprocess.run(
        [sys.executable, "-c", code, path, tmp_path / "y.npy", tmp_path / "x.npy"], check=True
    )

    assert_close(np.load(tmp_path / "y.npy"), model.predict(X, verbose=0))


def test_the_file_holds_json_and_safetensors_only(tmp_path):
    path = tmp_path / "model.kerasish"
    compiled(sequential()).save(path)

    with zipfile.ZipFile(path) as archive:
        assert {name.rpartition(".")[2] for name in archive.namelist()} == {"json", "safetensors"}


class Nameless(layers.Layer):
    """Its constructor takes no name, as those of many layers on keras.io."""

    def __init__(self, units):
        super().__init__()
        self.units = units
        self.dense = layers.Dense(units)

    def call(self, inputs):
        return self.dense(inputs)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def test_a_layer_that_takes_no_name_keeps_the_one_it_had(tmp_path):
    x = kerasish.Input((3,))
    model = kerasish.Model(x, Nameless(2)(Nameless(4)(x)))
    model.save(tmp_path / "model.kerasish")

    again = kerasish.load_model(tmp_path / "model.kerasish", {"Nameless": Nameless})

    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    assert again.state_dict().keys() == model.state_dict().keys()
    assert_close(again(torch.ones(2, 3)), model(torch.ones(2, 3)))


class Around(layers.Layer):
    """Writes the layer inside down by itself, as Keras's guide on saving does."""

    def __init__(self, inner, **kwargs):
        super().__init__(**kwargs)
        self.inner = inner

    def call(self, inputs):
        return self.inner(inputs)

    def get_config(self):
        inner = kerasish.saving.serialize_keras_object(self.inner)
        return {**super().get_config(), "inner": inner}

    @classmethod
    def from_config(cls, config):
        inner = kerasish.saving.deserialize_keras_object(config.pop("inner"))
        return cls(inner, **config)


def test_a_layer_that_was_written_down_by_hand_comes_back(tmp_path):
    x = kerasish.Input((3,))
    model = kerasish.Model(x, Around(layers.Dense(2, "tanh"))(x))
    model.save(tmp_path / "model.kerasish")

    again = kerasish.load_model(tmp_path / "model.kerasish", {"Around": Around})

    assert_close(again(torch.ones(2, 3)), model(torch.ones(2, 3)))


def test_a_file_cannot_name_functions_that_write_files(tmp_path):
    inside = kerasish.Sequential([layers.Input((3,)), layers.Dense(2)])
    target = {"class_name": "function", "config": "save_model", "module": "kerasish.models"}
    config = kerasish.registry.serialize(layers.Lambda(torch.relu))
    config["config"]["function"] = target
    config["config"]["arguments"] = {"filepath": str(tmp_path / "written.kerasish")}

    with pytest.raises(ValueError, match="names 'save_model', which is not part of kerasish"):
        kerasish.registry.deserialize(config)(inside)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("kind", ["kerasish", "keras"])
@pytest.mark.parametrize("junk", [5, [], {"layers": []}], ids=["number", "list", "dict"])
def test_a_file_that_describes_no_model_is_told(junk, kind, tmp_path):
    path = tmp_path / f"model.{kind}"
    if kind == "keras":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", json.dumps(junk))
            archive.writestr("model.weights.h5", b"")
    else:
        write_archive(path, {"model": junk}, {"weights": {}})

    with pytest.raises(ValueError, match=r"Cannot read .*: it describes no model but"):
        kerasish.load_model(path)
