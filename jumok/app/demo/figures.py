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


def read_json(path: Path) -> Any:
    """What a command wrote."""
    return json.loads(path.read_text("utf-8"))


def show_share(name: str, value: float, interval: tuple[float, float]) -> Figure:
    """A share with its interval."""
    return Figure(
        name,
        f"{value:.1%}",
        translate("95 % interval {low} to {high}", low=f"{interval[0]:.1%}", high=f"{interval[1]:.1%}"),
    )


def show_best(systems: list[dict[str, Any]]) -> Figure:
    """The system that is right most often."""
    best = max(systems, key=lambda each: each["accuracy"])
    return show_share(
        translate("the most right, {name}", name=best["system"]), best["accuracy"], (best["low"], best["high"])
    )


def show_pointing(measured: dict[str, Any]) -> list[Figure]:
    """How often the largest weight lies in the mask, for every map and baseline."""
    return [
        Figure(
            translate("pointing game, {name}", name=name),
            f"{score['value']:.1%}",
            translate("{low} to {high}", low=f"{score['low']:.1%}", high=f"{score['high']:.1%}"),
        )
        for name, score in _all_scores(measured, "pointing")
    ]


def show_faithfulness(measured: dict[str, Any]) -> list[Figure]:
    """SRG of every map, where the filling tells least for it."""
    figures = []
    for name, scores in {**measured["methods"], **measured["baselines"]}.items():
        least = min((scores[f"srg, {filling}"] for filling in measured["fillings"]), key=lambda score: score["value"])
        figures.append(
            Figure(
                f"SRG, {name}",
                f"{least['value']:.2f}",
                translate("{low} to {high}", low=f"{least['low']:.2f}", high=f"{least['high']:.2f}"),
            )
        )
    return figures


def show_exact(evaluation: dict[str, Any]) -> Figure:
    """Sentences that were translated as in the reference, letter by letter."""
    return Figure(
        translate("unseen dates exactly right"),
        f"{evaluation['exact']:.1%}",
        translate("of {count}", count=f"{evaluation['sentences']:,}"),
    )


def show_alignment_error(measured: dict[str, Any]) -> list[Figure]:
    """Alignment error of every map and baseline."""
    return [
        Figure(translate("alignment error, {name}", name=name), f"{score['value']:.3f}", translate("less is better"))
        for name, score in _all_scores(measured, "aer")
    ]


def _all_scores(measured: dict[str, Any], score: str) -> list[tuple[str, dict[str, float]]]:
    return [(name, scores[score]) for name, scores in {**measured["methods"], **measured["baselines"]}.items()]
