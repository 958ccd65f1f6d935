"""Processes that are really killed, and the weights that the same script ends with afterwards."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from kerasish.saving.tensors import read_tensors

SCRIPT = """
import os, signal, sys
import torch
from torch.utils.data import DataLoader, TensorDataset, Dataset
import kerasish
from kerasish import callbacks, layers

source, folder, kill_at = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.set_num_threads(1)
kerasish.utils.set_random_seed(3)
x = torch.randn(26, 6)
y = (x[:, :1] > 0).float()

class Rows(Dataset):
    def __len__(self):
        return len(x)
    def __getitem__(self, index):
        return x[index] + torch.rand(6), y[index]

class Kill(callbacks.Callback):
    left = kill_at
    def on_train_batch_begin(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

model = kerasish.Sequential([
    layers.Input((6,)), layers.Dense(8, activation="relu"), layers.BatchNormalization(),
    layers.Dropout(0.3), layers.Dense(1),
])
loss = kerasish.losses.BinaryCrossentropy(from_logits=True)
model.compile("adam", loss, metrics=["mae"])
data = {
    "arrays": lambda: dict(x=x, y=y, batch_size=4),
    "dataset": lambda: dict(x=Rows(), batch_size=4),
    "loader": lambda: dict(x=DataLoader(Rows(), 4, shuffle=True)),
}[source]()
keep = callbacks.BackupAndRestore(folder + "/run", save_freq=3)
model.fit(**data, epochs=4, callbacks=[Kill(), keep], verbose=0)
model.save_weights(folder + "/weights.safetensors")
"""


def start(tmp_path, source, folder, kill_at=0):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    (tmp_path / folder).mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(script), source, str(tmp_path / folder), str(kill_at)]
    return subprocess.Popen(command, env=environment)


def weights(tmp_path, folder):
    return read_tensors(tmp_path / folder / "weights.safetensors")


def assert_same(tmp_path, note):
    expected, now = weights(tmp_path, "whole"), weights(tmp_path, "killed")
    assert expected.keys() == now.keys()
    assert all(torch.equal(expected[name], now[name]) for name in expected), note


@pytest.mark.slow
@pytest.mark.parametrize("source", ["arrays", "dataset", "loader"])
def test_a_killed_process_is_taken_up_by_the_next(source, tmp_path):
    whole = start(tmp_path, source, "whole")
    # Seven batches an epoch, 28 in all; the second run is killed too.
    first, second = random.randrange(2, 14), random.randrange(1, 14)

    assert start(tmp_path, source, "killed", first).wait() == -9
    assert start(tmp_path, source, "killed", second).wait() == -9
    assert start(tmp_path, source, "killed").wait() == 0

    assert whole.wait() == 0
    assert_same(tmp_path, f"killed at batches {first} and then {second}")


@pytest.mark.slow
def test_a_process_may_be_killed_while_it_writes(tmp_path):
    assert start(tmp_path, "arrays", "whole").wait() == 0
    kept = tmp_path / "killed" / "run" / "run.kerasish"

    process = start(tmp_path, "arrays", "killed")
    while not kept.exists() and process.poll() is None:
        time.sleep(0.001)
    wait = random.random() * 0.03
    time.sleep(wait)
    process.kill()
    process.wait()
    assert start(tmp_path, "arrays", "killed").wait() == 0

    assert_same(tmp_path, f"killed {wait} s after the first copy")
