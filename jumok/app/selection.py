"""What `jumok select` chose, and from what: its lines, and the files that it writes."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jumok.language import later, later_count
from jumok.wording import defuse, one_line

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]
    from rich.console import RenderableType
    from rich.table import Table
    from torch import Tensor

    from jumok.data.ready_tables import ReadyTable
    from jumok.mechanisms.selection import Selector
    from jumok.mechanisms.selection.noise import Noise

__all__ = ["Selection"]

MOST_SHOWN = 20
ABOUT = ("type", "alone", "low", "high", "p_value")
"""What scores.csv says of a column beside its score."""


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

    @cached_property
    def names(self) -> list[str]:
        """Of all columns that could be chosen."""
        return [str(name) for name in self.ready.table.columns]

    @property
    def title(self) -> str:
        """What the pictures and the table are of."""
        target = one_line(self.target)
        return f"{self.selector.k} of {len(self.names)} columns kept (target column: {target})"

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
        yield later(
            "{rows}; target {target}: {kind}, {count} different; method {method}",
            rows=later_count(len(self.ready.target), "{count} row", "{count} rows"),
            target=one_line(self.target),
            kind=later("classes") if kind == "classes" else later("numbers"),
            count=f"{values:,}",
            method=self.method,
        )
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
        """Which columns are significantly better than noise."""
        if self.noise is None:
            return "too few rows to tell which columns are better than noise"
        better = [self.names[column] for column in self.ranked() if self.noise.better[column]]
        rows = "" if self.noise.rows == len(self.ready.target) else f" of {self.noise.rows:,} rows"
        told = ", ".join(map(one_line, better[:MOST_SHOWN])) + (
            f" and {len(better) - MOST_SHOWN:,} more" * (len(better) > MOST_SHOWN)
        )
        test = f"p <= 0.05 over all columns, {self.noise.shuffles} shuffles{rows}"
        return f"significantly better than noise by themselves ({test}): {told or 'none'}"

    def _build_table(self, columns: Sequence[int]) -> Table:
        """Columns with their ranks and scores."""
        from rich.table import Table
        from rich.text import Text

        table = Table(title=Text(self.title), title_justify="left")
        unit = f", {self.selector.unit}" if self.selector.unit else ""
        score = later("score{unit}", unit=unit)
        headings = (later("rank"), later("column"), later("type"), score, later("alone, 95%"), later("sure"), "")
        for heading in headings:
            side: Literal["right", "left"] = "right" if heading.startswith(("rank", "score")) else "left"
            style = None if heading else "green"
            table.add_column(heading, justify=side, no_wrap=heading != "column", style=style)
        places = count_places([self.selector.scores_[column] for column in columns])
        for rank, column in enumerate(columns, 1):
            table.add_row(str(rank), Text(one_line(self.names[column])), *self._cells(rank, column, places))
        return table

    def _cells(self, rank: int, column: int, places: int) -> tuple[str, ...]:
        """What stands behind the name of a column."""
        from jumok.data.column_types import KINDS

        about = self._describe(column)
        interval = ""
        if self.noise is not None:
            low, high = (f"{about[end]:z,.{max(0, places - 1)}f}" for end in ("low", "high"))
            interval = later("{low} to {high}", low=low, high=high)
        better = {True: later("yes"), False: later("no"), None: ""}[about["better"]]
        kept = later("kept") if rank <= self.selector.k else ""
        return KINDS[about["type"]], f"{self.selector.scores_[column]:z,.{places}f}", interval, better, kept

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


def _average_image(ready: ReadyTable, size: tuple[int, int]) -> Tensor:
    """The mean of all rows as a grey picture, from the least to the largest mean."""
    import torch

    mean = torch.from_numpy(ready.table.to_numpy().mean(axis=0)).view(size)
    grey = (mean - mean.min()) / (mean.max() - mean.min()).clamp(min=1e-12)
    return (255 * grey).round().to(torch.uint8).expand(3, -1, -1).contiguous()


def count_places(values: Sequence[float], digits: int = 4) -> int:
    """Decimals with which the largest of a column's figures has so many digits, so that all of them line up.

    >>> count_places([0.6664, 0.08]), count_places([233.9, 1.0]), count_places([0.0, math.inf])
    (4, 1, 3)
    """
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    return max(0, digits - 1 - math.floor(math.log10(largest))) if largest else digits - 1
