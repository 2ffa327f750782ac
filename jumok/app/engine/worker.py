"""A process that looks at shards: it opens the model, waits for orders, and writes each shard's file."""

from __future__ import annotations

import ctypes
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jumok.app.engine.looker import BROKEN, Looker
from jumok.app.engine.shards import Item, Shard
from jumok.app.engine.tables import make_table, write_table
from jumok.errors import JumokError, first_line

if TYPE_CHECKING:
    from jumok.app.engine.opened import About

__all__ = ["DEVICE_FAILED", "Done", "Failed", "Order", "Ready", "Tried", "Trying", "work"]

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


def work(orders: Connection, looker: Looker, threads: int) -> None:
    """Look at shards until there are no more orders, or whoever gives them is gone.

    Args:
        orders: where they come from, and where answers go.
        looker: that looks.
        threads: of the CPU.
    """
    _prepare_process(threads)
    try:
        orders.send(Ready(looker.about, looker.fingerprint))
        while (order := orders.recv()) is not None:
            _follow(order, looker, orders)
    except (EOFError, BrokenPipeError, ConnectionResetError):  # whoever gave orders is gone
        return
    except BROKEN as error:
        sys.stderr.write(f"{first_line(error)}\n")
        sys.exit(DEVICE_FAILED)
    except JumokError as error:
        orders.send(Failed(str(error)))
    except Exception as error:
        orders.send(Failed(f"{type(error).__name__}: {first_line(error)}", traceback.format_exc()))


def _prepare_process(threads: int) -> None:
    """Leave signals to the parent, and end with it."""
    from jumok.machine import keep_freed, set_threads

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    set_threads(threads)
    keep_freed()


def _follow(order: Order, looker: Looker, answers: Connection) -> None:
    if order.tried_from is not None:
        for place, (_, image) in enumerate(_read(order)):
            if place >= order.tried_from and place not in order.excluded:
                answers.send(Trying(place))
                looker.look([image])
        answers.send(Tried())
        return
    names: list[str] = []
    rows = looker.look(_note_names(_read(order), names))
    write_table(make_table(order.shard.begin, names, rows, looker.about), order.path, order.workshop)
    errors = [row.error for row in rows if row.error is not None]
    answers.send(Done(len(errors), f"{names[_first(rows)]}: {errors[0]}" if errors else ""))


def _first(rows: list[Any]) -> int:
    return next(place for place, row in enumerate(rows) if row.error is not None)


def _note_names(items: Iterator[Item], names: list[str]) -> Iterator[Any]:
    """The images of items, their names kept: so that images are read no sooner than they are looked at."""
    for name, image in items:
        names.append(name)
        yield image


def _read(order: Order) -> Iterator[Item]:
    """The inputs of a shard, as many as there were when they were counted."""
    place = -1
    for place, (name, image) in enumerate(order.shard.items()):
        why = order.excluded.get(place)
        yield name, image if why is None else JumokError(why)
    for missing in range(place + 1, order.shard.count):
        number = order.shard.begin + missing
        yield f"input {number}", JumokError("it was there when inputs were counted, and is no more: give another --out")
