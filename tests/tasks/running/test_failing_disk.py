"""Disks that fail and processes that die at any call that changes a run: it is told in one line, and the run goes on.

`make soak` tries every call; otherwise some are tried.
"""

import errno
import os
import shutil
import sys

import pytest
from breaking import same_end
from failing_disks import Disk
from forked import Forked
from small_runs import TINY

from jumok.tasks.running.mark import MARK

EVERY = bool(os.environ.get("JUMOK_FUZZ"))
STRIDE = 1 if EVERY else 17
CODES = (errno.ENOSPC, errno.EIO, errno.EACCES)
OPTIONS = [word for key, value in TINY.items() for word in ("--option", f"{key}={value}")]
SETTINGS = """
    --system vit-nano --epochs 2 --batch-size 20 --flips none --threads 1 --checkpoint-every 1 --no-trust
""".split()  # noqa: SIM905 (as it is typed)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="files are told from their numbers by /proc")


def train(photos, out):
    return ["train", photos, "--out", out, *SETTINGS, *OPTIONS]


def go_on(photos, out):
    """The command that a person would give next."""
    return ["train", "--resume", out] if (out / "config.yaml").exists() else train(photos, out)


@pytest.fixture(scope="module")
def whole(photos, tmp_path_factory):
    """A run that nothing has broken, and the calls that it made."""
    from jumok.app.cli import run

    out = tmp_path_factory.mktemp("whole") / "run"
    with Disk(out.parent).used() as disk:
        run([str(word) for word in train(photos, out)])
    return out, disk.calls


def left_over(out):
    """What no one needs any more: files that were begun, and marks of nobody."""
    hidden = [path.name for path in out.rglob(".*")] if out.exists() else []
    return [name for name in hidden if name != MARK]


def test_a_disk_that_fails_ends_a_training_in_one_line_and_it_goes_on(jumok, photos, whole, tmp_path):
    unbroken, calls = whole
    assert len(calls) > 50
    for number in range(0, len(calls), STRIDE):
        out = tmp_path / "run"
        shutil.rmtree(out, ignore_errors=True)
        code = CODES[number % len(CODES)]
        with Disk(tmp_path, number, code).used() as disk:
            said = jumok(*train(photos, out))
        failed = disk.calls[number]
        where = f"{os.strerror(code)} at call {number}, {failed}: {said.err}"
        if failed[0] == "link":  # a file system without links: what would be linked is copied
            assert said.status == 0, where
            same_end(out, unbroken)
            continue
        assert (said.status, said.err.count("\n")) == (2, 1), where
        assert left_over(out) == [], where
        assert jumok(*go_on(photos, out)).status == 0, where
        same_end(out, unbroken)


def test_a_disk_that_fills_up_under_the_log_is_one_line_too(jumok, photos, tmp_path, monkeypatch):
    from tensorboard.summary.writer import record_writer

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(record_writer.RecordWriter, "flush", full)  # a thread of its own calls it
    said = jumok(*train(photos, tmp_path / "run"))
    assert (said.status, said.err) == (
        2, "jumok: cannot write the run: No space left on device; earlier checkpoints are kept\n"
    )  # fmt: skip
    monkeypatch.undo()
    assert jumok(*go_on(photos, tmp_path / "run")).status == 0


@pytest.mark.slow
def test_a_process_that_dies_at_any_call_loses_nothing_that_is_needed(jumok, photos, whole, tmp_path):
    (unbroken, calls), log = whole, tmp_path / "log"
    for number in range(0, len(calls), 1 if EVERY else len(calls) // 2):
        out = tmp_path / "run"
        shutil.rmtree(out, ignore_errors=True)
        dying = Disk(tmp_path, number, fail=lambda: os._exit(9))
        log.write_text("")
        assert Forked(train(photos, out), log, dying.used().__enter__).wait() == 9, log.read_text()
        assert jumok(*go_on(photos, out)).status == 0, f"killed at call {number}, {calls[number]}"
        assert left_over(out) == []
        same_end(out, unbroken)
