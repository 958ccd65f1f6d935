"""get_file over loopback: where files go, when they are fetched, and Keras's names for them."""

import hashlib
import io
import os
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest

from kerasish.utils import archives, cached_file, get_file
from kerasish.utils import download as downloader
from tests.loopback import loopback, names
from tests.test_utils_archives import FILES, contents, write_tar

CONTENT = b"some data" * 100
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


def zip_bytes(files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
    return stream.getvalue()


@pytest.fixture
def web(monkeypatch, tmp_path):
    monkeypatch.setattr(downloader, "PAUSE", 0.0)
    monkeypatch.setenv("KERASISH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras_home"))
    with loopback() as web:
        web.files["a.txt"] = CONTENT
        web.files["pics.zip"] = zip_bytes(FILES)
        write_tar(tmp_path / "pics.tgz", FILES)
        web.files["pics.tgz"] = (tmp_path / "pics.tgz").read_bytes()
        yield web


def get(*args, **kwargs):
    return get_file(*args, verbose=0, **kwargs)


def test_file_is_downloaded_once(web, tmp_path):
    paths = [get(origin=web.url("a.txt")) for _ in range(2)]

    assert paths == [str(tmp_path / "home" / "datasets" / "a.txt")] * 2
    assert Path(paths[0]).read_bytes() == CONTENT
    assert len(web.asked) == 1


def test_home_is_in_the_users_folder_by_default(web, tmp_path, monkeypatch):
    monkeypatch.delenv("KERASISH_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "user"))

    path = get(origin=web.url("a.txt"))

    assert Path(path) == tmp_path / "user" / ".kerasish" / "datasets" / "a.txt"


def test_name_and_folders_may_be_chosen(web, tmp_path):
    one = get("b.txt", web.url("a.txt"), cache_dir=tmp_path / "c", cache_subdir="d")
    two = get("b.txt", web.url("a.txt"), cache_subdir=str(tmp_path / "e"))

    assert one == str(tmp_path / "c" / "d" / "b.txt")
    assert two == str(tmp_path / "e" / "b.txt")


def test_address_may_have_a_query(web):
    web.files["data.txt?raw=1"] = CONTENT

    assert Path(get(origin=web.url("data.txt?raw=1"))).name == "data.txt"


def test_file_is_downloaded_again_when_asked(web):
    path = get(origin=web.url("a.txt"))
    web.files["a.txt"] = b"new"

    again = get(origin=web.url("a.txt"), force_download=True)

    assert Path(path).read_bytes() == Path(again).read_bytes() == b"new"


@pytest.mark.parametrize("hashes", [{"file_hash": SHA256}, {"file_hash": MD5}, {"md5_hash": MD5}])
def test_file_with_another_hash_is_downloaded_again(web, hashes, capsys):
    web.files["a.txt"] = b"outdated"
    get(origin=web.url("a.txt"))
    web.files["a.txt"] = CONTENT

    path = get_file(origin=web.url("a.txt"), **hashes)

    assert Path(path).read_bytes() == CONTENT
    assert "another hash than the expected one" in capsys.readouterr().out


def test_wrong_hash_of_a_download_is_an_error(web, tmp_path):
    with pytest.raises(ValueError, match=f"sha256 {'0' * 64} was expected, got {SHA256}"):
        get(origin=web.url("a.txt"), file_hash="0" * 64)

    assert names(tmp_path / "home" / "datasets") == []


def test_file_that_keras_has_kept_is_taken_if_its_hash_fits(web, tmp_path):
    kept = tmp_path / "keras_home" / "datasets" / "a.txt"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(CONTENT)

    fitting = get(origin=web.url("a.txt"), file_hash=SHA256)
    kept.write_bytes(b"outdated")
    other = get(origin=web.url("a.txt"), file_hash=SHA256)

    assert fitting == str(kept)
    assert other == str(tmp_path / "home" / "datasets" / "a.txt")


def test_file_that_keras_has_kept_is_not_taken_without_a_hash(web, tmp_path):
    kept = tmp_path / "keras_home" / "datasets" / "a.txt"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(CONTENT)

    assert get(origin=web.url("a.txt")) == str(tmp_path / "home" / "datasets" / "a.txt")


def test_kept_file_in_a_folder_that_cannot_be_written_is_read(web, tmp_path):
    path = Path(get(origin=web.url("a.txt"), file_hash=SHA256))
    path.parent.chmod(0o500)
    try:
        assert get(origin=web.url("a.txt"), file_hash=SHA256) == str(path)
    finally:
        path.parent.chmod(0o700)


def test_folder_that_cannot_be_made_is_told_with_what_to_set(web, tmp_path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(OSError, match="file") as caught:
        get(origin=web.url("a.txt"), cache_dir=tmp_path / "file")

    assert f"keeps files in {tmp_path / 'file' / 'datasets'}; set KERASISH_HOME" in "".join(
        caught.value.__notes__
    )


@pytest.mark.parametrize(
    ("fname", "origin"),
    [
        (None, "pics.zip"),
        (None, "pics.tgz"),
        ("photos", "pics.tgz"),
        ("photos.tar.gz", "pics.tgz"),
        ("photos.zip", "pics.zip"),
    ],
)
def test_archive_is_unpacked_where_keras_unpacks_it(web, tmp_path, fname, origin):
    keras = pytest.importorskip("keras")
    (tmp_path / "keras_home").mkdir(exist_ok=True)  # else it writes elsewhere

    path = get(fname, web.url(origin), extract=True)
    theirs = keras.utils.get_file(
        fname, web.url(origin), extract=True, cache_dir=tmp_path / "keras_home"
    )

    assert contents(Path(path)) == contents(Path(theirs)) == FILES
    assert Path(path).name == Path(theirs).name
    assert names(Path(path).parent) == names(Path(theirs).parent)


def test_archive_is_unpacked_once(web):
    path = Path(get(origin=web.url("pics.zip"), extract=True))
    (path / "top.txt").write_text("mine")

    get(origin=web.url("pics.zip"), extract=True)
    kept = (path / "top.txt").read_text()
    os.utime(path, (1, 1))  # long ago, for clocks that tick slowly
    get(origin=web.url("pics.zip"), extract=True, force_download=True)

    assert kept == "mine"
    assert contents(path) == FILES


def test_archive_with_an_old_date_in_it_is_unpacked_once(web, tmp_path):
    (tmp_path / "files").mkdir()
    os.utime(tmp_path / "files", (1, 1))
    with tarfile.open(tmp_path / "dated.tgz", "w:gz") as tar:
        tar.add(tmp_path / "files", ".")
    web.files["dated.tgz"] = (tmp_path / "dated.tgz").read_bytes()
    path = Path(get(origin=web.url("dated.tgz"), extract=True))
    (path / "mine").write_text("mine")

    get(origin=web.url("dated.tgz"), extract=True)

    assert names(path) == ["mine"]


def test_many_askers_at_once_unpack_once(web, monkeypatch):
    web.cuts = [100]
    unpacked, together = [], threading.Barrier(3)

    def counted(archive, *rest):
        unpacked.append(archive)
        archives.unpack(archive, *rest)

    def ask():
        together.wait()
        found.append(contents(Path(get(origin=web.url("pics.tgz"), extract=True))))

    monkeypatch.setattr(cached_file, "unpack", counted)
    found = []
    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()

    assert found == [FILES] * 3
    assert len(unpacked) == 1


def test_folder_that_is_gone_is_unpacked_again(web):
    path = Path(get(origin=web.url("pics.tgz"), untar=True))
    path.rename(path.with_name("elsewhere"))

    get(origin=web.url("pics.tgz"), untar=True)

    assert contents(path) == FILES
    assert len(web.asked) == 1


def test_untar_takes_tar_archives_only(web):
    with pytest.raises(ValueError, match="it is no tar archive"):
        get(origin=web.url("pics.zip"), untar=True)


def test_without_the_file_the_error_says_where_to_put_it(web, tmp_path):
    place = tmp_path / "home" / "datasets" / "gone_archive"

    with pytest.raises(ConnectionError) as caught:
        get("gone", web.url("gone.zip"), extract=True)
    place.write_bytes(web.files["pics.zip"])

    assert str(caught.value).endswith(f"put it here: {place}")
    assert contents(Path(get("gone", web.url("gone.zip"), extract=True))) == FILES


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "`origin` must be the address"),
        ({"origin": "http://127.0.0.1/"}, "ends in no file name"),
        ({"origin": "http://127.0.0.1/a", "fname": "b/c"}, "a name without folders, got 'b/c'"),
        ({"origin": "http://127.0.0.1/a", "fname": ".."}, "a name without folders"),
        ({"origin": "http://127.0.0.1/a/.."}, "a name without folders"),
        ({"origin": "http://127.0.0.1/a", "file_hash": "12"}, "64 hexadecimal digits"),
        (
            {"origin": "http://127.0.0.1/a", "extract": True, "archive_format": "rar"},
            "`archive_format` must be",
        ),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments, words, web):
    with pytest.raises(ValueError, match=words):
        get(**arguments)


@pytest.mark.parametrize("origin", [None, 5, Path("a.bin"), ""])
def test_the_origin_must_be_an_address(origin):
    with pytest.raises(ValueError, match="`origin` must be the address"):
        get_file("a.bin", origin)
