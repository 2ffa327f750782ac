"""Which map of a freshly trained model is the most faithful, whatever the data: how it is found, and what is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from jumok.app.measuring import FEWEST, Plan, Tell
from jumok.errors import JumokError

if TYPE_CHECKING:
    from jumok.app.session import Session
    from jumok.measures.faithfulness_report import FaithfulnessReport
    from jumok.tasks.running.trust import Trust

__all__ = ["find_most_faithful"]

MOST = 64
"""Validation inputs."""
LEAST_SECONDS = 1.0
"""With less, nothing is begun."""
STEPS = 8
"""Parts in which an input is taken away: fewer than `jumok measure` takes, as the time is short."""
NOT_MEASURED = "which map is the most faithful was not measured"

Measure: TypeAlias = Callable[[Plan, Tell], "FaithfulnessReport | None"]


def find_most_faithful(
    measure: Measure,
    session: Session,
    *,
    fillings: tuple[str, ...],
    seconds: float,
    inputs: int,
    noun: str,
    command: str,
) -> Trust | None:
    """Measure maps on validation data.

    Args:
        measure: takes a plan, and gives a report or None where the time was too short.
        session: of the command.
        fillings: of the plan.
        seconds: that it may take.
        inputs: how many there are, those that hang together counted once.
        noun: what these are.
        command: that tells it with more time.
    Returns:
        what was found; None where there is nothing to find, or not time enough, which is said.
    """
    from jumok.app.progress import show_progress

    if inputs < FEWEST:
        session.say(f"{NOT_MEASURED}: {inputs} validation {noun} are too few")
        return None
    short = f"{NOT_MEASURED}: {seconds:.1f} s, a twentieth of the training, is too short; {command} tells it"
    if seconds < LEAST_SECONDS:
        session.say(short)
        return None
    try:
        with show_progress(session.console, "comparing maps") as tell:
            report = measure(Plan(fillings, STEPS, MOST, seconds), tell)
    except JumokError as error:
        session.say(f"{NOT_MEASURED}: {error}")
        return None
    if report is None:
        session.say(short)
    return None if report is None else _conclude(report)


def _conclude(report: FaithfulnessReport) -> Trust:
    from jumok.language import take_apart
    from jumok.tasks.running.trust import Trust

    best = report.best()
    verdict = report.verdict(best or report.ranking()[0])
    return Trust(method=best, verdict=verdict, inputs=report.inputs, noun=report.noun, parts=take_apart(verdict))
