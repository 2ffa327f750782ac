"""Which engines there are: each has jobs done by processes somewhere, and none knows what is asked of the inputs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TypeAlias

from jumok.app.engine.settings import EngineSettings
from jumok.app.session import Session

if TYPE_CHECKING:
    from jumok.app.engine.jobs import Job
    from jumok.app.engine.verb import Verb
    from jumok.app.engine.worker import Done, Ready

__all__ = ["ENGINES", "Engine"]


class Engine(Protocol):
    """Processes at work."""

    def wait_until_open(self) -> Ready:
        """What the first process says whose model is open."""

    def work(self, jobs: Iterator[Job]) -> Iterator[tuple[Job, Done]]:
        """Have jobs done; gives each with what came of it, as they end."""


Opening: TypeAlias = "Callable[[Verb, EngineSettings, Session], AbstractContextManager[Engine]]"


def _open_local(verb: Verb, options: EngineSettings, session: Session) -> AbstractContextManager[Engine]:
    """Processes of this machine, which share its threads and its GPUs."""
    from jumok.app.engine.crew import Crew, hire

    threads = _share_threads(options.processes)
    devices = _share_devices(session.device, options.processes, int(os.environ.get("LOCAL_RANK", "0")))
    verbs = [verb.on(device) for device in devices]
    return Crew(lambda number: hire(verbs[number], threads), options.processes)


def _open_ray(verb: Verb, options: EngineSettings, session: Session) -> AbstractContextManager[Engine]:
    """Processes on the machines of Ray, with as many threads each as one of as many here would have."""
    from jumok.app.engine.ray_crew import RayCrew, Share

    return RayCrew(verb, Share(session.device, _share_threads(options.processes)), options.processes)


ENGINES: Mapping[str, Opening] = {"local": _open_local, "ray": _open_ray}


def _share_threads(processes: int) -> int:
    import torch

    return max(torch.get_num_threads() // processes, 1)


def _share_devices(device: str, processes: int, rank: int) -> list[str]:
    """The device of each process: of several GPUs, where none was chosen, each its own as far as they go."""
    import torch

    if device != "cuda":
        return [device] * processes
    return [f"cuda:{(rank * processes + number) % torch.cuda.device_count()}" for number in range(processes)]
