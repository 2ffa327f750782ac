"""Figures of the demo's page, read from the JSON files that the commands write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jumok.language import translate
from jumok.views.pages.report_page import Figure

__all__ = [
    "read_json",
    "show_alignment_error",
    "show_best",
    "show_exact",
    "show_faithfulness",
    "show_pointing",
    "show_share",
]

Scores = dict[str, dict[str, float]]
"""Of maps, by name: a value and its interval."""


def read_json(path: Path) -> Any:
    """What a command wrote."""
    return json.loads(path.read_text("utf-8"))


def show_share(name: str, value: float, interval: tuple[float, float]) -> Figure:
    """A share with its interval."""
    return Figure(
        name,
        f"{value:.1%}",
        translate("95% interval {low} to {high}", low=f"{interval[0]:.1%}", high=f"{interval[1]:.1%}"),
    )


def show_best(systems: list[dict[str, Any]]) -> Figure:
    """The system that is right most often."""
    best = max(systems, key=lambda each: each["accuracy"])
    return show_share(
        translate("the most right, {name}", name=best["system"]), best["accuracy"], (best["low"], best["high"])
    )


def show_pointing(measured: dict[str, Any]) -> list[Figure]:
    """How often the largest weight lies in the mask, for every map and baseline."""
    name = translate("pointing game, {name}", name="{name}")
    return _show_beside(
        name, ".1%", _scores_of(measured["methods"], "pointing"), _scores_of(measured["baselines"], "pointing")
    )


def show_faithfulness(measured: dict[str, Any]) -> list[Figure]:
    """SRG of every map, where the filling tells least for it."""
    scores = [f"srg, {filling}" for filling in measured["fillings"]]
    methods, baselines = (
        {
            name: min((found[score] for score in scores), key=lambda score: score["value"])
            for name, found in maps.items()
        }
        for maps in (measured["methods"], measured["baselines"])
    )
    return _show_beside("SRG, {name}", ".2f", methods, baselines)


def _show_beside(name: str, form: str, methods: Scores, baselines: Scores) -> list[Figure]:
    """Each score with its interval; those that no baseline reaches stand out."""
    hardest = max(score["value"] for score in baselines.values())
    return [
        Figure(
            name.format(name=each),
            f"{score['value']:z{form}}",
            translate("{low} to {high}", low=f"{score['low']:z{form}}", high=f"{score['high']:z{form}}"),
            strong=each in methods and score["value"] > hardest,
        )
        for each, score in {**methods, **baselines}.items()
    ]


def show_exact(evaluation: dict[str, Any]) -> Figure:
    """Sentences that were translated as in the reference, letter by letter."""
    return Figure(
        translate("unseen dates exactly right"),
        f"{evaluation['exact']:.1%}",
        translate("of {count}", count=f"{evaluation['sentences']:,}"),
    )


def show_alignment_error(measured: dict[str, Any]) -> list[Figure]:
    """Alignment error of every map and baseline; those that no baseline reaches stand out."""
    methods, baselines = (_scores_of(measured[kind], "aer") for kind in ("methods", "baselines"))
    hardest = min(score["value"] for score in baselines.values())
    return [
        Figure(
            translate("alignment error, {name}", name=name),
            f"{score['value']:.3f}",
            translate("less is better"),
            strong=name in methods and score["value"] < hardest,
        )
        for name, score in {**methods, **baselines}.items()
    ]


def _scores_of(maps: dict[str, Any], score: str) -> Scores:
    return {name: scores[score] for name, scores in maps.items()}
