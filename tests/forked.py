"""Commands in processes that are quick to start: copies of this one, which has imported all that they need."""

import contextlib
import os
import signal
import socket
import sys
import time
from functools import partial
from pathlib import Path


class Forked:
    """A command in a copy of this process.

    Args:
        arguments: of the command.
        log: where it prints.
        prepare: is called in it first.
    """

    def __init__(self, arguments, log, prepare=lambda: None):
        self.returncode = None
        self.pid = os.fork()
        if not self.pid:
            self._become(list(map(str, arguments)), log, prepare)

    def _become(self, arguments, log, prepare):
        status = 99
        try:
            os.setpgid(0, 0)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(out, 1)
            os.dup2(out, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
            from jumok.app.cli import main

            prepare()
            main(arguments)
        except SystemExit as end:
            status = int(end.code or 0)
        finally:
            os._exit(status)

    def poll(self):
        """Its exit status, as `subprocess` tells it; None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self):
        """Its exit status, when it has ended."""
        while self.poll() is None:
            time.sleep(0.005)
        return self.returncode


def run_by_two(arguments, log):
    """A command in two processes, which find each other as torchrun has them do.

    Returns:
        what they printed.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def join_as(rank):
        mine = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "GROUP_RANK": 0}
        kept = {"TORCHELASTIC_RUN_ID": "forked", "TORCHELASTIC_RESTART_COUNT": 0, "TORCHELASTIC_MAX_RESTARTS": 0}
        meet = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ.update({name: str(value) for name, value in {**mine, **kept, **meet}.items()})

    both = [Forked(arguments, log, partial(join_as, rank)) for rank in range(2)]
    deadline = time.monotonic() + 300
    while None in (ended := [each.poll() for each in both]) and not any(ended) and time.monotonic() < deadline:
        time.sleep(0.005)
    said = log.read_text()
    if ended != [0, 0]:  # the other would wait for the one that has failed
        for each in both:
            kill(each.pid)
    assert ended == [0, 0], said
    return said


def wait_for_a_part(out, running):
    """Until one more file is written."""
    parts = len(list(out.glob("*.parquet")))
    while running.poll() is None and len(list(out.glob("*.parquet"))) <= parts:
        time.sleep(0.005)


def lives(process):
    """Whether a process is there, and not merely waiting to be counted."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def kill(process):
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def find_children(process):
    """Those that a process has started."""
    for each in Path("/proc").glob("[0-9]*"):
        try:
            own = int((each / "stat").read_text().rpartition(")")[2].split()[1]) == process
            if own and "resource_tracker" not in (each / "cmdline").read_text():
                yield int(each.name)
        except (OSError, ValueError):
            continue
