"""Keras's HDF5 files, alone or in a `.keras` zip: opened after a look at where they point."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

WEIGHTS = "model.weights.h5"

# Keras compresses nothing; files that somebody compressed again are read up to this.
_UNFOLDED, _TIMES = 64 * 2**20, 16


def is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5, by its first bytes."""
    with path.open("rb") as stream:
        return stream.read(8) == b"\x89HDF\r\n\x1a\n"


def read_member(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    """A member of a `.keras` file.

    Raises:
        KeyError: If there is none.
        ValueError: If it claims to be far larger than the file.
    """
    _check_size(archive.getinfo(name).file_size, path, name)
    return archive.read(name)


def opened(path: Path, who: str) -> Any:
    """The HDF5 file of weights that a path leads to.

    Raises:
        ImportError: If h5py is missing.
        ValueError: If there is no such file inside, or it reaches out of itself.
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError(
            f"{who}: reading {path.name}, a file of Keras's, takes h5py: pip install h5py "
            "(or kerasish[keras])."
        ) from error
    try:
        file = h5py.File(_stream(path), "r")
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{who}: {path} is damaged, or no file of Keras's ({error}). Delete it and get it "
            "again."
        ) from error
    try:
        _check_contents(file, path)
    except BaseException:
        file.close()
        raise
    return file


def _stream(path: Path) -> Any:
    if path.suffix != ".keras" and not zipfile.is_zipfile(path):
        return path
    with zipfile.ZipFile(path) as archive:
        return io.BytesIO(read_member(archive, WEIGHTS, path))


def _check_size(size: int, path: Path, what: str) -> None:
    if size > _UNFOLDED + _TIMES * path.stat().st_size:
        raise ValueError(
            f"Cannot read {path}: its {what} would unfold into {size:,} bytes, which no file that "
            "Keras wrote does. Get the file from its source again."
        )


def _check_contents(file: Any, path: Path) -> None:
    """HDF5 can point at other files, whose contents would become weights, and at itself."""
    import h5py

    met: set[Any] = set()
    waiting, size = [file], 0
    while waiting:
        group = waiting.pop()
        for name in group:
            part = group[name] if isinstance(group.get(name, getlink=True), h5py.HardLink) else None
            is_inside = part is not None and part not in met
            if is_inside and isinstance(part, h5py.Dataset):
                is_inside = not part.external and not part.is_virtual
                size += part.nbytes
            elif is_inside and isinstance(part, h5py.Group):
                waiting.append(part)
            if not is_inside:
                raise ValueError(
                    f"Cannot read {path}: its part '{name}' in '{group.name}' points elsewhere, "
                    "which nothing does that Keras wrote. Get the file from its source again."
                )
            met.add(part)
    _check_size(size, path, "arrays")


def variables(group: Any) -> list[np.ndarray]:
    """The arrays of one layer in a file of Keras 3, in order."""
    found = group.get("vars", {})
    return [_array(found[key]) for key in sorted(found, key=int)]


def listed_arrays(file: Any) -> list[tuple[str, list[np.ndarray]]]:
    """The arrays of the layers in a file of the older kind, those without any left out."""
    group = file.get("model_weights", file)
    found = []
    for label in map(_text, group.attrs["layer_names"]):
        names = [_text(name) for name in group[label].attrs["weight_names"]]
        if names:
            found.append((label, [_array(group[label][name]) for name in names]))
    return found


def is_older(file: Any) -> bool:
    """Whether a file lists its layers, as those do that are not of Keras 3's own kind."""
    return "layer_names" in file.attrs or "model_weights" in file


def _array(data: Any) -> np.ndarray:
    array = np.asarray(data)
    if data.attrs.get("dtype") == "bfloat16":  # kept as bare bytes: the upper half of a float32
        return (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return array


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
