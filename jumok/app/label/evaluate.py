"""How well a trained text classifier tells its classes apart, on texts that it has not learned from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from jumok.app.label.chosen import TextOptions, choose_texts
from jumok.app.session import Session, write_report
from jumok.errors import JumokError
from jumok.wording import write_count

if TYPE_CHECKING:
    from rich.console import RenderableType

    from jumok.app.label.chosen import ChosenTexts
    from jumok.tasks.classify.kinds.class_scores import Evaluation
    from jumok.tasks.label.run import TextRun


class Options(TextOptions):
    """Options of `jumok eval` for texts."""

    batch_size: int = Field(default=64, ge=1, description="Images, questions or texts at a time.")


@dataclass(frozen=True)
class EvaluatedTexts:
    """How well a text classifier did.

    Args:
        about: run, tables and part.
        report: of the run.
        words: of a bag of words; None where the run's training texts are not at hand.
        remarks: what the user should know.
        written: files, by what they hold.
    """

    about: Mapping[str, Any]
    report: Evaluation
    words: Evaluation | None
    remarks: Sequence[str]
    written: Mapping[str, Path]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        words = None if self.words is None else {"accuracy": self.words.accuracy, "macro_f1": self.words.macro_f1}
        return {**self.about, **self.report.to_dict(), "bag_of_words": words, "remarks": list(self.remarks)}

    def lines(self) -> Iterator[RenderableType]:
        """For the terminal."""
        from rich.text import Text

        from jumok.app.classify.evaluate import draw_table

        yield f"{write_count(self.report.total, 'text')} of {', '.join(self.about['data'])} ({self.about['split']})"
        yield from map(Text, self.report.lines())
        if self.words is not None:
            low, high = self.words.interval
            yield (
                f"baseline: a bag of words (logistic regression) gives {self.words.accuracy:.1%} ({low:.1%} to "
                f"{high:.1%}), macro F1 {self.words.macro_f1:.1%}"
            )
        yield draw_table(self.report.table())
        yield from (Text(f"remark: {remark}") for remark in self.remarks)
        if warning := self.report.warning():
            yield Text(f"warning: {warning}")
        yield f"written: {', '.join(map(str, self.written.values()))}"


def evaluate(
    run: Path, data: Sequence[Path], options: Options, *, split: str, out: Path, session: Session
) -> EvaluatedTexts:
    """Judge a text classifier by accuracy, precision, recall and confusion; write JSON and a picture.

    Args:
        run: folder of the run.
        data: tables of texts; none for the run's own.
        options: of texts.
        split: the part of the run's own texts, or "auto".
        out: folder for the figures.
        session: of the command.
    Raises:
        JumokError: texts that cannot be read, or of classes other than the run's.
    """
    from jumok.app.progress import show_progress
    from jumok.tasks.label.evaluation import evaluate as evaluate_all
    from jumok.tasks.label.run import TextRun
    from jumok.views.pictures.charts import draw_confusion

    trained = TextRun.load(run, session.device)
    chosen = choose_texts(trained, data, options, split)
    with show_progress(session.console, "classifying") as progress:
        report = evaluate_all(trained, chosen.texts, options.batch_size, progress)
    words, lacking = _count_words(trained, chosen)
    about = {"run": str(run), "data": [str(path) for path in chosen.files], "split": chosen.part}
    written = {"figures": out / "eval.json", "confusion": out / "confusion.png"}
    found = EvaluatedTexts(about, report, words, [*chosen.remarks, *lacking], written)
    write_report(written["figures"], found)
    draw_confusion(report.confusion.numpy(), trained.classes, written["confusion"])
    return found


def _count_words(run: TextRun, chosen: ChosenTexts) -> tuple[Evaluation | None, list[str]]:
    """What a bag of words gives; where its training texts are not at hand, why there is none."""
    from jumok.tasks.label.evaluation import evaluate_bag_of_words
    from jumok.tasks.label.prepare import find_parts, fingerprint

    if chosen.part == "train":
        return None, []
    try:
        parts = find_parts(run.config.data, run.config.training.seed)
    except JumokError as error:
        return None, [f"no bag of words as a baseline: {error}"]
    if fingerprint(parts) != run.config.found.fingerprint:
        return None, ["no bag of words as a baseline: the run's training texts have changed"]
    return evaluate_bag_of_words(parts["train"], chosen.texts), []
