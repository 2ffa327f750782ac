"""One HTML file that shows how a model reads texts: what it answers, which words spoke for it, who reads whom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jumok.attention import AttentionMap
from jumok.errors import JumokError
from jumok.views.pages.drawn_page import DrawnPage
from jumok.views.pages.html_file import BUDGET_BYTES, clean_text, make_text_block, show_blanks
from jumok.views.pages.packed_maps import PackedMap
from jumok.views.pages.packed_rows import pack_layers
from jumok.wording import printable

__all__ = ["MOST_TOKENS", "ReadingEntry", "ReadingPage", "ReadingSheet", "Shown", "Told"]

MOST_TOKENS = 2048
"""A side: beyond it places do not fit what they are kept in, nor a page what it shows."""
STYLES = ("page.css", "alignment_page.css", "reading_page.css")
SCRIPTS = ("page_parts.js", "page_blocks.js", "page_maps.js", "reading_rows.js", "reading_views.js", "reading_page.js")
NEWLINES = str.maketrans({"\n": "↵", "\t": "⇥"})


@dataclass(frozen=True)
class Shown:
    """A token on a page.

    Args:
        text: any; blanks alone become visible.
        gap: whether a blank stands before it.
        special: whether it is no part of the text, as [CLS] is.
    """

    text: str
    gap: bool = True
    special: bool = False


@dataclass(frozen=True)
class ReadingSheet:
    """Attention of all layers between the same tokens, or another matrix of tokens by tokens.

    Args:
        name: what the page calls it.
        queries, keys: who reads and what is read.
        layers: the name of each of the maps.
        maps: ([head,] queries, keys) each, of any sign where it is one row of tokens to another; taken one at a time.
        rollout: (queries, keys); None where it does not hold.
        note: a line under the name, such as why there is no rollout.
        scores: whether these are no shares of attention but contributions, of any sign.
    """

    name: str
    queries: Sequence[Shown]
    keys: Sequence[Shown]
    layers: Sequence[str]
    maps: Iterable[AttentionMap]
    rollout: AttentionMap | None = None
    note: str = ""
    scores: bool = False


@dataclass(frozen=True)
class Told:
    """One thing that the model said.

    Args:
        name: a class or a word.
        share: its probability.
        best: what was most likely, with probabilities.
        relevance: of the tokens of the text and of the output behind it; None where it was not asked for.
    """

    name: str
    share: float
    best: Sequence[tuple[str, float]] = ()
    relevance: Sequence[float] | None = None


@dataclass(frozen=True)
class ReadingEntry:
    """One text on a page.

    Args:
        name: as the list of texts calls it.
        text: its tokens.
        sheets: who reads whom.
        asked: what the model was asked, such as "Predicted class"; empty where it answers nothing.
        told: what it said, one for each token of the output where it wrote one.
        output: what it wrote.
        method: of the relevance.
        note: a line of text.
        pair: whether it is two texts that have entries of their own, and is not counted.
    """

    name: str
    text: Sequence[Shown]
    sheets: Sequence[ReadingSheet]
    asked: str = ""
    told: Sequence[Told] = ()
    output: Sequence[Shown] = ()
    method: str = ""
    note: str = ""
    pair: bool = False


@dataclass(frozen=True)
class _Item:
    """A text as it goes into the file: what is known before anything is unpacked, and its blocks by their names."""

    about: dict[str, Any]
    blocks: list[str]
    packed: list[PackedMap]


class ReadingPage(DrawnPage[_Item]):
    """A page that texts are added to one by one; each is packed at once, so that its tensors can go.

    Of short texts every weight of every head is kept, in 8 bits scaled row by row; of longer ones the largest weights
    of each row, of very long ones only the mean over heads. The page says which, and how much of a row they hold.

    Args:
        title: the heading; any text.
        budget: bytes that the file should not exceed.
    Raises:
        JumokError: a budget of less than 1 byte.
    """

    template, styles, scripts = "reading_page.html", STYLES, SCRIPTS
    unit, drawn = "text", "attention"

    def __init__(self, title: str, *, budget: int = BUDGET_BYTES) -> None:
        super().__init__(title, budget=budget)

    @property
    def size(self) -> int:
        """Bytes of what was packed so far."""
        return sum(packed.size for item in self._items for packed in item.packed)

    @property
    def is_full(self) -> bool:
        """Whether another text would exceed the budget."""
        return self.size > self.budget

    def add(self, entry: ReadingEntry) -> None:
        """Pack one text.

        Raises:
            JumokError: no tokens or too many, or maps that do not fit them; the message names the text.
        """
        try:
            self._items.append(_pack_entry(entry))
        except JumokError as error:
            raise JumokError(f"text {len(self) + 1}: {error}") from error

    def _describe(self) -> tuple[dict[str, Any], list[str]]:
        blocks = []
        for number, item in enumerate(self._items):
            names = (f"maps-{number}-{each}" for each in item.blocks)
            blocks += [make_text_block(name, packed.data) for name, packed in zip(names, item.packed, strict=True)]
        return {"entries": [item.about for item in self._items], "bytes": self.size}, blocks


def _pack_entry(entry: ReadingEntry) -> _Item:
    lists: dict[tuple[Shown, ...], int] = {}
    text, output = _number(lists, entry.text), _number(lists, entry.output) if entry.output else None
    item = _Item({}, [], [])
    sheets = [_pack_sheet(sheet, number, lists, item) for number, sheet in enumerate(entry.sheets)]
    if not sheets:
        raise JumokError("no sheet to show: give at least one")
    count = len(entry.text) + len(entry.output)
    item.about.update(
        name=clean_text(entry.name),
        text=text,
        output=output,
        asked=entry.asked,
        method=entry.method,
        note=clean_text(entry.note),
        pair=entry.pair,
        told=[_describe_told(told, count) for told in entry.told],
        sheets=sheets,
        lists=[[_describe_token(token) for token in tokens] for tokens in lists],
    )
    return item


def _number(lists: dict[tuple[Shown, ...], int], tokens: Sequence[Shown]) -> int:
    """Which list of tokens these are; sheets share theirs, and the file holds each once."""
    if not 1 <= len(tokens) <= MOST_TOKENS:
        raise JumokError(f"the page shows 1 to {MOST_TOKENS:,} tokens a side, got {len(tokens):,}")
    return lists.setdefault(tuple(tokens), len(lists))


def _make_visible(text: str) -> str:
    """What a token stands for, as it can be seen: blanks, ends of lines and control signs too."""
    return show_blanks(printable(clean_text(text).translate(NEWLINES)))


def _describe_token(token: Shown) -> list[Any]:
    return [_make_visible(token.text), int(token.gap), int(token.special)]


def _describe_told(told: Told, count: int) -> dict[str, Any]:
    row = told.relevance
    if row is not None and len(row) != count:
        raise JumokError(f"the relevance of {told.name!r} has {len(row)} values for {count} tokens")
    best = [[_make_visible(name), round(share, 6)] for name, share in told.best]
    rounded = None if row is None else [float(f"{value:.3g}") for value in row]
    return {"name": _make_visible(told.name), "share": told.share, "best": best, "relevance": rounded}


def _pack_sheet(sheet: ReadingSheet, number: int, lists: dict[tuple[Shown, ...], int], item: _Item) -> dict[str, Any]:
    queries, keys = _number(lists, sheet.queries), _number(lists, sheet.keys)
    abouts, held, error, form = [], [], 0.0, ""
    for layer, (chosen, packed) in enumerate(pack_layers(_checked(sheet), len(sheet.layers))):
        item.blocks.append(f"{number}-{layer}")
        item.packed.append(packed.packed)
        abouts.append(packed.packed.about)
        held.append(packed.held)
        error, form = max(error, packed.packed.error), chosen.name
    if len(abouts) != len(sheet.layers):
        raise JumokError(f"{sheet.name} has {len(abouts)} maps for {len(sheet.layers)} layers")
    return {
        "name": sheet.name,
        "queries": queries,
        "keys": keys,
        "layers": list(map(clean_text, sheet.layers)),
        "abouts": abouts,
        "form": form,
        "error": error,
        "scores": sheet.scores,
        "note": clean_text(sheet.note),
        "rollout": _pack_rollout(sheet, number, item),
        **_tell_held(torch.cat(held)),
    }


def _checked(sheet: ReadingSheet) -> Iterable[AttentionMap]:
    wanted = len(sheet.queries), len(sheet.keys)
    for each in sheet.maps:
        if tuple(each.weights.shape[-2:]) != wanted or each.lead not in ((), ("head",)):
            raise JumokError(
                f"a map of {sheet.name} is {tuple(each.weights.shape)} for {wanted[0]} x {wanted[1]} tokens"
            )
        yield each


def _pack_rollout(sheet: ReadingSheet, number: int, item: _Item) -> dict[str, Any] | None:
    if sheet.rollout is None:
        return None
    ((_, packed),) = pack_layers([sheet.rollout], 1)
    item.blocks.append(f"{number}-rollout")
    item.packed.append(packed.packed)
    return packed.packed.about


def _tell_held(held: Tensor) -> dict[str, float]:
    """How much of a row the kept weights hold: on the average, and at least."""
    return {"held": round(float(held.mean()), 4), "least": round(float(held.min()), 4)}
