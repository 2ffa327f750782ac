"""Processes that share the shards of a data set: one that dies is replaced, and what killed it is found and named."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from jumok.app.engine.jobs import MOST_FAILED_STARTS, Job, check_same, explain_failed_starts, to_error
from jumok.app.engine.verb import Verb
from jumok.app.engine.worker import DEVICE_FAILED, Done, Failed, Order, Ready, Tried, Trying, work

__all__ = ["Crew", "Worker", "hire"]

SECONDS_TO_LEAVE = 10


@dataclass
class Worker:
    """A process, and the line to it."""

    process: BaseProcess
    line: Connection

    def receive(self) -> Any | None:
        """What it says; None when it is dead."""
        try:
            return self.line.recv()
        except (EOFError, OSError):
            return None

    def give(self, order: Order | None) -> None:
        """Tell it what to do; of one that is dead this is found out when it is listened to."""
        with contextlib.suppress(OSError):
            self.line.send(order)

    def explain_death(self) -> str:
        """How it ended."""
        self.process.join(SECONDS_TO_LEAVE)
        status = self.process.exitcode
        if status == DEVICE_FAILED:
            return "the device failed"
        if status is None or status >= 0:
            return f"exit status {status}"
        return f"{signal.Signals(-status).name}{', as when memory runs out' if -status == signal.SIGKILL else ''}"


def hire(verb: Verb, threads: int) -> Worker:
    """Start a process that looks at shards.

    Args:
        verb: that it asks.
        threads: of the CPU.
    """
    context = multiprocessing.get_context("spawn")  # a fork would share what a device and its threads hold
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs, verb, threads), daemon=True)
    process.start()
    theirs.close()
    return Worker(process, ours)


class Crew:
    """Processes at work.

    Args:
        hire: starts one, given its number.
        size: how many there are.
    """

    def __init__(self, hire: Callable[[int], Worker], size: int) -> None:
        self._hire = hire
        self._workers = [hire(number) for number in range(size)]
        self._jobs: list[Job | None] = [None] * size
        self._free: set[int] = set()
        self._failed_starts = 0
        self.first: Ready | None = None

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join(SECONDS_TO_LEAVE)
            worker.line.close()

    def wait_until_open(self) -> Ready:
        """What the first process says whose model is open.

        Raises:
            JumokError: the model cannot be opened.
        """
        while self.first is None:
            self._listen()
        return self.first

    def work(self, jobs: Iterator[Job]) -> Iterator[tuple[Job, Done]]:
        """Have jobs done, as many at a time as there are processes; gives each with what came of it, as they end.

        Raises:
            JumokError: a reason to end that lies in no input.
        """
        again: deque[Job] = deque()
        while True:
            for number in sorted(self._free):
                job = again.popleft() if again else next(jobs, None)
                if job is not None:
                    self._free.remove(number)
                    self._jobs[number] = job
                    self._workers[number].give(job.order)
            if not any(self._jobs) and self._free:
                return
            for job, done in self._listen():
                if done is None:
                    again.append(job)
                else:
                    yield job, done

    def _listen(self) -> list[tuple[Job, Done | None]]:
        """Wait until a process says something: jobs that are done, and those to be done again."""
        heard = wait([worker.line for worker in self._workers])
        numbers = [number for number, worker in enumerate(self._workers) if worker.line in heard]
        return [result for number in numbers if (result := self._hear(number)) is not None]

    def _hear(self, number: int) -> tuple[Job, Done | None] | None:
        said, job = self._workers[number].receive(), self._jobs[number]
        if said is None:
            return self._replace(number)
        if isinstance(said, Failed):
            raise to_error(said)
        if isinstance(said, Ready):
            self._note_ready(said)
            self._free.add(number)
        elif isinstance(said, Trying) and job is not None:
            job.trying = said.place
        elif isinstance(said, Tried | Done) and job is not None:
            self._jobs[number] = None
            self._free.add(number)
            if isinstance(said, Done):
                return job, said
            job.note_tried()
            return job, None
        return None

    def _note_ready(self, said: Ready) -> None:
        self._failed_starts = 0
        check_same(self.first, said)
        self.first = said

    def _replace(self, number: int) -> tuple[Job, None] | None:
        """Start another process in place of one that is dead; its job, where it had one, is to be done again."""
        worker, job = self._workers[number], self._jobs[number]
        how = worker.explain_death()
        worker.line.close()
        self._free.discard(number)
        self._jobs[number] = None
        if job is not None:
            job.note_death(how)
        else:
            self._failed_starts += 1
            if self._failed_starts == MOST_FAILED_STARTS:
                raise explain_failed_starts(how)
        self._workers[number] = self._hire(number)
        return None if job is None else (job, None)
