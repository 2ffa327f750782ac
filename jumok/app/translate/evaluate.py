"""How well a trained translator translates, on pairs that it has not learned from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jumok.errors import JumokError

if TYPE_CHECKING:
    from rich.console import Console

    from jumok.data.pairs.pair_set import PairSet
    from jumok.tasks.translate.run import PairRun

SHOWN = 3
"""Translations of each kind, the best and the worst, in the terminal."""


def evaluate_pairs(
    run: Path,
    files: Sequence[Path],
    *,
    split: str,
    out: Path,
    search: Mapping[str, Any],
    device: str,
    console: Console,
) -> None:
    """Print BLEU and chrF with their signatures; write them as JSON, and all translations.

    Raises:
        JumokError: pairs that cannot be read, or settings out of range.
    """
    import time

    from jumok.files import write_atomically
    from jumok.tasks.translate.run import PairRun
    from jumok.tasks.translate.scores import score, sentence_chrf

    trained = PairRun.load(run, device)
    pairs, part = select(trained, files, split)
    began = time.perf_counter()
    found = [best.text for best, *_ in trained.translate(pairs.sources, **search)]
    seconds = time.perf_counter() - began
    scores = score(found, pairs.targets, lowercase=trained.config.data.lowercase)
    each = [sentence_chrf(got, wanted) for got, wanted in zip(found, pairs.targets, strict=True)]
    about = {"run": str(run), "pairs": [str(path) for path in pairs.files], "split": part, **search, "seconds": seconds}
    write_atomically(out / "eval.json", json.dumps({**about, **scores.to_dict()}, indent=2, ensure_ascii=False) + "\n")
    write_atomically(out / "translations.tsv", as_table(pairs, found, each))
    for line in (
        f"{len(pairs):,} pairs ({part}), {_searched(**search)}, {len(pairs) / seconds:,.0f} sentences/s",
        _figure("BLEU", scores.bleu, scores.bleu_95, scores.bleu_signature),
        _figure("chrF", scores.chrf, scores.chrf_95, scores.chrf_signature),
        f"exactly as wanted {scores.exact:.1%}; length {scores.length_ratio:.2f} of the references'",
        *_examples(pairs, found, each),
        f"written: {out / 'eval.json'}, {out / 'translations.tsv'}",
    ):
        console.print(line, markup=False)


def select(run: PairRun, files: Sequence[Path], split: str) -> tuple[PairSet, str]:
    """Choose the pairs to judge on: of the files given, or else of the run's own.

    Returns:
        the pairs, and the name of the part that they are.
    Raises:
        JumokError: pairs that cannot be read, or none in that part.
    """
    from jumok.data.pairs.pair_set import read_pairs
    from jumok.tasks.translate.prepare import find

    data, seed = run.config.data, run.config.training.seed
    own = not files or tuple(str(path.resolve()) for path in files) == data.pairs
    whole = not own and not files[0].is_dir()
    if whole and split in ("auto", "all"):
        return read_pairs(files, lowercase=data.lowercase, reverse=data.backwards), "all"
    if whole or split == "all":
        raise JumokError(
            "files other than the run's own are judged whole: leave out --split"
            if whole
            else "all parts together are not judged: choose --split test, val or train, or give a file of pairs"
        )
    part = "test" if split == "auto" else split
    given = {} if own else {"pairs": tuple(map(str, files)), "val_pairs": (), "test_pairs": ()}
    parts = find(data.model_copy(update=given), seed)
    if not len(parts[part]):
        raise JumokError(f"there are no {part} pairs: choose another --split, or give a file of pairs")
    return parts[part], part


def as_table(pairs: PairSet, found: Sequence[str], scores: Sequence[float]) -> str:
    """Lines of source, reference, translation and sentence chrF, with tabs between them."""
    rows = zip(pairs.sources, pairs.targets, found, scores, strict=True)
    lines = [f"{source}\t{target}\t{got}\t{chrf:.1f}" for source, target, got, chrf in rows]
    return "\n".join(["source\treference\ttranslation\tchrf", *lines, ""])


def _figure(name: str, value: float, interval: tuple[float, float], signature: str) -> str:
    return f"{name} {value:.2f} (95 % interval {interval[0]:.1f} to {interval[1]:.1f})  {signature}"


def _searched(beam: int, length_penalty: float) -> str:
    return "greedy" if beam == 1 else f"beam {beam}, length penalty {length_penalty:g}"


def _examples(pairs: PairSet, found: Sequence[str], scores: Sequence[float]) -> list[str]:
    """A few of the best and of the worst, so that one sees what the figures mean."""
    order = sorted(range(len(found)), key=lambda number: -scores[number])
    chosen = {"among the best": order[:SHOWN], "among the worst": order[-SHOWN:]} if len(order) > 2 * SHOWN else {}
    lines = []
    for title, numbers in chosen.items():
        lines.append(f"{title}:")
        lines += [f"  {pairs.sources[n]}  ->  {found[n]}  (wanted: {pairs.targets[n]})" for n in numbers]
    return lines
