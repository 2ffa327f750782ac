"""One HTML file in which every patch shows where it looks: no server, no network, nothing to install."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from jumok.attention import AttentionMap, Patches, Pixels
from jumok.errors import JumokError
from jumok.language import translate
from jumok.views.pages.drawn_page import DrawnPage
from jumok.views.pages.html_file import (
    BUDGET_BYTES,
    PAGE_BYTES,
    as_json,
    make_data_url,
    make_encodable,
    make_text_block,
    page_palette,
)
from jumok.views.pages.packed_maps import (
    PackedMap,
    check_patches,
    coarsen,
    count_pixels,
    find_marks,
    lay_on_patches,
    pack,
    pool,
)
from jumok.views.raster import ImageLike, as_pillow, find_cells, fit

LARGEST_IMAGE, SMALL_IMAGE, THUMBNAIL = 640, 224, 112  # longer sides, in pixels
TINY_IMAGE = 48
"""Images up to this side, in pixels, have thumbnails without loss."""
BLOCK_BYTES = 200
"""Of the elements that hold what is kept of an entry in any case."""
COARSE_GRID = 48
"""Rows or columns of a summary that gave way to the budget."""
SCRIPTS = (
    "page_parts.js",
    "page_blocks.js",
    "page_maps.js",
    "page_paint.js",
    "page_readout.js",
    "page_lines.js",
    "page_chosen.js",
    "page_film.js",
    "page.js",
)
GAIN_STEPS = ("summary", "small", "image", "means", "heads")
"""What each entry gains, in this order, while the budget lasts."""


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
        note: a line of text under the name.
        truth: the true class; empty where it is not known.
        boxes: (top, left, bottom, right) of objects that were found, in pixels of the image, ends excluded.
        labels: what is written in each box; empty: they are numbered.
        group: one more thing to filter images by, such as a verdict on the map; empty for none.
    """

    name: str
    image: ImageLike
    prediction: Sequence[tuple[str, float]]
    summary: AttentionMap
    layers: Sequence[AttentionMap] | None = None
    note: str = ""
    truth: str = ""
    boxes: Sequence[tuple[int, int, int, int]] = ()
    labels: Sequence[str] = ()
    group: str = ""


@dataclass
class _Item:
    """An entry as it goes into the file.

    What is None was not given, or gave way to the budget; an empty image is the same as the next smaller one.
    """

    row: dict[str, Any]
    about: dict[str, Any]
    thumbnail: str
    coarse: PackedMap
    summary: PackedMap | None
    small: str | None
    image: str | None
    means: list[PackedMap] | None = None
    heads: list[PackedMap] | None = None

    def __post_init__(self) -> None:
        texts = len(as_json(self.row).encode()) + len(as_json(self.about).encode()) + len(self.thumbnail)
        self.base = texts + self.coarse.size + BLOCK_BYTES

    def cost(self, step: str) -> int:
        """Bytes that one more step takes; what is larger or finer replaces what was there before."""
        if step == "summary":
            return self.summary.size - self.coarse.size if self.summary else 0
        if step == "small":
            return len(self.small or "")
        if step == "image":
            return max(len(self.image or "") - len(self.small or ""), 0)
        if step == "means":
            return sum(packed.size for packed in self.means or ())
        return sum(packed.size for packed in self.heads or ()) - sum(packed.size for packed in self.means or ())

    def layers(self) -> list[PackedMap]:
        return self.heads or self.means or []

    def lost(self) -> str:
        """What gave way to the budget, in words; empty if nothing did."""
        held = []
        if self.about["layers"] and not self.layers():
            held.append(translate("only the summary"))
        elif self.about["heads"] and not self.heads:
            held.append(translate("the mean over heads of each layer, not the single heads,"))
        if self.summary is None:
            held.append(translate("a coarser map"))
        if self.image is None or self.small is None:
            held.append(translate("a smaller copy"))
        return translate("{parts} of this image", parts=translate(" and ").join(held)) if held else ""


class Page(DrawnPage[_Item]):
    """A page that entries are added to one by one; each is packed at once, so that its tensors can go.

    Args:
        title: the heading; any text.
        budget: bytes that the file should not exceed. A thumbnail and a coarse summary of each entry are kept in any
            case. While bytes last, in the order of entries, all of them get the whole summary, then larger images,
            then layers as means over heads, then layers with single heads. An entry that goes without says so on the
            page.
    Raises:
        JumokError: a budget of less than 1 byte.
    """

    template, styles, scripts = "page.html", ("page.css", "page_film.css"), SCRIPTS
    unit = "entry"

    def __init__(self, title: str, *, budget: int = BUDGET_BYTES) -> None:
        super().__init__(title, budget=budget)
        self._room = budget - PAGE_BYTES
        self._holders: dict[str, list[_Item]] = {step: [] for step in GAIN_STEPS}

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
        self._room -= item.base
        for step in ("summary", "small", "image"):
            self._gain(item, step)
        if entry.layers and self._room > 0:
            self._add_layers(item, entry.layers)

    def _add_layers(self, item: _Item, layers: Sequence[AttentionMap]) -> None:
        """Pack the means, and the single heads only where they may fit: they take nearly all of the time."""
        layers = [coarsen(layer) for layer in layers]
        item.means = [pack(layer.mean(*layer.lead)) for layer in layers]
        self._gain(item, "means")
        one = pack(layers[len(layers) // 2]).size if item.about["heads"] and item.means else 0
        if one and one * len(layers) < 2 * self._room:
            item.heads = [pack(layer) for layer in layers]
            self._gain(item, "heads")

    def _gain(self, item: _Item, step: str) -> None:
        """Keep one more thing of an entry; where bytes are short, the last entries' least important things go."""
        cost = item.cost(step)
        if cost == 0:
            return
        self._room -= cost
        self._holders[step].append(item)
        for least in reversed(GAIN_STEPS):
            while self._room < 0 and self._holders[least]:
                last = self._holders[least].pop()
                self._room += last.cost(least)
                setattr(last, least, None)

    def _describe(self) -> tuple[dict[str, Any], list[str]]:
        """The first entry stands in front, then all thumbnails: the page is there before it is read to its end."""
        blocks = [_make_blocks(number, item) for number, item in enumerate(self._items)]
        thumbnails = [make_text_block(f"thumb-{number}", item.thumbnail) for number, item in enumerate(self._items)]
        about = {
            "palette": page_palette(),
            "entries": [item.row for item in self._items],
            "deepest": max(item.about["layers"] for item in self._items),
        }
        return about, [*blocks[0], *thumbnails, *(block for each in blocks[1:] for block in each)]


def _pack_entry(entry: Entry) -> _Item:
    image = as_pillow(entry.image)
    layers = list(entry.layers or ())
    queried = [_find_queries(layer) for layer in layers]
    shown = fit(image, smallest=1, largest=LARGEST_IMAGE)
    full, small = make_data_url(shown, LARGEST_IMAGE), make_data_url(shown, SMALL_IMAGE, lossless=TINY_IMAGE)
    thumbnail = make_data_url(shown, THUMBNAIL, lossless=TINY_IMAGE, form="WEBP")
    prediction = [_choose_bar(*pair) for pair in entry.prediction]
    row = {
        "name": make_encodable(entry.name),
        "truth": make_encodable(entry.truth),
        "group": make_encodable(entry.group),
        **({"boxed": True} if entry.labels else {}),
        "best": prediction[0] if prediction else None,
    }
    about = {
        "note": make_encodable(entry.note),
        "prediction": prediction,
        "width": image.width,
        "height": image.height,
        "marks": find_marks(entry.summary.keys) | _find_boxes(entry, image.height, image.width),
        "layers": len(layers),
        "queried": [[grid.rows, grid.columns] for grid in queried],
        "heads": any(layer.lead and layer.weights.shape[0] > 1 for layer in layers),
    }
    coarse, summary = _pack_summary(entry.summary, image)
    return _Item(
        row, about, thumbnail, coarse, summary, "" if small == thumbnail else small, "" if full == small else full
    )


def _pack_summary(summary: AttentionMap, image: Image.Image) -> tuple[PackedMap, PackedMap]:
    """The summary in a grid that is always kept, and as fine as a page can show; the same where it is small."""
    laid = lay_on_patches(summary)
    fine = pack(laid)
    coarse = pack(pool(laid, COARSE_GRID)) if max(find_cells(laid.keys) or (0,)) > COARSE_GRID else fine
    if not isinstance(summary.keys, Patches):
        for packed in (coarse, fine):
            packed.about["keys"] |= {"noun": "place", "pixels": isinstance(summary.keys, Pixels)}
            count_pixels(packed, summary.keys, image)
    return coarse, fine


def _find_boxes(entry: Entry, height: int, width: int) -> dict[str, Any]:
    """Boxes of objects in shares of the image; nothing where there are none."""
    sides = (height, width, height, width)
    shares = [[round(end / side, 4) for end, side in zip(box, sides, strict=True)] for box in entry.boxes]
    labels = {"labels": [make_encodable(label) for label in entry.labels]} if entry.labels else {}
    return {"objects": shares, **labels} if shares else {}


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


def _make_blocks(number: int, item: _Item) -> list[str]:
    """What the page reads of an entry when it is opened."""
    summary = item.summary or item.coarse
    maps = [summary, *item.layers()]
    about = {
        **item.about,
        "lost": item.lost(),
        "error": max(packed.error for packed in maps),
        "summary": summary.about,
        "layers": [packed.about for packed in item.layers()],
    }
    return [
        make_text_block(f"entry-{number}", as_json(about)),
        make_text_block(f"map-{number}-summary", summary.data),
        make_text_block(f"image-{number}", item.image or item.small or ""),
        *(make_text_block(f"map-{number}-{layer}", packed.data) for layer, packed in enumerate(item.layers())),
    ]
