"""Files that are written whole or not at all."""

import os
import stat
import subprocess
import sys

import pytest

from kerasish.saving.files import existing_file, replacing


def names_in(folder):
    return [path.name for path in folder.iterdir()]


def write(path, data):
    with replacing(path) as stream:
        stream.write(data)


def test_new_file_holds_what_was_written(tmp_path):
    write(tmp_path / "f", b"new")

    assert (tmp_path / "f").read_bytes() == b"new"
    assert names_in(tmp_path) == ["f"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_old_file_stays_and_nothing_is_left_when_the_block_raises(tmp_path, error):
    write(tmp_path / "f", b"old")

    def fail_half_way():
        with replacing(tmp_path / "f") as stream:
            stream.write(b"half of the n")
            raise error

    with pytest.raises(error):
        fail_half_way()

    assert (tmp_path / "f").read_bytes() == b"old"
    assert names_in(tmp_path) == ["f"]


def test_nothing_is_left_when_there_was_no_old_file(tmp_path):
    with pytest.raises(ValueError, match="stop"), replacing(tmp_path / "f"):
        raise ValueError("stop")

    assert names_in(tmp_path) == []


def test_old_file_stays_whole_when_the_process_dies(tmp_path):
    write(tmp_path / "f", b"old")
    script = """
import os, sys
from kerasish.saving.files import replacing
with replacing(sys.argv[1]) as stream:
    stream.write(b"half of the n")
    stream.flush()
    os._exit(9)
"""
    result = subprocess.run([sys.executable, "-c", script, str(tmp_path / "f")], check=False)

    assert result.returncode == 9
    assert (tmp_path / "f").read_bytes() == b"old"


def test_missing_folders_are_made(tmp_path):
    write(tmp_path / "a" / "b" / "f", b"new")

    assert (tmp_path / "a" / "b" / "f").read_bytes() == b"new"


def test_folder_is_not_replaced(tmp_path):
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        write(tmp_path, b"new")


@pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")
def test_permissions_of_the_old_file_are_kept(tmp_path):
    write(tmp_path / "f", b"old")
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) & 0o400
    (tmp_path / "f").chmod(0o640)

    write(tmp_path / "f", b"new")

    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o640


@pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")
def test_symbolic_link_keeps_pointing_to_the_file(tmp_path):
    write(tmp_path / "target", b"old")
    (tmp_path / "link").symlink_to("target")

    write(tmp_path / "link", b"new")

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"


def test_long_names_have_room_for_the_temporary_one(tmp_path):
    write(tmp_path / ("x" * 255), b"new")

    assert len(names_in(tmp_path)) == 1


def test_existing_file_names_the_missing_path(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone"):
        existing_file(tmp_path / "gone")


def test_a_full_disk_says_which_file_it_was(tmp_path):
    (tmp_path / "f").write_bytes(b"old")

    with pytest.raises(OSError, match="No space") as caught, replacing(tmp_path / "f"):
        raise OSError(28, "No space left on device")

    assert caught.value.__notes__ == [
        f"while writing {tmp_path / 'f'}; the file that was there is unchanged"
    ]
