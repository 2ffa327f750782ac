"""How well a trained model answers questions, on images that it has not learned from."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from jumok.app.session import Session, write_report
from jumok.errors import JumokError
from jumok.files import write_atomically
from jumok.language import later
from jumok.tasks.running.config import Strict
from jumok.wording import defuse, write_count

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from jumok.data.questions.question_set import QuestionSet
    from jumok.tasks.answer.baselines import Baseline
    from jumok.tasks.answer.evaluation import Evaluation
    from jumok.tasks.answer.run import QuestionRun

COLUMNS = ("image", "question", "answers", "answered", "probability", "score", "kind")


class Options(Strict):
    """Options of `jumok eval` for questions."""

    images: str | None = Field(default=None, description="Folder of the images (left out: the run's own).")
    batch_size: int = Field(default=256, ge=1, description="Images or questions at a time.")


@dataclass(frozen=True)
class EvaluatedQuestions:
    """How well a model answered.

    Args:
        about: run, files and part.
        questions: that were asked.
        report: of the answers.
        baselines: what can be answered without looking, in the same figure.
        learnt: whether the model is significantly better than these, in words.
        remarks: what the user should know.
        written: files, by what they hold.
    """

    about: Mapping[str, Any]
    questions: QuestionSet
    report: Evaluation
    baselines: Sequence[Baseline]
    learnt: str
    remarks: Sequence[str]
    written: Mapping[str, Path]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        from jumok.data.texts.nearest import HOW

        return {
            **self.about,
            "skipped": dict(self.questions.skipped),
            **self.report.to_dict(),
            "baselines": [baseline.to_dict() for baseline in self.baselines],
            "nearest": HOW,
            "learnt": self.learnt,
            "remarks": list(self.remarks),
        }

    def lines(self) -> Iterator[RenderableType]:
        """For the terminal."""
        report, (low, high) = self.report, self.report.interval
        part = self.about["split"]
        images = write_count(len(self.questions.images), "image")
        yield f"{write_count(len(self.questions), 'question')} about {images} ({part})"
        yield f"accuracy {report.accuracy:.1%} (95% interval {low:.1%} to {high:.1%})"
        if report.unanswerable:
            lacking = write_count(report.unanswerable, "question has an answer", "questions have answers")
            yield f"{lacking} that never occurred in training: counted as wrong"
        yield from (f"  {_describe_baseline(baseline)}" for baseline in self.baselines)
        yield from filter(None, (self.learnt,))
        yield from (f"remark: {remark}" for remark in self.remarks)
        if report.by_kind():
            yield table(report)
        yield f"written: {', '.join(map(str, self.written.values()))}"


def evaluate(
    run: Path, data: Sequence[Path], options: Options, *, split: str, out: Path, session: Session
) -> EvaluatedQuestions:
    """Judge answers by their accuracy, of all questions and of each kind; write it as JSON, and all answers.

    Args:
        run: folder of the run.
        data: files of questions; none for the run's own.
        options: of questions.
        split: the part, or "auto" or "all".
        out: folder for the figures.
        session: of the command.
    Raises:
        JumokError: questions or images that cannot be read.
    """
    from jumok.app.progress import show_progress
    from jumok.data.questions.parts import describe_overlap
    from jumok.tasks.answer.baselines import compare_with_baselines, find_training_questions
    from jumok.tasks.answer.evaluation import evaluate as evaluate_all
    from jumok.tasks.answer.run import QuestionRun

    trained = QuestionRun.load(run, session.device)
    chosen, part = select(trained, data, options.images, split)
    remark(chosen, session)
    with show_progress(session.console, "answering") as progress:
        report = evaluate_all(trained, chosen, size=options.batch_size, progress=progress)
    train, lacking = find_training_questions(trained.config)
    baselines = compare_with_baselines(report, train) if train is not None else []
    remarks = [f"no baselines: {lacking}"] if lacking else []
    seen = describe_overlap(train, chosen, part) if train is not None and part != "train" else ""
    remarks += [seen] if seen and seen not in chosen.notes else []
    remarks += _describe_known(trained, chosen, part)
    about = {"run": str(run), "data": [str(path) for path in chosen.files], "split": part}
    written = {"figures": out / "eval.json", "answers": out / "answers.csv"}
    found = EvaluatedQuestions(about, chosen, report, baselines, _judge_learnt(baselines), remarks, written)
    write_report(written["figures"], found)
    write_atomically(written["answers"], as_table(report))
    return found


def _describe_known(run: QuestionRun, questions: QuestionSet, part: str) -> list[str]:
    """How many of held-out questions the run, or the one whose weights it began with, was trained on."""
    from jumok.tasks.answer.parts import hash_parts
    from jumok.tasks.running.trained_on import describe_learnt

    if part in ("train", "val"):
        return []
    return describe_learnt(run.folder, hash_parts({part: questions})[part], "questions")


def select(run: QuestionRun, files: Sequence[Path], images: str | None, split: str) -> tuple[QuestionSet, str]:
    """Choose the questions to judge on: of the files given, or else of the run's own.

    Returns:
        the questions, and the name of the part that they are.
    Raises:
        JumokError: questions that cannot be read, or none in that part.
    """
    from jumok.data.questions.question_set import read_questions
    from jumok.tasks.answer.parts import find_parts

    data, seed = run.config.data, run.config.training.seed
    folder = Path(images or data.images or "")
    own = not files or {str(path.resolve()) for path in files} == set(data.questions)
    if not own and not files[0].is_dir():
        if split not in ("auto", "all"):
            raise JumokError("files other than the run's own are evaluated whole: leave out --split")
        return read_questions(files, folder, lowercase=data.lowercase), "all"
    if split == "all":
        raise JumokError("--split all is not offered here: choose test, val or train, or give a file")
    part = "test" if split == "auto" else split
    given = {} if own else {"questions": tuple(map(str, files)), "val_questions": (), "test_questions": ()}
    found = find_parts(data.model_copy(update={"images": str(folder), **given}), seed, run.config.found.dealt_by)
    if not len(found[part]):
        raise JumokError(f"there are no {part} questions: choose another --split, or give a file of questions")
    return found[part], part


def remark(questions: QuestionSet, session: Session) -> None:
    """Tell what whoever gave the questions should know of them, such as images that are missing."""
    for line in questions.remarks():
        session.remark(line)


def _judge_learnt(baselines: Sequence[Baseline]) -> str:
    from jumok.tasks.learnt import judge_learnt

    names = {kind: [each.name for each in baselines if each.beaten is kind] for kind in (True, False)}
    verdict = judge_learnt(names[True], names[False])
    return later("the model is {verdict}", verdict=verdict) if verdict else ""


def as_table(report: Evaluation) -> str:
    """Each question with what was answered, as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    questions = report.questions
    for each in report.answered:
        given = "|".join(questions.answers[each.number])
        image, kind = questions.image_of(each.number).name, questions.kinds[each.number]
        row = map(defuse, (image, questions.questions[each.number], given, each.answer))
        writer.writerow((*row, f"{each.probability:.4f}", f"{each.score:.4g}", defuse(kind)))
    return text.getvalue()


def _describe_baseline(baseline: Baseline) -> str:
    from jumok.measures.report import show_shares

    return later(
        "{name}: {accuracy}; the model's accuracy minus this: {gap}",
        name=baseline.name,
        accuracy=show_shares(baseline.accuracy),
        gap=show_shares(baseline.better_by, "+"),
    )


def table(report: Evaluation) -> Table:
    """The accuracy of each kind of question."""
    from rich.table import Table
    from rich.text import Text

    shown = Table(later("kind"), "questions", "accuracy", "95% interval")
    for row in report.by_kind():
        low, high = row["95"]
        interval = later("{low} to {high}", low=f"{low:.1%}", high=f"{high:.1%}")
        shown.add_row(Text(row["kind"]), f"{row['questions']:,}", f"{row['accuracy']:.1%}", interval)
    return shown
