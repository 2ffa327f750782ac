"""Two trainings in one folder, and starts that are cut off."""

import errno
import os

import pytest

from jumok.errors import JumokError
from jumok.tasks.running.claim import claim, claim_new
from jumok.tasks.running.mark import MARK, is_held
from jumok.tasks.running.run import CONFIG, check_is_run


def test_a_folder_is_claimed_once(tmp_path):
    out = tmp_path / "runs" / "run"
    with claim_new(out):
        with (
            pytest.raises(JumokError, match=f"is being trained by another process .*process {os.getpid()}"),
            claim_new(out),
        ):
            pass
        (out / CONFIG).touch()
        with pytest.raises(JumokError, match="is being trained"), claim(out):
            pass
    assert {path.name for path in out.iterdir()} == {CONFIG}
    with claim(out), pytest.raises(JumokError, match="is being trained"), claim(out):
        pass
    with pytest.raises(JumokError, match="resume it with --resume"), claim_new(out):
        pass


def test_a_start_that_was_cut_off_is_begun_anew(tmp_path):
    with pytest.raises(JumokError, match="disk"), claim_new(tmp_path / "run"):
        (tmp_path / "run" / "source.vocabulary").touch()
        raise JumokError("the disk is full")
    assert (tmp_path / "run" / MARK).stat().st_size
    with pytest.raises(JumokError, match="give the same command once more"):
        check_is_run(tmp_path / "run")
    with claim_new(tmp_path / "run"):
        (tmp_path / "run" / CONFIG).touch()
    assert not (tmp_path / "run" / MARK).exists()


def test_a_training_that_goes_on_is_not_said_to_be_cut_off(tmp_path):
    with claim_new(tmp_path / "run"):
        (tmp_path / "run" / "source.vocabulary").touch()
        assert is_held(tmp_path / "run")
        with pytest.raises(JumokError, match=r"a training is just beginning in .*run: wait"):
            check_is_run(tmp_path / "run")
        (tmp_path / "run" / CONFIG).touch()
    assert not is_held(tmp_path / "run")
    check_is_run(tmp_path / "run")


def test_a_start_that_fails_at_once_leaves_nothing(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        with pytest.raises(JumokError, match="no data"), claim_new(tmp_path / name):
            raise JumokError("no data")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
    assert not any((tmp_path / "empty").iterdir())


def test_a_start_that_is_refused_leaves_none_of_the_folders_that_it_made(tmp_path):
    (tmp_path / "there").mkdir()
    for out in (tmp_path / "runs" / "deep" / "run", tmp_path / "there" / "run"):
        with pytest.raises(JumokError, match="wrong"), claim_new(out):
            raise JumokError("wrong")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert not list((tmp_path / "there").iterdir())
    with pytest.raises(JumokError, match="wrong"), claim_new(tmp_path / "runs" / "run"):
        (tmp_path / "runs" / "other").mkdir()
        raise JumokError("wrong")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["other"]


def test_folders_of_others_are_left_alone(tmp_path):
    (tmp_path / "notes.txt").touch()
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / MARK).touch()  # killed before it looked what else is there
    (tmp_path / "killed" / "notes.txt").touch()
    for folder in (tmp_path, tmp_path / "killed", tmp_path / "notes.txt"):
        with pytest.raises(JumokError, match=r"holds no run|is a file"), claim_new(folder):
            pass
    assert not (tmp_path / MARK).exists()


def test_a_full_disk_is_told_by_the_name_of_the_folder(tmp_path, monkeypatch):
    def refuse(_handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    (tmp_path / "run").mkdir()
    with (
        pytest.raises(JumokError, match=r"cannot write in .*run: No space left on device; free"),
        claim(tmp_path / "run"),
    ):
        pass
