"""get_file: a file from the network, kept in a folder of the user, unpacked if asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from kerasish.describe import describe
from kerasish.utils.archives import formats_of, unpack
from kerasish.utils.download import download, file_in, has_hash
from kerasish.utils.locks import wait_for


def home() -> Path:
    """Where downloaded files are kept: `$KERASISH_HOME`, or `~/.kerasish`."""
    return Path(os.environ.get("KERASISH_HOME") or "~/.kerasish").expanduser()


def get_file(
    fname: str | os.PathLike | None = None,
    origin: str | None = None,
    untar: bool = False,
    md5_hash: str | None = None,
    file_hash: str | None = None,
    cache_subdir: str | os.PathLike = "datasets",
    hash_algorithm: str = "auto",
    extract: bool = False,
    archive_format: str | Sequence[str] | None = "auto",
    cache_dir: str | os.PathLike | None = None,
    force_download: bool = False,
    *,
    verbose: int | str = 1,
) -> str:
    """The path of a file that is downloaded when it is needed for the first time.

    It lies in `~/.kerasish/datasets/`, unless `cache_dir`, `cache_subdir` or the environment
    variable `KERASISH_HOME` say otherwise. A file that Keras has kept in its own folder is taken
    from there, if a hash is given and fits. Downloads go on where they broke off, and a file is
    either whole or not there.

    Args:
        fname: The name it gets; by default its name at `origin`. With `extract`, a name without
            an ending is the folder's.
        origin: The address.
        untar: `extract` for a tar archive.
        md5_hash: `file_hash` for an MD5 hash.
        file_hash: The hash the file must have, in hexadecimal digits.
        cache_subdir: The folder below `cache_dir`, or an absolute path.
        hash_algorithm: `"sha256"`, `"md5"`, or `"auto"` to tell by the number of digits.
        extract: Whether to unpack the file, a zip or tar archive.
        archive_format: `"tar"`, `"zip"`, a list of them, or `"auto"` for both.
        cache_dir: The folder of all such files.
        force_download: Whether to download it though it is there.
        verbose: 1 shows progress as suits the output, 0 nothing.

    Returns:
        The path of the file or, with `extract`, of the folder with its contents.

    Raises:
        ValueError: If arguments contradict each other, or the file has another hash (it is
            removed then), or cannot be unpacked.
        ConnectionError: If it could not be downloaded; the message says which file to put where.
    """
    if not isinstance(origin, str) or not origin:
        raise ValueError(
            f"get_file: `origin` must be the address of the file, got {describe(origin)}."
        )
    if md5_hash is not None and file_hash is None:
        file_hash, hash_algorithm = md5_hash, "md5"
    formats = formats_of("tar" if untar else archive_format) if extract or untar else ()
    folder = Path(home() if cache_dir is None else cache_dir).expanduser() / cache_subdir
    name, unpacked = _names(fname, origin, bool(formats))
    path = folder / name
    kept = (
        None if force_download else _kept(path, cache_dir, cache_subdir, file_hash, hash_algorithm)
    )
    try:
        if kept is None:
            if path.is_file() and not force_download and verbose:
                sys.stdout.write(f"{path} has another hash than the expected one.\n")
            download(
                origin, path, file_hash=file_hash, hash_algorithm=hash_algorithm, verbose=verbose
            )
        if formats:
            folder.mkdir(parents=True, exist_ok=True)
            _unpack_if_newer(kept or path, folder / unpacked, formats, verbose)
    except OSError as error:
        if not isinstance(error, ConnectionError):
            error.add_note(
                f"get_file keeps files in {folder}; set KERASISH_HOME or `cache_dir` to another "
                "folder if this one cannot be written."
            )
        raise
    return str(folder / unpacked if formats else kept or path)


def _unpack_if_newer(
    archive: Path, folder: Path, formats: tuple[str, ...], verbose: int | str
) -> None:
    with archive.open("rb") as held:
        wait_for(held, f"unpacks {archive.name}", verbose)
        if not folder.is_dir() or folder.stat().st_mtime_ns < archive.stat().st_mtime_ns:
            unpack(archive, folder, formats)


def _names(fname: str | os.PathLike | None, origin: str, extracts: bool) -> tuple[str, str]:
    """The names of the file and of the folder it is unpacked into, as Keras gives them."""
    given = os.fspath(fname) if fname else ""
    name = given or file_in(origin)
    if not name:
        raise ValueError(f"get_file: {origin} ends in no file name; give one as `fname`.")
    if name in (".", "..") or "/" in name or os.sep in name:
        raise ValueError(
            f"get_file: `fname` must be a name without folders, got {describe(name)}. Give the "
            "folder as `cache_dir` or `cache_subdir`."
        )
    if not extracts:
        return name, ""
    if given and "." in given:
        return given, f"{given.split('.')[0]}_extracted"
    return f"{name}_archive", name


def _kept(
    path: Path,
    cache_dir: str | os.PathLike | None,
    cache_subdir: str | os.PathLike,
    file_hash: str | None,
    algorithm: str,
) -> Path | None:
    """Where the file is already, with the expected hash: in our folder or in Keras's."""
    if path.is_file() and has_hash(path, file_hash, algorithm):
        return path
    if cache_dir is None and file_hash is not None:
        keras = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / cache_subdir
        if (keras / path.name).is_file() and has_hash(keras / path.name, file_hash, algorithm):
            return keras / path.name
    return None
