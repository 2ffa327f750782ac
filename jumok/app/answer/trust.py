"""Which look of a model that answers questions is the most faithful, measured on some of its validation questions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jumok.app.faithful import OF_PLACES
from jumok.app.measuring import Plan, Tell
from jumok.wording import typed

if TYPE_CHECKING:
    from jumok.app.session import Session
    from jumok.measures.faithfulness_report import FaithfulnessReport
    from jumok.tasks.answer.settings import RunConfig
    from jumok.tasks.running.trust import Trust

__all__ = ["judge"]


def judge(folder: Path, config: RunConfig, seconds: float, device: str, session: Session) -> Trust | None:
    """Measure which of a run's looks at the image is the most faithful.

    Args:
        folder: of the run, its weights written.
        config: of the run.
        seconds: that it may take.
        device: for the model.
        session: of the command.
    Returns:
        what was found; None where the model sees no image, there is nothing to find, or not time enough.
    """
    from jumok.app.trust import find_most_faithful
    from jumok.tasks.answer.parts import find_parts
    from jumok.tasks.answer.run import QuestionRun

    run = QuestionRun.load(folder, device)
    if not run.sees:
        return None
    questions = find_parts(config.data, config.training.seed, config.found.dealt_by)["val"]

    def measure(plan: Plan, tell: Tell) -> FaithfulnessReport | None:
        from jumok.app.answer.faithful import measure_faithfulness
        from jumok.app.answer.looks import QuestionLooks

        looks = QuestionLooks(run, questions)
        return measure_faithfulness(looks, plan, seed=config.training.seed, words=False, tell=tell).places

    return find_most_faithful(
        measure,
        session,
        fillings=OF_PLACES,
        seconds=seconds,
        inputs=len(questions.images),
        noun="images with questions",
        command=f"jumok measure {typed(folder)}",
    )
