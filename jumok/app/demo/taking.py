"""Taking a tour: each command runs in this process, its output goes into a log, and the page grows after each."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

from jumok.app.demo.last_line import COMMAND, show_last_line
from jumok.app.demo.tour import Done, Tour
from jumok.app.telling import tell
from jumok.durations import format_duration
from jumok.errors import JumokError
from jumok.files import write_atomically
from jumok.language import later, translate
from jumok.views.pages.report_page import Section, write_report

__all__ = ["Demo"]

PAGE, LOG, STEPS = "index.html", "demo.log", "steps.json"
TITLE = later("Does it look at what matters?")


@dataclass
class Demo:
    """All tours in a folder, and what was taken of them.

    Args:
        folder: of the demo.
        tours: all that there are.
        threads: options that every command but `sample` gets.
        tell: prints a line.
    """

    folder: Path
    tours: Sequence[Tour]
    threads: Sequence[str]
    tell: Callable[[str], None]
    done: dict[str, dict[str, Done]] = field(default_factory=dict)
    """By tour and step."""

    def __post_init__(self) -> None:
        self.done = self._read_steps()

    @property
    def page(self) -> Path:
        """The page."""
        return self.folder / PAGE

    def take(self, tour: Tour, more: Sequence[str] = ()) -> None:
        """Run a tour's commands anew.

        Args:
            tour: one of those here.
            more: options of its trainings.
        Raises:
            JumokError: what a command says; its output is in the log.
        """
        self._clear(tour)
        steps = tour.steps()
        for number, step in enumerate(steps, 1):
            self._write_page(waiting=[step.name for step in steps[number - 1 :]])
            words = [str(word) for word in step.words()]
            words += [] if words[0] == "sample" else self.threads
            words += more if words[0] == "train" else []
            command = f"jumok {shlex.join(words)}"
            self.tell(f"[{number}/{len(steps)}] {command}")
            started = time.perf_counter()
            with show_last_line(self.folder / LOG):
                self._run(command, words)
            self.done[tour.name][step.name] = Done(command, time.perf_counter() - started)
            self._write_steps()
            self.tell(f"      {format_duration(self.done[tour.name][step.name].seconds)}; {tell(step.say())}")
        self._write_page()

    def _run(self, command: str, words: Sequence[str]) -> None:
        from jumok.app.cli import run

        with self._log() as log:
            log.write(f"{COMMAND}{command}\n")
            log.flush()
            run(words)

    @contextmanager
    def _log(self) -> Iterator:  # type: ignore[type-arg]
        """Let what is printed go into the log."""
        with ExitStack() as stack:
            log = stack.enter_context((self.folder / LOG).open("a", encoding="utf-8", buffering=1))
            stack.enter_context(redirect_stdout(log))
            stack.enter_context(redirect_stderr(log))
            yield log

    def _clear(self, tour: Tour) -> None:
        """Remove what an earlier demo wrote for this tour, but for the generated data."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in tour.folder.iterdir() if tour.folder.is_dir() else ():
            if path != tour.generated:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.done[tour.name] = {}
        self._write_steps()

    def _write_page(self, waiting: Sequence[str] = ()) -> None:
        taken = [tour for tour in self.tours if tour.name in self.done]
        lead = " ".join(translate(tour.lead) for tour in taken)
        seconds = sum(done.seconds for steps in self.done.values() for done in steps.values())
        lead += " " + translate("The steps below took {time}.", time=format_duration(seconds)) if seconds else ""
        sections = [section for tour in taken for section in self._sections(tour)]
        write_report(self.page, translate(TITLE), lead, sections, waiting)

    def _sections(self, tour: Tour) -> Iterator[Section]:
        done = self.done[tour.name]
        for step in tour.steps():
            if step.name in done:
                yield from step.show(done[step.name])

    # -- what was taken, kept for the next tour ------------------------------------------------------

    def _write_steps(self) -> None:
        write_atomically(self.folder / STEPS, json.dumps(self.done, ensure_ascii=False, indent=1) + "\n")

    def _read_steps(self) -> dict[str, dict[str, Done]]:
        """What earlier demos in this folder did.

        Raises:
            JumokError: the folder holds other files.
        """
        path = self.folder / STEPS
        if not path.is_file():
            if self.folder.exists() and any(self.folder.iterdir()):
                raise JumokError(f"{self.folder} holds files that no demo wrote: give another folder with --out")
            return {}
        try:
            found = json.loads(path.read_text("utf-8"))
            return {
                tour.name: {name: Done(str(command), float(seconds)) for name, (command, seconds) in steps.items()}
                for tour in self.tours
                if (steps := found.get(tour.name)) is not None
            }
        except (ValueError, TypeError, AttributeError) as error:
            raise JumokError(f"{path} is not what a demo writes: remove {self.folder}, or give --out") from error
