"""From images to files: look at each, write its picture and map, one page, and results.csv."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from jumok.app.looked import LookedAt, write_rows
from jumok.app.session import Session
from jumok.errors import JumokError
from jumok.files import fit_name
from jumok.wording import readable, write_count

if TYPE_CHECKING:
    from torch import Tensor

    from jumok.app.fiftyone_folder import FiftyOneFolder, Sample
    from jumok.attention import AttentionMap
    from jumok.attention.frames import Frame
    from jumok.mechanisms.saliency.separation import SalientObjects
    from jumok.views.pages.look_page import Page

__all__ = ["Finding", "ImageResults", "Looker", "NamedBox", "look_at_images", "make_page", "place", "to_sample"]

SMALL_PAGE, LARGE_PAGE, LARGEST_PAGE = 8_000_000, 30_000_000, 58_000_000
"""Bytes: 8 MB suffice for every head of a ViT-B at 224 x 224; a folder may take more in all, many images the most."""
IMAGE_BYTES = 29_000
"""Of an image on a large page, with a copy that can be looked at and its map."""
MOST_LINES = 10
"""Images up to this many get a line each on the terminal."""


class NamedBox(NamedTuple):
    """A box in an image.

    Args:
        edges: (top, left, bottom, right) in pixels of the image, the last two just outside.
        name: that is written into it.
    """

    edges: tuple[int, int, int, int]
    name: str


@dataclass(frozen=True)
class Finding:
    """What was found in one image.

    Args:
        heat: one row over the image.
        method: how it was found, as files are called.
        title: of the picture, after the image's name.
        text: a line for the terminal.
        figures: for results.csv and --json, by column.
        best: classes with their probabilities, the most probable first.
        layers: (head, queries, keys) of each layer, for the page.
        note: on the page.
        group: one more thing that the page filters images by.
        objects: cut from the background, where that was asked for.
        part: of the image that it is about, for the page.
        box: that it is about.
        boxes: all that were found in the image, for a picture of them, numbered.
        others: further maps of the same image, each written as this one is.
    """

    heat: AttentionMap
    method: str
    title: str
    text: str
    figures: Mapping[str, Any]
    best: Sequence[tuple[str, float]] = ()
    layers: Sequence[AttentionMap] = ()
    note: str = ""
    group: str = ""
    objects: SalientObjects | None = None
    part: str = ""
    box: NamedBox | None = None
    boxes: Sequence[NamedBox] = ()
    others: Sequence[Finding] = ()


def place(finding: Finding, frame: Frame | None) -> Finding:
    """Lay what was found in a part of an image over the whole, and say what was not seen of it.

    Args:
        finding: over what the model was given.
        frame: where that lies in the image, see `jumok.tasks.classify.preparation`; None: it is the image.
    """
    from jumok.attention.frames import tell_seen

    if frame is None:
        return finding
    return replace(
        finding,
        heat=finding.heat.within(frame),
        layers=[layer.within(frame) for layer in finding.layers],
        note="; ".join(filter(None, [finding.note, tell_seen(frame)])),
        others=[place(other, frame) for other in finding.others],
    )


class Looker(Protocol):
    """What looks at images: a model, or a saliency method."""

    @property
    def batch_size(self) -> int:
        """Images at a time."""

    @property
    def bits(self) -> int | None:
        """That 16-bit images use; None: what each image's values need."""

    @property
    def least(self) -> tuple[int, int]:
        """Height and width of the smallest image that it looks at."""

    def look(self, images: Sequence[Tensor]) -> list[Finding]:
        """What is found in each of (3, any, any) uint8."""

    def find_truth(self, path: Path) -> str:
        """The true class of an image, from where it lies; empty where that is not known."""

    def remarks(self) -> list[str]:
        """What the user should know when all images were looked at."""


@dataclass
class ImageResults(LookedAt):
    """What was written about some images.

    Args:
        title: of the page.
        columns: of results.csv between "image" and "picture".
        sheet: the page as it is made; None: there will be none.
        pictures: whether each map is drawn; else its values alone are written.
        export: a folder for another program that is written, too; None: there will be none.
    """

    title: str
    columns: Sequence[str]
    sheet: Page | None = None
    pictures: bool = True
    export: FiftyOneFolder | None = None

    noun: ClassVar[str] = "image"
    results: ClassVar[str] = "results.csv"

    def lines(self) -> Iterator[str]:
        """For the terminal; pictures and maps are named beside the rows."""
        yield from (f"remark: {remark}" for remark in self.remarks)
        yield f"written: {self.folder / self.results} and {self.tell_count()}"
        if self.page is not None:
            yield f"page: {self.page}"
        if self.export is not None:
            yield from self.export.lines()

    def describe(self) -> dict[str, Any]:
        """The folder for another program, where one was wanted."""
        return {} if self.export is None else {"export": str(self.export.folder)}

    def tell_count(self) -> str:
        """How many pictures or maps were written."""
        count = len(self.rows) - self.failed
        what = write_count(count, "picture with its map", "pictures with maps") if self.pictures else ""
        return what or write_count(count, "map")

    def add(self, name: Path, image: Tensor, finding: Finding, truth: str = "") -> None:
        """Write what belongs to one image, and put it on the page with its true class, if that is known."""
        from jumok.views.pages.look_page import Entry

        stored = self._place_file(name, f"{finding.method}.safetensors")
        finding.heat.save(stored)
        files = {**self._draw(name, image, finding), "map": readable(stored.name)}
        row = {"image": readable(str(name)), **finding.figures, **files}
        if finding.objects is not None:
            row["mask"] = self._write_objects(name, image, finding.method, finding.objects)
        if finding.boxes and self.pictures:
            row["all_boxes"] = self._draw_boxes(name, image, finding.boxes)
        self.rows.append(row)
        if self.sheet is not None:
            own = [finding.box] if finding.box else []
            self.sheet.add(
                Entry(
                    " ".join(filter(None, [readable(str(name)), readable(finding.part)])),
                    image,
                    list(finding.best),
                    finding.heat,
                    list(finding.layers) or None,
                    finding.note,
                    truth=readable(truth),
                    boxes=finding.objects.boxes if finding.objects else [box.edges for box in own],
                    labels=[readable(box.name) for box in own],
                    group=finding.group,
                )
            )

    def _draw(self, name: Path, image: Tensor, finding: Finding) -> dict[str, str]:
        """Draw a map, where pictures are wanted. Returns the picture's name by its column."""
        from jumok.views.pictures.colour_scale import Look
        from jumok.views.pictures.heatmap import draw

        if not self.pictures:
            return {}
        picture = self._place_file(name, f"{finding.method}.png")
        sides = (image.shape[1], image.shape[2]) * 2
        own = [[end / side for end, side in zip(finding.box.edges, sides, strict=True)]] if finding.box else ()
        draw(finding.heat, image, picture, title=f"{readable(name.name)}{finding.title}", look=Look(boxes=own))
        return {"picture": readable(picture.name)}

    def fail(self, path: Path, error: JumokError) -> None:
        """Note an image that cannot be read or used."""
        self.rows.append({"image": readable(str(path)), "error": readable(str(error))})

    def close(self) -> None:
        """Write the page and results.csv.

        Raises:
            JumokError: no image could be used.
        """
        if self.failed == len(self.rows):
            raise JumokError(f"none of the {self.failed} images could be used: {self.rows[0]['error']}")
        columns = (
            "image",
            *self.columns,
            *(["picture"] if self.pictures else []),
            "map",
            *(name for name in ("mask", "all_boxes") if any(name in row for row in self.rows)),
            "error",
        )
        write_rows(self.folder / self.results, columns, self.rows)
        if self.sheet is not None:
            self.page = self.folder / "index.html"
            self.sheet.write(self.page)

    def _place_file(self, name: Path, ending: str) -> Path:
        """Where a file about an image goes."""
        return self.folder / name.parent / fit_name(name.name, f".{ending}")

    def _write_objects(self, name: Path, image: Tensor, method: str, objects: SalientObjects) -> str:
        """Write the mask of the objects, and a picture of their boxes. Returns the mask's name."""
        from jumok.views.pictures.objects import draw_objects, save_mask

        mask = self._place_file(name, f"{method}.mask.png")
        save_mask(objects.mask, mask)
        if self.pictures:
            picture = self._place_file(name, f"{method}.objects.png")
            draw_objects(objects.mask, image, objects.boxes, picture, title=readable(name.name))
        return readable(mask.name)

    def _draw_boxes(self, name: Path, image: Tensor, boxes: Sequence[NamedBox]) -> str:
        """Draw all boxes of an image. Returns the picture's name."""
        from jumok.views.pictures.boxes import draw_boxes

        picture = self._place_file(name, "boxes.png")
        names = [f"{number} {readable(box.name)}" for number, box in enumerate(boxes, 1)]
        draw_boxes(image, [box.edges for box in boxes], names, picture, title=readable(name.name))
        return readable(picture.name)


def look_at_images(source: Path, looker: Looker, results: ImageResults, session: Session, *, html: bool) -> None:
    """Look at an image, or at all images below a folder, in batches; one that cannot be read is reported and left out.

    Args:
        source: the image or folder.
        looker: what looks.
        results: what is written.
        session: of the command.
        html: write a page too.
    Raises:
        JumokError: nothing there, no image in the folder, or none that can be read.
    """
    from jumok.app.image_inputs import find_inputs
    from jumok.app.progress import show_progress
    from jumok.data.images.batches import take_turns
    from jumok.data.images.how_read import describe_reading

    if source.is_dir() and results.folder.resolve() == source.resolve():
        raise JumokError(
            f"--out {results.folder} holds the images themselves: give another folder, such as --out "
            f"{results.folder / session.command}"
        )
    paths = find_inputs([source], tell=session.remark)
    for line in describe_reading(paths, looker.bits):
        session.remark(line)
    results.sheet = make_page(results.title, len(paths)) if html else None
    done = 0
    with results.export or nullcontext(), show_progress(session.console, "looking") as count:
        for some in take_turns(paths, looker.batch_size):
            told = _look_at_some(some, source, looker, results, session)
            if len(paths) <= MOST_LINES:
                for line in told:
                    session.say(line)
            done += len(some)
            count(done, len(paths))
    results.remarks += looker.remarks()
    results.close()


def _look_at_some(
    paths: Sequence[Path], source: Path, looker: Looker, results: ImageResults, session: Session
) -> list[str]:
    """Look at images together, and write what is found. Returns a line on each; nothing else of them is held on to."""
    batch = _read(paths, looker, results, session)
    found = looker.look(list(batch.values())) if batch else []
    for (path, image), finding in zip(batch.items(), found, strict=True):
        name = path.relative_to(source) if source.is_dir() else Path(path.name)
        for each in (finding, *finding.others):
            results.add(name, image, each, looker.find_truth(path))
        if results.export is not None:
            results.export.add(to_sample(path, finding, looker.find_truth(path)))
    return [f"{readable(str(path))}: {finding.text}" for path, finding in zip(batch, found, strict=True)]


def _read(paths: Sequence[Path], looker: Looker, results: ImageResults, session: Session) -> dict[Path, Tensor]:
    """Each image with its pixels."""
    from jumok.app.image_inputs import read_each

    found = {}
    for path, image in read_each(paths, bits=looker.bits, least=looker.least):
        if isinstance(image, JumokError):
            results.fail(path, image)
            if results.export is not None:
                results.export.add_failed(path, str(image))
            why = readable(str(image))
            session.remark(f"left out: {why}")
        else:
            found[path] = image
    return found


def to_sample(path: Path, finding: Finding, truth: str) -> Sample:
    """What was found in an image, for another program.

    Args:
        path: of the image.
        finding: in it.
        truth: its true class, where that is known.
    """
    from jumok.app.fiftyone_folder import HEATMAP, Sample

    others = {f"{HEATMAP}_{number}": other.heat for number, other in enumerate(finding.others, 2)}
    return Sample(
        path,
        answer=finding.figures.get("predicted"),
        shares=dict(finding.best),
        truth=truth,
        heats={HEATMAP: finding.heat, **others},
        texts={"target": str(finding.figures.get("target") or ""), "method": finding.method, "note": finding.note},
    )


def make_page(title: str, images: int) -> Page:
    """A page whose size fits one image or many.

    Args:
        title: of it.
        images: that it will have.
    """
    from jumok.views.pages.look_page import Page

    return Page(title, budget=SMALL_PAGE if images == 1 else min(max(LARGE_PAGE, IMAGE_BYTES * images), LARGEST_PAGE))
