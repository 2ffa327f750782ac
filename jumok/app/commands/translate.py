"""`jumok translate`: sentences in another language, and what each word looked at."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from jumok.app.engine.settings import OF_MANY_TEXTS, TextEngineSettings, split_off_engine
from jumok.app.options import Panels, pick, refuse, with_settings
from jumok.app.outputs import check_outside_runs
from jumok.app.sentences import read_sentences
from jumok.app.session import Report, Session, in_session
from jumok.app.telling import tell
from jumok.app.translate.lines import TranslatedLines, write_lines
from jumok.app.translate.looks import Looks, Wanted
from jumok.app.translate.searching import Searching
from jumok.errors import JumokError, suggest
from jumok.wording import printable


@dataclass(frozen=True)
class Translated:
    """Translations that were made; on a terminal they were printed as they came.

    Args:
        run: of the model.
        translations: of each sentence; empty where no one asked to keep them.
        remarks: what the user should know.
        written: files, by what they hold.
    """

    run: str
    translations: Sequence[Mapping[str, Any]]
    remarks: Sequence[str]
    written: Mapping[str, Path | None]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "run": self.run,
            "sentences": list(self.translations),
            "remarks": list(self.remarks),
            "files": {name: path for name, path in self.written.items() if path is not None},
        }

    def lines(self) -> Iterator[str]:
        """Nothing more: the translations are there already."""
        return iter(())


# -- options ------------------------------------------------------------------------------------

RunFolder = Annotated[Path, typer.Argument(help="Folder of the run.", show_default=False)]
Text = Annotated[
    list[str] | None,
    typer.Argument(
        help="A sentence, or several in quotes; a file with one per line (plain or .gz); or - for standard input."
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="File for the translations (default standard output); with --engine the folder of the data set.",
        show_default=False,
    ),
]
Show = Annotated[
    Path | None,
    typer.Option(help="Picture (.png, .svg) or page (.html) of what each word looked at.", show_default=False),
]
Align = Annotated[
    Path | None,
    typer.Option(
        help="File for the alignments, as Pharaoh links source-target, a line per sentence.", show_default=False
    ),
]
Reading = Annotated[
    str | None,
    typer.Option(
        help="Of --align and --show: attention (seq2seq); mean, layer N, or layer N, head M (Transformer); each "
        "also with ', next step'. Default: the run's most faithful one, else attention or mean. With --engine: adds a "
        "column of links.",
        show_default=False,
    ),
]
Heads = Annotated[bool, typer.Option("--heads", help="Show each head by itself, too, on the page.")]
Pieces = Annotated[
    bool, typer.Option("--pieces", help="Show and align the vocabulary's pieces instead of whole words.")
]


SEARCHES = ("ctranslate2", "ctranslate2-int8")
"""Engines that search, and write no data set."""

PANELS: Panels = {"Options": (Searching,), **OF_MANY_TEXTS}


def build(_: Sequence[str]) -> Callable[..., int]:
    """The command, with its options."""
    return in_session("translate", "device", "threads")(with_settings(PANELS)(command))


def command(
    run: RunFolder,
    text: Text = None,
    out: Out = None,
    show: Show = None,
    align: Align = None,
    reading: Reading = None,
    heads: Heads = False,
    pieces: Pieces = False,
    *,
    session: Session,
    settings: Mapping[str, Any],
) -> Report:
    """Translate sentences with a trained model, and show which source word each target word looked at."""
    wanted = Wanted(show, align, reading, heads, pieces)
    engine, rest = split_off_engine(TextEngineSettings, settings, SEARCHES)
    search = pick(Searching, rest).model_dump()
    if engine.engine is not None and engine.engine not in SEARCHES:
        _check_engine(engine.engine)
        return _translate_many(run, text or [], search, wanted, out, engine, session)
    if engine.engine is not None:
        other = None if search["precision"] == "32" else search["precision"]
        refuse({"--precision": other}, "ctranslate2 computes in float32, ctranslate2-int8 with whole numbers")
    wanted.check()
    search["engine"] = engine.engine
    return _translate(run, read_sentences(text or []), search, wanted, out, session)


def _check_engine(name: str) -> None:
    """Refuse an engine that there is not.

    Raises:
        JumokError: it is not known.
    """
    from jumok.app.engine.engines import ENGINES

    if name not in ENGINES:
        raise JumokError(f"no engine {name!r}: {suggest(name, (*ENGINES, *SEARCHES))}")


def _translate_many(
    run: Path,
    text: Sequence[str],
    search: Mapping[str, Any],
    wanted: Wanted,
    out: Path | None,
    engine: TextEngineSettings,
    session: Session,
) -> Report:
    from jumok.app.engine.many import make_data_set
    from jumok.app.engine.text_sources import open_texts
    from jumok.app.engine.translator import Translator
    from jumok.tasks.running.run import check_is_run

    if len(text) != 1 or out is None:
        raise JumokError("--engine wants one file or folder of sentences, and --out for the folder of the data set")
    if wanted or wanted.heads or wanted.pieces:
        raise JumokError(
            "--show, --align, --heads and --pieces draw some sentences, and --engine writes a row for each: leave them "
            "out; --reading adds a column of links"
        )
    if search["n_best"] != 1:
        raise JumokError("--engine writes the best translation of each sentence: leave --n-best out")
    check_is_run(run)
    check_outside_runs(out)
    translator = Translator(str(run), search, wanted.reading, session.device)
    return make_data_set(Path(text[0]), translator, out, engine, session, find=open_texts)


def _translate(
    run: Path, sentences: Iterator[str], search: Mapping[str, Any], wanted: Wanted, out: Path | None, session: Session
) -> Translated:
    from jumok.tasks.running.precision import precision_remarks
    from jumok.tasks.translate.run import PairRun

    trained = PairRun.load(run, session.device)
    trained.translate([], **search)  # refuses what is out of range before anything is read
    precision = search["precision"] or trained.config.training.precision
    _say(precision_remarks(trained.model, precision, session.device))
    looks = Looks.of(trained, wanted) if wanted else None
    lines = TranslatedLines(trained, search, looks, keep=session.json)
    if session.json and out is None:
        deque(lines.of(sentences), maxlen=0)
    else:
        write_lines(out, lines.of(sentences))
    remarks = [*lines.remarks(), *(looks.write() if looks else ())]
    _say(remarks)
    files = {"translations": out, "shown": wanted.show, "alignments": wanted.align}
    return Translated(str(run), lines.kept, remarks, files)


def _say(messages: Sequence[str]) -> None:
    sys.stderr.writelines(f"jumok: {printable(tell(message))}\n" for message in messages)
