"""The unfinished file of packed images: pixels as they come, and a record to resume from."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any, BinaryIO, NamedTuple

from torch import Tensor

from kerasish.data.packed import VERSION, PackedIndex, write_header

# How often what was written is put on record; a run that is killed loses no more than that.
_SECONDS = 2.0


class Row(NamedTuple):
    """What is known of a file that has been dealt with; a height of 0 means it was left out."""

    signature: str
    height: int
    width: int
    checksum: int


class PartFile:
    """A file that grows beside its final place, and goes there when it is complete.

    Pixels reach the disk before the record says that they are there; whatever lies behind the
    record's last word is cut off when a run resumes.

    Args:
        target: The final place.
        settings: What decides the pixels; a record of other settings is of no use.
        channels: Of every image.
        header_size: Bytes to leave free at the beginning.

    Attributes:
        rows: The files dealt with so far.
    """

    def __init__(
        self, target: Path, settings: Mapping[str, Any], channels: int, header_size: int
    ) -> None:
        self.target = Path(os.path.realpath(target))
        if self.target.is_dir():
            raise IsADirectoryError(f"Cannot write {target}: it is a folder.")
        self._begin = json.dumps([VERSION, dict(settings), header_size])
        self.channels, self.header_size = channels, header_size
        self.rows: list[Row] = []
        self._recorded = 0
        self._due = perf_counter() + _SECONDS

    def __enter__(self) -> PartFile:
        self.target.parent.mkdir(parents=True, exist_ok=True)
        pixels = self.target.with_name(self.target.name + ".part")
        record = self.target.with_name(self.target.name + ".part.record")
        for path in (pixels, record):
            path.touch()
        self._pixels, self._record = pixels.open("r+b"), record.open("r+b")
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        try:
            if kind is not None and not self._pixels.closed:
                self._write_record()
        finally:
            self._pixels.close()
            self._record.close()

    def resume(self, signatures: list[str]) -> int:
        """Take up what an earlier run left, as far as it is of the same files.

        Args:
            signatures: Of all files, in order.

        Returns:
            How many files have been dealt with.
        """
        lines = self._record.read().split(b"\n")
        if lines[0].decode("utf-8", "replace") == self._begin:
            # What follows the last line's end was being written when the run was stopped.
            rows = [Row(*json.loads(line)) for line in lines[1:-1]]
            same = [row.signature == name for row, name in zip(rows, signatures, strict=False)]
            self.rows = rows[: (*same, False).index(False)]
            there = os.fstat(self._pixels.fileno()).st_size
            while self.rows and self._end() > there:
                self.rows.pop()
        self._go_to(self._pixels, self._end())
        lines = [self._begin.encode(), *lines[1 : len(self.rows) + 1]]
        self._go_to(self._record, 0)
        self._record.write(b"".join(line + b"\n" for line in lines))
        self._recorded = len(self.rows)
        return len(self.rows)

    def _end(self) -> int:
        """Where the pixels end."""
        return self.header_size + sum(row.height * row.width for row in self.rows) * self.channels

    def _go_to(self, stream: BinaryIO, place: int) -> None:
        stream.truncate(place)
        stream.seek(place)

    def add(self, image: tuple[Tensor, int] | None, signature: str) -> None:
        """Append an image's pixels, or note that a file is left out.

        Args:
            image: uint8 (height, width, channels), contiguous, and their CRC-32.
            signature: Of its file.
        """
        if image is None:
            self.rows.append(Row(signature, 0, 0, 0))
        else:
            pixels, checksum = image
            self._pixels.write(pixels.numpy().data)
            self.rows.append(Row(signature, pixels.shape[0], pixels.shape[1], checksum))
        if perf_counter() > self._due:
            self._write_record()
            self._due = perf_counter() + _SECONDS

    def _write_record(self) -> None:
        self._pixels.flush()
        os.fsync(self._pixels.fileno())
        new = "".join(json.dumps(row) + "\n" for row in self.rows[self._recorded :])
        self._record.write(new.encode())
        self._record.flush()
        self._recorded = len(self.rows)

    def finish(self, index: PackedIndex) -> None:
        """Add the index, and let the file take its place."""
        tensors = index.tensors()
        # Filled up to a multiple of eight, so that the numbers behind can be read where they lie.
        self._pixels.write(bytes(-int(index.offsets[-1]) % 8))
        pixel_bytes = self._pixels.tell() - self.header_size
        for tensor in tensors.values():
            self._pixels.write(tensor.numpy().data)
        self._pixels.seek(0)
        self._pixels.write(write_header(pixel_bytes, tensors, index.metadata(), self.header_size))
        self._pixels.flush()
        os.fsync(self._pixels.fileno())
        part, record = Path(self._pixels.name), Path(self._record.name)
        self._pixels.close()
        part.replace(self.target)
        self._record.close()
        record.unlink()
