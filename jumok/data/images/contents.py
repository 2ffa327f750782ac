"""Images known by what their files hold, so that renaming or moving them changes nothing."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path

from jumok.data.packed.members import open_binary
from jumok.data.sharded_batches import open_pool
from jumok.errors import JumokError
from jumok.language import later_count
from jumok.machine import cores

HASH_BYTES = 16
BLOCK_BYTES = 1 << 20


def hash_files(paths: Sequence[Path], progress: Callable[[int, int], None] | None = None) -> list[str]:
    """The hash of each file's content.

    Args:
        paths: of the files.
        progress: called with (files read, files in all).
    Returns:
        32 hexadecimal digits each: BLAKE2b of 128 bits.
    Raises:
        JumokError: a file that cannot be read.
    """
    hashes: list[str] = []
    with open_pool("hash", min(cores(), max(len(paths), 1))) as pool:
        for done, found in enumerate(pool.map(hash_file, paths), 1):
            hashes.append(found)
            if progress is not None:
                progress(done, len(paths))
    return hashes


def hash_file(path: Path) -> str:
    """The hash of one file, as `hash_files` gives it."""
    digest = hashlib.blake2b(digest_size=HASH_BYTES)
    try:
        with open_binary(path) as file:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise JumokError(f"cannot read {path}: {error.strerror or error}") from error
    return digest.hexdigest()


def describe_duplicates(hashes: Mapping[str, Sequence[str]]) -> list[str]:
    """What to say of images that are the same file: across parts, where they falsify every figure, and within one.

    Args:
        hashes: of the images of each part; "train" is one of them.

    >>> describe_duplicates({"train": ["a", "b", "b"], "val": ["a"], "test": []})
    ['duplicates: 1 of 1 val images are also in train, byte for byte; figures on them flatter', \
'duplicates: 1 of 3 train images are copies of another']
    """
    lines = []
    before: dict[str, set[str]] = {}
    for part, some in hashes.items():
        for other, known in before.items():
            if shared := sum(each in known for each in some):
                lines.append(
                    f"duplicates: {shared:,} of {len(some):,} {part} images are also in {other}, byte for byte; "
                    "figures on them flatter"
                )
        before[part] = set(some)
    for part, some in hashes.items():
        if copies := len(some) - len(before[part]):
            lines.append(f"duplicates: {copies:,} of {len(some):,} {part} images are copies of another")
    return lines


def describe_contradictions(
    hashes: Mapping[str, Sequence[str]], labels: Mapping[str, Sequence[Hashable]], noun: str
) -> list[str]:
    """What to say of images that are the same file and labelled otherwise, in whichever parts.

    Args:
        hashes: of the images of each part.
        labels: of these.
        noun: what the labels are.

    >>> describe_contradictions({"train": ["a", "b"], "val": ["a"]}, {"train": [0, 1], "val": [1]}, "classes")
    ['copies of 1 file have different classes: only one can be right']
    """
    said: defaultdict[str, set[Hashable]] = defaultdict(set)
    for part, some in hashes.items():
        for each, label in zip(some, labels[part], strict=True):
            said[each].add(label)
    count = sum(len(found) > 1 for found in said.values())
    told = later_count(
        count,
        "copies of {count} file have different {what}: only one can be right",
        "copies of {count} files have different {what}: only one can be right",
        what=noun,
    )
    return [told] if count else []
