"""easy-VQA: `python -m reproduce easy_vqa [--only stacked question ...]`.

The set comes with the PyPI package easy-vqa. Wall time on one core of a 4-core AMD EPYC: about 5 minutes a model.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from reproduce.answerers import ALL, Recipe, rows
from reproduce.question_sets import easy_vqa
from reproduce.rows import Row

TITLE = "easy-VQA: accuracy on its test part"
ABOUT = (
    "Zhou 2019: 4,000 images of one shape with 38,575 questions to train on, 1,000 with 9,673 to test on; no other "
    "images or questions were used, where the author's best doubled the set. A tenth of the training images chose the "
    "epoch that was kept."
)
SOURCE = "Zhou 2019, https://victorzhou.com/blog/easy-vqa/ and its demo"
COMMON = "--epochs 8 --lr 0.002 --batch-size 64 --ema 0.99 --option width=128"
RECIPES = {
    "stacked": Recipe("vqa-stacked", f"--system vqa-stacked {COMMON}", goals=((ALL, ">= 99"),)),
    "transformer": Recipe("vqa-transformer", f"--system vqa-transformer {COMMON} --lr 0.001"),
    "concat": Recipe(
        "vqa-concat", f"--system vqa-concat {COMMON}", published=((ALL, 87.6),), source=f"{SOURCE}: CNN and question"
    ),
    "question": Recipe("vqa-question", f"--system vqa-question {COMMON}"),
    "image": Recipe("vqa-image", f"--system vqa-image {COMMON}"),
}
QUICK = {"only": ["question"]}


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--runs", type=Path, default=Path("runs/easy-vqa"), help="of set and runs (%(default)s)")
    parser.add_argument("--only", nargs="+", choices=list(RECIPES), default=list(RECIPES), help="models")


def run(options: Namespace) -> Iterator[Row]:
    parts = easy_vqa(options.runs / "data")
    for name in options.only:
        recipe = RECIPES[name]
        if options.quick:
            recipe = replace(recipe, model=f"{recipe.model}, one epoch", train=f"{recipe.train} --epochs 1", goals=())
        yield from rows(recipe, parts, options.runs / name, options.threads, options.seed)
