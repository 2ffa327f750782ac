"""A bar on a terminal while something is counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from jumok.app.telling import tell


@contextmanager
def show_progress(console: Console, text: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar on a terminal while something is counted; it is gone afterwards.

    Gives a function to call with (done, in all).
    """
    if not console.is_terminal or console.quiet:
        yield lambda _done, _total: None
        return
    with Progress(
        TextColumn(tell(text)), BarColumn(), MofNCompleteColumn(), console=console, transient=True
    ) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
