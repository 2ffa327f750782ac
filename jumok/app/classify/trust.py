"""Which map of a freshly trained classifier is the most faithful, measured on some of its validation images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jumok.errors import JumokError

if TYPE_CHECKING:
    from jumok.app.session import Session
    from jumok.measures.faithfulness_report import FaithfulnessReport
    from jumok.tasks.classify.settings import RunConfig
    from jumok.tasks.running.trust import Trust

__all__ = ["judge"]

MOST = 64
"""Validation images."""
STEPS = 8
"""Parts in which an image is taken away: fewer than `jumok measure` takes, as the time is short."""
FILLINGS = ("mean", "blur")


def judge(folder: Path, config: RunConfig, seconds: float, device: str, session: Session) -> Trust | None:
    """Measure which of a run's maps is the most faithful.

    Args:
        folder: of the run, its weights written.
        config: of the run.
        seconds: that it may take.
        device: for the model.
        session: of the command.
    Returns:
        what was found; None where there is nothing to find, or not time enough.
    """
    from jumok.app.classify.faithful import measure_faithfulness
    from jumok.app.classify.maps import MapMaker
    from jumok.app.faithful import FEWEST, Plan
    from jumok.app.progress import show_progress
    from jumok.tasks.classify.any_classifier import open_model
    from jumok.tasks.classify.looking import LookOptions
    from jumok.tasks.classify.prepare import find_parts

    paths = find_parts(config.data, config.training.seed)["val"].paths
    if len(paths) < FEWEST:
        session.say(f"which map is the most faithful was not measured: {len(paths)} validation images are too few")
        return None
    maps = MapMaker(open_model(str(folder), device), LookOptions(), ())
    plan = Plan(FILLINGS, STEPS, MOST, seconds)
    try:
        with show_progress(session.console, "comparing maps") as tell:
            report, _ = measure_faithfulness(maps, paths, plan, seed=config.training.seed, tell=tell)
    except JumokError as error:
        session.say(f"which map is the most faithful was not measured: {error}")
        return None
    if report is None:
        session.say(
            f"which map is the most faithful was not measured: {seconds:.0f} s, a twentieth of the training, are too "
            f"short; jumok measure {folder} {config.data.images} tells it"
        )
    return None if report is None else _conclude(report)


def _conclude(report: FaithfulnessReport) -> Trust:
    from jumok.tasks.running.trust import Trust

    best = report.best()
    return Trust(method=best, verdict=report.verdict(best or report.ranking()[0]), inputs=report.inputs)
