"""What an engine asks of each input: a verb knows its columns, and all else of an engine knows nothing of the verb."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, Self

__all__ = ["About", "Column", "Row", "Verb"]


class Column(NamedTuple):
    """What a column holds.

    Args:
        kind: text, int32, int64, float16, float32 or float64.
        size: of the list in each row; 0: a single value.
        many: any number of these.
    """

    kind: str
    size: int = 0
    many: bool = False


class Row(Protocol):
    """What is known of one input: an attribute for each column, None where it is not known."""

    @property
    def error(self) -> str | None:
        """Why something is missing."""


class About(Protocol):
    """What all rows have in common, in plain values."""

    @property
    def model(self) -> str:
        """As the user named it; empty where there is none."""

    @property
    def method(self) -> str:
        """That maps come from; empty where there are none."""

    def columns(self) -> Mapping[str, Column]:
        """Those of each row, in their order: all but index, path, label and error, which every data set has."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""


class Verb(Protocol):
    """A question to each input, made of names alone: what answers it is opened where the first input is."""

    @property
    def about(self) -> About:
        """What all rows have in common."""

    @property
    def fingerprint(self) -> str:
        """Of all that rows depend on and no option names, such as weights."""

    def on(self, device: str) -> Self:
        """The same on another device."""

    def settings(self) -> dict[str, Any]:
        """What rows depend on, by what a person calls it."""

    def look(self, inputs: Iterable[Any]) -> Sequence[Row]:
        """As many rows as inputs, in their order; an input may be a `JumokError`, which is its row's error."""
