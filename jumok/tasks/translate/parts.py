"""Sentence pairs in their three parts, as a run's settings name them."""

from __future__ import annotations

from pathlib import Path

from jumok.data.pairs.pair_set import PairSet
from jumok.data.pairs.parts import read_parts
from jumok.errors import JumokError
from jumok.tasks.translate.settings import PairData

__all__ = ["find_parts"]

HELD_OUT_SHARE = 0.05
"""Kept for validation, or for testing, where only the other's share was told."""


def find_parts(data: PairData, seed: int) -> dict[str, PairSet]:
    """Read the pairs in their three parts.

    Raises:
        JumokError: no files were given, or they hold no pairs.
    """
    if not data.pairs:
        raise JumokError("no pairs: give a TSV or two line-aligned files, as in jumok train pairs.tsv --out runs/first")
    if len(data.languages) == 1:
        raise JumokError(f"languages are two endings, source first, got {data.languages[0]!r} alone: give both")
    return read_parts(
        [Path(path) for path in data.pairs],
        val=[Path(path) for path in data.val_pairs],
        test=[Path(path) for path in data.test_pairs],
        languages=(data.languages[0], data.languages[1]) if data.languages else None,
        lowercase=data.lowercase,
        reverse=data.backwards,
        seed=seed,
        shares=_choose_shares(data),
    )


def _choose_shares(data: PairData) -> tuple[float, float, float] | None:
    """Of train, val and test; None: the usual ones."""
    if data.val_fraction is None and data.test_fraction is None:
        return None
    val, test = (HELD_OUT_SHARE if share is None else share for share in (data.val_fraction, data.test_fraction))
    if val + test >= 1:
        raise JumokError(f"--val-fraction {val} and --test-fraction {test} leave nothing to train on")
    return 1 - val - test, val, test
