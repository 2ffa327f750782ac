"""`python -m bench [NAME ...]`: run the benches named, or all, and print how each claim stands on this machine."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.measuring import DEVICE, QUICK, pin

BENCHES = (
    "watch_cost",
    "attribution_cost",
    "faithfulness",
    "vit_training",
    "additive_attention",
    "non_local",
    "gates",
    "saliency",
    "ram_training",
    "translation_training",
    "translation_decoding",
    "feature_selection",
    "questions",
    "frozen_features",
    "look_throughput",
    "growth",
)
ON_CARD = (
    "watch_cost",
    "attribution_cost",
    "vit_training",
    "non_local",
    "gates",
    "translation_training",
    "translation_decoding",
)
"""Those whose work can run on a GPU."""
CORES = 2


def main(arguments: Sequence[str]) -> int:
    asked = _read(arguments)
    if asked.quick:
        os.environ[QUICK] = "1"
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler writes when it starts and stops, among the rows
    threads = pin(asked.threads)
    import torch  # and what imports it, which must find the cores that it may use

    from bench import machine, results

    if asked.device != "cpu" and not torch.cuda.is_available():
        print("--device cuda: torch finds no GPU here; leave it out to measure the processor", file=sys.stderr)
        return 2
    os.environ[DEVICE] = asked.device

    old = results.read(asked.compare) if asked.compare else {}
    here = machine.measure(threads)
    print(*here.lines(), f"commit {machine.commit()}", sep="\n")
    if asked.quick:
        print("quick: fewer repeats than 5 pairs, so verdicts are hints")
    found = {
        name: _run(name, threads, here, asked.out)
        for name in asked.names or (BENCHES if asked.device == "cpu" else ON_CARD)
    }
    if asked.compare:
        print(f"moved by more than the noise since {asked.compare}:")
        print(*results.compare(old, found), sep="\n")
    verdicts = {row["verdict"] for each in found.values() for row in each["rows"]}
    return 1 if verdicts & {"missed", "failed"} else 0


def _run(name: str, threads: int, here: Any, out: Path) -> dict[str, Any]:
    """Measure, print and keep one bench; one that cannot even begin is a row that says so."""
    from bench import results
    from bench.table import gather, print_rows

    def begin() -> Any:
        return gather(importlib.import_module(f"bench.{name}").run(threads))

    found = results.keep(out, name, gather([(name, begin)]), here)
    print_rows(f"{name} ({here.line})", found["rows"])
    return found


def _read(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHES)}")
    parser.add_argument("--quick", action="store_true", help="few repeats: all rows in under 10 minutes")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help=f"cuda: of {', '.join(ON_CARD)}")
    parser.add_argument("--threads", type=int, default=CORES, help=f"and cores; default {CORES}")
    parser.add_argument("--out", type=Path, default=None, help="where results are kept (bench/results/speed.json)")
    parser.add_argument("--compare", type=Path, metavar="OLD.json", help="print what moved by more than the noise")
    asked = parser.parse_args(arguments)
    for name in asked.names:
        if name not in BENCHES:
            parser.error(f"no bench {name!r}: known: {', '.join(BENCHES)}")
        if asked.device != "cpu" and name not in ON_CARD:
            parser.error(f"{name} has no form for {asked.device}: those that have one are {', '.join(ON_CARD)}")
    name = "speed.json" if asked.device == "cpu" else f"speed-{asked.device}.json"
    asked.out = asked.out or Path(__file__).parent / "results" / name
    return asked


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
