"""Which of some texts is nearest to another: by the character n-grams that they share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

__all__ = ["HOW", "find_nearest"]

LONGEST_NGRAM = 4
HOW = f"by tf-idf of 1 to {LONGEST_NGRAM} characters"
"""What near means here."""
BLOCK = 4_000_000
"""Similarities that are in memory at once."""


def find_nearest(texts: Sequence[str], known: Sequence[str]) -> NDArray[np.int64]:
    """Find for each text the nearest of those that are known; of equally near ones, the first.

    Args:
        texts: to find a neighbour for.
        known: to choose from, at least one, none empty.
    Returns:
        nearest: (texts,), indices into `known`.

    >>> find_nearest(["a red car", "blue"], ["a blue bus", "the red cars"]).tolist()
    [1, 0]
    """
    if not len(texts):
        return np.empty(0, np.int64)
    vectors = TfidfVectorizer(analyzer="char", ngram_range=(1, LONGEST_NGRAM), dtype=np.float32)
    columns = vectors.fit_transform(known).T.tocsr()
    rows = vectors.transform(texts)
    step = max(1, BLOCK // len(known))
    parts = [
        np.asarray((rows[start : start + step] @ columns).toarray().argmax(1)) for start in range(0, len(texts), step)
    ]
    return np.concatenate(parts)
