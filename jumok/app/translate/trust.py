"""Which reading of a translator's attention is the most faithful, measured on some of its validation sentences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jumok.app.faithful import OF_WORDS
from jumok.app.measuring import Plan, Tell
from jumok.wording import typed

if TYPE_CHECKING:
    from jumok.app.session import Session
    from jumok.measures.faithfulness_report import FaithfulnessReport
    from jumok.tasks.running.trust import Trust
    from jumok.tasks.translate.settings import RunConfig

__all__ = ["judge"]


def judge(folder: Path, config: RunConfig, seconds: float, device: str, session: Session) -> Trust | None:
    """Measure which reading of a run's attention is the most faithful.

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
    from jumok.tasks.translate.parts import find_parts

    sources = find_parts(config.data, config.training.seed)["val"].sources

    def measure(plan: Plan, tell: Tell) -> FaithfulnessReport | None:
        from jumok.app.translate.faithful import measure_faithfulness
        from jumok.tasks.translate.aligning import list_readings
        from jumok.tasks.translate.run import PairRun

        run = PairRun.load(folder, device)
        seed = config.training.seed
        return measure_faithfulness(run, sources, list_readings(run), plan, seed=seed, tell=tell).report

    return find_most_faithful(
        measure,
        session,
        fillings=OF_WORDS,
        seconds=seconds,
        inputs=len(sources),
        noun="sentences",
        command=f"jumok measure {typed(folder)}",
    )
