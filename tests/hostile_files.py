"""Files as nobody would write them: a good one with a few bytes or values changed."""

import copy
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("JUMOK_FUZZ", "25"))
"""Hostile inputs per reader; `make soak` asks for many."""
SECONDS = float(os.environ.get("JUMOK_FUZZ_SECONDS", "0"))
"""How long each reader is tried, over and over; 0: once."""
FUZZED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES < 100 and not SECONDS,  # the short run is the same each time
    database=None,
    suppress_health_check=list(HealthCheck),
)
LARGEST = 1 << 26
"""Bytes of a file that is made by saying over a part of one: repeated four times over it would fill the memory."""
VALUES = (
    *(None, True, False, -1, 0, 1, 3, 10**6, 2**31, 2**64, 10**400, 0.5, -0.0, 1e308, math.nan, math.inf, -math.inf),
    *("", " ", "x", "0", "nan", "x" * 5000, "\0", "../../x", "\x1b[2J", "=1+1", "한", [], {}, [[]], [None], {"a": 1}),
)
CHUNKS = (
    *(
        b"",
        b"\0",
        b"\n",
        b"\r",
        b"\t",
        b'"',
        b"'",
        b",",
        b"|",
        b"-",
        b"[",
        b"{",
        b"}",
        b":",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
    ),
    *(b"\x1f\x8b\x08", b"\x85", b"\xe2\x80\xa8", b"NaN", b"null", b"1e999", b"&a", b"*a", b"!!python/name:os.system"),
    *(b"[" * 3000, b"9" * 5000, b"a" * 70_000, b"\xed\xa0\x80"),
)


def try_for_long(tries: Sequence[Callable[[], None]], seconds: float = SECONDS) -> None:
    """Tries each in turn, once at least and until the time is over; an endless run tries other inputs each time."""
    end = time.monotonic() + seconds
    while True:
        for attempt in tries:
            attempt()
        if time.monotonic() >= end:
            return


@dataclass(frozen=True)
class Reader:
    """Something that reads a file.

    Args:
        name: what it reads.
        file: the name of the file that it reads.
        seeds: good files.
        read: reads one, and uses what it has read.
        values: also changes single values: the JSON that the file is, or a part of it.
        write: makes a file of such values.
    """

    name: str
    file: str
    seeds: tuple[bytes, ...]
    read: Callable[[Path], Any]
    values: Any = None
    write: Callable[[Any], bytes] = lambda values: json.dumps(values).encode()


@st.composite
def hostile_bytes(draw, seeds: tuple[bytes, ...]) -> bytes:
    """A good file with one to four changes."""
    content = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(content)))
        end = min(place + draw(st.sampled_from((0, 1, 2, 8, 64, len(content)))), len(content))
        change = draw(st.sampled_from(("put", "flip", "repeat", "swap")))
        if change == "put":
            content = content[:place] + draw(st.sampled_from(CHUNKS)) + content[end:]
        elif change == "flip" and place < len(content):
            content = content[:place] + bytes([content[place] ^ (1 << draw(st.integers(0, 7)))]) + content[place + 1 :]
        elif change == "repeat":
            times = min(draw(st.sampled_from((1, 2, 50))), LARGEST // len(content)) if content else 0
            content = content[:end] + content[place:end] * times + content[end:]
        else:
            content = content[place:] + content[:place]
    return content


@st.composite
def hostile_values(draw, values: Any) -> Any:
    """Good values of which one or two are replaced, dropped or doubled."""
    changed = json.loads(json.dumps(values))
    for _ in range(draw(st.integers(1, 2))):
        places = list(_list_places(changed))
        if not places:
            return copy.deepcopy(draw(st.sampled_from(VALUES)))
        home, key = draw(st.sampled_from(places))
        change = draw(st.sampled_from(("replace", "replace", "replace", "drop", "rename")))
        if change == "replace":
            home[key] = copy.deepcopy(draw(st.sampled_from(VALUES)))  # the next change may be inside it
        elif change == "drop":
            del home[key]
        elif isinstance(home, dict):
            home[f"{key}x"] = home.pop(key)
    return changed


def _list_places(values: Any):
    pairs = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, inner in list(pairs):
        yield values, key
        yield from _list_places(inner)
