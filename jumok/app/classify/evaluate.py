"""How good a trained model's answers are on images that it has not learned from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from jumok.app.session import Session, write_report
from jumok.app.telling import as_cell
from jumok.errors import JumokError
from jumok.tasks.running.config import Strict
from jumok.wording import typed, write_count

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from torch import Tensor

    from jumok.app.classify.chosen import Chosen, Judge
    from jumok.tasks.classify.any_classifier import AnyClassifier
    from jumok.tasks.classify.kinds import Report
    from jumok.tasks.classify.kinds.kind import Table as Figures

RUN = "run"


class Options(Strict):
    """Options of `jumok eval` for images."""

    batch_size: int = Field(default=64, ge=1, description="Images or questions at a time.")
    images: str | None = Field(default=None, description="Folder of the images that a table or questions name.")
    unseen: bool = Field(default=False, description="Leave out images that the run was trained or validated on.")


@dataclass(frozen=True)
class EvaluatedImages:
    """How well a model of images did.

    Args:
        about: run, images and part.
        report: of the run.
        controls: of the same weights put to use in another way, by name.
        remarks: what the user should know.
        written: files, by what they hold.
    """

    about: Mapping[str, Any]
    report: Report
    controls: Mapping[str, Report]
    remarks: Sequence[str]
    written: Mapping[str, Path]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        controls = {name: _summarise(control) for name, control in self.controls.items()}
        return {**self.about, **self.report.to_dict(), **({"controls": controls} if controls else {})}

    def lines(self) -> Iterator[RenderableType]:
        """For the terminal."""
        from rich.text import Text

        yield f"{write_count(self.report.total, 'image')} of {self.about['data'][0]} ({self.about['split']})"
        yield from map(Text, self.report.lines())
        yield from (f"  same weights, {name}: {control.brief()['text']}" for name, control in self.controls.items())
        if (found := self.report.table()) is not None:
            yield draw_table(found)
        yield from (f"remark: {remark}" for remark in self.remarks)
        if warning := self.report.warning():
            yield Text(f"warning: {warning}")
        yield f"written: {', '.join(map(str, self.written.values()))}"


def evaluate(
    run: Path, data: Sequence[Path], options: Options, *, split: str, out: Path, session: Session
) -> EvaluatedImages:
    """Judge a model of images by the figures of its kind of answer; write JSON and a picture.

    Args:
        run: folder of a run, or the name of a model from elsewhere, "hf:..." or "timm:...".
        data: one folder or table of images; none: that of the run.
        options: of images.
        split: the part of the folder, or "auto" or "all".
        out: folder for the figures.
        session: of the command.
    Raises:
        JumokError: images that cannot be read, or of classes other than the run's.
    """
    from jumok.app.classify.chosen import Judge, find_own
    from jumok.app.classify.report_pictures import PICTURES
    from jumok.data.images.how_read import describe_reading
    from jumok.tasks.classify.any_classifier import open_model
    from jumok.tasks.classify.evaluation import controls_of, read_batches
    from jumok.tasks.classify.regions import Regions

    trained = open_model(str(run), session.device)
    judge = Judge.of_run(run) if run.is_dir() else Judge(answers=trained.kind.name)
    data = data or find_own(judge, run, "eval")
    if len(data) != 1:
        raise JumokError(
            f"{run} is an image classifier: give the folder of test images, as in jumok eval {typed(run)} photos/test; "
            f"got {len(data)} paths"
        )
    chosen = _select(judge, trained, data[0], split, options)
    models: dict[str, Callable[[Tensor], Tensor]] = {RUN: trained, **controls_of(trained.model)}
    regions = Regions()
    batches = regions.counting(trained.model, read_batches(trained, chosen.images, options.batch_size))
    reports = dict(trained.kind.evaluate(models, batches))
    report = reports.pop(RUN)
    picture = PICTURES[trained.kind.name]
    about = {"run": str(run), "data": [str(data[0])], **chosen.to_dict()}
    written = {"figures": out / "eval.json", picture.name: out / f"{picture.name}.png"}
    deep = describe_reading(chosen.images.paths, trained.bits)
    found = EvaluatedImages(
        about, report, reports, [*chosen.remarks, *chosen.images.notes, *deep, *regions.remarks()], written
    )
    write_report(written["figures"], found)
    picture.draw(report, written[picture.name])
    return found


def _summarise(report: Report) -> dict[str, Any]:
    """What is kept of a control."""
    return {name: value for name, value in report.brief().items() if name != "text"}


def _select(judge: Judge, model: AnyClassifier, images: Path, split: str, options: Options) -> Chosen:
    """Choose the images to judge; see `choose_images`.

    Raises:
        JumokError: no images there, or of a class that the model does not have.
    """
    from jumok.app.classify.chosen import choose_images, match_classes

    folder = None if options.images is None else Path(options.images)
    chosen = choose_images(judge, images, split, unseen=options.unseen, images=folder)
    return chosen._replace(images=match_classes(chosen.images, model.classes, images))


def draw_table(found: Figures) -> Table:
    """Figures of each class or label, for the terminal."""
    from rich.table import Table

    shown = Table(caption=found.caption)
    for number, name in enumerate(found.header):
        side: Literal["left", "right"] = "right" if number else "left"
        widest = max((len(row[number]) for row in found.rows), default=0) if number else None  # figures stay whole
        shown.add_column(as_cell(name), justify=side, overflow="fold", min_width=widest)
    for row in found.rows:
        shown.add_row(*map(as_cell, row))
    return shown
