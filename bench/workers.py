"""Work that is measured, in a process of its own: steps when asked, the peak of its memory, and where its time goes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType

import torch

from bench.measuring import forget_peak, resident
from bench.spent import tell_spent
from jumok.machine import keep_freed

Step = Callable[[], object]


class Worker:
    """A process that builds something and then does steps of it when it is told to; several build at the same time.

    Args:
        make: builds, and gives the step; a function of a module, which the process imports by name.
        arguments: of `make`.
        threads: of torch.
        keep: freed memory is kept, as in `jumok train`.
    """

    def __init__(self, make: Callable[..., Step], *arguments: object, threads: int, keep: bool) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._name = f"{make.__name__}{arguments}"
        self._process = context.Process(target=_serve, args=(theirs, make, arguments, threads, keep), daemon=True)
        self._process.start()
        theirs.close()

    def step(self) -> None:
        """Do one step; returns when it is done."""
        self._pipe.send("step")
        self._pipe.recv()

    def memory(self) -> tuple[float, float]:
        """The peak of its memory so far, above what it held when it was built, and in all, in MiB."""
        self._pipe.send("memory")
        above, whole = self._pipe.recv()
        return above, whole

    def tell_spent(self) -> str:
        """Where the time of a step goes, see `bench.spent`; two more steps are done."""
        self._pipe.send("spent")
        told: str = self._pipe.recv()
        return told

    def __enter__(self) -> Worker:
        """Wait until it has built."""
        try:
            self._pipe.recv()
        except EOFError:
            raise RuntimeError(
                f"{self._name} did not start, see above; the peers are installed by: make bench-peers"
            ) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.join()


def _serve(
    pipe: Connection, make: Callable[..., Step], arguments: tuple[object, ...], threads: int, keep: bool
) -> None:
    torch.set_num_threads(threads)
    if keep:
        keep_freed()
    step = make(*arguments)
    forget_peak()
    built = resident("VmRSS")
    pipe.send(None)
    while True:
        asked = pipe.recv()
        if asked == "step":
            step()
            pipe.send(None)
        elif asked == "spent":
            pipe.send(tell_spent(step))
        else:
            peak = resident("VmHWM")
            pipe.send((peak - built, peak))
