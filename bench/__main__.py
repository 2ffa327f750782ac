"""`python -m bench [NAME ...]`: run the benches named, or all, and print how each claim stands."""

from __future__ import annotations

import importlib
import sys

from bench.table import pin, report

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
)
CORES = 2


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"no bench {unknown[0]!r}: known: {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    threads = pin(CORES)
    reached = [report(name, importlib.import_module(f"bench.{name}").run(threads)) for name in names or BENCHES]
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
