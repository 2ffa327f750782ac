"""Texts with a class each: read from tables, and split so that no text stands in two parts."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from jumok.data.labelled.recognition import column_for, find_part_tables
from jumok.data.labels import check_classes, describe_doubtful, order_classes, unite_whole
from jumok.data.splits import IMAGE_SHARES, SPLITS, Shares, check_shares, split_named
from jumok.data.table_heads import read_column_names
from jumok.data.table_rows import read_rows, refuse_nested
from jumok.data.texts.normal_form import clean
from jumok.errors import JumokError, suggest
from jumok.wording import write_count

__all__ = ["Columns", "TextSet", "hash_text", "read_text_parts", "read_texts", "stream_texts"]

MOST_TEXTS = 20_000_000
WHOLE = ""
"""The part of a table that is not one part alone."""


class Columns(NamedTuple):
    """Names of the columns that hold text and label; None: by the names in `recognition.COLUMNS`."""

    text: str | None = None
    label: str | None = None


USUAL = Columns()


@dataclass(frozen=True)
class TextSet:
    """Texts, and the class of each.

    Args:
        classes: their names.
        texts: cleaned (see `jumok.data.texts.normal_form.clean`), none empty.
        labels: the class of each, by its number.
        files: that were read.
        notes: remarks for whoever supplied the files, one line each.
    """

    classes: tuple[str, ...]
    texts: tuple[str, ...]
    labels: tuple[int, ...]
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.texts)

    def select(self, numbers: Sequence[int]) -> TextSet:
        """These texts only, in this order."""
        texts = tuple(self.texts[number] for number in numbers)
        return replace(self, texts=texts, labels=tuple(self.labels[number] for number in numbers))

    def counts(self) -> tuple[int, ...]:
        """Texts of each class."""
        found = Counter(self.labels)
        return tuple(found[label] for label in range(len(self.classes)))

    def fingerprint(self) -> str:
        """What changes when a text is added, removed, changed or moved, or put into another class."""
        digest = hashlib.sha256()
        for text, label in zip(self.texts, self.labels, strict=True):
            digest.update(f"{self.classes[label]}\t{text}\n".encode())
        return digest.hexdigest()[:32]


def hash_text(text: str) -> str:
    """By which a text is known again, upper or lower case: 32 hexadecimal digits."""
    return hashlib.blake2b(text.casefold().encode(), digest_size=16).hexdigest()


# -- reading ------------------------------------------------------------------------------------


class _Row(NamedTuple):
    where: str
    text: str
    label: str
    part: str


def read_text_parts(
    path: Path, columns: Columns = USUAL, *, shares: Shares = IMAGE_SHARES, seed: int = 0
) -> dict[str, TextSet]:
    """Read the texts to train on, to validate with and to test with.

    Parts that neither files nor a column `split` name are split off by a hash of the text, the same share of every
    class; a text that stands there several times goes to one part.

    Args:
        path: a table, or a folder with train.csv, val.csv and test.csv (or .tsv, .jsonl, .parquet).
        columns: names, where they are not the usual ones.
        shares: of train, val and test, that sum to 1.
        seed: another seed, another split.
    Raises:
        JumokError: no such file, a damaged one, a column that lacks, labels that are no classes, or too few texts.
    """
    check_shares(shares, IMAGE_SHARES)
    tables = find_part_tables(path) if path.is_dir() else {WHOLE: path}
    if not tables:
        raise JumokError(f"{path} holds no train.csv (or .tsv, .jsonl, .parquet) with the columns text and label")
    rows = _unite([row for part, table in tables.items() for row in _read_table(table, part, columns)])
    kept = [row for row in rows if row.text and row.label]
    classes = _find_classes(kept, path)
    parts = _group_by_part(kept)
    found = {part: _make_set(some, classes, tuple(tables.values())) for part, some in parts.items()}
    notes = list(_describe(tables, rows, kept, columns))
    missing = [part for part in SPLITS if part not in found]
    if missing:
        found |= _split_off(found["train"], missing, shares, seed)
    _check_train(found["train"])
    found = {part: found[part] for part in SPLITS}
    return {**found, "train": replace(found["train"], notes=(*notes, *_describe_overlap(found)))}


def read_texts(paths: Sequence[Path], classes: Sequence[str], columns: Columns = USUAL) -> TextSet:
    """Read tables of texts as one set, for classes that are known.

    Raises:
        JumokError: as `read_text_parts`, or a class that is not among them.
    """
    rows = _unite([row for path in paths for row in _read_table(path, WHOLE, columns)])
    kept = [row for row in rows if row.text and row.label]
    if not kept:
        raise JumokError(f"{paths[0]} holds no text with a label")
    if other := next((row for row in kept if row.label not in classes), None):
        raise JumokError(f"{other.where}: the model has no class {other.label!r}: {suggest(other.label, classes)}")
    notes = tuple(_describe_left_out(rows, kept))
    return replace(_make_set(kept, tuple(classes), tuple(paths)), notes=notes)


def stream_texts(path: Path, columns: Columns = USUAL) -> Iterator[str]:
    """Give the texts of a table one by one, as they stand; labels are not asked for.

    Raises:
        JumokError: as `read_text_parts`.
    """
    for where, cells in read_rows(path, "tables of texts"):
        name = _find_column("text", columns.text, list(cells), where)
        refuse_nested(where, cells, (name,))
        yield cells[name]


def _read_table(path: Path, part: str, columns: Columns) -> Iterator[_Row]:
    for number, (where, cells) in enumerate(read_rows(path, "tables of texts")):
        if number == MOST_TEXTS:
            raise JumokError(f"{path} holds more than {MOST_TEXTS:,} texts: give a part of them")
        names = list(cells)
        of_text, of_label = (_find_column(role, getattr(columns, role), names, where) for role in ("text", "label"))
        split = column_for("split", names)
        refuse_nested(where, cells, (of_text, of_label, split))
        text, label = clean(cells[of_text]), clean(cells[of_label])
        yield _Row(where, text, label, _name_part(where, cells[split].strip() if split else "") or part)


def _unite(rows: Sequence[_Row]) -> list[_Row]:
    """The rows with one name for each class."""
    labels = unite_whole([row.label for row in rows])
    return [row._replace(label=label) for row, label in zip(rows, labels, strict=True)]


def _find_column(role: str, chosen: str | None, names: Sequence[str], where: str) -> str:
    if chosen is not None:
        name = chosen.strip().lower()
        if name not in names:
            raise JumokError(f"{where} has no column {chosen!r}: {suggest(name, names)}")
        return name
    found = column_for(role, names)
    if found is None:
        got = ", ".join(names) or "nothing"
        raise JumokError(f"{where} lacks the column {role!r}: got {got}; name it with --{role}-column")
    return found


def _name_part(where: str, cell: str) -> str:
    if cell and split_named(cell) is None:
        raise JumokError(f"{where}: split {cell!r}: {suggest(cell, SPLITS)}")
    return split_named(cell) or ""


def _find_classes(rows: Sequence[_Row], path: Path) -> tuple[str, ...]:
    if not rows:
        raise JumokError(f"{path} holds no text with a label")
    check_classes([(row.where, row.label) for row in rows], "text")
    classes = tuple(order_classes({row.label for row in rows}))
    if len(classes) < 2:
        raise JumokError(f"all texts of {path} have the one label {classes[0]!r}: wanted two classes or more")
    if len(classes) > len(rows) / 2:
        raise JumokError(
            f"{path} has {len(classes):,} labels for {len(rows):,} texts: that is hardly a class of each; name the "
            "column of classes with --label-column"
        )
    return classes


def _group_by_part(rows: Sequence[_Row]) -> dict[str, list[_Row]]:
    parts: dict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        parts[row.part].append(row)
    if WHOLE in parts and len(parts) > 1:
        raise JumokError(f"{parts[WHOLE][0].where}: no split, and other rows have one: say train, val or test")
    if WHOLE in parts:
        return {"train": parts[WHOLE]}
    if "train" not in parts:
        raise JumokError(f"the table has no text of the part train, only of {', '.join(sorted(parts))}: add some")
    return parts


def _make_set(rows: Sequence[_Row], classes: tuple[str, ...], files: tuple[Path, ...]) -> TextSet:
    number = {name: index for index, name in enumerate(classes)}
    return TextSet(classes, tuple(row.text for row in rows), tuple(number[row.label] for row in rows), files)


def _check_train(train: TextSet) -> None:
    lacking = [name for name, count in zip(train.classes, train.counts(), strict=True) if not count]
    if lacking:
        raise JumokError(f"no training text of the class {lacking[0]!r}: add some, or leave the class out")


# -- splitting ----------------------------------------------------------------------------------


def _split_off(texts: TextSet, parts: Sequence[str], shares: Shares, seed: int) -> dict[str, TextSet]:
    """Move a share of each class to the parts that are wanted; train keeps one text of each class at least."""
    groups: dict[str, list[int]] = defaultdict(list)
    for number, text in enumerate(texts.texts):
        groups[hash_text(text)].append(number)
    by_class: dict[int, list[str]] = defaultdict(list)
    for key, numbers in groups.items():
        by_class[texts.labels[numbers[0]]].append(key)
    home: dict[str, str] = {}
    for label, keys in sorted(by_class.items()):
        order = sorted(keys, key=lambda key: hashlib.sha256(f"{seed}/{key}".encode()).digest())
        counts = _share_out(len(order), shares, parts, texts.classes[label])
        begin = 0
        for part, count in counts.items():
            home |= dict.fromkeys(order[begin : begin + count], part)
            begin += count
    numbers_of: dict[str, list[int]] = {part: [] for part in ("train", *parts)}
    for key, numbers in groups.items():
        numbers_of[home.get(key, "train")] += numbers
    return {part: texts.select(sorted(numbers)) for part, numbers in numbers_of.items()}


def _share_out(total: int, shares: Shares, parts: Sequence[str], name: str) -> dict[str, int]:
    share_of = dict(zip(SPLITS, shares, strict=True))
    counts = {part: max(round(total * share_of[part]), 1) if share_of[part] else 0 for part in parts}
    if sum(counts.values()) >= total:
        raise JumokError(
            f"{write_count(total, 'text')} of the class {name!r} cannot be split into train, {' and '.join(parts)}: "
            "add some, or give these parts in files of their own"
        )
    return counts


# -- what to say --------------------------------------------------------------------------------


def _describe(
    tables: Mapping[str, Path], rows: Sequence[_Row], kept: Sequence[_Row], columns: Columns
) -> Iterator[str]:
    """What the user should know: how the tables were read, and what was left out."""
    first = next(iter(tables.values()))
    names = read_column_names(first)
    text, label = (_find_column(role, getattr(columns, role), names, str(first)) for role in ("text", "label"))
    files = ", ".join(path.name for path in tables.values())
    yield f"{len(kept):,} texts are labelled in {files} (columns {text!r} and {label!r})"
    yield from _describe_left_out(rows, kept)
    yield from describe_doubtful(Counter(row.label for row in kept), "text")
    labels: dict[str, set[str]] = defaultdict(set)
    for row in kept:
        labels[hash_text(row.text)].add(row.label)
    twice, clash = len(kept) - len(labels), sum(len(each) > 1 for each in labels.values())
    if twice:
        yield f"duplicates: {write_count(twice, 'text repeats', 'texts repeat')} an earlier one"
    if clash:
        yield f"contradictions: {write_count(clash, 'text stands', 'texts stand')} in more than one class"


def _describe_left_out(rows: Sequence[_Row], kept: Sequence[_Row]) -> Iterator[str]:
    if len(rows) > len(kept):
        empty = sum(not row.text for row in rows)
        unlabelled = len(rows) - len(kept) - empty
        told = [f"{count:,} without {what}" for count, what in ((empty, "text"), (unlabelled, "a label")) if count]
        yield f"left out: rows {' and '.join(told)}"


def _describe_overlap(parts: Mapping[str, TextSet]) -> Iterator[str]:
    known = {hash_text(text) for text in parts["train"].texts}
    for part in ("val", "test"):
        shared = sum(hash_text(text) in known for text in parts[part].texts)
        if shared:
            yield f"{shared:,} of {len(parts[part]):,} {part} texts are also in train: their figures flatter the model"
