"""Folders for trials: gone at their end, or at the next trial after a process has died."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from jumok.errors import Interrupted, Stopped
from jumok.tasks.running import trial_folders
from jumok.tasks.running.trial_folders import trial_folder

BEGIN = """
import sys, time
from jumok.tasks.running.trial_folders import trial_folder
with trial_folder() as folder:
    (folder / "checkpoints").mkdir()
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(trial_folders, "LEAST_AGE", 0.0)
    return tmp_path


def test_a_folder_is_gone_at_its_end(place):
    with trial_folder() as folder:
        assert [path.name for path in place.iterdir()] == [folder.name]
    assert list(place.iterdir()) == []


def test_what_a_killed_process_left_goes_and_what_is_in_use_stays(place):
    words, told = [sys.executable, "-c", BEGIN], {**os.environ, "TMPDIR": str(place), "PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen(words, env=told, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        left = Path(other.stdout.readline().strip())
        with trial_folder():
            assert left.is_dir()
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert left.is_dir()
        with trial_folder():
            assert not left.exists()


def test_what_is_recent_or_of_others_stays(place, monkeypatch):
    monkeypatch.setattr(trial_folders, "LEAST_AGE", 3600.0)
    recent, unmarked = place / "jumok-trial-a", place / "jumok-trial-b"
    for folder in (recent, unmarked):
        folder.mkdir()
    (recent / trial_folders.IN_USE).touch()
    os.utime(unmarked, (0, 0))
    with trial_folder():
        assert recent.is_dir()
        assert unmarked.is_dir()
    os.utime(recent, (0, 0))
    with trial_folder():
        assert not recent.exists()


def test_a_trial_that_a_signal_ends_does_not_say_that_it_is_saved(place):
    with pytest.raises(Stopped) as stopped, trial_folder():
        raise Interrupted(signal.SIGTERM, "stopped by SIGTERM after step 5; everything is saved")
    assert stopped.value.signum == signal.SIGTERM
    assert list(place.iterdir()) == []
