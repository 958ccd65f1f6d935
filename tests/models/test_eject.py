"""`eject()`: scripts run in a process without kerasish, and tell the losses that `fit` tells."""

import importlib.util
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from kerasish import (
    Input,
    Model,
    Sequential,
    layers,
    losses,
    metrics,
    optimizers,
    regularizers,
    schedules,
    utils,
)
from kerasish.models.eject.rates import rate_function
from kerasish.models.eject.wrapping import wrapped

EPOCHS = 3

# What the other process runs: every script of a folder, where kerasish cannot be imported.
RUNNER = """
import importlib, json, pathlib, sys
sys.modules["kerasish"] = None
folder = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(folder))
import torch
torch.set_num_threads(1)
runs = {}
for script in sorted(folder.glob("*.py")):
    network, runs[script.stem] = importlib.import_module(script.stem).train()
    learned = [p.detach() for p in network.parameters() if p.requires_grad]
    torch.save(learned, folder / f"{script.stem}_trained.pt")
(folder / "runs.json").write_text(json.dumps(runs))
"""


def images(rows=70):
    return np.random.default_rng(0).normal(size=(rows, 1, 8, 8)).astype("float32")


def classes(rows=70, count=3):
    return np.random.default_rng(1).integers(count, size=rows)


def rows_of(*shape):
    return np.random.default_rng(2).normal(size=shape).astype("float32")


def digits():
    model = Sequential(
        [
            Input((8, 8)),
            layers.Flatten(),
            layers.Dense(16, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model, {"x": images()[:, 0], "y": classes(count=10), "validation_split": 0.2}


def convolutional():
    model = Sequential(
        [
            Input((1, 8, 8)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(2),
            layers.SpatialDropout2D(0.2),
            layers.Conv2D(4, 3, strides=2, padding="same", activation="elu"),
            layers.GlobalAveragePooling2D(),
            layers.BatchNormalization(),
            layers.Dense(3),
        ]
    )
    optimizer = optimizers.SGD(0.1, momentum=0.9, nesterov=True)
    model.compile(optimizer, torch.nn.CrossEntropyLoss(label_smoothing=0.1), metrics=["acc"])
    bytes_ = (images() * 40 + 128).clip(0, 255).astype("uint8")
    return model, {
        "x": bytes_,
        "y": classes(),
        "validation_data": (bytes_[:40], classes()[:40]),
        "batch_size": 16,
    }


def branching():
    left, right = Input((6,), name="left"), Input((4,), name="right")
    a = layers.Dense(5, activation="tanh")(left)
    b = layers.Dense(5, activation="gelu")(right)
    both = layers.Concatenate()([a, b, layers.Add()([a, b])])
    shared = layers.Dense(5)
    outputs = [
        layers.Dense(1, activation="sigmoid", name="whether")(shared(a) + shared(b)),
        layers.Dense(2, name="how_much")(both),
    ]
    model = Model([left, right], outputs)
    model.compile(
        optimizers.AdamW(0.01),
        ["binary_crossentropy", "huber"],
        loss_weights=[1.0, 0.5],
        metrics={"whether": ["accuracy"], "how_much": ["mae", "mse"]},
    )
    y = [classes(count=2), rows_of(70, 2)]
    x = {"left": rows_of(70, 6), "right": rows_of(70, 4)}
    return model, {"x": x, "y": y, "validation_split": 0.3}


def recurrent():
    model = Sequential(
        [
            Input((5, 3)),
            layers.LSTM(4, return_sequences=True),
            layers.Bidirectional(layers.GRU(3)),
            layers.Dense(1),
        ]
    )
    model.compile(optimizers.RMSprop(0.01, momentum=0.5, centered=True), "mse", metrics=["mae"])
    return model, {"x": rows_of(40, 5, 3), "y": rows_of(40)}


def penalised():
    model = Sequential(
        [
            Input((6,)),
            layers.Dense(4, kernel_regularizer="l2", bias_regularizer=regularizers.L1L2(0.1, 0.1)),
            layers.Dense(4, trainable=False),
            layers.Dense(2, kernel_regularizer=regularizers.L1(0.02)),
        ]
    )
    model.compile("rmsprop", "mae")
    return model, {
        "x": rows_of(30, 6),
        "y": rows_of(30, 2),
        "validation_split": 0.5,
        "shuffle": False,
    }


def scheduled():
    model = Sequential([Input((6,)), layers.Dense(4, activation="silu"), layers.Dense(2)])
    rate = schedules.CosineDecay(0.0, 6, 0.1, warmup_target=0.1, warmup_steps=3)
    optimizer = optimizers.SGD(rate, momentum=0.9, weight_decay=0.01, global_clipnorm=0.5)
    model.compile(optimizer, "mse", lr_multipliers={"dense*.bias": 2.0})
    return model, {"x": rows_of(90, 6), "y": rows_of(90, 2)}


def gathering():
    model = Sequential([Input((6,)), layers.Dense(4, activation="tanh"), layers.Dense(2)])
    model.compile("adamw", "mse", accumulate_steps=3, clip_norm=0.1)
    return model, {"x": rows_of(70, 6), "y": rows_of(70, 2), "batch_size": 8}


def tuned():
    """A frozen part with statistics and dropout of its own, under a head that learns faster."""
    base = Sequential(
        [Input((6,)), layers.Dense(5), layers.BatchNormalization(), layers.Dropout(0.5)],
        name="base",
    )
    base.trainable = False
    head = [layers.LayerNormalization(), layers.PReLU(), layers.Dense(4, activation="softmax")]
    model = Sequential([Input((6,)), base, layers.Dense(5, name="slow"), *head])
    model.compile(
        optimizers.Adam(0.01, clipnorm=0.2, weight_decay=0.1),
        "categorical_crossentropy",
        metrics=["accuracy", "categorical_crossentropy"],
        lr_multipliers={"slow": 0.1},
    )
    return model, {"x": rows_of(50, 6), "y": np.eye(4, dtype="float32")[classes(50, 4)]}


def attentive():
    tokens = Input((6,), dtype="int64")
    x = layers.Embedding(9, 4)(tokens)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 2)(x, x))
    x = layers.GlobalMaxPooling1D()(x)
    model = Model(tokens, layers.Dense(3, activation="softmax")(x))
    model.compile(optimizers.Nadam(0.01), "crossentropy", metrics=["accuracy"])
    return model, {"x": classes(240, 9).reshape(40, 6), "y": classes(40)[:, None]}


def half():
    model = Sequential([Input((6,)), layers.Dense(8, activation="relu"), layers.Dense(2)])
    model.compile(optimizers.Adagrad(0.1), "mse", precision="bfloat16-mixed")
    return model, {"x": rows_of(40, 6), "y": rows_of(40, 2)}


class Block(torch.nn.Module):
    """Somebody's own module, with a container of torch's in it."""

    def __init__(self, size):
        super().__init__()
        norm = torch.nn.BatchNorm1d
        self.main = torch.nn.Linear(size, size)
        self.norm = norm(size)
        self.shortcut = torch.nn.Sequential(torch.nn.Linear(size, size), norm(size))

    def forward(self, x):
        y = torch.relu(self.norm(self.main(x)))
        y = y + self.shortcut(x)
        return torch.nn.functional.dropout(y, 0.3, training=self.training)


def transferred():
    """A frozen network of somebody's own under a new head."""
    base = Sequential([Input((6,)), Block(6), Block(6), layers.Dropout(0.5)], name="base")
    model = Sequential([Input((6,)), base, layers.Dense(4, activation="relu"), layers.Dense(2)])
    base.trainable = False
    model.compile("sgd", "mse")
    return model, {"x": rows_of(50, 6), "y": rows_of(50, 2), "validation_split": 0.5}


def owned():
    """The same network, learning."""
    model = Sequential([Input((6,)), Block(6), layers.Dense(2)])
    model.compile("adam", "mse")
    return model, {"x": rows_of(50, 6), "y": rows_of(50, 2), "validation_split": 0.5}


MAKERS = [
    digits,
    convolutional,
    branching,
    recurrent,
    penalised,
    scheduled,
    gathering,
    tuned,
    attentive,
    half,
    transferred,
    owned,
]


def learned(model):
    return [p.detach().clone() for p in model.parameters() if p.requires_grad]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """For each model what `fit` logged, and what its script logged in a process of its own."""
    folder = tmp_path_factory.mktemp("ejected")
    logged = {}
    for make in MAKERS:
        utils.set_random_seed(5)
        model, data = make()
        model.eject(folder / f"{make.__name__}.py", epochs=EPOCHS, seed=3, **data)
        utils.set_random_seed(3)
        history = model.fit(epochs=EPOCHS, verbose=0, **data).history
        logged[make.__name__] = history, learned(model)
    runner = folder / "runner.txt"
    runner.write_text(RUNNER)
    done = subprocess.run(
        [sys.executable, "-I", str(runner), str(folder)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return logged, json.loads((folder / "runs.json").read_text()), folder


@pytest.mark.parametrize("make", MAKERS)
def test_the_script_tells_the_losses_that_fit_tells(runs, make):
    logged, ejected, _ = runs
    want, _ = logged[make.__name__]
    got = ejected[make.__name__]

    assert list(got[0]) == list(want)
    for name, values in want.items():
        assert [epoch[name] for epoch in got] == pytest.approx(values, rel=1e-5, abs=1e-7)
    assert len({epoch["loss"] for epoch in got}) == EPOCHS


def in_order(parameters):
    """Parameters in an order that does not depend on their names."""
    return sorted(parameters, key=lambda p: (tuple(p.shape), float(p.sum())))


@pytest.mark.parametrize("make", MAKERS)
def test_the_script_ends_with_the_weights_that_fit_ends_with(runs, make):
    logged, _, folder = runs
    trained = torch.load(folder / f"{make.__name__}_trained.pt", weights_only=True)

    want, got = in_order(logged[make.__name__][1]), in_order(trained)

    assert len(want) == len(got) > 0
    for a, b in zip(want, got, strict=True):
        # A key's bias has no gradient but what rounding leaves, which Nadam makes steps of.
        assert_close(a, b, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("make", MAKERS)
def test_the_script_reads_well(runs, make):
    text = (runs[2] / f"{make.__name__}.py").read_text()

    assert max(map(len, text.splitlines())) <= 100
    assert "import kerasish" not in text
    assert len(text.splitlines()) < 190


# Formulas, of which each script above shows one or two


def one_layer(loss, activation, units, **options):
    model = Sequential([Input((4,)), layers.Dense(units, activation=activation)])
    model.compile("sgd", loss, **options)
    return model


ROWS, TARGETS = rows_of(30, 4), abs(rows_of(30, 3))
NUMBERS, CHOICES = classes(30), np.eye(3, dtype="float32")[classes(30)]


@pytest.mark.filterwarnings("ignore:K10")  # odd pairs are advised against
@pytest.mark.parametrize(
    ("loss", "activation", "y"),
    [
        ("mape", None, TARGETS),
        ("msle", "softplus", TARGETS),
        ("log_cosh", None, TARGETS),
        ("poisson", "softplus", TARGETS),
        ("kl_divergence", "softmax", CHOICES),
        ("cosine_similarity", None, TARGETS),
        ("binary_crossentropy", "softmax", CHOICES),
        ("categorical_crossentropy", "sigmoid", CHOICES),
        ("sparse_categorical_crossentropy", "softplus", NUMBERS),
        (losses.SparseCategoricalCrossentropy(ignore_class=1), "softmax", NUMBERS),
        (losses.CategoricalCrossentropy(label_smoothing=0.1), "softmax", CHOICES),
        (losses.BinaryCrossentropy(label_smoothing=0.1), "sigmoid", CHOICES),
        (losses.BinaryCrossentropy(from_logits=True), None, CHOICES),
        (torch.nn.functional.smooth_l1_loss, None, TARGETS),
    ],
)
def test_each_loss_is_written_as_it_is_computed(loss, activation, y, tmp_path):
    tells_what_fit_tells(one_layer(loss, activation, 3), ROWS, y, tmp_path)


@pytest.mark.parametrize(
    ("metric", "loss", "activation", "y"),
    [
        (
            "sparse_top_k_categorical_accuracy",
            "sparse_categorical_crossentropy",
            "softmax",
            NUMBERS,
        ),
        (metrics.TopKCategoricalAccuracy(2), "categorical_crossentropy", "softmax", CHOICES),
        (metrics.BinaryAccuracy(threshold=0.7), "binary_crossentropy", "sigmoid", CHOICES),
        ("mae", "binary_crossentropy", "sigmoid", CHOICES),
        ("categorical_crossentropy", "mse", "softmax", CHOICES),
    ],
)
def test_each_metric_is_written_as_it_is_computed(metric, loss, activation, y, tmp_path):
    tells_what_fit_tells(one_layer(loss, activation, 3, metrics=[metric]), ROWS, y, tmp_path)


@pytest.mark.parametrize(
    "rate",
    [
        schedules.ExponentialDecay(0.1, 3, 0.5, staircase=True),
        schedules.InverseTimeDecay(0.1, 3, 0.5),
        schedules.PiecewiseConstantDecay([2, 5], [0.1, 0.05, 0.01]),
        schedules.PolynomialDecay(0.1, 4, 0.001, 2.0, cycle=True),
        schedules.CosineDecayRestarts(0.1, 2, m_mul=0.5, alpha=0.1),
        schedules.OneCycle(0.1, 8, warmup_fraction=0.4),
        schedules.Warmup(schedules.CosineDecay(0.1, 5), 3, 0.01),
    ],
    ids=lambda rate: type(rate).__name__,
)
def test_each_schedule_is_written_as_it_is_computed(rate):
    names = {"math": math}
    exec("\n".join(rate_function(rate)), names)

    assert [names["learning_rate"](step) for step in range(12)] == pytest.approx(
        [rate(step) for step in range(12)], rel=1e-12
    )


def tells_what_fit_tells(model, x, y, tmp_path):
    """Compare what the script and `fit` log, in this process."""
    model.eject(tmp_path / "train.py", x, y, batch_size=8, epochs=2)
    utils.set_random_seed(0)
    want = model.fit(x, y, batch_size=8, epochs=2, verbose=0).history
    got = load(tmp_path / "train.py").train()[1]
    for name, values in want.items():
        assert [logs[name] for logs in got] == pytest.approx(values, rel=1e-5)


def several_calls():
    """Operators inside calls, constants, slices, and an output that is two."""
    x = Input((4,))
    y = (x * 2 + layers.Normalization(mean=[1.0] * 4, variance=[4.0] * 4)(x)).abs().sqrt()
    y = layers.LayerNormalization(scale=False)(y[:, :3])
    y = layers.BatchNormalization(scale=False)(layers.Dense(3)(y))
    return Model(x, -torch.log_softmax(y, dim=-1) + torch.nn.functional.logsigmoid(y))


def far_from_short():
    x = Input((4,), name="a_name_that_is_rather_long")
    equation = "...a,ab->...b"
    parts = [layers.EinsumDense(equation, (None, 3)[1:], name=f"part_{n}")(x) for n in range(4)]
    return Model(x, torch.stack([torch.einsum("ab,cb->ab", p, p) for p in parts], dim=1).sum(1))


def stateful():
    x = Input((4,))
    sequence = layers.Reshape((2, 2))(x)
    return Model(x, layers.LSTM(3, return_state=True)(sequence))


def attending():
    x = Input((4,))
    steps = layers.Reshape((2, 2))(x)
    steps = layers.AdditiveAttention()([steps, layers.Dense(2)(steps)])
    return Model(x, layers.Dense(3)(steps.flatten(1)))


@pytest.mark.parametrize("make", [several_calls, far_from_short, stateful, attending])
def test_calls_of_many_kinds_are_written(make, tmp_path):
    model = make()
    model.compile("adam", "mse")
    count = len(model.outputs)

    tells_what_fit_tells(model, ROWS, TARGETS if count == 1 else [TARGETS] * count, tmp_path)
    assert max(map(len, (tmp_path / "train.py").read_text().splitlines())) <= 100


def test_one_factor_on_every_scheduled_rate_is_written(tmp_path):
    model = Sequential([Input((4,)), layers.Dense(3, name="only")])
    optimizer = optimizers.SGD(schedules.ExponentialDecay(0.1, 2, 0.5))
    model.compile(optimizer, "mse", lr_multipliers={"only": 0.5})

    tells_what_fit_tells(model, ROWS, TARGETS, tmp_path)


def test_tokens_in_bytes_stay_numbers_of_rows(tmp_path):
    model = Sequential([Input((4,), dtype="int64"), layers.Embedding(9, 2), layers.Flatten()])
    model.add(layers.Dense(3))
    model.compile("sgd", "mse")

    tells_what_fit_tells(model, classes(120, 9).reshape(30, 4).astype("uint8"), TARGETS, tmp_path)


def test_a_torch_optimizer_with_groups_of_its_own_is_written(tmp_path):
    model = Sequential([Input((4,)), layers.Dense(5, name="first"), layers.Dense(3)])
    first, second = (list(layer.parameters()) for layer in model.layers)
    groups = [{"params": first, "lr": 0.1}, {"params": second, "weight_decay": 0.5}]
    model.compile(torch.optim.SGD(groups, lr=0.01, momentum=0.9), "mse")

    tells_what_fit_tells(model, ROWS, TARGETS, tmp_path)

    model.compile(torch.optim.SGD(first), "mse")
    with pytest.raises(ValueError, match="optimizer of some of the weights"):
        model.eject(tmp_path / "train.py")
    groups = [{"params": first, "momentum": 0.1}, {"params": second}]
    model.compile(torch.optim.SGD(groups), "mse")
    with pytest.raises(ValueError, match="groups differ"):
        model.eject(tmp_path / "train.py")


def test_long_calls_are_broken_at_their_arguments_but_not_in_strings():
    line = f'    x = torch.einsum("ab,bc->ac", {"first" * 8}, F.relu({"second" * 7}, inplace=True))'

    assert wrapped(line).split("\n") == [
        "    x = torch.einsum(",
        '        "ab,bc->ac",',
        f"        {'first' * 8},",
        f"        F.relu({'second' * 7}, inplace=True),",
        "    )",
    ]
    assert wrapped(line[:90]) == line[:90]


def test_the_page_shows_what_is_written(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "eject.md").read_text(encoding="utf-8")
    code, _, *shown = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    rows = {"x": rows_of(40, 28, 28), "y": classes(40, 10)}

    exec(code.replace('"train.py"', "path"), rows | {"path": tmp_path / "train.py"})

    text = re.sub(r"dense\w*|dropout\w*", "layer", (tmp_path / "train.py").read_text())
    assert len(shown) == 2
    for block in shown:
        assert re.sub(r"dense\w*|dropout\w*", "layer", block) in text


# Without data


def test_without_data_the_script_says_where_to_put_it(tmp_path):
    model, data = digits()
    model.eject(tmp_path / "train.py", epochs=2)
    script = load(tmp_path / "train.py")

    assert "x: float32, (rows, 8, 8)" in script.load_data.__doc__
    assert "y: int64, (rows)" in script.load_data.__doc__
    with pytest.raises(NotImplementedError, match=r"Load your data in load_data\(\)"):
        script.train()
    script.load_data = lambda: (torch.tensor(data["x"]), torch.tensor(data["y"]))
    utils.set_random_seed(0)
    want = model.fit(data["x"], data["y"], epochs=2, verbose=0).history
    assert [logs["loss"] for logs in script.train()[1]] == pytest.approx(want["loss"], rel=1e-5)
    assert sorted(path.name for path in tmp_path.glob("*.p*")) == ["train.py", "train_weights.pt"]


def load(path):
    """A script as a module, in this process."""
    spec = importlib.util.spec_from_file_location("ejected_here", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_targets_that_decide_the_loss_must_be_given(tmp_path):
    model, _ = attentive()

    with pytest.raises(ValueError, match="Pass x and y"):
        model.eject(tmp_path / "train.py")


def test_with_several_outputs_and_no_data_all_shapes_are_told(tmp_path):
    model, _ = branching()
    model.eject(tmp_path / "train.py")
    told = load(tmp_path / "train.py").load_data.__doc__

    assert "Returns left, right, whether_true, how_much_true" in told
    assert "how_much_true: float32, (rows, 2)" in told


def test_names_of_the_loop_are_not_taken_by_inputs(tmp_path):
    inputs = [Input((4,), name=name) for name in ("rows", "model", "values")]
    model = Model(inputs, layers.Dense(3)(layers.Add()(inputs)))
    model.compile("sgd", "mse")
    x = [ROWS] * 3

    tells_what_fit_tells(model, x, TARGETS, tmp_path)

    assert "def measure(model, x_rows, x_model, x_values, y)" in (tmp_path / "train.py").read_text()


def test_names_and_settings_from_a_file_become_no_code(tmp_path):
    name = 'own"""\nraise SystemExit("code was run")\n"""'
    model = Sequential([Input((4,)), layers.Dense(3)], name=name)
    metric = metrics.MeanAbsoluteError(name='a": 1 / 0, "b')
    model.compile("sgd", "mse", metrics=[metric])

    tells_what_fit_tells(model, ROWS, TARGETS, tmp_path)

    loss = losses.Huber()
    loss.delta = "__import__('sys').exit()"
    model.compile("sgd", loss)
    with pytest.raises(ValueError, match="Give a number"):
        model.eject(tmp_path / "train.py")


def test_the_path_is_that_of_a_script(tmp_path):
    with pytest.raises(ValueError, match=r"`path` is a script, such as 'train.py'; got"):
        dense().eject(tmp_path / "train")


# What stays as it was


def test_ejecting_changes_neither_the_model_nor_the_random_numbers(tmp_path):
    model, data = convolutional()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    state, was_training = torch.get_rng_state(), model.training

    model.eject(tmp_path / "train.py", **data)

    assert torch.equal(torch.get_rng_state(), state)
    assert model.training == was_training
    assert model._objective is None
    assert model.optimizer.torch is None
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


# What cannot be written


def dense(**options):
    model = Sequential([Input((4,)), layers.Dense(2)])
    model.compile(**{"optimizer": "sgd", "loss": "mse"} | options)
    return model


def of(*parts):
    model = Sequential([Input((4,)), *parts, layers.Dense(2)])
    model.compile("sgd", "mse")
    return model


class OwnStep(Model):
    def train_step(self, data):
        return {}


def own_step():
    x = Input((4,))
    model = OwnStep(x, layers.Dense(2)(x))
    model.compile("sgd", "mse")
    return model


class Penalising(layers.Layer):
    def call(self, x):
        self.add_loss(x.square().mean())
        return x


REFUSED = {
    "train_step of OwnStep": own_step,
    'GaussianNoise "noisy" does in training': lambda: of(layers.GaussianNoise(0.1, name="noisy")),
    'Dropout "seeded" does in training': lambda: of(layers.Dropout(0.5, seed=1, name="seeded")),
    'Penalising "own" adds to the loss': lambda: of(Penalising(name="own")),
    'RandomFlip "flip" does in training': lambda: of(
        layers.Reshape((1, 2, 2)), layers.RandomFlip(name="flip"), layers.Flatten()
    ),
    'LSTM "lstm" does in training': lambda: of(
        layers.GaussianDropout(0.1),
        layers.Reshape((2, 2)),
        layers.LSTM(3, dropout=0.2, name="lstm"),
    ),
    "constraint NonNeg": lambda: of(layers.Dense(2, kernel_constraint="non_neg")),
    'activity_regularizer of "act"': lambda: of(
        layers.Dense(2, activity_regularizer="l2", name="act")
    ),
    "penalty OrthogonalRegularizer": lambda: of(
        layers.Dense(2, kernel_regularizer="orthogonal_regularizer")
    ),
    "optimizer Lion": lambda: dense(optimizer="lion"),
    "`use_ema`": lambda: dense(optimizer=optimizers.SGD(use_ema=True)),
    "metric 'AUC'": lambda: dense(metrics=["AUC"]),
    "loss LossFunctionWrapper": lambda: dense(loss=lambda y, p: (y - p).abs().mean(-1)),
    "jit_compile": lambda: dense(jit_compile=True),
    "learning rate": lambda: dense(optimizer=optimizers.SGD(lambda: 0.1)),
}


@pytest.mark.parametrize("part", REFUSED)
def test_what_cannot_be_written_is_named_and_nothing_is_left_behind(part, tmp_path):
    model = REFUSED[part]()

    with pytest.raises(ValueError, match="^eject: .*" + re.escape(part)):
        model.eject(tmp_path / "train.py", rows_of(8, 4), rows_of(8, *model.output_shape[1:]))

    assert list(tmp_path.iterdir()) == []


def test_a_batch_of_one_row_under_batch_normalisation_is_refused(tmp_path):
    model = of(layers.Dense(3), layers.BatchNormalization())

    with pytest.raises(ValueError, match=r"last batch of one row.*another batch_size"):
        model.eject(tmp_path / "train.py", rows_of(33, 4), rows_of(33, 2))


def test_data_that_cannot_be_written_is_refused(tmp_path):
    loader = torch.utils.data.DataLoader([(torch.ones(4), torch.ones(2))] * 4)

    with pytest.raises(ValueError, match=r"eject: Data that comes as .*load_data"):
        dense().eject(tmp_path / "train.py", loader)


def test_a_run_that_would_go_on_is_refused(tmp_path):
    model = dense()
    model.fit(rows_of(8, 4), rows_of(8, 2), verbose=0)

    with pytest.raises(ValueError, match="Compile the model again"):
        model.eject(tmp_path / "train.py")
    model.compile("sgd", "mse")
    model.eject(tmp_path / "train.py")

    assert (tmp_path / "train.py").exists()


def test_a_model_must_be_compiled_and_have_a_graph(tmp_path):
    with pytest.raises(RuntimeError, match="must be compiled"):
        Sequential([Input((4,)), layers.Dense(2)]).eject(tmp_path / "train.py")
    model = Model(torch.nn.Linear(4, 2))
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="code of ModuleModel"):
        model.eject(tmp_path / "train.py")


def test_a_failure_leaves_an_older_script_whole(tmp_path):
    path = tmp_path / "train.py"
    dense().eject(path)
    before = path.read_bytes()

    with pytest.raises(ValueError, match="eject"):
        dense(optimizer="lion").eject(path)

    assert path.read_bytes() == before


def test_what_is_made_of_parameters_before_the_call_is_refused(tmp_path):
    class Doubled(layers.Layer):
        def build(self, input_shape):
            self.w = self.add_weight((3, input_shape[-1]))

        def forward(self, x):
            return torch.nn.functional.linear(x, self.w * 2)

    model = Sequential([Input((4,)), Doubled()])
    model.compile("sgd", "mse")

    with pytest.raises(ValueError, match="made of parameters would no longer learn"):
        model.eject(tmp_path / "train.py", ROWS, TARGETS)
    assert not any(tmp_path.iterdir())
