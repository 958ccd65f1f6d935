"""Batches made ahead of the step: the same numbers, in order, and who may not be run so."""

import contextlib
import threading
import time

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from torch.utils.data import DataLoader, Dataset, IterableDataset

import kerasish
from kerasish import callbacks, layers
from kerasish.data import StreamFeed, stream, transfer
from kerasish.data.arrays import map_leaves
from kerasish.data.transfer import Transfer
from kerasish.random import globals_aside

ROWS, BATCH = 22, 4


class Beside(Transfer):
    """The CPU as if it were a device that copies by itself: what it has is a copy."""

    log: list
    touched = 0

    def __init__(self, device):
        super().__init__(device)
        self.overlaps = True

    def send(self, batch):
        return map_leaves(torch.clone, batch)

    def open(self):
        pass

    def begin(self, batch):
        moved = self.send(batch)
        self.log.append(("copied", float(moved[0][0, 0]), threading.current_thread().name))
        return moved, None

    def end(self, moved, copied):
        return moved

    def trace(self):
        return Beside.touched


@pytest.fixture
def log(monkeypatch):
    """Have feeds copy as to an accelerator; what was done, in order."""
    Beside.log, Beside.touched = [], 0
    monkeypatch.setattr(stream, "Transfer", Beside)
    return Beside.log


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert not threads()


def threads():
    return [t for t in threading.enumerate() if t.name == "kerasish-ahead"]


def waiting_for(condition):
    until = time.monotonic() + 10
    while not condition() and time.monotonic() < until:
        time.sleep(0.002)
    return condition()


def row(index):
    x = torch.linspace(-1, 1, 3) * (index + 1) / ROWS
    # From all global generators, as transforms draw.
    noise = torch.rand(()) + np.random.rand()  # noqa: NPY002
    return x + float(noise) * 0.1, x[:1] * 2


class Rows(Dataset):
    def __init__(self, act=lambda index: None):
        self.act, self.places = act, []

    def __len__(self):
        return ROWS

    def __getitem__(self, index):
        self.places.append(threading.current_thread().name)
        self.act(index)
        return row(index)


class Stream(IterableDataset):
    def __iter__(self):
        return map(row, range(ROWS))


class Numbered(kerasish.utils.PyDataset):
    def __init__(self):
        super().__init__()
        self.order, self.places = list(range(5)), []

    def __len__(self):
        return len(self.order)

    def __getitem__(self, index):
        return batch_of(self.order[index])

    def on_epoch_end(self):
        self.places.append(threading.current_thread().name)
        self.order.reverse()


def batch_of(number):
    x, y = zip(*[row(number * BATCH + i) for i in range(BATCH)], strict=True)
    return torch.stack(x), torch.stack(y)


class Batches:
    def __iter__(self):
        return map(batch_of, range(5))


def generator():
    number = 0
    while True:
        yield batch_of(number % 5)
        number += 1


def refilling():
    x, y = np.zeros((BATCH, 3), "float32"), np.zeros((BATCH, 1), "float32")
    for number in range(40):
        x[:], y[:] = number / 40, number / 20
        yield x, y


SOURCES = {
    "a dataset": (lambda: Rows(), {"batch_size": BATCH}),
    "an iterable dataset": (Stream, {"batch_size": BATCH}),
    "a generator": (generator, {"steps_per_epoch": 4}),
    "an iterable": (Batches, {}),
    "batches by number": (Numbered, {}),
    "batches by number, restarted": (Numbered, {"steps_per_epoch": 7}),
    "a loader": (lambda: DataLoader(Rows(), BATCH, shuffle=True), {}),
    "a loader, kept from epoch to epoch": (
        lambda: DataLoader(Rows(), BATCH, shuffle=True),
        {"steps_per_epoch": 4},
    ),
    "arrays that are filled again": (refilling, {"steps_per_epoch": 8}),
}


def small_model(*more):
    model = kerasish.Sequential([layers.Input((3,)), layers.Dense(4), *more, layers.Dense(1)])
    model.compile("adam", "mse")
    return model


def train(source, *more, epochs=3, seed=5, **options):
    kerasish.utils.set_random_seed(seed)
    model = small_model(*more)
    model.fit(source, epochs=epochs, verbose=0, **options)
    return model


def assert_same_weights(one, other):
    for mine, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
        assert (mine == theirs).all()


@pytest.mark.parametrize("name", SOURCES)
def test_batches_made_ahead_train_to_the_same_bits(name, log, monkeypatch):
    make, options = SOURCES[name]
    ahead = train(make(), **options)
    monkeypatch.setattr(stream, "Transfer", Transfer)

    assert_same_weights(ahead, train(make(), **options))
    assert {place for _, _, place in log} == {"kerasish-ahead"}


def test_the_next_batch_is_on_its_way_while_a_step_runs(log):
    made = []

    def numbers():
        for number in range(8):
            made.append(number)
            yield torch.full((2, 3), float(number)), torch.zeros(2, 1)

    class Watch(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if 2 <= batch < 7:
                # In the step of this batch, the next is there, and no more than three are made.
                assert waiting_for(lambda: ("copied", batch + 1.0, "kerasish-ahead") in log)
                assert batch + 1 <= max(made) <= batch + 2

    train(numbers(), epochs=1, callbacks=[Watch()])

    assert made == list(range(8))
    assert [number for _, number, _ in log] == [2, 3, 4, 5, 6, 7]  # two were made in turn


def test_a_generator_gives_what_is_used_and_no_more(log):
    source = generator()
    taken = []
    counted = (taken.append(1) or batch for batch in source)

    model = train(counted, epochs=3, steps_per_epoch=5)
    assert len(taken) == 15
    model.evaluate(counted, steps=4, verbose=0)
    assert len(taken) == 19
    model.predict(counted, steps=3, verbose=0)

    assert len(taken) == 22
    assert log


class Draws(layers.Layer):
    def call(self, x):
        return x + torch.rand(()) * 1e-3


def test_a_step_that_draws_from_the_same_generators_has_its_batches_in_turn(log):
    rows = Rows()

    train(rows, Draws(), batch_size=BATCH)

    assert set(rows.places) == {"MainThread"}
    assert not log


class PutsAside(layers.Layer):
    def call(self, x):
        with globals_aside(x.device) as start:
            start(3)
            return x + torch.rand(()) * 1e-3


def test_a_step_that_puts_the_generators_aside_has_its_batches_in_turn(log):
    rows = Rows()

    train(rows, PutsAside(), batch_size=BATCH)

    assert set(rows.places) == {"MainThread"}


def test_a_source_that_computes_on_the_device_makes_its_batches_in_turn(log):
    def use_device(index):
        Beside.touched += 1

    rows = Rows(use_device)

    train(rows, batch_size=BATCH)

    assert set(rows.places) == {"MainThread"}


@pytest.mark.parametrize("how", ["dataset", "loader"])
def test_what_the_source_says_is_done(how, log, monkeypatch):
    def places_of(says):
        rows = Rows()
        if says is not None:
            rows.runs_ahead = says
        source, size = (rows, {"batch_size": BATCH}) if how == "dataset" else (rows, {})
        train(DataLoader(rows, BATCH) if how == "loader" else source, **size)
        return set(rows.places)

    both = {"MainThread", "kerasish-ahead"}  # what begins a pass is made in turn
    assert [places_of(says) for says in (None, True, False)] == [both, both, {"MainThread"}]
    monkeypatch.setattr(stream, "Transfer", Transfer)

    on_cpu = [places_of(says) for says in (None, True, False)]

    assert on_cpu == [{"MainThread"}, both, {"MainThread"}]


def test_an_error_comes_at_its_batch_and_names_the_thread(log):
    seen = []

    def break_at(index):
        if index == 17:
            raise ValueError("row 17 is broken")

    class Watch(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(batch)

    with pytest.raises(ValueError, match="row 17 is broken") as caught:
        train(Rows(break_at), batch_size=BATCH, shuffle=False, callbacks=[Watch()])

    assert seen == [0, 1, 2, 3]
    assert caught.traceback[-1].name == "break_at"
    assert "runs_ahead = False" in caught.value.__notes__[0]


class EndAt(callbacks.Callback):
    def __init__(self, how):
        super().__init__()
        self.how = how

    def on_train_batch_end(self, batch, logs=None):
        if batch == 2:
            assert threads()
            if self.how == "stopped":
                self.model.stop_training = True
            else:
                raise KeyboardInterrupt


@pytest.mark.parametrize("how", ["stopped", "interrupted"])
def test_the_thread_ends_with_the_fit_whatever_ends_it(how, log):
    ended = []

    class Endless:
        def __iter__(self):
            try:
                yield from generator()
            finally:
                ended.append(True)

    expected = contextlib.nullcontext() if how == "stopped" else pytest.raises(KeyboardInterrupt)
    with expected:
        train(Endless(), steps_per_epoch=9, callbacks=[EndAt(how)])
        assert not threads()
    assert not threads()
    if how == "stopped":
        assert ended == [True]


@pytest.mark.parametrize("at", [3, 5, 8])
@pytest.mark.parametrize(
    "name", ["a dataset", "a generator", "a loader", "a loader, kept from epoch to epoch"]
)
def test_a_run_that_was_killed_goes_on_with_the_same_numbers(name, at, log, tmp_path):
    make, options = SOURCES[name]

    class Stop(callbacks.Callback):
        left = at

        def on_train_batch_end(self, batch, logs=None):
            self.left -= 1
            if not self.left:
                raise KeyError

    def keep():
        return callbacks.BackupAndRestore(tmp_path / "run", save_freq=1)

    expected = train(make(), **options)
    with pytest.raises(KeyError):
        train(make(), callbacks=[keep(), Stop()], **options)

    assert_same_weights(train(make(), callbacks=[keep()], seed=6, **options), expected)


def test_the_end_of_a_pass_is_said_in_the_thread_of_fit(log):
    source = Numbered()

    train(source, epochs=2)

    assert source.places == ["MainThread"] * 2


def test_a_source_that_asks_the_model_is_told_what_to_do(log):
    def asks(index):
        if len(rows.places) > 10:
            model.predict(torch.zeros(1, 3), verbose=0)

    rows, model = Rows(asks), small_model()

    with pytest.raises(RuntimeError, match="runs_ahead = False"):
        model.fit(rows, batch_size=BATCH, verbose=0)
    rows.places.clear()
    rows.runs_ahead = False
    model.fit(rows, batch_size=BATCH, verbose=0)


def test_data_are_not_read_by_two_at_once(log):
    busy, clashes = [], []

    def read(index):
        if busy:
            clashes.append(index)
        busy.append(index)
        time.sleep(0.001)
        busy.pop()

    rows = Rows(read)

    class Look(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.evaluate(rows, batch_size=BATCH, verbose=0)

    train(rows, epochs=1, batch_size=BATCH, callbacks=[Look()])

    assert not clashes


class FakeStreams:
    """What torch has for streams, writing down what is asked of it."""

    def __init__(self, log):
        self.log = log

    def current_device(self):
        return 0

    def Stream(self, device):
        return "side"

    @contextlib.contextmanager
    def stream(self, stream):
        self.log.append(f"on {stream}")
        yield
        self.log.append(f"off {stream}")

    def Event(self):
        return self

    def record(self, stream):
        self.log.append(f"event on {stream}")

    def current_stream(self, device):
        return self

    def wait_event(self, event):
        self.log.append("wait")


def test_a_copy_is_pinned_sent_without_waiting_and_waited_for_on_the_device(monkeypatch):
    done = []
    to = torch.Tensor.to

    def copy(tensor, device, non_blocking=False):
        done.append(f"copied, non_blocking={non_blocking}")
        return to(tensor, device)

    monkeypatch.setattr(transfer, "_COPYING", ("meta",))
    monkeypatch.setattr(Transfer, "_api", FakeStreams(done))
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda t: done.append("pinned") or t.clone())
    monkeypatch.setattr(torch.Tensor, "is_pinned", lambda t: "pinned" in done)
    monkeypatch.setattr(torch.Tensor, "to", copy)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda t, s: done.append("kept"))
    sent = Transfer("meta")
    sent.open()

    moved, copied = sent.begin((torch.ones(2), None, None))
    begun, done[:] = list(done), []
    x, y, _ = sent.end(moved, copied)

    assert begun == [
        "on side",
        "pinned",
        "copied, non_blocking=True",
        "event on side",
        "off side",
    ]
    assert done == ["wait", "kept"]
    assert x.device.type == "meta"
    assert y is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_what_arrives_on_a_gpu_beside_its_computing_is_what_was_sent():
    x = torch.randn(64, 256, 1024)
    feed = StreamFeed([(part, part[:, :1]) for part in x], device="cuda")
    busy = torch.randn(2048, 2048, device="cuda")

    sums = []
    for part, _, _ in feed.batches(0):
        busy = (busy @ busy).tanh()
        sums.append(part.double().sum((0, 1)))

    assert feed._lookahead.may
    assert_close(torch.stack(sums).cpu(), x.double().sum((1, 2)))


def pinned_as_laid_out(tensor):
    # What torch does: memory for the tensor's strides, then a copy into it.
    memory = torch.UntypedStorage(tensor.numel() * tensor.itemsize)
    place = torch.empty(0, dtype=tensor.dtype).set_(memory, 0, tensor.shape, tensor.stride())
    return place.copy_(tensor)


def test_a_tensor_that_repeats_one_number_can_be_pinned(monkeypatch):
    monkeypatch.setattr(transfer, "_COPYING", ("meta",))
    monkeypatch.setattr(torch.Tensor, "pin_memory", pinned_as_laid_out)
    weights = torch.ones(1).expand(4)
    with pytest.raises(RuntimeError, match="single memory location"):
        pinned_as_laid_out(weights)

    assert Transfer("meta")._pinned(weights).tolist() == [1, 1, 1, 1]
