"""What an attribution method is: a name, the function of a file, and what may be expected of it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING, Any

from jumok.errors import JumokError, suggest

if TYPE_CHECKING:
    from torch import Tensor

    from jumok.attention import AttentionMap
    from jumok.watching.seen import Seen

__all__ = ["Method", "Need"]


class Need(StrEnum):
    """What a method works from."""

    ATTENTION = "attention calls"
    FEATURES = "a feature map"
    GRADIENTS = "gradients"
    PASSES = "more passes"


@dataclass(frozen=True)
class Method:
    """One attribution method.

    Args:
        name: as users write it; the file and the function in it have the same name with underscores.
        paper: where it comes from, in a few words.
        needs: what it works from.
        signed: whether its values may be below zero: parts that speak against the target.
        conserves: whether its values sum to the target, of a model without biases.
        of_target: whether two targets have two maps.
    """

    name: str
    paper: str
    needs: frozenset[Need]
    signed: bool = False
    conserves: bool = False
    of_target: bool = True

    @property
    def explain(self) -> Callable[..., AttentionMap]:
        """The function: of what was seen, a target, and options by name."""
        file = self.name.replace("-", "_")
        found: Callable[..., AttentionMap] = getattr(import_module(f"jumok.attribution.{file}"), file)
        return found

    @property
    def options(self) -> list[str]:
        """The options that it takes."""
        return _list_options(self.explain)

    def run(self, seen: Seen, target: Tensor, **options: Any) -> AttentionMap:
        """Explain a target.

        Raises:
            JumokError: an option that the method does not have, or what the method says.
        """
        for name in options:
            if name not in self.options:
                known = suggest(name, self.options) if self.options else "it has none"
                raise JumokError(f"{self.name} has no option {name!r}: {known}")
        return self.explain(seen, target, **options)


@functools.cache
def _list_options(explain: Callable[..., AttentionMap]) -> list[str]:
    return list(inspect.signature(explain).parameters)[2:]
