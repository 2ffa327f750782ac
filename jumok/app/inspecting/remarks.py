"""What deserves attention in a data set of images: broken and repeated files, leaks between parts, imbalance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from jumok.language import join_later, later, later_count
from jumok.wording import readable

if TYPE_CHECKING:
    from jumok.data.images.survey import Facts, Survey

__all__ = ["name_image", "remarks"]

MOST_NAMED, MOST_PAIRS = 5, 3
"""Files, and pairs of files that look alike, that are named."""
RARE = 0.02
"""Labels that a smaller share of the images has are worth a remark."""
UNEVEN = 3.0
"""The largest class has so many times the images of the smallest: that is worth a remark."""


def name_image(facts: Facts) -> str:
    """An image by its folder and its own name."""
    return readable(f"{facts.path.parent.name}/{facts.path.name}")


def remarks(found: Survey) -> Iterator[str]:
    """What deserves attention, a line each."""
    from jumok.data.images.frames import name_first_of_several

    yield from found.notes
    if found.broken:
        yield later_count(len(found.broken), "{count} image cannot be read", "{count} images cannot be read")
        for path, why in ((facts.path, facts.problem) for facts in found.broken[:MOST_NAMED]):
            yield f"cannot read {readable(str(path))}: {why}"
    yield from name_first_of_several([facts.path for facts in found.sound if facts.first_of_several])
    yield from _describe_copies(found)
    if found.compared:
        pairs = join_later("; ", [_name_pair(*group[:2]) for group in found.look_alikes[:MOST_PAIRS]])
        yield from _describe_look_alikes(found, pairs)
    else:
        count = f"{len(found.sound):,}"
        yield later(
            "near duplicates were not looked for among so many images ({count}): add --near-duplicates to look for "
            "them, which takes long",
            count=count,
        )
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
    return later("{first} and {second}", first=name_image(first), second=name_image(second))


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
