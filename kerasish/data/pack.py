"""pack: a folder of images, decoded and resized once, as one file of contiguous uint8 pixels."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from kerasish.callbacks.progress_line import Status
from kerasish.callbacks.screens import PlainScreen, screen_for
from kerasish.data.folder_index import FolderIndex, index_folder
from kerasish.data.image_files import CHANNELS, IMAGE_ENDINGS, ImageFile, resize_pixels
from kerasish.data.pack_part import PartFile, Row
from kerasish.data.packed import PackedImages, PackedIndex, encode_paths, open_packed
from kerasish.data.threads import default_threads, image_threads, in_order
from kerasish.describe import count_of, describe, suggest
from kerasish.saving.files import ArchiveError


def pack(
    folder: str | os.PathLike,
    path: str | os.PathLike,
    short_side: int | None = 256,
    *,
    labels: Any = "inferred",
    class_names: Sequence[str] | None = None,
    color_mode: str = "rgb",
    broken: str = "error",
    follow_links: bool = False,
    threads: int | None = None,
    verbose: bool = True,
) -> PackedImages:
    """Decode a folder of images once, and keep them as uint8 pixels in one file.

    The file takes about `short_side**2 * 4` bytes an image, and is read through a memory map:
    nothing is decoded any more, and only the pixels of each window are read. It appears under its
    name when it is complete. A run that was stopped goes on where it was, and one whose file is
    there already has nothing to do.

    Args:
        folder: A folder with one sub-folder per class, as `image_dataset_from_directory` takes it.
        path: The file to write.
        short_side: The length that the short side of each image gets, the aspect ratio being kept
            (with anti-aliasing); `None` keeps images as they are.
        labels: `"inferred"` from the sub-folders, `None` for images alone, or one integer for each
            file in the sorted order of their paths.
        class_names: The sub-folders in the order of their numbers; sorted by default.
        color_mode: `"rgb"`, `"rgba"` or `"grayscale"`.
        broken: What an unreadable file means: `"error"`, or `"skip"` to leave it out with a
            warning.
        follow_links: Whether to enter sub-folders that are symbolic links.
        threads: How many threads decode; one for each core by default.
        verbose: Whether to show a progress bar, and to say what was done.

    Returns:
        The file, opened as `open_packed` does.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If an option is out of range, or a file is no image.

    Example:
        >>> photos = pack("photos/", "photos.kpk", short_side=256)  # doctest: +SKIP
    """
    settings = _Settings(short_side, color_mode, broken)
    index = index_folder(folder, labels, class_names, IMAGE_ENDINGS, follow_links)
    names = [str(Path(file).relative_to(folder)) for file in index.paths]
    signatures = [_signature(*pair) for pair in zip(names, index.paths, strict=True)]
    target = Path(path)
    made_of = _fingerprint(settings, index, signatures)
    screen = screen_for(1) if verbose else PlainScreen()
    say = screen.print if verbose else lambda lines: None
    done = _already_there(target, made_of)
    if done is not None:
        say([f"{target} holds {count_of(len(done), 'image')} of {folder} already"])
        return done
    with PartFile(target, vars(settings), settings.channels, _header_size(index)) as part:
        begun = part.resume(signatures)
        if begun:
            say([f"Going on after {count_of(begun, 'file')} packed earlier"])
        bar = _Bar(screen, f"Packing {target.name}", begun, len(names))
        try:
            _fill(part, index.paths, signatures, settings, threads or default_threads(), bar)
        finally:
            screen.clear()
        part.finish(_packed_index(part.rows, names, index, settings, made_of))
    result = open_packed(target)
    left_out = len(names) - len(result)
    skipped = f", {count_of(left_out, 'broken file')} left out" if left_out else ""
    say([f"Packed {count_of(len(result), 'image')} into {target}{skipped}"])
    return result


def _fill(
    part: PartFile,
    files: list[str],
    signatures: list[str],
    settings: _Settings,
    threads: int,
    bar: _Bar,
) -> None:
    """Add the files that are not dealt with yet."""
    prepare, todo = partial(_prepare, settings=settings), files[len(part.rows) :]
    with image_threads(threads) as pool:
        for image in in_order(pool, prepare, todo, ahead=4 * threads):
            part.add(_kept(image, settings), signatures[len(part.rows)])
            bar.show(len(part.rows))


@dataclass(frozen=True)
class _Settings:
    """What decides the pixels."""

    short_side: int | None
    color_mode: str
    broken: str

    def __post_init__(self) -> None:
        side = self.short_side
        if side is not None and (type(side) is not int or side < 1):
            raise ValueError(
                f"pack: `short_side` must be a positive integer or None, got {describe(side)}."
            )
        if self.color_mode not in CHANNELS:
            raise ValueError(
                f"pack: unknown color_mode {describe(self.color_mode)}"
                f"{suggest(self.color_mode, CHANNELS)}."
            )
        if self.broken not in ("error", "skip"):
            raise ValueError(
                f"pack: `broken` must be 'error' or 'skip', got {describe(self.broken)}."
            )

    @property
    def channels(self) -> int:
        return CHANNELS[self.color_mode]


def _signature(name: str, file: str) -> str:
    """Tells a file from one of another name or content."""
    status = Path(file).stat()
    return f"{name} {status.st_size} {status.st_mtime_ns}"


def _fingerprint(settings: _Settings, index: FolderIndex, signatures: list[str]) -> str:
    facts = [vars(settings), signatures, index.labels, index.class_names]
    return hashlib.sha256(json.dumps(facts).encode("utf-8", "surrogateescape")).hexdigest()


def _already_there(target: Path, made_of: str) -> PackedImages | None:
    try:
        packed = open_packed(target)
    except (FileNotFoundError, ArchiveError):
        return None
    return packed if packed.about.get("made_of") == made_of else None


def _header_size(index: FolderIndex) -> int:
    """Bytes kept for the head of the file: whole pages, so that pixels begin on one."""
    names = len(json.dumps(json.dumps(index.class_names)))
    return (names + 2048 + 4095) // 4096 * 4096


def _prepare(file: str, settings: _Settings) -> tuple[Tensor, int] | ValueError:
    """A file's pixels and their checksum, or what is wrong with it."""
    try:
        pixels = ImageFile(file, settings.channels).pixels()
    except ValueError as error:
        return error
    if settings.short_side is not None:
        pixels = with_short_side(pixels, settings.short_side)
    pixels = pixels.contiguous()
    return pixels, zlib.crc32(pixels.numpy().data)


def _kept(image: tuple[Tensor, int] | ValueError, settings: _Settings) -> tuple[Tensor, int] | None:
    """The pixels and their checksum, or `None` for a broken file that is to be skipped."""
    if isinstance(image, tuple):
        return image
    if settings.broken == "error":
        image.add_note(
            "Mend or remove the file and pack again, which goes on here; or pass broken='skip' to "
            "leave it out."
        )
        raise image
    warnings.warn(f"Skipped: {image}", stacklevel=3)
    return None


def with_short_side(pixels: Tensor, length: int) -> Tensor:
    """An image whose short side has this length.

    Shapes:
        pixels: `(height, width, channels)`
        output: the same
    """
    height, width = pixels.shape[:2]
    short = min(height, width)
    return resize_pixels(pixels, (length * height // short, length * width // short))


def _packed_index(
    rows: list[Row], names: list[str], index: FolderIndex, settings: _Settings, made_of: str
) -> PackedIndex:
    """The index of the images that were packed."""
    kept = [i for i, row in enumerate(rows) if row.height]
    if not kept:
        raise ValueError("pack: none of the files could be read as an image.")
    heights = torch.tensor([rows[i].height for i in kept])
    widths = torch.tensor([rows[i].width for i in kept])
    ends = (heights * widths * settings.channels).cumsum(0)
    labels = index.labels or [-1] * len(names)
    return PackedIndex(
        offsets=torch.cat([torch.zeros(1, dtype=torch.int64), ends]),
        heights=heights,
        widths=widths,
        labels=torch.tensor([labels[i] for i in kept]),
        checksums=torch.tensor([rows[i].checksum for i in kept]),
        paths=encode_paths([names[i] for i in kept]),
        channels=settings.channels,
        class_names=index.class_names,
        about={"made_of": made_of, **vars(settings)},
    )


class _Bar:
    """A line that tells how far packing has come."""

    def __init__(self, screen: PlainScreen, title: str, begun: int, total: int) -> None:
        self.screen, self.title, self.begun, self.total = screen, title, begun, total
        self.start = perf_counter()
        self.due = self.start

    def show(self, done: int) -> None:
        """Draw the line, at most ten times a second."""
        now = perf_counter()
        if now < self.due or not self.screen.live:
            return
        self.due = now + self.screen.interval
        rate = (done - self.begun) / max(now - self.start, 1e-9)
        left = (self.total - done) / rate
        values = [("images/s", round(rate))]
        self.screen.draw(Status(self.title, done, self.total, now - self.start, left, values))
