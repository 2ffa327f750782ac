"""Feature selection, jumok beside scikit-learn and mrmr_selection: `python -m bench feature_selection`.

Mutual information of 500 columns with a target, 20,000 rows, beside scikit-learn's `mutual_info_classif` and
`mutual_info_regression`, as they come (one process) and with as many processes as we have threads. mRMR by F statistic
and correlation (FCQ), 20 of the same 500 columns, beside mrmr_selection with one and with as many processes; the faster
one counts. All run in turns; a peer that takes over half a minute runs once. Loading compiled loops is done before the
clock starts.

Growth: jumok alone with ten times the rows or columns, each in a process of its own; extra memory is the peak above
what the table itself takes, as Linux keeps it (VmHWM).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from bench.table import Row, interleaved
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


def run(threads: int = 2) -> list[Row]:
    """All rows of this bench."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        peer = _mrmr(Path(folder))  # first, for the processes that scikit-learn starts serve this peer, too
        return [*_information(threads), *_redundancy(threads, peer), *_growth(threads)]


# -- mutual information -------------------------------------------------------------------------


def _information(threads: int) -> list[Row]:
    from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

    table, classes, numbers = table_of(ROWS, COLUMNS)
    rows = []
    for name, target, peer in (("classes", classes, mutual_info_classif), ("numbers", numbers, mutual_info_regression)):
        ours = partial(mutual_information, table, target, discrete_target=name == "classes")
        found = {"ours": ours()}
        spent = {"ours": interleaved({"ours": ours}, ROUNDS, warm_up=0)["ours"]}
        for way, jobs in (("as it comes", None), (f"{threads} processes", threads)):
            started = time.perf_counter()
            found[way] = peer(table, target, random_state=0, n_jobs=jobs)
            spent[way] = time.perf_counter() - started
        again = interleaved({"ours": ours}, ROUNDS, warm_up=0)["ours"]
        seconds = (spent["ours"] + again) / 2  # before and after the peer
        like = np.corrcoef(found["ours"], found["as it comes"])[0, 1]
        apart = np.abs(found["ours"] - found["as it comes"]).max()
        note = f"{ROWS:,} x {COLUMNS}; correlation {like:.6f}, furthest apart {apart:.1e} nats"
        claim = f"mutual information, target in {name}, scikit-learn"
        rows += [
            Row(f"{claim} / jumok", spent["as it comes"] / seconds, FASTER, seconds, spent["as it comes"], "s", note),
            Row(
                f"{claim} in {threads} processes / jumok", spent[f"{threads} processes"] / seconds, "", seconds,
                spent[f"{threads} processes"], "s", f"ours {threads} threads",
            ),
        ]  # fmt: skip
    return rows


# -- mRMR ---------------------------------------------------------------------------------------


def _redundancy(threads: int, peer: Callable[..., Any]) -> list[Row]:
    import pandas as pd  # type: ignore[import-untyped]

    table, classes, _ = table_of(ROWS, COLUMNS)
    frame, target = pd.DataFrame(table, columns=[f"c{i}" for i in range(COLUMNS)]), pd.Series(classes)
    ways: Mapping[str, Callable[[], Any]] = {
        "ours": lambda: list(MRMR(k=KEPT).fit(frame, target).get_feature_names_out()),
        **{
            f"{jobs} processes": partial(peer, frame, target, K=KEPT, n_jobs=jobs, show_progress=False)
            for jobs in (1, threads)
        },
    }
    ours, theirs = MRMR(k=KEPT).fit(frame, target), ways["1 processes"]()
    seconds = interleaved(ways, 2, warm_up=0)
    best = min((way for way in ways if way != "ours"), key=seconds.__getitem__)
    kept = [f"c{i}" for i in ours.order_]
    same = "the same, in the same order" if kept == theirs else f"{len(set(kept) & set(theirs))} of {KEPT} the same"
    note = f"{KEPT} of {COLUMNS} columns, {ROWS:,} rows; {same}; peer's best: {best}"
    return [
        Row("mRMR (FCQ), mrmr_selection / jumok", seconds[best] / seconds["ours"], CHOSEN_FASTER, seconds["ours"],
            seconds[best], "s", note),
        Row("columns of mRMR (FCQ) that differ from mrmr_selection's", len(set(kept) ^ set(theirs)) / 2, "<= 0", KEPT,
            len(set(kept) & set(theirs)), "columns", "order counts not here"),
    ]  # fmt: skip


def _mrmr(folder: Path) -> Callable[..., Any]:
    """The peer's function. It imports polars and category_encoders, which it does not call here: name what it needs."""
    (folder / "polars.py").write_text("class DataFrame: ...\nclass LazyFrame: ...\nclass Series: ...\n")
    (folder / "category_encoders.py").write_text("")
    sys.path.insert(0, str(folder))  # for this process, and for those it starts
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    from mrmr import mrmr_classif  # type: ignore[import-not-found]

    return mrmr_classif  # type: ignore[no-any-return]


# -- growth -------------------------------------------------------------------------------------


class Cost(NamedTuple):
    """Seconds of one fit, extra memory, and what the table itself takes."""

    seconds: float
    mebibytes: float
    table: float


def _growth(threads: int) -> list[Row]:
    rows = []
    for method in GROWING:
        costs = {size: _alone(method, size, threads) for size in GROWTH}
        for small, large in (((10_000, 100), (100_000, 100)), ((100_000, 100), (1_000_000, 100)),
                             ((100_000, 10), (100_000, 100))):  # fmt: skip
            what = "rows" if small[1] == large[1] else "columns"
            cost = costs[large]
            note = f"extra memory {cost.mebibytes:,.0f} MiB beside a table of {cost.table:,.0f} MiB"
            claim = f"{method}, {large[0]:,} x {large[1]}: seconds with 10 times the {what} / before"
            before = costs[small].seconds
            rows.append(Row(claim, cost.seconds / before, "", cost.seconds, before, "s", note))
    return rows


def _alone(method: str, size: tuple[int, int], threads: int) -> Cost:
    command = [sys.executable, "-m", "bench.feature_selection", method, str(size[0]), str(size[1]), str(threads)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    return Cost(*map(float, answer))


def _print_cost(method: str, rows: int, columns: int, threads: int) -> None:
    torch.set_num_threads(threads)
    kept = min(KEPT, columns)
    METHODS[method](k=2).fit(*table_of(200, 4)[:2])  # loads what is compiled
    table, classes, _ = table_of(rows, columns)
    Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM back to what is resident now
    before, started = _resident("VmRSS"), time.perf_counter()
    METHODS[method](k=kept).fit(table, classes)
    print(time.perf_counter() - started, _resident("VmHWM") - before, table.nbytes / (1 << 20))


def _resident(what: str) -> float:
    """The resident memory of the process, now (VmRSS) or at its peak (VmHWM), in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(f"{what}:"))


if __name__ == "__main__":
    _print_cost(sys.argv[1], *map(int, sys.argv[2:]))
