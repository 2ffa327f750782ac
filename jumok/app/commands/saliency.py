"""`jumok saliency`: what stands out in images, without any model, and the objects that it makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jumok.app.engine.settings import OF_MANY, EngineSettings, split_off_engine
from jumok.app.image_results import Finding, ImageResults, look_at_images
from jumok.app.options import Panels, with_settings
from jumok.app.outputs import check_outside_runs
from jumok.app.session import Report, Session, in_session
from jumok.errors import JumokError, suggest
from jumok.language import translate, translate_count

if TYPE_CHECKING:
    from torch import Tensor

    from jumok.app.fiftyone_folder import FiftyOneFolder
    from jumok.mechanisms.saliency.separation import SalientObjects

COLUMNS = ("method", "separation", "threshold", "objects", "area", "boxes")


PANELS: Panels = {"Options": (), **OF_MANY}


def build(_: Sequence[str]) -> Callable[..., int]:
    """The command, with its options."""
    return in_session("saliency", "threads")(with_settings(PANELS)(command))


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
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Write a picture of each map, which takes the most time.")
    ] = True,
    maps: Annotated[bool, typer.Option("--maps/--no-maps", help="With --engine: a column of maps.")] = True,
    *,
    session: Session,
    settings: Mapping[str, Any],
) -> Report:
    """Write each image's saliency map, a mask of its objects and their boxes; without a model."""
    check_outside_runs(out)
    engine, _ = split_off_engine(EngineSettings, settings)
    if engine.engine is not None:
        return _write_data_set(path, method, separate, smallest, maps, out, engine, session)
    return show_saliency(path, method, separate, out, session, smallest=smallest, html=html, pictures=pictures)


def _write_data_set(
    path: Path,
    method: str | None,
    separation: str,
    smallest: float,
    maps: bool,
    out: Path,
    engine: EngineSettings,
    session: Session,
) -> Report:
    from jumok.app.engine.many import make_data_set
    from jumok.app.engine.salient import Salient

    chosen = _choose_method(method, separation)
    return make_data_set(path, Salient(chosen, separation, smallest, maps), out, engine, session)


def _choose_method(method: str | None, separation: str) -> str:
    """The method that is meant.

    Raises:
        JumokError: no such method or separation.
    """
    from jumok.mechanisms.saliency import DEFAULT_METHOD, METHODS
    from jumok.mechanisms.saliency.separation import THRESHOLDS

    method = method or DEFAULT_METHOD
    if method not in METHODS:
        raise JumokError(f"no saliency method {method!r}: {suggest(method, METHODS)}")
    if separation not in THRESHOLDS:
        raise JumokError(f"no separation {separation!r}: {suggest(separation, THRESHOLDS)}")
    return method


def show_saliency(
    path: Path,
    method: str | None,
    separation: str,
    out: Path,
    session: Session,
    *,
    smallest: float = 0.001,
    html: bool = True,
    pictures: bool = True,
    export: FiftyOneFolder | None = None,
) -> ImageResults:
    """Write what is salient in an image, or in all images of a folder.

    Args:
        path: of the image or folder.
        method: a name in `jumok.mechanisms.saliency.METHODS`; None: the default.
        separation: a name in `jumok.mechanisms.saliency.separation.THRESHOLDS`.
        out: folder for everything that is written.
        session: of the command.
        smallest: objects below this share of the image are left out.
        html: write a page too.
        pictures: draw each map and the boxes of its objects.
        export: as for `ImageResults`.
    Raises:
        JumokError: no such method or separation, no image there, or none that can be read.
    """
    method = _choose_method(method, separation)
    results = ImageResults(out, translate("What stands out: {method}", method=method), COLUMNS, pictures=pictures)
    results.export = export
    look_at_images(path, SaliencyLooker(method, separation, smallest), results, session, html=html)
    return results


@dataclass(frozen=True)
class SaliencyLooker:
    """A saliency method, and how objects are cut from the background."""

    method: str
    separation: str
    smallest: float
    batch_size: int = 1
    bits: int | None = None
    least: tuple[int, int] = (1, 1)

    def look(self, images: Sequence[Tensor]) -> list[Finding]:
        """What stands out in each image."""
        return [self._look(image) for image in images]

    def find_truth(self, path: Path) -> str:
        """None: no class is asked about."""
        return ""

    def remarks(self) -> list[str]:
        """Nothing: each image stands for itself."""
        return []

    def _look(self, image: Tensor) -> Finding:
        from jumok.mechanisms.saliency import saliency_map
        from jumok.mechanisms.saliency.separation import separate

        heat = saliency_map(image, self.method)
        found = separate(heat, self.separation, smallest=self.smallest)
        text = _describe(found)
        figures = {
            "method": heat.source,
            "separation": self.separation,
            "threshold": found.threshold,
            "objects": len(found.boxes),
            "area": float(found.mask.weights.mean()),
            "boxes": [list(box) for box in found.boxes],
        }
        group = (translate("no object"), translate("1 object"), translate("several objects"))[min(len(found.boxes), 2)]
        return Finding(heat, self.method, "", text, figures, note=f"{self.method}; {text}", group=group, objects=found)


def _describe(found: SalientObjects) -> str:
    """How many objects, and where the first is."""
    count = len(found.boxes)
    if not count:
        return translate("nothing stands out")
    top, left, bottom, right = found.boxes[0]
    return translate_count(
        count,
        "1 object: rows {top} to {bottom}, columns {left} to {right}",
        "{count} objects, the first: rows {top} to {bottom}, columns {left} to {right}",
        top=top,
        bottom=bottom - 1,
        left=left,
        right=right - 1,
    )
