"""One file for a model: a zip of JSON documents and safetensors members, in which nothing can run.

Members are stored, not compressed, so that no small file can unfold into a large one:

    kerasish.json              the format's version and the list of all other members
    documents/NAME.json        one per document
    tensors/NAME.safetensors   one per group of tensors

A reader trusts nothing: it opens no member that is compressed, encrypted, a link, listed twice,
missing from the list or larger than the file, and never a pickle.
"""

from __future__ import annotations

import io
import json
import os
import re
import stat
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import torch

from kerasish.saving.files import ArchiveError, existing_file, replacing, unreadable
from kerasish.saving.tensors import decode_tensors, encode_tensors, read_tensors, write_tensors

__all__ = [
    "Archive",
    "ArchiveError",
    "read_archive",
    "read_tensors",
    "write_archive",
    "write_tensors",
]

FORMAT_VERSION = 1
MANIFEST = "kerasish.json"
MAX_DOCUMENT_BYTES = 64 * 2**20
MAX_MEMBERS = 10_000

SUFFIXES = {"documents": ".json", "tensors": ".safetensors"}

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class Archive:
    """What `read_archive` found in a file.

    Args:
        documents: JSON values by name.
        tensors: Groups of named tensors by name, on the CPU.
    """

    documents: dict[str, Any]
    tensors: dict[str, dict[str, torch.Tensor]]


def write_archive(
    path: str | os.PathLike,
    documents: Mapping[str, Any],
    tensors: Mapping[str, Mapping[str, torch.Tensor]],
) -> None:
    """Write documents and tensors to one file, which replaces an old one only when it is complete.

    The same contents always give the same bytes.

    Args:
        path: The file. Missing folders are made.
        documents: Values that JSON can hold, by name. Tuples come back as lists; infinities and NaN
            survive.
        tensors: Groups of named tensors. Names that share one tensor share it again after reading.

    Raises:
        ValueError: If a document's or group's name has characters other than letters, digits,
            `_.-`, or a document is larger than 64 MiB.
        TypeError: If JSON cannot hold a document, or a tensor is of a kind that no file can hold.
    """
    members = {
        _member("documents", name): _to_json(name, value) for name, value in documents.items()
    }
    groups = {_member("tensors", name): group for name, group in tensors.items()}
    manifest = {
        "format": "kerasish",
        "format_version": FORMAT_VERSION,
        "members": [*members, *groups],
    }
    with replacing(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, MANIFEST, _to_json("manifest", manifest))
        for member, text in members.items():
            _add(archive, member, text)
        for member, group in groups.items():
            _add(archive, member, encode_tensors(group))


def read_archive(path: str | os.PathLike, *, groups: Collection[str] | None = None) -> Archive:
    """Read a file that `write_archive` wrote; anything else is refused before any of it is used.

    Args:
        path: The file.
        groups: The tensor groups to read, to save time and memory; those that the file lacks are
            left out. `None` reads all of them.

    Raises:
        FileNotFoundError: If there is no such file.
        ArchiveError: If the file is damaged, altered, another kind of file, or of a newer format.
    """
    path = existing_file(path)
    with path.open("rb") as stream:
        try:
            return _read(stream, groups)
        except ArchiveError as error:
            raise ArchiveError(f"Cannot read {path}: {error}.") from error
        # Altered zip structures surface as many types (struct.error, EOFError, NotImplementedError,
        # RecursionError in JSON…); to a user they are one thing.
        except Exception as error:
            raise unreadable(path, "kerasish", error) from error


def _read(stream: BinaryIO, groups: Collection[str] | None) -> Archive:
    with zipfile.ZipFile(stream) as archive:
        members = _checked_members(archive, stream)
        documents: dict[str, Any] = {}
        tensors: dict[str, dict[str, torch.Tensor]] = {}
        for name, info in members.items():
            folder, _, file = name.partition("/")
            short = file.removesuffix(SUFFIXES[folder])
            if folder == "documents":
                documents[short] = json.loads(archive.read(info))
            elif groups is None or short in groups:
                tensors[short] = _read_group(archive, info)
    return Archive(documents, tensors)


def _checked_members(archive: zipfile.ZipFile, stream: BinaryIO) -> dict[str, zipfile.ZipInfo]:
    """The members that the manifest lists, after every check that needs no member's contents."""
    infos = {info.filename: info for info in archive.infolist()}
    if MANIFEST not in infos:
        raise zipfile.BadZipFile(f"it has no {MANIFEST}")
    if len(infos) != len(archive.infolist()):
        raise ArchiveError("a member is there twice")
    size = stream.seek(0, io.SEEK_END)
    if len(infos) > MAX_MEMBERS or sum(info.file_size for info in infos.values()) > size:
        raise ArchiveError("its members claim to be larger than the file")
    listed = _listed_members(archive, infos.pop(MANIFEST))
    if sorted(listed) != sorted(infos):
        raise ArchiveError("its members are not the ones it lists")
    for info in infos.values():
        _check_member(info)
    _check_ends(archive, stream, size)
    return {name: infos[name] for name in listed}


def _listed_members(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> list[str]:
    """The manifest's list; its version comes first, since a newer format may differ elsewhere."""
    _check_stored(info)
    manifest = json.loads(archive.read(info))
    version = manifest.get("format_version") if isinstance(manifest, dict) else None
    if type(version) is not int or version < 1 or manifest.get("format") != "kerasish":
        raise ArchiveError(f"its {MANIFEST} does not describe a kerasish file")
    if version > FORMAT_VERSION:
        raise ArchiveError(
            f"it has format {version} and this kerasish reads up to format {FORMAT_VERSION}; "
            "install a newer version of kerasish"
        )
    listed = manifest.get("members")
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise ArchiveError(f"its {MANIFEST} does not list its members")
    return listed


def _check_member(info: zipfile.ZipInfo) -> None:
    folder, _, file = info.filename.partition("/")
    if not file.endswith(SUFFIXES.get(folder, "/")) or not _NAME.fullmatch(file):
        raise ArchiveError(f"it has a member of a strange name, {info.filename[:80]!r}")
    _check_stored(info)


def _check_stored(info: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        raise ArchiveError(f"its member {info.filename} is compressed, which kerasish never does")
    if info.flag_bits & 0x1:
        raise ArchiveError(f"its member {info.filename} is encrypted")
    if kind not in (0, stat.S_IFREG):
        raise ArchiveError(f"its member {info.filename} is a link or a folder")
    if info.filename.endswith(".json") and info.file_size > MAX_DOCUMENT_BYTES:
        raise ArchiveError(f"its document {info.filename} is larger than 64 MiB")


def _check_ends(archive: zipfile.ZipFile, stream: BinaryIO, size: int) -> None:
    # zipfile accepts bytes before and after the archive, where another file could hide.
    stream.seek(0)
    head = stream.read(4)
    stream.seek(size - 22)
    if head != b"PK\x03\x04" or stream.read(4) != b"PK\x05\x06" or archive.comment:
        raise ArchiveError("there are bytes before or after the archive")


def _read_group(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> dict[str, torch.Tensor]:
    data = archive.read(info)
    try:
        return decode_tensors(data)
    except ArchiveError as error:
        raise ArchiveError(f"its member {info.filename} is {error}") from error


def _member(folder: str, name: str) -> str:
    if not _NAME.fullmatch(name) or len(name) > 80:
        raise ValueError(f"write_archive: a name must be letters, digits and `_.-`, got {name!r}.")
    return f"{folder}/{name}{SUFFIXES[folder]}"


def _to_json(name: str, value: Any) -> bytes:
    text = json.dumps(value, separators=(",", ":")).encode()
    if len(text) > MAX_DOCUMENT_BYTES:
        raise ValueError(
            f"write_archive: document '{name}' is {len(text):,} bytes as JSON, and 64 MiB can "
            "be read back at most; store arrays as tensors."
        )
    return text


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    archive.writestr(info, data)
