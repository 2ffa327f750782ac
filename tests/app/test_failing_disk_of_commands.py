"""Disks that fail while translate, predict or compare writes: one line, status 2, nothing half-written.

`make soak` tries every call; otherwise some are tried.
"""

import errno
import os
import shutil
import sys

import pytest
from failing_disks import Disk
from pair_helpers import settings_of, untrained

EVERY = bool(os.environ.get("JUMOK_FUZZ"))
LOCK = ".training"
CODES = (errno.ENOSPC, errno.EIO, errno.EACCES)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="files are told from their numbers by /proc")


def list_files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fail_at_each(jumok, folder, words, stride):
    """Let the disk fail at calls of a command that writes to a folder; what it had written by then is whole.

    Returns the calls, in their order.
    """
    folder.mkdir()
    with Disk(folder).used() as disk:
        assert jumok(*words).status == 0
    whole = list_files(folder)
    for number in range(0, len(disk.calls), 1 if EVERY else stride):
        shutil.rmtree(folder)
        folder.mkdir()
        with Disk(folder, number, CODES[number % len(CODES)]).used() as broken:
            said = jumok(*words)
        where = f"{os.strerror(broken.code)} at call {number}, {broken.calls[number]}: {said.err}"
        assert (said.status, said.err.strip().count("\n")) == (2, 0), where
        assert said.err.startswith("jumok: "), where
        left = list_files(folder)
        assert [name for name in left if os.path.basename(name).startswith(".")] == [], where  # noqa: PTH119
        assert {name: whole.get(name) for name in left} == left, where
    return disk.calls


@pytest.fixture(scope="module")
def translator(reversals, tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("runs") / "run", settings_of(reversals)).folder


def test_translate(jumok, translator, tmp_path):
    (tmp_path / "text").write_text("a b c\nb a\n", "utf-8")
    out = tmp_path / "out"
    words = ["translate", translator, tmp_path / "text", "--beam", 1, "--max-length", 4, "--threads", 1]
    written = ["--out", out / "a.txt", "--align", out / "a.links", "--show", out / "a.html"]
    assert len(fail_at_each(jumok, out, [*words, *written], 2)) > 8


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_predict(kind, jumok, translator, trained, coloured, tmp_path):
    out = tmp_path / "out"
    words = ["predict", trained, coloured, f"--{kind}", out / f"a.{kind}", "--threads", 1]
    assert len(fail_at_each(jumok, out, words, 1)) >= 3


def list_names(folder):
    """Files, without those of the training's log, which are named by the time."""
    return {name for name in list_files(folder) if "/logs/" not in name}


def compare(photos, out):
    return ["compare", photos, "--systems", "mlp", "--budget", "1s", "--out", out, "--threads", 1, "--shown", 1]


def test_compare(jumok, photos, tmp_path):
    """Of what it has trained, the page and the figures are made anew; where a training fails, none of them is."""
    out = tmp_path / "out"
    words = compare(photos, out)
    with Disk(out).used() as disk:
        assert jumok(*words).status == 0
    whole, calls = list_names(out), disk.calls
    (out / "index.html").unlink()
    with Disk(out).used() as disk:
        assert jumok(*words).status == 0
    for number in range(0, len(disk.calls), 1 if EVERY else 12):
        (out / "index.html").unlink(missing_ok=True)
        with Disk(out, number, CODES[number % len(CODES)]).used() as broken:
            said = jumok(*words)
        where = f"call {number}, {broken.calls[number]}: {said.err}"
        assert (said.status, said.err.strip().count("\n")) == (2, 0), where
        kept = {LOCK} if broken.calls[number] == ("unlink", LOCK) else set()  # it is free, and goes with the next call
        assert list_names(out) - kept <= whole, where
    assert jumok(*words).status == 0
    assert list_names(out) == whole
    for number in range(0, len(calls), 1) if EVERY else (len(calls) // 2,):
        shutil.rmtree(out, ignore_errors=True)
        with Disk(out, number, CODES[number % len(CODES)]).used() as broken:
            said = jumok(*words)
        failed = broken.calls[number][0] if number < len(broken.calls) else "none"  # its steps depend on the time
        where = f"call {number}, {failed}: {said.err}"
        assert said.status == (0 if failed in ("link", "none") else 2), where
        assert "Traceback" not in said.err, where
        assert jumok(*words).status == 0, where
        assert list_names(out) == whole, where
