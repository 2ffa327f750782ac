"""Folders of generated pairs: sentences in three parts, with their alignments."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jumok.data.pairs.alignment_files import Links, write_line
from jumok.errors import JumokError
from jumok.files import write_atomically

MOST_PAIRS = 1_000_000
RECORD = "sample.json"


class SamplePair(NamedTuple):
    """A generated pair, and what of it belongs together: by words and, where that says more, by characters."""

    source: str
    target: str
    words: Links
    characters: Links | None = None


def check_counts(seed: int, **counts: int) -> dict[str, int]:
    """The numbers of pairs of all parts.

    Raises:
        JumokError: one that cannot be, or a seed below 0.
    """
    for part, count in counts.items():
        if not 1 <= count <= MOST_PAIRS:
            raise JumokError(f"{part} must have 1 to {MOST_PAIRS:,} pairs, got {count}")
    if seed < 0:
        raise JumokError(f"the seed must be 0 or more, got {seed}")
    return counts


def write_sample(
    folder: Path, about: Mapping[str, Any], readme: str, make: Callable[[], Mapping[str, Sequence[SamplePair]]]
) -> None:
    """Write the parts of a sample, each file whole or not at all, its record last.

    A folder that already holds this very sample is kept, and one that was left half written is completed.

    Args:
        folder: new, empty, or holding this sample.
        about: what the sample depends on; kept in `sample.json`.
        readme: the text of README.md, with places for what `about` holds.
        make: gives the pairs of each part.
    Raises:
        JumokError: a folder that holds something else, or one that cannot be written.
    """
    record = json.dumps(about, indent=2) + "\n"
    if _is_complete(folder, record):
        return
    write_atomically(folder / f"unfinished-{RECORD}", record)
    for part, pairs in make().items():
        for name, content in _files(part, pairs).items():
            write_atomically(folder / name, content)
    write_atomically(folder / "README.md", readme.format_map(about))
    write_atomically(folder / RECORD, record)
    (folder / f"unfinished-{RECORD}").unlink(missing_ok=True)


def _files(part: str, pairs: Sequence[SamplePair]) -> dict[str, str]:
    """The files of one part."""
    files = {
        f"{part}.tsv": "".join(f"{pair.source}\t{pair.target}\n" for pair in pairs),
        f"{part}.align": "".join(f"{write_line(pair.words)}\n" for pair in pairs),
    }
    characters = [pair.characters for pair in pairs if pair.characters]
    if characters:
        files[f"{part}.chars.align"] = "".join(f"{write_line(links)}\n" for links in characters)
    return files


def _is_complete(folder: Path, record: str) -> bool:
    """Whether the folder holds this sample, whole.

    Raises:
        JumokError: it holds something else.
    """
    try:
        names = {path.name for path in folder.iterdir() if not path.name.startswith(".")} if folder.exists() else set()
        notes = [(folder / name).read_text(errors="replace") for name in names if name.endswith(RECORD)]
    except OSError as error:
        raise JumokError(f"cannot write a sample to {folder}: {error.strerror}; give a folder") from None
    if names and record not in notes:
        what = "another sample" if notes else f"other files, such as {min(names)}"
        raise JumokError(f"{folder} holds {what}: remove it or choose another folder")
    return RECORD in names and f"unfinished-{RECORD}" not in names
