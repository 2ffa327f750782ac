"""`jumok ask`: questions about an image, what a model answers, and where it looked for it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jumok.errors import JumokError

if TYPE_CHECKING:
    from rich.console import Console
    from torch import Tensor

    from jumok.tasks.answer.looking import Looked
    from jumok.tasks.answer.run import QuestionRun
    from jumok.views.pictures.question_picture import Asked

MOST_QUESTIONS = 200
NOTES = {
    "question": "this model sees no image: it answers by the question alone",
    "image": "this model reads no question: it answers by the image alone",
    "concat": "this model attends to no place: grad-cam tells which places spoke for the answer",
}
"""What to know of a way to bring question and image together."""


def command(
    run: Annotated[Path, typer.Argument(help="Folder of the run.", show_default=False)],
    image: Annotated[Path, typer.Argument(help="The image to ask about.", show_default=False)],
    question: Annotated[
        list[str], typer.Argument(help="One or several questions; -: one on each line of standard input.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the pictures, maps and page.")] = Path("ask"),
    html: Annotated[bool, typer.Option("--html/--no-html", help="Write one page with all questions.")] = True,
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Write a picture and the maps of each question.")
    ] = True,
    top: Annotated[int, typer.Option(help="Answers to tell of each question.", min=1, max=50)] = 5,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads.", min=1, show_default=False)] = None,
) -> None:
    """Answer questions about an image; draw where was looked for each answer, and which words mattered."""
    from rich.console import Console

    from jumok.data.images.reading import read_image
    from jumok.machine import device_name, keep_freed, set_threads
    from jumok.tasks.answer.looking import look
    from jumok.tasks.answer.run import QuestionRun

    questions = _questions(question)
    set_threads(threads)
    keep_freed()
    trained = QuestionRun.load(run, device_name(device))
    pixels = read_image(image)
    found = look(trained, [pixels] * len(questions), questions)
    console = Console(highlight=False, soft_wrap=True)
    for each in found:
        _tell(trained, each, top, console)
    if note := NOTES.get(trained.fusion):
        console.print(f"remark: {note}", style="yellow")
    shown = [_shown(each, top, NOTES.get(trained.fusion, "")) for each in found]
    if pictures:
        _draw(pixels, image.name, found, shown, out, console)
    if html:
        _write_page(pixels, image.name, shown, f"{run.resolve().name}: asked about {image.name}", out, console)


def _questions(given: Sequence[str]) -> list[str]:
    """The questions, from the command line or from standard input.

    Raises:
        JumokError: none, too many, the name of a page, or what is not UTF-8.
    """
    from jumok.app.sentences import stream_lines
    from jumok.data.texts.normal_form import LONE

    lines = stream_lines(sys.stdin.buffer, "standard input") if list(given) == ["-"] else iter(given)
    questions = list(islice((text for line in lines if (text := LONE.sub("?", line).strip())), MOST_QUESTIONS + 1))
    if named := [question for question in questions if question.lower().endswith(".html")]:
        raise JumokError(f"{named[0]!r} is no question: --html takes no file, the page goes to the folder of --out")
    if not questions:
        raise JumokError('no question: ask something, as in jumok ask RUN photo.png "what colour is the circle?"')
    if len(questions) > MOST_QUESTIONS:
        raise JumokError(f"got more than {MOST_QUESTIONS} questions: ask at most so many at a time")
    return questions


def _tell(run: QuestionRun, found: Looked, top: int, console: Console) -> None:
    """Print the answers to one question."""
    answers = ", ".join(f"{answer} {value:.1%}" for answer, value in found.reply.answers[:top])
    console.print(f"{found.question}  ->  {answers}", markup=False)
    if unknown := run.unknown(found.question):
        console.print(f"  not known to this model: {', '.join(unknown)}", style="yellow", markup=False)


def _shown(found: Looked, top: int, note: str) -> Asked:
    """What views take."""
    from jumok.views.pictures.question_picture import Asked

    answers = found.reply.answers[:top]
    return Asked(found.question, found.words, answers, found.looks, found.by_word, found.weights, note=note)


def _draw(
    image: Tensor, name: str, found: Sequence[Looked], shown: Sequence[Asked], out: Path, console: Console
) -> None:
    """Write a picture of each question, and its maps."""
    from jumok.views.pictures.question_picture import draw_asked

    for number, (looked, asked) in enumerate(zip(found, shown, strict=True), 1):
        draw_asked(image, asked, out / f"{number}.png", title=name)
        for look, heat in looked.looks.items():
            heat.save(out / f"{number}.{look.replace(' ', '-')}.safetensors")
    last = f" to {out / f'{len(shown)}.png'}" if len(shown) > 1 else ""
    console.print(f"pictures: {out / '1.png'}{last}", markup=False)


def _write_page(image: Tensor, name: str, shown: Sequence[Asked], title: str, out: Path, console: Console) -> None:
    from jumok.views.pages.question_page import QuestionPage

    page = QuestionPage(title)
    page.add(image, shown, name=name)
    page.write(out / "index.html")
    console.print(f"page: {out / 'index.html'}", markup=False)
