"""`jumok translate`: sentences in another language, and what each word looked at."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from jumok.app.sentences import read_sentences
from jumok.app.session import Session, in_session
from jumok.app.translate.lines import TranslatedLines, write_lines
from jumok.app.translate.looks import Looks, Wanted
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
    typer.Argument(help="A sentence, a file with one per line (plain or .gz), or - for standard input."),
]
Beam = Annotated[int, typer.Option(help="Beam size; 1 = greedy.", min=1)]
NBest = Annotated[int, typer.Option(help="Translations of each sentence, as lines of number, score and text.", min=1)]
LengthPenalty = Annotated[float, typer.Option(help="Length-penalty exponent; larger favours longer output.")]
MaxLength = Annotated[
    int | None, typer.Option(help="Target tokens at most (default twice the source's and 20).", min=1)
]
Precision = Annotated[
    str | None, typer.Option(help="Numeric precision: 32, bf16 or 16 (default as in training).", show_default=False)
]
Out = Annotated[
    Path | None, typer.Option(help="File for the translations (default standard output).", show_default=False)
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
        "also with ', next step'. Default: the run's most faithful one, else attention or mean.",
        show_default=False,
    ),
]
Heads = Annotated[bool, typer.Option("--heads", help="Show each head by itself, too, on the page.")]
Pieces = Annotated[
    bool, typer.Option("--pieces", help="Show and align the vocabulary's pieces instead of whole words.")
]


@in_session("translate", "device", "threads")
def command(
    run: RunFolder,
    text: Text = None,
    beam: Beam = 5,
    n_best: NBest = 1,
    length_penalty: LengthPenalty = 1.0,
    max_length: MaxLength = None,
    precision: Precision = None,
    out: Out = None,
    show: Show = None,
    align: Align = None,
    reading: Reading = None,
    heads: Heads = False,
    pieces: Pieces = False,
    *,
    session: Session,
) -> Translated:
    """Translate sentences with a trained model, and show which source word each target word looked at."""
    from jumok.tasks.running.precision import precision_remarks
    from jumok.tasks.translate.run import PairRun

    wanted = Wanted(show, align, reading, heads, pieces)
    wanted.check()
    sentences = read_sentences(text or [])
    trained = PairRun.load(run, session.device)
    search: dict[str, Any] = {"beam": beam, "n_best": n_best, "length_penalty": length_penalty}
    search |= {"max_length": max_length, "precision": precision}
    trained.translate([], **search)  # refuses what is out of range before anything is read
    _say(precision_remarks(trained.model, precision or trained.config.training.precision, session.device))
    looks = Looks.of(trained, wanted) if wanted else None
    lines = TranslatedLines(trained, search, looks, keep=session.json)
    if session.json and out is None:
        deque(lines.of(sentences), maxlen=0)
    else:
        write_lines(out, lines.of(sentences))
    remarks = [*lines.remarks(), *(looks.write() if looks else ())]
    _say(remarks)
    return Translated(str(run), lines.kept, remarks, {"translations": out, "shown": show, "alignments": align})


def _say(messages: Sequence[str]) -> None:
    sys.stderr.writelines(f"jumok: {printable(message)}\n" for message in messages)
