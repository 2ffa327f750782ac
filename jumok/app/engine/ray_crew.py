"""The crew of `--engine ray`: Ray Data hands shards to processes on its machines, and replaces those that die."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from jumok.app.engine.jobs import MOST_FAILED_STARTS, Job, check_same, explain_failed_starts, to_error
from jumok.app.engine.verb import Verb
from jumok.app.engine.worker import Done, Failed, Order, Ready, Tried, Trying, follow, prepare_process, telling
from jumok.errors import JumokError, first_line
from jumok.extras import install_extra

__all__ = ["RayCrew", "Share"]

AT_A_TIME = 1024
"""Shards that Ray Data is given at once: their names are copied to its object store."""
STORE = 256 << 20
"""Bytes of the object store of a Ray that is started here: nothing but names and reports goes through it."""
ANSWER_SECONDS = 10.0
"""After so long an address that says nothing is given up."""
LOST = "Ray lost the process, as when memory runs out"


@dataclass(frozen=True)
class Share:
    """What each process has of a machine.

    Args:
        device: that it computes on.
        threads: of the CPU.
    """

    device: str
    threads: int

    def resources(self) -> dict[str, float]:
        """As Ray counts them."""
        return {"num_cpus": self.threads, "num_gpus": int(self.device.startswith("cuda"))}


class RayCrew:
    """Processes at work on the machines of Ray.

    Args:
        verb: what each asks.
        share: of a machine, for each.
        size: how many there are.
    """

    def __init__(self, verb: Verb, share: Share, size: int) -> None:
        self._asks, self._share, self._size = _Asks(verb.on(share.device), share.threads, Path.cwd()), share, size
        self._ray: Any = import_ray()
        self._joined = False
        self._first: Ready | None = None

    def __enter__(self) -> RayCrew:
        if not self._ray.is_initialized():
            with _keeping_signals(), _silencing_core():
                _join(self._ray, self._share.threads * self._size)
            self._joined = True
        _hush()
        return self

    def __exit__(self, *_: object) -> None:
        if self._joined:
            self._ray.shutdown()

    def wait_until_open(self) -> Ready:
        """What a process says that opens the model, and ends.

        Raises:
            JumokError: the model cannot be opened.
        """
        retries = MOST_FAILED_STARTS - 1
        opening = self._ray.remote(**self._share.resources(), max_calls=1, max_retries=retries)(_open)
        try:
            told = self._ray.get(opening.remote(self._asks))
        except self._ray.exceptions.RayError:
            raise explain_failed_starts(LOST) from None
        if isinstance(told, Failed):
            raise to_error(told)
        self._first = told
        return self._first

    def work(self, jobs: Iterator[Job]) -> Iterator[tuple[Job, Done]]:
        """Have jobs done; gives each with what came of it, as they end.

        Raises:
            JumokError: a reason to end that lies in no input.
        """
        again: list[Job] = []
        while turn := [*again, *islice(jobs, AT_A_TIME - len(again))]:
            left, again = {job.number: job for job in turn}, []
            for number, told in self._ask(turn):
                job = left.pop(number)
                if isinstance(told, Done):
                    yield job, told
                    continue
                again.append(job)
                if isinstance(told, Tried):
                    job.note_tried()
                else:
                    job.trying = job.trying if told.place is None else told.place
                    job.note_death(LOST)

    def _ask(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Done | Tried | _Died]]:
        """Have Ray Data hand out jobs.

        Raises:
            JumokError: a reason to end that lies in no input.
        """
        from ray import data  # type: ignore[import-not-found]

        given = [{"number": job.number, "order": pickle.dumps(job.order)} for job in jobs]
        told = data.from_items(given, override_num_blocks=len(given)).map_batches(
            _ShardWorker,
            fn_constructor_kwargs={"asks": self._asks, "first": self._first},
            batch_size=1,
            compute=data.ActorPoolStrategy(size=self._size, max_tasks_in_flight_per_actor=1),
            **self._share.resources(),
        )
        for row in told.iter_rows():
            found = pickle.loads(row["told"])  # noqa: S301 (of our own process)
            if isinstance(found, Failed):
                raise to_error(found)
            yield int(row["number"]), found


@dataclass(frozen=True)
class _Died:
    """The process before this one died at the shard.

    Args:
        place: of the input that it tried alone.
    """

    place: int | None


# -- where inputs are looked at -----------------------------------------------------------------


@dataclass(frozen=True)
class _Asks:
    """What a process asks, and how it computes."""

    verb: Verb
    threads: int
    folder: Path

    def begin(self) -> Ready:
        """Open the model; names are those of the folder where the command runs.

        Raises:
            JumokError: it cannot be opened, or there is no such folder.
        """
        if not self.folder.is_dir():
            raise JumokError(f"no folder {self.folder} on {os.uname().nodename}: all machines need it under this name")
        os.chdir(self.folder)
        prepare_process(self.threads)
        return Ready(self.verb.about, self.verb.fingerprint)


def _open(asks: _Asks) -> Ready | Failed:
    return telling(asks.begin)


class _ShardWorker:
    """Looks at a shard at a time, and writes its file."""

    def __init__(self, asks: _Asks, first: Ready) -> None:
        self._verb = asks.verb
        self._failed: Failed | None = telling(lambda: check_same(first, asks.begin()))

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        order: Order = pickle.loads(batch["order"][0])  # noqa: S301 (of our own process)
        told: Any = telling(lambda: self._follow(order)) if self._failed is None else self._failed
        return {"number": batch["number"], "told": [pickle.dumps(told)]}

    def _follow(self, order: Order) -> Done | Tried | _Died:
        """Follow an order, unless a process has died at it, and Ray had another one try.

        A mark is there while a process is at an order; it names the input that is tried alone, where one is.
        """
        mark = order.workshop / f"{order.path.stem}.begun"
        if mark.exists():
            place = mark.read_text()
            mark.unlink(missing_ok=True)
            return _Died(int(place) if place else None)
        mark.touch()
        told = follow(order, self._verb, lambda trying: _write(mark, trying))
        mark.unlink(missing_ok=True)
        return told


def _write(mark: Path, trying: Trying) -> None:
    mark.write_text(str(trying.place))


# -- Ray itself ---------------------------------------------------------------------------------


def import_ray() -> Any:
    """The package, with nothing sent to its makers.

    Raises:
        JumokError: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # else its core writes to standard error by itself
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
        import ray.data  # type: ignore[import-not-found]
    except ModuleNotFoundError:
        raise JumokError(f"--engine ray needs Ray, which is not installed: {install_extra('ray')}") from None
    return ray


def _join(ray: Any, processors: int) -> None:
    """Join the Ray that RAY_ADDRESS names, or start one on this machine.

    Raises:
        JumokError: it cannot be joined.
    """
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        own = {"num_cpus": max(processors, os.cpu_count() or 1), "object_store_memory": STORE}
        ray.init("local", **own, include_dashboard=False, _system_config={"worker_niceness": 0}, **quiet)
        return
    try:
        _knock(address)
        ray.init(address, **quiet)
    except Exception as error:  # of many kinds, by what is wrong
        raise JumokError(
            f"cannot join the Ray at RAY_ADDRESS={address} ({first_line(error)}): check the address, or unset it to "
            "start Ray on this machine"
        ) from None


def _knock(address: str) -> None:
    """Make sure that something answers at an address; Ray itself would try for minutes.

    Raises:
        OSError: nothing does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS).close()


@contextmanager
def _keeping_signals() -> Iterator[None]:
    """Ray takes SIGTERM over when it begins; here it stays with the command."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _silencing_core() -> Iterator[None]:
    """Ray's core says on standard error that it was told to be silent; what goes wrong it raises."""
    sys.stderr.flush()
    real, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(real, 2)
        os.close(real)
        os.close(nothing)


def _hush() -> None:
    """Leave what is said to the command's own lines."""
    from ray import data

    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
