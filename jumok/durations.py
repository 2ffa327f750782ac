"""Lengths of time as people write them."""

from __future__ import annotations

import math
import re

from jumok.errors import JumokError

__all__ = ["as_option", "format_duration", "parse_duration"]

FORM = re.compile(r"(?=\d)(?:(\d{1,4})h)?(?:(\d{1,5})m)?(?:(\d{1,7})s?)?")
"""Hours, minutes and seconds, any of which may be left out."""


def parse_duration(text: str, what: str) -> float:
    """Read a time such as 90, 90s, 2m or 1h30m, in seconds.

    Args:
        text: the time.
        what: the option that it was given for, for the error.
    Raises:
        JumokError: none of these, or no time at all.

    >>> [parse_duration(text, "--time") for text in ("45", "2m", "1h30m", "1m30s")]
    [45.0, 120.0, 5400.0, 90.0]
    """
    found = FORM.fullmatch(text.strip().lower())
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    total = 3600 * hours + 60 * minutes + seconds
    if not total:
        raise JumokError(f"{what} {text!r} is not a time: give one such as 90s, 2m or 1h30m")
    return float(total)


def format_duration(seconds: float) -> str:
    """Write a time, to the second below an hour.

    >>> [format_duration(seconds) for seconds in (45, 600, 90.4, 5400)]
    ['45 s', '10 min', '1 min 30 s', '1 h 30 min']
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min"), (0 if hours else rest, "s"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or "0 s"


def as_option(seconds: float) -> str:
    """A round time, no shorter, as `parse_duration` reads it.

    >>> [as_option(seconds) for seconds in (3, 41, 61, 5000)]
    ['10s', '50s', '2m', '84m']
    """
    tens = 10 * max(math.ceil(seconds / 10), 1)
    return f"{tens}s" if tens < 60 else f"{math.ceil(seconds / 60)}m"
