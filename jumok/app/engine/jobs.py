"""What happens at each shard, whoever looks at it: deaths are counted, and what causes them is sought and left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from jumok.app.engine.worker import Failed, Order, Ready
from jumok.errors import JumokError

__all__ = ["MOST_FAILED_STARTS", "Job", "check_same", "explain_failed_starts", "to_error"]

MOST_FAILED_STARTS = 3
"""Processes in a row that may die before their model is open."""
DEATHS_TO_SEARCH, MOST_DEATHS = 2, 4
"""Of processes at one shard: so many, and each of its inputs is tried alone; so many, and it is no input's fault."""
DEATHS_TO_BLAME = 2
"""Of processes at one input alone: a single one may have had another cause."""


@dataclass
class Job:
    """A shard, and what has happened at it.

    Args:
        number: of the shard.
        order: as it is given next.
        deaths: of processes that looked at the whole of it.
        trying: the place of the input that is looked at alone, while one that kills is sought.
        alone: deaths at each input alone.
    """

    number: int
    order: Order
    deaths: int = 0
    trying: int | None = None
    alone: Counter[int] = field(default_factory=Counter)

    def note_death(self, how: str) -> None:
        """Settle what is done next.

        Raises:
            JumokError: processes die at the shard, and at none of its inputs alone.
        """
        if self.trying is None:
            self._note_death_of_all(how)
            return
        self.alone[self.trying] += 1
        if self.alone[self.trying] == DEATHS_TO_BLAME:
            why = f"it ended the process that looked at it ({how}): make it smaller, or remove it"
            self.order = replace(self.order, excluded={**self.order.excluded, self.trying: why})
        self.order = replace(self.order, tried_from=self.trying)

    def _note_death_of_all(self, how: str) -> None:
        self.deaths += 1
        if self.deaths == MOST_DEATHS:
            first, last = self.order.shard.begin, self.order.shard.begin + self.order.shard.count - 1
            raise JumokError(
                f"a process ended {MOST_DEATHS} times ({how}) at inputs {first} to {last}, each of which passes alone: "
                "memory may run out, so give a smaller --batch-size or fewer --processes"
            )
        if self.deaths == DEATHS_TO_SEARCH:
            self.trying = 0
            self.order = replace(self.order, tried_from=0)

    def note_tried(self) -> None:
        """The search is over: the shard is looked at again, without what was found."""
        self.trying = None
        self.order = replace(self.order, tried_from=None)


def check_same(first: Ready | None, said: Ready) -> None:
    """Every process must have opened the same model.

    Args:
        first: what was said by the first process; None: there was none.
        said: by another.
    Raises:
        JumokError: its files have changed meanwhile.
    """
    if first is not None and said != first:
        raise JumokError(f"{said.about.model} was changed while it was in use: run the command again")


def explain_failed_starts(how: str) -> JumokError:
    """What to say when no process lives until its model is open.

    Args:
        how: they ended.
    """
    return JumokError(
        f"{MOST_FAILED_STARTS} processes ended ({how}) before the model was open: give fewer --processes, or a smaller "
        "model"
    )


def to_error(failed: Failed) -> Exception:
    """A reason to end, as an error of this process; a fault brings its traceback along."""
    if not failed.trace:
        return JumokError(failed.reason)
    error = RuntimeError(failed.reason)
    error.add_note(failed.trace)
    return error
