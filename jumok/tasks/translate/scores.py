"""How good translations are: BLEU and chrF, as sacrebleu computes them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from jumok.errors import JumokError

__all__ = ["Scores", "score", "sentence_chrf"]

logging.getLogger("sacrebleu").setLevel(logging.ERROR)  # it advises those who score tokenised text, at every call


@dataclass(frozen=True)
class Scores:
    """How good the translations of some sentences are.

    Args:
        sentences: how many.
        bleu, chrf: of all together, from 0 to 100.
        exact: share of translations that are the reference, letter for letter.
        bleu_95, chrf_95: 95 % bootstrap intervals over sentences, (low, high).
        bleu_signature, chrf_signature: sacrebleu's own words for exactly how.
        length_ratio: words of the translations over words of the references.
    Source: Post 2018, arXiv 1804.08771 (sacrebleu); Papineni et al. 2002 (BLEU); Popovic 2015 (chrF).
    """

    sentences: int
    bleu: float
    bleu_95: tuple[float, float]
    chrf: float
    chrf_95: tuple[float, float]
    exact: float
    length_ratio: float
    bleu_signature: str
    chrf_signature: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def score(found: Sequence[str], wanted: Sequence[str], *, lowercase: bool = False, resamples: int = 1000) -> Scores:
    """Score translations against one reference each.

    Args:
        found: the translations, as plain text.
        wanted: the references, in the same order.
        lowercase: without regard to case; it is said in the signature.
        resamples: of the intervals; 0: none, they are the values themselves.
    Raises:
        JumokError: no sentence, or not as many of one as of the other.

    >>> round(score(["a b c d e"], ["a b c d e"], resamples=0).bleu)
    100
    """
    if not found or len(found) != len(wanted):
        raise JumokError(f"got {len(found)} translations for {len(wanted)} references: wanted as many, at least one")
    bleu, bleu_95, bleu_signature = _corpus(BLEU(lowercase=lowercase), found, wanted, resamples)
    chrf, chrf_95, chrf_signature = _corpus(CHRF(lowercase=lowercase), found, wanted, resamples)
    fold = str.lower if lowercase else str
    same = sum(fold(one) == fold(other) for one, other in zip(found, wanted, strict=True))
    words = [sum(len(text.split()) for text in texts) for texts in (found, wanted)]
    return Scores(
        sentences=len(found),
        bleu=bleu,
        bleu_95=bleu_95,
        chrf=chrf,
        chrf_95=chrf_95,
        exact=same / len(found),
        length_ratio=words[0] / max(words[1], 1),
        bleu_signature=bleu_signature,
        chrf_signature=chrf_signature,
    )


def sentence_chrf(found: str, wanted: str) -> float:
    """The chrF of one translation, from 0 to 100.

    >>> sentence_chrf("abc", "abc")
    100.0
    """
    return float(_chrf().sentence_score(found, [wanted]).score)


@cache
def _chrf() -> CHRF:
    return CHRF()


def _corpus(
    metric: Any, found: Sequence[str], wanted: Sequence[str], resamples: int
) -> tuple[float, tuple[float, float], str]:
    """The score of all sentences together, its interval, and the metric's signature."""
    result = metric.corpus_score(list(found), [list(wanted)], n_bootstrap=max(resamples, 1))
    value = float(result.score)
    half = float(getattr(result, "_ci", 0.0)) if resamples > 1 else 0.0
    mean = float(getattr(result, "_mean", value)) if resamples > 1 else value
    return value, (max(mean - half, 0.0), min(mean + half, 100.0)), str(metric.get_signature())
