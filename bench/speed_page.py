"""`python -m bench.speed_page [RESULTS.json]`: write docs/speed.md from what `python -m bench` found."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.machine import Machine
from bench.results import RESULTS, Found, read
from bench.table import COLUMNS, write_cells
from jumok.files import write_atomically

PAGE = Path(__file__).parents[1] / "docs" / "speed.md"
HEAD = """# Speed

Made by `python -m bench.speed_page` from the results of `make bench`; not written by hand.

- jumok and the peer take turns in one run. A ratio is the median over the pairs, with its quartiles; one whose
  quartiles lie on both sides of its goal is undecided.
- *limit*: what the machine could do at best by its measured figures, such as products of matrices at their peak or
  bytes at the bandwidth of copies; *x limit*: how many times the least possible time jumok takes.
"""


def write_page(benches: Mapping[str, Found]) -> str:
    """The page, in Markdown."""
    return "\n".join([HEAD, *(line for name, found in benches.items() for line in _write_bench(name, found))])


def _write_bench(name: str, found: Found) -> Iterator[str]:
    quick = " · `--quick`: fewer repeats, so verdicts are hints" if found["quick"] else ""
    yield f"## {name.replace('_', ' ')}\n"
    yield f"`python -m bench {name}` · {found['date'][:10]} · commit {found['commit']}{quick}\n"
    yield from (f"{line}\n" for line in Machine(**found["machine"]).lines())
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"|{'---|' * len(COLUMNS)}"
    yield from (_write_row(row) for row in found["rows"])
    yield ""


def _write_row(row: Mapping[str, Any]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in write_cells(row))} |"


if __name__ == "__main__":
    write_atomically(PAGE, write_page(read(Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS)))
    print(f"written: {PAGE}")
