"""`jumok inspect`: what a data set of images holds, before anything is trained on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jumok.app.inspecting.report import Inspection
from jumok.app.session import Session, in_session, write_report
from jumok.errors import JumokError, suggest
from jumok.wording import typed


@in_session("inspect", "threads")
def command(
    data: Annotated[
        Path,
        typer.Argument(help="Images, as for training: a folder, or a table of image,label.", show_default=False),
    ],
    images: Annotated[
        Path | None,
        typer.Option("--images", help="Folder of the images that a table names.", show_default=False),
    ] = None,
    classes_are: Annotated[
        str,
        typer.Option("--classes-are", help="auto | top | inside: which folders the classes are, as for training."),
    ] = "auto",
    labels_are: Annotated[
        str,
        typer.Option("--labels-are", help="auto | class | multi | number: what a table says of each image."),
    ] = "auto",
    split_by: Annotated[
        str | None,
        typer.Option("--split-by", help="Column of groups that should stay in one part, or folder."),
    ] = None,
    near_duplicates: Annotated[
        bool,
        typer.Option(
            "--near-duplicates", help="Look for near duplicates among more than 30,000 images, too; this takes long."
        ),
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for inspect.json and the page.")] = Path("inspect"),
    html: Annotated[bool, typer.Option("--html/--no-html", help="Write a page with images of each class.")] = True,
    *,
    session: Session,
) -> Inspection:
    """Look at a data set of images: classes, sizes, copies, and files that are broken or left out."""
    from jumok.app.inspecting.sheets import write_page
    from jumok.app.progress import show_progress
    from jumok.data.images.folders import scan_ready
    from jumok.data.images.label_cells import KINDS
    from jumok.data.images.near_duplicates import MOST_COMPARED
    from jumok.data.images.survey import survey

    if labels_are not in (known := ("auto", *KINDS)):
        raise JumokError(f"--labels-are {labels_are}: {suggest(labels_are, known)}")
    _refuse_other_data(data)
    parts = scan_ready(
        data, classes_are=classes_are, split_by=split_by, images=images, need_train=False, labels_are=labels_are
    )
    with show_progress(session.console, "looking at images") as progress:
        found = survey(parts, progress, None if near_duplicates else MOST_COMPARED)
    if not found.sound:
        raise JumokError(f"none of the {len(found.facts)} images can be read: {found.broken[0].problem}")
    written = {"figures": out / "inspect.json", **({"page": out / "index.html"} if html else {})}
    inspection = Inspection(data, found, written)
    write_report(written["figures"], inspection)
    if html:
        write_page(written["page"], data, found)
    return inspection


def _refuse_other_data(data: Path) -> None:
    """Refuse tables that name no images and their labels, by what they hold."""
    from jumok.data.images.recognition import looks_like_labels
    from jumok.data.other_kinds import refuse_other_kinds
    from jumok.data.pairs.recognition import TEXT_SUFFIXES
    from jumok.data.table_heads import read_column_names
    from jumok.tasks import TASKS
    from jumok.tasks.answer.task import ANSWER
    from jumok.tasks.translate.task import TRANSLATE

    refuse_other_kinds([data])
    if not data.is_file() or looks_like_labels([data]):
        return
    task = next((task for task in TASKS.values() if task.claims([data])), None)
    if task is None and "question" in read_column_names(data):
        task = ANSWER
    elif task is None and data.suffix.lower() in TEXT_SUFFIXES:
        task = TRANSLATE
    if task is not None:
        raise JumokError(
            f"{data} looks like {task.word}, and jumok inspect looks at images, in a folder or a table of image,label: "
            f"jumok train {task.word} {typed(data)} --dry-run says what is in it"
        )
