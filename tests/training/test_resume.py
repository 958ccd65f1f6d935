"""Runs that are interrupted anywhere and go on with equal weights, to the last bit."""

import random

import numpy as np
import pytest
import torch
import torchmetrics
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import kerasish
from kerasish import callbacks, layers, optimizers, schedules
from kerasish.callbacks import BackupAndRestore, Callback

ROWS, BATCH, EPOCHS = 23, 4, 3  # six batches an epoch, the last one short
BATCHES = 6


class Stopped(Exception):
    pass


class StopAt(Callback):
    """Ends the process's interest in training after so many batches."""

    def __init__(self, batches):
        self.left = batches

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise Stopped


class StopAtHook(Callback):
    def __init__(self, hook, epoch=1):
        def stop(number=epoch, logs=None):
            if number == epoch or isinstance(number, dict):
                raise Stopped

        setattr(self, hook, stop)


def arrays():
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(ROWS, 5, generator=generator)
    return x, (x[:, :1] > 0).float()


class Jittered(Dataset):
    """Rows with noise from all three global generators."""

    def __len__(self):
        return ROWS

    def __getitem__(self, index):
        x, y = arrays()
        noise = torch.rand(5) + float(np.random.rand()) + random.random()  # noqa: NPY002
        return x[index] + noise, y[index]


class Passing(IterableDataset):
    """Rows in an order of their own, of which nobody knows how many there are."""

    def __iter__(self):
        x, y = arrays()
        for row in torch.randperm(ROWS):
            yield x[row], y[row]


SOURCES = {
    "arrays": lambda: (arrays(), {"batch_size": BATCH}),
    "arrays in order": lambda: (arrays(), {"batch_size": BATCH, "shuffle": False}),
    "arrays and weights": lambda: (
        (*arrays(),),
        {"batch_size": BATCH, "sample_weight": torch.linspace(0, 1, ROWS)},
    ),
    "a dataset": lambda: ((Jittered(),), {"batch_size": BATCH}),
    "a loader": lambda: ((DataLoader(Jittered(), BATCH, shuffle=True),), {}),
    "a loader with a generator": lambda: (
        (DataLoader(Jittered(), BATCH, shuffle=True, generator=torch.Generator().manual_seed(3)),),
        {},
    ),
    "steps over the end": lambda: (
        arrays(),
        {"batch_size": BATCH, "steps_per_epoch": BATCHES + 2},
    ),
    "a loader, fewer steps": lambda: (
        (DataLoader(Jittered(), BATCH, shuffle=True),),
        {"steps_per_epoch": BATCHES - 2},
    ),
    "a loader of no known length": lambda: ((DataLoader(Passing(), BATCH),), {}),
    "a generator": lambda: (
        (iter([tuple(t[i : i + 4] for t in arrays()) for i in range(0, 20, 4)] * EPOCHS),),
        {"steps_per_epoch": 5},
    ),
}


def small_model(optimizer=None, **compile_options):
    model = kerasish.Sequential(
        [
            layers.Input((5,), name="x"),
            layers.Dense(8, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.4),
            layers.Dropout(0.2, seed=7),
            layers.Dense(1),
        ]
    )
    rate = schedules.CosineDecay(0.05, 20)
    loss = kerasish.losses.BinaryCrossentropy(from_logits=True)
    optimizer = optimizer or optimizers.Adam(rate)
    model.compile(optimizer, loss, metrics=["mae"], **compile_options)
    return model


def train(source, extra=(), compile_options=None, **options):
    """What a script does: everything from the seed on."""
    kerasish.utils.set_random_seed(11)
    model = small_model(**(compile_options or {}))
    data, settings = SOURCES[source]()
    model.fit(*data, epochs=EPOCHS, callbacks=list(extra), verbose=0, **{**settings, **options})
    return model


def interrupt(*args, stop, extra=(), **options):
    with pytest.raises(Stopped):
        train(*args, extra=[*extra(), stop] if callable(extra) else [*extra, stop], **options)


def state_of(model):
    # Layers of a second model in one process have other numbers.
    state = {str(i): value for i, value in enumerate(model.state_dict().values())}
    inner = model.optimizer.state_dict()["state"]
    return state | {f"{i} {k}": v for i, s in inner.items() for k, v in s.items()}


def assert_same(model, expected):
    now, then = state_of(model), state_of(expected)
    assert now.keys() == then.keys()
    assert [key for key in now if not torch.equal(now[key], then[key])] == []
    assert model.history.history == expected.history.history
    assert model.history.epoch == expected.history.epoch


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("stop_at", [1, 3, 7, 11], ids=lambda n: f"after batch {n}")
def test_a_run_stopped_anywhere_ends_with_equal_weights(source, stop_at, tmp_path):
    expected = train(source, [BackupAndRestore(tmp_path / "a", save_freq=2)])
    keep = {"extra": [BackupAndRestore(tmp_path / "b", save_freq=2)]}

    interrupt(source, stop=StopAt(stop_at), **keep)
    model = train(source, [BackupAndRestore(tmp_path / "b", save_freq=2)])

    assert_same(model, expected)


def test_workers_that_live_on_give_the_same_order_after_a_stop(tmp_path, monkeypatch):
    def lasting():
        data = TensorDataset(*arrays())
        loader = DataLoader(data, BATCH, shuffle=True, num_workers=1, persistent_workers=True)
        return (loader,), {}

    monkeypatch.setitem(SOURCES, "lasting", lasting)
    expected = train("lasting")
    backup = BackupAndRestore(tmp_path, save_freq=2)

    interrupt("lasting", extra=[backup], stop=StopAt(3))
    model = train("lasting", [BackupAndRestore(tmp_path, save_freq=2)])

    assert_same(model, expected)


@pytest.mark.parametrize("source", SOURCES)
def test_a_run_stopped_between_epochs_goes_on_with_the_next(source, tmp_path, capsys):
    expected = train(source)

    interrupt(source, stop=StopAtHook("on_epoch_begin", 2), resume=tmp_path)
    model = train(source, resume=tmp_path)

    assert_same(model, expected)
    assert "resuming from" in capsys.readouterr().out


def test_a_run_stopped_many_times_ends_with_equal_weights(tmp_path):
    expected = train("a loader", [BackupAndRestore(tmp_path / "a", save_freq=1)])

    for _ in range(5):
        interrupt(
            "a loader",
            extra=[BackupAndRestore(tmp_path / "b", save_freq=1)],
            stop=StopAt(3),
        )
    model = train("a loader", [BackupAndRestore(tmp_path / "b", save_freq=1)])

    assert_same(model, expected)


@pytest.mark.parametrize("hook", ["on_test_begin", "on_epoch_end", "on_train_begin"])
def test_validation_does_not_disturb_the_rest(hook, tmp_path):
    def held_out():
        return {"validation_data": DataLoader(Jittered(), 5, shuffle=True), "validation_steps": 3}

    expected = train("a loader", **held_out())

    interrupt("a loader", stop=StopAtHook(hook), resume=tmp_path, **held_out())
    model = train("a loader", resume=tmp_path, **held_out())

    assert_same(model, expected)


@pytest.mark.parametrize(
    "options",
    [
        {"accumulate_steps": 4},
        {"optimizer": optimizers.SGD(0.05, momentum=0.9, gradient_accumulation_steps=4)},
        {"optimizer": optimizers.AdamW(0.01, use_ema=True, ema_momentum=0.8)},
        {"optimizer": lambda: torch.optim.RMSprop, "clip_norm": 0.5},
        {"precision": "float64"},
        {"precision": "bfloat16-mixed"},
        {"precision": "float16-mixed"},
        {"optimizer": optimizers.ScheduleFreeAdamW(0.01)},
        {"optimizer": optimizers.LossScaleOptimizer(optimizers.Adagrad(0.01))},
        {"optimizer": lambda: optimizers.Adam(0.01), "lr_multipliers": {"dense*": 0.5}},
    ],
    ids=[
        "accumulate",
        "optimizer accumulates",
        "ema",
        "torch optimizer",
        "double",
        "bfloat16",
        "float16",
        "schedule-free",
        "scaled loss",
        "rates by name",
    ],
)
def test_every_way_of_training_goes_on(options, tmp_path):
    def choose():
        chosen = dict(options)
        if callable(chosen.get("optimizer")):
            chosen["optimizer"] = chosen["optimizer"]()
        elif "optimizer" in chosen:
            chosen["optimizer"] = type(chosen["optimizer"]).from_config(
                chosen["optimizer"].get_config()
            )
        return {"compile_options": chosen}

    expected = train("arrays", [BackupAndRestore(tmp_path / "a", save_freq=3)], **choose())

    interrupt(
        "arrays",
        extra=[BackupAndRestore(tmp_path / "b", save_freq=3)],
        stop=StopAt(10),
        **choose(),
    )
    model = train("arrays", [BackupAndRestore(tmp_path / "b", save_freq=3)], **choose())

    assert_same(model, expected)


def test_callbacks_go_on_where_they_were(tmp_path):
    def watchers(folder):
        stopping = callbacks.EarlyStopping("loss", patience=9, restore_best_weights=True)
        return [
            BackupAndRestore(tmp_path / folder, save_freq=4),
            stopping,
            callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=10.0),
            callbacks.ModelCheckpoint(
                tmp_path / folder / "{epoch}-{batch}.safetensors",
                save_weights_only=True,
                save_freq=5,
                max_to_keep=2,
            ),
            callbacks.CSVLogger(tmp_path / folder / "log.csv"),
            callbacks.JSONLogger(tmp_path / folder / "log.json"),
        ]

    def options():
        return {"compile_options": {"optimizer": optimizers.Adam(0.02)}}

    expected_watchers = watchers("a")
    expected = train("arrays", expected_watchers, **options())

    interrupt("arrays", extra=watchers("b"), stop=StopAt(15), **options())
    resumed = watchers("b")
    model = train("arrays", resumed, **options())

    assert_same(model, expected)
    for mine, theirs in zip(resumed[1:4], expected_watchers[1:4], strict=True):
        assert (mine.best, getattr(mine, "wait", 0)) == (theirs.best, getattr(theirs, "wait", 0))
    names = [sorted(p.name for p in (tmp_path / f).glob("*.safetensors")) for f in "ab"]
    assert names[0] == names[1] != []
    tables = [(tmp_path / f / "log.csv").read_text() for f in "ab"]
    assert tables[0] == tables[1]
    assert len((tmp_path / "b" / "log.json").read_text().splitlines()) == EPOCHS


def test_a_callback_of_ones_own_keeps_the_attributes_it_names(tmp_path):
    class Counter(Callback):
        state_names = ("batches",)

        def on_train_begin(self, logs=None):
            self.batches = 0

        def on_train_batch_end(self, batch, logs=None):
            self.batches += 1

    counter = Counter()
    interrupt(
        "arrays",
        extra=[BackupAndRestore(tmp_path, save_freq=2), Counter()],
        stop=StopAt(9),
    )
    train("arrays", [BackupAndRestore(tmp_path, save_freq=2), counter])

    assert counter.batches == EPOCHS * BATCHES


def test_a_finished_run_returns_at_once_and_goes_on_with_more_epochs(tmp_path):
    class Count(Callback):
        epochs = 0

        def on_epoch_end(self, epoch, logs=None):
            self.epochs += 1

    again, more = Count(), Count()
    expected = train("arrays")

    first = train("arrays", resume=tmp_path)
    second = train("arrays", [again], resume=tmp_path)

    assert again.epochs == 0
    assert_same(first, expected)
    assert_same(second, expected)
    kerasish.utils.set_random_seed(11)
    model = small_model()
    model.fit(*arrays(), BATCH, 5, callbacks=[more], resume=tmp_path, verbose=0)
    assert more.epochs == 2
    assert len(model.history.history["loss"]) == 5


def test_a_run_that_stopped_early_does_not_go_on(tmp_path):
    def stopping():
        return callbacks.EarlyStopping("loss", patience=0, min_delta=100.0)

    expected = train("arrays", [stopping()])
    assert len(expected.history.epoch) == 2

    train("arrays", [stopping()], resume=tmp_path)
    model = train("arrays", [stopping()], resume=tmp_path)

    assert_same(model, expected)


def test_a_spent_time_budget_does_not_keep_the_next_run_from_going_on(tmp_path):
    expected = train("arrays")

    train("arrays", [callbacks.TimeBudget(1e-6, whole_epochs=True, verbose=0)], resume=tmp_path)
    model = train("arrays", [callbacks.TimeBudget(60)], resume=tmp_path)

    assert_same(model, expected)


def test_a_train_step_of_ones_own_goes_on(tmp_path):
    class Own(kerasish.Model):
        def __init__(self):
            super().__init__()
            self.dense, self.drop = layers.Dense(1), layers.Dropout(0.5)

        def call(self, x):
            return self.dense(self.drop(x))

        def train_step(self, data):
            return super().train_step(data)

    def run(folder, *extra):
        kerasish.utils.set_random_seed(2)
        model = Own()
        model.compile("adam", "mse", metrics=["mae"])
        extra = [BackupAndRestore(tmp_path / folder, save_freq=4), *extra]
        model.fit(*arrays(), BATCH, EPOCHS, callbacks=extra, verbose=0)
        return model

    expected = run("a")
    with pytest.raises(Stopped):
        run("b", StopAt(9))

    assert_same(run("b"), expected)


def test_logs_of_a_train_step_of_ones_own_survive_a_stop_after_the_last_batch(tmp_path):
    class Own(kerasish.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(1)

        def call(self, x):
            return self.dense(x)

        def train_step(self, data):
            return {**super().train_step(data), "steps": self.optimizer.iterations}

    def run(folder, *extra):
        kerasish.utils.set_random_seed(2)
        model = Own()
        model.compile("adam", "mse")
        extra = [BackupAndRestore(tmp_path / folder, save_freq=1), *extra]
        model.fit(*arrays(), BATCH, EPOCHS, callbacks=extra, verbose=0)
        return model

    expected = run("a")
    with pytest.raises(Stopped):
        run("b", StopAtHook("on_epoch_end"))

    assert expected.history.history["steps"] == [6, 12, 18]
    assert_same(run("b"), expected)


def test_a_stateful_layer_goes_on_from_its_states(tmp_path):
    def run(folder, *extra):
        kerasish.utils.set_random_seed(2)
        model = kerasish.Sequential(
            [layers.Input((5, 2), batch_size=4), layers.GRU(3, stateful=True), layers.Dense(1)]
        )
        model.compile("adam", "mse")
        extra = [BackupAndRestore(tmp_path / folder, save_freq=2), *extra]
        x = torch.randn(24, 5, 2, generator=torch.Generator().manual_seed(1))
        model.fit(x, x[:, 0, :1], 4, 2, callbacks=extra, verbose=0, shuffle=False)
        return model

    expected = run("a")
    with pytest.raises(Stopped):
        run("b", StopAt(5))

    assert_same(run("b"), expected)


def test_a_run_with_other_data_is_refused(tmp_path):
    train("arrays", resume=tmp_path)

    with pytest.raises(ValueError, match="copy of another run: batch_size was 4 and is 5"):
        train("arrays", resume=tmp_path, batch_size=5)


def test_another_model_is_refused(tmp_path):
    train("arrays", resume=tmp_path)
    model = kerasish.Sequential([layers.Input((5,)), layers.Dense(1)])
    model.compile("adam", "mse")

    with pytest.raises(ValueError, match="copy of a run of another model"):
        model.fit(*arrays(), BATCH, resume=tmp_path, verbose=0)


def test_a_table_whose_first_epoch_comes_again_keeps_its_header(tmp_path):
    table = tmp_path / "log.csv"

    def watchers():
        return [BackupAndRestore(tmp_path / "run", save_freq=4), callbacks.CSVLogger(table)]

    interrupt("arrays", extra=watchers(), stop=StopAt(7))
    train("arrays", watchers())

    lines = table.read_text().splitlines()
    assert lines[0].startswith("epoch,")
    assert [line.split(",")[0] for line in lines[1:]] == ["0", "1", "2"]


def test_metrics_of_torchmetrics_go_on(tmp_path):
    def run(folder, *extra):
        kerasish.utils.set_random_seed(2)
        model = kerasish.Sequential([layers.Input((5,)), layers.Dense(1)])
        accuracy = torchmetrics.classification.BinaryAccuracy()
        area = torchmetrics.classification.BinaryAUROC()  # keeps lists of all it has seen
        loss = kerasish.losses.BinaryCrossentropy(from_logits=True)
        model.compile("adam", loss, metrics=[accuracy, area])
        extra = [BackupAndRestore(tmp_path / folder, save_freq=2), *extra]
        model.fit(*arrays(), BATCH, 2, callbacks=extra, verbose=0)
        return model

    expected = run("a")
    with pytest.raises(Stopped):
        run("b", StopAt(5))

    assert_same(run("b"), expected)
