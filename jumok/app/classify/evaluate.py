"""How well a trained classifier tells its classes apart, on images that it has not learned from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from jumok.app.session import Session, write_report
from jumok.errors import JumokError
from jumok.tasks.running.config import Strict
from jumok.wording import write_count

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from torch import Tensor

    from jumok.app.classify.chosen import Chosen, Judge
    from jumok.tasks.classify.any_classifier import AnyClassifier
    from jumok.tasks.classify.evaluation import Evaluation

RUN = "run"


class Options(Strict):
    """Options of `jumok eval` for images."""

    batch_size: int = Field(default=64, ge=1, description="Images or questions at a time.")
    images: str | None = Field(default=None, description="Folder of the images that a table or questions name.")
    unseen: bool = Field(default=False, description="Leave out images that the run was trained or validated on.")


@dataclass(frozen=True)
class EvaluatedImages:
    """How well a classifier did.

    Args:
        about: run, images and part.
        report: of the run.
        controls: of the same weights put to use in another way, by name.
        remarks: what the user should know.
        written: files, by what they hold.
    """

    about: Mapping[str, Any]
    report: Evaluation
    controls: Mapping[str, Evaluation]
    remarks: Sequence[str]
    written: Mapping[str, Path]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        controls = {"controls": {name: _summarise(control) for name, control in self.controls.items()}}
        return {**self.about, **self.report.to_dict(), **(controls if self.controls else {})}

    def lines(self) -> Iterator[RenderableType]:
        """For the terminal."""
        from rich.text import Text

        low, high = self.report.interval
        yield f"{write_count(self.report.total, 'image')} of {self.about['data'][0]} ({self.about['split']})"
        yield f"accuracy {self.report.accuracy:.1%} (95 % interval {low:.1%} to {high:.1%})"
        yield f"balanced accuracy {self.report.balanced_accuracy:.1%}, macro F1 {self.report.macro_f1:.1%}"
        largest, share = self.report.largest_class
        yield Text(f"baseline: always saying {largest!r} gives {share:.1%}")
        for name, control in self.controls.items():
            low, high = control.interval
            yield f"  same weights, {name}: {control.accuracy:.1%} ({low:.1%} to {high:.1%})"
        yield table(self.report)
        yield from (f"remark: {remark}" for remark in self.remarks)
        if not self.report.beats_largest_class:
            yield Text(
                f"warning: this model is not surely better than always saying {largest!r}: it may have learnt nothing; "
                "more images, more --time, or a pretrained --system may help"
            )
        yield f"written: {', '.join(map(str, self.written.values()))}"


def evaluate(
    run: Path, data: Sequence[Path], options: Options, *, split: str, out: Path, session: Session
) -> EvaluatedImages:
    """Judge a classifier by accuracy, precision, recall and confusion; write JSON and a picture.

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
    from jumok.app.classify.chosen import Judge
    from jumok.tasks.classify.any_classifier import open_model
    from jumok.tasks.classify.evaluation import controls_of, evaluate_each, read_batches
    from jumok.tasks.classify.regions import Regions
    from jumok.views.pictures.charts import draw_confusion

    trained = open_model(str(run), session.device)
    judge = Judge.of_run(run) if run.is_dir() else Judge()
    data = data or [Path(place) for place in (judge.data and judge.data.images,) if place]
    if len(data) != 1:
        raise JumokError(
            f"{run} is an image classifier: give the folder of test images, as in jumok eval {run} photos/test; "
            f"got {len(data)} paths"
        )
    chosen = _select(judge, trained, data[0], split, options)
    models: dict[str, Callable[[Tensor], Tensor]] = {RUN: trained, **controls_of(trained.model)}
    regions = Regions()
    batches = regions.counting(trained.model, read_batches(trained, chosen.images, options.batch_size))
    reports = evaluate_each(models, batches, trained.classes)
    report = reports.pop(RUN)
    about = {"run": str(run), "data": [str(data[0])], **chosen.to_dict()}
    written = {"figures": out / "eval.json", "confusion": out / "confusion.png"}
    found = EvaluatedImages(about, report, reports, [*chosen.remarks, *regions.remarks()], written)
    write_report(written["figures"], found)
    draw_confusion(report.confusion.numpy(), trained.classes, written["confusion"])
    return found


def _summarise(report: Evaluation) -> dict[str, float | list[float]]:
    """What is kept of a control."""
    return {"accuracy": report.accuracy, "accuracy_95": list(report.interval), "loss": report.loss}


def _select(judge: Judge, model: AnyClassifier, images: Path, split: str, options: Options) -> Chosen:
    """Choose the images to judge; see `choose_images`.

    Raises:
        JumokError: no images there, or of a class that the model does not have.
    """
    from jumok.app.classify.chosen import choose_images, match_classes

    folder = None if options.images is None else Path(options.images)
    chosen = choose_images(judge, images, split, unseen=options.unseen, images=folder)
    return chosen._replace(images=match_classes(chosen.images, model.classes, images))


def table(report: Evaluation) -> Table:
    """Precision, recall and confusion of each class."""
    from rich.table import Table
    from rich.text import Text

    wide = len(report.classes) <= 8
    shown = Table(caption="rows: true class; columns on the right: predicted class" if wide else None)
    shown.add_column("class")
    for name in (report.noun, "precision", "recall", *(report.classes if wide else ())):
        shown.add_column(Text(name), justify="right")
    for row, counts in zip(report.per_class(), report.confusion.tolist(), strict=True):
        shares = ("-" if row[key] is None else f"{row[key]:.1%}" for key in ("precision", "recall"))
        shown.add_row(Text(row["class"]), str(row[report.noun]), *shares, *(map(str, counts) if wide else ()))
    return shown
