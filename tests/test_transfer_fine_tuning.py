"""Fine-tuning in phases: nothing but public calls, one history, validation by default."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import kerasish
from kerasish import layers, optimizers, transfer
from kerasish.callbacks import Callback
from kerasish.transfer import Phase, fine_tune

NAMES = ["one", "two", "three", "head"]
PHASES = [
    Phase("head", epochs=2),
    Phase("last stages", 2, 3, lr_multipliers="discriminative"),
    Phase("all", "all", 1, 1e-4, {"head": 0.5}),
]


def made(units=3, activation="softmax"):
    kerasish.config.set_random_seed(1)
    body = [layers.Dense(5, activation="relu", name=name) for name in NAMES[:3]]
    head = layers.Dense(units, activation=activation, name="head")
    return kerasish.Sequential([layers.Input((5,)), *body, head])


def rows(each=10, classes=3):
    y = np.arange(each * classes) % classes
    x = np.random.default_rng(0).normal(size=(each * classes, 5)).astype("float32")
    x[:, 0] += 2 * y
    return x, y


class Watch(Callback):
    def __init__(self):
        self.learning, self.rates, self.rows = [], [], []

    def on_epoch_end(self, epoch, logs=None):
        model = self.model
        self.learning.append([stage.name for stage in model.stages() if stage.trainable])
        groups = model.optimizer.torch.param_groups
        self.rates.append(sorted(round(float(group["lr"]), 8) for group in groups))


def quiet(model, *args, **kwargs):
    return fine_tune(model, *args, **{"verbose": 0, **kwargs})


def weights_equal(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_phases_train_what_they_say_at_their_rates():
    watch = Watch()
    quiet(made(), *rows(), PHASES, callbacks=watch, patience=9)

    assert watch.learning == [["head"]] * 2 + [["three", "head"]] * 3 + [NAMES]
    assert watch.rates == [[1e-3]] * 2 + [[1e-5, 1e-4]] * 3 + [[5e-5, 1e-4]]


def test_it_is_what_one_could_have_typed():
    model, by_hand = made(), made()
    x, y = rows()
    held = (x[:6], y[:6])
    torch.manual_seed(0)
    history = quiet(model, x, y, PHASES, validation_data=held, patience=9)

    torch.manual_seed(0)
    stop = {"patience": 9, "restore_best_weights": True}
    losses = []
    for first, last, act, rate, factors in [
        (0, 2, by_hand.freeze, 1e-3, None),
        (2, 5, lambda: by_hand.unfreeze(last=2), 1e-3, "discriminative"),
        (5, 6, by_hand.unfreeze, 1e-4, {"head": 0.5}),
    ]:
        act()
        by_hand.compile(
            optimizers.Adam(rate),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
            lr_multipliers=factors,
        )
        logs = by_hand.fit(
            x,
            y,
            initial_epoch=first,
            epochs=last,
            validation_data=held,
            verbose=0,
            callbacks=[kerasish.callbacks.EarlyStopping(**stop)],
        )
        losses += logs.history["loss"]

    assert history.history["loss"] == losses
    assert weights_equal(model, by_hand)


def test_one_history_marks_the_phases():
    history = quiet(made(), *rows(), PHASES, patience=9)

    assert [tuple(span) for span in history.phases] == [
        ("head", 0, 1),
        ("last stages", 2, 4),
        ("all", 5, 5),
    ]
    assert history.epoch == [0, 1, 2, 3, 4, 5]
    assert {len(values) for values in history.history.values()} == {6}
    assert {len(values) for values in history.seconds.values()} == {6}
    assert history.epochs_of("val_loss") == history.epoch


def test_the_history_draws_its_phases():
    pytest.importorskip("matplotlib")
    model = made()
    history = quiet(model, *rows(), PHASES)

    axis = history.plot(["loss"]).axes[0]

    assert [text.get_text() for text in axis.texts] == ["head", "last stages", "all"]
    assert model.history is history


def test_the_plan_is_printed_first_in_plain_words(capsys):
    fine_tune(made(), *rows(), PHASES[:2], verbose=2, epochs=1)

    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [f"{n}. {phase}" for n, phase in enumerate(PHASES[:2], 1)] + [
        "Phase 1 of 2, head: head learns, 18 of 108 parameters."
    ]
    assert "Phase 2 of 2, last stages: three, head learn, 48 of 108 parameters." in lines


def test_a_plan_by_itself_suits_the_data():
    history = quiet(made(), *rows(125), similar=True, epochs=1)
    assert [span.name for span in history.phases] == ["head", "last stages"]

    history = quiet(made(), *rows(125), "gradual", epochs=4, patience=9)
    assert [tuple(span) for span in history.phases] == [("gradual", 0, 3)]


# Validation


def test_rows_for_validation_are_drawn_of_each_class_and_not_trained_on():
    seen = {}

    class Peek(Callback):
        def on_train_begin(self, logs=None):
            seen["rows"] = self.params["steps"]

    x, y = rows(20)
    order = np.argsort(y)  # by class, as folders are
    history = quiet(made(), x[order], y[order], PHASES[:1], batch_size=1, callbacks=Peek())

    assert seen["rows"] == 48
    assert "val_accuracy" in history.history
    train_x, train_y, held = transfer.fine_tuning._hold_out(x[order], y[order], 0.2, 0)
    assert np.bincount(held[1]).tolist() == [4, 4, 4]
    together = np.concatenate([np.asarray(train_x), np.asarray(held[0])])
    assert sorted(together[:, 1].tolist()) == sorted(x[:, 1].tolist())
    assert np.bincount(train_y).tolist() == [16, 16, 16]


def test_a_phase_ends_when_validation_gets_no_better():
    x, y = rows()
    phase = Phase("head", epochs=50, learning_rate=1.0)

    history = quiet(made(), x, y, [phase], validation_data=(x, (y + 1) % 3), patience=2)

    best = int(np.argmin(history.history["val_loss"]))
    assert len(history.epoch) == best + 3


@pytest.mark.filterwarnings("ignore:K136")
def test_a_phase_that_makes_it_worse_is_undone(capsys):
    model = made()
    x, y = rows()
    harm = Phase("harm", "all", 2, 30.0)

    fine_tune(model, x, y, [PHASES[0], harm], validation_data=(x, y), verbose=2)

    assert "The phase 'harm' did not help, and is undone." in capsys.readouterr().out
    alone = made()
    quiet(alone, x, y, [PHASES[0]], validation_data=(x, y))
    losses = [m.evaluate(x, y, verbose=0)[0] for m in (model, alone)]
    assert losses[0] == pytest.approx(min(model.history.history["val_loss"]), rel=1e-5)


def test_loaders_are_not_split_and_that_is_said(capsys):
    x, y = rows()
    loader = DataLoader(TensorDataset(torch.from_numpy(x), torch.from_numpy(y)), batch_size=10)

    history = fine_tune(made(), loader, plan=PHASES[:1], verbose=2)

    assert "There are no validation data" in capsys.readouterr().out
    assert "val_loss" not in history.history


@pytest.mark.parametrize("kind", ["tensors", "subset"])
def test_data_sets_are_split(kind):
    x, y = rows()
    data = TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    if kind == "subset":
        data = torch.utils.data.Subset(data, range(25))

    assert "val_loss" in quiet(made(), data, plan=PHASES[:1]).history


# What compile gets


@pytest.mark.parametrize(
    ("units", "activation", "targets", "want"),
    [
        (3, "softmax", "int", "SparseCategoricalCrossentropy"),
        (3, None, "int", "SparseCategoricalCrossentropy"),
        (3, "softmax", "one-hot", "CategoricalCrossentropy"),
        (1, "sigmoid", "two", "BinaryCrossentropy"),
        (1, None, "two", "BinaryCrossentropy"),
    ],
)
def test_the_loss_suits_head_and_targets(units, activation, targets, want):
    x, y = rows()
    y = {"int": y, "one-hot": np.eye(3, dtype="float32")[y], "two": y % 2}[targets]
    model = made(units, activation)

    quiet(model, x, y, PHASES[:1])

    assert type(model.loss).__name__ == want
    assert model.loss.from_logits is (activation is None)


def test_a_compiled_model_keeps_its_loss_metrics_and_the_rest():
    model = made()
    loss = kerasish.losses.SparseCategoricalCrossentropy()
    model.compile("sgd", loss, metrics=["sparse_top_k_categorical_accuracy"], clip_norm=0.5)

    history = quiet(model, *rows(), PHASES[:1])

    assert model.loss is loss
    assert "sparse_top_k_categorical_accuracy" in history.history
    assert model._recipe.clip_norm == 0.5


@pytest.mark.parametrize(
    "optimizer", ["sgd", optimizers.SGD, optimizers.SGD(5.0, momentum=0.9)], ids=str
)
def test_each_phase_has_a_new_optimizer_of_the_kind_at_its_rate(optimizer):
    model, watch = made(), Watch()
    quiet(model, *rows(), [PHASES[0], Phase("b", epochs=1, learning_rate=0.5)], optimizer=optimizer,
          callbacks=[watch])  # fmt: skip

    assert watch.rates == [[1e-3], [1e-3], [0.5]]
    assert model.optimizer is not optimizer
    assert isinstance(model.optimizer, optimizers.SGD)
    if isinstance(optimizer, optimizers.SGD):
        assert model.optimizer.momentum == 0.9


def test_options_of_fit_go_through():
    history = quiet(made(), *rows(), PHASES[:1], class_weight={0: 0.0, 1: 0.0, 2: 0.0})

    assert history.history["loss"] == [0.0, 0.0]


def test_class_names_come_from_the_data():
    x, y = rows()
    loader = DataLoader(TensorDataset(torch.from_numpy(x), torch.from_numpy(y)), batch_size=10)
    loader.class_names = ["x", "y", "z"]
    model = made()

    quiet(model, loader, plan=PHASES[:1])

    assert model.class_names == ["x", "y", "z"]


# Going on after a crash


class Stopped(Exception):
    pass


class StopAt(Callback):
    def __init__(self, epochs):
        self.left = epochs

    def on_epoch_end(self, epoch, logs=None):
        self.left -= 1
        if not self.left:
            raise Stopped


@pytest.mark.parametrize("epochs", [1, 2, 3, 5, 6])
def test_an_interrupted_run_goes_on_in_its_phase(epochs, tmp_path):
    def run(**kwargs):
        model = made()
        torch.manual_seed(7)
        x, y = rows()
        return model, quiet(model, x, y, PHASES, patience=9, **kwargs)

    whole, want = run()
    with pytest.raises(Stopped):
        run(resume=tmp_path, callbacks=[StopAt(epochs)])
    model, history = run(resume=tmp_path)

    assert weights_equal(model, whole)
    assert history.history == want.history
    assert history.phases == want.phases


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ("autto", "unknown plan 'autto'; did you mean 'auto'"),
        ([], "a list of transfer.Phase"),
        (["head"], "a list of transfer.Phase"),
    ],
    ids=str,
)
def test_wrong_plans_are_explained(plan, message):
    with pytest.raises(ValueError, match=message):
        quiet(made(), *rows(), plan)
