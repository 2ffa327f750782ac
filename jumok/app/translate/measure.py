"""Whether a translator's words look at the right source words: its alignments against true links."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jumok.errors import JumokError

if TYPE_CHECKING:
    from rich.console import Console

    from jumok.data.pairs.pair_set import PairSet
    from jumok.measures.alignment_error import AlignmentReport
    from jumok.tasks.translate.aligning import Aligned
    from jumok.tasks.translate.run import PairRun

AT_ONCE = 256
"""Pairs whose maps are in memory at once."""


def measure_alignments(
    run: Path,
    files: Sequence[Path],
    gold: Path,
    *,
    methods: Sequence[str],
    characters: bool,
    one_based: bool,
    out: Path,
    seed: int,
    device: str,
    console: Console,
) -> None:
    """Score each reading of the attention by precision, recall and AER, beside the diagonal.

    Raises:
        JumokError: files that cannot be read or do not fit each other, or a model without attention.
    """
    from jumok.app.classify.measure import table
    from jumok.files import write_atomically
    from jumok.views.pictures.charts import draw_scores

    report = _measured(run, files, gold, methods, characters, one_based, seed, device)
    about = {"run": str(run), "pairs": [str(path) for path in files], "alignments": str(gold), **report.to_dict()}
    write_atomically(out / "measure.json", json.dumps(about, indent=2, ensure_ascii=False) + "\n")
    draw_scores(report, out / "measure.png", title="Do the words look at what they translate?")
    console.print(report.summary(), markup=False)
    console.print(table(report.header(), report.rows()))
    for gap in report.differences:
        interval = gap.scores["aer"]
        verdict = "better than" if interval.high < 0 else "not surely better than"
        console.print(f"{gap.method}: AER {interval.value:+.3f}, {verdict} the {gap.baseline}", markup=False)
    console.print(f"written: {out / 'measure.json'}, {out / 'measure.png'}", markup=False)


def _measured(
    run: Path,
    files: Sequence[Path],
    gold: Path,
    methods: Sequence[str],
    characters: bool,
    one_based: bool,
    seed: int,
    device: str,
) -> AlignmentReport:
    """Align all pairs and compare the links."""
    from jumok.attention.word_alignment import links
    from jumok.data.pairs.alignment_files import read_links
    from jumok.data.pairs.pair_set import read_pairs
    from jumok.measures.alignment_error import AlignmentMeter
    from jumok.tasks.translate.aligning import reading_named, readings
    from jumok.tasks.translate.run import PairRun

    trained = PairRun.load(run, device)
    known = readings(trained)
    chosen = tuple(dict.fromkeys(reading_named(method, known) for method in methods)) or known
    if characters and trained.target.kind != "characters":
        raise JumokError(
            f"{run} cuts text into {trained.target.kind}, so it has no links between characters: leave out --characters"
        )
    data = trained.config.data
    pairs = read_pairs(files, lowercase=data.lowercase, reverse=data.backwards)
    truth = read_links(gold, one_based=one_based, turned=data.backwards)
    if len(truth) != len(pairs):
        raise JumokError(
            f"{gold} has links for {len(truth)} sentences, but there are {len(pairs)} pairs "
            f"({pairs.empty} empty ones were skipped): wanted a line for each"
        )
    meter = AlignmentMeter(seed=seed)
    for number, (one, wanted) in enumerate(zip(_aligned(trained, pairs, characters), truth, strict=True), 1):
        found = {name: links(one.maps[name]) for name in chosen}
        meter.add(wanted, found, source=len(one.source), target=len(one.target), name=f"{gold}, line {number}")
    return meter.report()


def _aligned(run: PairRun, pairs: PairSet, characters: bool) -> Iterator[Aligned]:
    """All pairs, of which some are in memory at once."""
    from jumok.tasks.translate.aligning import align

    for start in range(0, len(pairs), AT_ONCE):
        some = slice(start, start + AT_ONCE)
        yield from align(run, pairs.sources[some], pairs.targets[some], pieces=characters)
