"""fit, evaluate and predict against the best hand-written loop, interleaved in one run.

Prints CPU time as a ratio, kerasish / hand loop: median and spread over rounds. 1.00 is the loop a
good engineer writes: whole tensors in memory, a shuffled index per epoch, `x[order[i:j]]`,
torch.optim, gradients set to None, loss and accuracy summed without `.item()`.

    python benchmarks/overhead.py [--rounds 15]
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import kerasish
from kerasish import layers


def hand_fit(net: nn.Module, x: Tensor, y: Tensor, batch_size: int, epochs: int) -> float:
    """Train as a good engineer would by hand; returns the last epoch's loss."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    net.train()
    for _ in range(epochs):
        order = torch.randperm(len(x))
        total, right = torch.zeros(()), torch.zeros(())
        for start in range(0, len(x), batch_size):
            index = order[start : start + batch_size]
            x_batch, y_batch = x[index], y[index]
            optimizer.zero_grad(set_to_none=True)
            logits = net(x_batch)
            loss = cross_entropy(logits, y_batch)
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(index)
            right += (logits.argmax(1) == y_batch).sum()
    return float(total) / len(x) + 0 * float(right)


def hand_evaluate(net: nn.Module, x: Tensor, y: Tensor, batch_size: int) -> float:
    """Evaluate by hand; returns the mean loss."""
    net.eval()
    total, right = torch.zeros(()), torch.zeros(())
    with torch.inference_mode():
        for start in range(0, len(x), batch_size):
            x_batch, y_batch = x[start : start + batch_size], y[start : start + batch_size]
            logits = net(x_batch)
            total += cross_entropy(logits, y_batch) * len(x_batch)
            right += (logits.argmax(1) == y_batch).sum()
    return float(total) / len(x) + 0 * float(right)


def hand_predict(net: nn.Module, x: Tensor, batch_size: int) -> object:
    """Predict by hand."""
    net.eval()
    with torch.inference_mode():
        return torch.cat([net(part) for part in x.split(batch_size)]).numpy()


def make_pair(sizes: list[int]) -> tuple[nn.Module, kerasish.Sequential]:
    """The same network twice: by hand, and with kerasish, compiled."""
    parts: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        parts += [nn.Linear(a, b), nn.ReLU()]
    net = nn.Sequential(*parts[:-1])
    stack = [layers.Dense(n, activation="relu") for n in sizes[1:-1]]
    model = kerasish.Sequential([layers.Input((sizes[0],)), *stack, layers.Dense(sizes[-1])])
    model.compile(
        kerasish.optimizers.SGD(0.01),
        kerasish.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return net, model


def compare(name: str, hand: Callable, ours: Callable, rounds: int, steps: int) -> None:
    """Time both in turn, and print the ratio of their CPU times."""
    ratios, hands, ourses = [], [], []
    hand(), ours()
    for _ in range(rounds):
        times = []
        for function in (hand, ours):
            start = time.process_time()
            function()
            times.append(time.process_time() - start)
        hands.append(times[0])
        ourses.append(times[1])
        ratios.append(times[1] / times[0])
    ratios.sort()
    low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
    microseconds = [statistics.median(t) / steps * 1e6 for t in (hands, ourses)]
    print(
        f"{name:42}  {statistics.median(ratios):5.2f}  ({low:.2f}-{high:.2f})   "
        f"hand {microseconds[0]:8.1f} us   kerasish {microseconds[1]:8.1f} us a step"
    )


def main() -> None:
    """Print every row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for sizes, batch in (([16, 32, 32, 4], 32), ([784, 128, 10], 128)):
        for steps in (64, 512):  # of an epoch: a short one shows what a fit and an epoch cost
            net, model = make_pair(sizes)
            rows = steps * batch
            x, y = torch.randn(rows, sizes[0]), torch.randint(0, sizes[-1], (rows,))
            compare(
                f"fit {'-'.join(map(str, sizes))}, batch {batch}, {steps} steps",
                lambda: hand_fit(net, x, y, batch, 4),  # noqa: B023
                lambda: model.fit(x, y, batch, 4, verbose=0),  # noqa: B023
                rounds,
                4 * steps,
            )
    net, model = make_pair([16, 32, 32, 4])
    for batch, rows in ((32, 8192), (1024, 262144)):
        x, y = torch.randn(rows, 16), torch.randint(0, 4, (rows,))
        steps = rows // batch
        compare(
            f"evaluate, batch {batch}",
            lambda: hand_evaluate(net, x, y, batch),  # noqa: B023
            lambda: model.evaluate(x, y, batch, verbose=0),  # noqa: B023
            rounds,
            steps,
        )
        compare(
            f"predict, batch {batch}",
            lambda: hand_predict(net, x, batch),  # noqa: B023
            lambda: model.predict(x, batch, verbose=0),  # noqa: B023
            rounds,
            steps,
        )
    x, y = torch.randn(32, 16), torch.randint(0, 4, (32,))
    for name, call in (
        ("fit", lambda: model.fit(x, y, 32, 1, verbose=0)),
        ("evaluate", lambda: model.evaluate(x, y, 32, verbose=0)),
        ("predict", lambda: model.predict(x, 32, verbose=0)),
    ):
        call()
        times = []
        for _ in range(30):
            start = time.process_time()
            call()
            times.append((time.process_time() - start) * 1e3)
        print(f"one {name} call of one batch: {statistics.median(times):.2f} ms")


if __name__ == "__main__":
    main()
