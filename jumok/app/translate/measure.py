"""Whether a translator's attention can be believed: whether it is faithful to the model, and links what links link."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from jumok.app.faithful import (
    FAITHFUL,
    OF_WORDS,
    PARTIAL,
    FaithfulOptions,
    count_inputs,
    draw_some,
    explain_early_end,
    explain_too_few,
    show_faithfulness,
)
from jumok.app.scored_maps import MeasuredMaps, ScoredMaps
from jumok.app.session import Session, write_report
from jumok.errors import JumokError
from jumok.language import later, later_count
from jumok.wording import typed, write_count

if TYPE_CHECKING:
    from jumok.app.measuring import Plan
    from jumok.app.partial import PartialFile
    from jumok.attention.word_alignment import Aligned
    from jumok.data.pairs.alignment_files import Links
    from jumok.data.pairs.pair_set import PairSet
    from jumok.measures.alignment_error import AlignmentReport
    from jumok.tasks.translate.run import PairRun

FROM_ONE = "no link of {} touches a first word, so it seems to be counted from 1: then give --one-based"
BETTER = later("{method}: better than the {baseline}, its AER is lower by {by}")
NO_BETTER = later("{method}: not significantly better than the {baseline}, its AER is lower by {by}")
HIGHER = later("{method}: not better than the {baseline}, its AER is higher by {by}")
PAIRS_AT_ONCE = 256
"""Pairs whose maps are in memory at once."""


class Options(FaithfulOptions):
    """Options of `jumok measure` for sentence pairs."""

    alignments: str | None = Field(default=None, description="Pharaoh file of the true links.")
    characters: bool = Field(default=False, description="The links are between characters, not words.")
    one_based: bool = Field(default=False, description="The links count from 1.")


def measure(
    model: str, data: Sequence[Path], options: Options, *, methods: tuple[str, ...], out: Path, session: Session
) -> MeasuredMaps:
    """Measure each reading of the attention beside baselines: against the model, and against true links if given.

    Args:
        model: folder of the run.
        data: files of pairs; none for the run's own, which have no links.
        options: of sentence pairs.
        methods: readings; none for all.
        out: folder for the figures.
        session: of the command.
    Raises:
        JumokError: files that cannot be read or do not fit each other, or a model without attention.
    """
    from jumok.app.translate.evaluate import remarks_on
    from jumok.measures.word_units import check_word_fillings

    if options.alignments is None and not options.faithful:
        raise JumokError("without --alignments there is nothing to measure but faithfulness: leave out --no-faithful")
    if options.alignments is not None and not data:
        raise JumokError(
            f"--alignments has a line for each pair: give their file too, as in jumok measure {typed(model)} pairs.tsv "
            f"--alignments {typed(options.alignments)}"
        )
    check_word_fillings(options.fillings)
    run, pairs, chosen = _open(Path(model), data, methods, session)
    remarks = list(remarks_on(pairs))
    about: dict[str, Any] = {
        "model": model,
        "data": [str(path) for path in pairs.files],
        "alignments": options.alignments,
    }
    parts: list[ScoredMaps] = []
    if options.alignments is not None:
        scored, doubts = _score_links(run, pairs, chosen, Path(options.alignments), options, session)
        parts.append(scored)
        remarks += doubts
    if options.faithful:
        faithful, doubts = _measure_faithfulness(run, pairs, chosen, options, out, session, alone=not parts)
        parts += faithful
        remarks += doubts
    notes = tuple(f"remark: {remark}" for remark in remarks)
    written = {"figures": out / "measure.json"} | {_NAMES[part.key]: out / _PICTURES[part.key] for part in parts}
    found = MeasuredMaps({**about, "remarks": remarks}, parts, notes, written)
    write_report(written["figures"], found)
    _draw(parts, out)
    return found


_PICTURES = {"": "measure.png", FAITHFUL: "faithfulness.png"}
_NAMES = {"": "picture", FAITHFUL: FAITHFUL}


def _draw(parts: Sequence[ScoredMaps], out: Path) -> None:
    """Write a picture of each kind of score."""
    from jumok.views.pictures.charts import draw_scores
    from jumok.views.pictures.faithfulness_curves import draw_curves

    for part in parts:
        if part.key == FAITHFUL:
            draw_curves(part.scores, out / _PICTURES[part.key])
        else:
            draw_scores(part.scores, out / _PICTURES[part.key], title="Do the words look at what they translate?")


def _open(
    model: Path, files: Sequence[Path], methods: Sequence[str], session: Session
) -> tuple[PairRun, PairSet, tuple[str, ...]]:
    """The run, the pairs and the readings that are measured."""
    from jumok.app.translate.evaluate import select
    from jumok.tasks.translate.aligning import choose_reading, list_readings
    from jumok.tasks.translate.run import PairRun

    run = PairRun.load(model, session.device)
    known = list_readings(run)
    chosen = tuple(dict.fromkeys(choose_reading(method, known) for method in methods)) or known
    return run, select(run, files, "auto")[0], chosen


def _measure_faithfulness(
    run: PairRun, pairs: PairSet, methods: Sequence[str], options: Options, out: Path, session: Session, *, alone: bool
) -> tuple[list[ScoredMaps], list[str]]:
    """Measure some of the sentences. Returns the scores, and remarks."""
    from jumok.app.progress import show_progress
    from jumok.app.translate.faithful import measure_faithfulness

    plan, seed = options.plan(OF_WORDS, early=True), session.seed
    kept = _keep(run, draw_some(pairs.sources, plan.most, seed), methods, plan, out, session)
    try:
        with show_progress(session.console, "taking words away") as tell:
            found = measure_faithfulness(run, pairs.sources, methods, plan, seed=seed, tell=tell, kept=kept)
    except JumokError as error:  # such as sentences of one word; the links are worth telling all the same
        if alone:
            raise
        return [], [f"faithfulness: {error}"]
    if found.report is None:
        return [], [explain_too_few(found.why, "sentences", alone=alone)]
    sentences = later_count(found.sentences, "{count} sentence", "{count} sentences")
    remarks = [explain_early_end(found.why, sentences, goes_on=kept.path.exists())] if found.why else []
    if found.left_out:
        left = write_count(found.left_out, "sentence is", "sentences are")
        remarks.append(f"faithfulness: {left} left out: of one word, or translated by one")
    return [show_faithfulness(found.report, title=count_inputs(later("source words"), sentences))], remarks


def _keep(
    run: PairRun, sources: Sequence[str], methods: Sequence[str], plan: Plan, out: Path, session: Session
) -> PartialFile:
    """Where what was measured of some sentences is kept."""
    from jumok.app.partial import PartialFile
    from jumok.app.resuming import identify

    about = (run.config, run.source.fingerprint(), run.target.fingerprint())
    key = identify(run.model, about, {"sentences": sources}, methods, plan.settings(session.seed))
    return PartialFile(out / PARTIAL, key, session.remark, "sentence")


def _compare_with_baseline(report: AlignmentReport) -> list[str]:
    """For each reading, how its alignment error compares with the baseline's."""
    from jumok.measures.report import show_interval

    lines: list[str] = []
    for gap in report.differences:
        more = gap.scores["aer"]
        text, by = (BETTER if more.high < 0 else NO_BETTER, -more) if more.value <= 0 else (HIGHER, more)
        lines.append(later(text, method=gap.method, baseline=gap.baseline, by=show_interval(by)))
    return lines


def _score_links(
    run: PairRun, pairs: PairSet, methods: Sequence[str], gold: Path, options: Options, session: Session
) -> tuple[ScoredMaps, list[str]]:
    """Align all pairs and compare the links. Returns the scores, and remarks."""
    from jumok.data.pairs.alignment_files import seem_counted_from_one
    from jumok.measures.alignment_error import AlignmentMeter

    if options.characters and run.target.kind != "characters":
        raise JumokError(
            f"{run.folder} cuts text into {run.target.kind}, so it has no links between characters: "
            "leave out --characters"
        )
    truth, lines = _read_truth(gold, pairs, one_based=options.one_based, turned=run.config.data.backwards)
    doubtful = not options.one_based and seem_counted_from_one(truth)
    meter = AlignmentMeter(seed=session.seed)
    for line, one, wanted in zip(lines, _align_all(run, pairs, options.characters), truth, strict=True):
        found = {name: one.links(name) for name in methods}
        try:
            meter.add(wanted, found, source=len(one.source), target=len(one.target), name=f"{gold}, line {line}")
        except JumokError as error:
            if not doubtful:
                raise
            raise JumokError(f"{error}; {FROM_ONE.format(gold)}") from None
    report = meter.report()
    return ScoredMaps(report, _compare_with_baseline(report)), [f"warning: {FROM_ONE.format(gold)}"] if doubtful else []


def _read_truth(gold: Path, pairs: PairSet, *, one_based: bool, turned: bool) -> tuple[list[Links], list[int]]:
    """The gold links of each pair, and the lines that they stand in; lines of pairs that were skipped may be there."""
    from jumok.data.pairs.alignment_files import read_links

    truth = read_links(gold, one_based=one_based, turned=turned)
    if pairs.empty and len(truth) == len(pairs) + pairs.empty:
        skipped = frozenset(pairs.lines)
        lines = [line for line in range(1, len(truth) + 1) if line not in skipped]
        return [truth[line - 1] for line in lines], lines
    if len(truth) != len(pairs):
        raise JumokError(
            f"{gold} has links for {len(truth)} sentences, but there are {len(pairs)} pairs "
            f"({pairs.empty} empty ones were skipped): wanted a line for each"
        )
    return truth, list(range(1, len(truth) + 1))


def _align_all(run: PairRun, pairs: PairSet, characters: bool) -> Iterator[Aligned]:
    """All pairs, of which some are in memory at once."""
    from jumok.tasks.translate.aligning import align

    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        some = slice(start, start + PAIRS_AT_ONCE)
        texts = zip(pairs.sources[some], pairs.targets[some], strict=True)
        yield from align(run, [run.split_pair(*pair) for pair in texts], pieces=characters)
