"""Files that are written whole or not at all, and the error for files that cannot be read."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

KINDS = {
    "empty": "it is empty",
    "hdf5": "it is an HDF5 file, as Keras's `.h5` files are",
    "keras": "it is a Keras `.keras` file",
    "torch": "it is a torch.save file; open it with torch.load(..., weights_only=True) and give "
    "the result to load_state_dict",
    "pickle": "it is a pickle, which can run code when it is opened; kerasish never opens one",
    "zip": "it is some other zip archive",
    "kerasish": "it is a kerasish archive, which load_model reads",
    "safetensors": "it is a safetensors file, which load_weights reads",
}


class ArchiveError(ValueError):
    """Raised for a file that is damaged, foreign or too new; the message says which."""


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of `path` only when the block ends well.

    The bytes go to a temporary file in the same folder, reach the disk, and the file is renamed. If
    the block raises, the old file stays as it was and nothing is left behind. Missing folders are
    made.

    Args:
        path: Where the file will be. A symbolic link keeps pointing to it.

    Raises:
        IsADirectoryError: If `path` is a folder.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"Cannot write {path}: it is a folder.")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name[:64]}.{secrets.token_hex(6)}.tmp")
    try:
        # "x" takes the usual permissions from the umask, which tempfile's private mode would not.
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        if target.exists():
            temporary.chmod(target.stat().st_mode & 0o7777)
        temporary.replace(target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            # A full disk does not say which file it had no room for.
            kept = "; the file that was there is unchanged" if target.exists() else ""
            error.add_note(f"while writing {path}{kept}")
        raise
    _sync_folder(target.parent)


def existing_file(path: str | os.PathLike) -> Path:
    """The path, if a file is there.

    Raises:
        FileNotFoundError: If there is none.
        IsADirectoryError: If it is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"Cannot read {path}: it is a folder.")
    if not path.exists():
        raise FileNotFoundError(f"Cannot read {path}: no such file (from folder {Path.cwd()}).")
    return path


def unreadable(path: Path, expected: str, error: Exception) -> ArchiveError:
    """The error for a file that is not what was expected: what it seems to be, and what opens it.

    Args:
        path: The file.
        expected: `"kerasish"` or `"safetensors"`.
        error: What reading it raised.
    """
    with path.open("rb") as stream:
        kind = _kind(stream.read(4096))
    if kind == expected:
        return ArchiveError(f"Cannot read {path}: it is damaged ({error}).")
    reason = KINDS.get(kind, f"it is not a {expected} file ({error})")
    return ArchiveError(f"Cannot read {path}: {reason}.")


def _kind(head: bytes) -> str:
    if not head:
        return "empty"
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "hdf5"
    if head.startswith(b"PK\x03\x04"):
        names = {"kerasish": b"kerasish.json", "torch": b"/data.pkl", "keras": b"metadata.json"}
        return next((kind for kind, name in names.items() if name in head), "zip")
    if head[0] == 0x80 and head[1:2] <= b"\x05":
        return "pickle"
    return "safetensors" if head[8:9] == b"{" else "unknown"


def _sync_folder(folder: Path) -> None:
    # The rename itself is only durable once the folder is on the disk; Windows cannot open folders.
    if os.name == "posix":
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
