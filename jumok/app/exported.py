"""What a task gives to be exported, and what came of it: shared by `jumok export` for all tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jumok.tasks.exporting import Graph, Inputs

__all__ = ["CHECKED_INPUTS", "Exported", "ToExport"]

CHECKED_INPUTS = 12
"""Images, questions or sentences that graphs are checked on."""


@dataclass(frozen=True)
class ToExport:
    """A run's model, ready to be exported.

    Args:
        system: its name.
        graphs: what it consists of.
        batches: real inputs of each graph, by its name.
        checked_on: what these are.
        facts: what whoever calls the graphs must know.
        remarks: what the user should know.
        beside: further files that whoever calls the graphs needs: their text, by name.
    """

    system: str
    graphs: Sequence[Graph]
    batches: Mapping[str, Sequence[Inputs]]
    checked_on: str
    facts: Mapping[str, Any]
    remarks: Sequence[str] = ()
    beside: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Exported:
    """What was written.

    Args:
        run: folder of the run.
        folder: of the files.
        files: their names.
        checks: what was found when they were compared with the model, by file.
        said: the same in lines.
        remarks: what the user should know.
    """

    run: Path
    folder: Path
    files: list[str] = field(default_factory=list)
    checks: dict[str, Any] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "run": str(self.run),
            "folder": str(self.folder),
            "files": self.files,
            "checks": self.checks,
            "remarks": self.remarks,
        }

    def lines(self) -> Iterator[str]:
        """For the terminal."""
        yield from self.said
        yield from (f"remark: {remark}" for remark in self.remarks)
        yield f"written: {', '.join(str(self.folder / name) for name in self.files)}"
