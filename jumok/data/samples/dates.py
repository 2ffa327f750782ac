"""Dates as people write them in Korean and English, which digit of an ISO date each character tells, and a sample."""

from __future__ import annotations

import datetime
import math
import random
from functools import cache
from pathlib import Path
from typing import NamedTuple

import babel
from babel import Locale
from babel.dates import format_date, tokenize_pattern

from jumok.data.pairs.alignment_files import Links
from jumok.data.samples.pair_folder import SamplePair, check_counts, write_sample
from jumok.errors import JumokError

FIRST_DATE, LAST_DATE = datetime.date(1950, 1, 1), datetime.date(2049, 12, 31)
"""A hundred years, so that two digits tell the year."""
FORMATS = {
    "en_US": ("full", "long", "medium", "yMMMEd"),
    "en_GB": ("full", "long", "medium", "yMMMEd", "yMMMEEEEd"),
    "ko_KR": ("full", "long", "medium", "short", "yMEd", "yMMMEd", "yMEEEEd"),
}
"""Names of formats and skeletons in the locale data; none that leaves open which number is the month."""
TARGET = {"y": range(4), "M": range(5, 7), "d": range(8, 10)}
"""Which characters of YYYY-MM-DD tell the year, the month and the day."""
HYPHENS = (4, 7)
UNITS = "년월일"
MOST_PAIRS = 200_000
README = """# Dates and what they mean

Dates as people write them in Korean and English, and the same in ISO 8601. Made by `jumok sample dates` from the
locale data of Babel {babel} (Unicode CLDR), for the years 1950 to 2049; "76. 11. 22." is a day of 1976.

`train.tsv` ({train} pairs), `val.tsv` ({val}) and `test.tsv` ({test}): written date TAB ISO date. No day is in two
parts.

`train.align`, `val.align` and `test.align`: which words of the written date belong to the ISO date, which is one word:
`2-0` surely (it tells the date), `3p0` possibly (it tells the day of the week).

`train.chars.align`, `val.chars.align` and `test.chars.align`: the same by characters, counted from 0, spaces counted.
`5-8`: character 5 of the written date is a digit that stands as character 8 of the ISO date. `5p8`: it belongs to what
tells the field (year, month or day) of character 8; for the hyphens, to what tells no field.

Made with seed {seed}; the same numbers and the same Babel give the same files.

Licence: CC0 1.0 (https://creativecommons.org/publicdomain/zero/1.0/), no rights reserved.
"""


class Style(NamedTuple):
    """A way to write a date: a locale and a pattern of its data."""

    locale: str
    pattern: str


class Part(NamedTuple):
    """A stretch of a written date, and what it tells: "y", "M", "d", another field, or "" for nothing."""

    field: str
    text: str


@cache
def styles() -> tuple[Style, ...]:
    """All ways in which dates are written here, from Babel's locale data."""
    return tuple(
        dict.fromkeys(
            Style(locale, _compile_pattern(locale, name)) for locale, names in FORMATS.items() for name in names
        )
    )


def write_dates(folder: Path, *, seed: int = 0, train: int = 20_000, val: int = 1_000, test: int = 1_000) -> None:
    """Write pairs of a date as people write it and the same in ISO 8601, with alignments.

    `train.tsv`, `val.tsv` and `test.tsv` have lines such as "2026년 11월 22일 일요일 TAB 2026-11-22" and "Sun, 22 Nov
    2026 TAB 2026-11-22". No day is in two parts, so neither is any written date.

    `PART.align`, for each part, says by words which source words tell the date (sure), or its day of the week
    (possible); the target is one word. `PART.chars.align` says the same by characters of the NFC text, spaces counted:
    a digit of the target is surely aligned to the digit it was copied from, and possibly to every character of what
    tells its field (a number, a name of a month, 년, 월 or 일 behind a number); a hyphen, possibly to every character
    that tells no field. Both are Pharaoh files (see `jumok.data.pairs.alignment_files.read_links`).

    The same numbers and the same locale data give the same files; README.md names the data's version. A folder that
    already holds this very sample is kept.

    Args:
        folder: new, empty, or holding this sample.
        seed: 0 or more.
        train, val, test: pairs in each part, 1 or more.
    Raises:
        JumokError: numbers out of their range, a folder that holds something else, or one that cannot be written.
    """
    counts = check_counts(seed, train=train, val=val, test=test)
    if sum(counts.values()) > MOST_PAIRS:
        raise JumokError(f"{sum(counts.values()):,} dates are wanted, and {MOST_PAIRS:,} are the most: ask for fewer")
    about = {"format": "jumok-dates/1", "seed": seed, **counts, "babel": babel.__version__}
    write_sample(Path(folder), about, README, lambda: _split_parts(seed, counts))


def make_pair(day: datetime.date, style: Style) -> SamplePair:
    """Write a day in a style, with its ISO form and what belongs together.

    >>> make_pair(datetime.date(2026, 11, 22), Style("en_GB", "EEE, d MMM y"))[:2]
    ('Sun, 22 Nov 2026', '2026-11-22')
    """
    parts = _render(day, style)
    source, target = "".join(part.text for part in parts), day.isoformat()
    told = [part.field for part in parts for _ in part.text]  # what each character tells
    return SamplePair(source, target, _align_words(source, told), _align_characters(source, told, target))


def _render(day: datetime.date, style: Style) -> list[Part]:
    """The written date in parts; a unit behind a number goes with it."""
    parts, field = [], ""
    for token in _tokens(style.pattern):
        if token.field:
            field = token.field
            parts.append(Part(field, format_date(day, token.text, locale=style.locale)))
        else:
            unit = token.text[:1] if token.text[:1] in UNITS else ""
            parts += [Part(field, unit), Part("", token.text[len(unit) :])]
    return parts


@cache
def _tokens(pattern: str) -> tuple[Part, ...]:
    """A pattern in parts: fields, their text being the pattern of the field alone, and what stands between them."""
    found = []
    for _, value in tokenize_pattern(pattern):
        if isinstance(value, str):
            found.append(Part("", value))
        else:
            letter, times = value
            found.append(Part(str(letter), str(letter) * int(times)))
    return tuple(found)


def _align_words(source: str, told: list[str]) -> Links:
    """Words to the one word of the target: sure where they tell the date, possible where they tell something else."""
    sure, possible, begin = set(), set(), 0
    for number, word in enumerate(source.split(" ")):
        fields = set(told[begin : begin + len(word)]) - {""}
        begin += len(word) + 1
        if fields & TARGET.keys():
            sure.add((number, 0))
        elif fields:
            possible.add((number, 0))
    return Links(frozenset(sure), frozenset(possible))


def _align_characters(source: str, told: list[str], target: str) -> Links:
    """Digits to the digits they were copied from, and to all of their field; hyphens to what is in no field."""
    sure, possible = set(), set()
    for field, places in TARGET.items():
        own = [number for number, of in enumerate(told) if of == field]
        possible |= {(one, two) for one in own for two in places}
        digits = [number for number in own if source[number].isdigit()]
        sure |= set(zip(reversed(digits), reversed(places), strict=False))  # from the right: 5 is the 5 of 05
    outside = [number for number, of in enumerate(told) if of not in TARGET]
    possible |= {(one, two) for one in outside for two in HYPHENS}
    assert all(source[one] == target[two] for one, two in sure)
    return Links(frozenset(sure), frozenset(possible))


def _split_parts(seed: int, counts: dict[str, int]) -> dict[str, list[SamplePair]]:
    """Each part from days of its own."""
    draw = random.Random(f"jumok-dates/{seed}")  # noqa: S311
    days = [FIRST_DATE + datetime.timedelta(number) for number in range((LAST_DATE - FIRST_DATE).days + 1)]
    draw.shuffle(days)
    once = sum(counts.values()) <= len(days)
    spare = len(days) - len(counts)  # so that sharing days out may round up
    parts, begin = {}, 0
    for part, count in counts.items():
        end = begin + (count if once else math.ceil(count * spare / sum(counts.values())))
        parts[part] = _draw_some(draw, days[begin:end], count)
        begin = end
    return parts


def _draw_some(draw: random.Random, days: list[datetime.date], count: int) -> list[SamplePair]:
    """So many different dates of these days: each day once, then each once more in another style."""
    found: dict[str, SamplePair] = {}
    orders = {day: draw.sample(styles(), len(styles())) for day in days}
    for turn in range(len(styles())):
        for day in days:
            if len(found) == count:
                return list(found.values())
            pair = make_pair(day, orders[day][turn])
            found.setdefault(pair.source, pair)
    return list(found.values())


def _compile_pattern(locale: str, name: str) -> str:
    data = Locale.parse(locale)
    return str((data.date_formats if name in data.date_formats else data.datetime_skeletons)[name].pattern)
