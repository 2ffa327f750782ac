"""What is shown and written of a comparison, whatever its task: figures, a page, and how well maps mark the truth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

from jumok.app.faithful import OF_PLACES
from jumok.app.measuring import FEWEST, Plan, Tell
from jumok.app.session import Session, write_report
from jumok.durations import format_duration, parse_duration
from jumok.errors import JumokError
from jumok.language import join_later, later, translate
from jumok.wording import write_count

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from torch import Tensor

    from jumok.attention import AttentionMap
    from jumok.measures.faithfulness_report import FaithfulnessReport
    from jumok.measures.report import Report
    from jumok.tasks.running.comparison import Comparison, Result
    from jumok.views.pages.comparison_page import Cell, Column, ComparisonPage, Measure

__all__ = ["IMAGES_AT_ONCE", "ComparedInput", "ComparisonReport"]

IMAGES_AT_ONCE = 16
"""Images that are looked at together."""
SCORE_COLUMNS: dict[str, str] = {
    later("accuracy"): "most",
    "SRG": "most",
    later("over baselines"): "most",
    later("pointing game"): "most",
    "AUPRC": "most",
}
"""Columns on how well each did, and whether the most or the least is best."""
COST_COLUMNS: dict[str, str] = {
    later("weights"): "least",
    later("train, {unit}/s"): "most",
    later("use, {unit}/s"): "most",
    later("memory, MiB"): "least",
    later("epochs"): "",
}
"""Columns on what that took."""
MOST_PARTS = 8
"""Kinds of a test that have columns of their own; the most frequent."""

STEPS, MOST_MEASURED = 8, 64
"""Of the faithfulness of each system's map."""
LEAST_SECONDS = 5.0
"""For that, however short the training was."""

T = TypeVar("T")


class ComparedInput(NamedTuple):
    """One image, or one question about an image, and what every system made of it.

    Args:
        name: of the image.
        label: what is right.
        picture: (3, height, width) uint8.
        mask: (height, width) bool, where to look; None where there is no such place, or none is known.
        cells: by system.
        question: that was asked about the image, if any was.
    """

    name: str
    label: str
    picture: Tensor
    mask: Tensor | None
    cells: Mapping[str, Cell]
    question: str = ""


@dataclass(frozen=True)
class Compared:
    """What came of a comparison.

    Args:
        about: data, budget, and what became of each system, in plain values.
        tables: for the terminal.
        summary: one line on the maps, where there are masks.
        page: that was written.
    """

    about: Mapping[str, Any]
    tables: Sequence[Table]
    summary: Sequence[str]
    page: Path

    @property
    def status(self) -> int:
        """The exit status: 1 if a system could not be trained."""
        return 1 if self.about["errors"] else 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dict(self.about)

    def lines(self) -> Iterator[RenderableType]:
        """For the terminal."""
        yield from self.tables
        yield from self.summary
        yield f"page: {self.page}"


@dataclass
class ComparisonReport(ABC, Generic[T]):
    """A comparison's outcome.

    Args:
        comparison: whose it is.
        results, errors: of each system that could be trained, and of each that could not.
        truth: masks of where to look; None for none.
        shown: rows of the page.
        budget: of time, as the user said it.
        out: folder for the figures and the page.
    """

    comparison: Comparison[Any]
    results: Sequence[Result]
    errors: Mapping[str, str]
    truth: Any
    shown: int
    budget: str
    out: Path

    asking: ClassVar[bool] = False
    """Whether questions are asked about the images."""

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """What was compared, in plain values."""

    @abstractmethod
    def title(self) -> str:
        """A name for the data."""

    @abstractmethod
    def lead(self) -> str:
        """The data in a few words."""

    @abstractmethod
    def marked(self) -> Sequence[T]:
        """All of the test that has a place to look at."""

    @abstractmethod
    def chosen(self) -> Sequence[T]:
        """What of the test is shown."""

    @abstractmethod
    def looked(self, some: Sequence[T]) -> Iterator[ComparedInput]:
        """What every system makes of these."""

    def parts(self, result: Result) -> dict[str, tuple[Measure, int]]:
        """The accuracy on each kind of test, and how many are of that kind; empty where there is one kind."""
        return {}

    def maps_without_model(self, picture: Tensor) -> dict[str, AttentionMap]:
        """Maps of one image that know no model, to stand beside the systems' own."""
        return {}

    @abstractmethod
    def shows_map(self, system: str) -> bool:
        """Whether there is a map of where a system looks."""

    @abstractmethod
    def measure(self, system: str, plan: Plan, tell: Tell) -> FaithfulnessReport | None:
        """How faithful the map that is shown of a system is to it; None where the time was too short."""

    @abstractmethod
    def command(self, system: str) -> str:
        """The command that measures a system by itself."""

    def faithfulness(self, session: Session) -> dict[str, FaithfulnessReport]:
        """Of each system that has a map; for each a tenth of its training time, `LEAST_SECONDS` at least.

        Of one that could not be measured it is said why.
        """
        plan = Plan(OF_PLACES, STEPS, MOST_MEASURED, max(LEAST_SECONDS, self.comparison.budget / 10))
        reports: dict[str, FaithfulnessReport] = {}
        for name in (result.system for result in self.results if self.shows_map(result.system)):
            found = self._try_to_measure(name, plan, session)
            if isinstance(found, str):
                session.remark(f"{name} has no SRG: {found}; {self.command(name)} measures it by itself")
            else:
                reports[name] = found
        return reports

    def _try_to_measure(self, system: str, plan: Plan, session: Session) -> FaithfulnessReport | str:
        """The report, or why there is none."""
        from jumok.app.progress import show_progress

        try:
            with show_progress(session.console, f"taking parts away: {system}") as tell:
                found = self.measure(system, plan, tell)
        except JumokError as error:
            return str(error)
        given = format_duration(plan.seconds or 0)  # only with an end can there be too little time
        return found or f"{given} were too short for {FEWEST} {later(self.results[0].unit)}"

    def made(self, session: Session) -> Compared:
        """Look with every system, and write the figures and the page."""
        report = None if self.truth is None else self._score_maps(session)
        faithful = self.faithfulness(session)
        columns = self._build_columns(report, faithful)
        page = self.out / "index.html"
        self._build_page(columns, self.budget).write(page)
        about = {
            **self.about(),
            "budget": self.budget,
            "systems": [result.model_dump() for result in self.results],
            "errors": dict(self.errors),
            "looking": None if report is None else report.to_dict(),
            "faithfulness": {name: found.to_dict() for name, found in faithful.items()},
        }
        summary = [] if report is None else [report.summary()]
        summary += [verdict for name, found in faithful.items() for verdict in _tell_verdicts(name, found)]
        found = Compared(about, list(self._build_tables(columns)), summary, page)
        write_report(self.out / "compare.json", found)
        return found

    def _score_maps(self, session: Session) -> Report | None:
        """Score every system's maps against the masks; None where no system has maps."""
        from jumok.app.progress import show_progress
        from jumok.measures.localisation_meter import LocalisationMeter

        meter = LocalisationMeter(seed=self.comparison.base.training.seed, blank_is_chance=True)
        marked = self.marked()
        with show_progress(session.console, "looking") as count:
            for done, each in enumerate(self.looked(marked), 1):
                heats = {name: cell.heat for name, cell in each.cells.items() if cell.heat is not None}
                if not heats:
                    session.remark("no system says where it looked: there is nothing to compare with the masks")
                    return None
                others = self.maps_without_model(each.picture) if each.mask is not None else {}
                meter.add(each.picture, each.mask, heats, baselines=others, name=each.name, group=each.name)
                count(done, len(marked))
        for name, blank in meter.blank.items():
            session.remark(f"{name}: {write_count(blank, 'map is', 'maps are')} empty, which counts as chance")
        return meter.report(noun=self.results[0].unit)

    def _build_columns(self, report: Report | None, faithful: Mapping[str, FaithfulnessReport]) -> list[Column]:
        from jumok import systems
        from jumok.views.pages.comparison_page import Column

        kept = self._find_frequent_kinds()
        found = [
            Column(
                result.system,
                systems.attends(result.system),
                _list_figures(result, report) | _list_faithfulness(faithful.get(result.system)),
                parts={name: figure for name, (figure, _) in self.parts(result).items() if name in kept},
            )
            for result in self.results
        ]
        failed = [Column(name, systems.attends(name), error=error) for name, error in self.errors.items()]
        baselines = [
            Column(each.method, later("a map without a model"), _list_map_scores(each.scores), baseline=True)
            for each in (() if report is None else report.baselines)
        ]
        return [*found, *failed, *baselines]

    def _list_headings(self, columns: Sequence[Column], kept: Mapping[str, str]) -> dict[str, str]:
        """Those headings under which there are figures, and what the best is."""
        unit = later(self.results[0].unit)
        headings = {later(name, unit=unit): way for name, way in kept.items()}
        return {name: way for name, way in headings.items() if any(name in column.figures for column in columns)}

    def _build_tables(self, columns: Sequence[Column]) -> Iterator[Table]:
        """The figures for the terminal, in tables that are narrow enough for it."""
        figures = {column.name: column.figures for column in columns}
        parts = {column.name: column.parts for column in columns}
        for headings, rows in (
            (self._list_headings(columns, SCORE_COLUMNS), figures),
            (parts[self.results[0].system], parts),
            (self._list_headings(columns, COST_COLUMNS), figures),
        ):
            if headings:
                yield _build_table(list(headings), rows)

    def _find_frequent_kinds(self) -> set[str]:
        """The kinds of test that are shown."""
        counts = Counter({name: count for name, (_, count) in self.parts(self.results[0]).items()})
        return {name for name, _ in counts.most_common(MOST_PARTS)}

    def _build_page(self, columns: Sequence[Column], budget: str) -> ComparisonPage:
        from jumok.views.pages.comparison_page import IMAGES, QUESTIONS, ComparisonPage

        lead = translate(
            "{data}; each system was trained for {budget} with the same settings, and judged on {count} test {unit}.",
            data=self.lead(),
            budget=format_duration(parse_duration(budget, "--budget")),
            count=f"{self.results[0].tested:,}",
            unit=translate(self.results[0].unit),
        )
        words = QUESTIONS if self.asking else IMAGES
        page = ComparisonPage(
            translate("Side by side: {name}", name=self.title()),
            lead,
            self._list_headings(columns, {**SCORE_COLUMNS, **COST_COLUMNS}),
            columns,
            words,
        )
        for each in self.looked(self.chosen()):
            page.add(each.name, each.label, each.picture, each.mask, list(each.cells.values()), question=each.question)
        return page


def _list_figures(result: Result, report: Report | None) -> dict[str, Measure]:
    """A system's row of the table."""
    from jumok.views.pages.comparison_page import Measure

    figures = {
        "accuracy": Measure(f"{result.accuracy:.1%}", result.accuracy, result.low, result.high),
        "weights": Measure(f"{result.parameters:,}", result.parameters),
        f"train, {result.unit}/s": Measure(f"{result.train_rate:,.0f}", result.train_rate),
        f"use, {result.unit}/s": Measure(f"{result.use_rate:,.0f}", result.use_rate),
        "epochs": Measure(f"{result.epochs:,.1f}"),
    }
    if result.memory is not None:
        figures["memory, MiB"] = Measure(f"{result.memory:,.0f}", result.memory)
    own = None if report is None else next((each for each in report.methods if each.method == result.system), None)
    return figures | ({} if own is None else _list_map_scores(own.scores))


def _list_faithfulness(report: FaithfulnessReport | None) -> dict[str, Measure]:
    """How faithful a system's map is, where the filling speaks least for it."""
    from jumok.views.pages.comparison_page import Measure

    if report is None:
        return {}
    method = report.methods[0].method
    filling, baseline, gain = report.hardest(method)
    own = report.srg(method, filling)
    beaten_by = baseline if round(gain.value, 2) <= 0 else ""
    return {
        "SRG": Measure(f"{own.value:z.2f}", own.value, own.low, own.high, beaten_by),
        "over baselines": Measure(f"{gain.value:+z.2f}", gain.value, gain.low, gain.high, beaten_by),
    }


def _tell_verdicts(system: str, report: FaithfulnessReport) -> list[str]:
    return [join_later(", ", [system, verdict]) for verdict in report.verdicts()]


def _list_map_scores(scores: Mapping[str, Any]) -> dict[str, Measure]:
    """The scores of where was looked."""
    from jumok.views.pages.comparison_page import Measure

    pointing, auprc = scores["pointing"], scores["auprc"]
    return {
        "pointing game": Measure(f"{pointing.value:.1%}", pointing.value, pointing.low, pointing.high),
        "AUPRC": Measure(f"{auprc.value:.3f}", auprc.value, auprc.low, auprc.high),
    }


def _build_table(headings: Sequence[str], rows: Mapping[str, Mapping[str, Measure]]) -> Table:
    """A row for each system that has any of these figures."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    shown = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    shown.add_column("system", no_wrap=True)
    for heading in headings:
        shown.add_column(heading, justify="right")
    for system, figures in rows.items():
        texts = [figures[heading].text if heading in figures else "" for heading in headings]
        if any(texts):
            shown.add_row(system, *texts)
    return shown
