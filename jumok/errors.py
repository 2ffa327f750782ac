"""The errors that a person can mend: one line each, shown without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

LONGEST_ERROR = 2000
"""Characters of a message."""
MOST_NEAR, MOST_KNOWN = 5, 8
"""Names that are suggested, of many that are alike, and of those that are known."""
RUST = "pyo3_runtime"
"""Where the panics of libraries in Rust come from: no `Exception`, though it is the file that they could not take."""
LONGEST_REASON = 300
"""Characters of a library's error that are shown."""


class JumokError(ValueError):
    """What was got, what was wanted and what to do, in one line.

    The command line prints the message and exits with status 2; a caller in Python can catch it
    as the `ValueError` that it is. What was got may be endless, so of a long message the middle is left out.
    """

    def __init__(self, message: object = "") -> None:
        text = str(message)
        if len(text) > LONGEST_ERROR:
            text = f"{text[: LONGEST_ERROR // 2 - 5]} ... {text[-LONGEST_ERROR // 2 :]}"
        super().__init__(text)


class Interrupted(Exception):  # noqa: N818 (it is no error: the work can go on)
    """Work stopped in good order because a signal asked for it; everything is on disk."""

    def __init__(self, signum: int, message: str) -> None:
        super().__init__(message)
        self.signum = signum


class Stopped(BaseException):
    """A signal asked for the end of a command, at a place where nothing was left half done."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


@contextmanager
def foreign(what: str, advice: str) -> Iterator[None]:
    """Turn whatever a library raises, about something that came from outside, into one line.

    A library may raise anything at all when what it is given is damaged, and seldom says all of it in its reference. So
    the block holds the library's calls alone: an error of our own would be taken for the file's.

    Args:
        what: what is wrong with what, such as "map.bin is damaged or not an attention map".
        advice: what to do.
    Raises:
        JumokError: the block raised; one of these passes as it is.
    """
    try:
        yield
    except (JumokError, Interrupted):
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__module__ != RUST:
            raise
        raise JumokError(f"{what} ({first_line(error)}): {advice}") from error


def first_line(error: BaseException) -> str:
    """What an error of a library says first, or what kind it is.

    >>> first_line(ValueError("no such thing")), first_line(KeyError())
    ('no such thing', 'KeyError')
    """
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}..."


def suggest(name: str, known: Iterable[str]) -> str:
    """Say which known name was probably meant, or list them all.

    >>> suggest("vit-tinny", ["vit-tiny", "vit-small"])
    "did you mean 'vit-tiny'?"
    >>> suggest("zzz", ["a", "b"])
    'known: a, b'
    """
    options = [str(option) for option in known]
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(options)}"


def find_close(name: str, known: Iterable[str]) -> list[str]:
    """The known names that are hardly to be told from one that was mistyped, the likeliest first.

    >>> find_close("sytem", ["ema", "system", "time"]), find_close("val", ["lr", "val-pairs"])
    (['system'], [])
    """
    return difflib.get_close_matches(name, list(known), cutoff=0.8)


def suggest_some(name: str, known: Iterable[str]) -> str:
    """As `suggest`, where many names are alike: the nearest ones, or else the last ones.

    >>> suggest_some("layer9", ["stem", "layer1", "layer2"])
    'near it: layer2, layer1'
    >>> suggest_some("zzz", map(str, range(100)))
    'known, the last first: 99, 98, 97, 96, 95, 94, 93, 92 and 92 more'
    """
    options = [str(option) for option in known]
    if close := difflib.get_close_matches(name, options, n=MOST_NEAR, cutoff=0.5):
        return f"near it: {', '.join(close)}"
    more = f" and {len(options) - MOST_KNOWN} more" if len(options) > MOST_KNOWN else ""
    return f"known, the last first: {', '.join(options[: -MOST_KNOWN - 1 : -1])}{more}"
