"""A measurement that can be stopped: what it has measured is kept in a file, from which the same command goes on."""

from __future__ import annotations

import io
import json
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from jumok.errors import JumokError
from jumok.files import write_atomically
from jumok.wording import write_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Meter", "PartialFile"]

MOST_BYTES = 256 << 20
"""What is larger is neither written nor read."""
PAUSE = 5.0
"""Seconds between two writes, at least, and so many times as long as a write takes."""
KEY = "key"

State = Mapping[str, "NDArray[Any]"]


class Meter(Protocol):
    """What can be stopped and go on."""

    def __len__(self) -> int:
        """How many inputs, or what else there is, were measured."""

    def state(self) -> State:
        """All that was measured."""

    def load_state(self, state: Any) -> None:
        """Go on from it."""


class PartialFile:
    """Keeps what a meter has measured so far; no pickle is written or read.

    Args:
        path: of the file, which ends in .npz.
        key: what the figures depend on, by what a person calls it: the model, the images, the settings.
        say: is told what was found in the file.
        noun: what is measured one after the other.
    """

    def __init__(self, path: Path, key: Mapping[str, str], say: Callable[[str], None], noun: str = "input") -> None:
        self.path = path
        self._key, self._say, self._noun = dict(key), say, noun
        self._next = time.monotonic() + PAUSE

    def restore(self, meter: Meter) -> None:
        """Let a meter go on from the file, where there is one of the same key."""
        if not self.path.exists():
            return
        try:
            key, state = _read(self.path)
            changed = [name for name in self._key if key.get(name) != self._key[name]]
            if changed:
                self._say(f"{self.path} is of a measurement with other {' and '.join(changed)}: measuring starts anew")
                return
            meter.load_state(state)
        except (JumokError, OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            self._say(f"{self.path} cannot be read: measuring starts anew")
            return
        count = write_count(len(meter), f"{self._noun} that was", f"{self._noun}s that were")
        self._say(f"going on after {count} measured before ({self.path})")

    def keep(self, meter: Meter) -> None:
        """Write the file, unless it was written a moment ago."""
        began = time.monotonic()
        if began >= self._next:
            self.write(meter)
            self._next = time.monotonic() + PAUSE * max(1.0, time.monotonic() - began)

    def write(self, meter: Meter) -> None:
        """Write the file, whole or not at all; not where nothing was measured, or it would be too large.

        Raises:
            JumokError: the folder cannot be written.
        """
        import numpy as np

        state = meter.state()
        if not len(meter) or sum(values.nbytes for values in state.values()) > MOST_BYTES:
            return
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **{KEY: np.array(json.dumps(self._key)), **state})
        write_atomically(self.path, content.getvalue())

    def leave(self, meter: Meter) -> None:
        """Write the file and say how to go on: nothing else will tell of what was measured."""
        self.write(meter)
        if len(meter):
            count = write_count(len(meter), f"{self._noun} was", f"{self._noun}s were")
            self._say(f"{count} measured; the same command goes on from there")

    def remove(self) -> None:
        """Remove the file: what it was kept for has ended."""
        self.path.unlink(missing_ok=True)


def _read(path: Path) -> tuple[dict[str, str], State]:
    import numpy as np

    with zipfile.ZipFile(path) as parts:
        if sum(part.file_size for part in parts.infolist()) > 2 * MOST_BYTES:
            raise ValueError("too large")
    with np.load(path, allow_pickle=False) as found:
        state = dict(found)
    key = json.loads(str(state.pop(KEY)))
    if not isinstance(key, dict):
        raise ValueError("no key")
    return key, state
