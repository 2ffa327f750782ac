"""`jumok inspect`: what a data set of images holds, before anything is trained on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jumok.app.session import Session, in_session, write_report
from jumok.app.telling import tell
from jumok.errors import JumokError, suggest
from jumok.language import join_later, later, later_count, translate, translate_count
from jumok.wording import readable, typed, write_count

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from jumok.data.images.survey import Facts, Survey
    from jumok.views.pages.inspect_page import Sheet, Thumb

MOST_NAMED, MOST_PAIRS = 5, 3
"""Files, and pairs of files that look alike, that are named in the terminal."""
MOST_LISTED = 1000
"""Files and groups of files that inspect.json lists."""
PER_CLASS, PER_GROUP, MOST_GROUPS, MOST_CLASSES = 12, 6, 12, 40
"""Images of a class and of a group on the page, and how many of these it shows."""
THUMB_SIDE = 320
"""Pixels that are kept of an image's longer side; the page scales further."""
KINDS_OF_PIXELS = (later("black and white"), later("grey"), later("colour"))
MORE_OF_PIXELS = (later(", 16 bits"), later(" with transparency"))
RARE = 0.02
"""Labels that a smaller share of the images has are worth a remark."""
UNEVEN = 3.0
"""The largest class has so many times the images of the smallest: that is worth a remark."""


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
            "sizes": _describe_sizes(found),
            "formats": _count(facts.format for facts in found.sound),
            "kinds": _count(facts.kind for facts in found.sound),
            "bits": found.bits,
            "masks": sum(len(images.masks) for images in found.parts.values()),
            "groups": dict(zip(("groups", "in_several_parts"), found.split_groups, strict=True)),
            "left_out": dict(sum_left_out(found)),
            "broken": [{"image": _name(facts), "problem": facts.problem} for facts in found.broken[:MOST_LISTED]],
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
        sizes = _describe_sizes(found)
        if sizes is not None:
            if sizes["different"] == 1:
                yield f"size: {_times(sizes['median'])} pixels, all of them"
            else:
                yield (
                    f"sizes: {_times(sizes['smallest'])} to {_times(sizes['largest'])} pixels, median "
                    f"{_times(sizes['median'])}; {sizes['different']:,} different"
                )
        yield f"formats: {_list_counts(_count(facts.format for facts in found.sound))}"
        kinds = _count(facts.kind for facts in found.sound)
        told = [later("{kind} {count}", kind=_say_kind(kind), count=f"{count:,}") for kind, count in kinds.items()]
        yield later("pixels: {kinds}", kinds=join_later(", ", told))
        yield from (f"remark: {line}" for line in remarks(found))
        yield f"written: {', '.join(map(str, self.written.values()))}"


@in_session("inspect", "threads")
def command(
    data: Annotated[
        Path,
        typer.Argument(help="Images, as for training: a folder, or a table of image,label.", show_default=False),
    ],
    images: Annotated[
        Path | None,
        typer.Option("--images", help="Folder of the images that a table names.", show_default=False),
    ] = None,
    classes_are: Annotated[
        str,
        typer.Option("--classes-are", help="auto | top | inside: which folders the classes are, as for training."),
    ] = "auto",
    labels_are: Annotated[
        str,
        typer.Option("--labels-are", help="auto | class | multi | number: what a table says of each image."),
    ] = "auto",
    split_by: Annotated[
        str | None,
        typer.Option("--split-by", help="Column of groups that should stay in one part, or folder."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for inspect.json and the page.")] = Path("inspect"),
    html: Annotated[bool, typer.Option("--html/--no-html", help="Write a page with images of each class.")] = True,
    *,
    session: Session,
) -> Inspection:
    """Look at a data set of images: classes, sizes, copies, and files that are broken or left out."""
    from jumok.app.progress import show_progress
    from jumok.data.images.folders import scan_ready
    from jumok.data.images.label_cells import KINDS
    from jumok.data.images.survey import survey

    if labels_are not in (known := ("auto", *KINDS)):
        raise JumokError(f"--labels-are {labels_are}: {suggest(labels_are, known)}")
    _refuse_other_data(data)
    parts = scan_ready(
        data, classes_are=classes_are, split_by=split_by, images=images, need_train=False, labels_are=labels_are
    )
    with show_progress(session.console, "looking at images") as progress:
        found = survey(parts, progress)
    if not found.sound:
        raise JumokError(f"none of the {len(found.facts)} images can be read: {found.broken[0].problem}")
    written = {"figures": out / "inspect.json", **({"page": out / "index.html"} if html else {})}
    inspection = Inspection(data, found, written)
    write_report(written["figures"], inspection)
    if html:
        _write_page(written["page"], inspection)
    return inspection


# -- remarks ------------------------------------------------------------------------------------


def remarks(found: Survey) -> Iterator[str]:
    """What deserves attention, a line each."""
    yield from found.notes
    if found.broken:
        yield later_count(len(found.broken), "{count} image cannot be read", "{count} images cannot be read")
        for path, why in ((facts.path, facts.problem) for facts in found.broken[:MOST_NAMED]):
            yield f"cannot read {readable(str(path))}: {why}"
    yield from _describe_copies(found)
    if found.compared:
        pairs = join_later("; ", [_name_pair(*group[:2]) for group in found.look_alikes[:MOST_PAIRS]])
        yield from _describe_look_alikes(found, pairs)
    else:
        count = f"{len(found.sound):,}"
        yield later("near duplicates were not looked for among so many images ({count})", count=count)
    yield from _describe_imbalance(found)
    if found.bits is not None:
        white = f"{(1 << found.bits) - 1:,}"
        yield later("16-bit images use {bits} bits: {white} is taken for white", bits=str(found.bits), white=white)
    groups, across = found.split_groups
    if groups:
        some = later_count(across, "; {count} of them lies in several parts", "; {count} of them lie in several parts")
        yield later_count(
            groups,
            "{count} group is to stay together{where}",
            "{count} groups are to stay together{where}",
            where=some if across else "",
        )


def _name_pair(first: Facts, second: Facts) -> str:
    return later("{first} and {second}", first=_name(first), second=_name(second))


def _describe_copies(found: Survey) -> Iterator[str]:
    """How many files are the same, whether that flatters figures, and whether they are labelled otherwise."""
    spread = _describe_spread(found.copies, later("flatters all figures"))
    if found.copies:
        yield later_count(
            sum(len(group) - 1 for group in found.copies),
            "{count} duplicate: the same file as another image{spread}",
            "{count} duplicates: the same file as another image{spread}",
            spread=spread,
        )
    if found.contradictions:
        yield later_count(
            found.contradictions,
            "copies of {count} file have different {what}: only one can be right",
            "copies of {count} files have different {what}: only one can be right",
            what=found.main.noun,
        )


def _describe_look_alikes(found: Survey, pairs: str) -> Iterator[str]:
    """How many images are nearly the same, and whether that flatters figures."""
    if found.look_alikes:
        yield later_count(
            sum(len(group) - 1 for group in found.look_alikes),
            "{count} near duplicate: nearly the same to look at as another image ({pairs}){spread}",
            "{count} near duplicates: nearly the same to look at as another image ({pairs}){spread}",
            pairs=pairs,
            spread=_describe_spread(found.look_alikes, later("may flatter the figures")),
        )


def _describe_spread(groups: Sequence[Sequence[Facts]], harm: str) -> str:
    """What harm it does that images which are alike lie in several parts; empty where none do."""
    from jumok.data.images.survey import count_across

    if not (across := count_across(groups)):
        return ""
    return later_count(
        across,
        "; {count} group of them in several parts, which {harm}",
        "; {count} groups of them in several parts, which {harm}",
        harm=harm,
    )


def _describe_labels(found: Survey) -> str:
    """What images are labelled with."""
    if found.numbers:
        return f"numbers from {found.numbers['least']:.4g} to {found.numbers['largest']:.4g}"
    if found.main.kind == "multi":
        return f"any of {write_count(len(found.classes), 'label')}"
    return write_count(len(found.classes), "class", "classes")


def _describe_imbalance(found: Survey) -> Iterator[str]:
    """Whether one class outweighs the others, or a label is rare."""
    main = next(iter(found.counts.values()))
    if found.main.kind != "class":
        for name in found.classes:
            if main[name] < RARE * len(found.main):
                yield later_count(
                    main[name],
                    "only {count} of {all} images has the label {name}",
                    "only {count} of {all} images have the label {name}",
                    all=f"{len(found.main):,}",
                    name=repr(name),
                )
        return
    filled = {name: count for name, count in main.items() if count}
    most, least = max(filled, key=filled.__getitem__), min(filled, key=filled.__getitem__)
    if filled[most] >= UNEVEN * filled[least]:
        yield later(
            "{most} has {times} times the images of {least}; always saying {said} would be right for {share}",
            most=most,
            times=f"{filled[most] / filled[least]:.1f}",
            least=least,
            said=repr(most),
            share=f"{filled[most] / sum(filled.values()):.1%}",
        )


# -- figures ------------------------------------------------------------------------------------


def sum_left_out(found: Survey) -> dict[str, int]:
    """Other files by ending."""
    return {ending or "none": count for images in found.parts.values() for ending, count in images.left_out.items()}


def _describe_sizes(found: Survey) -> dict[str, Any] | None:
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
        "groups": [[_name(facts) for facts in group] for group in groups[:MOST_LISTED]],
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


def _times(size: Sequence[int]) -> str:
    return f"{size[0]} x {size[1]}"


def _name(facts: Facts) -> str:
    return readable(f"{facts.path.parent.name}/{facts.path.name}")


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


# -- page ---------------------------------------------------------------------------------------


def _write_page(path: Path, inspection: Inspection) -> None:
    """A contact sheet of each class, and groups of images that are alike."""
    from jumok.views.pages.inspect_page import write_inspect_page

    found = inspection.survey
    sizes = _describe_sizes(found)
    figures = [
        (f"{len(found.facts):,}", translate("images")),
        *([(str(len(found.classes)), translate(found.main.noun))] if found.classes else []),
        *((f"{len(images):,}", part) for part, images in found.parts.items() if len(found.parts) > 1),
        *([(_times(sizes["median"]), translate("pixels (median)"))] if sizes else []),
        (f"{len(found.broken):,}", translate("broken")),
    ]
    title = translate("{name}: what it holds", name=inspection.data.resolve().name)
    write_inspect_page(path, title, figures, [*map(tell, remarks(found))], list(_make_sheets(found)))


def _make_sheets(found: Survey) -> Iterator[Sheet]:
    from jumok.data.images.label_heaps import NO_LABEL
    from jumok.views.pages.inspect_page import Sheet

    for name, belongs in list(found.heaps.items())[:MOST_CLASSES]:
        own = [facts for facts in found.sound if belongs(facts.label)]
        step = max(len(own) / PER_CLASS, 1)
        some = [own[int(number * step)] for number in range(min(PER_CLASS, len(own)))]
        total = sum(counts[name] for counts in found.counts.values())
        thumbs = [_thumb(facts, found, "" if facts.size is None else _times(facts.size)) for facts in some]
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


def _refuse_other_data(data: Path) -> None:
    """Refuse tables that name no images and their labels, by what they hold."""
    from jumok.data.images.recognition import looks_like_labels
    from jumok.data.pairs.recognition import TEXT_SUFFIXES
    from jumok.data.table_heads import read_column_names
    from jumok.tasks import TASKS
    from jumok.tasks.answer.task import ANSWER
    from jumok.tasks.translate.task import TRANSLATE

    if not data.is_file() or looks_like_labels([data]):
        return
    task = next((task for task in TASKS.values() if task.claims([data])), None)
    if task is None and "question" in read_column_names(data):
        task = ANSWER
    elif task is None and data.suffix.lower() in TEXT_SUFFIXES:
        task = TRANSLATE
    if task is not None:
        raise JumokError(
            f"{data} looks like {task.word}, and jumok inspect looks at images, in a folder or a table of image,label: "
            f"jumok train {task.word} {typed(data)} --dry-run says what is in it"
        )
