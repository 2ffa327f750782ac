"""Files of questions: tables in CSV, TSV and JSONL, and the two JSON files of VQA."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from jumok.data.list_cells import read_list
from jumok.data.table_rows import BETWEEN, find_odd, load_json, read_delimited
from jumok.data.texts.normal_form import LONE, read_lines
from jumok.errors import JumokError, suggest
from jumok.files import regular_file

__all__ = ["QuestionRow", "read_files"]

MOST_JSON = 512 * 1024**2
"""Bytes of a JSON file that is read as a whole."""
COLUMNS = ("image", "question")
FIELDS = (*COLUMNS, "answer", "answers", "kind", "mask")
"""Of a row of JSON lines."""
OF_VQA = ("question_id", "image_id", "image", "question", "question_type", "multiple_choice_answer", "answers")
"""Of a question and an annotation of VQA."""
ABSTRACT = "abstract_"
"""How VQA names the kinds of its drawn scenes."""


class QuestionRow(NamedTuple):
    """One question as a file has it."""

    image: str
    question: str
    answers: tuple[str, ...]
    kind: str = ""
    mask: str = ""


def read_files(paths: Sequence[Path], *, answered: bool = True) -> Iterator[QuestionRow]:
    """Give the questions of files, one after the other.

    CSV and TSV: the first line names the columns, `image`, `question` and `answer`, or `answers` with several of them
    separated by bars or as a list; `kind` and `mask` are read if present, other columns are ignored. Quotes in a TSV
    are part of the text, unless its column names are quoted too. JSONL: the same as keys; `answer` may be a list. JSON:
    the questions and the annotations of VQA (version 1 or 2), two files that go together.

    Args:
        paths: any number of tables, or two JSON files.
        answered: whether tables must have a column of answers.
    Raises:
        JumokError: no file, another kind of file, one that is damaged, lacks a column, or is no UTF-8.
    """
    if not paths:
        raise JumokError("no file of questions was given")
    if any(path.suffix.lower() == ".json" for path in paths):
        yield from _read_vqa(paths)
        return
    for path in paths:
        suffix = path.suffix.lower()
        if suffix not in READERS:
            raise JumokError(f"questions are .csv, .tsv, .jsonl or .json files, got {path}: {suggest(suffix, READERS)}")
        yield from READERS[suffix](path, answered)


# -- tables -------------------------------------------------------------------------------------


def _read_delimited(path: Path, answered: bool) -> Iterator[QuestionRow]:
    rows = read_delimited(path, folded=True)
    _, names = next(rows)
    _check_columns(path, names, answered)
    for _, cells in rows:
        yield _make_row(dict(zip(names, cells, strict=True)))


def _check_columns(path: Path, names: Sequence[str], answered: bool) -> None:
    lacking = [name for name in COLUMNS if name not in names]
    lacking += ["answer"] if answered and not {"answer", "answers"} & set(names) else []
    if lacking:
        have, wanted = ", ".join(names) or "nothing", "image, question and answer" if answered else "image and question"
        raise JumokError(f"{path} lacks the column {lacking[0]!r}: wanted {wanted}, got {have}")
    if twice := [name for name in names if names.count(name) > 1]:
        raise JumokError(f"{path} has two columns {twice[0]!r}: give each its own name")


def _make_row(cells: Mapping[str, str]) -> QuestionRow:
    answers = _split_cell(cells["answers"]) if "answers" in cells else read_list(cells.get("answer", ""))
    return QuestionRow(
        cells["image"].strip(),
        cells["question"],
        tuple(answer for answer in answers if answer.strip()),
        cells.get("kind", "").strip(),
        cells.get("mask", "").strip(),
    )


def _split_cell(cell: str) -> Sequence[str]:
    """Several answers in a cell: a list as programs write it, or texts with bars between them."""
    return read_list(cell) if cell.lstrip().startswith("[") else cell.split(BETWEEN)


def _read_jsonl(path: Path, answered: bool) -> Iterator[QuestionRow]:
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        try:
            row = load_json(line)
        except (ValueError, RecursionError) as error:
            raise JumokError(f"{path}, line {number}: not JSON ({error})") from None
        if not isinstance(row, dict):
            raise JumokError(f"{path}, line {number}: wanted keys and values, such as {{'image': 'a.png', ...}}")
        _check_columns(Path(f"{path}, line {number}:"), list(row), answered)
        _refuse_odd(f"{path}, line {number}", row)
        yield QuestionRow(
            _take_text(row["image"]),
            _take_text(row["question"]),
            _split_answers(row["answers"]) if "answers" in row else _list_answers(row.get("answer")),
            _take_text(row.get("kind")),
            _take_text(row.get("mask")),
        )


def _refuse_odd(where: str, row: Mapping[str, Any], fields: Sequence[str] = FIELDS) -> None:
    """Refuse what is no text or number in the fields that are read; null is an empty one, which is counted."""
    for name in fields:
        value = row.get(name)
        each = value if isinstance(value, list) else [value]
        odd = find_odd([one.get("answer") if isinstance(one, dict) else one for one in each])
        if odd:
            raise JumokError(f"{where}: {name!r} is {odd}: wanted a text or a number")


def _take_text(value: Any) -> str:
    """What JSON holds, as a text that a file can hold; null is none."""
    return "" if value is None else LONE.sub("?", str(value))


def _split_answers(value: Any) -> tuple[str, ...]:
    """Several answers, as a list or as a text with bars."""
    return _list_answers(value.split(BETWEEN) if isinstance(value, str) else value)


def _list_answers(value: Any) -> tuple[str, ...]:
    """One answer or a list of them, each a text or a number or, as in VQA, {"answer": text}."""
    values: Iterable[Any] = value if isinstance(value, list) else [value]
    texts = (each.get("answer") if isinstance(each, dict) else each for each in values)
    return tuple(text for each in texts if (text := _take_text(each)).strip())


READERS: dict[str, Callable[[Path, bool], Iterator[QuestionRow]]] = {
    ".csv": _read_delimited,
    ".tsv": _read_delimited,
    ".jsonl": _read_jsonl,
}


# -- VQA ----------------------------------------------------------------------------------------


def _read_vqa(paths: Sequence[Path]) -> Iterator[QuestionRow]:
    """The questions of VQA with their annotations; images are named as in COCO."""
    files = {path: _read_json(path) for path in paths}
    questions = [(path, found) for path, found in files.items() if isinstance(found.get("questions"), list)]
    notes = [(path, found) for path, found in files.items() if isinstance(found.get("annotations"), list)]
    if len(paths) != 2 or len(questions) != 1 or len(notes) != 1:
        given = ", ".join(map(str, paths))
        raise JumokError(f"VQA is two JSON files, one with 'questions' and one with 'annotations', got {given}")
    (path, asked), (other, annotated) = questions[0], notes[0]
    try:
        for place, rows in ((path, asked["questions"]), (other, annotated["annotations"])):
            for number, row in enumerate(rows, 1):
                _refuse_odd(f"{place}, entry {number}", row, OF_VQA)
        by_number = {_read_id(note): note for note in annotated["annotations"]}
        _check_ids(path, {_read_id(row) for row in asked["questions"]}, other, by_number)
        name_image = partial(_name_image, str(asked.get("data_type", "")), str(asked.get("data_subtype", "")).strip())
        for row in asked["questions"]:
            note = by_number.get(_read_id(row), {})
            name = _take_text(row.get("image") or name_image(row["image_id"]))
            answers = _list_answers(note.get("answers") or note.get("multiple_choice_answer"))
            yield QuestionRow(name, _take_text(row["question"]), answers, _take_text(note.get("question_type")))
    except JumokError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise JumokError(f"{path} is not of VQA's form ({type(error).__name__}: {error})") from None


def _name_image(kind: str, subtype: str, number: Any) -> str:
    """The file of an image by its id, which is a number, a number in quotes, or its name already.

    >>> _name_image("mscoco", "train2014", 9), _name_image("abstract_v002", "train2015", "9")
    ('COCO_train2014_000000000009.jpg', 'abstract_v002_train2015_000000000009.png')
    """
    drawn = kind.startswith(ABSTRACT)
    ending = ".png" if drawn else ".jpg"
    if isinstance(number, str) and not number.strip().isdecimal():
        name = number.strip()
        return name if Path(name).suffix else name + ending
    prefix = f"{kind if drawn else 'COCO'}_{subtype}_" if subtype else ""
    return f"{prefix}{int(number):012d}{ending}"


def _read_id(row: Mapping[str, Any]) -> str:
    """A question's id as text: one file may have it as a number and the other in quotes."""
    value = row["question_id"]
    if not isinstance(value, int | str):
        raise TypeError(f"question_id is {value!r:.40}")
    return str(value).strip()


def _check_ids(asked: Path, ids: Collection[str], annotated: Path, noted: Collection[str]) -> None:
    """Make sure that two files of VQA go together."""
    if ids and noted and not any(own in noted for own in ids):
        raise JumokError(
            f"no question_id of {asked} stands in {annotated} (such as {min(ids)[:40]!r} and {min(noted)[:40]!r}): "
            "give the questions and the annotations of one set"
        )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if regular_file(path).stat().st_size > MOST_JSON:
            raise JumokError(f"{path} is larger than {MOST_JSON >> 20} MiB: give a part of it, as .jsonl")
        found = load_json(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise JumokError(f"no such file: {path}") from None
    except OSError as error:
        raise JumokError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise JumokError(f"{path} is not JSON ({error})") from None
    if not isinstance(found, dict):
        raise JumokError(f"{path} holds no 'questions' and no 'annotations': wanted the files of VQA")
    return found
