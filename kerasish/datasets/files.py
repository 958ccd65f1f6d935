"""The public files behind the data sets: where they are, their hashes, and how arrays are read."""

from __future__ import annotations

import os
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from kerasish.describe import describe
from kerasish.utils.cached_file import get_file

GOOGLE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
TORONTO = "https://www.cs.toronto.edu/~kriz/"
# The publisher's own copy: with those that Keras takes, no hashes are published.
ZALANDO = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"

Arrays = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Source:
    """A file, where it is, and what it must be.

    Args:
        file: Its name.
        file_hash: Its SHA-256 or MD5 hash.
        base: The folder it is in, ending in a slash.
        folder: Where it is kept, below the folder of downloaded files.
        unpacked: The name it is unpacked under, for an archive.
    """

    file: str
    file_hash: str
    base: str = GOOGLE
    folder: str = "datasets"
    unpacked: str | None = None


SOURCES = {
    "mnist": Source(
        "mnist.npz", "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
    ),
    "fashion_mnist/train-images": Source(
        "train-images-idx3-ubyte.gz",
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        ZALANDO,
        "datasets/fashion-mnist",
    ),
    "fashion_mnist/train-labels": Source(
        "train-labels-idx1-ubyte.gz",
        "25c81989df183df01b3e8a0aad5dffbe",
        ZALANDO,
        "datasets/fashion-mnist",
    ),
    "fashion_mnist/t10k-images": Source(
        "t10k-images-idx3-ubyte.gz",
        "bef4ecab320f06d8554ea6380940ec79",
        ZALANDO,
        "datasets/fashion-mnist",
    ),
    "fashion_mnist/t10k-labels": Source(
        "t10k-labels-idx1-ubyte.gz",
        "bb300cfdad3c16e7a12a480ee83cd310",
        ZALANDO,
        "datasets/fashion-mnist",
    ),
    "cifar10": Source(
        "cifar-10-python.tar.gz",
        "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        TORONTO,
        unpacked="cifar-10-batches-py-target",
    ),
    "cifar100": Source(
        "cifar-100-python.tar.gz",
        "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
        TORONTO,
        unpacked="cifar-100-python-target",
    ),
    "imdb": Source("imdb.npz", "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"),
    "imdb/words": Source("imdb_word_index.json", "bfafd718b763782e994055a2d397834f"),
    "reuters": Source(
        "reuters.npz", "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916"
    ),
    "reuters/words": Source("reuters_word_index.json", "4d44cc38712099c9e383dc6e5f11a921"),
    "california_housing": Source(
        "california_housing.npz",
        "1a2e3a52e0398de6463aebe6f4a8da34fb21fbb6b934cf88c3425e766f2a1a6f",
    ),
    "boston_housing": Source(
        "boston_housing.npz", "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5"
    ),
}


def fetch(name: str, path: str | os.PathLike | None = None) -> Path:
    """The path of a data set's file, downloaded if it is not there.

    Args:
        name: A key of `SOURCES`.
        path: Another name to keep it under, or the path of a file to take as it is.

    Raises:
        FileNotFoundError: If `path` has folders in it and there is no such file.
        ConnectionError: If it cannot be downloaded; the message says which file to put where.
        ValueError: If it has another hash than the published one.
    """
    source = SOURCES[name]
    if path is not None and Path(path).name != os.fspath(path):
        given = Path(path).expanduser()
        if not given.is_file():
            raise FileNotFoundError(
                f"datasets.{name}: there is no file {given} (from folder {Path.cwd()})."
            )
        return given
    return Path(
        get_file(
            path or source.unpacked or source.file,
            source.base + source.file,
            file_hash=source.file_hash,
            cache_subdir=source.folder,
            extract=source.unpacked is not None,
        )
    )


def check_test_split(name: str, share: Any) -> None:
    """Refuse what is no share of rows for testing.

    Raises:
        ValueError: If it is not in [0, 1).
    """
    if not isinstance(share, (int, float, np.floating)) or not 0 <= share < 1:
        raise ValueError(
            f"{name}.load_data: `test_split` must be in [0, 1), got {describe(share)}."
        )


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a `.npz` file by name, with those of Python lists, and no code run.

    Raises:
        ValueError: If it is no such file.
    """
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as stream:
                    found[name.removesuffix(".npy")] = _read_array(stream)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is damaged, or no .npz file ({error}).") from error
    return found


def _read_array(stream: IO[bytes]) -> np.ndarray:
    version = np.lib.format.read_magic(stream)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    if read_header(stream)[2].hasobject:
        return ArrayUnpickler(stream).load()
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)


class ArrayUnpickler(pickle.Unpickler):
    """Opens pickles of arrays, lists and numbers, and refuses all else: it could run code."""

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle may call: that which makes an array."""
        if (module.replace("_core", "core"), name) in {
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("numpy.core.multiarray", "_reconstruct"),
        }:
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        raise pickle.UnpicklingError(
            f"the file wants to call {module}.{name}, which no data set does: it was not opened"
        )


def shuffled(x: Any, y: Any, rng: np.random.RandomState) -> Arrays:
    """Rows and labels in a new order, the one that Keras draws."""
    order = np.arange(len(x))
    rng.shuffle(order)
    return x[order], y[order]
