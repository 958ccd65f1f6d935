"""Training, row by row: a hand-written loop, a DataLoader loop, kerasish, and its peers.

All contenders of a row train the same network on the same data with the same optimizer, in turn, in
one process. Printed is CPU time, on a GPU the clock's, as a ratio to the hand-written loop: the
median over rounds, and its quartiles. Peers that are not installed are left out (see
benchmarks/requirements.txt).

    python benchmarks/training.py [--rounds 5] [--rows mlp,conv] [--peers keras] [--device cuda]
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import logging
import os
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

import kerasish

PEERS = ("keras", "lightning", "skorch", "poutyne", "fastai")


@dataclass
class Row:
    """One workload.

    Attributes:
        name: What is printed.
        net: Makes the torch network, which gives logits.
        x: Inputs.
        y: Class indices.
        batch_size: Rows in a batch.
        optimizer: `"sgd"` or `"adam"`.
        compile: Further arguments of kerasish's `compile`.
        epochs: Epochs in one measurement: a fit's fixed cost must not look like that of steps.
        device: Where it is trained; the data lie there, too, but for a DataLoader's.
    """

    name: str
    net: Callable[[], nn.Module]
    x: Tensor
    y: Tensor
    batch_size: int
    optimizer: str
    compile: dict[str, Any]
    epochs: int = 2
    device: str = "cpu"

    def on(self, device: str) -> Row:
        """The same on another device."""
        return replace(self, x=self.x.to(device), y=self.y.to(device), device=device)

    def torch_optimizer(self, net: nn.Module) -> torch.optim.Optimizer:
        """A new torch optimizer for a network."""
        cls = torch.optim.SGD if self.optimizer == "sgd" else torch.optim.Adam
        return cls(net.parameters(), lr=0.01 if self.optimizer == "sgd" else 0.001)

    def dataset(self) -> TensorDataset:
        """The data in the memory of the host, where a DataLoader wants them."""
        return TensorDataset(self.x.cpu(), self.y.cpu())

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return -(-len(self.x) // self.batch_size)


class LastStep(nn.Module):
    """A recurrent classifier: an LSTM, and a linear layer on its last output."""

    def __init__(self, features: int, units: int, classes: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, units, batch_first=True)
        self.head = nn.Linear(units, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits from the last step."""
        return self.head(self.lstm(x)[0][:, -1])


def perceptron(*sizes: int) -> nn.Module:
    """A multilayer perceptron with ReLUs."""
    parts: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        parts += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*parts[:-1])


def small_convolutional() -> nn.Module:
    """Two convolutions and two linear layers on 3×32×32 images."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 64, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def resnet18() -> nn.Module:
    """Torchvision's ResNet-18 for ten classes."""
    from torchvision.models import resnet18 as make

    return make(num_classes=10)


def make_rows() -> dict[str, Row]:
    """All workloads by short name."""

    def data(shape: tuple[int, ...], classes: int) -> tuple[Tensor, Tensor]:
        return torch.randn(shape), torch.randint(0, classes, shape[:1])

    fast = {"precision": "bfloat16-mixed", "memory_format": "channels_last"}
    images = data((256, 3, 64, 64), 10)
    small = data((1024, 3, 32, 32), 10)
    rows = {
        "mlp": ("MLP 16-32-32-4, batch 32", lambda: perceptron(16, 32, 32, 4),
                *data((8192, 16), 4), 32, "sgd", {}),
        "wide": ("MLP 784-128-10, batch 128", lambda: perceptron(784, 128, 10),
                 *data((8192, 784), 10), 128, "sgd", {}),
        "conv": ("conv net 3x32x32, Adam, batch 64", small_convolutional, *small, 64, "adam", {}),
        "resnet": ("ResNet-18 at 64x64, batch 32", resnet18, *images, 32, "sgd", {}, 4),
        "resnet-bf16": ("the same, bf16 + channels-last", resnet18, *images, 32, "sgd", fast, 4),
        "lstm": ("LSTM 128, 64 steps, batch 64", lambda: LastStep(32, 128, 10),
                 *data((1024, 64, 32), 10), 64, "sgd", {}),
    }  # fmt: skip
    return {key: Row(*values) for key, values in rows.items()}


def by_hand(row: Row) -> Callable[[], object]:
    """The loop a good engineer writes: whole tensors, a shuffled index, no `.item()`."""
    net = row.net().train().to(row.device)
    optimizer = row.torch_optimizer(net)

    def epoch() -> None:
        order = torch.randperm(len(row.x), device=row.device)
        total, right = torch.zeros((), device=row.device), torch.zeros((), device=row.device)
        for index in order.split(row.batch_size):
            x, y = row.x[index], row.y[index]
            optimizer.zero_grad(set_to_none=True)
            logits = net(x)
            loss = cross_entropy(logits, y)
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(index)
            right += (logits.argmax(1) == y).sum()

    return lambda: [epoch() for _ in range(row.epochs)]


def with_loader(row: Row) -> Callable[[], object]:
    """The loop of most tutorials: a DataLoader, and `.item()` at each step."""
    net = row.net().train().to(row.device)
    optimizer = row.torch_optimizer(net)
    loader = DataLoader(row.dataset(), row.batch_size, shuffle=True)

    def epoch() -> None:
        total, right = 0.0, 0
        for batch in loader:
            x, y = (tensor.to(row.device) for tensor in batch)
            optimizer.zero_grad()
            logits = net(x)
            loss = cross_entropy(logits, y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)
            right += (logits.argmax(1) == y).sum().item()

    return lambda: [epoch() for _ in range(row.epochs)]


def with_kerasish(row: Row) -> Callable[[], object]:
    """`fit`; perceptrons and the small convolutional net from kerasish layers, others wrapped."""
    model = kerasish.Sequential(list(row.net())) if isinstance(
        net := row.net(), nn.Sequential
    ) else kerasish.Model(net)  # fmt: skip
    optimizers = kerasish.optimizers
    model.compile(
        optimizers.SGD(0.01) if row.optimizer == "sgd" else optimizers.Adam(0.001),
        kerasish.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        device=row.device,
        **row.compile,
    )
    return lambda: model.fit(row.x, row.y, row.batch_size, row.epochs, verbose=0)


def with_keras(row: Row) -> Callable[[], object] | None:
    """Keras's own layers on its torch backend, channels last; perceptrons, conv net and LSTM."""
    import keras
    from keras import layers

    x = row.x
    if "MLP" in row.name:
        sizes = [m.out_features for m in row.net() if isinstance(m, nn.Linear)]
        stack = [layers.Dense(n, activation="relu") for n in sizes[:-1]]
        model = keras.Sequential([layers.Input((x.shape[1],)), *stack, layers.Dense(sizes[-1])])
    elif "conv" in row.name:
        x = x.permute(0, 2, 3, 1).contiguous()
        stack = []
        for filters in (32, 64):
            stack += [layers.Conv2D(filters, 3, padding="same", activation="relu")]
            stack += [layers.MaxPooling2D(2)]
        head = [layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(10)]
        model = keras.Sequential([layers.Input((32, 32, 3)), *stack, *head])
    elif "LSTM" in row.name:
        model = keras.Sequential([layers.Input((64, 32)), layers.LSTM(128), layers.Dense(10)])
    else:
        return None
    model.compile(
        keras.optimizers.SGD(0.01) if row.optimizer == "sgd" else keras.optimizers.Adam(0.001),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    data = x.cpu().numpy(), row.y.cpu().numpy()
    return lambda: model.fit(*data, batch_size=row.batch_size, epochs=row.epochs, verbose=0)


def with_lightning(row: Row) -> Callable[[], object]:
    """Lightning's Trainer, logging loss and accuracy."""
    import lightning

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = row.net()

        def training_step(self, batch: Any, index: int) -> Tensor:
            x, y = batch
            logits = self.net(x)
            loss = cross_entropy(logits, y)
            self.log("loss", loss, on_epoch=True, on_step=False)
            right = (logits.argmax(1) == y).float().mean()
            self.log("accuracy", right, on_epoch=True, on_step=False)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return row.torch_optimizer(self)

    module = Module()
    loader = DataLoader(row.dataset(), row.batch_size, shuffle=True)

    def epoch() -> None:
        lightning.Trainer(
            max_epochs=row.epochs,
            accelerator="cpu" if row.device == "cpu" else "gpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ).fit(module, loader)

    return epoch


def with_skorch(row: Row) -> Callable[[], object]:
    """Skorch's NeuralNetClassifier."""
    from skorch import NeuralNetClassifier

    cls = torch.optim.SGD if row.optimizer == "sgd" else torch.optim.Adam
    net = NeuralNetClassifier(
        row.net(),
        criterion=nn.CrossEntropyLoss,
        optimizer=cls,
        lr=0.01 if row.optimizer == "sgd" else 0.001,
        batch_size=row.batch_size,
        train_split=None,
        verbose=0,
        max_epochs=row.epochs,
        iterator_train__shuffle=True,
        device=row.device,
    )
    net.initialize()
    x, y = row.x.cpu().numpy(), row.y.cpu().numpy()
    return lambda: net.partial_fit(x, y, epochs=row.epochs)


def with_poutyne(row: Row) -> Callable[[], object]:
    """Poutyne's Model."""
    from poutyne import Model

    net = row.net().to(row.device)
    model = Model(net, row.torch_optimizer(net), "cross_entropy", batch_metrics=["accuracy"],
                  device=row.device)  # fmt: skip
    data = row.dataset()

    def epoch() -> None:
        model.fit_dataset(data, epochs=row.epochs, batch_size=row.batch_size, progress_options=None,
                          verbose=False)  # fmt: skip

    return epoch


def with_fastai(row: Row) -> Callable[[], object]:
    """Fastai's Learner, without its bar and recorder printing."""
    import fastai.callback.progress  # noqa: F401 (adds no_bar() to Learner)
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader as FastLoader
    from fastai.learner import Learner
    from fastai.metrics import accuracy

    data = list(zip(row.x.cpu(), row.y.cpu(), strict=True))
    loaders = DataLoaders(
        FastLoader(data, bs=row.batch_size, shuffle=True),
        FastLoader(data[:1], bs=1),
        device=torch.device(row.device),
    )
    learner = Learner(loaders, row.net(), loss_func=nn.CrossEntropyLoss(), metrics=accuracy)

    def epoch() -> None:
        with learner.no_bar(), learner.no_logging():
            learner.fit(row.epochs, 0.01 if row.optimizer == "sgd" else 0.001)

    return epoch


CONTENDERS: dict[str, Callable[[Row], Callable[[], object] | None]] = {
    "hand": by_hand,
    "DataLoader": with_loader,
    "kerasish": with_kerasish,
    "keras": with_keras,
    "lightning": with_lightning,
    "skorch": with_skorch,
    "poutyne": with_poutyne,
    "fastai": with_fastai,
}


def clock(device: str) -> float:
    """Seconds: of CPU time, or of the wall's once a GPU is through with its work."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def measure(row: Row, names: list[str], rounds: int) -> dict[str, list[float]]:
    """Seconds of a measurement, by contender, over the rounds; contenders take turns."""
    epochs = {}
    for name in names:
        epoch = CONTENDERS[name](row)
        if epoch is not None:
            epoch()  # the first epoch pays for what is made once
            epochs[name] = epoch
    times: dict[str, list[float]] = {name: [] for name in epochs}
    for _ in range(rounds):
        for name, epoch in epochs.items():
            start = clock(row.device)
            epoch()
            times[name].append(clock(row.device) - start)
    return times


def main() -> None:
    """Print every row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", default=",".join(make_rows()))
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    if options.device == "cpu":
        torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    peers = [p for p in options.peers.split(",") if p and importlib.util.find_spec(p)]
    names = ["hand", "DataLoader", "kerasish", *peers]
    for key, row in make_rows().items():
        if key not in options.rows.split(","):
            continue
        torch.manual_seed(0)
        times = measure(row.on(options.device), names, options.rounds)
        base = times["hand"]
        steps = row.steps * row.epochs
        print(f"{row.name}: hand {statistics.median(base) / steps * 1e6:.0f} us a step")
        for name, values in times.items():
            ratios = sorted(v / b for v, b in zip(values, base, strict=True))
            low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
            print(f"    {name:12} {statistics.median(ratios):6.2f}   ({low:.2f}-{high:.2f})")


if __name__ == "__main__":
    main()
