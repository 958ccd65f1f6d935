"""Layers against the torch modules and functions they stand for, interleaved in one run.

Prints CPU time as a ratio, kerasish / torch: median and spread over rounds, for a forward and a
backward pass, one thread. The layer is called as a user calls it, so its own Python is in the
figure. At the end, how often a small channels-last ResNet copies a tensor only to lay it out anew,
beside the plain torch network of the same layers.

    python benchmarks/layers.py [--rounds 21] [--only LSTM]
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

import kerasish
from kerasish import layers
from kerasish.layers.normalization.biased import BiasedNorm
from kerasish.training.memory import keep_freed_memory

Pair = tuple[str, Callable, Callable, tuple[Tensor, ...]]
LAYOUT_COPIES = ("aten::copy_", "aten::clone", "aten::contiguous")


def built(layer: layers.Layer, *inputs: Tensor) -> Any:
    """The layer, called once."""
    layer(*inputs)
    return layer


def first(module: nn.Module) -> Callable:
    """The module's outputs without its states."""
    return lambda *inputs: module(*inputs)[0]


def dense() -> Iterator[Pair]:
    """Fully connected layers and embeddings."""
    x = torch.randn(128, 512)
    layer = built(layers.Dense(512), x)
    yield "Dense 512, batch 128", layer, copy.deepcopy(layer.linear), (x,)
    layer = built(layers.Dense(512, activation="relu"), x)
    linear = copy.deepcopy(layer.linear)
    yield "Dense 512 with relu", layer, lambda x: F.relu(linear(x)), (x,)
    tokens = torch.randint(10_000, (64, 100))
    layer = built(layers.Embedding(10_000, 128), tokens)
    yield "Embedding 10 000 × 128", layer, copy.deepcopy(layer.embedding), (tokens,)


def convolution() -> Iterator[Pair]:
    """Convolution and pooling, in both axis orders."""
    x = torch.randn(16, 32, 32, 32)
    last = x.permute(0, 2, 3, 1).contiguous()
    layer = built(layers.Conv2D(64, 3, padding="same"), x)
    yield "Conv2D 32→64, 3×3, 32×32", layer, copy.deepcopy(layer.conv), (x,)
    layer = built(layers.Conv2D(64, 3, padding="same", data_format="channels_last"), last)
    conv = copy.deepcopy(layer.conv)
    # The permuted view is what torch calls the channels-last memory format.
    yield "the same, channels last", layer, lambda x: conv(x.permute(0, 3, 1, 2)), (last,)
    layer = built(layers.DepthwiseConv2D(3, padding="same"), x)
    yield "DepthwiseConv2D 3×3", layer, copy.deepcopy(layer.conv), (x,)
    layer = built(layers.MaxPooling2D(2), x)
    yield "MaxPooling2D 2", layer, nn.MaxPool2d(2), (x,)
    layer = built(layers.GlobalAveragePooling2D(), x)
    yield "GlobalAveragePooling2D", layer, lambda x: x.mean((2, 3)), (x,)


def normalization() -> Iterator[Pair]:
    """Normalisation of images and of sequences."""
    x, sequence = torch.randn(32, 64, 16, 16), torch.randn(32, 128, 256)
    for layer, inputs in (
        (layers.BatchNormalization(), x),
        (layers.BatchNormalization(), torch.randn(32, 128)),
        (layers.GroupNormalization(8), x),
        (layers.LayerNormalization(), sequence),
        (layers.RMSNormalization(), sequence),
    ):
        made = built(layer, inputs)
        yield f"{type(layer).__name__} {tuple(inputs.shape)}", made, twin_of(made), (inputs,)


def twin_of(layer: Any) -> nn.Module:
    """A copy of the torch module inside a normalisation, or of the one that it is made from."""
    twin = copy.deepcopy(layer.norm)
    return twin.to_torch() if isinstance(twin, BiasedNorm) else twin


def recurrent() -> Iterator[Pair]:
    """Recurrent layers of 128 units over 50 steps of 64 features."""
    x = torch.randn(32, 50, 64)
    for cls, child in ((layers.SimpleRNN, "rnn"), (layers.LSTM, "lstm"), (layers.GRU, "gru")):
        layer = built(cls(128, return_sequences=True), x)
        yield (
            f"{cls.__name__} 128, 50 steps",
            layer,
            first(copy.deepcopy(getattr(layer, child))),
            (x,),
        )
    layer = built(layers.Bidirectional(layers.LSTM(128, return_sequences=True)), x)
    yield (
        "Bidirectional LSTM",
        layer,
        first(nn.LSTM(64, 128, batch_first=True, bidirectional=True)),
        (x,),
    )


def attention() -> Iterator[Pair]:
    """Attention over 128 steps of 256 features, 8 heads."""
    x = torch.randn(8, 128, 256)
    module = nn.MultiheadAttention(256, 8, batch_first=True)
    layer = built(layers.MultiHeadAttention(8, 32), x, x)
    yield (
        "MultiHeadAttention, 8 heads of 32",
        lambda x: layer(x, x),
        lambda x: module(x, x, x, need_weights=False)[0],
        (x,),
    )
    plain = layers.Attention()
    yield (
        "Attention",
        lambda x: plain([x, x]),
        lambda x: F.scaled_dot_product_attention(x, x, x, scale=1.0),
        (x,),
    )


def step(function: Callable, inputs: tuple[Tensor, ...]) -> Callable:
    """A forward and a backward pass."""
    floats = [x for x in inputs if x.is_floating_point()]
    ones = torch.ones_like(function(*inputs))

    def run() -> None:
        for x in floats:
            x.grad = None
        function(*inputs).backward(ones)

    return run


def seconds(function: Callable, repeats: int) -> float:
    """CPU time of one call."""
    start = time.process_time()
    for _ in range(repeats):
        function()
    return (time.process_time() - start) / repeats


def compare(pair: Pair, rounds: int) -> None:
    """Time both in turn, and print the ratio of their CPU times."""
    name, ours, theirs, inputs = pair
    for x in inputs:
        x.requires_grad_(x.is_floating_point())
    runs = [step(ours, inputs), step(theirs, inputs)]
    for run in runs:
        run()
    repeats = max(1, int(0.03 / seconds(runs[1], 1)))
    ratios, times = [], []
    for number in range(rounds):
        order = runs if number % 2 else runs[::-1]
        taken = {id(run): seconds(run, repeats) for run in order}
        own, torchs = (taken[id(run)] for run in runs)
        ratios.append(own / torchs)
        times.append((own, torchs))
    ratios.sort()
    low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
    own, torchs = (statistics.median(column) * 1e6 for column in zip(*times, strict=True))
    print(
        f"{name:38} {statistics.median(ratios):6.3f}  ({low:.3f}-{high:.3f})   "
        f"kerasish {own:9.1f} us   torch {torchs:9.1f} us"
    )


class TorchBlock(nn.Module):
    """A basic residual block in plain torch."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Add the block to its input."""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(x + self.bn2(self.conv2(y)))


def torch_resnet() -> nn.Module:
    """Three residual blocks of 16 channels."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        *(TorchBlock(16) for _ in range(3)),
        nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
    )


def keras_resnet() -> kerasish.Model:
    """The same network over images with their channels last."""
    kerasish.config.set_image_data_format("channels_last")

    def convolve(x: Any) -> Any:
        x = layers.Conv2D(16, 3, padding="same", use_bias=False)(x)
        return layers.BatchNormalization()(x)

    inputs = layers.Input((32, 32, 3))
    x = layers.ReLU()(convolve(inputs))
    for _ in range(3):
        y = convolve(layers.ReLU()(convolve(x)))
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling2D()(layers.MaxPooling2D(2)(x))
    model = kerasish.Model(inputs, layers.Dense(10)(x))
    kerasish.config.set_image_data_format("channels_first")
    return model


def layout_copies(function: Callable, x: Tensor) -> Counter:
    """How often each operator that only lays out anew runs in a forward and a backward pass."""
    run = step(function, (x,))
    run()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        run()
    counts = {event.key: event.count for event in profile.key_averages()}
    return Counter({name: counts.get(name, 0) for name in LAYOUT_COPIES})


def report_layouts() -> None:
    """Count the copies in both networks, on NHWC images."""
    images = torch.randn(8, 32, 32, 3)
    model = keras_resnet()
    model.train()
    plain = torch_resnet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    ours = layout_copies(model.shortest_forward(), images)
    theirs = layout_copies(lambda x: plain(x.permute(0, 3, 1, 2)), images)
    print("\nCopies in a forward and backward pass of a small channels-last ResNet:")
    for name in LAYOUT_COPIES:
        print(f"{name:20} kerasish {ours[name]:4}   torch {theirs[name]:4}")


def main() -> None:
    """Print every row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as fit does; otherwise page faults are what is measured
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, one thread: forward and backward, kerasish / torch\n")
    for family in (dense, convolution, normalization, recurrent, attention):
        for pair in family():
            if options.only in pair[0]:
                compare(pair, options.rounds)
    report_layouts()


if __name__ == "__main__":
    main()
