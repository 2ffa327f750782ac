"""`jumok ask`: questions about an image, what a model answers, and where it looked for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from jumok.app.engine.settings import OF_MANY, EngineSettings, split_off_engine
from jumok.app.naming import name_some, say_pictures
from jumok.app.options import Panels, refuse, with_settings
from jumok.app.outputs import check_outside_runs
from jumok.app.session import Report, Session, in_session
from jumok.errors import JumokError
from jumok.language import translate
from jumok.wording import readable, write_count, write_percent

if TYPE_CHECKING:
    from torch import Tensor

    from jumok.tasks.answer.looking import Looked
    from jumok.views.pictures.question_picture import Asked

MOST_QUESTIONS, MOST_IMAGES = 200, 16
USUAL_TOP = 5
"""Answers that are shown for each question."""
TOKENS = 30
"""Of the answer of a model that writes it, at most."""
MOST_LINES, MOST_NAMED = 100_000, 5
NOTES = {
    "question": "this model sees no image: it answers by the question alone",
    "image": "this model reads no question: it answers by the image alone",
    "concat": "this model attends to no place: grad-cam tells which places spoke for the answer",
}
"""What to know of a way to bring question and image together."""


@dataclass(frozen=True)
class AnsweredImage:
    """What was answered about one image.

    Args:
        run, image: which model, and about what.
        found: for each question.
        unknown: words of each question that the model does not know.
        note: what to know of the model; empty for most.
        top: answers to show for each question.
        pictures: that were written, one for each question.
        page: that was written.
    """

    run: str
    image: str
    found: Sequence[Looked]
    unknown: Sequence[Sequence[str]]
    note: str
    top: int
    pictures: Sequence[Path]
    page: Path | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "run": self.run,
            "image": self.image,
            "questions": [
                {
                    "question": each.question,
                    "answers": [{"answer": answer, "probability": value} for answer, value in self._take_best(each)],
                    "unknown": list(unknown),
                }
                for each, unknown in zip(self.found, self.unknown, strict=True)
            ],
            "pictures": list(self.pictures),
            "page": self.page,
            "remarks": [self.note] if self.note else [],
        }

    def lines(self) -> Iterator[str]:
        """For the terminal."""
        for each, unknown in zip(self.found, self.unknown, strict=True):
            answers = ", ".join(f"{answer} {write_percent(value, 1)}" for answer, value in self._take_best(each))
            yield f"{each.question}  ->  {answers}"
            if unknown:
                yield f"  not in this model's vocabulary: {name_some(unknown)}"
        if self.note:
            yield f"remark: {self.note}"
        if self.pictures:
            yield say_pictures(self.pictures)
        if self.page is not None:
            yield f"page: {self.page}"

    def _take_best(self, each: Looked) -> Sequence[tuple[str, float]]:
        return each.reply.answers[: self.top]


# -- options ------------------------------------------------------------------------------------

Given = Annotated[
    list[str],
    typer.Argument(
        metavar="[RUN] IMAGE QUESTION...",
        help="Folder of the run (not with --model), the image to ask about, and one or several questions; "
        "-: one on each line of standard input. With --model several images may be named: it is asked about all of "
        "them together.",
        show_default=False,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(help="A vision-language model in place of a run: hf:NAME-OR-FOLDER.", show_default=False),
]
Out = Annotated[Path, typer.Option("--out", help="Folder for the pictures, maps and page.")]
Html = Annotated[bool, typer.Option("--html/--no-html", help="Write one page with all questions.")]
Pictures = Annotated[
    bool, typer.Option("--pictures/--no-pictures", help="Write a picture and the maps of each question.")
]
Top = Annotated[
    int | None,
    typer.Option(help="Answers to show for each question (default 5).", min=1, max=50, show_default=False),
]
Generate = Annotated[
    int | None,
    typer.Option(help="With --model: tokens of each answer, at most (default 30).", min=1, max=100, show_default=False),
]
Method = Annotated[
    str | None,
    typer.Option(
        help="With --model: also explain each word of the answer; chefer: what speaks for it in the image.",
        show_default=False,
    ),
]
Plain = Annotated[
    bool, typer.Option("--plain", help="With --model: ask in plain text, without the model's chat template.")
]
Maps = Annotated[bool, typer.Option("--maps/--no-maps", help="With --engine: a column of maps.")]


class Files(NamedTuple):
    """What is written of the answers.

    Args:
        out: folder for it.
        html: a page with all questions.
        pictures: a picture of each question, and its maps.
    """

    out: Path
    html: bool
    pictures: bool


PANELS: Panels = {"Options": (), **OF_MANY}


def build(_: Sequence[str]) -> Callable[..., int]:
    """The command, with its options."""
    return in_session("ask", "device", "threads")(with_settings(PANELS)(command))


def command(
    given: Given,
    model: Model = None,
    out: Out = Path("ask"),
    html: Html = True,
    pictures: Pictures = True,
    top: Top = None,
    generate: Generate = None,
    method: Method = None,
    plain: Plain = False,
    maps: Maps = True,
    *,
    session: Session,
    settings: Mapping[str, Any],
) -> Report:
    """Answer questions about an image, and show where the model looked for each answer and which words mattered.

    With a vision-language model: where each word of the answer looked.
    """
    check_outside_runs(out)
    files = Files(out, html, pictures)
    engine, _ = split_off_engine(EngineSettings, settings)
    if engine.engine is not None:
        others = {"--model": model, "--generate": generate, "--method": method, "--plain": plain or None, "--top": top}
        refuse(others, "--engine asks a run of our own, and writes its best answers")
        return _ask_many(given, maps, out, engine, session)
    if model is not None:
        return _ask_model(model, given, generate or TOKENS, method, plain, files, session)
    of_writers = {"--generate": generate, "--method": method, "--plain": plain or None}
    refuse(of_writers, "it is of models that write their answers, and no --model was named")
    if len(given) < 2:
        raise JumokError(
            f'ask takes a run, an image and a question, got {given[0]}: jumok ask RUN photo.png "what is it?"'
        )
    run, image, *question = given
    if len(_take_images(given[1:])[0]) > 1:
        raise JumokError(
            f"a run is asked about one image, got {question[0]} too: ask about each by itself, or give a folder with "
            "--engine local"
        )
    return _ask_run(Path(run), Path(image), question, top or USUAL_TOP, files, session)


def _ask_many(given: Sequence[str], maps: bool, out: Path, engine: EngineSettings, session: Session) -> Report:
    """Ask the same about each input of a source, for a data set."""
    from jumok.app.engine.asker import Asker
    from jumok.app.engine.many import make_data_set
    from jumok.tasks.running.run import check_is_run

    if len(given) < 2:
        raise JumokError(f'--engine takes a run, images and a question, got {given[0]}: jumok ask RUN photos "what?"')
    run, source, *question = given
    check_is_run(Path(run))
    questions = _read_questions(question, session)
    return make_data_set(Path(source), Asker(run, tuple(questions), maps, session.device), out, engine, session)


def _ask_model(
    model: str, given: Sequence[str], most: int, method: str | None, plain: bool, files: Files, session: Session
) -> Report:
    """Ask a model from elsewhere."""
    from jumok.app.answer.foreign import ask_foreign

    images, rest = _take_images(given)
    questions = _read_questions(rest, session)
    chosen: dict[str, Any] = {"html": files.html, "pictures": files.pictures, "method": method, "plain": plain}
    return ask_foreign(model, images, questions, most, files.out, session, **chosen)


def _take_images(given: Sequence[str]) -> tuple[list[Path], Sequence[str]]:
    """The images, which come first, and the questions.

    Raises:
        JumokError: too many images.
    """
    from jumok.app.sentences import find_path
    from jumok.data.images.formats import is_image_name

    def is_image(text: str) -> bool:
        return find_path(text) is not None or (is_image_name(text) and " " not in text)

    last = next((number for number, text in enumerate(given) if number and not is_image(text)), len(given))
    if last > MOST_IMAGES:
        raise JumokError(f"got {last} images: a model is asked about at most {MOST_IMAGES} at a time")
    return [Path(each) for each in given[:last]], given[last:]


def _ask_run(
    run: Path, image: Path, question: Sequence[str], top: int, files: Files, session: Session
) -> AnsweredImage:
    """Ask a run of our own."""
    from jumok.data.images.reading import read_image
    from jumok.tasks.answer.looking import look
    from jumok.tasks.answer.run import QuestionRun
    from jumok.tasks.running.trust import read_trust

    questions = _read_questions(question, session)
    trained = QuestionRun.load(run, session.device)
    pixels = read_image(image, bits=trained.config.data.bits)
    found = look(trained, [pixels] * len(questions), questions)
    if found[0].looks and (trust := read_trust(run)) is not None:
        session.say(f"maps: {trust.why()}")
        found = [each.put_first(trust.method) for each in found]
    note = NOTES.get(trained.fusion, "")
    shown = [_build_asked(each, top, note) for each in found]
    unknown = [trained.unknown(text) for text in questions]
    name = readable(image.name)
    drawn = _draw(pixels, name, found, shown, files.out) if files.pictures else ()
    title = translate("{name}: asked about {image}", name=readable(run.resolve().name), image=name)
    page = _write_page(pixels, name, shown, title, files.out) if files.html else None
    return AnsweredImage(str(run), str(image), found, unknown, note, top, drawn, page)


def _read_questions(given: Sequence[str], session: Session) -> list[str]:
    """The questions, from the command line or from standard input.

    Raises:
        JumokError: none, too many, the name of a page, or what is not UTF-8.
    """
    from jumok.app.sentences import stream_standard_input
    from jumok.data.texts.normal_form import LONE

    lines = stream_standard_input() if list(given) == ["-"] else iter(given)
    every = [LONE.sub("?", line).strip() for line in islice(lines, MOST_LINES)]
    questions = [text for text in every if text][: MOST_QUESTIONS + 1]
    if named := [question for question in questions if question.lower().endswith(".html")]:
        raise JumokError(
            f"{named[0]!r} is not a question: --html takes no file name, the page is written to the folder of --out"
        )
    if not questions:
        raise JumokError('no question: ask something, as in jumok ask RUN photo.png "what colour is the circle?"')
    if len(questions) > MOST_QUESTIONS:
        raise JumokError(f"got more than {MOST_QUESTIONS} questions: ask at most {MOST_QUESTIONS} at a time")
    if empty := [str(number) for number, text in enumerate(every, 1) if not text]:
        some = f"{', '.join(empty[:MOST_NAMED])}{', ...' if len(empty) > MOST_NAMED else ''}"
        session.remark(f"skipped {write_count(len(empty), 'empty question')}: number {some}")
    return questions


def _build_asked(found: Looked, top: int, note: str) -> Asked:
    """What views take."""
    from jumok.views.pictures.question_picture import Asked

    answers = found.reply.answers[:top]
    return Asked(found.question, found.words, answers, found.looks, found.by_word, found.weights, note=note)


def _draw(image: Tensor, name: str, found: Sequence[Looked], shown: Sequence[Asked], out: Path) -> list[Path]:
    """Write a picture of each question, and its maps. Returns the pictures."""
    from jumok.views.pictures.question_picture import draw_asked

    pictures = [out / f"{number}.png" for number in range(1, len(shown) + 1)]
    for number, (looked, asked, picture) in enumerate(zip(found, shown, pictures, strict=True), 1):
        draw_asked(image, asked, picture, title=name)
        for look, heat in looked.looks.items():
            heat.save(out / f"{number}.{look.replace(' ', '-')}.safetensors")
    return pictures


def _write_page(image: Tensor, name: str, shown: Sequence[Asked], title: str, out: Path) -> Path:
    """Write the page. Returns its path."""
    from jumok.views.pages.question_page import QuestionPage

    page = QuestionPage(title)
    page.add(image, shown, name=name)
    page.write(out / "index.html")
    return out / "index.html"
