"""How well a trained model answers questions, on images that it has not learned from."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jumok.errors import JumokError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from jumok.data.questions.question_set import QuestionSet
    from jumok.tasks.answer.evaluation import Evaluation
    from jumok.tasks.answer.run import QuestionRun

COLUMNS = ("image", "question", "answers", "answered", "probability", "score", "kind")


def evaluate_questions(
    run: Path,
    files: Sequence[Path],
    images: Path | None,
    *,
    split: str,
    out: Path,
    batch_size: int,
    device: str,
    console: Console,
) -> None:
    """Print the accuracy, of all questions and of each kind; write it as JSON, and all answers.

    Raises:
        JumokError: questions or images that cannot be read.
    """
    from jumok.app.progress import counting
    from jumok.files import write_atomically
    from jumok.tasks.answer.evaluation import evaluate
    from jumok.tasks.answer.run import QuestionRun

    trained = QuestionRun.load(run, device)
    chosen, part = select(trained, files, images, split)
    remark(chosen, console)
    with counting(console, "answering") as progress:
        report = evaluate(trained, chosen, size=batch_size, progress=progress)
    source = {"run": str(run), "files": [str(path) for path in chosen.files], "split": part}
    about = {**source, "skipped": dict(chosen.skipped), **report.to_dict()}
    write_atomically(out / "eval.json", json.dumps(about, indent=2, ensure_ascii=False) + "\n")
    write_atomically(out / "answers.csv", as_table(report))
    low, high = report.interval
    console.print(f"{len(chosen):,} questions about {len(chosen.images):,} images ({part})", markup=False)
    console.print(f"accuracy {report.accuracy:.1%} (95 % interval {low:.1%} to {high:.1%})")
    if report.unanswerable:
        console.print(
            f"{report.unanswerable:,} questions have answers that training did not have; they count as wrong",
            style="yellow",
        )
    if report.by_kind():
        console.print(table(report))
    console.print(f"written: {out / 'eval.json'}, {out / 'answers.csv'}", markup=False)


def select(run: QuestionRun, files: Sequence[Path], images: Path | None, split: str) -> tuple[QuestionSet, str]:
    """Choose the questions to judge on: of the files given, or else of the run's own.

    Returns:
        the questions, and the name of the part that they are.
    Raises:
        JumokError: questions that cannot be read, or none in that part.
    """
    from jumok.data.questions.question_set import read_questions
    from jumok.tasks.answer.prepare import find

    data, seed = run.config.data, run.config.training.seed
    folder = images or Path(data.images or "")
    own = not files or {str(path.resolve()) for path in files} == set(data.questions)
    if not own and not files[0].is_dir():
        if split not in ("auto", "all"):
            raise JumokError("files other than the run's own are judged whole: leave out --split")
        return read_questions(files, folder, lowercase=data.lowercase), "all"
    if split == "all":
        raise JumokError("all parts together are not judged: choose --split test, val or train, or give a file")
    part = "test" if split == "auto" else split
    given = {} if own else {"questions": tuple(map(str, files)), "val_questions": (), "test_questions": ()}
    found = find(data.model_copy(update={"images": str(folder), **given}), seed)
    if not len(found[part]):
        raise JumokError(f"there are no {part} questions: choose another --split, or give a file of questions")
    return found[part], part


def remark(questions: QuestionSet, console: Console) -> None:
    """Tell what whoever gave the questions should know of them, such as images that are missing."""
    for line in questions.remarks():
        console.print(line, style="yellow", markup=False)


def as_table(report: Evaluation) -> str:
    """Each question with what was answered, as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    questions = report.questions
    for each in report.answered:
        given = "|".join(questions.answers[each.number])
        image, kind = questions.image_of(each.number).name, questions.kinds[each.number]
        row = (image, questions.questions[each.number], given, each.answer)
        writer.writerow((*row, f"{each.probability:.4f}", f"{each.score:.4g}", kind))
    return text.getvalue()


def table(report: Evaluation) -> Table:
    """The accuracy of each kind of question."""
    from rich.table import Table
    from rich.text import Text

    shown = Table("kind", "questions", "accuracy", "95 % interval")
    for row in report.by_kind():
        low, high = row["95"]
        shown.add_row(Text(row["kind"]), f"{row['questions']:,}", f"{row['accuracy']:.1%}", f"{low:.1%} to {high:.1%}")
    return shown
