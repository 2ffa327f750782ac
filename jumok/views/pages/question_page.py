"""One HTML file in which every word of a question shows where it looked: no server, no network, nothing to install."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from jumok.attention import AttentionMap, Patches
from jumok.attention.frames import tell_seen
from jumok.errors import JumokError
from jumok.language import translate
from jumok.views.pages.drawn_page import DrawnPage
from jumok.views.pages.html_file import (
    PAGE_BYTES,
    as_json,
    clean_text,
    make_data_url,
    make_text_block,
    page_palette,
)
from jumok.views.pages.packed_maps import PackedMap, check_summary, count_pixels, lay_rows_on_patches, pack
from jumok.views.pictures.question_picture import Asked
from jumok.views.pictures.spectrogram import list_ticks
from jumok.views.raster import ImageLike, as_pillow

LARGEST_IMAGE, THUMBNAIL = 640, 112  # longer sides, in pixels
STYLES = ("page.css", "page_film.css", "question_page.css")
SCRIPTS = (
    "page_parts.js",
    "page_blocks.js",
    "page_maps.js",
    "page_paint.js",
    "page_readout.js",
    "page_film.js",
    "question_page.js",
)


@dataclass
class _Room:
    """Bytes that a page may still take."""

    left: int

    def take(self, parts: Iterable[PackedMap | str]) -> bool:
        """Take what the parts need, or nothing; whether there was room for them."""
        cost = sum(len(part) if isinstance(part, str) else part.size for part in parts)
        if cost and cost > self.left:
            return False
        self.left -= cost
        return True


@dataclass
class _Question:
    """A question as it goes into the file: what gave way to the budget is None."""

    about: dict[str, Any]
    first: PackedMap | None
    others: list[PackedMap] | None
    by_word: dict[int, PackedMap] | None

    def __post_init__(self) -> None:
        self.base = len(as_json(self.about).encode()) + (self.first.size if self.first else 0)

    def keep_others(self, room: _Room) -> None:
        """Keep the other looks if there is room for them; where their words looked goes with them."""
        if not room.take(self.others or ()):
            self.others = None
            self.by_word = {number: packed for number, packed in (self.by_word or {}).items() if number == 0}

    def keep_words(self, room: _Room) -> None:
        if not room.take((self.by_word or {}).values()):
            self.by_word = None

    def looks(self) -> list[PackedMap]:
        """All looks that are left, in order."""
        return [packed for packed in (self.first, *(self.others or ())) if packed]


@dataclass
class _Item:
    """An image as it goes into the file: the thumbnail stands in for what gave way."""

    about: dict[str, Any]
    thumbnail: str
    image: str | None
    questions: list[_Question]

    def __post_init__(self) -> None:
        self.base = (
            len(as_json(self.about).encode()) + len(self.thumbnail) + sum(question.base for question in self.questions)
        )


class QuestionPage(DrawnPage[_Item]):
    """A page that images with their questions are added to; each is packed at once, so that its tensors can go.

    Weights are kept in 8 bits, scaled row by row: off by at most 1/510 of the largest weight of their row.

    Args:
        title: the heading; any text.
        budget: bytes that the file should not exceed. Words, answers, a thumbnail and each question's first look are
            kept in any case. While bytes last, in the order in which they were added, larger images follow, then the
            other looks, then where single words looked. What goes without says so on the page.
    Raises:
        JumokError: a budget of less than 1 byte.
    """

    template, styles, scripts = "question_page.html", STYLES, SCRIPTS
    unit = "image with a question"

    def add(self, image: ImageLike, asked: Sequence[Asked], *, name: str = "") -> None:
        """Pack one image with the questions that were asked about it.

        Args:
            image: uint8 (3, height, width) or a Pillow image.
            asked: one question or more.
            name: of the image, as the page shows it; any text.
        Raises:
            JumokError: no question, or an image that a page cannot show; the message names the image.
        """
        title = clean_text(name) or translate("image {number}", number=len(self) + 1)
        if isinstance(asked, Asked) or not asked:
            raise JumokError(f"{title}: a page shows a sequence of one question or more, got {type(asked).__name__}")
        try:
            picture = as_pillow(image)
        except JumokError as error:
            raise JumokError(f"{title}: {error}") from error
        thumbnail, full = make_data_url(picture, THUMBNAIL), make_data_url(picture, LARGEST_IMAGE)
        about = {"name": title, "width": picture.width, "height": picture.height}
        self._items.append(
            _Item(
                about, thumbnail, "" if full == thumbnail else full, [_pack_question(each, picture) for each in asked]
            )
        )
        self._trim()

    def _trim(self) -> None:
        """Drop what the budget has no room for, so that memory stays bounded as well."""
        room = _Room(self.budget - PAGE_BYTES - sum(item.base for item in self._items))
        for item in self._items:
            item.image = item.image if room.take([item.image or ""]) else None
        questions = [question for item in self._items for question in item.questions]
        for question in questions:
            question.keep_others(room)
        for question in questions:
            question.keep_words(room)

    def _describe(self) -> tuple[dict[str, Any], list[str]]:
        images, blocks = [], []
        for number, item in enumerate(self._items):
            blocks.append(make_text_block(f"thumb-{number}", item.thumbnail))
            blocks.append(make_text_block(f"image-{number}", item.image or ""))
            for place, question in enumerate(item.questions):
                blocks += _make_blocks(f"{number}-{place}", question)
            questions = [_describe_question(question) for question in item.questions]
            images.append({**item.about, "smaller": item.image is None, "questions": questions})
        return {"palette": page_palette(), "images": images}, blocks


def _pack_question(asked: Asked, picture: Image.Image) -> _Question:
    looks = [_name_places(check_summary(each), picture) for each in asked.looks.values()]
    names = list(asked.looks)
    words = {names.index(name): _name_places(each, picture) for name, each in asked.by_word.items()}
    about = {
        "question": clean_text(asked.question),
        "words": [clean_text(word) for word in asked.words],
        "answers": [[clean_text(answer), float(share), asked.is_right(answer)] for answer, share in asked.answers],
        "truth": clean_text(asked.truth),
        "note": clean_text(asked.note),
        "weights": None if asked.weights is None else asked.weights.weights[0].tolist(),
        "labels": asked.weight_labels(),
        "mattered": "" if asked.weights is None else clean_text(asked.weights.source),
        "names": [clean_text(name) for name in names],
        "given": len(words),
        "generated": asked.generated,
        "seconds": asked.seconds,
        "ticks": [] if asked.seconds is None else list_ticks(asked.seconds),
        "seen": list(asked.seen) if asked.seen is not None and tell_seen(asked.seen) else None,
    }
    return _Question(about, looks[0] if looks else None, looks[1:], words)


def _name_places(look: AttentionMap, picture: Image.Image) -> PackedMap:
    """Pack rows over an image; to the packing, each word is a patch of one column."""
    own, look = look.keys, lay_rows_on_patches(look)
    rows = AttentionMap(look.weights, Patches(len(look.queries), 1), look.keys, (), look.scale, clean_text(look.source))
    packed = pack(rows)
    packed.about["keys"]["noun"] = "place"
    count_pixels(packed, own, picture)
    packed.about["keys"]["special"] = [clean_text(name) for name in packed.about["keys"]["special"]]
    return packed


def _make_blocks(place: str, question: _Question) -> list[str]:
    looks = [make_text_block(f"look-{place}-{number}", packed.data) for number, packed in enumerate(question.looks())]
    words = (question.by_word or {}).items()
    return looks + [make_text_block(f"words-{place}-{number}", packed.data) for number, packed in words]


def _describe_question(question: _Question) -> dict[str, Any]:
    """What the page knows of a question before it unpacks anything; words' looks of looks that gave way are gone."""
    looks, words = question.looks(), question.by_word or {}
    return {
        **question.about,
        "looks": [packed.about for packed in looks],
        "byWord": {number: packed.about for number, packed in words.items()},
        "lost": {
            "looks": len(question.about["names"]) - len(looks),
            "words": question.about["given"] - len(words),
        },
        "error": max((packed.error for packed in [*looks, *words.values()]), default=0.0),
    }
