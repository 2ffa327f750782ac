"""What the step of a tour that runs said last, as one line of a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.live import Live
from rich.text import Text

from jumok.app.terminal import Terminal
from jumok.durations import format_duration

__all__ = ["COMMAND", "read_last_line", "show_last_line"]

ENOUGH = 2000
"""Bytes at the end of a log that hold its last line."""
PER_SECOND = 2
COMMAND = "$ "
"""How the line of a log begins that names the command."""


@contextmanager
def show_last_line(log: Path) -> Iterator[None]:
    """Show the last line of a log while it grows, and for how long already; it is gone afterwards.

    Without a terminal nothing is shown.
    """
    console = Terminal(file=sys.stderr, highlight=False, emoji=False)
    if not console.is_terminal:
        yield
        return
    started = time.monotonic()

    def show() -> Text:
        elapsed = format_duration(time.monotonic() - started)
        return Text(f"      {elapsed}  {read_last_line(log)}", style="dim", no_wrap=True, overflow="ellipsis")

    with Live(
        get_renderable=show,
        console=console,
        refresh_per_second=PER_SECOND,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ):
        yield


def read_last_line(log: Path) -> str:
    """The last line of a file that is not blank; nothing where there is none, or where it is the command itself."""
    if not log.is_file():
        return ""
    with log.open("rb") as file:
        file.seek(max(log.stat().st_size - ENOUGH, 0))
        lines = file.read().decode("utf-8", "replace").splitlines()
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return "" if last.startswith(COMMAND) else last
