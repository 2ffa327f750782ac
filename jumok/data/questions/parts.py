"""Questions to train on, to validate with and to test with: as they are given, or split off by a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from jumok.data.questions.files import read_files
from jumok.data.questions.image_places import find_image
from jumok.data.questions.question_set import DealtBy, QuestionSet, read_questions, split_questions
from jumok.data.questions.recognition import QUESTION_SUFFIXES
from jumok.data.splits import QUESTION_SHARES, SPLITS, Shares, split_named
from jumok.errors import JumokError
from jumok.files import list_visible

__all__ = ["describe_overlap", "find_image_folder", "read_question_parts"]

IMAGES = "images"
LOOKED_UP_ROWS = 20
"""Of so many questions one must have its image in a folder that is taken for theirs."""


def read_question_parts(
    paths: Sequence[Path],
    images: Path,
    *,
    val: Sequence[Path] = (),
    test: Sequence[Path] = (),
    lowercase: bool = True,
    shares: Shares = QUESTION_SHARES,
    seed: int = 0,
    dealt_by: DealtBy = "name",
) -> dict[str, QuestionSet]:
    """Read the questions to train on, to validate with and to test with.

    What is not given is split off by images (see `split_questions`). Where parts that were given ask about images that
    training asks about too, their notes say so.

    Args:
        paths: as for `read_questions`; or one folder, with train.csv, val.csv and test.csv (or .jsonl, or .tsv).
        images: the folder of the images.
        val, test: as for `read_questions`.
        lowercase: lower the case of the questions.
        shares, seed, dealt_by: as for `split_questions`.
    Returns:
        {"train", "val", "test"}.
    Raises:
        JumokError: as `read_questions` and `split_questions`, or a folder that holds no such files.
    """
    given: dict[str, Sequence[Path]] = {"train": paths, "val": val, "test": test}
    if len(paths) == 1 and paths[0].is_dir():
        given = {
            **_find_in_folder(paths[0]),
            **{part: files for part, files in given.items() if part != "train" and files},
        }
    read = {part: read_questions(files, images, lowercase=lowercase) for part, files in given.items() if files}
    missing = [part for part in SPLITS if part not in read]
    if missing:
        read |= split_questions(read["train"], parts=missing, shares=shares, seed=seed, dealt_by=dealt_by)
    given_parts = [part for part in ("val", "test") if part not in missing]
    read |= {part: _add_note(read[part], describe_overlap(read["train"], read[part], part)) for part in given_parts}
    return {part: read[part] for part in SPLITS}


def find_image_folder(paths: Sequence[Path]) -> Path | None:
    """The folder beside questions that holds the images they ask about: `images`, or the one they lie in.

    Args:
        paths: as for `read_question_parts`.
    Raises:
        JumokError: files that hold no questions.
    """
    beside = paths[0] if paths[0].is_dir() else paths[0].parent
    files = _find_in_folder(paths[0])["train"] if len(paths) == 1 and paths[0].is_dir() else paths
    names = [row.image for row in islice(read_files(files), LOOKED_UP_ROWS)]
    places = (beside / IMAGES, beside)
    return next((place for place in places if any(find_image(name, place) for name in names)), None)


def _find_in_folder(folder: Path) -> Mapping[str, Sequence[Path]]:
    """The files of each part in a folder."""
    files = _list_files(folder)
    held = {path.suffix for path in files if split_named(path.stem) == "train"}
    suffix = next((suffix for suffix in QUESTION_SUFFIXES if suffix in held), None)
    if suffix is None:
        raise JumokError(f"{folder} holds no questions to train on: wanted train.csv, train.jsonl or train.tsv")
    found: dict[str, Path] = {}
    for path in files:
        part = split_named(path.stem)
        if path.suffix != suffix or part is None:
            continue
        if part in found:
            raise JumokError(
                f"{folder} holds both {found[part].name} and {path.name} for {part}: keep one, or name the files"
            )
        found[part] = path
    return {part: (found[part],) for part in SPLITS if part in found}


def _list_files(folder: Path) -> list[Path]:
    """The files of a folder that questions may be in, by name; none where it is no folder."""
    found = list_visible(folder) if folder.is_dir() else []
    return [path for path in found if path.suffix in QUESTION_SUFFIXES and path.is_file()]


def describe_overlap(train: QuestionSet, other: QuestionSet, part: str) -> str:
    """Say how many images of another part training asks about too; nothing if there are none.

    Args:
        train, other: the questions.
        part: the other's name.
    """
    known = {path.resolve() for path in train.images}
    seen = sum(path.resolve() in known for path in other.images)
    name = "" if part == "all" else f"{part} "
    return f"{seen:,} of {len(other.images):,} {name}images are asked about in training too" if seen else ""


def _add_note(questions: QuestionSet, note: str) -> QuestionSet:
    return replace(questions, notes=(*questions.notes, note)) if note else questions
