"""ResNet-50 on a GPU, in bfloat16 and channels-last: images per second, copies beside computing.

A hand-written loop and `fit` train the same network in turn, once on images that lie on the GPU and
once on batches that a DataLoader brings from the host. Printed are images per second, kerasish's as
a ratio to the loop's (median over rounds, quartiles), and what part of the time of copies to the
GPU it was computing, from a profile.

    python benchmarks/gpu.py [--images 2048] [--batch 128] [--size 224] [--rounds 5]

Where there is no GPU it says so; `--device cpu` with few small images tries the script itself. For
the rows of training.py on a GPU: python benchmarks/training.py --device cuda.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset
from training import clock  # the script beside this one

import kerasish

Interval = tuple[float, float]


def resnet50() -> nn.Module:
    """Torchvision's ResNet-50 for ten classes."""
    from torchvision.models import resnet50 as make

    return make(num_classes=10)


def by_hand(data: Any, batch: int, device: str) -> Callable[[], object]:
    """The loop a good engineer writes, for tensors on the device or for a pinning DataLoader."""
    net = resnet50().to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

    def from_device() -> Iterable[tuple[Tensor, Tensor]]:
        x, y = data
        for index in torch.randperm(len(x), device=device).split(batch):
            yield x[index], y[index]

    def epoch() -> None:
        total, right = torch.zeros((), device=device), torch.zeros((), device=device)
        for x, y in from_device() if isinstance(data, tuple) else data:
            x = x.to(device, memory_format=torch.channels_last, non_blocking=True)
            y = y.to(device, non_blocking=True)
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(torch.device(device).type, torch.bfloat16):
                logits = net(x)
                loss = cross_entropy(logits, y)
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(x)
            right += (logits.argmax(1) == y).sum()

    return epoch


def with_kerasish(data: Any, batch: int, device: str) -> Callable[[], object]:
    """`fit` on the same."""
    model = kerasish.Model(resnet50())
    model.compile(
        kerasish.optimizers.SGD(0.1, momentum=0.9),
        kerasish.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        device=device,
        precision="bfloat16-mixed",
        memory_format="channels_last",
    )
    if isinstance(data, tuple):
        return lambda: model.fit(*data, batch_size=batch, verbose=0)
    return lambda: model.fit(data, verbose=0)


def compare(name: str, data: Any, options: argparse.Namespace) -> None:
    """Time both in turn, and print images per second and their ratio."""
    contenders = [f(data, options.batch, options.device) for f in (by_hand, with_kerasish)]
    times: list[list[float]] = [[], []]
    for number in range(options.rounds + 1):
        for epoch, own in zip(contenders, times, strict=True):
            start = clock(options.device)
            epoch()
            if number:  # the first pays for what is made once
                own.append(clock(options.device) - start)
    speeds = [options.images / statistics.median(own) for own in times]
    ratios = sorted(a / b for a, b in zip(*times, strict=True))
    low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
    print(
        f"{name:24}  hand {speeds[0]:8.1f} images/s   kerasish {speeds[1]:8.1f} images/s   "
        f"ratio {statistics.median(ratios):.3f}  ({low:.3f}-{high:.3f})"
    )
    if torch.device(options.device).type == "cuda":
        for who, epoch in zip(("hand", "kerasish"), contenders, strict=True):
            copying, beside = profiled(epoch)
            print(f"    {who:10} copies to the GPU: {copying:8.1f} ms, computing in {beside:.0%}")


def profiled(epoch: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds of copies to the GPU in an epoch, and the part in which kernels ran."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as recorded:
        epoch()
        torch.cuda.synchronize()
    copies: list[Interval] = []
    kernels: list[Interval] = []
    for event in recorded.events() or ():
        if event.device_type == torch.autograd.DeviceType.CUDA:
            is_copy = event.name.startswith("Memcpy HtoD")
            is_other = event.name.startswith(("Memcpy", "Memset"))
            span = (event.time_range.start, event.time_range.end)
            (copies if is_copy else [] if is_other else kernels).append(span)
    total = sum(end - start for start, end in copies)
    return total / 1e3, shared(copies, kernels) / total if total else 0.0


def shared(some: list[Interval], others: list[Interval]) -> float:
    """How long intervals of both kinds last at once.

    Example:
        >>> shared([(0, 4), (6, 8)], [(1, 2), (1.5, 3), (7, 9)])
        3.0
    """
    merged: list[list[float]] = []
    for start, end in sorted(others):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    pairs = ((max(a, c), min(b, d)) for a, b in some for c, d in merged)
    return float(sum(max(0.0, end - start) for start, end in pairs))


def main() -> None:
    """Print both rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=4, help="of the DataLoader")
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    if options.device != "cpu" and not torch.cuda.is_available():
        print("There is no GPU here: nothing was measured.")
        return
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    x = torch.randn(options.images, 3, options.size, options.size)
    y = torch.randint(0, 10, (options.images,))
    loader: DataLoader = DataLoader(
        TensorDataset(x, y),
        options.batch,
        shuffle=True,
        num_workers=options.workers,
        persistent_workers=options.workers > 0,
        pin_memory=options.device != "cpu",
    )
    compare("images on the device", (x.to(options.device), y.to(options.device)), options)
    compare("batches from the host", loader, options)


if __name__ == "__main__":
    main()
