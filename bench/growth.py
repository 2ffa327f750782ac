"""How time and memory grow with the data: each verb on ever larger data, and the exponents: `python -m bench growth`.

Each command runs in a process of its own, whose processor seconds and peak of memory Linux tells. What it takes with
next to no data (`START` inputs) is taken off; the exponent is the slope of a straight line through the logarithms, with
its 95% interval. Tokens: watching and a map of one query, on a Vision Transformer of one head with 64 numbers a token.

Memory that grows by less than 64 MiB above the start counts as not growing.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from bench.measuring import Ratio, is_quick, resident
from bench.table import Part, Row
from jumok.data.samples.shape_folder import write_shapes
from jumok.files import write_atomically
from jumok.systems.vit import ViT, ViTConfig
from jumok.watching.watch import watch

STRAIGHT, ATTENTION = "<= 1.1", "<= 2.1"
START = 8
NO_GROWTH = 64
"""MiB."""
SIDE, LETTERS = 24, 20
TABLE_COLUMNS = 5
WIDTH, PATCH = 64, 16
ONCE = ["--epochs", "1", "--no-trust", "--out"]
ON_IMAGES = ["--system", "vit-nano", "--image-size", str(SIDE)]
ON_PAIRS = ["--system", "seq2seq", "--option", "hidden=32", "--option", "embedding=32"]
ON_QUESTIONS = ["--system", "vqa-concat"]


class Cost(NamedTuple):
    """What a command took: seconds of the processors, and MiB of memory at its peak."""

    seconds: float
    memory: float


class Verb(NamedTuple):
    """A command whose data grow.

    Args:
        name: what the row is called.
        unit: what is counted.
        sizes: how many there are, in full and with `--quick`.
        begin: makes what all sizes share, in a folder, and gives the command for data of a size in another.
    """

    name: str
    unit: str
    sizes: tuple[Sequence[int], Sequence[int]]
    begin: Callable[[Path], Callable[[Path, int], list[str]]]


def run(threads: int = 2) -> Iterator[Part]:
    """All rows of this bench."""
    for verb in VERBS:
        yield verb.name, partial(_rows, verb, threads)
    for method in ("rollout", "chefer"):
        yield f"watch and {method}", partial(_token_rows, method, threads)


def _rows(verb: Verb, threads: int) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        command = verb.begin(folder)

        def cost(size: int) -> Cost:
            data = folder / f"{verb.unit}-{size}"
            data.mkdir()
            words = ["-m", "jumok", *command(data, size), "--threads", str(threads)]
            return _cost(words if "select" not in words else words[:-2])

        yield from _grow(verb.name, verb.unit, verb.sizes[is_quick()], cost, START, STRAIGHT)


def _grow(
    name: str, unit: str, sizes: Sequence[int], cost: Callable[[int], Cost], start: int, goal: str
) -> Iterator[Row]:
    least = cost(start)
    costs = {size: cost(size) for size in sizes}
    said = f"{sizes[0]:,} to {sizes[-1]:,} {unit}"
    last = costs[sizes[-1]]
    took = ", ".join(f"{each.seconds:.3g}" for each in costs.values())
    note = f"processor seconds {took}; {least.seconds:.3g} with {start}"
    found = exponent({size: each.seconds - least.seconds for size, each in costs.items()})
    yield _row(f"{name}: exponent of time, {said}", found, goal, last.seconds, "s", note)
    took = ", ".join(f"{each.memory:,.0f}" for each in costs.values())
    note = f"MiB {took}; {least.memory:,.0f} with {start}"
    grows = last.memory - least.memory >= NO_GROWTH
    memory = {size: each.memory - least.memory for size, each in costs.items()}
    found = exponent(memory) if grows else Ratio.exact(0.0)
    yield _row(f"{name}: exponent of memory, {said}", found, goal, last.memory, "MiB", note)


def _row(claim: str, found: Ratio, goal: str, last: float, unit: str, note: str) -> Row:
    if math.isnan(found.middle):
        return Row(claim, note=f"too few sizes cost more than the start; {note}", trouble="left out")
    return Row(claim, found, goal, last, unit=unit, note=note)


def exponent(costs: Mapping[int, float]) -> Ratio:
    """The slope of log cost over log size by least squares, with its 95% interval.

    Costs that are not above 0 (less than the start took) are left out.

    >>> exponent({10: 1.0, 100: 10.0, 1000: 100.0}).middle
    1.0
    """
    points = [(math.log(size), math.log(cost)) for size, cost in costs.items() if cost > 0]
    if len(points) < 3:
        return Ratio.exact(float("nan"))
    from scipy import stats

    line = stats.linregress(*zip(*points, strict=True))
    reach = float(stats.t.ppf(0.975, len(points) - 2) * line.stderr)
    return Ratio(round(float(line.slope), 12), line.slope - reach, line.slope + reach, len(points))


LAUNCHER = """
import os, subprocess, sys
with open(sys.argv[1], "wb") as said:
    child = subprocess.Popen([sys.executable, *sys.argv[2:]], stdout=said, stderr=subprocess.STDOUT)
    _, status, used = os.wait4(child.pid, 0)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""A small process between: what Linux tells of a child's peak counts what its parent held when it began."""


def _cost(words: Sequence[str]) -> Cost:
    """Run a command of Python's to its end, and ask Linux what it took."""
    with tempfile.TemporaryDirectory() as place:
        said = Path(place) / "said.txt"
        done = subprocess.run(
            [sys.executable, "-c", LAUNCHER, str(said), *words], stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {said.read_text(errors='replace')[-300:]}")
    return Cost(*map(float, done.stdout.split()))


# -- images -------------------------------------------------------------------------------------


def _write_images(folder: Path, count: int) -> Path:
    """Two classes of images, no two alike."""
    chance = np.random.default_rng(count)
    for number in range(count):
        pixels = chance.integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
        pixels[: SIDE // 2] //= 1 + number % 2
        path = folder / f"class-{number % 2}" / f"{number:06}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder


def _train_on_images(folder: Path) -> Path:
    (folder / "few").mkdir()
    run, data = folder / "run", _write_images(folder / "few", 40)
    _cost(["-m", "jumok", "train", str(data), *ON_IMAGES, *ONCE, str(run)])
    return run


def _begin_inspect(folder: Path) -> Callable[[Path, int], list[str]]:
    return lambda data, size: ["inspect", str(_write_images(data, size)), "--out", str(folder / f"{data.name}-seen")]


def _begin_training(folder: Path) -> Callable[[Path, int], list[str]]:
    def command(data: Path, size: int) -> list[str]:
        return ["train", str(_write_images(data, size)), *ON_IMAGES, *ONCE, str(folder / f"run-{size}")]

    return command


def _begin_with_run(folder: Path, words: Callable[[Path, Path, Path], list[str]]) -> Callable[[Path, int], list[str]]:
    run = _train_on_images(folder)
    return lambda data, size: words(run, _write_images(data, size), folder / f"{data.name}-out")


def _look(run: Path, data: Path, out: Path) -> list[str]:
    return ["look", str(data), "--model", str(run), "--out", str(out)]


def _predict(run: Path, data: Path, out: Path) -> list[str]:
    return ["predict", str(run), str(data), "--csv", str(out.with_suffix(".csv"))]


def _measure(run: Path, data: Path, out: Path) -> list[str]:
    return ["measure", str(run), str(data), "--split", "all", "--out", str(out)]


# -- tables, pairs, questions -------------------------------------------------------------------


def _begin_select(folder: Path) -> Callable[[Path, int], list[str]]:
    def command(data: Path, size: int) -> list[str]:
        path, chance = data / "table.csv", np.random.default_rng(size)
        table = chance.normal(size=(size, TABLE_COLUMNS))
        target = (table[:, 0] + chance.normal(size=size) > 0).astype(int)
        names = ",".join([*(f"c{at}" for at in range(TABLE_COLUMNS)), "target"])
        np.savetxt(path, np.column_stack([table, target]), "%.4g", ",", header=names, comments="")
        return ["select", str(path), "--target", "target", "--out", str(folder / f"{data.name}-out")]

    return command


def _write_pairs(path: Path, count: int) -> Path:
    """Words and the same backwards."""
    chance = np.random.default_rng(count)
    words = [" ".join(f"w{number}" for number in row) for row in chance.integers(0, LETTERS, (count, 6))]
    write_atomically(path, "".join(f"{line}\t{' '.join(reversed(line.split()))}\n" for line in words))
    return path


def _begin_training_on_pairs(folder: Path) -> Callable[[Path, int], list[str]]:
    def command(data: Path, size: int) -> list[str]:
        return ["train", str(_write_pairs(data / "pairs.tsv", size)), *ON_PAIRS, *ONCE, str(folder / f"run-{size}")]

    return command


def _begin_eval_of_pairs(folder: Path) -> Callable[[Path, int], list[str]]:
    run = folder / "run"
    _cost(["-m", "jumok", "train", str(_write_pairs(folder / "few.tsv", 200)), *ON_PAIRS, *ONCE, str(run)])

    def command(data: Path, size: int) -> list[str]:
        return ["eval", str(run), str(_write_pairs(data / "pairs.tsv", size)), "--split", "all"]

    return command


def _begin_questions(folder: Path) -> Callable[[Path, int], list[str]]:
    def command(data: Path, size: int) -> list[str]:
        write_shapes(data / "shapes", train=max(size // 6, 2), val=4, test=4, questions=6, size=32)
        return ["train", str(data / "shapes"), *ON_QUESTIONS, *ONCE, str(folder / f"run-{size}")]

    return command


MANY = ((100, 1000, 10_000, 100_000), (300, 1000, 3000))
DRAWN = ((100, 300, 1000, 3000), (30, 100, 300))
ROWS = ((10_000, 100_000, 1_000_000, 10_000_000), (3000, 10_000, 30_000))
TEXTS = ((1000, 3000, 10_000, 100_000), (300, 1000, 3000))
VERBS = (
    Verb("inspect", "images", MANY, _begin_inspect),
    Verb("train, one epoch", "images", MANY, _begin_training),
    Verb("predict", "images", MANY, partial(_begin_with_run, words=_predict)),
    Verb("look", "images", DRAWN, partial(_begin_with_run, words=_look)),
    Verb("measure", "images", DRAWN, partial(_begin_with_run, words=_measure)),
    Verb("select", "rows", ROWS, _begin_select),
    Verb("train, one epoch", "pairs", TEXTS, _begin_training_on_pairs),
    Verb("eval", "pairs", TEXTS, _begin_eval_of_pairs),
    Verb("train, one epoch", "questions", TEXTS, _begin_questions),
)


# -- tokens -------------------------------------------------------------------------------------

SIDES = ((224, 512, 1024, 2048), (224, 512, 1024))
"""Of images whose patches are 197 to 16,385 tokens."""


def _token_rows(method: str, threads: int) -> Iterator[Row]:
    tokens = {(side // PATCH) ** 2 + 1: side for side in (PATCH, *SIDES[is_quick()])}

    def cost(count: int) -> Cost:
        words = ["-m", "bench.growth", method, str(tokens[count]), str(threads)]
        said = subprocess.run([sys.executable, *words], check=True, stdout=subprocess.PIPE, text=True).stdout.split()
        return Cost(float(said[-2]), float(said[-1]))

    yield from _grow(f"watch and {method}", "tokens", list(tokens)[1:], cost, 2, ATTENTION)


def _print_token_cost(method: str, side: int, threads: int) -> None:
    """Of one map by a method: processor seconds, and the peak of memory."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    vit = ViT(ViTConfig(classes=2, image_size=side, patch=PATCH, width=WIDTH, depth=2, heads=1)).eval()
    before = time.process_time()
    with watch(vit) as seen:
        logits = vit(torch.randn(1, 3, side, side))
    if method == "rollout":
        seen.rollout("cls")
    else:
        seen.relevance(logits[0, 0], method=method)
    print(time.process_time() - before, resident("VmHWM"))


if __name__ == "__main__":
    _print_token_cost(sys.argv[1], *map(int, sys.argv[2:]))
