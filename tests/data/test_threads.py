"""Threads for images: order, errors, how many, and what torch is told."""

import os
import threading
import time

import pytest
import torch

from kerasish.data.threads import Threads, default_threads, image_threads, in_order


def test_results_come_in_order_whoever_is_done_first():
    def slow_if_even(i):
        time.sleep(0.002 * (i % 2 == 0))
        return i * i

    assert Threads(3).map(slow_if_even, 20) == [i * i for i in range(20)]
    with image_threads(3) as pool:
        assert list(in_order(pool, slow_if_even, range(20), 4)) == [i * i for i in range(20)]


def test_work_is_done_in_threads_of_which_each_runs_kernels_alone():
    before = torch.get_num_threads()
    seen = set()

    def look(i):
        seen.add((threading.current_thread().name, torch.get_num_threads()))
        time.sleep(0.002)

    Threads(2).map(look, 20)

    assert len(seen) == 2
    assert {count for _, count in seen} == {1}
    assert all(name.startswith("kerasish-images") for name, _ in seen)
    assert torch.get_num_threads() == before


def test_error_reaches_the_caller():
    def fail(i):
        if i == 3:
            raise ValueError("the third")

    with pytest.raises(ValueError, match="the third"):
        Threads(2).map(fail, 10)


def test_one_thread_is_the_callers():
    names = Threads(1).map(lambda i: threading.current_thread().name, 3)

    assert set(names) == {threading.current_thread().name}


def test_cores_are_shared_by_the_processes_of_a_machine(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(12)), raising=False)
    assert default_threads() == 12
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert default_threads() == 3
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "64")
    assert default_threads() == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_forked_process_starts_threads_of_its_own():
    threads = Threads(2)
    threads.map(abs, 4)
    reader, writer = os.pipe()

    child = os.fork()
    if child == 0:
        os.write(writer, bytes(threads.map(abs, 4)))
        os._exit(0)
    os.close(writer)

    assert os.read(reader, 10) == bytes([0, 1, 2, 3])
    os.waitpid(child, 0)
