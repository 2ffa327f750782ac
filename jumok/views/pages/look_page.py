"""One HTML file in which every patch shows where it looks: no server, no network, nothing to install."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jumok.attention import AttentionMap, Patches
from jumok.errors import JumokError
from jumok.views.pages.drawn_page import DrawnPage
from jumok.views.pages.html_file import (
    PAGE_BYTES,
    as_json,
    make_data_url,
    make_encodable,
    make_text_block,
    page_palette,
)
from jumok.views.pages.packed_maps import PackedMap, check_patches, coarsen, find_marks, lay_on_patches, pack
from jumok.views.raster import ImageLike, as_pillow

LARGEST_IMAGE, SMALL_IMAGE, THUMBNAIL = 640, 224, 112  # longer sides, in pixels
SCRIPTS = ("page_parts.js", "page_maps.js", "page_paint.js", "page_lines.js", "page.js")
GAIN_STEPS = ("small", "image", "means", "heads")  # what each entry gains, in this order, while the budget lasts


@dataclass(frozen=True)
class Entry:
    """One image on a page.

    Args:
        name: as the page shows it; any text.
        image: what the maps lie over.
        prediction: (class, probability in [0, 1]) pairs, as they shall be shown, best first; empty where no model
            was asked.
        summary: the method's heat, one row over keys that lie in the image, of any kind.
        layers: one map per layer, (queries, keys) or (head, queries, keys), from `Patches` to `Patches`, of grids that
            may differ between layers and between queries and keys; None: only the summary.
        note: a line of text under the name, such as the true class.
    """

    name: str
    image: ImageLike
    prediction: Sequence[tuple[str, float]]
    summary: AttentionMap
    layers: Sequence[AttentionMap] | None = None
    note: str = ""


@dataclass
class _Item:
    """An entry as it goes into the file.

    What is None was not given, or gave way to the budget; an empty image is the same as the next smaller one.
    """

    about: dict[str, Any]
    summary: PackedMap
    small: str | None
    image: str | None
    means: list[PackedMap] | None = None
    heads: list[PackedMap] | None = None

    def __post_init__(self) -> None:
        self.base = len(as_json(self.about).encode()) + self.summary.size

    def cost(self, step: str) -> int:
        """Bytes that one more step takes; a larger image and single heads replace what was there before."""
        if step == "small":
            return len(self.small or "")
        if step == "image":
            return max(len(self.image or "") - len(self.small or ""), 0)
        if step == "means":
            return sum(packed.size for packed in self.means or ())
        return sum(packed.size for packed in self.heads or ()) - self.cost("means")

    def layers(self) -> list[PackedMap]:
        return self.heads or self.means or []

    def lost(self) -> str:
        """What gave way to the budget, in words; empty if nothing did."""
        held = []
        if self.about["layers"] and not self.layers():
            held.append("only the summary")
        elif self.about["heads"] and not self.heads:
            held.append("the mean over heads of each layer, not the single heads,")
        if self.image is None:
            held.append("a smaller copy")
        return f"{' and '.join(held)} of this image" if held else ""


class Page(DrawnPage[_Item]):
    """A page that entries are added to one by one; each is packed at once, so that its tensors can go.

    Args:
        title: the heading; any text.
        budget: bytes that the file should not exceed. A thumbnail and the summary of each entry are kept in any case.
            While bytes last, in the order of entries, all of them get larger images, then layers as means over
            heads, then layers with single heads. An entry that goes without says so on the page.
    Raises:
        JumokError: a budget of less than 1 byte.
    """

    template, styles, scripts = "page.html", ("page.css",), SCRIPTS
    unit = "entry"

    def add(self, entry: Entry) -> None:
        """Pack one entry.

        Raises:
            JumokError: a map or an image that a page cannot show; the message names the entry.
        """
        try:
            item = _pack_entry(entry)
        except JumokError as error:
            raise JumokError(f"{make_encodable(entry.name)}: {error}") from error
        self._items.append(item)
        if entry.layers:
            self._add_layers(item, entry.layers)
        self._trim()

    def _add_layers(self, item: _Item, layers: Sequence[AttentionMap]) -> None:
        """Pack the means, and the single heads only where they may fit: they take nearly all of the time."""
        layers = [coarsen(layer) for layer in layers]
        item.means = [pack(layer.mean(*layer.lead)) for layer in layers]
        room = self._trim()
        if item.about["heads"] and item.means and pack(layers[len(layers) // 2]).size * len(layers) < 2 * room:
            item.heads = [pack(layer) for layer in layers]

    def _trim(self) -> int:
        """Drop what the budget has no room for. Returns the bytes left."""
        room = self.budget - PAGE_BYTES - sum(item.base for item in self._items)
        for step in GAIN_STEPS:
            for item in self._items:
                if getattr(item, step) is None:
                    continue
                cost = item.cost(step)
                if cost <= room:
                    room -= cost
                else:
                    setattr(item, step, None)
        return room

    def _describe(self) -> tuple[dict[str, Any], list[str]]:
        entries, blocks = [], []
        for number, item in enumerate(self._items):
            entries.append(_describe_item(item))
            blocks += [make_text_block(f"image-{number}", item.image or item.small or "")]
            blocks += [make_text_block(f"map-{number}-summary", item.summary.data)]
            blocks += [
                make_text_block(f"map-{number}-{layer}", packed.data) for layer, packed in enumerate(item.layers())
            ]
        return {"palette": page_palette(), "entries": entries}, blocks


def _pack_entry(entry: Entry) -> _Item:
    image = as_pillow(entry.image)
    layers = list(entry.layers or ())
    queried = [_find_queries(layer) for layer in layers]
    thumbnail, small, full = (make_data_url(image, longest) for longest in (THUMBNAIL, SMALL_IMAGE, LARGEST_IMAGE))
    about = {
        "name": make_encodable(entry.name),
        "note": make_encodable(entry.note),
        "prediction": [_choose_bar(*pair) for pair in entry.prediction],
        "width": image.width,
        "height": image.height,
        "thumbnail": thumbnail,
        "marks": find_marks(entry.summary.keys),
        "layers": len(layers),
        "queried": [[grid.rows, grid.columns] for grid in queried],
        "heads": any(layer.lead and layer.weights.shape[0] > 1 for layer in layers),
    }
    summary = pack(lay_on_patches(entry.summary))
    if not isinstance(entry.summary.keys, Patches):
        summary.about["keys"]["noun"] = "place"
    return _Item(about, summary, "" if small == thumbnail else small, "" if full == small else full)


def _find_queries(layer: AttentionMap) -> Patches:
    check_patches(layer)
    if not isinstance(layer.queries, Patches):
        raise JumokError(
            f"a page shows layers from patches to patches, got queries {type(layer.queries).__name__} "
            f"in {layer.source!r}: leave the layer out"
        )
    return layer.queries


def _choose_bar(name: str, probability: float) -> tuple[str, float]:
    if not 0 <= probability <= 1:
        raise JumokError(f"the probability of {name!r} is {probability}: wanted a number from 0 to 1")
    return make_encodable(str(name)), float(probability)


def _describe_item(item: _Item) -> dict[str, Any]:
    """What the page knows of an entry before it unpacks anything."""
    maps = [item.summary, *item.layers()]
    return {
        **item.about,
        "lost": item.lost(),
        "error": max(packed.error for packed in maps),
        "summary": item.summary.about,
        "layers": [packed.about for packed in item.layers()],
    }
