"""What a task is: how its data is recognised, what its commands are, and where its modules lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jumok.errors import JumokError

if TYPE_CHECKING:
    from jumok.tasks.running.config import Settings

__all__ = ["Task"]

PAST = {
    "evaluate": "evaluated",
    "measure": "measured",
    "compare": "compared",
    "predict": "asked for predictions",
    "export": "exported",
}
"""What happens to a run by each verb."""


@dataclass(frozen=True)
class Task:
    """What models are trained for. Modules are imported when they are first asked for.

    Args:
        name: as a run's configuration has it, and the name of its packages: jumok.tasks.NAME and jumok.app.NAME.
        title: heading of its options, such as "Images".
        does: what its systems do: "classify images".
        word: what follows `jumok train` to choose it, such as "images"; also the setting that DATA stands for.
        example: data to give for it: "a folder of class folders".
        systems: names of the systems that are trained for it; the first is the one where none was named. None: it
            is trained with models from elsewhere alone.
        recognises: whether paths look like its data, by their names and what lies in a folder.
        claims: whether what a file holds shows that paths are its data, whatever flags are given.
        renames: flags of other kinds of data that mean one of its settings, by that setting.
        told_by: settings of its own that tell it from the other tasks when they are given as flags.
        many: whether DATA may be several paths.
        opens: how names of models from elsewhere begin that its commands can open.
        verbs: which of "evaluate", "predict", "export", "measure" and "compare" it has, and "trust", which follows
            a training.
        modules: where a part or a verb lies, if not under the agreed name.
    """

    name: str
    title: str
    does: str
    word: str
    example: str
    systems: tuple[str, ...]
    recognises: Callable[[Sequence[Path]], bool]
    claims: Callable[[Sequence[Path]], bool] = lambda paths: False
    renames: Mapping[str, str] = field(default_factory=dict)
    told_by: tuple[str, ...] = ()
    many: bool = False
    opens: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ("evaluate",)
    modules: Mapping[str, str] = field(default_factory=dict)

    @property
    def default_system(self) -> str:
        """The system where none was named.

        Raises:
            JumokError: one must be named.
        """
        if not self.systems:
            raise JumokError(
                f"systems that {self.does} begin with a pretrained model: name one with --system "
                f"{self.opens[0]}NAME-OR-FOLDER"
            )
        return self.systems[0]

    def part(self, name: str) -> Any:
        """A module of the task: settings (no torch), prepare, run or comparison."""
        return import_module(self.modules.get(name, f"jumok.tasks.{self.name}.{name}"))

    def verb(self, name: str) -> Any:
        """The module behind one of its commands.

        Raises:
            JumokError: the task has no such command.
        """
        if name not in self.verbs:
            raise JumokError(f"runs that {self.does} cannot be {PAST[name]}")
        return import_module(self.modules.get(name, f"jumok.app.{self.name}.{name}"))

    @property
    def settings(self) -> type[Settings]:
        """What a person may choose."""
        found: type[Settings] = self.part("settings").Settings
        return found

    @property
    def run(self) -> Any:
        """The kind of run that it leaves, a class of `running.run.Run`."""
        return self.part("run").RUN
