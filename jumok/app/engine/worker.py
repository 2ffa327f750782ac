"""A process that looks at shards: it opens the model, waits for orders, and writes each shard's file."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from jumok.app.engine.shards import Item, Shard
from jumok.app.engine.tables import make_table, write_table
from jumok.app.engine.verb import About, Verb
from jumok.errors import JumokError, first_line

__all__ = [
    "DEVICE_FAILED",
    "Done",
    "Failed",
    "Order",
    "Ready",
    "Tried",
    "Trying",
    "follow",
    "prepare_process",
    "telling",
    "work",
]

Said = TypeVar("Said")
DIE_WITH_PARENT = 1
"""The number of prctl's PR_SET_PDEATHSIG in linux/prctl.h."""
DEVICE_FAILED = 70
"""The exit status when a device does nothing more for this process."""


@dataclass(frozen=True)
class Order:
    """A shard to look at.

    Args:
        shard: what to read.
        path: of the file to write.
        workshop: where it is made.
        excluded: inputs that are not to be read, by their place in the shard, and why.
        tried_from: do not write: try each input from this place on alone, and say so before.
    """

    shard: Shard
    path: Path
    workshop: Path
    excluded: Mapping[int, str] = field(default_factory=dict)
    tried_from: int | None = None


@dataclass(frozen=True)
class Ready:
    """The model is open: what its rows have in common, and its fingerprint."""

    about: About
    fingerprint: str


@dataclass(frozen=True)
class Trying:
    """An input, by its place in the shard, is looked at alone."""

    place: int


@dataclass(frozen=True)
class Tried:
    """Every input of the shard was looked at alone."""


@dataclass(frozen=True)
class Done:
    """The shard's file is written; so many of its rows have an error, and one of them is this."""

    errors: int
    first: str = ""


@dataclass(frozen=True)
class Failed:
    """It cannot go on, for a reason that lies in no input; with a traceback where it is a fault."""

    reason: str
    trace: str = ""


def work(orders: Connection, verb: Verb, threads: int) -> None:
    """Look at shards until there are no more orders, or whoever gives them is gone.

    Args:
        orders: where they come from, and where answers go.
        verb: what is asked of each input.
        threads: of the CPU.
    """
    _leave_signals_to_parent()
    prepare_process(threads)
    try:
        orders.send(telling(lambda: Ready(verb.about, verb.fingerprint)))
        while (order := orders.recv()) is not None:
            orders.send(telling(partial(follow, order, verb, orders.send)))
    except (EOFError, BrokenPipeError, ConnectionResetError):  # whoever gave orders is gone
        return


def telling(do: Callable[[], Said]) -> Said | Failed:
    """What came of something, or why it cannot go on; where the device has failed, this process ends."""
    from jumok.app.engine.broken import BROKEN

    try:
        return do()
    except BROKEN as error:
        sys.stderr.write(f"{first_line(error)}\n")
        sys.stderr.flush()
        os._exit(DEVICE_FAILED)  # not to be caught by whatever runs here
    except JumokError as error:
        return Failed(str(error))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise
    except Exception as error:
        return Failed(f"{type(error).__name__}: {first_line(error)}", traceback.format_exc())


def _leave_signals_to_parent() -> None:
    """Leave them to the parent, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)


def prepare_process(threads: int) -> None:
    """Set how a process computes that looks at shards.

    Args:
        threads: of the CPU.
    """
    from jumok.machine import keep_freed, set_threads

    set_threads(threads)
    keep_freed()


def follow(order: Order, verb: Verb, note: Callable[[Trying], None]) -> Done | Tried:
    """Look at a shard and write its file, or try each of its inputs alone.

    Args:
        order: which.
        verb: what is asked of each input.
        note: is told of each input before it is tried alone.
    """
    if order.tried_from is not None:
        for place, item in enumerate(_read(order)):
            if place >= order.tried_from and place not in order.excluded:
                note(Trying(place))
                verb.look([item.content])
        return Tried()
    names: list[str] = []
    labels: list[str | None] = []
    rows = verb.look(_note(_read(order), names, labels))
    known = labels if order.shard.labelled else None
    write_table(make_table(order.shard.begin, names, rows, verb.about, known), order.path, order.workshop)
    errors = [f"{name}: {row.error}" for name, row in zip(names, rows, strict=True) if row.error is not None]
    return Done(len(errors), errors[0] if errors else "")


def _note(items: Iterator[Item], names: list[str], labels: list[str | None]) -> Iterator[Any]:
    """The contents of items, the rest kept: so that images are read no sooner than they are looked at."""
    for item in items:
        names.append(item.name)
        labels.append(item.label)
        yield item.content


def _read(order: Order) -> Iterator[Item]:
    """The inputs of a shard, as many as there were when they were counted."""
    place = -1
    for place, item in enumerate(order.shard.items()):
        why = order.excluded.get(place)
        yield item if why is None else item._replace(content=JumokError(why))
    for missing in range(place + 1, order.shard.count):
        number, why = order.shard.begin + missing, "it was there when inputs were counted, and is no more"
        yield Item(f"input {number}", JumokError(f"{why}: give another --out"))
