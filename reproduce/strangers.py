"""Folders from elsewhere: `python -m reproduce strangers --set cells [--data DIR] [--seeds 3] [--time 10m]`.

`jumok train FOLDER --time T` without any other flag, beside a random forest on HOG features, and beside a short loop
written and tuned by hand for the set. Where other work runs on the machine, `--time` buys less: so the loop gets the
processor seconds that jumok's training took with the same seed, its start and its trials included.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from jumok.data.images.folders import scan
from jumok.durations import parse_duration
from jumok.intervals import wilson
from reproduce.hand_tuned import HAND_TUNED, accuracy_by_hand
from reproduce.hog_forest import accuracy_of_forest
from reproduce.rows import Row, positive
from reproduce.stranger_sets import SETS, write_set

TITLE = "jumok train without a flag on folders from elsewhere: accuracy on the test part"
ABOUT = (
    "Solar cells: 2,624 electroluminescence images of 300 x 300 pixels. Deitsch et al. 2019 (arXiv 1807.02894) reach "
    "88.42% with a VGG-19 pretrained on ImageNet, on 75 to 25% of the cells, weighing the uncertain ones less; here "
    "the split is by a hash of the names, a cell counts as defective from a probability of 0.5 on, all count alike, "
    "and nothing is pretrained. Photographs: CIFAR-10 as JPEG, 200 a class. Digits: MNIST, 20 a class. Inspection: "
    "surfaces of jumok sample inspection, 6,000 to learn from or 200 a class. The forest has 500 trees on HOG features "
    "(Dalal & Triggs 2005). The loop by hand is reproduce/hand_tuned.py; its settings were chosen on pictures that are "
    "not in the test part, and it gets the processor seconds that jumok's training took with the same seed."
)
QUICK = {"seeds": 1, "time": "20s"}
PUBLISHED = {"cells": 0.8842}
MEASURE = "test accuracy"
MAY_LACK = 0.02
"""Accuracy by which jumok may stay behind the loop by hand."""


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
    seconds = parse_duration(options.time, "--time") * options.threads
    with tempfile.TemporaryDirectory() as place:
        folder = write_set(options.set, options.data, Path(place) / options.set)
        seeds = range(options.seed, options.seed + options.seeds)
        yield _row(options, "always one class", [accuracy_of_one_class(folder)], folder)
        bars = []
        if "forest" not in options.without:
            bars.append([accuracy_of_forest(folder, seed) for seed in seeds])
            yield _row(options, "forest on HOG", bars[-1], folder)
        trained, by_hand = [], []
        for seed in seeds:
            if "jumok" not in options.without:
                trained.append(_train(folder, Path(place) / f"run-{seed}", options, seed))
            if "hand" not in options.without:
                spent = trained[-1].processor if trained else seconds
                by_hand.append(Training(spent, *accuracy_by_hand(folder, HAND_TUNED[options.set], seed, spent)))
            _tell(options.set, seed, trained, by_hand)
        if by_hand:
            bars.append([training.accuracy - MAY_LACK for training in by_hand])
            yield _row(options, "loop by hand", [each.accuracy for each in by_hand], folder, by_hand)
        if trained:
            goal = f">= {max(map(statistics.mean, bars)):.4f}" if bars else ""
            found = [each.accuracy for each in trained]
            yield _row(options, options.system or "jumok train", found, folder, trained, goal)


class Training(NamedTuple):
    """A training, of jumok's or by hand.

    Args:
        processor: seconds of the processors that it took.
        accuracy, balanced: on the test part: of all pictures, and the mean over classes.
    """

    processor: float
    accuracy: float
    balanced: float


def accuracy_of_one_class(folder: Path) -> float:
    """How often the commonest class of the training part is right on the test part."""
    sets = scan(folder)
    (largest, _), *_ = Counter(sets["train"].labels).most_common(1)
    return sets["test"].labels.count(largest) / len(sets["test"])


def _row(
    options: Namespace,
    model: str,
    found: Sequence[float],
    folder: Path,
    trained: Sequence[Training] = (),
    goal: str = "",
) -> Row:
    tested = len(scan(folder)["test"])
    low, high = wilson(round(statistics.mean(found) * tested), tested)
    parts = [f"by seed {', '.join(f'{accuracy:.3f}' for accuracy in found)}"] if len(found) > 1 else []
    parts.append(f"95% interval of {statistics.mean(found):.3f} on {tested:,} images {low:.3f} to {high:.3f}")
    if trained:
        spent = ", ".join(f"{each.processor:.0f}" for each in trained)
        balanced = statistics.mean(each.balanced for each in trained)
        parts.append(f"balanced accuracy {balanced:.3f}; --time {options.time}, processor seconds {spent}")
    return Row(
        options.set,
        model,
        MEASURE,
        statistics.mean(found),
        goal=goal,
        published=PUBLISHED.get(options.set),
        source="arXiv 1807.02894, table 3" if options.set in PUBLISHED else "",
        setup="; ".join(parts),
        seconds=sum(each.processor for each in trained),
    )


def _tell(name: str, seed: int, trained: Sequence[Training], by_hand: Sequence[Training]) -> None:
    """What came of a seed, before all are done."""
    for model, found in (("jumok", trained), ("by hand", by_hand)):
        if found:
            last = found[-1]
            right = f"{last.accuracy:.4f}, balanced {last.balanced:.4f}"
            print(f"{name}, seed {seed}, {model}: {right}, in {last.processor:.0f} s", file=sys.stderr)


def _train(folder: Path, run: Path, options: Namespace, seed: int) -> Training:
    """Train with the command, and judge the run on the test part."""
    more = ["--system", options.system] if options.system else []
    before = _count_seconds()
    _jumok(options, "train", str(folder), "--out", str(run), "--time", options.time, "--seed", str(seed), *more)
    spent = _count_seconds() - before
    _jumok(options, "eval", str(run), str(folder))
    judged = json.loads((run / "eval" / "eval.json").read_text("utf-8"))
    return Training(spent, judged["accuracy"], judged["balanced_accuracy"])


def _jumok(options: Namespace, *words: str) -> None:
    command = [sys.executable, "-m", "jumok", *words, "--threads", str(options.threads)]
    subprocess.run(command, check=True)


def _count_seconds() -> float:
    """Seconds of the processors that commands have taken which are over."""
    spent = os.times()
    return spent.children_user + spent.children_system
