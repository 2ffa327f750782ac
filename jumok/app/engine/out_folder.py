"""A folder that a data set is written to: which command it belongs to, and which of its files are there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jumok.app.engine.tables import count_rows
from jumok.errors import JumokError
from jumok.files import LEFTOVER, make_folder, write_atomically
from jumok.tasks.running.mark import lock

__all__ = ["OutFolder", "read_key"]

FORMAT = "jumok-looks/1"
MANIFEST = "_manifest.json"
WORKSHOP = "_work"
"""Where files are made: readers of a data set pass over names that begin so."""
LONGEST_SHOWN = 80


@dataclass(frozen=True)
class OutFolder:
    """The folder of a data set.

    Args:
        folder: that it is.
        rank: of this process among those that write to it.
    """

    folder: Path
    rank: int = 0

    @property
    def workshop(self) -> Path:
        """A folder of this process alone."""
        return self.folder / WORKSHOP / f"rank-{self.rank}"

    def part(self, number: int) -> Path:
        """The file of a shard."""
        return self.folder / f"part-{number:06}.parquet"

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Have the workshop to oneself, empty.

        Raises:
            JumokError: the same command is running already.
        """
        make_folder(self.workshop)
        handle = os.open(self.workshop.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            if not lock(handle):
                raise JumokError(
                    f"another process is writing to {self.folder}: wait for its end, or give another --out"
                )
            shutil.rmtree(self.workshop, ignore_errors=True)
            make_folder(self.workshop)
            yield
        finally:
            os.close(handle)

    def check(self, key: Mapping[str, Any]) -> None:
        """Refuse a folder of something else.

        Args:
            key: what the data set depends on, by what a person calls it.
        Raises:
            JumokError: it holds other files, or the data set of another command; the message tells which.
        """
        if not self.folder.exists():
            return
        if not self.folder.is_dir():
            raise JumokError(f"{self.folder} is a file: give a folder with --out")
        found = [path.name for path in self.folder.iterdir() if path.name != WORKSHOP]
        manifest = self.folder / MANIFEST
        if manifest.exists():  # asked after what is there was listed: another process may write it meanwhile
            _compare(self.folder, _read_manifest(manifest), key)
        elif not all(LEFTOVER.fullmatch(name) for name in found):
            raise JumokError(f"{self.folder} is not empty, and holds no data set of looks: give another --out")

    def begin(self, key: Mapping[str, Any]) -> None:
        """Note what the data set depends on, before anything else is written."""
        if not (self.folder / MANIFEST).exists():
            self._write(key, [])

    def find_done(self, counts: Sequence[int]) -> dict[int, int]:
        """The shards whose files are there, with how many of their rows have an error; damaged files are removed.

        Args:
            counts: inputs of each shard.
        """
        done: dict[int, int] = {}
        for number, count in enumerate(counts):
            path = self.part(number)
            if not path.exists():
                continue
            rows = count_rows(path)
            if rows is not None and rows[0] == count:
                done[number] = rows[1]
            else:
                path.unlink()
        return done

    def finish(self, key: Mapping[str, Any], counts: Sequence[int], errors: Mapping[int, int]) -> None:
        """List every file in the manifest, and leave nothing else."""
        parts = [
            {"file": self.part(number).name, "rows": count, "errors": errors[number]}
            for number, count in enumerate(counts)
        ]
        self._write(key, parts)
        shutil.rmtree(self.folder / WORKSHOP, ignore_errors=True)

    def _write(self, key: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]) -> None:
        content = {"format": FORMAT, "complete": bool(parts), "command": key, "parts": parts}
        write_atomically(self.folder / MANIFEST, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_key(folder: Path) -> dict[str, Any] | None:
    """What the data set in a folder depends on; None where there is none.

    Raises:
        JumokError: its manifest is damaged.
    """
    manifest = folder / MANIFEST
    return _read_manifest(manifest) if manifest.is_file() else None


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
        if found["format"] == FORMAT and isinstance(found["command"], dict):
            return dict(found["command"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise JumokError(f"{path} is damaged or of another version: give another --out")


def _compare(folder: Path, there: Mapping[str, Any], key: Mapping[str, Any]) -> None:
    """Refuse a data set of another command, and say in what it differs."""
    changed = [name for name in key if there.get(name) != key[name]]
    if changed:
        told = "; ".join(f"{name}: {_show(there.get(name))} there, {_show(key[name])} now" for name in changed)
        raise JumokError(f"{folder} belongs to another command ({told}): give another --out, or remove it")


def _show(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
