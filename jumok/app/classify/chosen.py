"""Which images a command judges: a part of the data, and how many of them the run was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jumok.errors import JumokError, suggest
from jumok.language import later, later_count, list_later
from jumok.wording import describe_names, typed, write_count

if TYPE_CHECKING:
    from jumok.data.images.image_set import ImageSet
    from jumok.tasks.classify.settings import ImageData
    from jumok.tasks.running.trained_on import TrainedOn

__all__ = ["Chosen", "Judge", "choose_images", "find_own"]

UNFIT = ("train", "val", "before")
"""Where an image may have been seen whose figures then flatter."""
OWN_SHARE = 0.5
"""A folder that holds this share of a run's test images is the run's own, wherever it lies."""


@dataclass(frozen=True)
class Judge:
    """Whose images are chosen.

    Args:
        record: what the run was trained on; None where that is not known.
        data: the settings of the run's data; None of a model from elsewhere.
        seed: of the run's split.
        answers: what labels mean where there is no run to tell.
    """

    record: TrainedOn | None = None
    data: ImageData | None = None
    seed: int = 0
    answers: str = "auto"

    @property
    def labels_are(self) -> str:
        """What labels mean, as the run read them."""
        return self.answers if self.data is None else self.data.labels_are

    @classmethod
    def of_run(cls, folder: Path) -> Judge:
        """A run of a classifier.

        Raises:
            JumokError: no such run, or a damaged one.
        """
        from jumok.tasks.classify.settings import RunConfig
        from jumok.tasks.running.run import CONFIG
        from jumok.tasks.running.trained_on import read_trained_on

        config = RunConfig.load(folder / CONFIG)
        data = config.data.model_copy(update={"labels_are": config.found.kind})  # runs of earlier versions lack it
        return cls(read_trained_on(folder), data, config.training.seed)


class Chosen(NamedTuple):
    """The images to judge.

    Args:
        images: those.
        part: what they are: "train", "val", "test" or "all".
        seen: how many of them are in the run's train, val and test, and how many had been seen before it ("before");
            None where that is not known.
        remarks: what the user should know.
    """

    images: ImageSet
    part: str
    seen: dict[str, int] | None
    remarks: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        seen = self.seen
        counts = seen and {"trained_on": seen["train"] + seen["before"], "validated_on": seen["val"]}
        return {"split": self.part, "seen": counts}


def find_own(judge: Judge, run: Path, command: str) -> list[Path]:
    """What a run was trained on, if that is known.

    Args:
        judge: the run.
        run: its folder.
        command: that wants the data, for the error.
    Raises:
        JumokError: it is not there any more.
    """
    place = None if judge.data is None else judge.data.images
    if place and not Path(place).exists():
        raise JumokError(
            f"the data of {run} is not at {place} any more: give where it lies now, as in jumok {command} {typed(run)} "
            "PLACE"
        )
    return [Path(place)] if place else []


def choose_images(
    judge: Judge,
    data: Path,
    split: str,
    *,
    unseen: bool = False,
    images: Path | None = None,
    labelled: bool = True,
) -> Chosen:
    """Choose the images to judge.

    "auto" takes the data's own test part where it has one; of the folder that the run was trained on, wherever that
    lies now, the images that were set aside then; else all. Of its own folder a run's parts are known by what the files
    hold, so that added, moved and renamed images change nothing.

    Args:
        judge: the run, or a model from elsewhere.
        data: folder or table.
        split: "auto", "train", "val", "test" or "all".
        unseen: leave out what the run was trained and validated on.
        images: folder of the images that a table names.
        labelled: whether classes are needed; else a folder of images without any will do.
    Raises:
        JumokError: no such part, or no images.
    """
    from jumok.app.classify.saved_anew import describe_saved_anew
    from jumok.data.images.contents import hash_files
    from jumok.data.images.folders import refuse_images_folder
    from jumok.data.images.image_set import join_sets
    from jumok.data.splits import SPLITS

    if split not in ("auto", "all", *SPLITS):
        raise JumokError(f"no split {split!r}: {suggest(split, ('auto', 'all', *SPLITS))}")
    if unseen and judge.record is None:
        raise JumokError("--unseen needs a run that records what it was trained on: leave it out")
    plain = None if labelled else _scan_unlabelled(data)
    if plain is not None:
        refuse_images_folder(data, images)
    parts = _scan(judge, data, images, labelled=labelled) if plain is None else {"train": plain}
    split = split if plain is None else "all"
    whole = join_sets(list(parts.values())) if len(parts) > 1 else next(iter(parts.values()))
    if judge.record is None:
        found = _choose_by_layout(judge, data, split, parts, whole, images)
        return found._replace(images=replace(found.images, notes=whole.notes))
    hashes = dict(zip(whole.paths, hash_files(whole.paths), strict=True))
    chosen, part, notes = _choose_by_record(judge, data, split, parts, whole, hashes, images)
    chosen = replace(chosen, notes=whole.notes)  # what was left out is told whichever part is judged
    found = _describe(judge.record, chosen, part, hashes, notes, unseen=unseen)
    copies = describe_saved_anew(judge.record, judge.data, judge.seed, found.images, hashes)
    return found._replace(remarks=(*found.remarks, *copies))


def _scan(judge: Judge, data: Path, images: Path | None, *, labelled: bool) -> dict[str, ImageSet]:
    """The parts that the data comes in; "train" alone where it comes in none."""
    from jumok.data.images.folders import scan_ready

    classes_are = "auto" if judge.data is None else judge.data.classes_are
    return scan_ready(
        data,
        classes_are=classes_are,
        images=_folder_of(judge, data, images),
        need_train=False,
        labels_are=judge.labels_are if labelled else "auto",
    )


def _scan_unlabelled(data: Path) -> ImageSet | None:
    """The images of a folder that holds no class folders and no table, or of one class alone; None of another."""
    from jumok.data.images.folders import list_images
    from jumok.data.images.image_set import ImageSet
    from jumok.data.images.label_tables import find_tables
    from jumok.data.images.listing import list_subfolders
    from jumok.data.packed.sets import find_packed

    if not data.is_dir() or find_packed(data) or find_tables(data):
        return None
    found = list_images(data)
    if len({path.relative_to(data).parts[0] for path in found.paths if path.parent != data}) > 1:
        return None
    names = [name for name in list_subfolders(data) if (data / name) in {path.parent for path in found.paths}]
    notes = (*found.notes, f"all images are of one class: {names[0]}" if names else "the images have no classes")
    labels = (0,) * len(found.paths)
    return ImageSet(data, tuple(names or [""]), found.paths, labels, notes=notes, masks=found.masks)


def _folder_of(judge: Judge, data: Path, images: Path | None) -> Path | None:
    """The folder of a table's images: the one given, or of the run's own table the run's."""
    own = judge.data is not None and judge.data.images is not None and data.resolve() == Path(judge.data.images)
    if images is None and own and judge.data is not None and judge.data.image_folder is not None:
        return Path(judge.data.image_folder)
    return images


def _choose_by_layout(
    judge: Judge,
    data: Path,
    split: str,
    parts: dict[str, ImageSet],
    whole: ImageSet,
    images: Path | None,
) -> Chosen:
    """The part of a folder of which only its layout is known."""
    if split == "auto":
        split = "test" if "test" in parts or _has_parts(data) else "all"
    chosen = whole if split == "all" else parts[split] if _are_given(parts, split) else None
    chosen = chosen if chosen is not None else _deal(judge, data, images, parts)[split]
    notes = ["this run does not record what it was trained on, so that images it has seen are not told apart"]
    return Chosen(_check(chosen, data, split), split, None, tuple(notes if judge.data is not None else ()))


def _choose_by_record(
    judge: Judge,
    data: Path,
    split: str,
    parts: dict[str, ImageSet],
    whole: ImageSet,
    hashes: dict[Path, str],
    images: Path | None,
) -> tuple[ImageSet, str, list[str]]:
    """The part of a folder some of whose images the run may know; the part's name, and what to say."""
    assert judge.record is not None
    known = {part: frozenset(some) for part, some in judge.record.hashes.items()}
    here = known["test"] & set(hashes.values())
    own = len(here) >= OWN_SHARE * max(len(known["test"]), 1)
    if split == "auto":
        split = "test" if own or "test" in parts or _has_parts(data) else "all"
    if split == "all":
        return whole, split, []
    if _are_given(parts, split) and (split == "test" or not own):
        return _check(parts[split], data, split), split, []
    if not own:
        return _check(_deal(judge, data, images, parts)[split], data, split), split, []
    mine = [number for number, path in enumerate(whole.paths) if hashes[path] in known[split]]
    return _check(whole.choose(mine), data, split), split, _describe_own(judge.record, hashes, split)


def _are_given(parts: Mapping[str, ImageSet], split: str) -> bool:
    """Whether the data itself says which images a part has; "train" alone stands for all of it."""
    return split in parts and set(parts) != {"train"}


def _describe_own(record: TrainedOn, hashes: dict[Path, str], split: str) -> list[str]:
    """What has changed in a run's own folder."""
    here, lines = set(hashes.values()), []
    wanted = set(record.hashes[split])
    if missing := len(wanted - here):
        lines.append(f"{missing:,} of the {len(wanted):,} {split} images of the run are not there any more")
    every = set().union(*record.hashes.values())
    if new := sum(each not in every for each in hashes.values()):
        lines.append(
            f"{write_count(new, 'image has', 'images have')} come since the run was trained: not judged; "
            "--split all --unseen judges all that it was not trained on"
        )
    return lines


def _describe(
    record: TrainedOn,
    chosen: ImageSet,
    part: str,
    hashes: dict[Path, str],
    notes: Sequence[str],
    *,
    unseen: bool,
) -> Chosen:
    """Say how many of the images the run has seen, or leave these out."""
    seen = record.seen([hashes[path] for path in chosen.paths])
    count, total = sum(seen[part] for part in UNFIT), len(chosen)
    if not count:
        return Chosen(chosen, part, seen, tuple(notes))
    told = {"seen": list_later(_count_seen(seen)), "total": f"{total:,}"}
    if not unseen:
        line = later("{seen}, of {total}: figures on them flatter; --unseen leaves them out", **told)
        return Chosen(chosen, part, seen, (*notes, line))
    left = chosen.choose(number for number, path in enumerate(chosen.paths) if hashes[path] not in record.learnt)
    if not len(left):
        raise JumokError(f"all {total:,} images were trained or validated on: leave out --unseen, or give others")
    return Chosen(
        left, part, {**seen, **dict.fromkeys(UNFIT, 0)}, (*notes, later("left out: {seen}, of {total}", **told))
    )


def _count_seen(seen: dict[str, int]) -> list[str]:
    trained, chosen, before = (seen[part] for part in UNFIT)
    lines = [
        later_count(trained, "{count} image was trained on", "{count} images were trained on"),
        later("{chosen} chose the epoch (validation)", chosen=f"{chosen:,}"),
        later_count(
            before, "{count} image was trained on before (--init)", "{count} images were trained on before (--init)"
        ),
    ]
    return [line for line, count in zip(lines, (trained, chosen, before), strict=True) if count]


def _deal(judge: Judge, data: Path, images: Path | None, parts: Mapping[str, ImageSet]) -> dict[str, ImageSet]:
    """The three parts of data as training would deal them."""
    from jumok.data.images.folders import scan

    own = judge.data
    if "train" not in parts:
        raise JumokError(f"{data} holds no train part, only {' and '.join(parts)}: choose --split {next(iter(parts))}")
    if own is not None and own.images is not None and data.resolve() == Path(own.images):
        from jumok.tasks.classify.prepare import find_parts

        return find_parts(own, judge.seed)
    classes_are = "auto" if own is None else own.classes_are
    return scan(data, images=images, classes_are=classes_are, labels_are=judge.labels_are)


def _has_parts(data: Path) -> bool:
    from jumok.data.images.layouts import has_parts

    return has_parts(data)


def _check(images: ImageSet, data: Path, split: str) -> ImageSet:
    if not len(images):
        raise JumokError(f"{data} has no {split} images: choose another --split")
    return images


def match_classes(images: ImageSet, classes: tuple[str, ...], data: Path) -> ImageSet:
    """The same images, their labels as a model numbers its classes or labels; some of these may have no image.

    Raises:
        JumokError: a class or label that the model does not have, or has twice.
    """
    nouns = ("label",) if images.kind == "multi" else ("class", "classes")
    strange = [name for name in images.classes if name not in classes]
    if strange:
        raise JumokError(
            f"{data} has {describe_names(images.classes, *nouns)}, but the model has {describe_names(classes, *nouns)} "
            f"and no {strange[0]!r}: give images of the same {images.noun}"
        )
    twice = [name for name in images.classes if classes.count(name) > 1]
    if twice:
        raise JumokError(
            f"the model has {classes.count(twice[0])} {images.noun} called {twice[0]!r}: which is meant is unknown"
        )
    return images.with_classes(classes)
