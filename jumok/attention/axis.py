"""What every axis of an attention map is and can do, whatever its entries are."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from torch import Tensor

from jumok.attention.frames import Frame
from jumok.errors import JumokError, suggest

MOST_ENTRIES = 2**31
"""Along one side of an axis: the product of two sides still fits what Python calls a length."""
LONGEST_KIND = 40
"""Characters of an unknown kind of axis that an error shows."""

Place = int | str | tuple[int, int]
"""What picks one entry of an axis: its index, its name, or (row, column) of a patch or pixel."""


class Axis:
    """Who looks, or what is seen, along one dimension of an `AttentionMap`.

    A subclass is a frozen dataclass of plain values. It gives its length and a label for each entry;
    an axis whose entries lie in an image also overrides `spread`.
    """

    kinds: ClassVar[dict[str, type[Axis]]] = {}
    in_image: ClassVar[bool] = False
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    def __init_subclass__(cls) -> None:
        if not cls.__name__.startswith("_"):
            Axis.kinds[cls.__name__] = cls

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} does not give its length")

    def label(self, index: int) -> str:
        """The name of one entry, as views write it."""
        return str(index)

    def describe(self) -> str:
        """What the entries are, in a few words.

        >>> from jumok.attention import One, Patches, Tokens
        >>> Tokens(("the", "cat")).describe(), Patches(14, 14, ("cls",)).describe(), One("image").describe()
        ('2 tokens', '14 x 14 patches and cls', 'image')
        """
        return f"{len(self)} {type(self).__name__.lower()}"

    def labels(self) -> list[str]:
        """The names of all entries, in order."""
        return [self.label(index) for index in range(len(self))]

    def index(self, place: Place) -> int:
        """Find one entry by index (negative from the end) or by name.

        Raises:
            JumokError: no such entry, or the name stands for several.
        """
        if isinstance(place, tuple):
            raise JumokError(f"{self!r} has no (row, column): give an index or a name, not {place}")
        if isinstance(place, str):
            return self._index_of_name(place)
        if not -len(self) <= place < len(self):
            raise JumokError(f"index {place} is outside this axis of {len(self)} entries")
        return place % len(self)

    def _index_of_name(self, name: str) -> int:
        labels = self.labels()
        found = labels.count(name)
        if found == 1:
            return labels.index(name)
        if found > 1:
            raise JumokError(f"{name!r} stands for {found} entries of this axis: give an index instead")
        raise JumokError(f"no entry {name!r} on this axis: {suggest(name, labels[:12])}")

    def spread(self, weights: Tensor, height: int, width: int, *, smooth: bool = False) -> Tensor:
        """Lay one weight per entry over the pixels that each entry covers.

        Args:
            weights: (..., entries).
            height, width: of the image, in pixels.
            smooth: interpolate between the entries' centres; otherwise each pixel has its entry's own value.
        Returns:
            (..., height, width), same values (entries that cover no pixels are left out).
        Raises:
            JumokError: the entries do not lie in an image.
        """
        raise JumokError(f"{type(self).__name__} do not lie in an image: draw them as bars or as a matrix")

    def to_dict(self) -> dict[str, Any]:
        """Plain values that `from_dict` builds the axis from again."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}  # type: ignore[arg-type]
        return {"kind": type(self).__name__, **{name: value for name, value in fields.items() if value is not None}}

    def within(self, frame: Frame) -> Axis:
        """The same entries of a larger image, of which the image that they lie in is a part.

        Args:
            frame: (top, left, bottom, right) of that part, in shares of the larger image; beyond 0 and 1: margins.
        """
        if self.in_image:
            raise JumokError(f"{type(self).__name__} cannot be laid over a part of an image")
        return self

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Axis:
        """Build an axis from what `to_dict` gave.

        Raises:
            JumokError: an unknown kind, or fields that do not fit it.
        """
        fields = {name: value for name, value in values.items() if name != "kind"}
        kind = str(values.get("kind"))
        if kind not in Axis.kinds:
            raise JumokError(
                f"unknown kind of axis {kind[:LONGEST_KIND]!r}: {suggest(kind[:LONGEST_KIND], Axis.kinds)}"
            )
        try:
            axis: Axis = _get_validator(kind).validate_json(json.dumps(fields))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            said = first["msg"].removeprefix("Value error, ")
            place = "".join(f"{part}: " for part in first["loc"])
            raise JumokError(f"these fields do not make a {kind} axis: {place}{said}") from error
        except (TypeError, ValueError, RecursionError) as error:  # no JSON
            raise JumokError(f"these fields do not make a {kind} axis: {error}") from error
        return axis


@functools.cache
def _get_validator(kind: str) -> TypeAdapter[Axis]:
    """What checks the fields of an axis against their types, as strictly as JSON allows: they come from a file."""
    return TypeAdapter(Axis.kinds[kind])


def check_positive(axis: str, **sizes: int) -> None:
    """Refuse sizes that no axis has: below 1, or too large to count.

    Args:
        axis: its kind, for the message.
        sizes: by what they are called in it.
    Raises:
        JumokError: one is no whole number from 1 to `MOST_ENTRIES`.
    """
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise JumokError(f"{axis} needs {name} of at least 1, got {size!r}")
        if size > MOST_ENTRIES:
            raise JumokError(f"{axis} has {name} of at most {MOST_ENTRIES}, got more")
