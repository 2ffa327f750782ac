"""Whether a translator's words look at the right source words: its alignments against true links."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from jumok.app.scored_maps import MeasuredMaps, ScoredMaps
from jumok.app.session import Session, write_report
from jumok.errors import JumokError
from jumok.tasks.running.config import Strict

if TYPE_CHECKING:
    from jumok.attention.word_alignment import Aligned
    from jumok.data.pairs.pair_set import PairSet
    from jumok.measures.alignment_error import AlignmentReport
    from jumok.tasks.translate.run import PairRun

FROM_ONE = "warning: no link of {} touches a first word, so it seems to be counted from 1: then give --one-based"
PAIRS_AT_ONCE = 256
"""Pairs whose maps are in memory at once."""


class Options(Strict):
    """Options of `jumok measure` for sentence pairs."""

    alignments: str | None = Field(default=None, description="Pharaoh file of the true links.")
    characters: bool = Field(default=False, description="The links are between characters, not words.")
    one_based: bool = Field(default=False, description="The links count from 1.")


def measure(
    model: str, data: Sequence[Path], options: Options, *, methods: tuple[str, ...], out: Path, session: Session
) -> MeasuredMaps:
    """Score each reading of the attention by precision, recall and AER, beside the diagonal.

    Args:
        model: folder of the run.
        data: files of pairs.
        options: of sentence pairs.
        methods: readings; none for all.
        out: folder for the figures.
        session: of the command.
    Raises:
        JumokError: files that cannot be read or do not fit each other, or a model without attention.
    """
    from jumok.views.pictures.charts import draw_scores

    if options.alignments is None:
        raise JumokError(
            "measure needs ground truth: give the true links, as in "
            f"jumok measure {model} pairs.tsv --alignments gold.txt"
        )
    if not data:
        raise JumokError("measure needs data: give the files of the sentence pairs that the links are of")
    report, remarks = _score_pairs(Path(model), data, Path(options.alignments), options, methods, session)
    about: dict[str, Any] = {"model": model, "data": [str(path) for path in data], "alignments": options.alignments}
    written = {"figures": out / "measure.json", "picture": out / "measure.png"}
    notes = tuple(f"remark: {remark}" for remark in remarks)
    scored = ScoredMaps(report, _compare_with_baseline(report))
    found = MeasuredMaps({**about, "remarks": remarks}, [scored], notes, written)
    write_report(written["figures"], found)
    draw_scores(report, written["picture"], title="Do the words look at what they translate?")
    return found


def _compare_with_baseline(report: AlignmentReport) -> list[str]:
    """For each reading, how its alignment error compares with the baseline's."""
    lines = []
    for gap in report.differences:
        interval = gap.scores["aer"]
        verdict = "better than" if interval.high < 0 else "not significantly better than"
        lines.append(f"{gap.method}: AER {interval.value:+.3f}, {verdict} the {gap.baseline}")
    return lines


def _score_pairs(
    run: Path, files: Sequence[Path], gold: Path, options: Options, methods: Sequence[str], session: Session
) -> tuple[AlignmentReport, list[str]]:
    """Align all pairs and compare the links. Returns the scores, and remarks."""
    from jumok.app.translate.evaluate import remarks_on
    from jumok.data.pairs.alignment_files import read_links, seem_counted_from_one
    from jumok.data.pairs.pair_set import read_pairs
    from jumok.measures.alignment_error import AlignmentMeter
    from jumok.tasks.translate.aligning import choose_reading, list_readings
    from jumok.tasks.translate.run import PairRun

    trained = PairRun.load(run, session.device)
    known = list_readings(trained)
    chosen = tuple(dict.fromkeys(choose_reading(method, known) for method in methods)) or known
    if options.characters and trained.target.kind != "characters":
        raise JumokError(
            f"{run} cuts text into {trained.target.kind}, so it has no links between characters: leave out --characters"
        )
    data = trained.config.data
    pairs = read_pairs(files, lowercase=data.lowercase, reverse=data.backwards)
    truth = read_links(gold, one_based=options.one_based, turned=data.backwards)
    if len(truth) != len(pairs):
        raise JumokError(
            f"{gold} has links for {len(truth)} sentences, but there are {len(pairs)} pairs "
            f"({pairs.empty} empty ones were skipped): wanted a line for each"
        )
    meter = AlignmentMeter(seed=session.seed)
    for number, (one, wanted) in enumerate(zip(_align_all(trained, pairs, options.characters), truth, strict=True), 1):
        found = {name: one.links(name) for name in chosen}
        meter.add(wanted, found, source=len(one.source), target=len(one.target), name=f"{gold}, line {number}")
    doubtful = not options.one_based and seem_counted_from_one(truth)
    return meter.report(), [*remarks_on(pairs), *([FROM_ONE.format(gold)] if doubtful else [])]


def _align_all(run: PairRun, pairs: PairSet, characters: bool) -> Iterator[Aligned]:
    """All pairs, of which some are in memory at once."""
    from jumok.tasks.translate.aligning import align

    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        some = slice(start, start + PAIRS_AT_ONCE)
        texts = zip(pairs.sources[some], pairs.targets[some], strict=True)
        yield from align(run, [run.split_pair(*pair) for pair in texts], pieces=characters)
