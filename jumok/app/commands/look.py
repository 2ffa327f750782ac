"""`jumok look`: what a model sees in images, and where it looks for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jumok.app.image_results import ImageResults, find, name_of, new_page
from jumok.app.options import refuse
from jumok.errors import JumokError

if TYPE_CHECKING:
    from torch import Tensor

    from jumok.tasks.classify.any_classifier import Opened
    from jumok.tasks.classify.looking import Answer, Question
    from jumok.tasks.classify.regions import Regions

COLUMNS = ("image", "predicted", "probability", "target", "method", "picture", "map", "error")
MODELS_METHODS = ("relevance", "rollout", "raw", "attention")
SHOWN = 5  # classes on a page and in the terminal


def command(
    path: Annotated[Path, typer.Argument(help="An image, or a folder of images.", show_default=False)],
    model: Annotated[
        str | None,
        typer.Option(
            help="Folder of a run, hf:NAME-OR-FOLDER or timm:NAME (default: none, what stands out in the image).",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="relevance | rollout | raw | attention | grad-cam (default: the first that fits the model); without a "
            "model one of jumok saliency.",
            show_default=False,
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="Class that relevance and grad-cam explain (default: the predicted one).", show_default=False
        ),
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

    from jumok.machine import device_name, keep_freed, set_threads
    from jumok.tasks.classify.any_classifier import open_model
    from jumok.tasks.classify.looking import Question
    from jumok.tasks.classify.regions import Regions

    if model is None:
        from jumok.app.commands import saliency

        if method in MODELS_METHODS:
            raise JumokError(f"the method {method} asks a model: name it with --model")
        refuse({"--target": target, "--layer": layer, "--head": head}, "they ask a model, and no --model was named")
        return saliency.run(path, method, "otsu", out, html=html, threads=threads)
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
    page = new_page(f"Where {opened.name} looks", len(images)) if html else None
    console = Console(highlight=False, soft_wrap=True)
    looking = Looking(opened, question, ImageResults(out, COLUMNS, page), Regions())
    looking.fill(path, images, batch_size, console)
    for remark in looking.regions.remarks():
        console.print(f"remark: {remark}", style="yellow", markup=False)
    return looking.results.close(console)


@dataclass
class Looking:
    """A model that is asked about images, and what comes of it."""

    model: Opened
    question: Question
    results: ImageResults
    regions: Regions

    def fill(self, root: Path, images: list[Path], size: int, console: Any) -> None:
        """Go through the images in batches; one that cannot be read is reported and left out."""
        from jumok.app.progress import counting
        from jumok.tasks.classify.looking import look

        with counting(console, "looking") as count:
            for start in range(0, len(images), size):
                batch = list(self.results.readable(images[start : start + size], console))
                answers = look(self.model, [image for _, image in batch], self.question) if batch else []
                for (path, image), answer in zip(batch, answers, strict=True):
                    self._add(name_of(path, root), image, answer)
                    if len(images) <= 10:
                        console.print(f"{path}: {self._said(answer)}")
                count(min(start + size, len(images)), len(images))

    def _said(self, answer: Answer) -> str:
        return ", ".join(f"{name} {value:.1%}" for name, value in self._best(answer))

    def _best(self, answer: Answer) -> list[tuple[str, float]]:
        best = answer.probabilities.topk(min(SHOWN, len(self.model.classes)))
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [(self.model.classes[number], value) for number, value in pairs]

    def _add(self, name: Path, image: Tensor, answer: Answer) -> None:
        from jumok.tasks.classify.looking import WITH_GRADIENTS
        from jumok.views.pages.look_page import Entry
        from jumok.views.pictures.heatmap import draw

        (method, heat) = next(iter(answer.heats.items()))
        self.regions.add(answer.heats.values())
        picture, stored = (self.results.file(name, f"{method}.{end}") for end in ("png", "safetensors"))
        predicted, probability = self.model.classes[answer.predicted], float(answer.probabilities.max())
        draw(heat, image, picture, title=f"{name.name}: {predicted} {probability:.1%}")
        heat.save(stored)
        target = self.model.classes[answer.target]
        row = (str(name), predicted, f"{probability:.6f}", target, heat.source, picture.name, stored.name, "")
        note = f"{method} for {target}" if method in WITH_GRADIENTS else method
        entry = Entry(str(name), image, self._best(answer), heat, answer.layers, note)
        self.results.add(dict(zip(COLUMNS, row, strict=True)), entry)
