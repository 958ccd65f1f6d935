"""Download a file whole or not at all: resumed, checked, with a progress bar."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from kerasish.callbacks.screens import screen_for
from kerasish.describe import describe
from kerasish.utils.locks import HAS_LOCKS, identity, inode, wait_for
from kerasish.utils.progbar import Progbar

TRIES = 3  # in a row without a byte more
PAUSE = 1.0  # seconds before the second try, twice as many before the third
TIMEOUT = 30.0  # seconds without a byte
BLOCK = 1 << 18

DIGITS_OF = {"sha256": 64, "md5": 32}


class _BrokenOffError(Exception):
    """The connection failed or broke off; another try may help."""


def download(
    url: str,
    path: str | os.PathLike,
    *,
    file_hash: str | None = None,
    hash_algorithm: str = "auto",
    verbose: int | str = 1,
) -> Path:
    """Download a file to `path`, which takes its place only when it is whole and has this hash.

    Until then the bytes lie beside it in a file ending in `.part`. A broken connection is tried
    again where it broke off, and so is a download that was interrupted, if the server still has
    the same file and can send parts of it. Processes that want the same file wait for the first.

    Args:
        url: Where the file is.
        path: Where it will be. What is there already is replaced.
        file_hash: The expected hash in hexadecimal digits, or its beginning if `hash_algorithm`
            says of which hash.
        hash_algorithm: `"sha256"`, `"md5"`, or `"auto"` to tell by the number of digits.
        verbose: 1 shows progress as suits the output, 0 nothing.

    Returns:
        The path.

    Raises:
        ConnectionError: If the file could not be had; the message says which to put where.
        IsADirectoryError: If `path` is a folder.
        ValueError: If the file has another hash; it is removed.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(
            f"download: {path} is a folder; name the file in it, such as {path / file_in(url)}."
        )
    expected = known_hash(file_hash, hash_algorithm)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    before = identity(path)
    with _alone(part, verbose):
        if identity(path) != before:  # another process was quicker
            return path
        _fetch(url, path, part, verbose)
        try:
            _check(part, url, expected)
        except ValueError:
            _discard(part)
            raise
        part.replace(path)
        _discard(part)
    return path


def file_in(url: str) -> str:
    """The name of the file at an address, without what is asked behind a question mark.

    Example:
        >>> file_in("https://example.org/folder/a.zip?download=true")
        'a.zip'
    """
    return urlsplit(url).path.rpartition("/")[2]


def known_hash(file_hash: str | None, algorithm: str) -> tuple[str, str] | None:
    """The algorithm's name and the expected digits, or `None` if nothing is expected.

    Raises:
        ValueError: If the algorithm is unknown, or cannot be told from the number of digits.
    """
    if algorithm not in ("auto", *DIGITS_OF):
        raise ValueError(
            f'`hash_algorithm` must be "auto", "sha256" or "md5", got {describe(algorithm)}.'
        )
    if file_hash is None:
        return None
    digits = str(file_hash).lower()
    if algorithm == "auto":
        fitting = [name for name, count in DIGITS_OF.items() if count == len(digits)]
        if not fitting:
            raise ValueError(
                "`file_hash` must have 64 hexadecimal digits (sha256) or 32 (md5), got "
                f"{len(digits)}: {describe(file_hash)}."
            )
        algorithm = fitting[0]
    if not re.fullmatch(r"[0-9a-f]+", digits) or len(digits) > DIGITS_OF[algorithm]:
        raise ValueError(
            f"`file_hash` must be at most {DIGITS_OF[algorithm]} hexadecimal digits for "
            f"{algorithm}, got {describe(file_hash)}."
        )
    return algorithm, digits


def digest_of(path: str | os.PathLike, algorithm: str) -> str:
    """The hash of a file in hexadecimal digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def has_hash(path: str | os.PathLike, file_hash: str | None, algorithm: str = "auto") -> bool:
    """Whether a file has the expected hash; every file has the hash `None`."""
    expected = known_hash(file_hash, algorithm)
    return expected is None or digest_of(path, expected[0]).startswith(expected[1])


def _check(part: Path, url: str, expected: tuple[str, str] | None) -> None:
    if expected is None:
        return
    algorithm, digits = expected
    found = digest_of(part, algorithm)
    if not found.startswith(digits):
        raise ValueError(
            f"The file from {url} is not the expected one: {algorithm} {digits} was expected, got "
            f"{found[: len(digits)]} ({part.stat().st_size:,} bytes). It was removed. If another "
            "try does not help, the file there has changed, or something in between answers "
            "instead of the server."
        )


# The tries


def _fetch(url: str, path: Path, part: Path, verbose: int | str) -> None:
    """Fill the partial file, trying again as long as it grows."""
    if verbose and not screen_for(verbose).live:
        sys.stdout.write(f"Downloading {path.name} from {url}\n")
        sys.stdout.flush()
    fruitless, most = 0, part.stat().st_size
    while True:
        try:
            _receive(url, path.name, part, verbose)
            return
        except _BrokenOffError as error:
            size = part.stat().st_size
            fruitless = 0 if size > most else fruitless + 1
            most = max(most, size)
            if fruitless >= TRIES:
                raise _failure(url, path, str(error)) from error
            time.sleep(PAUSE * 2 ** max(fruitless - 1, 0))
        except urllib.error.HTTPError as error:
            error.close()  # it is the open answer of the server, too
            raise _failure(url, path, f"the server says {error.code} {error.reason}") from error


def _failure(url: str, path: Path, reason: str) -> ConnectionError:
    return ConnectionError(
        f"{path.name} could not be downloaded from {url}: {reason}. Without a network, fetch that "
        f"file elsewhere and put it here: {path}"
    )


def _receive(url: str, name: str, part: Path, verbose: int | str) -> None:
    """One try: ask for what is missing, and append it."""
    have = part.stat().st_size
    with _open(url, have, _tag(part)) as response:
        start = _start_of(response, have)
        total = _total(response, start)
        _keep_tag(part, response)
        bar = Progbar(total, verbose=verbose, unit_name="byte", title=name, initial=start)
        try:
            with part.open("r+b") as stream:
                stream.truncate(start)
                stream.seek(start)
                received = _copy(response, stream, start, bar)
            if total is not None and received != total:
                raise _BrokenOffError(f"the connection ended after {received:,} of {total:,} bytes")
            bar.update(received, finalize=True)
        except BaseException:
            bar.close()
            raise


def _open(url: str, have: int, tag: str | None) -> Any:
    """The server's answer: the file from byte `have` on, or all of it if it is another now."""
    request = urllib.request.Request(url, headers={"User-Agent": "kerasish"})
    if have and tag:
        # Without the tag, the rest of a new file could be put behind the head of an old one.
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", tag)
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code < 500 and error.code not in (408, 416, 429):
            raise
        error.close()
        if error.code == 416:  # nothing is missing, or another file is there: ask for all of it
            return _open(url, 0, None)
        raise _BrokenOffError(f"the server says {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise _BrokenOffError(str(error.reason)) from error
    except (OSError, HTTPException) as error:
        raise _BrokenOffError(_words(error)) from error


def _start_of(response: Any, have: int) -> int:
    """Where the bytes that come belong."""
    if response.status != 206:
        return 0
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if found is None or int(found[1]) != have:
        raise _BrokenOffError("the server sent another part than the one asked for")
    return have


def _total(response: Any, start: int) -> int | None:
    length = response.headers.get("Content-Length")
    return None if length is None else start + int(length)


def _copy(response: Any, stream: IO[bytes], received: int, bar: Progbar) -> int:
    while True:
        try:
            block = response.read(BLOCK)
        except (OSError, HTTPException) as error:
            raise _BrokenOffError(_words(error)) from error
        if not block:
            stream.flush()
            os.fsync(stream.fileno())
            return received
        stream.write(block)
        received += len(block)
        if bar.target is None or received < bar.target:
            bar.update(received)


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__


# The partial file


def _tag_path(part: Path) -> Path:
    return part.with_name(part.name + ".tag")


def _tag(part: Path) -> str | None:
    """What the server called the version of the file that the part is of."""
    try:
        return _tag_path(part).read_text(encoding="ascii")
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _keep_tag(part: Path, response: Any) -> None:
    tag = response.headers.get("ETag") or ""
    if not tag.startswith('"'):  # a weak one does not promise the same bytes
        tag = response.headers.get("Last-Modified") or ""
    if tag and tag.isascii():
        _tag_path(part).write_text(tag, encoding="ascii")
    else:
        _tag_path(part).unlink(missing_ok=True)


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _tag_path(part).unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(part: Path, verbose: int | str) -> Iterator[None]:
    """Hold the partial file, so that a second process waits; an empty one is not left behind."""
    while True:
        with part.open("ab") as held:
            if not HAS_LOCKS:
                held.close()  # Windows refuses to rename what is open
            else:
                wait_for(held, f"downloads {part.stem}", verbose)
                # Whoever had it before may have renamed or removed it.
                if identity(part) != inode(os.fstat(held.fileno())):
                    continue
            try:
                yield
            finally:
                if part.exists() and not part.stat().st_size:
                    _discard(part)
            return
