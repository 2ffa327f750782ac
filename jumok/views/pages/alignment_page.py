"""One HTML file in which every word shows which words it looks at: no server, no network, nothing to install."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from jumok.attention import AttentionMap, Patches, Scale
from jumok.attention.word_alignment import Gold
from jumok.errors import JumokError
from jumok.language import later
from jumok.views.pages.drawn_page import DrawnPage
from jumok.views.pages.html_file import (
    BUDGET_BYTES,
    PAGE_BYTES,
    as_json,
    clean_text,
    make_encodable,
    make_text_block,
    show_blanks,
)
from jumok.views.pages.packed_maps import PackedMap, pack
from jumok.views.raster import is_signed

MOST_WORDS = 200  # a side: beyond it a browser is slow to draw lines and cells
STYLES = ("page.css", "alignment_page.css")
SCRIPTS = ("page_parts.js", "page_blocks.js", "page_maps.js", "alignment_views.js", "alignment_page.js")


@dataclass(frozen=True)
class AlignmentEntry:
    """One sentence pair on a page.

    Args:
        source, target: their words; any text.
        maps: by the name the page offers them under, such as "mean" or "layer 3 head 2, next step"; each
            (target words, source words), weights of 0 or more. The first is shown first.
        note: a line of text, such as the reference translation.
        gold: links to mark.
        score: a number that the list of sentences shows and sorts by.
    """

    source: Sequence[str]
    target: Sequence[str]
    maps: Mapping[str, AttentionMap]
    note: str = ""
    gold: Gold | None = None
    score: float | None = None


@dataclass(frozen=True)
class _Item:
    """An entry as it goes into the file: all of its maps while the budget lasts, else the first alone."""

    about: dict[str, Any]
    names: tuple[str, ...]
    first: PackedMap
    every: PackedMap | None

    def base(self) -> int:
        return len(as_json(self.about).encode()) + self.first.size


class AlignmentPage(DrawnPage[_Item]):
    """A page that sentence pairs are added to one by one; each is packed at once, so that its tensors can go.

    Weights are kept in 8 bits, scaled row by row: off by at most 1/510 of the largest weight of their row.

    Args:
        title: the heading; any text.
        score: what the entries' scores are called, such as "AER".
        budget: bytes that the file should not exceed. Words and the first map of each entry are kept in any case; in
            the order of entries, the other maps follow while bytes last. An entry that goes without says so.
    Raises:
        JumokError: a budget of less than 1 byte.
    """

    template, styles, scripts = "alignment_page.html", STYLES, SCRIPTS
    unit, drawn = "sentence pair", later("alignments")

    def __init__(self, title: str, *, score: str = "score", budget: int = BUDGET_BYTES) -> None:
        super().__init__(title, budget=budget)
        self.score = make_encodable(score)
        self._room = budget - PAGE_BYTES

    def add(self, entry: AlignmentEntry) -> None:
        """Pack one sentence pair.

        Raises:
            JumokError: no words or too many, no map, or one that does not fit them; the message names the entry.
        """
        try:
            item = _pack_entry(entry)
        except JumokError as error:
            raise JumokError(f"sentence {len(self) + 1}: {error}") from error
        self._items.append(item)
        self._room -= item.base()
        if self._room < 0:
            self._trim()

    def _trim(self) -> None:
        """Let go of packed maps that will find no room in the file, so that memory stays bounded as well."""
        self._items = [kept for kept, _ in self._fit_items()]

    def _fit_items(self) -> list[tuple[_Item, PackedMap]]:
        """Each item with what the file holds of it; maps that do not fit are gone from the item."""
        room, fitting = self._room, []
        for item in self._items:
            cost = item.every.size - item.first.size if item.every else 0
            fits = item.every is not None and cost <= room
            room -= cost if fits else 0
            fitting.append((item, item.every) if fits and item.every else (replace(item, every=None), item.first))
        return fitting

    def _describe(self) -> tuple[dict[str, Any], list[str]]:
        namings: dict[tuple[str, ...], int] = {}  # entries share their maps' names, and the file holds each list once
        entries, blocks = [], []
        for number, (item, packed) in enumerate(self._fit_items()):
            names = item.names[: packed.about["heads"]]
            maps = {"names": namings.setdefault(names, len(namings)), "packed": packed.about, "error": packed.error}
            entries.append({**item.about, **maps, "lost": len(item.names) - len(names)})
            blocks.append(make_text_block(f"maps-{number}", packed.data))
        return {"score": self.score, "names": list(namings), "entries": entries}, blocks


def _pack_entry(entry: AlignmentEntry) -> _Item:
    source, target = _clean_words(entry.source, "source"), _clean_words(entry.target, "target")
    if not entry.maps:
        raise JumokError("no map to show: give at least one, by its name")
    for name, each in entry.maps.items():
        _check_alignment(name, each, len(target), len(source))
    if entry.score is not None and not math.isfinite(entry.score):
        raise JumokError(f"a score is a finite number or None, got {entry.score}")
    maps = list(entry.maps.values())
    about = {
        "source": source,
        "target": target,
        "note": clean_text(entry.note),
        "score": entry.score,
        "gold": _list_links(entry.gold, len(source), len(target)),
    }
    names = tuple(map(clean_text, entry.maps))
    return _Item(about, names, _pack_maps(maps[:1]), _pack_maps(maps) if len(maps) > 1 else None)


def _clean_words(words: Sequence[str], side: str) -> list[str]:
    if isinstance(words, str):
        raise JumokError(f"the {side} is a sequence of words, got the one string {words!r}: split it first")
    if not 1 <= len(words) <= MOST_WORDS:
        raise JumokError(f"the page shows 1 to {MOST_WORDS} {side} words a sentence, got {len(words)}")
    return [show_blanks(clean_text(word)) for word in words]


def _check_alignment(name: str, attention: AttentionMap, target: int, source: int) -> None:
    if attention.lead:
        raise JumokError(
            f"the map {name!r} also has {attention.lead}, and a page takes (target, source): choose with .at"
        )
    if attention.weights.shape != (target, source):
        shape = tuple(attention.weights.shape)
        raise JumokError(
            f"the map {name!r} is {shape}, for {target} target and {source} source words: merge pieces to words"
        )
    if is_signed(attention):
        raise JumokError(f"the map {name!r} holds scores of both signs: a page shows weights, so take their softmax")


def _list_links(gold: Gold | None, source: int, target: int) -> dict[str, list[list[int]]] | None:
    if gold is None:
        return None
    sure, possible = frozenset(gold.sure), frozenset(gold.possible)
    for i, j in sure | possible:
        if not (0 <= i < source and 0 <= j < target):
            raise JumokError(f"the gold links source word {i} to target word {j}, outside {source} and {target} words")
    return {"sure": sorted(map(list, sure)), "possible": sorted(map(list, possible - sure))}


def _pack_maps(maps: Sequence[AttentionMap]) -> PackedMap:
    """All maps of one sentence pair as one block: to the packing, each is a head and each word a patch."""
    weights = torch.stack([each.weights.detach().cpu() for each in maps])
    queries, keys = Patches(weights.shape[1], 1), Patches(1, weights.shape[2])
    return pack(AttentionMap(weights, queries, keys, ("head",), Scale.RELEVANCE))
