"""`jumok compare`: several systems, one data set, one budget: how right they are, what they cost, where they look."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jumok.app.options import Panels, with_settings
from jumok.errors import JumokError
from jumok.tasks.classify.settings import ImageData, ImageTraining

if TYPE_CHECKING:
    from rich.console import Console
    from torch import Tensor

    from jumok.data.folders import ImageSet
    from jumok.measures.report import Report
    from jumok.tasks.classify.comparing import Result
    from jumok.tasks.classify.looking import Answer
    from jumok.tasks.classify.opened import Opened
    from jumok.views.comparison import Column

PANELS: Panels = {"Images and training": (ImageData, ImageTraining)}
TIMES = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")
TERMS = "terms.json"
"""Settings and budget of what lies in the folder."""
AT_ONCE = 16
"""Images that are looked at together."""
HEADINGS = {
    "accuracy": "most", "pointing game": "most", "AUPRC": "most", "weights": "least", "train, images/s": "most",
    "use, images/s": "most", "memory, MiB": "least", "epochs": "",
}  # fmt: skip
"""Columns of the table, and whether the most or the least is best."""


@with_settings(PANELS, leave_out=("images", "epochs", "patience"))
def command(
    images: Annotated[Path, typer.Argument(help="Folder of images, as for training.", show_default=False)],
    masks: Annotated[
        Path | None, typer.Option(help="Folder of masks of what should be looked at.", show_default=False)
    ] = None,
    systems: Annotated[
        str, typer.Option("--systems", help="Names with commas between, or all: one for each mechanism.")
    ] = "all",
    budget: Annotated[str, typer.Option("--budget", help="Time to train each, such as 90s, 2m or 1h30m.")] = "2m",
    shown: Annotated[int, typer.Option("--shown", help="Test images on the page.", min=1, max=200)] = 12,
    out: Annotated[Path, typer.Option("--out", help="Folder for the runs, the page and the figures.")] = Path(
        "compare"
    ),
    *,
    settings: Mapping[str, Any],
) -> int:
    """Train several systems on the same images for the same time, and show how right they are and where they look."""
    from rich.console import Console

    from jumok.files import write_atomically
    from jumok.memory import keep_freed
    from jumok.tasks import fit
    from jumok.tasks.classify.comparing import Contest, begin, chosen
    from jumok.tasks.classify.settings import Settings

    keep_freed()
    names, seconds = chosen(systems), seconds_of(budget)
    wanted = _settings(images, settings, Settings)
    wanted = wanted.model_copy(
        update={"training": wanted.training.model_copy(update={"threads": fit.set_threads(wanted.training.threads)})}
    )
    fit.check_machine(wanted.training)
    terms = json.dumps({"settings": wanted.model_dump(mode="json"), "budget": seconds}, indent=2, ensure_ascii=False)
    _check_folder(out, terms)
    console = Console(highlight=False, soft_wrap=True)
    base = begin(wanted, names, None)
    test = _test_images(wanted)
    truth = _truth(masks, test)
    write_atomically(out / TERMS, terms)
    contest = Contest(base, seconds, test, out, fit.device_name(wanted.training.device))
    results, errors = _enter(contest, names, console)
    exhibition = Exhibition(contest, results, errors, truth, shown)
    exhibition.write(out, images, budget, console)
    return 1 if errors else 0


def seconds_of(text: str) -> float:
    """Read a time such as 90, 90s, 2m or 1h30m.

    >>> [seconds_of(text) for text in ("45", "2m", "1h30m", "1m30s")]
    [45.0, 120.0, 5400.0, 90.0]

    Raises:
        JumokError: none of these, or no time at all.
    """
    found = TIMES.fullmatch(text.strip().lower())
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    total = 3600 * hours + 60 * minutes + seconds
    if not total:
        raise JumokError(f"--budget {text!r} is no time: give one such as 90s, 2m or 1h30m")
    return float(total)


def _settings(images: Path, given: Mapping[str, Any], kind: Any) -> Any:
    """What the flags say, as for a training."""
    parts: dict[str, dict[str, Any]] = {"data": {"images": str(images)}, "training": {}}
    for name, value in given.items():
        parts["data" if name in ImageData.model_fields else "training"][name] = value
    return kind.read(None, parts)


def _check_folder(out: Path, terms: str) -> None:
    """Make sure that what lies in the folder was made on the same terms, so that it can be gone on with.

    Raises:
        JumokError: it was not.
    """
    place = out / TERMS
    if place.exists():
        if place.read_text("utf-8") != terms:
            raise JumokError(f"{out} holds a comparison with other settings or another budget: choose another --out")
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise JumokError(f"{out} holds something that is no comparison: choose another --out")


def _test_images(settings: Any) -> ImageSet:
    from jumok.tasks.classify.prepare import find

    return find(settings.data, settings.training.seed)["test"]


def _truth(masks: Path | None, test: ImageSet) -> Any:
    from jumok.data.masks import MaskFolder

    return None if masks is None else MaskFolder(masks, test)


def _enter(contest: Any, names: Sequence[str], console: Console) -> tuple[list[Result], dict[str, str]]:
    """Train each; what one system cannot do does not keep the others from it."""
    results, errors = [], {}
    for name in names:
        try:
            result = contest.enter(name, lambda line: console.print(line, markup=False))
        except JumokError as error:
            errors[name] = str(error)
            console.print(f"{name}: {error}", style="red", markup=False)
            continue
        results.append(result)
        console.print(
            f"{name}: {result.accuracy:.1%} of {result.images} test images after {result.seconds:.0f} s", markup=False
        )
    if not results:
        raise JumokError(f"no system could be trained: {next(iter(errors.values()))}")
    return results, errors


@dataclass
class Exhibition:
    """What is shown and written of a contest: figures, where each looked, how well that marks the truth."""

    contest: Any
    results: Sequence[Result]
    errors: Mapping[str, str]
    truth: Any
    shown: int

    def write(self, out: Path, images: Path, budget: str, console: Console) -> None:
        """Look at the test images with every system, and write the figures and the page."""
        from jumok.files import write_atomically
        from jumok.tasks.classify.opened import open_model

        opened = {
            result.system: open_model(str(self.contest.folder / result.system), self.contest.device)
            for result in self.results
        }
        report = self._measured(opened, console) if self.truth is not None else None
        columns = self._columns(report)
        page = self._page(columns, opened, images, budget)
        page.write(out / "index.html")
        about = {
            "images": str(images),
            "budget": budget,
            "systems": [result.model_dump() for result in self.results],
            "errors": dict(self.errors),
            "looking": None if report is None else report.to_dict(),
        }
        write_atomically(out / "compare.json", json.dumps(about, indent=2, ensure_ascii=False) + "\n")
        console.print(_table(columns))
        if report is not None:
            console.print(report.summary(), markup=False)
        console.print(f"page: {out / 'index.html'}", markup=False)

    def _measured(self, opened: Mapping[str, Opened], console: Console) -> Report:
        """Score every system's maps against the masks, on the same images."""
        from jumok.app.progress import counting
        from jumok.measures.localisation import LocalisationMeter

        meter = LocalisationMeter(seed=self.contest.base.config.training.seed, blank_is_chance=True)
        test = self.contest.test
        marked = [path for path in test.paths if self.truth.find(path) is not None]
        with counting(console, "looking") as count:
            for done, (path, picture, answers) in enumerate(_looked_at(opened, marked), 1):
                mask = self.truth.get(path, *picture.shape[1:])
                heats = {name: heat for name, answer in answers.items() for heat in answer.heats.values()}
                meter.add(picture, mask, heats, name=str(path))
                count(done, len(marked))
        for name, images in meter.blank.items():
            console.print(f"{name}: nothing to see in {images} images, which count as chance", style="yellow")
        return meter.report()

    def _columns(self, report: Report | None) -> list[Column]:
        from jumok import systems
        from jumok.views.comparison import Column

        found = [
            Column(result.system, systems.attends(result.system), _figures(result, report)) for result in self.results
        ]
        failed = [Column(name, systems.attends(name), error=error) for name, error in self.errors.items()]
        baselines = [
            Column(each.method, "a map without a model", _looking(each.scores), baseline=True)
            for each in (() if report is None else report.baselines)
        ]
        return [*found, *failed, *baselines]

    def _page(self, columns: Sequence[Column], opened: Mapping[str, Opened], images: Path, budget: str) -> Any:
        from jumok.views.comparison import ComparisonPage

        config = self.contest.base.config
        size = " x ".join(map(str, config.size))
        lead = (
            f"{config.found.counts['train']:,} training images of {len(config.found.classes)} classes, {size} pixels; "
            f"each system was trained for {budget} with the same settings, and judged on "
            f"{self.results[0].images:,} test images."
        )
        headings = {name: way for name, way in HEADINGS.items() if any(name in column.figures for column in columns)}
        page = ComparisonPage(f"Side by side: {images.resolve().name}", lead, headings, columns)
        test = self.contest.test
        labels = dict(zip(test.paths, (test.classes[label] for label in test.labels), strict=True))
        for path, picture, answers in _looked_at(opened, _spread(test, self.truth, self.shown)):
            mask = None if self.truth is None else self.truth.get(path, *picture.shape[1:])
            found = [_cell(name, answer, opened[name], labels[path]) for name, answer in answers.items()]
            page.add(path.name, labels[path], picture, mask, found)
        return page


def _looked_at(opened: Mapping[str, Opened], paths: Sequence[Path]) -> Iterator[tuple[Path, Tensor, dict[str, Answer]]]:
    """Each image with what every system says of it and where it looked, by the way that suits the system best."""
    from jumok.data.images import read_image
    from jumok.tasks.classify.looking import Question, look

    questions = {name: Question(most=1 if _tells(model, paths[0]) else 0) for name, model in opened.items()}
    for start in range(0, len(paths), AT_ONCE):
        some = paths[start : start + AT_ONCE]
        pictures = [read_image(path) for path in some]
        answers = {name: look(model, pictures, questions[name]) for name, model in opened.items()}
        for number, (path, picture) in enumerate(zip(some, pictures, strict=True)):
            yield path, picture, {name: found[number] for name, found in answers.items()}


def _tells(model: Opened, path: Path) -> bool:
    """Whether anything can be read off this model that lies in the image; off an MLP nothing can."""
    from jumok.data.images import read_image
    from jumok.tasks.classify.looking import Question, look

    try:
        look(model, [read_image(path)] * 2, Question(most=1))
    except JumokError:
        return False
    return True


def _spread(test: ImageSet, truth: Any, count: int) -> list[Path]:
    """Test images in turn from each class; classes in which there is something to look at come first."""
    by_class: dict[int, list[Path]] = {}
    for path, label in zip(test.paths, test.labels, strict=True):
        by_class.setdefault(label, []).append(path)
    groups = sorted(by_class.values(), key=lambda paths: truth is not None and truth.find(paths[0]) is None)
    turns = [group[turn] for turn in range(max(map(len, groups))) for group in groups if turn < len(group)]
    return turns[:count]


def _cell(name: str, answer: Answer, opened: Opened, label: str) -> Any:
    from jumok.views.comparison import Cell

    method, heat = next(iter(answer.heats.items()), ("", None))
    said, probability = opened.classes[answer.predicted], float(answer.probabilities.max())
    return Cell(heat, f"{said} {probability:.0%}", said == label, f"{name}: {method}")


def _figures(result: Result, report: Report | None) -> dict[str, Any]:
    """A system's row of the table."""
    from jumok.views.comparison import Measure

    figures = {
        "accuracy": Measure(f"{result.accuracy:.1%}", result.accuracy, result.low, result.high),
        "weights": Measure(f"{result.parameters:,}", result.parameters),
        "train, images/s": Measure(f"{result.train_rate:,.0f}", result.train_rate),
        "use, images/s": Measure(f"{result.use_rate:,.0f}", result.use_rate),
        "epochs": Measure(f"{result.epochs}"),
    }
    if result.memory is not None:
        figures["memory, MiB"] = Measure(f"{result.memory:,.0f}", result.memory)
    own = None if report is None else next((each for each in report.methods if each.method == result.system), None)
    return figures | ({} if own is None else _looking(own.scores))


def _looking(scores: Mapping[str, Any]) -> dict[str, Any]:
    """The scores of where was looked."""
    from jumok.views.comparison import Measure

    pointing, auprc = scores["pointing"], scores["auprc"]
    return {
        "pointing game": Measure(f"{pointing.value:.1%}", pointing.value, pointing.low, pointing.high),
        "AUPRC": Measure(f"{auprc.value:.3f}", auprc.value, auprc.low, auprc.high),
    }


def _table(columns: Sequence[Column]) -> Any:
    """The figures for the terminal."""
    from rich.table import Table

    headings = [name for name in HEADINGS if any(name in column.figures for column in columns)]
    shown = Table("system")
    for heading in headings:
        shown.add_column(heading, justify="right")
    for column in columns:
        figures = (column.figures.get(heading) for heading in headings)
        shown.add_row(column.name, *("" if figure is None else figure.text for figure in figures))
    return shown
