"""`jumok select`: the columns of a table that tell most of its target."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from jumok.app.session import Session, in_session
from jumok.errors import JumokError, suggest
from jumok.wording import defuse, write_count

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]
    from rich.console import RenderableType
    from rich.table import Table
    from torch import Tensor

    from jumok.data.column_types import Corrections
    from jumok.data.ready_tables import ReadyTable
    from jumok.mechanisms.selection import Selector
    from jumok.mechanisms.selection.noise import Noise

METHODS = "fisher | anova | mutual-information | mrmr-fcd | mrmr-fcq | mrmr-mid | mrmr-miq | jmi"
TAKE_CATEGORIES = ("mutual-information", "mrmr-mid", "mrmr-miq", "jmi")
"""Those that can take text as categories."""
KINDS = ("auto", "classes", "numbers")
DEFAULT_K, MOST_SHOWN = 10, 20
ABOUT = ("type", "alone", "low", "high", "p_value")
"""What scores.csv says of a column beside its score."""
Names = list[str]


@dataclass(frozen=True)
class Selection:
    """What was chosen, and from what.

    Args:
        selector: fitted to the table.
        ready: the table.
        noise: what each column tells beside noise; None where that cannot be told.
        target: its name.
        size: height and width, if the columns are an image's pixels.
        reduced: the reduced table, in the folder for what is written.
    """

    selector: Selector
    ready: ReadyTable
    noise: Noise | None
    target: str
    size: tuple[int, int] | None
    reduced: Path

    @property
    def out(self) -> Path:
        """The folder for what is written."""
        return self.reduced.parent

    @property
    def names(self) -> list[str]:
        """Of all columns that could be chosen."""
        return [str(name) for name in self.ready.table.columns]

    @property
    def title(self) -> str:
        """What the pictures and the table are of."""
        return f"{self.selector.k} of {len(self.names)} columns kept (target column: {self.target})"

    def ranked(self) -> list[int]:
        """All columns: those kept in the order of choice, then the others by score, those of one value last."""
        kept: list[int] = self.selector.order_.tolist()
        scores, constant = self.selector.scores_, self.ready.constant
        rest = sorted(set(range(len(self.names))) - set(kept), key=lambda i: (constant[i], -scores[i], i))
        return [*kept, *rest]

    @property
    def files(self) -> list[str]:
        """Names of what is written into the folder, but for the reduced table."""
        mask = [] if self.size is None else ["mask.png"]
        return ["scores.csv", "scores.png", "mask.safetensors", "scores.safetensors", *mask]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        ranked, kept, scores = self.ranked(), self.selector.k, self.selector.scores_
        return {
            "target": self.target,
            "kind": self.selector.target_kind_,
            "method": self.method,
            "unit": self.selector.unit,
            "rows": len(self.ready.target),
            "kept": [self.names[column] for column in ranked[:kept]],
            "columns": [
                {"column": self.names[column], "score": float(scores[column]), "kept": rank <= kept}
                | self._describe(column)
                for rank, column in enumerate(ranked, 1)
            ],
            "types": {name: column.kind for name, column in self.ready.types.items()},
            "judged_rows": None if self.noise is None else self.noise.rows,
            "shuffles": None if self.noise is None else self.noise.shuffles,
            "remarks": list(self.ready.notes),
            "folder": str(self.out),
            "files": [self.reduced.name, *self.files],
        }

    def _describe(self, column: int) -> dict[str, Any]:
        """Type, and how its own score stands beside noise."""
        kind = self.ready.types[self.ready.sources[column]].kind
        if self.noise is None:
            return {"type": kind, "alone": None, "low": None, "high": None, "p_value": None, "better": None}
        found = {name: float(getattr(self.noise, name)[column]) for name in ("alone", "low", "high")}
        p, better = float(self.noise.p[column]), bool(self.noise.better[column])
        return {"type": kind, **found, "p_value": p, "better": better}

    def lines(self) -> Iterator[RenderableType]:
        """For the terminal: the ranked columns."""
        import numpy as np

        values, kind = len(np.unique(self.ready.target)), self.selector.target_kind_
        what = f"{write_count(len(self.ready.target), 'row')}; target {self.target}: {kind}, {values:,} different"
        yield f"{what}; method {self.method}"
        ranked = self.ranked()
        shown = ranked[: max(MOST_SHOWN, self.selector.k)]
        yield self._build_table(shown)
        if self.selector.steps:
            yield "scores of selected columns are from the step that selected them; the others are from the last step"
        yield self._summarise_noise()
        if len(ranked) > len(shown):
            yield f"and {len(ranked) - len(shown):,} more, in scores.csv"
        yield f"written: {', '.join(map(str, [self.reduced, *(self.out / name for name in self.files)]))}"

    @property
    def method(self) -> str:
        """The selector's name."""
        return self.selector.source.partition("/")[2]

    def _summarise_noise(self) -> str:
        """Which columns are surely better than noise."""
        if self.noise is None:
            return "too few rows to tell which columns are better than noise"
        better = [self.names[column] for column in self.ranked() if self.noise.better[column]]
        rows = "" if self.noise.rows == len(self.ready.target) else f" of {self.noise.rows:,} rows"
        shown = ", ".join(better[:MOST_SHOWN]) + (
            f" and {len(better) - MOST_SHOWN:,} more" * (len(better) > MOST_SHOWN)
        )
        test = f"p <= 0.05 over all columns, {self.noise.shuffles} shuffles{rows}"
        return f"surely better than noise by themselves ({test}): {shown or 'none'}"

    def _build_table(self, columns: Sequence[int]) -> Table:
        """Columns with their ranks and scores."""
        from rich.table import Table
        from rich.text import Text

        table = Table(title=Text(self.title), title_justify="left")
        unit = f", {self.selector.unit}" if self.selector.unit else ""
        for heading in ("rank", "column", "type", f"score{unit}", "alone, 95 %", "sure", ""):
            side: Literal["right", "left"] = "right" if heading.startswith(("rank", "score")) else "left"
            table.add_column(heading, justify=side, no_wrap=heading != "column")
        for rank, column in enumerate(columns, 1):
            mark = Text("kept", style="green") if rank <= self.selector.k else Text("")
            about = self._describe(column)
            interval = "" if self.noise is None else "{low:.2g} to {high:.2g}".format(**about)
            better = {True: "yes", False: "no", None: ""}[about["better"]]
            score = f"{self.selector.scores_[column]:.4g}"
            table.add_row(str(rank), Text(self.names[column]), about["type"], score, interval, better, mark)
        return table

    def write(self, table: DataFrame, separator: str) -> None:
        """Write all files, each whole or not at all.

        Args:
            table: as it was read.
            separator: between its columns.
        """
        from jumok.data.tables import write_table
        from jumok.files import write_atomically
        from jumok.views.pictures.heatmap import draw
        from jumok.views.pictures.selection import draw_selection

        out = self.out
        kept = {self.target, *(self.ready.sources[i] for i in self.selector.order_)}
        write_table(table[[name for name in table.columns if name in kept]], self.reduced, separator=separator)
        write_atomically(out / "scores.csv", self.format_scores())
        bars = self.selector.attention_map(scores=True)
        draw_selection(bars, self.ranked(), self.selector.k, out / "scores.png", title=self.title)
        mask = self.selector.attention_map(image=self.size)
        mask.save(out / "mask.safetensors")
        self.selector.attention_map(scores=True, image=self.size).save(out / "scores.safetensors")
        if self.size is not None:
            draw(mask, _average_image(self.ready, self.size), out / "mask.png", title=self.title)

    def format_scores(self) -> str:
        """Each column by rank."""
        lines = io.StringIO()
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(("rank", "column", "score", "kept", *ABOUT))
        for rank, column in enumerate(self.ranked(), 1):
            score, about = float(self.selector.scores_[column]), self._describe(column)
            told = (defuse(about[name]) for name in ABOUT)
            writer.writerow((rank, defuse(self.names[column]), repr(score), int(rank <= self.selector.k), *told))
        return lines.getvalue()


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
    mrmr-mid, mrmr-miq, jmi). Columns of one value are never chosen. A permutation test says which columns are surely
    better than noise. The reduced table has all rows, with their values as they were read.
    """
    from jumok.data.tables import read_table
    from jumok.mechanisms.selection.noise import judge_noise

    size = None if image is None else parse_size(image)
    selector = _make_selector(method, kind)
    table = read_table(path, encoding=encoding, as_text=decimal == ",")
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


def _average_image(ready: ReadyTable, size: tuple[int, int]) -> Tensor:
    """The mean of all rows as a grey picture, from the least to the largest mean."""
    import torch

    mean = torch.from_numpy(ready.table.to_numpy().mean(axis=0)).view(size)
    grey = (mean - mean.min()) / (mean.max() - mean.min()).clamp(min=1e-12)
    return (255 * grey).round().to(torch.uint8).expand(3, -1, -1).contiguous()
