"""Unpack tar and zip archives into a folder that appears whole; nothing escapes from it."""

from __future__ import annotations

import os
import shutil
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from kerasish.describe import describe

FORMATS = ("tar", "zip")


def unpack(
    archive: str | os.PathLike, folder: str | os.PathLike, formats: Sequence[str] = FORMATS
) -> None:
    """Unpack an archive; the folder is replaced when all of it is on the disk.

    Args:
        archive: A `.zip` file, or a `.tar` file, compressed or not, whatever its name.
        folder: Where its contents will be.
        formats: Which of `"tar"` and `"zip"` to try, in this order.

    Raises:
        NotADirectoryError: If a file has the folder's name.
        ValueError: If it is of another format or damaged, or would write outside the folder;
            nothing is unpacked then.
    """
    archive, folder = Path(archive), Path(folder)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(
            f"Cannot unpack {archive} into {folder}: there is a file of that name. Remove it, or "
            "unpack under another name (`fname` of get_file)."
        )
    fresh = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fresh.mkdir(parents=True)
        _unpack_into(archive, fresh, formats)
        os.utime(fresh)  # whatever date the archive gave it: it is newer than the archive
        # A folder cannot take the place of another that holds something.
        if folder.is_dir():
            shutil.rmtree(folder)
        try:
            fresh.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was quicker
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def formats_of(archive_format: str | Sequence[str] | None) -> tuple[str, ...]:
    """The formats that `archive_format` means: `"auto"` is all of them.

    Raises:
        ValueError: If it names none or an unknown one.
    """
    if archive_format == "auto":
        return FORMATS
    names = (archive_format,) if isinstance(archive_format, str) else tuple(archive_format or ())
    if not names or not set(names) <= set(FORMATS):
        raise ValueError(
            '`archive_format` must be "auto", "tar", "zip" or a list of them to extract a file, '
            f"got {describe(archive_format)}."
        )
    return names


def _unpack_into(archive: Path, folder: Path, formats: Sequence[str]) -> None:
    try:
        for name in formats:
            if name == "tar" and tarfile.is_tarfile(archive):
                with tarfile.open(archive) as tar:
                    _unpack_tar(tar, folder)
                return
            if name == "zip" and zipfile.is_zipfile(archive):
                with zipfile.ZipFile(archive) as zipped:
                    _check_names(zipped.namelist())
                    zipped.extractall(folder)
                return
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError) as error:
        raise ValueError(f"Cannot unpack {archive}: {error}. Nothing was unpacked.") from error
    raise ValueError(f"Cannot unpack {archive}: it is no {' or '.join(formats)} archive.")


def _unpack_tar(tar: tarfile.TarFile, folder: Path) -> None:
    members = tar.getmembers()
    _check_names([member.name for member in members])
    if hasattr(tarfile, "data_filter"):
        tar.extractall(folder, filter="data")
        return
    # The first releases of Python 3.11 have no filters: nothing but plain files is safe there.
    odd = [member.name for member in members if not (member.isfile() or member.isdir())]
    if odd:
        raise ValueError(f"{odd[0]!r} is neither a file nor a folder")
    tar.extractall(folder)


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        for path in (PurePosixPath(name), PureWindowsPath(name)):
            if path.is_absolute() or path.drive or ".." in path.parts:
                raise ValueError(f"{name!r} lies outside the folder to unpack into")
