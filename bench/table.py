"""What every bench shares: timing in turns, rows with a goal, a table on the screen and JSON on disk."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from jumok.files import write_atomically

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """One claim and what was measured for it.

    Args:
        claim: what the ratio is of.
        ratio: the figure that counts.
        goal: such as ">= 1.1" or "<= 1.15"; empty for a figure that is stated and has no goal.
        ours, peer: the two sides of the ratio, in `unit`.
        unit: such as "images/s", "s", "MiB".
        note: what a reader needs to judge it.
    """

    claim: str
    ratio: float
    goal: str
    ours: float
    peer: float
    unit: str
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        if not self.goal:
            return None
        sign, limit = self.goal.split()
        return self.ratio >= float(limit) if sign == ">=" else self.ratio <= float(limit)


def interleaved(steps: Mapping[str, Callable[[], object]], rounds: int, *, warm_up: int = 2) -> dict[str, float]:
    """Median seconds of each step, run in turns so that what else the machine does hits all alike.

    The order is turned round each time, so that none always runs after the same other one.
    """
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    order = list(steps)
    for number in range(warm_up + rounds):
        for name in order if number % 2 else reversed(order):
            started = time.perf_counter()
            steps[name]()
            if number >= warm_up:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(times) for name, times in seconds.items()}


def ratio(times: Mapping[str, float], above: str, below: str) -> float:
    """Median over median."""
    return times[above] / times[below]


def pin(cores: int) -> int:
    """Keep this process and its children on so many cores, where the system can; gives the number kept to."""
    if not hasattr(os, "sched_setaffinity"):
        return cores
    chosen = sorted(os.sched_getaffinity(0))[:cores]
    os.sched_setaffinity(0, chosen)
    return len(chosen)


def report(name: str, rows: Sequence[Row]) -> bool:
    """Print the rows, keep them in bench/results/NAME.json, and say whether all goals are met."""
    machine = machine_kind()
    table = Table(title=f"{name} ({', '.join(machine.values())})", title_justify="left")
    for heading in ("claim", "ratio", "goal", "", "jumok", "peer", "unit", "note"):
        table.add_column(heading, justify="right" if heading in ("ratio", "jumok", "peer") else "left")
    for row in rows:
        mark = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}[row.met]
        table.add_row(
            row.claim, f"{row.ratio:.2f}", row.goal, mark, f"{row.ours:.4g}", f"{row.peer:.4g}", row.unit, row.note
        )
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    kept = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "rows": [{**dataclasses.asdict(row), "met": row.met} for row in rows],
    }
    write_atomically(RESULTS / f"{name}.json", json.dumps(kept, indent=2) + "\n")
    return all(row.met is not False for row in rows)


def machine_kind() -> dict[str, str]:
    """Processor, cores in use and versions, for the record."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": _processor(),
        "cores": f"{cores} cores",
        "system": platform.system(),
        "python": f"Python {platform.python_version()}",
        "torch": f"torch {torch.__version__}",
    }


def _processor() -> str:
    about = Path("/proc/cpuinfo")
    if about.is_file():
        for line in about.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
