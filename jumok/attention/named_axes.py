"""Axes whose entries have names or numbers, and no place in an image."""

from __future__ import annotations

from dataclasses import dataclass, field

from jumok.attention.axis import Axis, check_positive
from jumok.errors import JumokError


@dataclass(frozen=True)
class One(Axis):
    """A single onlooker: the image, the `cls` token, a whole sentence.

    >>> One("image").labels()
    ['image']
    """

    name: str

    def __len__(self) -> int:
        return 1

    def label(self, index: int) -> str:
        return self.name

    def describe(self) -> str:
        return self.name


@dataclass(frozen=True)
class Steps(Axis):
    """Moments of a process: decoding steps, glimpse numbers.

    >>> Steps(3).labels()
    ['0', '1', '2']
    """

    count: int

    def __post_init__(self) -> None:
        check_positive("Steps", count=self.count)

    def __len__(self) -> int:
        return self.count


@dataclass(frozen=True)
class _Named(Axis):
    """Entries that have nothing but their names."""

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if isinstance(self.names, str):
            raise JumokError(f"{type(self).__name__} needs a sequence of names, got the one string {self.names!r}")
        object.__setattr__(self, "names", tuple(str(name) for name in self.names))
        check_positive(type(self).__name__, entries=len(self.names))

    def __len__(self) -> int:
        return len(self.names)

    def label(self, index: int) -> str:
        return self.names[index]

    @classmethod
    def numbered(cls, count: int) -> Axis:
        """Entries named by their numbers, where nothing better is known."""
        return cls(tuple(str(index) for index in range(count)))


@dataclass(frozen=True)
class Tokens(_Named):
    """Words, sub-words or characters of a text, in order; or tokens of which nothing but the number is known.

    Args:
        names: of the tokens.
        why: for tokens that are only numbered, why nothing more is known of them.

    >>> Tokens(("the", "cat")).index("cat")
    1
    """

    why: str = field(default="", compare=False)


class Features(_Named):
    """Columns of a table."""


class Channels(_Named):
    """Channels of a feature map."""
