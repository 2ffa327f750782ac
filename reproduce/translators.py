"""Train a translator by the program's own commands and judge it, or judge the one that is already there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jumok.app.cli import run
from reproduce.rows import Row
from reproduce.trained_runs import seconds, steps, train


@dataclass(frozen=True)
class Recipe:
    """One model of a table.

    Args:
        model: what the table calls it.
        train: flags of `jumok train`, beside the data and the folder.
        eval: flags of `jumok eval`.
        goals, published: by measure, "BLEU" or "chrF".
        source: where the published figures stand.
    """

    model: str
    train: str
    eval: str = "--beam 5"
    goals: tuple[tuple[str, str], ...] = ()
    published: tuple[tuple[str, float], ...] = ()
    source: str = ""


def rows(case: str, recipe: Recipe, data: Sequence[Path], folder: Path, threads: int, seed: int) -> list[Row]:
    """Train where the folder holds no finished run, judge on the test pairs, and give BLEU and chrF.

    Args:
        case: which part of the table.
        data: as `jumok train` takes it.
        folder: of the run.
    """
    train([*map(str, data), *recipe.train.split()], folder, threads, seed)
    run(["eval", str(folder), *recipe.eval.split(), "--threads", str(threads)])
    scores = json.loads((folder / "eval" / "eval.json").read_text("utf-8"))
    setup = f"jumok train {recipe.train}; jumok eval {recipe.eval}; {scores['sentences']} test pairs"
    figures = {"BLEU": (scores["bleu"], scores["bleu_signature"]), "chrF": (scores["chrf"], scores["chrf_signature"])}
    goals, published = dict(recipe.goals), dict(recipe.published)
    return [
        Row(
            case,
            recipe.model,
            f"{name}, sacreBLEU {signature}",
            round(value, 2),
            goals.get(name, ""),
            published.get(name),
            recipe.source if name in published else "",
            setup,
            steps(folder),
            seconds(folder),
        )
        for name, (value, signature) in figures.items()
    ]


def examples(folder: Path, count: int = 5) -> dict[str, list[dict[str, Any]]]:
    """Translations of the best and of the worst sentence chrF, for whoever wants to see what a figure means."""
    lines = (folder / "eval" / "translations.tsv").read_text("utf-8").splitlines()
    heads, *found = (line.split("\t") for line in lines)
    ranked = sorted((dict(zip(heads, row, strict=True)) for row in found), key=lambda row: -float(row["chrf"]))
    return {"best": ranked[:count], "worst": ranked[-count:]}
