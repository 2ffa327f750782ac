"""The report on a data set of images: sizes, formats, classes by part, and what deserves attention."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jumok.app.inspecting.remarks import name_image, remarks
from jumok.language import join_later, later
from jumok.wording import write_count

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from jumok.data.images.survey import Facts, Survey

__all__ = ["Inspection", "describe_sizes", "write_size"]

MOST_LISTED = 1000
"""Files and groups of files that inspect.json lists."""
KINDS_OF_PIXELS = (later("black and white"), later("grey"), later("colour"))
MORE_OF_PIXELS = (later(", 16 bits"), later(" with transparency"))


@dataclass(frozen=True)
class Inspection:
    """What a data set holds.

    Args:
        data: as given.
        survey: of all its images.
        written: files, by what they hold.
    """

    data: Path
    survey: Survey
    written: Mapping[str, Path]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found = self.survey
        return {
            "data": str(self.data),
            "images": len(found.facts),
            "labels_are": found.main.kind,
            "classes": list(found.classes),
            **({"numbers": found.numbers} if found.numbers else {}),
            "counts": found.counts,
            "sizes": describe_sizes(found),
            "formats": _count(facts.format for facts in found.sound),
            "kinds": _count(facts.kind for facts in found.sound),
            "bits": found.bits,
            "masks": sum(len(images.masks) for images in found.parts.values()),
            "groups": dict(zip(("groups", "in_several_parts"), found.split_groups, strict=True)),
            "left_out": dict(_sum_left_out(found)),
            "broken": [{"image": name_image(facts), "problem": facts.problem} for facts in found.broken[:MOST_LISTED]],
            "broken_images": len(found.broken),
            "duplicates": _describe_groups(found.copies),
            "near_duplicates": _describe_groups(found.look_alikes) if found.compared else None,
            "contradictions": found.contradictions,
            "remarks": list(remarks(found)),
        }

    def lines(self) -> Iterator[RenderableType]:
        """For the terminal."""
        found = self.survey
        yield f"{write_count(len(found.facts), 'image')} ({_describe_labels(found)}) in {self.data}"
        yield _table(found)
        sizes = describe_sizes(found)
        if sizes is not None:
            if sizes["different"] == 1:
                yield f"size: {write_size(sizes['median'])} pixels, all of them"
            else:
                yield (
                    f"sizes: {write_size(sizes['smallest'])} to {write_size(sizes['largest'])} pixels, median "
                    f"{write_size(sizes['median'])}; {sizes['different']:,} different"
                )
        yield f"formats: {_list_counts(_count(facts.format for facts in found.sound))}"
        kinds = _count(facts.kind for facts in found.sound)
        told = [later("{kind} {count}", kind=_say_kind(kind), count=f"{count:,}") for kind, count in kinds.items()]
        yield later("pixels: {kinds}", kinds=join_later(", ", told))
        yield from (f"remark: {line}" for line in remarks(found))
        yield f"written: {', '.join(map(str, self.written.values()))}"


def _describe_labels(found: Survey) -> str:
    """What images are labelled with."""
    if found.numbers:
        return f"numbers from {found.numbers['least']:.4g} to {found.numbers['largest']:.4g}"
    if found.main.kind == "multi":
        return f"any of {write_count(len(found.classes), 'label')}"
    return write_count(len(found.classes), "class", "classes")


def _sum_left_out(found: Survey) -> dict[str, int]:
    """Other files by ending."""
    return {ending or "none": count for images in found.parts.values() for ending, count in images.left_out.items()}


def describe_sizes(found: Survey) -> dict[str, Any] | None:
    """Smallest, median, largest (height, width) by area, and how many sizes there are."""
    every = sorted(found.sizes.elements(), key=lambda size: size[0] * size[1])
    if not every:
        return None
    picks = {"smallest": every[0], "median": every[len(every) // 2], "largest": every[-1]}
    return {**{name: list(size) for name, size in picks.items()}, "different": len(found.sizes)}


def _describe_groups(groups: Sequence[Sequence[Facts]]) -> dict[str, Any]:
    from jumok.data.images.survey import count_across

    return {
        "images": sum(len(group) - 1 for group in groups),
        "groups": [[name_image(facts) for facts in group] for group in groups[:MOST_LISTED]],
        "groups_across_parts": count_across(groups),
    }


def _count(values: Iterator[str]) -> dict[str, int]:
    from collections import Counter

    return dict(Counter(values).most_common())


def _list_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _say_kind(kind: str) -> str:
    """A kind of pixels, as the survey calls it."""
    base = next(base for base in KINDS_OF_PIXELS if kind.startswith(base))
    return join_later("", [base, *(more for more in MORE_OF_PIXELS if more in kind)])


def write_size(size: Sequence[int]) -> str:
    """Height and width."""
    return f"{size[0]} x {size[1]}"


def _table(found: Survey) -> Table:
    """Images of each class, by part."""
    from rich.table import Table
    from rich.text import Text

    shown = Table()
    shown.add_column(found.main.noun_of_one)
    for part in found.counts:
        shown.add_column(Text(part) if len(found.counts) > 1 else "images", justify="right")
    for name in found.heaps:
        shown.add_row(Text(name), *(f"{counts[name]:,}" for counts in found.counts.values()))
    return shown
