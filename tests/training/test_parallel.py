"""Several processes that train as one, on the CPU with gloo."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import distributed
from torch.testing import assert_close
from torch.utils.data import DataLoader, TensorDataset

import kerasish
from kerasish import layers
from kerasish.data.shard import Shard
from kerasish.training import parallel

SCRIPT = """
import json, os, sys
import torch, torchmetrics
from torch.utils.data import Dataset
import kerasish
from kerasish import callbacks, layers, losses, metrics, optimizers

folder, cases, batch_size = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
rank = int(os.environ.get("RANK", 0))
torch.set_num_threads(1)

class Rows(Dataset):
    def __init__(self, *columns):
        self.columns = columns
    def __len__(self):
        return len(self.columns[0])
    def __getitem__(self, index):
        return tuple(column[index] for column in self.columns)

class Steps(callbacks.Callback):
    count = 0
    def on_train_batch_end(self, batch, logs=None):
        self.count += 1

class Stop(callbacks.Callback):
    left = 5
    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise KeyError

class WrittenOut(kerasish.Sequential):
    # A step as Keras's guides write it.
    def gradients(self, loss, weights):
        self.zero_grad()
        loss.backward()
        return [weight.grad for weight in weights]
    def train_step(self, data):
        x, y = data
        y_pred = self(x, training=True)
        loss = self.compute_loss(x, y, y_pred)
        weights = self.trainable_weights
        self.optimizer.apply(self.gradients(loss, weights), weights)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss.detach(), sample_weight=len(x))
            else:
                metric.update_state(y, y_pred.detach())
        return {metric.name: metric.result() for metric in self.metrics}

class Twice(WrittenOut):
    # Two backward passes that add up, and a log that is no metric.
    def gradients(self, loss, weights):
        self.zero_grad()
        (loss / 2).backward(retain_graph=True)
        (loss / 2).backward()
        return [weight.grad for weight in weights]
    def train_step(self, data):
        return {**super().train_step(data), "half": torch.tensor(0.5)}

class Extended(kerasish.Sequential):
    def train_step(self, data):
        return super().train_step(data)

class Unaveraged(WrittenOut):
    def gradients(self, loss, weights):
        return torch.autograd.grad(loss, weights)

class Moved(kerasish.tta.Views):
    # What is seen of a row depends on its number.
    def views(self, x, rows):
        yield x + rows[:, None] / 10

def train(case, folder, *more):
    kerasish.utils.set_random_seed(3)
    x = torch.randn(case["rows"], 6)
    y = x[:, :3].argmax(1)
    if rank:
        torch.manual_seed(99)  # other weights and another order, had process 0 no say
    model = globals().get(case.get("model"), kerasish.Sequential)([
        layers.Input((6,)), layers.Dense(8, activation="tanh", kernel_regularizer="l2"),
        layers.Dense(3),
    ])
    model.compile(
        optimizers.Adam(0.05), losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy", torchmetrics.classification.MulticlassF1Score(3, average="macro")],
        data_parallel="ddp" if "RANK" in os.environ else None, **case.get("compile", {}),
    )
    data = dict(x=Rows(x, y)) if case.get("dataset") else dict(x=x, y=y)
    steps = Steps()
    path = folder + "/{epoch}.safetensors"
    watch = [steps, callbacks.ModelCheckpoint(path, save_weights_only=True)]
    history = model.fit(
        **data, batch_size=batch_size, epochs=2, verbose=2, validation_data=(x[:7], y[:7]),
        callbacks=[*watch, callbacks.CSVLogger(folder + "/log.csv"), *more],
    )
    found = model.evaluate(x, y, batch_size=batch_size, verbose=0, return_dict=True)
    moved = model.evaluate(x, y, batch_size, 0, return_dict=True, tta=Moved())
    found |= {f"{name}, moved": value for name, value in moved.items()}
    weights = [weight.tolist() for weight in model.state_dict().values()]
    with open(f"{folder}/found_{rank}.json", "w") as file:
        json.dump([weights, history.history, found, steps.count], file)

for name, case in cases.items():
    os.makedirs(f"{folder}/{name}", exist_ok=True)
    path = f"{folder}/{name}"
    if case.get("fails") and "RANK" in os.environ:
        try:
            train(case, path)
        except RuntimeError as error:
            with open(f"{path}/error_{rank}.txt", "w") as file:
                file.write(str(error))
        continue
    if not case.get("stops"):
        train(case, path)
        continue
    def keep():
        return callbacks.BackupAndRestore(path + "/run", save_freq=2)
    try:
        train(case, path, keep(), Stop())
    except KeyError:
        pass
    train(case, path, keep())
"""

CASES = {
    "whole batches": {"rows": 32},
    "a short last batch": {"rows": 29},
    "a last batch of one row": {"rows": 25},
    "a dataset": {"rows": 29, "dataset": True},
    "accumulated": {"rows": 29, "compile": {"accumulate_steps": 3}},
    "stopped and resumed": {"rows": 29, "stops": True},
    "clipped": {"rows": 29, "compile": {"clip_norm": 0.1}},
    "own step": {"rows": 29, "model": "WrittenOut"},
    "own step on a dataset": {"rows": 29, "model": "WrittenOut", "dataset": True},
    "own step of two passes": {"rows": 29, "model": "Twice"},
    "own step around the usual one": {"rows": 25, "model": "Extended"},
    "own step, accumulated": {
        "rows": 29,
        "model": "Extended",
        "compile": {"accumulate_steps": 3},
    },
}
REFUSED = {"unaveraged": {"rows": 16, "model": "Unaveraged", "fails": True}}


def start(folder, batch_size, processes):
    folder.mkdir()
    script = folder / "train.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [
        sys.executable,
        str(script),
        str(folder),
        json.dumps(CASES | REFUSED),
        str(batch_size),
    ]
    started = []
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    for rank in map(str, range(processes)):
        if processes > 1:
            environment |= {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": str(processes)}
            environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        started.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        )
    return started


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder of all cases, trained by one process and by two, and what each printed."""
    folder = tmp_path_factory.mktemp("runs")
    processes = [*start(folder / "one", 8, 1), *start(folder / "two", 4, 2)]
    outputs = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    return folder, outputs


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_processes_with_half_the_batch_end_like_one_with_the_whole(case, runs):
    folder, _ = runs
    expected, history, found, steps = json.loads(
        (folder / "one" / case / "found_0.json").read_text()
    )

    for rank in (0, 1):
        mine = json.loads((folder / "two" / case / f"found_{rank}.json").read_text())
        for weight, other in zip(mine[0], expected, strict=True):
            assert_close(torch.tensor(weight), torch.tensor(other), rtol=1e-6, atol=1e-6)
        assert mine[1].keys() == history.keys()
        for name, values in mine[1].items():
            assert values == pytest.approx(history[name], rel=1e-5), name
        assert mine[2] == pytest.approx(found, rel=1e-5)
        assert mine[3] == steps


@pytest.mark.slow
def test_gradients_that_nobody_averages_are_noticed(runs):
    folder, _ = runs

    for rank in (0, 1):
        message = (folder / "two" / "unaveraged" / f"error_{rank}.txt").read_text()
        assert "no longer alike: dense" in message


@pytest.mark.slow
def test_the_first_process_alone_speaks_and_saves(runs):
    folder, outputs = runs

    assert "loss" in outputs[1]
    assert outputs[2] == ""
    for case in CASES:
        assert (folder / "two" / case / "2.safetensors").exists()
        assert len((folder / "two" / case / "log.csv").read_text().splitlines()) == 3


@pytest.mark.parametrize("rows", [1, 5, 7, 8, 12])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_shards_are_parts_without_rows_in_common(rows, count):
    parts = [Shard(i, count).pick(torch.arange(rows), 2).tolist() for i in range(count)]

    assert sorted(row for part in parts for row in part) == list(range(rows))
    for batch in range(-(-rows // (2 * count))):
        own = [Shard(i, count).rows(rows, 2, batch) for i in range(count)]
        assert sum(mine for mine, _ in own) == pytest.approx(sum(mean for _, mean in own))


def test_a_shard_takes_a_row_to_take_part_in_the_last_batch():
    parts = [Shard(i, 2, fills=True).pick(torch.arange(5), 2).tolist() for i in (0, 1)]

    assert parts == [[0, 1, 4], [2, 3, 0]]
    assert Shard(1, 2, fills=True).rows(5, 2, 1) == (0, 0.5)


def small_model(**options):
    model = kerasish.Sequential([layers.Input((3,)), layers.Dense(1)])
    model.compile("sgd", "mse", **options)
    return model


@pytest.mark.parametrize("kind", ["ddp", "dp"])
def test_what_has_no_effect_warns(kind, monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    x = torch.randn(8, 3)

    with pytest.warns(UserWarning, match=f'data_parallel="{kind}" has no effect'):
        small_model(data_parallel=kind).fit(x, x[:, :1], verbose=0)


def test_a_process_computes_and_gathers_on_a_gpu_of_its_own(monkeypatch):
    done = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: done.append(str(device)))
    monkeypatch.setattr(distributed, "is_initialized", lambda: False)
    monkeypatch.setattr(distributed, "init_process_group", done.append)
    monkeypatch.setattr(parallel.atexit, "register", lambda function: None)

    parallel.begin("ddp", torch.device("cuda:1"))

    assert done == ["cuda:1", "cpu:gloo,cuda:nccl"]


def test_unknown_ways_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown data_parallel 'fsdp'.*\"dp\".*\"ddp\""):
        small_model(data_parallel="fsdp")


def test_a_loader_that_is_not_parted_warns(monkeypatch):
    monkeypatch.setattr(parallel, "shard_of", lambda kind, training: Shard(0, 2, training))
    x = torch.randn(8, 3)
    loader = DataLoader(TensorDataset(x, x[:, :1]), batch_size=4)

    with pytest.warns(UserWarning, match="each process reads all of"):
        small_model().fit(loader, verbose=0)
