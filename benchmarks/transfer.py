"""A head trained on a frozen ResNet-18: cached features against a hand-written loop.

Prints CPU time of the whole training as a ratio to the hand loop's: median and spread over rounds,
contenders in turn. The hand loop runs the frozen network without gradients at every step, as a good
engineer's does who keeps no features; "uncached" is `fit(cache_frozen=False)`.

    python benchmarks/transfer.py [--rounds 3] [--rows 1024] [--epochs 5] [--keras]
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import kerasish
from kerasish import applications, layers

SIDE, BATCH, CLASSES = 96, 32, 5


def hand_loop(x: Tensor, y: Tensor, epochs: int) -> Callable[[], object]:
    """Torchvision's network, frozen, and a linear layer in a plain loop."""
    from torchvision.models import resnet18

    backbone = resnet18(weights=None)
    backbone.fc = nn.Identity()  # type: ignore[assignment]
    backbone.eval().requires_grad_(False)

    def train() -> float:
        head = nn.Linear(512, CLASSES)
        optimizer = torch.optim.Adam(head.parameters())
        total, right = torch.zeros(()), torch.zeros(())
        for _ in range(epochs):
            order = torch.randperm(len(x))
            for start in range(0, len(x), BATCH):
                index = order[start : start + BATCH]
                with torch.no_grad():
                    features = backbone(x[index])
                logits = head(features)
                loss = cross_entropy(logits, y[index])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                total += loss.detach()
                right += (logits.argmax(1) == y[index]).sum()
        return float(total + right)

    return train


def ours(x: Tensor, y: Tensor, epochs: int, cache: bool | str) -> Callable[[], object]:
    """The same in kerasish."""
    base = applications.ResNet18(
        weights=None, include_top=False, pooling="avg", input_shape=(3, SIDE, SIDE)
    )
    base.trainable = False

    def train() -> object:
        model = kerasish.Sequential([base, layers.Dense(CLASSES)])
        loss = kerasish.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, metrics=["accuracy"])
        return model.fit(x, y, BATCH, epochs, verbose=0, cache_frozen=cache)

    return train


def keras(x: Tensor, y: Tensor, epochs: int) -> Callable[[], object]:
    """The same network under Keras, whose own ResNet begins at 50 layers: wrapped from torch."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras as real
    from torchvision.models import resnet18

    backbone = resnet18(weights=None)
    backbone.fc = nn.Identity()  # type: ignore[assignment]
    base = real.layers.TorchModuleWrapper(backbone.eval())
    base.trainable = False
    rows, targets = x.numpy(), y.numpy()

    def train() -> object:
        model = real.Sequential([base, real.layers.Dense(CLASSES)])
        loss = real.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, metrics=["accuracy"])
        return model.fit(rows, targets, batch_size=BATCH, epochs=epochs, verbose=0)  # type: ignore[arg-type]

    return train


def main() -> None:
    """Time all contenders in turn, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--keras", action="store_true", help="time Keras as well")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x = torch.rand(arguments.rows, 3, SIDE, SIDE)
    y = torch.randint(0, CLASSES, (arguments.rows,))
    epochs = arguments.epochs
    contenders = {
        "hand loop": hand_loop(x, y, epochs),
        "kerasish, uncached": ours(x, y, epochs, False),
        "kerasish, cached": ours(x, y, epochs, "auto"),
    }
    if arguments.keras:
        contenders["Keras"] = keras(x, y, epochs)
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(arguments.rounds):
        for name, train in contenders.items():
            start = time.process_time()
            train()
            seconds[name].append(time.process_time() - start)
    print(f"{arguments.rows} images of {SIDE}x{SIDE}, {epochs} epochs, batches of {BATCH}")
    for name, times in seconds.items():
        ratios = sorted(t / h for t, h in zip(times, seconds["hand loop"], strict=True))
        spread = f"({ratios[0]:.3f}-{ratios[-1]:.3f})"
        median = statistics.median(ratios)
        print(f"{name:20} {median:6.3f}  {spread:15} {statistics.median(times):7.2f} s")


if __name__ == "__main__":
    main()
