"""The folder of a data set while several processes begin it at once, and after one was killed there."""

import os
import signal

import pytest

from jumok.app.engine import out_folder
from jumok.app.engine.out_folder import MANIFEST, OutFolder
from jumok.errors import JumokError

KEY = {"verb": "look", "model": "m"}


def test_a_manifest_that_is_being_written_by_another_process_is_waited_for(tmp_path, monkeypatch):
    """What another process does between two looks at the folder is no folder of somebody else's."""
    folder, other = OutFolder(tmp_path / "out", rank=1), OutFolder(tmp_path / "out")
    folder.folder.mkdir()
    listed = type(folder.folder).iterdir

    def begin_meanwhile(path):
        found = list(listed(path))
        other.begin(KEY)
        return [*found, path / "part-000000.parquet"]

    monkeypatch.setattr(type(folder.folder), "iterdir", begin_meanwhile)
    folder.check(KEY)
    with pytest.raises(JumokError, match="belongs to another command"):
        folder.check(KEY | {"model": "n"})


def test_a_process_that_was_killed_while_it_wrote_the_manifest_blocks_nobody(tmp_path):
    folder = OutFolder(tmp_path / "out")
    killed = os.fork()
    if killed == 0:
        out_folder.json.dumps = lambda *_, **__: "x"
        os.rename = os.replace = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
        folder.begin(KEY)
        os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(killed, 0)[1]) == -signal.SIGKILL
    assert [path.suffix for path in folder.folder.iterdir()] == [".json"]
    assert not (folder.folder / MANIFEST).exists()
    folder.check(KEY)
    folder.begin(KEY)
    folder.check(KEY)


def test_files_of_somebody_else_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(JumokError, match="is not empty, and holds no data set"):
        OutFolder(tmp_path).check(KEY)
