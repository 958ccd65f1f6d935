"""Memory of one step stays for the next."""

import os
import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys, torch
from kerasish.training.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(1 << 21)  # 8 MiB: 2048 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if sys.argv[1] == "keep":
    keep_freed_memory()
torch.ones(1 << 21)
print(faults())
"""


def faults(how: str) -> int:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, how],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_freed_memory_is_taken_again_without_page_faults():
    assert faults("keep") < 2100


RUN = """
import ctypes, sys, torch
import kerasish
from kerasish.training.memory import keep_freed_memory

def held():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20

class Large(torch.nn.Module):
    def forward(self, x):
        pieces = [torch.ones(1 << 20) for _ in range(48)] + [torch.ones(1 << 24)]  # 256 MiB
        seen.append(held())
        return x * pieces[0][0]

seen = []
model = kerasish.Model(torch.nn.Sequential(torch.nn.Linear(2, 1), Large()))
model.compile("sgd", "mse", device="cpu")
x, y = torch.ones(8, 2), torch.ones(8, 1)
before = held()

class Watch(kerasish.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        seen.append(held())  # the pieces are freed

model.fit(x, y, batch_size=2, verbose=0, callbacks=[Watch()])
short = held()
kerasish.training.memory._LONG = 0.0
model.fit(x, y, batch_size=2, verbose=0)
print(before, min(seen[2:]), short, held())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_a_run_keeps_all_that_its_steps_free_and_a_long_one_gives_it_back():
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", RUN], env=environment, capture_output=True, text=True, check=True
    )
    before, least, short, long = map(int, done.stdout.split())
    assert least > before + 240
    assert short - long > 120


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_settings_of_the_user_are_left_alone(name, monkeypatch):
    from kerasish.training.memory import all_freed_memory_kept, keep_freed_memory

    monkeypatch.setenv(name, "1000000")
    keep_freed_memory.cache_clear()
    with all_freed_memory_kept():
        assert keep_freed_memory() is None
    keep_freed_memory.cache_clear()


def test_fitting_on_the_cpu_asks_for_it():
    import torch

    import kerasish
    from kerasish.training.memory import keep_freed_memory

    keep_freed_memory.cache_clear()
    model = kerasish.Sequential([kerasish.layers.Dense(1)])
    model.compile("sgd", "mse", device="cpu")
    model.fit(torch.ones(4, 2), torch.ones(4, 1), verbose=0)
    assert keep_freed_memory.cache_info().currsize == 1
