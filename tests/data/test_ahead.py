"""Items made ahead in a thread: the same ones, errors in their places, and an end."""

import gc
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from torch.utils.data import SequentialSampler

from kerasish import layers
from kerasish.data.ahead import Ahead
from kerasish.data.batch_source import BatchSource, ReadyLoader
from kerasish.data.image_source import ImageSource


def waiting_for(condition):
    until = time.monotonic() + 10
    while not condition() and time.monotonic() < until:
        time.sleep(0.005)
    return condition()


def threads():
    return [t for t in threading.enumerate() if t.name == "kerasish-ahead"]


@pytest.fixture(autouse=True)
def nothing_of_others():
    """Threads of iterators that other tests have forgotten end when these are collected."""
    gc.collect()
    assert waiting_for(lambda: not threads())


@pytest.mark.parametrize("count", [1, 3])
def test_items_come_in_order(count):
    assert list(Ahead(iter(range(50)), count)) == list(range(50))
    assert not threads()


def test_only_so_many_are_made_ahead():
    made = []
    items = Ahead((made.append(i) or i for i in range(20)), 2)

    assert next(items) == 0
    assert waiting_for(lambda: len(made) == 3)  # one is used, two wait
    time.sleep(0.05)
    assert made == [0, 1, 2]
    items.close()


def test_error_is_raised_where_the_item_would_have_come():
    def items():
        yield 1
        raise ValueError("the second is broken")

    made = Ahead(items())

    assert next(made) == 1
    with pytest.raises(ValueError, match="the second is broken"):
        next(made)
    assert not threads()


@pytest.mark.parametrize("how", ["closed", "forgotten"])
def test_thread_ends_when_the_caller_stops_and_so_does_the_generator(how):
    ended = []

    def numbers():
        try:
            yield from range(1000)
        finally:
            ended.append(threading.current_thread().name)

    items = Ahead(numbers())
    next(items)
    assert threads()

    if how == "closed":
        items.close()
        assert list(items) == []
    del items

    assert not threads()
    assert ended == ["kerasish-ahead"]


def test_the_next_item_can_be_looked_at():
    items = Ahead(iter("ab"))

    assert [items.peek(), items.peek(), next(items), next(items), items.peek()] == [*"aaab", None]


def test_an_error_shows_where_it_came_from():
    def broken():
        yield 1
        yield 1 / 0

    with pytest.raises(ZeroDivisionError) as caught:
        list(Ahead(broken()))
    assert caught.traceback[-1].name == "broken"


def test_a_thread_that_hangs_is_left_behind(monkeypatch):
    monkeypatch.setattr("kerasish.data.ahead._PATIENCE", 0.05)
    let_go = threading.Event()

    def hanging():
        yield 1
        let_go.wait(30)

    items = Ahead(hanging())
    next(items)

    items.close()

    assert threads()
    let_go.set()
    assert waiting_for(lambda: not threads())


def test_waiting_can_be_interrupted():
    script = (
        "import os, signal, threading, time\n"
        "from kerasish.data.ahead import Ahead\n"
        "def slow():\n"
        "    yield 1\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(1)\n"
        "items = Ahead(slow())\n"
        "try:\n"
        "    list(items)\n"
        "except KeyboardInterrupt:\n"
        "    items.close()\n"
        "    print(threading.active_count())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60)

    assert done.stdout == b"1\n", done.stderr


def test_kernels_may_have_fewer_cores_in_the_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert list(Ahead((torch.get_num_threads() for _ in range(2)), cores=1)) == [1, 1]
        assert list(Ahead(torch.get_num_threads() for _ in range(1))) == [3]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_settings_of_the_caller_hold_in_the_thread():
    with np.errstate(divide="ignore"):
        assert list(Ahead(iter([0]))) == [0]
        assert list(Ahead(np.float64(1) / x for x in np.zeros(1))) == [np.inf]


def test_program_may_end_while_a_thread_works():
    script = (
        "import itertools, torch\n"
        "from kerasish.data.ahead import Ahead\n"
        "x = torch.rand(300, 300)\n"
        "items = Ahead((x @ x for _ in itertools.count()), 1000)\n"
        "next(items)\n"
    )

    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr


class Squares(BatchSource):
    """Where batches are made, and for which epoch."""

    runs_ahead = True

    def __init__(self):
        self.places = set()

    def __len__(self):
        return 6

    def batch(self, indices, epoch=None):
        self.places.add(threading.current_thread().name)
        return torch.tensor(indices) ** 2, torch.full(
            (len(indices),), -1 if epoch is None else epoch
        )


def test_sources_that_may_run_ahead_do_and_know_their_epoch():
    source = Squares()
    loader = ReadyLoader(source, 4, SequentialSampler(source))
    loader.set_epoch(3)

    batches = list(loader)

    assert source.places == {"kerasish-ahead"}
    assert [x.tolist() for x, _ in batches] == [[0, 1, 4, 9], [16, 25]]
    assert batches[1][1].tolist() == [3, 3]


def test_other_generators_are_not_drawn_from_ahead():
    v2 = pytest.importorskip("torchvision.transforms.v2")

    assert ImageSource(None, augment=[layers.RandomCrop(4, 4), layers.MixUp()]).runs_ahead
    assert not ImageSource(None, augment=[layers.RandomCrop(4, 4), v2.ColorJitter(0.1)]).runs_ahead
    nested = layers.RandomApply([v2.ColorJitter(0.1)])
    assert not ImageSource(None, augment=[layers.RandomCrop(4, 4), nested]).runs_ahead
    assert not ImageSource(None, augment=[layers.Resizing(4, 4), torch.rand_like]).runs_ahead
    assert not ImageSource(None, augment=[layers.Resizing(4, 4), layers.Dropout(0.5)]).runs_ahead
