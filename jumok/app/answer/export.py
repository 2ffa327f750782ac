"""A model that answers questions, ready to be exported, with questions to check it on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from jumok.app.exported import CHECKED_INPUTS, ToExport
from jumok.errors import JumokError
from jumok.language import later_count

if TYPE_CHECKING:
    from jumok.app.session import Session
    from jumok.tasks.answer.run import QuestionRun

FORMATS = ("onnx", "pt2")
PLACES = ("--images",)
"""Further places that are asked for."""


def prepare(
    run: Path, data: Sequence[Path], *, with_map: bool, session: Session, images: Path | None = None
) -> ToExport:
    """Open a model that answers questions, and find some to check its graph on.

    Args:
        run: folder of the run.
        data: files of questions; none for the run's own.
        with_map: must be False.
        session: of the command.
        images: the folder of the images; None: the run's own.
    Raises:
        JumokError: a map is wanted, or a run, questions or images that cannot be read.
    """
    from jumok.tasks.answer.export import make_graph, prepare_batches
    from jumok.tasks.answer.run import WORDS, QuestionRun
    from jumok.tasks.classify.export import describe_images

    if with_map:
        raise JumokError("--with-map gives the attention rollout of vit systems, not of questions: leave it out")
    trained = QuestionRun.load(run)
    graph = make_graph(trained)
    asked = _read_questions(trained, data, images)
    facts = {
        "task": "answer",
        "answers": list(trained.answers),
        **describe_images(trained),
        "questions": f"ids of {WORDS}: <s>, the words, padded with <pad> at the right",
        "lowercase": trained.config.data.lowercase,
        "words": trained.words.pieces(range(len(trained.words))),
    }
    batches = {graph.name: prepare_batches(trained, asked)}
    checked_on = later_count(len(asked), "{count} question", "{count} questions")
    return ToExport(trained.config.system, [graph], batches, checked_on, facts)


def _read_questions(run: QuestionRun, data: Sequence[Path], images: Path | None) -> list[tuple[Path, str]]:
    """A few questions with their images.

    Raises:
        JumokError: none that can be read.
    """
    from jumok.app.answer.evaluate import select
    from jumok.data.questions.files import read_files
    from jumok.data.questions.image_places import check_image_folder, find_images

    folder = images or Path(run.config.data.images or "")
    check_image_folder(folder)
    if not data:
        chosen, _ = select(run, (), str(folder), "val")
        count = min(CHECKED_INPUTS, len(chosen))
        return [(chosen.image_of(number), chosen.questions[number]) for number in range(count)]
    rows = list(islice(read_files(data, answered=False), CHECKED_INPUTS))
    places = find_images({row.image for row in rows}, folder)
    found = [(place, row.question) for row in rows if (place := places[row.image]) is not None]
    if not found:
        raise JumokError(f"no image of {' and '.join(map(str, data))} lies in {folder}: give their folder by --images")
    return found
