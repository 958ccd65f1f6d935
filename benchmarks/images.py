"""From image files to augmented batches: images a second, by stage and end to end.

Writes JPEG files of 320 to 500 pixels, half smooth, half detailed, and takes them through ResNet's
recipe: short side from 256 to 480, window of 224, mirror, principal colours, normalise. Contenders
take turns; printed are medians over rounds, and quartiles. `per CPU s` counts the processor time of
all threads and worker processes, which a busy machine disturbs less; `decoding` is that figure
divided by that of decoding the files and doing nothing else.

    python benchmarks/images.py [--images 320] [--rounds 5] [--batch-size 64] [--contenders packed]

Keras joins in where it, and the package it reads folders with (grain), are installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import resource
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

import kerasish
from kerasish import layers
from kerasish.data.image_files import ImageFile
from kerasish.layers.augmentation.jitter import IMAGENET_EIGENVALUES, IMAGENET_EIGENVECTORS

CROP, SHORT = 224, (256, 480)
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
COMPONENTS = torch.tensor(IMAGENET_EIGENVECTORS) * torch.tensor(IMAGENET_EIGENVALUES)


# The files


def write_photos(folder: Path, count: int) -> list[Path]:
    """JPEG files in two class folders."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(count):
        height, width = (int(n) for n in rng.integers(320, 501, 2))
        coarse = rng.integers(0, 256, (8, 10, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        pixels = np.asarray(smooth, dtype=np.float32)
        if number % 2:
            pixels = pixels + rng.normal(0, 8, pixels.shape)
        path = folder / ("ant", "bee")[number % 2] / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=90)
        paths.append(path)
    return paths


# What others do


class PerSample(Dataset):
    """One image at a time, as most training scripts do it."""

    def __init__(self, paths: list[Path], read: Callable, change: Callable) -> None:
        self.paths, self.read, self.change = paths, read, change

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.change(self.read(self.paths[index])), index % 2


def open_with_pil(path: Path) -> Image.Image:
    """A PIL image."""
    with Image.open(path) as image:
        return image.convert("RGB")


def decode(path: Path) -> Tensor:
    """A uint8 tensor (3, height, width), by the fastest decoder there is."""
    return ImageFile(str(path), 3).pixels().permute(2, 0, 1)


def add_principal_colors(image: Tensor) -> Tensor:
    """The jitter of one image on the scale 0 to 1."""
    color = COMPONENTS @ (torch.randn(3) * 0.1)
    return (image + color[:, None, None]).clamp(0, 1)


class ShortSide:
    """Resizes by a function to a random short side."""

    def __init__(self, resize: Callable) -> None:
        self.resize = resize

    def __call__(self, image: object) -> object:
        """The image resized."""
        return self.resize(image, int(torch.randint(SHORT[0], SHORT[1] + 1, ())))


def torchvision_v1() -> Callable:
    """The recipe in torchvision's first transforms, for PIL images."""
    from torchvision import transforms as v1
    from torchvision.transforms import functional

    return v1.Compose(
        [
            ShortSide(functional.resize),
            v1.RandomCrop(CROP),
            v1.RandomHorizontalFlip(),
            v1.ToTensor(),
            add_principal_colors,
            v1.Normalize(MEAN, DEVIATION),
        ]
    )


def resize_v2(image: Tensor, length: int) -> Tensor:
    """A tensor whose short side has this length."""
    from torchvision.transforms.v2 import functional

    return functional.resize(image, [length], antialias=True)


def torchvision_v2() -> Callable:
    """The recipe in torchvision's second transforms, for tensors."""
    from torchvision.transforms import v2

    return v2.Compose(
        [
            ShortSide(resize_v2),
            v2.RandomCrop(CROP),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            add_principal_colors,
            v2.Normalize(MEAN, DEVIATION),
        ]
    )


def keras_batches(folder: Path, batch_size: int) -> Callable[[], Iterable]:
    """Keras's folder reader, and Keras's layers on its batches (of 256 pixels, squeezed)."""
    import keras

    dataset = keras.utils.image_dataset_from_directory(
        folder, format="grain", image_size=(256, 256), batch_size=batch_size, verbose=False
    )
    change = keras.Sequential(
        [
            keras.layers.RandomCrop(CROP, CROP),
            keras.layers.RandomFlip("horizontal"),
            keras.layers.RandomBrightness(0.1),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Normalization(mean=MEAN, variance=[d * d for d in DEVIATION]),
        ]
    )
    return lambda: (change(x, training=True) for x, _ in dataset)


# What kerasish does


def recipe(first: layers.Layer | None = None) -> layers.Pipeline:
    """The recipe as layers."""
    return layers.Pipeline(
        [
            first or layers.RandomShortSide(SHORT, CROP),
            layers.RandomFlip("horizontal"),
            layers.PCAColorJitter(),
            layers.Rescaling(1 / 255),
            layers.Normalization(mean=MEAN, variance=[d * d for d in DEVIATION]),
        ],
        seed=1,
    )


def contenders(folder: Path, packed: Path, paths: list[Path], size: int) -> dict[str, Callable]:
    """Everything that goes through all images once: a name, and what makes the batches."""
    pil, v2 = (
        PerSample(paths, open_with_pil, torchvision_v1()),
        PerSample(paths, decode, torchvision_v2()),
    )
    found: dict[str, Callable[[], Iterable]] = {"decoding alone": lambda: map(decode, paths)}
    if importlib.util.find_spec("keras") and importlib.util.find_spec("grain"):
        found["Keras folder + layers"] = keras_batches(folder, size)
    for workers in (0, 2):
        for name, data in {"PIL + torchvision v1": pil, "decoder + torchvision v2": v2}.items():
            found[f"{name}, {workers} workers"] = lambda data=data, workers=workers: DataLoader(
                data, batch_size=size, shuffle=True, num_workers=workers
            )
    for threads in (1, 2):
        files = kerasish.utils.image_dataset_from_directory(
            folder, batch_size=size, augment=recipe(), threads=threads, verbose=False
        )
        found[f"kerasish, JPEG files, threads={threads}"] = lambda files=files: files
        kinds = {"short side": None, "crop": layers.RandomCrop(CROP, CROP)}
        for name, first in kinds.items():
            source = kerasish.data.open_packed(packed, recipe(first), threads=threads)
            found[f"kerasish, packed, {name}, threads={threads}"] = lambda source=source: (
                kerasish.utils.Batches(source, batch_size=size, shuffle=True, seed=1)
            )
    return found


# Measuring


def processor_time() -> float:
    """Seconds of all threads, and of the processes that have ended."""
    parts = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in parts)


def passes(makers: dict[str, Callable], rounds: int, count: int) -> dict[str, list[tuple]]:
    """Images a second and a processor second, for each contender in each round."""
    rates: dict[str, list[tuple]] = {name: [] for name in makers}
    for turn in range(rounds + 1):
        for name, make in makers.items():
            batches, cpu, start = make(), processor_time(), time.perf_counter()
            for batch in batches:
                del batch
            wall, cpu = time.perf_counter() - start, processor_time() - cpu
            if turn:  # the first pass warms up
                rates[name].append((count / wall, count / cpu))
    return rates


def show(rates: dict[str, list[tuple]]) -> None:
    """The table."""
    floor = statistics.median(cpu for _, cpu in rates["decoding alone"])
    print(f"{'':42} {'images/s':>20} {'per CPU s':>20} {'decoding':>9}")
    for name, pairs in rates.items():
        cells = []
        for values in zip(*pairs, strict=True):
            ordered = sorted(values)
            low, high = ordered[len(ordered) // 4], ordered[-1 - len(ordered) // 4]
            cells.append(f"{statistics.median(ordered):6.0f} ({low:5.0f}-{high:5.0f})")
        ratio = statistics.median(cpu for _, cpu in pairs) / floor
        print(f"{name:42} {cells[0]:>20} {cells[1]:>20} {ratio:9.2f}")


def stages(paths: list[Path], rounds: int) -> None:
    """What each part of the work on one image takes, on one thread."""
    pictures = [decode(path) for path in paths[:64]]
    window = layers.RandomShortSide(SHORT, CROP, seed=1)
    sizes = torch.tensor([p.shape[1:] for p in pictures], dtype=torch.float32).unbind(1)
    cut = window.changer(window.draw(window._next_draws(64, torch.device("cpu")), sizes))  # type: ignore[arg-type]
    windows = [cut(picture, row) for row, picture in enumerate(pictures)]
    into, color = torch.empty(3, CROP, CROP), torch.rand(3, 1, 1)
    scale, shift = torch.rand(3, 1, 1), torch.rand(3, 1, 1)
    work = {
        "decode": lambda i: decode(paths[i]),
        "cut the window and resize it": lambda i: cut(pictures[i], i),
        "mirror": lambda i: windows[i].flip(-1),
        "to floating point, channels first": lambda i: into.copy_(windows[i]),
        "jitter": lambda i: into.add_(color).clamp_(0, 255),
        "normalise": lambda i: into.mul_(scale).add_(shift),
    }
    print(f"{'one image, one thread':42} {'us of CPU':>10}")
    for name, function in work.items():
        times = []
        for _ in range(rounds + 1):
            start = time.process_time()
            for i in range(len(pictures)):
                function(i)
            times.append((time.process_time() - start) / len(pictures) * 1e6)
        print(f"{name:42} {statistics.median(times):10.1f}")


def on_a_gpu(rounds: int) -> None:
    """Layers on whole batches of uint8 images that lie on the GPU."""
    images = torch.randint(0, 256, (256, 3, 256, 340), dtype=torch.uint8, device="cuda")
    change = recipe().to("cuda")
    times = []
    for _ in range(4 * rounds):
        torch.cuda.synchronize()
        start = time.perf_counter()
        change(images)
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    rate = len(images) / statistics.median(times)
    print(f"{torch.cuda.get_device_name()}: {rate:,.0f} images/s in batches of 256")


def main() -> None:
    """Write files, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--contenders", default="", help="only names that contain this")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as folder:
        photos, packed = Path(folder) / "photos", Path(folder) / "photos.kpk"
        paths = write_photos(photos, options.images)
        start = time.perf_counter()
        kerasish.data.pack(photos, packed, SHORT[0], verbose=False)
        print(f"packed at {len(paths) / (time.perf_counter() - start):.0f} images/s")
        stages(paths, options.rounds)
        chosen = {
            name: make
            for name, make in contenders(photos, packed, paths, options.batch_size).items()
            if options.contenders in name or name == "decoding alone"
        }
        show(passes(chosen, options.rounds, len(paths)))
    if torch.cuda.is_available():
        on_a_gpu(options.rounds)


if __name__ == "__main__":
    main()
