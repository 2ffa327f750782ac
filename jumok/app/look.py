"""`jumok look`: what a model sees in images, and where it looks for it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jumok.errors import JumokError

if TYPE_CHECKING:
    from torch import Tensor

    from jumok.tasks.classify.looking import Answer, Question
    from jumok.tasks.classify.opened import Opened
    from jumok.views.page import Page

COLUMNS = ("image", "predicted", "probability", "target", "method", "picture", "map", "error")
SHOWN = 5  # classes on a page and in the terminal


def command(
    path: Annotated[Path, typer.Argument(help="An image, or a folder of images.", show_default=False)],
    model: Annotated[
        str | None,
        typer.Option(help="Folder of a run, hf:NAME-OR-FOLDER or timm:NAME.", show_default=False),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="relevance | rollout | raw | attention (default: the first that fits the model).", show_default=False
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Class that relevance explains (default: the predicted one).", show_default=False)
    ] = None,
    layer: Annotated[
        int | None,
        typer.Option(help="With raw: layer, from 0; negative from the end (default -1).", show_default=False),
    ] = None,
    head: Annotated[
        int | None, typer.Option(help="With raw: head, from 0 (default: the mean over heads).", show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the pictures, maps, page and results.csv.")] = Path("look"),
    html: Annotated[bool, typer.Option("--html/--no-html", help="Write one page for the whole call.")] = True,
    batch_size: Annotated[int, typer.Option(help="Images at a time.", min=1)] = 16,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads.", min=1, show_default=False)] = None,
) -> int:
    """Write for each image the prediction, a picture of where the model looked, and the map; and one page for all."""
    from rich.console import Console

    from jumok.memory import keep_freed
    from jumok.tasks.classify.looking import Question
    from jumok.tasks.classify.opened import open_model
    from jumok.tasks.fit import device_name, set_threads
    from jumok.views.page import Page

    if model is None:
        raise JumokError("look needs --model: the folder of a run, hf:NAME-OR-FOLDER or timm:NAME")
    if method != "raw" and (layer is not None or head is not None):
        raise JumokError(
            f"--layer and --head choose among raw weights, and the method is {method or 'not raw'}: add --method raw"
        )
    images = find(path)
    set_threads(threads)
    keep_freed()
    opened = open_model(model, device_name(device))
    chosen = None if target is None else opened.index(target)
    methods = () if method is None else (method,)
    question = Question(methods, 1, chosen, -1 if layer is None else layer, head, layers=html)
    album = Album(
        out, opened, question, Page(f"Where {opened.name} looks", budget=_budget(len(images))) if html else None
    )
    console = Console(highlight=False, soft_wrap=True)
    album.fill(path, images, batch_size, console)
    return album.close(console)


def find(path: Path) -> list[Path]:
    """The image itself, or all images below a folder, sorted.

    Raises:
        JumokError: nothing there, or no image in the folder.
    """
    from jumok.data.images import find_images

    if path.is_dir():
        return list(find_images(path))
    if not path.exists():
        raise JumokError(f"no image or folder at {path}")
    return [path]


def _budget(images: int) -> int:
    """Bytes of the page: 8 MB suffice for every head of a ViT-B at 224 x 224; a folder may take more in all."""
    return 8_000_000 if images == 1 else 30_000_000


@dataclass
class Album:
    """What one call writes: pictures and maps one by one, the page and results.csv at the end."""

    folder: Path
    model: Opened
    question: Question
    page: Page | None
    rows: list[dict[str, Any]] = field(default_factory=list)
    failures: int = 0

    def fill(self, root: Path, images: list[Path], size: int, console: Any) -> None:
        """Go through the images in batches; one that cannot be read is reported and left out."""
        from jumok.app.progress import counting
        from jumok.tasks.classify.looking import look

        with counting(console, "looking") as count:
            for start in range(0, len(images), size):
                batch = list(self._readable(images[start : start + size], console))
                answers = look(self.model, [image for _, image in batch], self.question) if batch else []
                for (path, image), answer in zip(batch, answers, strict=True):
                    name = path.relative_to(root) if root.is_dir() else Path(path.name)
                    self._add(name, image, answer)
                    if len(images) <= 10:
                        console.print(f"{path}: {self._said(answer)}")
                count(min(start + size, len(images)), len(images))

    def _readable(self, paths: list[Path], console: Any) -> Iterator[tuple[Path, Tensor]]:
        from jumok.data.images import read_image

        for path in paths:
            try:
                yield path, read_image(path)
            except JumokError as error:
                self.failures += 1
                self.rows.append({"image": str(path), "error": str(error)})
                console.print(f"left out: {error}", style="yellow", markup=False)

    def _said(self, answer: Answer) -> str:
        best = answer.probabilities.topk(min(SHOWN, len(self.model.classes)))
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return ", ".join(f"{self.model.classes[number]} {value:.1%}" for number, value in pairs)

    def _add(self, name: Path, image: Tensor, answer: Answer) -> None:
        from jumok.views.page import Entry
        from jumok.views.picture import draw

        (method, heat) = next(iter(answer.heats.items()))
        picture = self.folder / name.parent / f"{name.name}.{method}.png"
        stored = self.folder / name.parent / f"{name.name}.{method}.safetensors"
        predicted, probability = self.model.classes[answer.predicted], float(answer.probabilities.max())
        draw(heat, image, picture, title=f"{name.name}: {predicted} {probability:.1%}")
        heat.save(stored)
        target = self.model.classes[answer.target]
        row = (str(name), predicted, f"{probability:.6f}", target, heat.source, picture.name, stored.name, "")
        self.rows.append(dict(zip(COLUMNS, row, strict=True)))
        if self.page is not None:
            best = answer.probabilities.topk(min(SHOWN, len(self.model.classes)))
            bars = [
                (self.model.classes[i], v) for i, v in zip(best.indices.tolist(), best.values.tolist(), strict=True)
            ]
            note = f"{method} for {target}" if method == "relevance" else method
            self.page.add(Entry(str(name), image, bars, heat, answer.layers, note))

    def close(self, console: Any) -> int:
        """Write the page and results.csv. Returns the exit status: 1 if an image was left out, 2 if all were."""
        from jumok.files import write_atomically

        if self.failures == len(self.rows):
            raise JumokError(f"none of the {self.failures} images could be read: {self.rows[0]['error']}")
        table = io.StringIO()
        writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomically(self.folder / "results.csv", table.getvalue())
        console.print(f"written: {self.folder / 'results.csv'} and {len(self.rows) - self.failures} pictures with maps")
        if self.page is not None:
            self.page.write(self.folder / "index.html")
            console.print(f"page: {self.folder / 'index.html'}")
        return 1 if self.failures else 0
