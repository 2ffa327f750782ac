"""The page of `jumok inspect`: a contact sheet of each class, and groups of images that are alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from jumok.app.inspecting.remarks import remarks
from jumok.app.inspecting.report import describe_sizes, write_size
from jumok.app.telling import tell
from jumok.language import translate, translate_count
from jumok.wording import readable

if TYPE_CHECKING:
    from jumok.data.images.survey import Facts, Survey
    from jumok.views.pages.inspect_page import Sheet, Thumb

__all__ = ["write_page"]

PER_CLASS, PER_GROUP, MOST_GROUPS, MOST_CLASSES = 12, 6, 12, 40
"""Images of a class and of a group on the page, and how many of these it shows."""
THUMB_SIDE = 320
"""Pixels that are kept of an image's longer side; the page scales further."""


def write_page(path: Path, data: Path, found: Survey) -> None:
    """Write the page of a data set.

    Args:
        path: of the page.
        data: as given.
        found: of all its images.
    """
    from jumok.views.pages.inspect_page import write_inspect_page

    sizes = describe_sizes(found)
    figures = [
        (f"{len(found.facts):,}", translate("images")),
        *([(str(len(found.classes)), translate(found.main.noun))] if found.classes else []),
        *((f"{len(images):,}", part) for part, images in found.parts.items() if len(found.parts) > 1),
        *([(write_size(sizes["median"]), translate("pixels (median)"))] if sizes else []),
        (f"{len(found.broken):,}", translate("broken")),
    ]
    title = translate("{name}: what it holds", name=data.resolve().name)
    write_inspect_page(path, title, figures, [*map(tell, remarks(found))], list(_make_sheets(found)))


def _make_sheets(found: Survey) -> Iterator[Sheet]:
    from jumok.data.images.label_heaps import NO_LABEL
    from jumok.views.pages.inspect_page import Sheet

    for name, belongs in list(found.heaps.items())[:MOST_CLASSES]:
        own = [facts for facts in found.sound if belongs(facts.label)]
        step = max(len(own) / PER_CLASS, 1)
        some = [own[int(number * step)] for number in range(min(PER_CLASS, len(own)))]
        total = sum(counts[name] for counts in found.counts.values())
        thumbs = [_thumb(facts, found, "" if facts.size is None else write_size(facts.size)) for facts in some]
        yield Sheet(name, translate_count(total, "{count} image", "{count} images"), thumbs, total / len(found.facts))
    for groups, heading in (
        (found.copies, translate("Duplicates")),
        (found.look_alikes, translate("Near duplicates")),
    ):
        shown = [(number, facts) for number, group in enumerate(groups[:MOST_GROUPS], 1) for facts in group[:PER_GROUP]]
        thumbs = [
            _thumb(facts, found, f"{number}: {facts.part}, {found.main.say(facts.label) or NO_LABEL}")
            for number, facts in shown
        ]
        if thumbs:
            yield Sheet(
                heading, translate_count(len(groups), "{count} group, numbered", "{count} groups, numbered"), thumbs
            )


def _thumb(facts: Facts, found: Survey, note: str) -> Thumb:
    from jumok.data.images.reading import open_image
    from jumok.views.pages.inspect_page import Thumb

    image = open_image(facts.path, bits=found.bits)
    image.thumbnail((THUMB_SIDE, THUMB_SIDE))
    return Thumb(image, readable(facts.path.name), note)
