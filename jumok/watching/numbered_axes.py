"""Names of tokens that are no places of an image: by the number at which they stand in their input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from jumok.attention import Axis, Tokens
from jumok.watching.provenance.identities import Identities
from jumok.watching.provenance.origins import ADDED, CONSTANT_SOURCE, PLAIN, TEXT, UNORDERED, Origin, Source

SEVERAL_ROWS = "tokens of several rows of the batch, named ROW:TOKEN"
MIXED_ROWS = "tokens that were made of several rows of the batch"
APART = "tokens that were made of several, with those of others between them"
AGAIN = "some tokens stand here several times, as where heads are packed into the queries: named TOKEN/TIME"
CONSTANT = (
    "a token named constant comes from nothing that could be followed: padding, a fixed number, or one that was "
    "computed from whole numbers such as indices and masks"
)


def find_given(known: Identities, identities: Tensor) -> Origin:
    """Where identities lie in what the model was given: words that it put into a text itself are constants."""
    origin = known.origin(identities)
    added = torch.tensor([source.why == ADDED for source in known.sources] or [False])
    put_in = (origin.source >= 0) & added[origin.source.clamp(min=0)]
    return replace(origin, source=origin.source.masked_fill(put_in, CONSTANT_SOURCE))


def number_by_place(origin: Origin, names: Sequence[str], places: Tensor, source: Source, why: str = "") -> Tokens:
    """The axis of tokens of one input, each by its number there; of several that were put together, "first-last".

    Args:
        origin: of the tokens.
        names: of those that come from no input; "" for others.
        places: which of them come from the input.
        source: the input.
        why: what is to be said of them already.
    """
    where = places.nonzero()[:, 0].tolist()
    first, last = _find_numbers(origin, source)
    items = origin.item[places]
    if bool((items < 0).any()):
        return Tokens(tuple(str(number) for number in range(len(names))), MIXED_ROWS)
    rows = bool((items != items[0]).any())
    labels = list(names)
    for number in where:
        low, high = int(first[number]), int(last[number])
        label = str(low) if low == high else f"{low}-{high}"
        labels[number] = f"{int(origin.item[number])}:{label}" if rows else label
    apart = bool(((last - first + 1)[places] > origin.size[places]).any())
    numbered = tell_apart(labels, where)
    reasons = ((SEVERAL_ROWS, rows), (APART, apart), (AGAIN, numbered != labels), (why, bool(why)))
    return Tokens(tuple(numbered), "; ".join(reason for reason, there in reasons if there))


def _find_numbers(origin: Origin, source: Source) -> tuple[Tensor, Tensor]:
    """The number of the first and of the last of those that each token was made of, row by row of the input."""
    _, _, rows, columns = source.dims
    low, high = origin.low, origin.high - 1
    return tuple((each[:, 0] * rows + each[:, 1]) * columns + each[:, 2] for each in (low, high))  # type: ignore[return-value]


def tell_apart(labels: Sequence[str], where: Sequence[int]) -> list[str]:
    """Names of which some are the same, each of these with how many there are so far.

    Args:
        labels: of all tokens.
        where: which of them are to be told apart.

    >>> tell_apart(["0", "1", "0"], [0, 1, 2])
    ['0/1', '1', '0/2']
    """
    counts, so_far = Counter(labels[number] for number in where), Counter[str]()
    found = list(labels)
    for number in where:
        if counts[labels[number]] > 1:
            so_far[labels[number]] += 1
            found[number] = f"{labels[number]}/{so_far[labels[number]]}"
    return found


def lay_words(known: Identities, rows: Tensor, axis: Axis) -> Axis | None:
    """What the user said that tokens stand for, for these tokens; None where it cannot be meant for them.

    It is said of all tokens of a call in their order, or of those of the whole input.

    Args:
        known: the table.
        rows: (slices, tokens) of identities, in which the same tokens stand.
        axis: what was said.
    """
    origin = find_given(known, rows[0])
    places = origin.source >= 0
    sources = origin.source[places].unique()
    source = known.sources[int(sources[0])] if len(sources) == 1 else None
    fitting = axis if len(axis) == rows.shape[1] else None
    if source is None or source.kind not in (TEXT, PLAIN):
        return fitting
    if source.why == UNORDERED:
        return None
    first, last = (each[places] for each in _find_numbers(origin, source))
    put_in = known.origin(rows[0]).source != origin.source
    added = bool(put_in.any()) and bool((places | put_in).all())
    whole = len(axis) == source.dims[1] * source.dims[2] * source.dims[3] and (added or bool(places.all()))
    if not bool((first == last).all()) or (bool((first.diff() == 1).all()) and not (added and whole)):
        return fitting
    if axis.in_image or not whole:
        return None
    labels = axis.labels()
    words = tell_apart([labels[n] for n in first.tolist()], range(len(first)))
    named = iter(words)
    return Tokens(tuple(next(named) if there else "constant" for there in places.tolist()), CONSTANT if added else "")
