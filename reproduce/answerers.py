"""Train a model that answers questions by the program's own commands and judge it, or judge the one that is there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from jumok.app.cli import run
from reproduce.question_sets import Parts
from reproduce.rows import Row
from reproduce.trained_runs import seconds, steps, train

ALL = "all"
"""The case of all kinds of questions together."""


@dataclass(frozen=True)
class Recipe:
    """One model of a table.

    Args:
        model: what the table calls it.
        train: flags of `jumok train`, beside the data and the folder.
        goals, published: accuracy in percent, by kind of question or `ALL`.
        source: where the published figures stand.
    """

    model: str
    train: str
    goals: tuple[tuple[str, str], ...] = ()
    published: tuple[tuple[str, float], ...] = ()
    source: str = ""


def rows(recipe: Recipe, parts: Parts, folder: Path, threads: int, seed: int) -> list[Row]:
    """Train where the folder holds no finished run, judge on the test questions, and give the accuracy of each kind."""
    data = [str(parts.train), "--images", str(parts.images), "--test-questions", str(parts.test)]
    train([*data, *recipe.train.split()], folder, threads, seed)
    run(["eval", str(folder), "--threads", str(threads)])
    found = json.loads((folder / "eval" / "eval.json").read_text("utf-8"))
    by_kind = {ALL: found, **{row["kind"]: row for row in found["by_kind"]}}
    goals, published = dict(recipe.goals), dict(recipe.published)
    return [
        Row(
            kind,
            recipe.model,
            "test accuracy, %",
            round(100 * row["accuracy"], 2),
            goals.get(kind, ""),
            published.get(kind),
            recipe.source if kind in published else "",
            f"jumok train {recipe.train}; {row['questions']:,} questions",
            steps(folder),
            seconds(folder),
        )
        for kind, row in by_kind.items()
    ]
