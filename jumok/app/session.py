"""What every command shares: device, threads and seed, where it prints, and how it reports what it found.

A command returns a `Report`; what it prints meanwhile is progress. With --json the report is one JSON object on
standard output, and everything else goes to standard error.
"""

from __future__ import annotations

import inspect
import json as json_text
import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from jumok.app.outputs import Earlier, check_named, check_writable, marking_results
from jumok.app.telling import tell, tell_all
from jumok.files import write_atomically
from jumok.machine import World
from jumok.wording import readable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["Report", "Session", "as_json", "in_session", "write_report"]

OF_RESULTS = frozenset({"look", "saliency", "ask", "inspect", "measure", "compare"})
"""Commands whose --out is a folder of results alone."""
GO_ON = frozenset({"compare"})
"""Those of them that go on with what they find there."""
OF_FILES = frozenset({"translate"})
"""Commands whose --out is a file."""
SCHEMA_VERSION = 1
"""Of the JSON that commands print (docs/json.md): raised when a key is renamed, removed or means something else."""


class Report(Protocol):
    """What a command found."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, under the keys that docs/json.md describes."""

    def lines(self) -> Iterable[RenderableType]:
        """The same for a person: lines of text, and tables."""


@dataclass(frozen=True)
class Session:
    """One command at work.

    Args:
        command: its name, such as "eval".
        json: the report is wanted as JSON.
        quiet: nothing is printed but the report.
        verbose: errors come with their traceback.
        device_wanted: as the user said it.
        seed: of whatever the command draws.
        began: when, by `time.monotonic`.
    """

    command: str = ""
    json: bool = False
    quiet: bool = False
    verbose: bool = False
    device_wanted: str = "auto"
    seed: int = 0
    began: float = field(default_factory=time.monotonic)

    @cached_property
    def device(self) -> str:
        """What torch calls the device.

        Raises:
            JumokError: this machine has no such device, or there is none of that name.
        """
        from jumok.machine import device_name

        return device_name(self.device_wanted)

    @cached_property
    def first(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return World.found().first

    @cached_property
    def console(self) -> Console:
        """Where progress goes."""
        from jumok.app.terminal import Terminal

        quiet = self.quiet or not self.first
        return Terminal(
            file=sys.stderr if self.json else None, quiet=quiet, highlight=False, soft_wrap=True, emoji=False
        )

    def say(self, line: object) -> None:
        """Print a line of progress, as it is."""
        self.console.print(tell(line) if isinstance(line, str) else line, markup=False)

    def remark(self, line: str) -> None:
        """Print something that the user should know."""
        self.console.print(tell(f"remark: {line}"), style="yellow", markup=False)

    def show(self, report: Report) -> int:
        """Print a report. Returns the exit status: the report's own, or 0."""
        if self.first:
            if self.json:
                about = {"schema": f"jumok-{self.command}/{SCHEMA_VERSION}", **report.to_dict()}
                sys.stdout.write(as_json(about) + "\n")
            else:
                self._print(report.lines())
        return int(getattr(report, "status", 0))

    def _print(self, lines: Iterable[RenderableType]) -> None:
        from jumok.app.terminal import Terminal

        console = Terminal(
            highlight=False, soft_wrap=True, emoji=False
        )  # texts that hold :smile: are printed as they are
        for line in lines:
            console.print(tell_all(line), markup=False)


def write_report(path: Path, report: Report) -> None:
    """Write a report as JSON, whole or not at all.

    Raises:
        JumokError: the folder cannot be written.
    """
    write_atomically(path, as_json(report.to_dict(), indent=2) + "\n")


def as_json(values: Any, indent: int | None = None) -> str:
    """Plain values as JSON: what is no finite number becomes null, paths become text, and all texts are `readable`."""
    plain = _replace_nonfinite(values)
    return readable(json_text.dumps(plain, ensure_ascii=False, allow_nan=False, default=str, indent=indent))


def _replace_nonfinite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _replace_nonfinite(each) for key, each in value.items()}
    return [_replace_nonfinite(each) for each in value] if isinstance(value, list | tuple) else value


Parameters = Mapping[str, tuple[Any, Any]]

PRINTING: Parameters = {
    "json": (
        Annotated[bool, typer.Option("--json", help="Print one JSON object; everything else goes to standard error.")],
        False,
    ),
    "quiet": (Annotated[bool, typer.Option("--quiet", "-q", help="Print the result alone.")], False),
    "verbose": (Annotated[bool, typer.Option("--verbose", help="Show tracebacks of errors.")], False),
}
COMPUTING: Parameters = {
    "device": (Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")], "auto"),
    "threads": (
        Annotated[
            int | None,
            typer.Option("--threads", help="CPU threads (default: all available).", min=1, show_default=False),
        ],
        None,
    ),
    "seed": (Annotated[int, typer.Option("--seed", help="Random seed.", min=0)], 0),
}


def in_session(name: str, *shared: str) -> Callable[[Callable[..., Report | None]], Callable[..., int]]:
    """Give a command a `session`, and the options that go with it; print the report that it returns.

    Args:
        name: of the command.
        shared: which of "device", "threads" and "seed" it has as options.
    """

    def decorate(command: Callable[..., Report | None]) -> Callable[..., int]:
        added = {**{option: COMPUTING[option] for option in shared}, **PRINTING}

        def wrapper(**values: Any) -> int:
            began = time.monotonic()
            given = {option: values.pop(option) for option in added}
            if "threads" in shared:
                _use_threads(given.pop("threads"))
            session = Session(
                name,
                given["json"],
                given["quiet"],
                given["verbose"],
                given.get("device", "auto"),
                given.get("seed", 0),
                began,
            )
            out = None if values.get("engine") else values.get("out")  # a data set is known by its manifest
            if out is not None and name not in OF_FILES:
                check_named(out)
            out = out if name in OF_RESULTS else None
            if out is not None:
                check_writable(out)
            earlier = Earlier.of(out if name not in GO_ON else None)
            with marking_results(out):
                report = command(session=session, **values)
            if replaced := earlier.tell_replaced(out):
                session.remark(replaced)
            return 0 if report is None else session.show(report)

        own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "session"]
        options = [
            inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for option, (annotation, default) in added.items()
        ]
        by_keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
        wrapper.__signature__ = inspect.Signature([*by_keyword, *options])  # type: ignore[attr-defined]
        wrapper.__annotations__, wrapper.__doc__ = {}, command.__doc__
        return wrapper

    return decorate


def _use_threads(threads: int | None) -> None:
    """Set how many threads torch has, and let the process keep what it frees."""
    from jumok.app.lean_imports import import_torch
    from jumok.machine import keep_freed, set_threads

    import_torch()
    set_threads(threads)
    keep_freed()
