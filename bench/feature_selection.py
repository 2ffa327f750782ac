"""Feature selection, jumok beside scikit-learn and mrmr_selection: `python -m bench feature_selection`.

Mutual information of 500 columns with a target, 20,000 rows, beside scikit-learn's `mutual_info_classif` and
`mutual_info_regression`, as they come (one process) and with as many processes as we have threads. mRMR by F statistic
and correlation (FCQ), 20 of the same 500 columns, beside mrmr_selection with one and with as many processes; the faster
one counts. All run in turns. Loading compiled loops is done before the clock starts.

Growth: jumok alone with ten times the rows or columns, each in a process of its own; extra memory is the peak above
what the table itself takes, as Linux keeps it (VmHWM).
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.measuring import LeftOut, Ratio, forget_peak, interleaved, is_quick, ratio, resident
from bench.table import Part, Row
from jumok.mechanisms.selection import METHODS, MRMR
from jumok.mechanisms.selection.mutual_information import mutual_information

ROWS, COLUMNS, KEPT, ROUNDS = 20_000, 500, 20, 5
FASTER, CHOSEN_FASTER = ">= 10", ">= 5"
GROWTH = ((10_000, 100), (100_000, 100), (1_000_000, 100), (100_000, 10))
GROWING = ("mutual-information", "mrmr-fcq", "jmi")


def table_of(rows: int, columns: int) -> tuple[Any, Any, Any]:
    """Columns of factors and noise, every tenth in whole numbers; a target in four classes, and one in numbers."""
    chance = np.random.default_rng(0)
    factors = chance.normal(size=(rows, 12))
    table = chance.normal(size=(rows, columns))
    table += (factors @ chance.normal(size=(12, columns))) * chance.uniform(0, 1, columns)
    table[:, ::10] = np.round(table[:, ::10])
    numbers = factors[:, 0] + 0.5 * factors[:, 1] + chance.normal(size=rows)
    return table, np.digitize(numbers, [-1, 0, 1]), numbers


def run(threads: int = 2) -> Iterator[Part]:
    """All rows of this bench."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        # First, for the processes that scikit-learn starts serve this peer, too
        yield "mRMR beside mrmr_selection", lambda: _redundancy(threads, Path(folder))
        for name in ("classes", "numbers"):
            yield f"mutual information, target in {name}", partial(_information, name, threads)
        for method in GROWING:
            yield f"growth of {method}", partial(_growth, method, threads)


def columns() -> int:
    """Of the table; fewer where it must be quick."""
    return COLUMNS // 10 if is_quick() else COLUMNS


# -- mutual information -------------------------------------------------------------------------


def _information(name: str, threads: int) -> Iterator[Row]:
    from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

    table, classes, numbers = table_of(ROWS, columns())
    target, peer = (classes, mutual_info_classif) if name == "classes" else (numbers, mutual_info_regression)
    alone, several = "as it comes", f"{threads} processes"
    ways: dict[str, Callable[[], Any]] = {
        "ours": partial(mutual_information, table, target, discrete_target=name == "classes"),
        alone: partial(peer, table, target, random_state=0),
        several: partial(peer, table, target, random_state=0, n_jobs=threads),
    }
    ours, theirs = ways["ours"](), ways[alone]()
    seconds = interleaved(ways, ROUNDS, warm_up=0)
    apart = f"furthest apart {np.abs(ours - theirs).max():.1e} nats"
    note = f"{ROWS:,} x {columns()}; correlation {np.corrcoef(ours, theirs)[0, 1]:.6f}, {apart}"
    claim = f"mutual information, target in {name}, scikit-learn"
    yield Row(f"{claim} / jumok", ratio(seconds, alone, "ours"), FASTER, seconds["ours"], seconds[alone], "s", note)
    both, note = (seconds["ours"], seconds[several]), f"ours {threads} threads"
    yield Row(f"{claim} in {several} / jumok", ratio(seconds, several, "ours"), "", *both, "s", note)


# -- mRMR ---------------------------------------------------------------------------------------


def _redundancy(threads: int, folder: Path) -> Iterator[Row]:
    import pandas as pd  # type: ignore[import-untyped]

    peer, count = _mrmr(folder), columns()
    table, classes, _ = table_of(ROWS, count)
    frame, target = pd.DataFrame(table, columns=[f"c{i}" for i in range(count)]), pd.Series(classes)
    ways: dict[str, Callable[[], Any]] = {
        "ours": lambda: list(MRMR(k=KEPT).fit(frame, target).get_feature_names_out()),
        **{
            f"{jobs} processes": partial(peer, frame, target, K=KEPT, n_jobs=jobs, show_progress=False)
            for jobs in (1, threads)
        },
    }
    kept, theirs = [f"c{i}" for i in MRMR(k=KEPT).fit(frame, target).order_], ways["1 processes"]()
    seconds = interleaved(ways, ROUNDS, warm_up=0)
    best = min((way for way in ways if way != "ours"), key=seconds.__getitem__)
    common = len(set(kept) & set(theirs))
    same = "the same, in the same order" if kept == theirs else f"{common} of {KEPT} the same"
    note = f"{KEPT} of {count} columns, {ROWS:,} rows; {same}; peer's best: {best}"
    found, both = ratio(seconds, best, "ours"), (seconds["ours"], seconds[best])
    yield Row("mRMR (FCQ), mrmr_selection / jumok", found, CHOSEN_FASTER, *both, "s", note)
    claim, differing = "columns of mRMR (FCQ) that differ from mrmr_selection's", len(set(kept) ^ set(theirs)) / 2
    yield Row(claim, Ratio.exact(differing), "<= 0", KEPT, common, "columns", "order counts not here")


def _mrmr(folder: Path) -> Callable[..., Any]:
    """The peer's function. It imports polars and category_encoders, which it does not call here: name what it needs."""
    (folder / "polars.py").write_text("class DataFrame: ...\nclass LazyFrame: ...\nclass Series: ...\n")
    (folder / "category_encoders.py").write_text("")
    sys.path.insert(0, str(folder))  # for this process, and for those it starts
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    try:
        from mrmr import mrmr_classif  # type: ignore[import-not-found]
    except ImportError as error:
        raise LeftOut("mrmr_selection is not installed: make bench-peers brings it") from error
    return mrmr_classif  # type: ignore[no-any-return]


# -- growth -------------------------------------------------------------------------------------


def _growth(method: str, threads: int) -> Iterator[Row]:
    """Seconds and extra memory by the size of the table, and the exponents of growth."""
    sizes = [size for size in GROWTH if not is_quick() or size[0] < max(rows for rows, _ in GROWTH)]
    seconds, extra, tables = {}, {}, {}
    for size in sizes:
        seconds[size], extra[size], tables[size] = _alone(method, size, threads)
    for small, large in itertools.permutations(sizes, 2):
        what = "rows" if small[1] == large[1] else "columns"
        if (large[0] * large[1]) == 10 * small[0] * small[1] and (small[0] == large[0] or small[1] == large[1]):
            note = f"extra memory {extra[large]:,.0f} MiB beside a table of {tables[large]:,.0f} MiB"
            claim = f"{method}, {large[0]:,} x {large[1]}: seconds with 10 times the {what} / before"
            yield Row(claim, seconds[large] / seconds[small], "", seconds[large], seconds[small], "s", note)


def _alone(method: str, size: tuple[int, int], threads: int) -> list[float]:
    """Seconds of one fit, extra memory, and what the table itself takes, in MiB."""
    command = [sys.executable, "-m", "bench.feature_selection", method, str(size[0]), str(size[1]), str(threads)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    return [float(figure) for figure in answer]


def _print_cost(method: str, rows: int, columns: int, threads: int) -> None:
    torch.set_num_threads(threads)
    kept = min(KEPT, columns)
    METHODS[method](k=2).fit(*table_of(200, 4)[:2])  # loads what is compiled
    table, classes, _ = table_of(rows, columns)
    forget_peak()
    before, started = resident("VmRSS"), time.perf_counter()
    METHODS[method](k=kept).fit(table, classes)
    print(time.perf_counter() - started, resident("VmHWM") - before, table.nbytes / (1 << 20))


if __name__ == "__main__":
    _print_cost(sys.argv[1], *map(int, sys.argv[2:]))
