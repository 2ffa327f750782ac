"""Predictions of a model for many inputs, written row by row: CSV, JSON lines and Parquet, whole or not at all."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TextIO

from jumok.data.arrow import import_parquet
from jumok.errors import JumokError, suggest
from jumok.files import replacing
from jumok.wording import defuse, readable, write_count

__all__ = ["Predicted", "Predictions", "Predictor", "predict_all"]

ROWS_PER_GROUP = 4096
"""Rows that are kept in memory before they are written to Parquet."""
MOST_NAMED_ERRORS = 5
PREDICTED = "predicted"
"""The column of what a model says."""


@dataclass(frozen=True)
class Predicted:
    """What a model says of one input.

    Args:
        about: the input, by the names of `Predictor.about`.
        predicted: the class, labels, number, answer or translation; None: the input could not be used.
        figure: its probability or score; None where there is none.
        probabilities: of all classes.
        error: why the input could not be used.
    """

    about: Mapping[str, Any]
    predicted: str | float | None = None
    figure: float | None = None
    probabilities: Sequence[float] = ()
    error: str | None = None

    @classmethod
    def best_of(cls, about: Mapping[str, Any], classes: Sequence[str], probabilities: Sequence[float]) -> Predicted:
        """The most probable class."""
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        return cls(about, classes[best], probabilities[best], probabilities)


class Predictor(Protocol):
    """A model and its inputs.

    Attributes:
        about: names of the columns that tell what an input is, and their types.
        predicts: the type of a prediction, str or float.
        figure: what the figure beside a prediction is called; None: there is none.
        classes: that probabilities are given for; none where there are none.
        total: inputs there are; None: not known.
    """

    about: Mapping[str, type]
    predicts: type
    figure: str | None
    classes: Sequence[str]
    total: int | None

    def predict(self) -> Iterator[Predicted]:
        """Each input in its order, read and asked in batches."""


@dataclass
class Predictions:
    """What was predicted.

    Args:
        model: its name.
        files: that were written.
        rows: kept for the report, if they were to be.
        count: of inputs.
        errors: inputs that could not be used, the first few.
        failed: how many could not.
    """

    model: str
    files: Sequence[Path]
    rows: list[dict[str, Any]] = field(default_factory=list)
    count: int = 0
    errors: list[str] = field(default_factory=list)
    failed: int = 0

    @property
    def status(self) -> int:
        """The exit status: 1 if an input could not be used."""
        return 1 if self.failed else 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "model": self.model,
            "inputs": self.count,
            "failed": self.failed,
            "predictions": self.rows,
            "files": list(self.files),
        }

    def lines(self) -> Iterator[str]:
        """For the terminal."""
        yield from (f"not predicted: {error}" for error in self.errors)
        if self.failed > len(self.errors):
            yield f"not predicted: {self.failed - len(self.errors):,} more, see the column error"
        written = f"; written: {', '.join(map(str, self.files))}" if self.files else ""
        yield f"{self.count - self.failed:,} of {write_count(self.count, 'input')} predicted{written}"

    def note(self, one: Predicted) -> None:
        """Count an input."""
        self.count += 1
        if one.error is not None:
            self.failed += 1
            if len(self.errors) < MOST_NAMED_ERRORS:
                self.errors.append(one.error)


def predict_all(
    model: str,
    predictor: Predictor,
    files: Sequence[Path],
    *,
    keep: bool = False,
    progress: Callable[[int, int | None], None] = lambda _done, _total: None,
) -> Predictions:
    """Ask a model about all inputs, and write a row for each.

    Args:
        model: its name, for the report.
        predictor: the model with its inputs.
        files: to write, .csv, .jsonl or .parquet.
        keep: keep the rows for the report.
        progress: called with how many are done, and how many there are.
    Raises:
        JumokError: no input, a file of another kind, or one that cannot be written.
    """
    found = Predictions(model, files)
    columns = _name_columns(predictor)
    with ExitStack() as stack:
        writers = [stack.enter_context(_open_writer(path, columns)) for path in files]
        for one in predictor.predict():
            row = _make_row(one, predictor, columns)
            for writer in writers:
                writer.write(row)
            found.note(one)
            if keep:
                found.rows.append(_make_object(one, predictor))
            progress(found.count, predictor.total)
        if not found.count:  # in here, so that no empty file is left
            raise JumokError("nothing to predict: the files given hold no input")
    return found


# -- columns ------------------------------------------------------------------------------------


def _name_classes(classes: Sequence[str]) -> list[str]:
    """Classes of one name get their number."""
    counts = Counter(classes)
    return [f"{name} ({number})" if counts[name] > 1 else name for number, name in enumerate(classes)]


def _name_columns(predictor: Predictor) -> dict[str, type]:
    """All columns and what they hold."""
    shares = dict.fromkeys((f"p({name})" for name in _name_classes(predictor.classes)), float)
    figure = {predictor.figure: float} if predictor.figure else {}
    return {**predictor.about, PREDICTED: predictor.predicts, **figure, **shares, "error": str}


def _make_row(one: Predicted, predictor: Predictor, columns: Mapping[str, type]) -> dict[str, Any]:
    """A flat row, for a table."""
    shares: Sequence[float | None] = one.probabilities or [None] * len(predictor.classes)
    figure = [one.figure] if predictor.figure else []
    values = [*(one.about.get(name) for name in predictor.about), one.predicted, *figure, *shares, one.error]
    return {name: _make_readable(value) for name, value in zip(columns, values, strict=True)}


def _make_readable(value: Any) -> Any:
    return readable(value) if isinstance(value, str) else value


def _make_object(one: Predicted, predictor: Predictor) -> dict[str, Any]:
    """The same for JSON, probabilities together."""
    found = {**one.about, PREDICTED: one.predicted, **({predictor.figure: one.figure} if predictor.figure else {})}
    if one.probabilities:
        names = _name_classes(predictor.classes)
        found["probabilities"] = dict(zip(names, one.probabilities, strict=True))
    return {**found, "error": one.error}


# -- files --------------------------------------------------------------------------------------


class _Writer(Protocol):
    def write(self, row: Mapping[str, Any]) -> None: ...


class _CsvWriter:
    def __init__(self, file: TextIO, columns: Mapping[str, type]) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        self._columns = list(columns)
        self._writer.writerow(map(defuse, self._columns))

    def write(self, row: Mapping[str, Any]) -> None:
        self._writer.writerow(self._format(name, row[name]) for name in self._columns)

    def _format(self, name: str, value: Any) -> Any:
        """Figures in 6 digits; what is predicted in as many as it has."""
        return f"{value:.6g}" if isinstance(value, float) and name != PREDICTED else defuse(value)


class _LinesWriter:
    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, row: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")


class _ParquetWriter:
    """Rows are gathered into groups; `close` writes the last one."""

    def __init__(self, path: Path, columns: Mapping[str, type]) -> None:
        parquet = import_parquet()
        import pyarrow as pa  # type: ignore[import-untyped]

        kinds = {str: pa.string(), int: pa.int64(), float: pa.float64()}
        self._schema = pa.schema([(name, kinds[kind]) for name, kind in columns.items()])
        self._table, self._rows = pa.Table, []  # type: ignore[var-annotated]
        self._file = parquet.ParquetWriter(path, self._schema)

    def write(self, row: Mapping[str, Any]) -> None:
        self._rows.append(row)
        if len(self._rows) == ROWS_PER_GROUP:
            self._flush()

    def _flush(self) -> None:
        self._file.write_table(self._table.from_pylist(self._rows, self._schema))
        self._rows = []

    def close(self) -> None:
        """Write what is left."""
        if self._rows:
            self._flush()
        self._file.close()


@contextmanager
def _open_text(path: Path) -> Iterator[TextIO]:
    with replacing(path) as fresh, fresh.open("w", encoding="utf-8", newline="") as file:
        yield file


@contextmanager
def _open_writer(path: Path, columns: Mapping[str, type]) -> Iterator[_Writer]:
    """What writes rows to a file; the file has its name once all are written."""
    kind = path.suffix.lower()
    if kind == ".csv":
        with _open_text(path) as file:
            yield _CsvWriter(file, columns)
    elif kind == ".jsonl":
        with _open_text(path) as file:
            yield _LinesWriter(file)
    elif kind == ".parquet":
        with replacing(path) as fresh, closing(_ParquetWriter(fresh, columns)) as writer:
            yield writer
    else:
        raise JumokError(
            f"predictions are written to .csv, .jsonl or .parquet, got {path}: {suggest(kind, FILE_KINDS)}"
        )


FILE_KINDS = (".csv", ".jsonl", ".parquet")
