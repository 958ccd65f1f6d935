"""Downloads over loopback: resumed, checked, atomic, with words for what went wrong."""

import hashlib
import re
import socket
import threading

import pytest

from kerasish.utils import download as module
from kerasish.utils.download import digest_of, download, has_hash, known_hash
from tests.loopback import loopback, names

CONTENT = bytes(range(256)) * 5000  # 1.28 MB: several blocks
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def web(monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0.0)
    with loopback() as web:
        web.files["a.bin"] = CONTENT
        web.tags["a.bin"] = '"v1"'
        yield web


def test_file_arrives_whole_in_a_folder_that_is_made(web, tmp_path):
    path = download(web.url("a.bin"), tmp_path / "new" / "b.bin", verbose=0)

    assert path.read_bytes() == CONTENT
    assert names(tmp_path / "new") == ["b.bin"]


def test_file_without_a_known_length_arrives_whole(web, tmp_path):
    web.sized = False

    path = download(web.url("a.bin"), tmp_path / "a.bin", verbose=0, file_hash=SHA256)

    assert path.read_bytes() == CONTENT


def test_file_on_disk_is_copied(tmp_path):
    (tmp_path / "there").write_bytes(CONTENT)

    path = download((tmp_path / "there").as_uri(), tmp_path / "here", verbose=0)

    assert path.read_bytes() == CONTENT


def test_plain_output_gets_two_lines(web, tmp_path, capsys):
    download(web.url("a.bin"), tmp_path / "a.bin")

    first, last = capsys.readouterr().out.splitlines()
    assert first == f"Downloading a.bin from {web.url('a.bin')}"
    assert re.fullmatch(r"a\.bin  1\.3 MB  \S+ \S+ [kMG]?B/s", last)


def test_verbose_0_says_nothing(web, tmp_path, capfd):
    download(web.url("a.bin"), tmp_path / "a.bin", verbose=0)

    assert capfd.readouterr() == ("", "")


def test_terminal_gets_a_bar_in_megabytes(web, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")

    download(web.url("a.bin"), tmp_path / "a.bin")

    drawn = capsys.readouterr().out.split("\r")
    assert re.match(r"a\.bin ━*╸?─+  \S+ kB of 1\.3 MB  \S+", drawn[1])
    assert drawn[-1].endswith("B/s\n")


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no ranges"])
def test_broken_connection_is_tried_again(web, tmp_path, ranges):
    web.ranges = ranges
    web.cuts = [300_000, 500_000]

    path = download(web.url("a.bin"), tmp_path / "a.bin", verbose=0)

    assert path.read_bytes() == CONTENT
    assert names(tmp_path) == ["a.bin"]
    expected = [None, "bytes=300000-", "bytes=800000-" if ranges else "bytes=500000-"]
    assert [wanted for _, wanted in web.asked] == expected


def test_date_of_the_file_will_do_to_resume_it(web, tmp_path):
    web.tags["a.bin"] = "Wed, 21 Oct 2015 07:28:00 GMT"
    web.cuts = [300_000]

    path = download(web.url("a.bin"), tmp_path / "a.bin", verbose=0)

    assert path.read_bytes() == CONTENT
    assert web.asked[-1] == ("a.bin", "bytes=300000-")


def test_weak_tag_will_not_do_to_resume_a_file(web, tmp_path):
    web.tags["a.bin"] = 'W/"v1"'
    web.cuts = [300_000]

    path = download(web.url("a.bin"), tmp_path / "a.bin", verbose=0)

    assert path.read_bytes() == CONTENT
    assert web.asked[-1] == ("a.bin", None)


def test_file_that_has_moved_is_followed_and_resumed_there(web, tmp_path):
    web.moved["old.bin"] = "a.bin"
    web.cuts = [300_000]

    path = download(web.url("old.bin"), tmp_path / "a.bin", verbose=0)

    assert path.read_bytes() == CONTENT
    assert web.asked[-1] == ("a.bin", "bytes=300000-")


def test_server_without_tags_is_asked_for_the_whole_again(web, tmp_path):
    del web.tags["a.bin"]
    web.cuts = [300_000]

    path = download(web.url("a.bin"), tmp_path / "a.bin", verbose=0)

    assert path.read_bytes() == CONTENT
    assert [wanted for _, wanted in web.asked] == [None, None]


def test_growing_download_is_tried_as_often_as_it_takes(web, tmp_path):
    web.cuts = [100_000] * 12

    path = download(web.url("a.bin"), tmp_path / "a.bin", verbose=0)

    assert path.read_bytes() == CONTENT
    assert len(web.asked) == 13


def test_truncated_download_is_kept_as_a_part_and_resumed_by_the_next_call(web, tmp_path):
    web.cuts = [700_000, 0, 0, 0]

    with pytest.raises(ConnectionError, match=r"ended after 700,000 of 1,280,000 bytes"):
        download(web.url("a.bin"), tmp_path / "a.bin", verbose=0)
    left = names(tmp_path)
    path = download(web.url("a.bin"), tmp_path / "a.bin", verbose=0, file_hash=SHA256)

    assert left == ["a.bin.part", "a.bin.part.tag"]
    assert web.asked[-1] == ("a.bin", "bytes=700000-")
    assert path.read_bytes() == CONTENT
    assert names(tmp_path) == ["a.bin"]


def test_part_of_a_file_that_has_changed_since_is_not_mixed_with_the_new(web, tmp_path):
    web.cuts = [700_000, 0, 0, 0]
    with pytest.raises(ConnectionError):
        download(web.url("a.bin"), tmp_path / "a.bin", verbose=0)
    web.files["a.bin"], web.tags["a.bin"] = CONTENT[::-1], '"v2"'

    path = download(web.url("a.bin"), tmp_path / "a.bin", verbose=0)

    assert path.read_bytes() == CONTENT[::-1]


def test_part_that_is_longer_than_the_file_is_started_again(web, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(bytes(2_000_000))
    (tmp_path / "a.bin.part.tag").write_text('"v1"')

    path = download(web.url("a.bin"), tmp_path / "a.bin", verbose=0)

    assert path.read_bytes() == CONTENT


def test_part_without_a_tag_is_started_again(web, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(b"old" * 1000)

    path = download(web.url("a.bin"), tmp_path / "a.bin", verbose=0)

    assert path.read_bytes() == CONTENT


def test_interrupt_keeps_the_part(web, tmp_path, monkeypatch):
    def interrupt(self, current, values=None, finalize=None):
        raise KeyboardInterrupt

    monkeypatch.setattr("kerasish.utils.progbar.Progbar.update", interrupt)
    with pytest.raises(KeyboardInterrupt):
        download(web.url("a.bin"), tmp_path / "a.bin", verbose=0)
    monkeypatch.undo()

    download(web.url("a.bin"), tmp_path / "a.bin", verbose=0, file_hash=SHA256)

    assert web.asked[-1][1] == f"bytes={module.BLOCK}-"


@pytest.mark.parametrize(
    ("file_hash", "algorithm"),
    [(SHA256, "auto"), (MD5, "auto"), (SHA256.upper(), "sha256"), (SHA256[:8], "sha256")],
)
def test_right_hash_is_accepted(web, tmp_path, file_hash, algorithm):
    path = download(
        web.url("a.bin"), tmp_path / "a", file_hash=file_hash, hash_algorithm=algorithm, verbose=0
    )

    assert digest_of(path, "sha256") == SHA256


@pytest.mark.parametrize(
    ("file_hash", "algorithm", "got"),
    [("0" * 64, "auto", SHA256), ("0" * 32, "auto", MD5), ("0" * 8, "sha256", SHA256[:8])],
)
def test_wrong_hash_is_told_and_nothing_is_left(web, tmp_path, file_hash, algorithm, got):
    (tmp_path / "a").write_text("an older file")

    with pytest.raises(ValueError, match=rf"{file_hash} was expected, got {got} \(1,280,000 bytes"):
        download(
            web.url("a.bin"),
            tmp_path / "a",
            file_hash=file_hash,
            hash_algorithm=algorithm,
            verbose=0,
        )

    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "an older file"


@pytest.mark.parametrize(
    ("file_hash", "algorithm", "words"),
    [
        ("abc", "auto", "64 hexadecimal digits .sha256. or 32 .md5., got 3"),
        ("x" * 64, "auto", "hexadecimal digits for sha256"),
        (SHA256, "md5", "at most 32 hexadecimal digits for md5"),
        (None, "sha1", "`hash_algorithm` must be"),
    ],
)
def test_what_is_no_hash_is_refused_before_anything_is_asked_for(file_hash, algorithm, words):
    with pytest.raises(ValueError, match=words):
        known_hash(file_hash, algorithm)


def test_every_file_has_no_hash(tmp_path):
    (tmp_path / "a").write_bytes(CONTENT)

    assert has_hash(tmp_path / "a", None)
    assert has_hash(tmp_path / "a", MD5)
    assert not has_hash(tmp_path / "a", "0" * 32)


def test_missing_file_is_not_asked_for_twice(web, tmp_path):
    with pytest.raises(ConnectionError, match=r"gone.bin could not .*: the server says 404"):
        download(web.url("gone.bin"), tmp_path / "gone.bin", verbose=0)

    assert len(web.asked) == 1
    assert names(tmp_path) == []


def test_busy_server_is_asked_again(web, tmp_path):
    web.statuses = [503, 429]

    assert download(web.url("a.bin"), tmp_path / "a.bin", verbose=0).read_bytes() == CONTENT


def test_server_that_stays_broken_is_given_up(web, tmp_path):
    web.statuses = [500] * 10

    with pytest.raises(ConnectionError, match="the server says 500"):
        download(web.url("a.bin"), tmp_path / "a.bin", verbose=0)

    assert len(web.asked) == module.TRIES


def test_without_a_network_the_error_says_which_file_goes_where(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/a.bin"

        with pytest.raises(ConnectionError) as caught:
            download(url, tmp_path / "b.bin", verbose=0)

    text = str(caught.value)
    assert text.startswith(f"b.bin could not be downloaded from {url}: ")
    assert "refused" in text
    assert text.endswith(f"put it here: {tmp_path / 'b.bin'}")
    assert names(tmp_path) == []


def test_full_disk_is_no_network_error(web, tmp_path, monkeypatch):
    def no_room(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_room)

    with pytest.raises(OSError, match="No space left") as caught:
        download(web.url("a.bin"), tmp_path / "a.bin", verbose=0)

    assert not isinstance(caught.value, ConnectionError)
    assert len(web.asked) == 1


def test_file_takes_its_place_by_one_renaming(web, tmp_path, monkeypatch):
    def fail(self, target):
        raise OSError(5, "as if the power had failed")

    (tmp_path / "a.bin").write_text("an older file")
    monkeypatch.setattr("pathlib.Path.replace", fail)

    with pytest.raises(OSError, match="power"):
        download(web.url("a.bin"), tmp_path / "a.bin", verbose=0)
    monkeypatch.undo()

    assert (tmp_path / "a.bin").read_text() == "an older file"
    assert download(web.url("a.bin"), tmp_path / "a.bin", verbose=0).read_bytes() == CONTENT
    assert names(tmp_path) == ["a.bin"]


def test_second_asker_waits_and_takes_the_firsts_file(web, tmp_path, capsys):
    arrived = []

    def ask():
        arrived.append(download(web.url("a.bin"), tmp_path / "a.bin", verbose=0))

    with module._alone(tmp_path / "a.bin.part", verbose=0):
        asker = threading.Thread(target=ask)
        asker.start()
        asker.join(0.2)
        assert asker.is_alive()
        (tmp_path / "a.bin").write_bytes(CONTENT)
    asker.join()

    assert arrived == [tmp_path / "a.bin"]
    assert web.asked == []
    assert names(tmp_path) == ["a.bin"]


def test_many_askers_at_once_cause_one_download(web, tmp_path):
    web.cuts = [200_000] * 3
    together = threading.Barrier(3)

    def ask():
        together.wait()
        download(web.url("a.bin"), tmp_path / "a.bin", verbose=0)

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()

    assert names(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert len(web.asked) == 4


def test_a_folder_in_the_place_of_the_file_is_named_before_the_download(web, tmp_path):
    (tmp_path / "data").mkdir()

    with pytest.raises(IsADirectoryError, match=r"data is a folder; .* such as .*data/a\.bin"):
        download(web.url("a.bin"), tmp_path / "data", verbose=0)

    assert web.asked == []
    assert names(tmp_path) == ["data"]
