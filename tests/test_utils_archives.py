"""Archives: what comes out of them, and that nothing escapes from the folder."""

import io
import os
import tarfile
import zipfile

import pytest

from kerasish.utils.archives import formats_of, unpack
from tests.loopback import names

FILES = {"top.txt": b"top", "inner/deep/a.bin": bytes(1000)}


def write_tar(path, files, mode="w:gz", links=()):
    with tarfile.open(path, mode) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for name, target in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)


def write_zip(path, files):
    with zipfile.ZipFile(path, "w") as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("kind", ["zip", "w", "w:gz", "w:bz2", "w:xz"])
def test_archive_comes_out_whatever_its_name(kind, tmp_path):
    archive = tmp_path / "some_archive"
    write_zip(archive, FILES) if kind == "zip" else write_tar(archive, FILES, kind)

    unpack(archive, tmp_path / "out")

    assert contents(tmp_path / "out") == FILES
    assert names(tmp_path) == ["out", "some_archive"]


def test_folder_is_replaced_as_a_whole(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("old")
    write_zip(tmp_path / "a.zip", FILES)

    unpack(tmp_path / "a.zip", tmp_path / "out")

    assert contents(tmp_path / "out") == FILES


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil", "C:\\evil", "..\\evil"])
def test_names_outside_the_folder_are_refused(kind, name, tmp_path):
    archive = tmp_path / "sub" / "archive"
    archive.parent.mkdir()
    files = {"good": b"1", name: b"2"}
    write_zip(archive, files) if kind == "zip" else write_tar(archive, files)

    with pytest.raises(ValueError, match=r"Cannot unpack .* outside .* Nothing was unpacked"):
        unpack(archive, archive.parent / "out")

    assert names(archive.parent) == ["archive"]
    assert names(tmp_path) == ["sub"]


def test_links_out_of_the_folder_are_refused(tmp_path):
    write_tar(tmp_path / "a.tar", {}, links=[("way_out", "../..")])

    with pytest.raises(ValueError, match="Cannot unpack"):
        unpack(tmp_path / "a.tar", tmp_path / "out")

    assert names(tmp_path) == ["a.tar"]


def test_links_are_refused_where_python_has_no_filters(tmp_path, monkeypatch):
    monkeypatch.delattr(tarfile, "data_filter")
    write_tar(tmp_path / "a.tar", FILES, links=[("link", "top.txt")])

    with pytest.raises(ValueError, match="'link' is neither a file nor a folder"):
        unpack(tmp_path / "a.tar", tmp_path / "out")


def test_damaged_archive_leaves_the_older_folder(tmp_path):
    (tmp_path / "out").mkdir()
    write_tar(tmp_path / "a.tar.gz", {"a": os.urandom(100_000)})
    whole = (tmp_path / "a.tar.gz").read_bytes()
    (tmp_path / "a.tar.gz").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(ValueError, match="Cannot unpack"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "out")

    assert names(tmp_path) == ["a.tar.gz", "out"]


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "a.zip").write_text("<html>")

    with pytest.raises(ValueError, match="it is no tar or zip archive"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_only_the_named_formats_are_tried(tmp_path):
    write_zip(tmp_path / "a.zip", FILES)

    with pytest.raises(ValueError, match="it is no tar archive"):
        unpack(tmp_path / "a.zip", tmp_path / "out", ("tar",))


@pytest.mark.parametrize("given", [None, (), "rar", ["tar", "rar"]])
def test_formats_must_be_known(given):
    with pytest.raises(ValueError, match="`archive_format` must be"):
        formats_of(given)


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    (tmp_path / "there").write_text("mine")

    with pytest.raises(NotADirectoryError, match=r"there is a file.* Remove it"):
        unpack(tmp_path / "a.zip", tmp_path / "there")

    assert (tmp_path / "there").read_text() == "mine"
