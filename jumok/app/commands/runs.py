"""`jumok runs`: the runs in a folder, as a table."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jumok.app.session import Report, Session, in_session
from jumok.errors import JumokError
from jumok.files import regular_file
from jumok.language import later, later_count, translate
from jumok.wording import typed

if TYPE_CHECKING:
    from rich.console import RenderableType

BEST = ("val_accuracy", "val_bleu", "val_chrf", "val_loss")
"""The figure of a run that is shown: the first of these that it has."""
FINISHED, STOPPED, UNSTARTED, DAMAGED = later("finished"), later("stopped"), later("no weights"), later("damaged")
GOING_ON = later("in training")


@in_session("runs")
def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of runs, or one run.")] = Path("runs"),
    *,
    session: Session,
) -> Report:
    """List the runs in a folder: system, data, best figure, date, size and state. Damaged runs are named."""
    if not folder.is_dir():
        raise JumokError(f"no folder at {folder}: runs are written by jumok train, to runs/ where no --out is given")
    found = [folder] if _is_run(folder) else sorted(path for path in folder.iterdir() if _is_run(path))
    return RunList(folder, [RunLine.of(path) for path in found])


@dataclass(frozen=True)
class RunLine:
    """One run.

    Args:
        run: its folder.
        system, data: what was trained, and on what.
        best: a figure of the kept weights, with its name.
        date: of its last change, UTC.
        megabytes: of all its files.
        state: finished, in training, stopped, no weights, or damaged.
        why: what is wrong with a damaged one, and what to do about one that stopped.
    """

    run: str
    system: str
    data: str
    best: str
    date: str
    megabytes: float
    state: str
    why: str = ""

    @classmethod
    def of(cls, folder: Path) -> RunLine:
        """Read what a run says of itself; nothing in it is executed, and its weights are not read."""
        files = list(_list_files(folder))
        size = sum({file.st_ino: file.st_size for file in files}.values()) / 1e6
        when = max((file.st_mtime for file in files), default=folder.stat().st_mtime)
        date = f"{datetime.fromtimestamp(when, UTC):%Y-%m-%d %H:%M}"
        try:
            system, data = _read_config(folder)
            best, state, why = _read_state(folder)
        except JumokError as error:
            return cls(str(folder), "", "", "", date, size, DAMAGED, str(error))
        except OSError as error:
            why = f"cannot read {folder}: {error.strerror or error}; check its permissions"
            return cls(str(folder), "", "", "", date, size, DAMAGED, why)
        return cls(str(folder), system, data, best, date, size, state, why)


@dataclass(frozen=True)
class RunList:
    """The runs of a folder.

    Args:
        folder: that was looked through.
        runs: in the order of their names.
    """

    folder: Path
    runs: Sequence[RunLine]

    @property
    def status(self) -> int:
        """The exit status: 1 if a run is damaged."""
        return int(any(run.state == DAMAGED for run in self.runs))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"folder": str(self.folder), "runs": [asdict(run) for run in self.runs]}

    def lines(self) -> Iterator[RenderableType]:
        """For the terminal."""
        from rich.text import Text

        from jumok.app.record_table import RecordTable

        if not self.runs:
            yield f"no runs in {self.folder}"
            return
        title = later_count(
            len(self.runs), "{count} run in {folder}", "{count} runs in {folder}", folder=str(self.folder)
        )
        table = RecordTable(title=translate(title), title_justify="left")
        headings = (
            later("run"),
            later("system"),
            later("data"),
            later("best"),
            later("date, UTC"),
            "MB",
            later("state"),
        )
        for heading in headings:
            table.add_column(heading, justify="right" if heading == "MB" else "left", overflow="fold")
        for run in self.runs:
            size, name, data = f"{run.megabytes:,.1f}", Path(run.run).name, Path(run.data).name
            table.add_row(*map(Text, (name, run.system, data, run.best, run.date, size)), run.state)
        yield table
        yield from (f"{run.state}: {run.why}" for run in self.runs if run.why)


def _is_run(path: Path) -> bool:
    """Whether a folder is a run; one that may not be entered is listed with the reason, beside the others."""
    try:
        return (path / "config.yaml").is_file() or (path / "weights.safetensors").is_file()
    except PermissionError:
        return True


def _list_files(folder: Path) -> Iterator[os.stat_result]:
    """The facts of all files of a run, as far as they may be read; a training may remove some meanwhile."""
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                yield (Path(place) / name).stat()


def _read_config(folder: Path) -> tuple[str, str]:
    """System and data.

    Raises:
        JumokError: a configuration that is missing, damaged or of another version.
    """
    from jumok.tasks.running.run import CONFIG, task_of

    task = task_of(folder)
    config = task.part("settings").RunConfig.load(folder / CONFIG)
    data = getattr(config.data, task.word, None)
    some = [data] if isinstance(data, str) else list(data or ())
    return config.system, ", ".join(map(str, some))


def _read_state(folder: Path) -> tuple[str, str, str]:
    """Best figure, state, and what to do.

    Raises:
        JumokError: damaged weights.
    """
    from jumok.tasks.running.mark import is_held
    from jumok.tasks.running.run import CARD, WEIGHTS

    held = is_held(folder)
    resume = f"resume with: jumok train --resume {typed(folder)}"
    if not (folder / WEIGHTS).is_file():
        return ("", GOING_ON, "") if held else ("", UNSTARTED, resume)
    figures = _read_header(folder / WEIGHTS)
    name = next((name for name in BEST if name in figures), None)
    best = "" if name is None else f"{name} {float(figures[name]):.4g}"
    if held or (folder / CARD).is_file():
        return best, GOING_ON if held else FINISHED, ""
    return best, STOPPED, resume


def _read_header(path: Path) -> dict[str, str]:
    """The figures that the weights reached.

    Raises:
        JumokError: a file that is cut short or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(regular_file(path), framework="numpy") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise JumokError(f"{path} is damaged ({error}): train the run again, or copy the file anew") from error
