"""Files are written whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from jumok.errors import JumokError
from jumok.files import inside, regular_file, replacing, write_atomically


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "new" / "file.txt"
    write_atomically(path, "one")
    write_atomically(path, b"two")
    assert path.read_text() == "two"
    assert os.listdir(path.parent) == ["file.txt"]


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "No space left on device; free some space"),
        (errno.EACCES, "Permission denied; choose a place that you may write to$"),
        (errno.EROFS, "Read-only file system; choose a place that you may write to$"),
    ],
)
def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, number, advice):
    path = tmp_path / "file.txt"
    write_atomically(path, "old")

    def fail():
        with replacing(path) as fresh:
            fresh.write_text("half")
            raise OSError(number, os.strerror(number))

    with pytest.raises(JumokError, match=advice):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_a_block_that_raises_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    write_atomically(path, "old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as fresh:
        fresh.write_text("half")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == ["file.txt"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(JumokError, match="cannot make the folder"):
        write_atomically(tmp_path / "file" / "below", "x")


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a/../../b"])
def test_names_stay_inside_their_folder(tmp_path, name):
    with pytest.raises(JumokError, match="lies outside"):
        inside(tmp_path, name)
    assert inside(tmp_path, "a/b") == Path(tmp_path).resolve() / "a" / "b"


@pytest.mark.parametrize("name", ["a\0.png", "x" * 5000, "loop"])
def test_names_that_no_file_can_have_are_one_line(tmp_path, name):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(JumokError, match="is no name of a file in") as caught:
        inside(tmp_path, name)
    assert len(str(caught.value)) < 400


def test_a_file_that_may_not_be_read_is_not_said_to_be_missing(tmp_path, monkeypatch):
    """As safetensors says."""
    (tmp_path / "a").touch()
    monkeypatch.setattr(os, "access", lambda _path, mode: mode != os.R_OK)
    with pytest.raises(JumokError, match=r"cannot read .*a: Permission denied; check its permissions"):
        regular_file(tmp_path / "a")
