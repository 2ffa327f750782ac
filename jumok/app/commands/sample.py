"""`jumok sample`: generated images, sentence pairs and questions to try everything on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from jumok.app.session import Session, in_session
from jumok.wording import typed, write_count

app = typer.Typer(help="Write generated images, sentence pairs or questions, with ground truth.", no_args_is_help=True)

PairFolder = Annotated[Path, typer.Argument(help="Where to write train.tsv, val.tsv and test.tsv.", show_default=False)]
SentenceSeed = Annotated[int, typer.Option(help="The same seed gives the same sentences.")]
TrainPairs = Annotated[int, typer.Option(help="Pairs to train on.")]
ValPairs = Annotated[int, typer.Option(help="Pairs to validate on.")]
TestPairs = Annotated[int, typer.Option(help="Pairs to test on.")]


@dataclass(frozen=True)
class Written:
    """A sample that was written.

    Args:
        sample: its name.
        folder: where it lies.
        train, val, test: how many images, dates or pairs each part has.
        text: what lies where.
        next: the command that trains on it.
    """

    sample: str
    folder: str
    train: int
    val: int
    test: int
    text: str
    next: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {name: value for name, value in asdict(self).items() if name != "text"}

    def lines(self) -> Iterator[str]:
        """For the terminal."""
        yield self.text
        yield f"next: {self.next}"


@app.callback()
def _samples() -> None:
    """Write generated images, sentence pairs or questions, with ground truth."""


@app.command("inspection")
@in_session("sample")
def inspection(
    folder: Annotated[Path, typer.Argument(help="Where to write images/ and masks/.", show_default=False)],
    seed: Annotated[int, typer.Option(help="The same seed gives the same images.")] = 0,
    size: Annotated[int, typer.Option(help="Side of the images in pixels.")] = 64,
    train: Annotated[int, typer.Option(help="Images to train on.")] = 1200,
    val: Annotated[int, typer.Option(help="Images to validate on.")] = 200,
    test: Annotated[int, typer.Option(help="Images to test on.")] = 400,
    *,
    session: Session,
) -> Written:
    """Write surfaces that are normal, scratched, dented or stained, with a mask for every defect."""
    from jumok.data.samples.image_folder import write_inspection

    write_inspection(folder, seed=seed, size=size, train=train, val=val, test=test)
    text = f"{write_count(train + val + test, 'image')} in {folder / 'images'}, masks in {folder / 'masks'}"
    return Written(
        "inspection",
        str(folder),
        train,
        val,
        test,
        text,
        f"jumok train {typed(folder / 'images')} --out runs/inspection",
    )


@app.command("shapes")
@in_session("sample")
def shapes(
    folder: Annotated[
        Path,
        typer.Argument(help="Where to write train.csv, val.csv, test.csv, images/ and masks/.", show_default=False),
    ],
    seed: Annotated[int, typer.Option(help="The same seed gives the same images and questions.")] = 0,
    size: Annotated[int, typer.Option(help="Side of the images in pixels.")] = 64,
    train: Annotated[int, typer.Option(help="Images to train on.")] = 3000,
    val: Annotated[int, typer.Option(help="Images to validate on.")] = 300,
    test: Annotated[int, typer.Option(help="Images to test on.")] = 500,
    questions: Annotated[
        int | None,
        typer.Option(help="Questions about each image, 1 to 7 (default 6, or all kinds).", show_default=False),
    ] = None,
    kinds: Annotated[
        str,
        typer.Option(
            help="Kinds of questions, with commas between: colour, shape, exists, count, beside, closest, farthest."
        ),
    ] = "all",
    *,
    session: Session,
) -> Written:
    """Write images of coloured shapes and questions about them in English and Korean, with masks of what is asked."""
    from jumok.data.samples.shape_folder import write_shapes
    from jumok.data.samples.shape_questions import KINDS

    chosen = KINDS if kinds == "all" else [kind.strip() for kind in kinds.split(",") if kind.strip()]
    write_shapes(folder, seed=seed, size=size, train=train, val=val, test=test, questions=questions, kinds=chosen)
    text = (
        f"{write_count(train + val + test, 'image')} in {folder / 'images'}, questions in {folder}, masks beside them"
    )
    out = f"runs/{folder.resolve().name}"
    following = f"jumok train {typed(folder)} --out {typed(out)}"
    return Written("shapes", str(folder), train, val, test, text, following)


@app.command("dates")
@in_session("sample")
def dates(
    folder: PairFolder,
    seed: Annotated[int, typer.Option(help="The same seed gives the same dates.")] = 0,
    train: Annotated[int, typer.Option(help="Dates to train on.")] = 20_000,
    val: Annotated[int, typer.Option(help="Dates to validate on.")] = 1_000,
    test: Annotated[int, typer.Option(help="Dates to test on.")] = 1_000,
    *,
    session: Session,
) -> Written:
    """Write dates as people write them in Korean and English, beside ISO 8601, with alignments."""
    from jumok.data.samples.dates import write_dates

    write_dates(folder, seed=seed, train=train, val=val, test=test)
    return _report_pairs("dates", folder, train, val, test)


@app.command("reversal")
@in_session("sample")
def reversal(
    folder: PairFolder,
    seed: SentenceSeed = 0,
    train: TrainPairs = 10_000,
    val: ValPairs = 500,
    test: TestPairs = 500,
    shortest: Annotated[int, typer.Option(help="Words of a sentence at least.")] = 3,
    longest: Annotated[int, typer.Option(help="Words of a sentence at most.")] = 12,
    words: Annotated[int, typer.Option(help="Different words.")] = 50,
    *,
    session: Session,
) -> Written:
    """Write sentences of made-up words and the same read backwards, with alignments."""
    from jumok.data.samples.toy_pairs import REVERSAL

    REVERSAL.write(folder, seed=seed, train=train, val=val, test=test, shortest=shortest, longest=longest, words=words)
    return _report_pairs("reversal", folder, train, val, test)


@app.command("substitution")
@in_session("sample")
def substitution(
    folder: PairFolder,
    seed: SentenceSeed = 0,
    train: TrainPairs = 10_000,
    val: ValPairs = 500,
    test: TestPairs = 500,
    *,
    session: Session,
) -> Written:
    """Write sentences of made-up words, translated word by word and put in another order, with alignments."""
    from jumok.data.samples.toy_pairs import SUBSTITUTION

    SUBSTITUTION.write(folder, seed=seed, train=train, val=val, test=test)
    return _report_pairs("substitution", folder, train, val, test)


def _report_pairs(sample: str, folder: Path, train: int, val: int, test: int) -> Written:
    text = f"{write_count(train + val + test, 'pair')} in {folder}, their alignments beside them"
    following = f"jumok train {typed(folder)} --out {typed(f'runs/{folder.resolve().name}')}"
    return Written(sample, str(folder), train, val, test, text, following)
