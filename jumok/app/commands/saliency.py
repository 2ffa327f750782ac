"""`jumok saliency`: what stands out in images, without any model, and the objects that it makes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jumok.app.image_results import ImageResults, find, name_of, new_page
from jumok.errors import JumokError, suggest

if TYPE_CHECKING:
    from torch import Tensor

    from jumok.attention import AttentionMap
    from jumok.mechanisms.saliency.separation import SalientObjects

COLUMNS = (
    "image", "method", "separation", "threshold", "objects", "area", "boxes", "picture", "map", "mask", "error",
)  # fmt: skip
SPOKEN = 10
"""Images up to this many are told of one by one."""


def command(
    path: Annotated[Path, typer.Argument(help="An image, or a folder of images.", show_default=False)],
    method: Annotated[
        str | None,
        typer.Option(
            help="boolean-maps | spectral-residual | fine-grained | itti-koch-niebur | frequency-tuned "
            "(default: boolean-maps).",
            show_default=False,
        ),
    ] = None,
    separate: Annotated[
        str, typer.Option(help="How objects are cut from the background: otsu, or adaptive: twice the mean.")
    ] = "otsu",
    smallest: Annotated[
        float, typer.Option(help="Share of the image below which an object is left out as noise.", min=0, max=1)
    ] = 0.001,
    out: Annotated[Path, typer.Option(help="Folder for the pictures, maps, masks, page and results.csv.")] = Path(
        "saliency"
    ),
    html: Annotated[bool, typer.Option("--html/--no-html", help="Write one page for the whole call.")] = True,
    threads: Annotated[int | None, typer.Option(help="CPU threads.", min=1, show_default=False)] = None,
) -> int:
    """Write for each image a picture of what stands out, the map, a mask of the objects and their boxes."""
    return run(path, method, separate, out, smallest=smallest, html=html, threads=threads)


def run(
    path: Path,
    method: str | None,
    separation: str,
    out: Path,
    *,
    smallest: float = 0.001,
    html: bool = True,
    threads: int | None = None,
) -> int:
    """Look for what is salient in an image, or in all images of a folder.

    Args:
        path: of the image or folder.
        method: a name in `jumok.mechanisms.saliency.METHODS`; None: the default.
        separation: a name in `jumok.mechanisms.saliency.separation.THRESHOLDS`.
        out: folder for everything that is written.
        smallest: objects below this share of the image are left out.
        html: write a page too.
        threads: CPU threads; None: as many as torch takes.
    Returns:
        the exit status: 1 if an image was left out.
    Raises:
        JumokError: no such method or separation, no image there, or none that can be read.
    """
    from rich.console import Console

    from jumok.machine import keep_freed, set_threads
    from jumok.mechanisms.saliency import DEFAULT_METHOD, METHODS
    from jumok.mechanisms.saliency.separation import THRESHOLDS

    method = method or DEFAULT_METHOD
    if method not in METHODS:
        raise JumokError(f"no saliency method {method!r}: {suggest(method, METHODS)}")
    if separation not in THRESHOLDS:
        raise JumokError(f"no separation {separation!r}: {suggest(separation, THRESHOLDS)}")
    images = find(path)
    set_threads(threads)
    keep_freed()
    console = Console(highlight=False, soft_wrap=True)
    results = ImageResults(out, COLUMNS, new_page(f"What stands out: {method}", len(images)) if html else None)
    _fill(results, path, images, (method, separation, smallest), console)
    return results.close(console)


def _fill(results: ImageResults, root: Path, images: list[Path], ways: tuple[str, str, float], console: Any) -> None:
    from jumok.app.progress import counting
    from jumok.mechanisms.saliency import saliency_map
    from jumok.mechanisms.saliency.separation import separate

    method, separation, smallest = ways
    with counting(console, "looking") as count:
        for number, (path, image) in enumerate(results.readable(images, console), 1):
            heat = saliency_map(image, method)
            found = separate(heat, separation, smallest=smallest)
            _add(results, name_of(path, root), image, heat, found, ways)
            if len(images) <= SPOKEN:
                console.print(f"{path}: {_said(found)}", markup=False)
            count(number + results.failures, len(images))


def _add(
    results: ImageResults,
    name: Path,
    image: Tensor,
    heat: AttentionMap,
    found: SalientObjects,
    ways: tuple[str, str, float],
) -> None:
    """Write what belongs to one image, and put it on the page."""
    from jumok.views.pages.look_page import Entry
    from jumok.views.pictures.heatmap import draw
    from jumok.views.pictures.objects import draw_objects, save_mask

    method, separation, _ = ways
    picture, stored, mask = (results.file(name, f"{method}.{end}") for end in ("png", "safetensors", "mask.png"))
    draw(heat, image, picture, title=name.name)
    heat.save(stored)
    save_mask(found.mask, mask)
    draw_objects(found.mask, image, found.boxes, results.file(name, f"{method}.objects.png"), title=name.name)
    row = {
        "image": str(name),
        "method": heat.source,
        "separation": separation,
        "threshold": f"{found.threshold:.6g}",
        "objects": len(found.boxes),
        "area": f"{float(found.mask.weights.mean()):.6f}",
        "boxes": "; ".join(" ".join(map(str, box)) for box in found.boxes),
        "picture": picture.name,
        "map": stored.name,
        "mask": mask.name,
        "error": "",
    }
    results.add(row, Entry(str(name), image, [], heat, None, f"{method}; {_said(found)}"))


def _said(found: SalientObjects) -> str:
    """How many objects, and where the first is."""
    count = len(found.boxes)
    if not count:
        return "nothing stands out"
    top, left, bottom, right = found.boxes[0]
    first = f"rows {top} to {bottom - 1}, columns {left} to {right - 1}"
    return f"1 object: {first}" if count == 1 else f"{count} objects, the first: {first}"
