"""Logs a run to a tracker without ever ending it, and knows with which run of the tracker to go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field

from jumok.app.session import Session
from jumok.app.tracking.opening import open_tracker
from jumok.app.tracking.tracker import DONE, FAILED, STOPPED, Tracker, pick_figures
from jumok.errors import Interrupted, JumokError, first_line
from jumok.files import regular_file, write_atomically
from jumok.tasks.running.config import Strict

__all__ = ["TRACKING", "Log", "logging_to"]

TRACKING = "tracking.json"
"""In a run's folder: where it is logged."""
MOST_BYTES = 10_000


class Logged(Strict):
    """Where a run is logged.

    Args:
        tracker: its name.
        id: of the run there.
    """

    tracker: str = Field(pattern="^(mlflow|wandb)$")
    id: str = Field(pattern=r"^[\w-]{1,200}$")


def read_logged(folder: Path) -> Logged | None:
    """Where a run is logged; None where it is not.

    Raises:
        JumokError: the file that says so cannot be read.
    """
    path = folder / TRACKING
    if not path.exists():
        return None
    try:
        if regular_file(path).stat().st_size > MOST_BYTES:
            raise ValueError("too large")
        return Logged.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise JumokError(f"{path} does not say where the run is logged: remove it, and name --log again") from error


class Log:
    """A tracker's run. Where it cannot be reached any more, this is said once, and what is logged goes on without.

    Args:
        tracker: None: nothing is logged.
        name: of the tracker.
        session: of the command.
        new: whether nothing was logged there before.
    """

    def __init__(self, tracker: Tracker | None, name: str, session: Session, *, new: bool = False) -> None:
        self._tracker, self._name, self._session, self._new = tracker, name, session, new

    def write(self, folder: Path) -> None:
        """Keep in a run's folder where it is logged, so that it goes on there when it is resumed or measured."""
        if self._tracker is not None:
            write_atomically(folder / TRACKING, Logged(tracker=self._name, id=self._tracker.id).model_dump_json())

    def note(self, settings: Mapping[str, Any]) -> None:
        """Write down how the run was made, unless it stands there from before."""
        if self._new:
            self._try(lambda tracker: tracker.note(settings))

    def log(self, values: Mapping[str, Any], step: int | None = None) -> None:
        """Log all numbers among nested values, of a step of training or of what followed it."""
        self._try(lambda tracker: tracker.log(pick_figures(values), step))

    def keep(self, paths: Iterable[Path]) -> None:
        """Keep copies of those files that there are."""
        for path in paths:
            if path.is_file():
                self._try(lambda tracker, path=path: tracker.keep(path))  # type: ignore[misc]

    def end(self, state: str) -> None:
        """Close the run."""
        self._try(lambda tracker: tracker.end(state))

    def _try(self, act: Callable[[Tracker], None]) -> None:
        if self._tracker is None:
            return
        try:
            act(self._tracker)
        except Exception as error:  # a server that is gone must not cost the training
            self._tracker = None
            self._session.remark(f"{self._name} takes no more, so nothing further is logged there: {first_line(error)}")


@contextmanager
def logging_to(name: str | None, folder: Path, session: Session, *, resumed: bool = False) -> Iterator[Log]:
    """Log meanwhile what is done about a run, in the tracker where it was logged before, or in a new run of it.

    Args:
        name: of the tracker; None: nothing is logged.
        folder: of the run, or of figures, whose name a new run of the tracker gets.
        session: of the command.
        resumed: whether the run goes on: then None stands for the tracker where it was logged before, if any.
    Raises:
        JumokError: a tracker that is named is not known or cannot be reached.
        ModuleNotFoundError: it is not installed.
    """
    log, state = _begin(name, folder, session, resumed), FAILED
    try:
        yield log
        state = DONE
    except (KeyboardInterrupt, Interrupted):
        state = STOPPED
        raise
    finally:
        log.end(state)


def _begin(name: str | None, folder: Path, session: Session, resumed: bool) -> Log:
    before = read_logged(folder) if name or resumed else None
    chosen = name or (None if before is None else before.tracker)
    if chosen is None or not session.first:
        return Log(None, chosen or "", session)
    known = before.id if before is not None and before.tracker == chosen else None
    try:
        return Log(open_tracker(chosen, folder.resolve().name, known), chosen, session, new=known is None)
    except (JumokError, ModuleNotFoundError) as error:
        if name is not None:
            raise
        session.remark(f"this run was logged to {chosen}, and is not now: {error}")
        return Log(None, chosen, session)
