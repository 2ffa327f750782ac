"""How well a trained translator translates, on pairs that it has not learned from."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from jumok.app.session import Session, write_report
from jumok.errors import JumokError
from jumok.files import write_atomically
from jumok.language import join_later, later, later_count
from jumok.tasks.running.config import Strict
from jumok.wording import write_count

if TYPE_CHECKING:
    from jumok.data.pairs.pair_set import PairSet
    from jumok.tasks.translate.baselines import Baseline
    from jumok.tasks.translate.run import PairRun
    from jumok.tasks.translate.scores import Scores

SHOWN_LINES = 5
EXAMPLES = 3
"""Translations of each kind, the best and the worst, in the terminal."""


class Options(Strict):
    """Options of `jumok eval` for sentence pairs."""

    beam: int = Field(default=5, ge=1, description="Beam size; 1 = greedy.")
    length_penalty: float = Field(default=1.0, description="Length-penalty exponent; larger favours longer output.")
    tokenize: Literal["13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "none"] | None = Field(
        default=None,
        description="How BLEU splits text into words (sacrebleu); default: by the script of the references.",
    )


@dataclass(frozen=True)
class EvaluatedPairs:
    """How well a translator did.

    Args:
        about: run, files and part.
        options: of the search.
        seconds: of the translating.
        scores: of all pairs together.
        baselines: what can be said without having learnt to translate, in the same figures.
        learnt: whether the model is significantly better than these, in words.
        pairs, found, each: the pairs, their translations and the chrF of each.
        remarks: what the user should know.
        written: files, by what they hold.
    """

    about: Mapping[str, Any]
    options: Options
    seconds: float
    scores: Scores
    baselines: Sequence[Baseline]
    learnt: str
    pairs: PairSet
    found: Sequence[str]
    each: Sequence[float]
    remarks: Sequence[str]
    written: Mapping[str, Path]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        from jumok.data.texts.nearest import HOW

        return {
            **self.about,
            **self.options.model_dump(),
            "seconds": self.seconds,
            **self.scores.to_dict(),
            "baselines": [baseline.to_dict() for baseline in self.baselines],
            "nearest": HOW,
            "learnt": self.learnt,
            "skipped": {"empty": self.pairs.empty},
            "skipped_lines": list(self.pairs.lines),
            "remarks": list(self.remarks),
        }

    def lines(self) -> Iterator[str]:
        """For the terminal."""
        scores, count = self.scores, len(self.pairs)
        yield later(
            "{pairs} ({part}), {search}, {rate} sentences/s",
            pairs=later_count(count, "{count} pair", "{count} pairs"),
            part=self.about["split"],
            search=_describe_search(self.options),
            rate=f"{count / self.seconds:,.0f}",
        )
        yield _format_score("BLEU", scores.bleu, scores.bleu_95, scores.bleu_signature)
        yield _format_score("chrF", scores.chrf, scores.chrf_95, scores.chrf_signature)
        low, high = scores.exact_95
        exact = f"exact match {scores.exact:.1%} ({low:.1%} to {high:.1%})"
        yield f"{exact}; {scores.length_ratio:.2f} times as long as the references"
        yield from (f"  {_describe_baseline(baseline)}" for baseline in self.baselines)
        yield from filter(None, (self.learnt,))
        yield from (f"remark: {remark}" for remark in self.remarks)
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
    from jumok.tasks.translate.baselines import compare_with_baselines, find_training_pairs
    from jumok.tasks.translate.run import PairRun
    from jumok.tasks.translate.scores import Judge, describe_splitting, sentence_chrf

    trained = PairRun.load(run, session.device)
    pairs, part = select(trained, data, split)
    judge = Judge(pairs.targets, lowercase=trained.config.data.lowercase, tokenize=options.tokenize)
    splitting = () if options.tokenize else filter(None, (describe_splitting(pairs.targets),))
    began = time.perf_counter()
    search = options.model_dump(include={"beam", "length_penalty"})
    found = [best.text for best in trained.translate(pairs.sources, **search)]
    seconds = time.perf_counter() - began
    judged = judge.judge(found)
    train, lacking = find_training_pairs(trained.config)
    baselines = compare_with_baselines(judge, judged, pairs.sources, train, held_out=part != "train")
    each = [sentence_chrf(got, wanted) for got, wanted in zip(found, pairs.targets, strict=True)]
    about = {"run": str(run), "data": [str(path) for path in pairs.files], "split": part}
    written = {"figures": out / "eval.json", "translations": out / "translations.tsv"}
    report = EvaluatedPairs(
        about,
        options,
        seconds,
        judged.scores,
        baselines,
        _judge_learnt(baselines),
        pairs,
        found,
        each,
        (*_list_remarks(pairs, train, lacking, part), *_describe_known(trained, pairs, part), *splitting),
        written,
    )
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
    from jumok.tasks.translate.parts import find_parts

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


def remarks_on(pairs: PairSet) -> tuple[str, ...]:
    """What whoever gave the pairs should know of them."""
    which = _name_lines(pairs.lines)
    skipped = (f"{write_count(pairs.empty, 'pair')} skipped: one side is empty{which}",)
    return (*pairs.notes, *(skipped if pairs.empty else ()))


def _name_lines(lines: Sequence[int]) -> str:
    """Some of these lines in brackets.

    >>> _name_lines([7]), _name_lines(range(1, 9)), _name_lines([])
    (' (line 7)', ' (lines 1, 2, 3, 4, 5 and 3 more)', '')
    """
    shown = ", ".join(map(str, lines[:SHOWN_LINES]))
    more = f" and {len(lines) - SHOWN_LINES} more" if len(lines) > SHOWN_LINES else ""
    return f" ({'line' if len(lines) == 1 else 'lines'} {shown}{more})" if lines else ""


def _list_remarks(pairs: PairSet, train: PairSet | None, lacking: str, part: str) -> tuple[str, ...]:
    """What the user should know of the pairs, and of those that the run was trained on."""
    from jumok.data.pairs.parts import describe_overlap

    missing = f"baselines that need the training pairs are left out: {lacking}" if lacking else ""
    seen = describe_overlap(train, pairs, part) if train is not None and part != "train" else ""
    return tuple(dict.fromkeys(filter(None, (*remarks_on(pairs), missing, seen))))


def _describe_known(run: PairRun, pairs: PairSet, part: str) -> list[str]:
    """How many of held-out pairs the run, or the one whose weights it began with, was trained on."""
    from jumok.tasks.running.trained_on import describe_learnt

    return [] if part in ("train", "val") else describe_learnt(run.folder, pairs.hashes(), "pairs")


def _describe_baseline(baseline: Baseline) -> str:
    from jumok.measures.report import show_interval, show_shares

    scores, chrf, exact = baseline.scores, baseline.better_by["chrf"], baseline.better_by["exact"]
    return later(
        "{name}: BLEU {bleu}, chrF {chrf}, exact match {exact}; the model's minus these: chrF {chrf_gap}, "
        "exact match {exact_gap}",
        name=baseline.name,
        bleu=f"{scores.bleu:.2f}",
        chrf=f"{scores.chrf:.2f}",
        exact=f"{scores.exact:.1%}",
        chrf_gap=show_interval(chrf, "+", 1),
        exact_gap=show_shares(exact, "+"),
    )


def _judge_learnt(baselines: Sequence[Baseline]) -> str:
    from jumok.tasks.learnt import judge_learnt

    told: list[str] = [later("significantly {mixed}", mixed=each.mixed) for each in baselines if each.mixed]
    beaten = [each.name for each in baselines if each.beaten]
    told += filter(None, [judge_learnt(beaten, [each.name for each in baselines if not (each.beaten or each.mixed)])])
    return later("the model is {verdict}", verdict=join_later("; ", told)) if told else ""


def as_table(pairs: PairSet, found: Sequence[str], scores: Sequence[float]) -> str:
    """Lines of source, reference, translation and sentence chrF, with tabs between them."""
    rows = zip(pairs.sources, pairs.targets, found, scores, strict=True)
    lines = [f"{source}\t{target}\t{got}\t{chrf:.1f}" for source, target, got, chrf in rows]
    return "\n".join(["source\treference\ttranslation\tchrf", *lines, ""])


def _format_score(name: str, value: float, interval: tuple[float, float], signature: str) -> str:
    return f"{name} {value:.2f} (95% interval {interval[0]:.2f} to {interval[1]:.2f})  {signature}"


def _describe_search(options: Options) -> str:
    if options.beam == 1:
        return later("greedy")
    text = later("beam {beam}, length penalty {penalty}")
    return later(text, beam=str(options.beam), penalty=f"{options.length_penalty:g}")


def _pick_examples(pairs: PairSet, found: Sequence[str], scores: Sequence[float]) -> list[str]:
    """A few of the best and of the worst that are not right, so that one sees what the figures mean."""
    order = sorted(range(len(found)), key=lambda number: -scores[number])
    if len(order) <= 2 * EXAMPLES:
        return []
    wrong = [number for number in order[-EXAMPLES:] if found[number] != pairs.targets[number]]
    chosen = {
        later("among the best:"): order[:EXAMPLES],
        **({later("among the worst:"): wrong} if wrong else {}),
    }
    lines: list[str] = []
    for title, numbers in chosen.items():
        lines.append(title)
        lines += [f"  {pairs.sources[n]}  ->  {found[n]}  (wanted: {pairs.targets[n]})" for n in numbers]
    return lines
