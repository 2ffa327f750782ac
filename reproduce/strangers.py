"""Folders nobody here made: `python -m reproduce strangers --set cells [--data DIR] [--seeds 3] [--time 10m]`.

`jumok train FOLDER --time T` without any other flag, beside a random forest on HOG features, and beside a short loop
written and tuned by hand for the set, with the same time. Run it on a machine that does nothing else: the time is what
all three are given.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

from jumok.durations import parse_duration
from jumok.intervals import wilson
from reproduce.hand_tuned import HAND_TUNED, accuracy_by_hand
from reproduce.hog_forest import accuracy_of_forest
from reproduce.rows import Row, positive
from reproduce.stranger_sets import SETS, write_set

TITLE = "jumok train without a flag on folders from elsewhere: accuracy on the test part"
ABOUT = (
    "Solar cells: 2,624 electroluminescence images of 300 x 300 pixels. Deitsch et al. 2019 (arXiv 1807.02894) reach "
    "88.42 % with a VGG-19 pretrained on ImageNet, on 75 to 25 % of the cells, weighing the uncertain ones less; here "
    "the split is by a hash of the names, a cell counts as defective from a probability of 0.5 on, all count alike, "
    "and nothing is pretrained. Photographs: CIFAR-10 as JPEG, 200 a class. Digits: MNIST, 20 a class. The forest has "
    "500 trees on HOG features (Dalal & Triggs 2005). The loop by hand is reproduce/hand_tuned.py; its settings were "
    "chosen on the validation part."
)
QUICK = {"seeds": 1, "time": "20s"}
PUBLISHED = {"cells": 0.8842}
MEASURE = "test accuracy"


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--set", choices=[*SETS], default="digits", help="which folder")
    parser.add_argument("--data", type=Path, help="folder of the set's own files; cells come with elpv-dataset")
    parser.add_argument("--seeds", type=positive, default=3, help="trainings, from --seed on")
    parser.add_argument("--time", default="10m", help="of each training")
    parser.add_argument("--system", help="a system instead of the default one")
    parser.add_argument(
        "--without", nargs="*", choices=("jumok", "forest", "hand"), default=[], help="rows to leave out"
    )


def run(options: Namespace) -> Iterator[Row]:
    seconds = parse_duration(options.time, "--time")
    with tempfile.TemporaryDirectory() as place:
        folder = write_set(options.set, options.data, Path(place) / options.set)
        seeds = range(options.seed, options.seed + options.seeds)
        if "forest" not in options.without:
            yield _row(options, "forest on HOG", [accuracy_of_forest(folder, seed) for seed in seeds], folder)
        if "hand" not in options.without:
            found = [accuracy_by_hand(folder, HAND_TUNED[options.set], seed, seconds) for seed in seeds]
            yield _row(options, "loop by hand", found, folder)
        if "jumok" not in options.without:
            began = time.perf_counter()
            accuracies = [_train(folder, Path(place) / f"run-{seed}", options, seed) for seed in seeds]
            taken = time.perf_counter() - began
            yield _row(options, options.system or "jumok train", accuracies, folder, taken)


def _row(options: Namespace, model: str, found: list[float], folder: Path, seconds: float = 0.0) -> Row:
    tested = sum(1 for path in (folder / "test").rglob("*") if path.is_file())
    low, high = wilson(round(statistics.mean(found) * tested), tested)
    spread = ", ".join(f"{accuracy:.3f}" for accuracy in found)
    return Row(
        options.set,
        model,
        MEASURE,
        statistics.mean(found),
        published=PUBLISHED.get(options.set),
        source="arXiv 1807.02894, table 3" if options.set in PUBLISHED else "",
        setup=f"--time {options.time}; by seed {spread}; 95 % interval on {tested} images {low:.3f} to {high:.3f}",
        seconds=seconds,
    )


def _train(folder: Path, run: Path, options: Namespace, seed: int) -> float:
    """The accuracy that the command reaches on the test part."""
    more = ["--system", options.system] if options.system else []
    words = ["train", str(folder), "--out", str(run), "--time", options.time, "--seed", str(seed), *more]
    for command in (words, ["eval", str(run), str(folder)]):
        subprocess.run([sys.executable, "-m", "jumok", *command, "--threads", str(options.threads)], check=True)
    accuracy: float = json.loads((run / "eval" / "eval.json").read_text("utf-8"))["accuracy"]
    return accuracy
