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


def test_fitting_on_the_cpu_asks_for_it():
    import torch

    import kerasish
    from kerasish.training.memory import keep_freed_memory

    keep_freed_memory.cache_clear()
    model = kerasish.Sequential([kerasish.layers.Dense(1)])
    model.compile("sgd", "mse", device="cpu")
    model.fit(torch.ones(4, 2), torch.ones(4, 1), verbose=0)
    assert keep_freed_memory.cache_info().currsize == 1
