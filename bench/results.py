"""What benches found, in a file: written bench by bench, read by `--compare` and by the page of docs."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.machine import Machine, commit
from bench.measuring import is_quick
from bench.table import Row
from jumok.files import write_atomically

__all__ = ["RESULTS", "compare", "keep", "read"]

RESULTS = Path(__file__).parent / "results" / "speed.json"
FORMAT = 1

Found = dict[str, Any]
"""Of one bench: date, commit, machine, whether it was a quick run, and its rows."""


def read(path: Path) -> dict[str, Found]:
    """The results of all benches in a file, by name.

    Raises:
        ValueError: it is no such file.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} holds no results of python -m bench: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path} holds no results of python -m bench: wanted format {FORMAT}")
    benches: dict[str, Found] = content["benches"]
    return benches


def keep(path: Path, name: str, rows: Sequence[Row], machine: Machine) -> Found:
    """Put the rows of a bench into a file, in place of its earlier ones; other benches' stay."""
    found: Found = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "quick": is_quick(),
        "machine": machine.to_dict(),
        "rows": [_plain(row.to_dict()) for row in rows],
    }
    benches = read(path) if path.exists() else {}
    content = {"format": FORMAT, "benches": {**benches, name: found}}
    write_atomically(path, json.dumps(content, indent=1, allow_nan=False) + "\n")
    return found


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Without numbers that JSON does not have."""
    return {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in row.items()}


def compare(old: Mapping[str, Found], new: Mapping[str, Found]) -> Iterator[str]:
    """What moved by more than the noise: where the quartiles of then and of now have nothing in common."""
    for name, found in new.items():
        before = {row["claim"]: row for row in old.get(name, {"rows": []})["rows"]}
        for row in found["rows"]:
            then = before.get(row["claim"])
            if then is None:
                yield f"{name}: new: {row['claim']}"
            elif line := _tell_move(then, row):
                yield f"{name}: {line}"
        yield from (f"{name}: gone: {claim}" for claim in before.keys() - {row["claim"] for row in found["rows"]})


def _tell_move(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """One line, or nothing where it is within the noise."""
    if then["ratio"] is None or now["ratio"] is None:
        return "" if then["verdict"] == now["verdict"] else f"{now['claim']}: {then['verdict']} -> {now['verdict']}"
    if now["low"] <= then["high"] and then["low"] <= now["high"]:
        return ""
    return (
        f"{now['claim']}: {then['ratio']:.2f} ({then['low']:.2f}-{then['high']:.2f}) -> "
        f"{now['ratio']:.2f} ({now['low']:.2f}-{now['high']:.2f})"
    )
