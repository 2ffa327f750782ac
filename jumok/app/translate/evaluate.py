"""How well a trained translator translates, on pairs that it has not learned from."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from jumok.app.session import Session, write_report
from jumok.errors import JumokError
from jumok.files import write_atomically
from jumok.tasks.running.config import Strict

if TYPE_CHECKING:
    from jumok.data.pairs.pair_set import PairSet
    from jumok.tasks.translate.run import PairRun
    from jumok.tasks.translate.scores import Scores

EXAMPLES = 3
"""Translations of each kind, the best and the worst, in the terminal."""


class Options(Strict):
    """Options of `jumok eval` for sentence pairs."""

    beam: int = Field(default=5, ge=1, description="Beam size; 1 = greedy.")
    length_penalty: float = Field(default=1.0, description="Length-penalty exponent; larger favours longer output.")


@dataclass(frozen=True)
class EvaluatedPairs:
    """How well a translator did.

    Args:
        about: run, files and part.
        options: of the search.
        seconds: of the translating.
        scores: of all pairs together.
        pairs, found, each: the pairs, their translations and the chrF of each.
        written: files, by what they hold.
    """

    about: Mapping[str, Any]
    options: Options
    seconds: float
    scores: Scores
    pairs: PairSet
    found: Sequence[str]
    each: Sequence[float]
    written: Mapping[str, Path]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**self.about, **self.options.model_dump(), "seconds": self.seconds, **self.scores.to_dict()}

    def lines(self) -> Iterator[str]:
        """For the terminal."""
        scores, count = self.scores, len(self.pairs)
        rate = f"{count / self.seconds:,.0f} sentences/s"
        yield f"{count:,} pairs ({self.about['split']}), {_describe_search(self.options)}, {rate}"
        yield _format_score("BLEU", scores.bleu, scores.bleu_95, scores.bleu_signature)
        yield _format_score("chrF", scores.chrf, scores.chrf_95, scores.chrf_signature)
        yield f"exact match {scores.exact:.1%}; length {scores.length_ratio:.2f} of the references'"
        yield from _pick_examples(self.pairs, self.found, self.each)
        yield f"written: {', '.join(map(str, self.written.values()))}"


def evaluate(
    run: Path, data: Sequence[Path], options: Options, *, split: str, out: Path, session: Session
) -> EvaluatedPairs:
    """Judge a translator by BLEU and chrF; write the figures as JSON, and all translations.

    Args:
        run: folder of the run.
        data: files of pairs; none for the run's own.
        options: of sentence pairs.
        split: the part, or "auto" or "all".
        out: folder for the figures.
        session: of the command.
    Raises:
        JumokError: pairs that cannot be read, or settings out of range.
    """
    from jumok.tasks.translate.run import PairRun
    from jumok.tasks.translate.scores import score, sentence_chrf

    trained = PairRun.load(run, session.device)
    pairs, part = select(trained, data, split)
    began = time.perf_counter()
    found = [best.text for best, *_ in trained.translate(pairs.sources, **options.model_dump())]
    seconds = time.perf_counter() - began
    scores = score(found, pairs.targets, lowercase=trained.config.data.lowercase)
    each = [sentence_chrf(got, wanted) for got, wanted in zip(found, pairs.targets, strict=True)]
    about = {"run": str(run), "data": [str(path) for path in pairs.files], "split": part}
    written = {"figures": out / "eval.json", "translations": out / "translations.tsv"}
    report = EvaluatedPairs(about, options, seconds, scores, pairs, found, each, written)
    write_report(written["figures"], report)
    write_atomically(written["translations"], as_table(pairs, found, each))
    return report


def select(run: PairRun, files: Sequence[Path], split: str) -> tuple[PairSet, str]:
    """Choose the pairs to judge on: of the files given, or else of the run's own.

    Returns:
        the pairs, and the name of the part that they are.
    Raises:
        JumokError: pairs that cannot be read, or none in that part.
    """
    from jumok.data.pairs.pair_set import read_pairs
    from jumok.tasks.translate.prepare import find_parts

    data, seed = run.config.data, run.config.training.seed
    own = not files or tuple(str(path.resolve()) for path in files) == data.pairs
    whole = not own and not files[0].is_dir()
    if whole and split in ("auto", "all"):
        return read_pairs(files, lowercase=data.lowercase, reverse=data.backwards), "all"
    if whole or split == "all":
        raise JumokError(
            "files other than the run's own are evaluated whole: leave out --split"
            if whole
            else "--split all is not offered here: choose test, val or train, or give a file of pairs"
        )
    part = "test" if split == "auto" else split
    given = {} if own else {"pairs": tuple(map(str, files)), "val_pairs": (), "test_pairs": ()}
    parts = find_parts(data.model_copy(update=given), seed)
    if not len(parts[part]):
        raise JumokError(f"there are no {part} pairs: choose another --split, or give a file of pairs")
    return parts[part], part


def as_table(pairs: PairSet, found: Sequence[str], scores: Sequence[float]) -> str:
    """Lines of source, reference, translation and sentence chrF, with tabs between them."""
    rows = zip(pairs.sources, pairs.targets, found, scores, strict=True)
    lines = [f"{source}\t{target}\t{got}\t{chrf:.1f}" for source, target, got, chrf in rows]
    return "\n".join(["source\treference\ttranslation\tchrf", *lines, ""])


def _format_score(name: str, value: float, interval: tuple[float, float], signature: str) -> str:
    return f"{name} {value:.2f} (95 % interval {interval[0]:.1f} to {interval[1]:.1f})  {signature}"


def _describe_search(options: Options) -> str:
    return "greedy" if options.beam == 1 else f"beam {options.beam}, length penalty {options.length_penalty:g}"


def _pick_examples(pairs: PairSet, found: Sequence[str], scores: Sequence[float]) -> list[str]:
    """A few of the best and of the worst, so that one sees what the figures mean."""
    order = sorted(range(len(found)), key=lambda number: -scores[number])
    chosen = (
        {"among the best": order[:EXAMPLES], "among the worst": order[-EXAMPLES:]} if len(order) > 2 * EXAMPLES else {}
    )
    lines = []
    for title, numbers in chosen.items():
        lines.append(f"{title}:")
        lines += [f"  {pairs.sources[n]}  ->  {found[n]}  (wanted: {pairs.targets[n]})" for n in numbers]
    return lines
