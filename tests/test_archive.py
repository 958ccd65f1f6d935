"""The archive file: what goes in comes out, and a hostile or damaged file gives one clear error."""

import contextlib
import io
import json
import math
import pickle
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from kerasish.saving.archive import (
    FORMAT_VERSION,
    Archive,
    ArchiveError,
    read_archive,
    write_archive,
)

DOCUMENTS = {"config": {"name": "net", "units": [4, 2], "rate": 0.5}, "loop": {"epoch": 3}}


def names_in(folder):
    return [path.name for path in folder.iterdir()]


def small_tensors():
    return {
        "model": {"weight": torch.arange(6.0).reshape(2, 3)},
        "optimizer": {"step": torch.tensor(7)},
    }


def written(tmp_path, documents=DOCUMENTS, tensors=None):
    path = tmp_path / "model.kerasish"
    write_archive(path, documents, small_tensors() if tensors is None else tensors)
    return path


def members_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zip_of(members, **infos):
    """The bytes of a zip with these (name, data) pairs; `infos` sets attributes of every member."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            for attribute, value in infos.items():
                setattr(info, attribute, value)
            archive.writestr(info, data)
    return stream.getvalue()


# What goes in comes out


def test_documents_and_tensors_come_back(tmp_path):
    archive = read_archive(written(tmp_path))

    assert isinstance(archive, Archive)
    assert archive.documents == DOCUMENTS
    assert list(archive.tensors) == ["model", "optimizer"]
    assert_close(archive.tensors["model"]["weight"], torch.tensor([[0.0, 1, 2], [3, 4, 5]]))
    assert archive.tensors["optimizer"]["step"].item() == 7
    assert archive.tensors["optimizer"]["step"].shape == ()


def test_empty_archive_comes_back_empty(tmp_path):
    archive = read_archive(written(tmp_path, {}, {}))

    assert archive == Archive({}, {})


def test_group_without_tensors_comes_back_empty(tmp_path):
    assert read_archive(written(tmp_path, {}, {"model": {}})).tensors == {"model": {}}


def test_only_the_asked_groups_are_read(tmp_path):
    archive = read_archive(written(tmp_path), groups=["model", "absent"])

    assert list(archive.tensors) == ["model"]
    assert archive.documents == DOCUMENTS


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=40, deadline=None)
@given(document=json_values)
def test_any_json_value_comes_back(document, tmp_path_factory):
    path = tmp_path_factory.mktemp("json") / "m"
    write_archive(path, {"d": document}, {})

    assert read_archive(path).documents["d"] == document


def test_infinity_and_nan_in_documents_survive(tmp_path):
    document = {"best": math.inf, "worst": -math.inf, "loss": math.nan}

    back = read_archive(written(tmp_path, {"d": document}, {})).documents["d"]

    assert (back["best"], back["worst"]) == (math.inf, -math.inf)
    assert math.isnan(back["loss"])


def test_same_contents_give_the_same_bytes(tmp_path):
    first = written(tmp_path).read_bytes()

    assert written(tmp_path).read_bytes() == first


def test_members_are_stored_without_compression(tmp_path):
    with zipfile.ZipFile(written(tmp_path)) as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


# Writing


def test_old_file_stays_whole_when_a_tensor_cannot_be_stored(tmp_path):
    path = written(tmp_path)
    before = path.read_bytes()

    with pytest.raises(TypeError, match="meta device"):
        write_archive(
            path, {}, {"good": {"a": torch.ones(9)}, "bad": {"b": torch.ones(2, device="meta")}}
        )

    assert path.read_bytes() == before
    assert names_in(tmp_path) == [path.name]


def test_nothing_is_made_when_a_document_is_not_json(tmp_path):
    with pytest.raises(TypeError, match="JSON"):
        write_archive(tmp_path / "m", {"d": object()}, {})

    assert names_in(tmp_path) == []


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a b", ".hidden", "ü", "x" * 81])
def test_strange_names_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="a name must be letters, digits"):
        write_archive(tmp_path / "m", {name: 1}, {})


def test_too_large_document_is_refused_before_writing(tmp_path, monkeypatch):
    monkeypatch.setattr("kerasish.saving.archive.MAX_DOCUMENT_BYTES", 100)

    with pytest.raises(ValueError, match="store arrays as tensors"):
        write_archive(tmp_path / "m", {"d": "x" * 101}, {})


# Reading what should not be read


def test_missing_file_is_a_file_not_found_error_with_its_path(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.kerasish: no such file"):
        read_archive(tmp_path / "none.kerasish")


def test_folder_is_not_read(tmp_path):
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        read_archive(tmp_path)


def manifest(**changes):
    document = {
        "format": "kerasish",
        "format_version": FORMAT_VERSION,
        "members": ["documents/config.json"],
    }
    return json.dumps({**document, **changes}).encode()


CONFIG = ("documents/config.json", b'{"a":1}')


def listed(*members):
    """An archive whose manifest lists exactly these members."""
    return [("kerasish.json", manifest(members=[name for name, _ in members])), *members]


def torch_file(**options):
    stream = io.BytesIO()
    torch.save({"a": torch.ones(2)}, stream, **options)
    return stream.getvalue()


def safetensors_header(header, data=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def group_of(data):
    return zip_of(listed(("tensors/model.safetensors", data)))


def header_of(**entry):
    return group_of(safetensors_header({"w": entry}, bytes(8)))


def patched(data, old, new):
    assert old in data
    return data.replace(old, new)


def claiming_size(size):
    """An archive whose directory says that the document is larger than it is."""
    data = bytearray(zip_of(listed(CONFIG)))
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 20 : entry + 28] = struct.pack("<II", size, size)
    return bytes(data)


def overlapping():
    """Two directory entries that share one member's bytes, the trick of non-recursive zip bombs."""
    second = ("documents/second.json", CONFIG[1])
    data = bytearray(zip_of(listed(CONFIG, second)))
    first_offset = data.index(b"PK\x03\x04", 4)
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 42 : entry + 46] = struct.pack("<I", first_offset)
    return bytes(data)


class Bomb:
    """Would make a file named `exploded` if anything unpickled it."""

    def __reduce__(self):
        return (Path.touch, (Path("exploded"),))


LINK = {"external_attr": (stat.S_IFLNK | 0o777) << 16}
FOLDER = {"external_attr": (stat.S_IFDIR | 0o755) << 16}

HOSTILE = {
    "empty file": (b"", "it is empty"),
    "one byte": (b"P", "not a kerasish file"),
    "text": (b"hello, world\n" * 50, "not a kerasish file"),
    "random bytes": (np.random.default_rng(0).bytes(5000), "not a kerasish file"),
    "pickle": (pickle.dumps(Bomb()), "it is a pickle"),
    "old torch file": (torch_file(_use_new_zipfile_serialization=False), "it is a pickle"),
    "torch file": (torch_file(), "it is a torch.save file"),
    "hdf5 file": (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
    "keras file": (zip_of([("metadata.json", b"{}"), ("config.json", b"{}")]), "Keras `.keras`"),
    "safetensors file": (safetensors_header({}), "load_weights reads"),
    "plain zip": (zip_of([("readme.txt", b"hi")]), "some other zip archive"),
    "empty zip": (zip_of([]), "not a kerasish file"),
    "manifest alone is not json": (zip_of([("kerasish.json", b"{")]), "damaged"),
    "manifest is a list": (zip_of([("kerasish.json", b"[]")]), "does not describe a kerasish file"),
    "manifest of another format": (
        zip_of([("kerasish.json", manifest(format="other"))]),
        "does not describe a kerasish file",
    ),
    "version missing": (
        zip_of([("kerasish.json", manifest(format_version=None)), CONFIG]),
        "does not describe a kerasish file",
    ),
    "version is true": (
        zip_of([("kerasish.json", manifest(format_version=True)), CONFIG]),
        "does not describe a kerasish file",
    ),
    "newer version": (
        zip_of([("kerasish.json", manifest(format_version=FORMAT_VERSION + 1)), CONFIG]),
        "install a newer version of kerasish",
    ),
    "newer version of another layout": (
        zip_of([("kerasish.json", manifest(format_version=99)), ("blob/x.bin", b"")]),
        "install a newer version of kerasish",
    ),
    "members are not names": (
        zip_of([("kerasish.json", manifest(members=[{}]))]),
        "does not list its members",
    ),
    "member missing": (zip_of([("kerasish.json", manifest())]), "not the ones it lists"),
    "member unlisted": (
        zip_of([("kerasish.json", manifest()), CONFIG, ("documents/b.json", b"1")]),
        "not the ones it lists",
    ),
    "member listed twice": (
        zip_of([("kerasish.json", manifest(members=[CONFIG[0]] * 2)), CONFIG]),
        "not the ones it lists",
    ),
    "path traversal": (zip_of(listed(("../../evil.json", b"1"))), "strange name"),
    "path traversal in a folder": (zip_of(listed(("documents/../x.json", b"1"))), "strange name"),
    "absolute path": (zip_of(listed(("/etc/passwd", b"1"))), "strange name"),
    "windows path": (zip_of(listed(("documents/..\\x.json", b"1"))), "strange name|damaged"),
    "pickle member": (zip_of(listed(("documents/a.pkl", pickle.dumps(Bomb())))), "strange name"),
    "pickle as tensors": (group_of(pickle.dumps(Bomb())), "not a whole safetensors file"),
    "symbolic link": (zip_of(listed(CONFIG), **LINK), "a link or a folder"),
    "folder": (zip_of(listed(CONFIG), **FOLDER), "a link or a folder"),
    "compressed": (zip_of(listed(CONFIG), compress_type=zipfile.ZIP_DEFLATED), "compressed"),
    "zip bomb": (
        zip_of(listed(("documents/b.json", b"0" * 10**7)), compress_type=zipfile.ZIP_DEFLATED),
        "larger than the file",
    ),
    "size beyond the file": (claiming_size(2**31), "larger than the file"),
    "overlapping members": (overlapping(), "damaged"),
    "bytes before": (b"MZ" + bytes(64) + zip_of(listed(CONFIG)), "bytes before or after"),
    "bytes after": (zip_of(listed(CONFIG)) + bytes(64), "bytes before or after"),
    "document is not json": (zip_of(listed((CONFIG[0], b"{'a': 1}"))), "damaged"),
    "document is not text": (zip_of(listed((CONFIG[0], b"\xff\xfe\xfd"))), "damaged"),
    "document nested too deep": (zip_of(listed((CONFIG[0], b"[" * 200_000))), "damaged"),
    "number of a million digits": (zip_of(listed((CONFIG[0], b"1" * 10**6))), "damaged"),
    "altered document": (
        patched(zip_of(listed(CONFIG)), CONFIG[1], b'{"a":2}'),
        "damaged",
    ),
    "header longer than the tensors": (group_of(struct.pack("<Q", 2**62) + b"{}"), "safetensors"),
    "offsets outside": (header_of(dtype="F32", shape=[2], data_offsets=[0, 2**40]), "safetensors"),
    "shape unlike the bytes": (
        header_of(dtype="F32", shape=[2**40], data_offsets=[0, 8]),
        "safetensors",
    ),
    "shape that overflows": (
        header_of(dtype="F32", shape=[2**63, 2**63], data_offsets=[0, 8]),
        "safetensors",
    ),
    "negative shape": (header_of(dtype="F32", shape=[-2], data_offsets=[0, 8]), "safetensors"),
    "unknown dtype": (header_of(dtype="X9", shape=[2], data_offsets=[0, 8]), "safetensors"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_file_gives_one_clear_error(case, tmp_path, monkeypatch):
    data, words = HOSTILE[case]
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "m.kerasish"
    path.write_bytes(data)

    with pytest.raises(ArchiveError, match=words) as caught:
        read_archive(path)

    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 600
    assert names_in(tmp_path) == ["m.kerasish"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_member_that_is_there_twice_is_refused(tmp_path):
    path = tmp_path / "m"
    path.write_bytes(zip_of([*listed(CONFIG), CONFIG]))

    with pytest.raises(ArchiveError, match="there twice"):
        read_archive(path)


def test_document_beyond_the_limit_is_refused(tmp_path, monkeypatch):
    path = written(tmp_path, {"d": "x" * 1000}, {})
    monkeypatch.setattr("kerasish.saving.archive.MAX_DOCUMENT_BYTES", 900)

    with pytest.raises(ArchiveError, match="larger than 64 MiB"):
        read_archive(path)


def test_encrypted_member_is_refused(tmp_path):
    data = bytearray(zip_of(listed(CONFIG)))
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 8] |= 1
    path = tmp_path / "m"
    path.write_bytes(data)

    with pytest.raises(ArchiveError, match="encrypted"):
        read_archive(path)


def test_every_truncation_is_refused(tmp_path):
    path = written(tmp_path)
    data = path.read_bytes()

    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(ArchiveError):
            read_archive(path)


def equal(first, second):
    same_documents = first.documents == second.documents
    names = {group: set(tensors) for group, tensors in first.tensors.items()}
    if not same_documents or names != {g: set(t) for g, t in second.tensors.items()}:
        return False
    return all(
        first.tensors[group][name].dtype == second.tensors[group][name].dtype
        and torch.equal(first.tensors[group][name], second.tensors[group][name])
        for group in names
        for name in names[group]
    )


def test_every_flipped_bit_is_refused_or_changes_nothing(tmp_path):
    path = written(tmp_path)
    data, original = path.read_bytes(), read_archive(path)
    refused = 0

    for position in range(len(data)):
        altered = bytearray(data)
        altered[position] ^= 1 << (position % 8)
        path.write_bytes(altered)
        try:
            assert equal(read_archive(path), original), f"byte {position}"
        except ArchiveError:
            refused += 1

    # What is left are bytes without meaning: dates, version hints, permission bits.
    assert refused > 0.8 * len(data)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_random_damage_is_refused_or_changes_nothing(data, tmp_path_factory):
    path = written(tmp_path_factory.mktemp("damage"))
    original, content = read_archive(path), bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        start = data.draw(st.integers(0, len(content) - 1))
        content[start : start + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    path.write_bytes(content)

    with contextlib.suppress(ArchiveError):
        assert equal(read_archive(path), original)


def test_error_keeps_its_cause(tmp_path):
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:100])

    with pytest.raises(ArchiveError) as caught:
        read_archive(path)

    assert isinstance(caught.value.__cause__, zipfile.BadZipFile)
