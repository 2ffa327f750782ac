"""Whether maps of words are faithful to a text classifier: words are taken away in their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field

from jumok.app.faithful import (
    FAITHFUL,
    OF_WORDS,
    PARTIAL,
    FaithfulOptions,
    conclude,
    draw_some,
    explain_early_end,
    explain_too_few,
    show_faithfulness,
)
from jumok.app.label.chosen import choose_texts
from jumok.app.measuring import Measuring, Plan, Tell, measure_in_turn
from jumok.app.scored_maps import MeasuredMaps, ScoredMaps
from jumok.app.session import Session, write_report
from jumok.errors import JumokError
from jumok.language import later_count
from jumok.wording import write_count

if TYPE_CHECKING:
    from jumok.app.partial import PartialFile
    from jumok.measures.faithfulness_meter import FaithfulnessMeter
    from jumok.measures.faithfulness_report import FaithfulnessReport
    from jumok.tasks.label.looking import Explained
    from jumok.tasks.label.run import TextRun

OTHER_CLASS = "other class"
"""The map of the class that the model holds for the second most probable one."""
AGAIN = "run the same command again to go on, or give more --time"
FEWEST_WORDS = 3
"""A text of fewer words has no order worth measuring."""


class Options(FaithfulOptions):
    """Options of `jumok measure` for texts."""

    text_column: str | None = Field(default=None, description="Column of the texts (left out: as in training).")
    label_column: str | None = Field(default=None, description="Column of the classes (left out: as in training).")
    split: str = Field(default="auto", description="auto | train | val | test | all; auto: test, or else all.")


def measure(
    model: str, data: Sequence[Path], options: Options, *, methods: tuple[str, ...], out: Path, session: Session
) -> MeasuredMaps:
    """Measure how faithful maps of words are, beside random maps, word places, word lengths and another class's map.

    Args:
        model: folder of the run.
        data: tables of texts; none for the run's own.
        options: of texts.
        methods: of attribution; none for all that are quick.
        out: folder for the figures.
        session: of the command.
    Raises:
        JumokError: texts that cannot be read, or nothing that can be measured.
    """
    from jumok.app.label.chosen import TextOptions
    from jumok.app.progress import show_progress
    from jumok.measures.word_units import check_word_fillings
    from jumok.tasks.label.looking import check_method
    from jumok.tasks.label.run import TextRun
    from jumok.views.pictures.faithfulness_curves import draw_curves

    if not options.faithful:
        raise JumokError("of texts nothing is measured but faithfulness: leave out --no-faithful")
    plan = options.plan(OF_WORDS, early=True)
    check_word_fillings(plan.fillings)
    wanted = tuple(map(check_method, methods))
    run = TextRun.load(model, session.device)
    columns = TextOptions(text_column=options.text_column, label_column=options.label_column)
    chosen = choose_texts(run, data, columns, options.split)
    kept = _keep(run, chosen.texts.texts, wanted, plan, out, session)
    with show_progress(session.console, "taking words away") as tell:
        found = measure_faithfulness(run, chosen.texts.texts, wanted, plan, seed=session.seed, tell=tell, kept=kept)
    about = {"model": model, "data": [str(path) for path in chosen.files], "split": chosen.part}
    notes = [f"remark: {line}" for line in (*chosen.remarks, *found.remarks)]
    parts: list[ScoredMaps] = []
    written = {"figures": out / "measure.json"}
    if found.report is None:
        notes.append(f"remark: {explain_too_few(found.why, 'texts', alone=True, advice=AGAIN)}")
    else:
        if found.why:
            texts = later_count(found.report.inputs, "{count} text", "{count} texts")
            notes.append(f"remark: {explain_early_end(found.why, texts, goes_on=kept.path.exists())}")
        parts.append(show_faithfulness(found.report))
        written[FAITHFUL] = out / "faithfulness.png"
        draw_curves(found.report, written[FAITHFUL])
    report = MeasuredMaps(about, parts, notes, written)
    write_report(written["figures"], report)
    return report


def _keep(
    run: TextRun, texts: Sequence[str], methods: Sequence[str], plan: Plan, out: Path, session: Session
) -> PartialFile:
    """Where what was measured of some texts is kept."""
    from jumok.app.partial import PartialFile
    from jumok.app.resuming import identify

    chosen = draw_some(texts, plan.most, session.seed)
    key = identify(run.model, run.config, {"texts": chosen}, methods, plan.settings(session.seed))
    return PartialFile(out / PARTIAL, key, session.remark, "text")


class MeasuredTexts(NamedTuple):
    """What came of it.

    Args:
        report: None where too few texts were measured.
        why: the measuring ended before all texts were measured; empty where it did not.
        remarks: what the user should know.
    """

    report: FaithfulnessReport | None
    why: str
    remarks: Sequence[str]


def measure_faithfulness(
    run: TextRun,
    texts: Sequence[str],
    methods: Sequence[str],
    plan: Plan,
    *,
    seed: int,
    tell: Tell | None = None,
    kept: PartialFile | None = None,
) -> MeasuredTexts:
    """Measure how faithful maps of words are for some texts.

    The score is the probability of the class that is predicted on the whole text. Ctrl-C ends it; what was measured is
    kept, where it is enough.

    Args:
        run: a text classifier.
        texts: some of them are drawn, by the seed, where there are more than wanted.
        methods: of attribution; none for all that are quick and fit the model.
        plan: how it is measured.
        seed: of the choice of texts, of random maps and of the intervals.
        tell: called with how many texts were measured, of how many.
        kept: where figures are kept meanwhile, and from where measuring goes on.
    Raises:
        JumokError: a method that does not fit the model, or nothing that can be measured.
    """
    from jumok.tasks.label.looking import list_methods

    chosen = draw_some(texts, plan.most, seed)
    fit, unfit = (list(methods), {}) if methods else _find_fitting(run, chosen[0], list_methods())
    measuring = _Texts(run, chosen, fit, plan, seed)
    why = measure_in_turn(measuring, plan, tell=tell, kept=kept)
    if not len(measuring.meter):
        raise JumokError(f"faithfulness needs texts of {FEWEST_WORDS} words or more: none of {len(chosen)} has them")
    remarks = [f"{name} is left out: {reason}" for name, reason in unfit.items()]
    if measuring.left_out:
        left = write_count(measuring.left_out, "text is", "texts are")
        remarks.append(f"{left} left out: of fewer than {FEWEST_WORDS} words")
    return MeasuredTexts(conclude(measuring.meter, why, "texts"), why, remarks)


def _find_fitting(run: TextRun, text: str, names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Which methods fit the model, and why the others do not."""
    from jumok.tasks.label.looking import explain

    unfit = {}
    for name in names:
        try:
            explain(run, text, [name])
        except JumokError as error:
            unfit[name] = str(error)
    fit = [name for name in names if name not in unfit]
    if not fit:
        raise JumokError(f"no method fits this model: {next(iter(unfit.values()))}")
    return fit, unfit


class _Texts(Measuring["tuple[str, Explained | None]"]):
    """Texts that are explained and measured one after the other."""

    def __init__(self, run: TextRun, texts: Sequence[str], methods: Sequence[str], plan: Plan, seed: int) -> None:
        from jumok.measures.faithfulness_meter import FaithfulnessMeter
        from jumok.measures.word_units import WordUnits

        most = len(texts) if plan.early and len(texts) > 1 else None
        meter = FaithfulnessMeter(steps=plan.steps, saco=plan.saco, seed=seed, most=most)
        super().__init__(len(texts), texts=meter)
        self.run, self.texts, self.methods = run, texts, methods
        ids = {"unknown": run.tokens.mask, "padding": run.tokens.padding}
        self.units: WordUnits = WordUnits(run.model, **ids, fillings=plan.fillings)

    @property
    def meter(self) -> FaithfulnessMeter:
        """Of the texts."""
        return self.meters["texts"]

    def read(self) -> Iterator[tuple[str, Explained | None]]:
        """Explain each text; None for one that is too short."""
        from jumok.tasks.label.looking import explain

        for text in self.texts[self.done :]:
            long = len(self.run.cut(text).words) >= FEWEST_WORDS
            yield text, explain(self.run, text, self.methods) if long else None

    def measure(self, given: tuple[str, Explained | None]) -> None:
        """Measure one text."""
        import torch

        from jumok.tasks.label.looking import explain

        text, one = given
        if one is None:
            self.left_out += 1
            return
        second = int(one.probabilities.topk(2).indices[1])
        of_target = next((name for name in self.methods if _is_of_target(name)), None)
        baselines = dict(self.units.baselines(one.cut.words))
        if of_target is not None:
            other = explain(self.run, text, [of_target], second)
            baselines[OTHER_CLASS] = other.maps[of_target].weights[0]
        tokens, owner = (torch.tensor(each, device=self.run.device) for each in (one.cut.ids, one.cut.owner))
        answers = self.units.answers(tokens, words=owner, target=one.target)
        maps = {name: found.weights[0] for name, found in one.maps.items()}
        self.meter.add(answers, maps, baselines=baselines, name=text[:60])


def _is_of_target(name: str) -> bool:
    from jumok.attribution import METHODS

    return METHODS[name].of_target
