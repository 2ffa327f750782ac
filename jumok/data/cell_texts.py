"""Numbers and dates that stand in a table as text: decimal commas, thousands, per cent, days in many orders."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from numpy.typing import NDArray

from jumok.data.dressed_numbers import COMMA_NUMBER, GROUP_SPACES, SIGNS, THOUSANDS_NUMBER, UNIT, spell_plainly, undress
from jumok.language import join_later, later

__all__ = [
    "DecimalMark",
    "Reading",
    "count_days",
    "describe_rounded",
    "find_mixed_marks",
    "find_sentinel",
    "has_decimal_comma",
    "is_rounded",
    "read_compact_dates",
    "read_dates",
    "read_numbers",
]

Texts = NDArray[Any]
DecimalMark = str | None
"""What stands before the decimals: "," or "."; None: not known."""

SENTINELS = tuple(sign * nines for nines in (99, 999, 9999, 99999) for sign in (-1, 1))
"""Numbers that stand for what is missing in many tables."""
MOST_EXACT = 2.0**53
"""Up to which each whole number is a floating-point number."""
FIRST_CELLS = 50
"""So many cells are tried first, for most columns of text hold neither numbers nor dates."""
FIRST_DAY, LAST_DAY = 19000101, 21001231
"""Between which whole numbers can be dates, YYYYMMDD."""
CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
DAYS: dict[str, str] = {
    "%Y-%m-%d": later("year-month-day"),
    "%Y/%m/%d": later("year/month/day"),
    "%Y.%m.%d": later("year.month.day"),
    "%Y.%m.%d.": later("year.month.day."),
    "%Y. %m. %d.": later("year. month. day."),
    "%Y년 %m월 %d일": later("year 년 month 월 day 일"),
    "%d/%m/%Y": later("day/month/year"),
    "%m/%d/%Y": later("month/day/year"),
    "%d.%m.%Y": later("day.month.year"),
    "%d-%m-%Y": later("day-month-year"),
    "%m-%d-%Y": later("month-day-year"),
    "%d/%m/%y": later("day/month/year"),
    "%m/%d/%y": later("month/day/year"),
    "%d.%m.%y": later("day.month.year"),
    "%d %b %Y": later("day month year"),
    "%d-%b-%Y": later("day-month-year"),
    "%d-%b-%y": later("day-month-year"),
    "%d %B %Y": later("day month year"),
    "%b %d, %Y": later("month day, year"),
    "%B %d, %Y": later("month day, year"),
}
FORMATS: dict[str, str] = {
    "ISO8601": later("year-month-day"),
    **{day + clock: order for (day, order), clock in itertools.product(DAYS.items(), CLOCKS)},
    "%H:%M": later("time of day"),
    "%H:%M:%S": later("time of day"),
}
"""Formats of dates and what they are called, in the order in which they are tried."""
DATE_SHAPE = re.compile(r"(?=.*\d\D+\d)[\w\s:/.,+-]{4,40}")


class Reading(NamedTuple):
    """What texts stand for, in their order; how they were read, if not as plain numbers; and what is in doubt."""

    values: NDArray[np.float64]
    how: str = ""
    doubt: str = ""


# -- numbers ------------------------------------------------------------------------------------


def read_numbers(texts: Texts, decimal: DecimalMark = None) -> Reading | None:
    """Read texts that are all numbers; None: at least one is not.

    Args:
        texts: (n,) of str, without spaces around them.
        decimal: the mark where it is known; None: judged by the texts, the point where they tell nothing.

    >>> read_numbers(np.array(["1,5", "-20"], dtype=object))
    Reading(values=array([  1.5, -20. ]), how='decimal comma', doubt='')
    >>> read_numbers(np.array(["1,5", "many"], dtype=object)) is None
    True
    """
    if not len(texts) or not any(letter.isdecimal() for letter in texts[0]):
        return None
    bare, sign = _take_sign_off(texts)
    for how, read in WAYS[decimal].items():
        if read(bare[:FIRST_CELLS]) is not None and (values := read(bare)) is not None:
            marked = any("," in text or "." in text for text in bare)
            return Reading(values, ", ".join(filter(None, (how * marked, sign and f"without {sign}"))))
    return None


def find_mixed_marks(texts: Texts) -> str:
    """What to say of texts that are all numbers, but not all with one decimal mark; nothing of others.

    >>> find_mixed_marks(np.array(["1,5", "2.25"], dtype=object))
    "numbers with a decimal comma ('1,5') and with a decimal point ('2.25'): write all of them in one way"
    """
    if not all(undress(text) for text in texts):
        return ""
    comma, point = (next((text for text in texts if mark in text), "") for mark in ",.")
    if not (comma and point):
        return ""
    return later(
        "numbers with a decimal comma ({comma}) and with a decimal point ({point}): write all of them in one way",
        comma=repr(comma),
        point=repr(point),
    )


def has_decimal_comma(texts: Texts) -> bool:
    """Whether these are numbers that can be read with a decimal comma only."""
    reading = read_numbers(texts)
    return reading is not None and reading.how.startswith("decimal comma")


def _take_sign_off(texts: Texts) -> tuple[Texts, str]:
    """Without the sign or unit that all have; spaces between groups of digits go too."""
    bare = np.array([GROUP_SPACES.sub("", spell_plainly(text)) for text in texts], dtype=object)
    for sign in SIGNS:
        if all(sign in (text[:1], text[-1:]) for text in bare):
            return np.array([text.strip(sign).strip() for text in bare], dtype=object), sign
    unit = UNIT.search(bare[0])
    if unit and all(text.endswith(unit[1]) for text in bare):
        return np.array([text.removesuffix(unit[1]).strip() for text in bare], dtype=object), unit[1]
    return bare, ""


def _read_plain(texts: Texts) -> NDArray[np.float64] | None:
    values = pd.to_numeric(pd.Series(texts), errors="coerce").to_numpy(dtype=np.float64)
    return None if np.isnan(values).any() else values


def _read_comma(texts: Texts) -> NDArray[np.float64] | None:
    if not all(COMMA_NUMBER.fullmatch(text) for text in texts):
        return None
    return _read_plain(np.array([text.replace(".", "").replace(",", ".") for text in texts], dtype=object))


def _read_thousands(texts: Texts) -> NDArray[np.float64] | None:
    if not all(THOUSANDS_NUMBER.fullmatch(text) for text in texts):
        return None
    return _read_plain(np.array([text.replace(",", "") for text in texts], dtype=object))


Way = Callable[[Texts], "NDArray[np.float64] | None"]
POINT: dict[str, Way] = {"": _read_plain, "commas between thousands": _read_thousands}
COMMA: dict[str, Way] = {"decimal comma": _read_comma}
WAYS: dict[DecimalMark, dict[str, Way]] = {None: {**POINT, **COMMA}, ".": POINT, ",": COMMA}


def is_rounded(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which numbers are so large that not each whole number near them is one, (n,) bool."""
    return np.abs(values) >= MOST_EXACT


def find_sentinel(values: NDArray[np.float64]) -> str:
    """A number far beyond all others, more than once, that often means "missing"."""
    low, high = values.min(), values.max()
    for sentinel in SENTINELS:
        if sentinel not in (low, high):
            continue
        others, count = values[values != sentinel], int((values == sentinel).sum())
        if count > 1 and len(others) and np.abs(others - sentinel).min() > max(np.ptp(others), 1.0):
            return f"{count:,} cells hold {sentinel}: give --na {sentinel} if that means missing"
    return ""


def describe_rounded(different: int, values: NDArray[np.float64]) -> str:
    """What to say of large whole numbers that fall together as floating-point numbers; nothing of others.

    Args:
        different: how many there are among those beyond 2^53.
        values: as which these were read, in any number.
    """
    kept = len(np.unique(values))
    if kept >= different:
        return ""
    return later(
        "{different} whole numbers beyond 2^53 are rounded to {kept}: subtract what they have in common, or split them",
        different=f"{different:,}",
        kept=f"{kept:,}",
    )


# -- dates --------------------------------------------------------------------------------------


def read_dates(texts: Texts) -> Reading | None:
    """Read texts that are all dates, as days since the first of them; None: at least one is none.

    >>> read_dates(np.array(["2026-03-02", "2026-03-01"], dtype=object))
    Reading(values=array([1., 0.]), how='year-month-day, days since 2026-03-01', doubt='')
    """
    if not len(texts) or not all(DATE_SHAPE.fullmatch(text) for text in texts[:FIRST_CELLS]):
        return None
    found: dict[str, pd.DatetimeIndex] = {}
    for format_, order in FORMATS.items():
        dates = None if order in found else _parse_dates(texts, format_)
        if dates is not None and not any(dates.equals(other) for other in found.values()):
            found[order] = dates
    if not found:
        return None
    (order, dates), *others = found.items()
    return count_days(dates, order, f"these are dates as {others[0][0]} too" if others else "")


def _parse_dates(texts: Texts, format_: str) -> pd.DatetimeIndex | None:
    """All of them in one format."""
    for some in (texts[:1], texts[:FIRST_CELLS], texts):
        dates = pd.to_datetime(pd.Index(some), format=format_, errors="coerce", utc=True)
        if dates.isna().any():
            return None
    return dates


def count_days(dates: pd.DatetimeIndex, how: str, doubt: str = "") -> Reading:
    """Dates, none missing, as days since the first; times of a day as a share of it."""
    first = dates.min().normalize()
    clock = how == FORMATS["%H:%M"]
    since = later("as a share of the day") if clock else later("days since {day}", day=f"{first:%Y-%m-%d}")
    days = np.asarray((dates - first) / pd.Timedelta(days=1), dtype=np.float64)
    return Reading(days, join_later(", ", [how, since]), doubt)


def read_compact_dates(numbers: NDArray[np.float64]) -> Reading | None:
    """Read whole numbers that are all dates, YYYYMMDD, as days since the first; None: at least one is none."""
    if not len(numbers) or not ((numbers >= FIRST_DAY) & (numbers <= LAST_DAY) & (numbers == np.floor(numbers))).all():
        return None
    dates = _parse_dates(numbers.astype(np.int64).astype(str).astype(object), "%Y%m%d")
    return None if dates is None else count_days(dates, "YYYYMMDD")
