"""Which map of a freshly trained classifier is the most faithful, measured on some of its validation images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jumok.app.faithful import OF_PLACES
from jumok.app.measuring import Plan, Tell
from jumok.wording import typed

if TYPE_CHECKING:
    from jumok.app.session import Session
    from jumok.measures.faithfulness_report import FaithfulnessReport
    from jumok.tasks.classify.settings import RunConfig
    from jumok.tasks.running.trust import Trust

__all__ = ["judge"]


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
    from jumok.app.trust import find_most_faithful
    from jumok.tasks.classify.prepare import find_parts

    paths = find_parts(config.data, config.training.seed)["val"].paths

    def measure(plan: Plan, tell: Tell) -> FaithfulnessReport | None:
        from jumok.app.classify.faithful import measure_faithfulness
        from jumok.app.classify.maps import MapMaker
        from jumok.tasks.classify.any_classifier import open_model
        from jumok.tasks.classify.looking import LookOptions

        maps = MapMaker(open_model(str(folder), device), LookOptions(), ())
        return measure_faithfulness(maps, paths, plan, seed=config.training.seed, tell=tell).report

    command = f"jumok measure {typed(folder)} {typed(str(config.data.images))}"
    return find_most_faithful(
        measure, session, fillings=OF_PLACES, seconds=seconds, inputs=len(paths), noun="images", command=command
    )
