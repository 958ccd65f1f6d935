"""`eject()`: scripts run in a process without kerasish, and tell the losses that `fit` tells."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from kerasish import Input, Model, Sequential, layers, optimizers, regularizers, schedules, utils

EPOCHS = 3

# What the other process runs: every script of a folder, where kerasish cannot be imported.
RUNNER = """
import importlib, json, pathlib, sys
sys.modules["kerasish"] = None
folder = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(folder))
import torch
torch.set_num_threads(1)
runs = {p.stem: importlib.import_module(p.stem).train()[1] for p in sorted(folder.glob("*.py"))}
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
]


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
        logged[make.__name__] = model.fit(epochs=EPOCHS, verbose=0, **data).history
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
    want = logged[make.__name__]
    got = ejected[make.__name__]

    assert list(got[0]) == list(want)
    for name, values in want.items():
        assert [epoch[name] for epoch in got] == pytest.approx(values, rel=1e-5, abs=1e-7)
    assert len({epoch["loss"] for epoch in got}) == EPOCHS
