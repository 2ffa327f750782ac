"""`jumok select`: the columns of a table that tell most of its target."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jumok.app.outputs import check_writable
from jumok.app.selection import Selection
from jumok.app.session import Session, in_session
from jumok.errors import JumokError, suggest

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]

    from jumok.data.column_types import Corrections
    from jumok.data.ready_tables import ReadyTable
    from jumok.mechanisms.selection import Selector

METHODS = "fisher | anova | mutual-information | mrmr-fcd | mrmr-fcq | mrmr-mid | mrmr-miq | jmi"
TAKE_CATEGORIES = ("mutual-information", "mrmr-mid", "mrmr-miq", "jmi")
"""Those that can take text as categories."""
KINDS = ("auto", "classes", "numbers")
DEFAULT_K = 10
Names = list[str]


# -- options ------------------------------------------------------------------------------------

TablePath = Annotated[
    Path,
    typer.Argument(metavar="TABLE", help="A .csv, .tsv or .parquet file; names in the first line.", show_default=False),
]
Target = Annotated[str, typer.Option(help="Column that the others are judged by.", show_default=False)]
Kept = Annotated[
    int | None,
    typer.Option(help="How many columns to keep (default: 10, or all if there are fewer).", min=1, show_default=False),
]
Method = Annotated[str, typer.Option(help=METHODS)]
Kind = Annotated[
    str,
    typer.Option(
        "--as", help="Take the target as classes or numbers. auto: text, and up to 20 whole numbers, are classes."
    ),
]
Missing = Annotated[
    str, typer.Option(help="Missing values: median fills them, rows leaves out their rows, stop says so and stops.")
]
Numeric = Annotated[Names | None, typer.Option(help="Column to take as numbers; may be repeated.", show_default=False)]
Categorical = Annotated[
    Names | None, typer.Option(help="Column to take as categories; may be repeated.", show_default=False)
]
Drop = Annotated[Names | None, typer.Option(help="Column to leave out; may be repeated.", show_default=False)]
Decimal = Annotated[
    str | None, typer.Option(help="Decimal mark of the numbers: , or . (found by itself where it is clear).")
]
MissingSigns = Annotated[
    Names | None,
    typer.Option(help='Cell that means "missing", such as -999 or None; may be repeated.', show_default=False),
]
ImageSize = Annotated[
    str | None,
    typer.Option(
        help="HEIGHTxWIDTH, if the columns are an image's pixels: draws what is kept over the mean image.",
        show_default=False,
    ),
]
Encoding = Annotated[str, typer.Option(help="Of a text file, such as cp949.")]
Out = Annotated[Path, typer.Option(help="Folder for the reduced table, scores, picture and maps.")]


@in_session("select", "threads", "seed")
def command(
    path: TablePath,
    target: Target,
    k: Kept = None,
    method: Method = "mutual-information",
    kind: Kind = "auto",
    missing: Missing = "median",
    numeric: Numeric = None,
    categorical: Categorical = None,
    drop: Drop = None,
    decimal: Decimal = None,
    na: MissingSigns = None,
    image: ImageSize = None,
    encoding: Encoding = "utf-8",
    out: Out = Path("selected"),
    *,
    session: Session,
) -> Selection:
    """Select the k columns that best predict a target: a ranked table, the reduced table, bars and the attention map.

    What each column was taken for is shown first: number, category, date (used as days), id or text. Left out: rows
    without a target, ids, free text, empty columns, and categories unless the method takes them (mutual-information,
    mrmr-mid, mrmr-miq, jmi). Columns of one value are never chosen. A permutation test says which columns are
    significantly better than noise. The reduced table has all rows, with their values as they were read.
    """
    from jumok.data.tables import read_table
    from jumok.mechanisms.selection.noise import judge_noise

    check_writable(out)
    size = None if image is None else parse_size(image)
    selector = _make_selector(method, kind)
    table = read_table(path, encoding=encoding, as_text=decimal == "," and path.suffix.lower() != ".parquet")
    reduced = _place_reduced(path, out)
    corrections = _correct(table, decimal, na, numeric=numeric, categorical=categorical, drop=drop)
    ready = _make_ready(table, target, missing, method, corrections, session)
    _fit(selector, ready, k, size)
    noise = judge_noise(selector, ready.table, ready.target, seed=session.seed)
    selection = Selection(selector, ready, noise, target, size, reduced)
    selection.write(table, _find_separator(path, encoding))
    return selection


def _correct(table: DataFrame, decimal: str | None, na: Names | None, **columns: Names | None) -> Corrections:
    """What the flags say otherwise than the table seems to."""
    from jumok.data.column_types import Corrections

    names = {flag: _split_names(given, table) for flag, given in columns.items()}
    return Corrections(decimal=decimal, na=_all(na), **names)


def _make_ready(
    table: DataFrame, target: str, missing: str, method: str, corrections: Corrections, session: Session
) -> ReadyTable:
    """The table as numbers; says what each column was taken for, and what was left out."""
    from jumok.data.ready_tables import describe_types, make_ready

    ready = make_ready(table, target, missing=missing, categories=method in TAKE_CATEGORIES, corrections=corrections)
    for line in describe_types(ready, target):
        session.say(line)
    for note in ready.notes:
        session.remark(note)
    return ready


def _all(given: Names | None) -> tuple[str, ...]:
    return tuple(given or ())


def _split_names(given: Names | None, table: DataFrame) -> tuple[str, ...]:
    """Names of columns, each given by itself or several with commas between."""
    known = set(map(str, table.columns))
    parts = (([name] if name in known else [part.strip() for part in name.split(",")]) for name in _all(given))
    return tuple(part for names in parts for part in names)


def _place_reduced(path: Path, out: Path) -> Path:
    """Where the reduced table goes; never over the table that was read."""
    reduced = out / f"reduced{path.suffix.lower()}"
    if reduced.resolve() == path.resolve():
        raise JumokError(f"{path} would be overwritten: choose another folder with --out")
    return reduced


def _find_separator(path: Path, encoding: str) -> str:
    """What stands between the columns of a text file; Parquet has nothing of the kind."""
    from jumok.data.tables import separator_of

    return "," if path.suffix.lower() == ".parquet" else separator_of(path, encoding)


def parse_size(text: str) -> tuple[int, int]:
    """HEIGHTxWIDTH as two numbers.

    Raises:
        JumokError: it is something else.
    """
    height, _, width = text.lower().partition("x")
    if not (height.isascii() and width.isascii() and height.isdigit() and width.isdigit() and int(height) * int(width)):
        raise JumokError(f"--image is HEIGHTxWIDTH, such as 28x28, got {text!r}")
    return int(height), int(width)


def _make_selector(method: str, kind: str) -> Selector:
    from jumok.mechanisms.selection import METHODS as KNOWN

    if method not in KNOWN:
        raise JumokError(f"no method {method!r}: {suggest(method, KNOWN)}")
    if kind not in KINDS:
        raise JumokError(f"a target is taken as one of {', '.join(KINDS)}, got {kind!r}: {suggest(kind, KINDS)}")
    selector = KNOWN[method]()
    if "target" in selector.get_params():
        return selector.set_params(target=kind)  # type: ignore[no-any-return]
    if kind == "numbers":
        raise JumokError(f"{method} tells classes apart: leave out --as numbers, or choose another method")
    return selector


def _fit(selector: Selector, ready: ReadyTable, k: int | None, size: tuple[int, int] | None) -> None:
    """Fit, after the checks that are worded for the command line."""
    columns = len(ready.constant)
    most = int((~ready.constant).sum())
    if (k or 1) > most:
        why = "; ".join(ready.notes) or "ask for fewer"
        raise JumokError(f"--k {k or 1}, but {most} of the {columns} columns can be selected: {why}")
    if size is not None and size[0] * size[1] != columns:
        raise JumokError(f"--image {size[0]}x{size[1]} has {size[0] * size[1]} pixels, and there are {columns} columns")
    selector.set_params(k=min(DEFAULT_K, most) if k is None else k)
    if "discrete" in selector.get_params():
        selector.set_params(discrete=ready.discrete)
    if "corrected" in selector.get_params():
        selector.set_params(corrected=True)
    selector.fit(ready.table, ready.target)
