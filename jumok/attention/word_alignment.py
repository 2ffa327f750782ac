"""Alignments: target x source weights, from sub-words to words and from weights to links.

An alignment's queries are target words, or the decoder's steps, and its keys are source words. The rows of a decoder's
map are its steps, named by what they produce: step i is fed y[i-1] (step 0: the start token) and produces y[i]; the
last step produces the end token. A link is (source, target), numbered from 0, as in Pharaoh files.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from jumok.attention.map import AttentionMap, Scale
from jumok.attention.named_axes import Tokens
from jumok.errors import JumokError

__all__ = [
    "NEXT",
    "Aligned",
    "Gold",
    "InPieces",
    "Links",
    "Owners",
    "align_words",
    "diagonal",
    "links",
    "merge_words",
    "shift",
]

NEXT = "next step"
"""What stands behind the name of a map that `shift` gave."""

Links: TypeAlias = frozenset[tuple[int, int]]
"""(source word, target word) pairs."""

Owners: TypeAlias = Sequence[int | None]
"""For each piece the number of the word it belongs to; None or below 0: to no word, as the end token."""


class Gold(Protocol):
    """Links that people drew in one sentence pair."""

    @property
    def sure(self) -> Collection[tuple[int, int]]:
        """Links that an alignment must have, as (source word, target word)."""

    @property
    def possible(self) -> Collection[tuple[int, int]]:
        """Links that it may have; the sure ones count among them, listed here or not."""


class InPieces(Protocol):
    """A sentence in pieces."""

    @property
    def words(self) -> Sequence[str]:
        """Of the sentence."""

    @property
    def owner(self) -> Sequence[int]:
        """For each piece the number of the word it belongs to."""


@dataclass(frozen=True)
class Aligned:
    """One pair of sentences and how each target word looked at the source words.

    Args:
        source, target: the words.
        maps: by the name of the reading, (target words, source words).
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    maps: Mapping[str, AttentionMap]

    def links(self, reading: str) -> Links:
        """The links of one reading (see `links`)."""
        return links(self.maps[reading])


def align_words(steps: Mapping[str, AttentionMap], source: InPieces, target: InPieces) -> Aligned:
    """From a decoder's steps over pieces to words, by each step's own row and by the next step's (see `shift`).

    Args:
        steps: by name, (target pieces and the end sign, source pieces and the end sign); weights.
        source, target: the two sentences, not empty.
    Returns:
        maps by the names of the steps, and by "NAME, next step"; the end sign is left out of both.
    Raises:
        JumokError: as `merge_words`.
    """
    both: dict[str, AttentionMap] = {}
    for name, own in steps.items():
        both[name] = _merge_sides(own, source, target, [*target.owner, None])
        both[f"{name}, {NEXT}"] = _merge_sides(shift(own), source, target, target.owner)
    return Aligned(tuple(source.words), tuple(target.words), both)


def _merge_sides(steps: AttentionMap, source: InPieces, target: InPieces, queries: Owners) -> AttentionMap:
    keys = [*source.owner, None]  # the end sign belongs to no word
    return merge_words(steps, queries=queries, keys=keys, query_words=target.words, key_words=source.words)


def merge_words(
    attention: AttentionMap,
    *,
    queries: Owners,
    keys: Owners,
    query_words: Sequence[str],
    key_words: Sequence[str],
    renormalise: bool = False,
) -> AttentionMap:
    """Merge sub-words to words: weights are summed over a source word's pieces, averaged over a target word's.

    Pieces that belong to no word are left out. What a target word gave to such source pieces, most often to the end
    sign, is then missing from its row, unless `renormalise` divides each row by its sum. A source word without pieces
    gets weight 0, as nothing can look at it.

    Args:
        attention: (*lead, target pieces, source pieces); weights, not scores.
        queries, keys: the word of each target piece, and of each source piece.
        query_words, key_words: the words.
        renormalise: False keeps raw values; True makes each row sum to 1.
    Returns:
        (*lead, target words, source words). A distribution that lost weight to pieces of no word is a gate afterwards.
    Raises:
        JumokError: scores, owners that do not fit the pieces or the words, a target word without a piece, or a row
            that sums to 0 and cannot be renormalised.
    Source: Clark, Khandelwal, Levy & Manning 2019, arXiv 1906.04341, section 4.1 (token-token to word-word attention).

    >>> pieces = AttentionMap(torch.tensor([[0.5, 0.3, 0.2]]), Tokens(("Hund",)), Tokens(("d", "og", "</s>")))
    >>> merge_words(pieces, queries=[0], keys=[0, 0, None], query_words=["Hund"], key_words=["dog"]).weights
    tensor([[0.8000]])
    """
    if attention.scale is Scale.SCORE:
        raise JumokError("scores cannot be merged: take the softmax over the pieces first, then merge its weights")
    averaged = _match_pieces(queries, len(attention.queries), query_words, "target", attention.weights)
    if empty := [word for word, pieces in zip(query_words, averaged.sum(0).tolist(), strict=True) if not pieces]:
        raise JumokError(f"the target word {empty[0]!r} has no piece, so it has no row: remove it from the words")
    summed = _match_pieces(keys, len(attention.keys), key_words, "source", attention.weights)
    weights = (averaged / averaged.sum(0)).T @ (attention.weights @ summed)
    if renormalise:
        weights = _normalise(weights)
    scale = _merge_scale(attention.scale, whole=renormalise or bool(summed.sum(1).all()))
    return AttentionMap(
        weights, Tokens(tuple(query_words)), Tokens(tuple(key_words)), attention.lead, scale, attention.source
    )


def _match_pieces(owners: Owners, pieces: int, words: Sequence[str], side: str, like: Tensor) -> Tensor:
    """(pieces, words): 1 where the piece belongs to the word."""
    if len(owners) != pieces:
        raise JumokError(f"got owners of {len(owners)} {side} pieces for a map of {pieces}: wanted one for each")
    if isinstance(words, str):
        raise JumokError(f"the {side} words are a sequence, got the one string {words!r}: split it first")
    members = torch.zeros(pieces, len(words))
    for piece, owner in enumerate(owners):
        if owner is None or owner < 0:
            continue
        if owner >= len(words):
            raise JumokError(f"{side} piece {piece} belongs to word {owner}, but there are only {len(words)} words")
        members[piece, owner] = 1
    return members.to(like.device)


def _normalise(weights: Tensor) -> Tensor:
    sums = weights.sum(-1, keepdim=True)
    if not bool((sums > 0).all()):
        raise JumokError(
            "a target word gives no weight to any source word, so its row cannot sum to 1: keep raw values"
        )
    return weights / sums


def _merge_scale(scale: Scale, *, whole: bool) -> Scale:
    """What the numbers are after sums: sums of independent gates may exceed 1."""
    if scale is not Scale.DISTRIBUTION:
        return Scale.RELEVANCE
    return Scale.DISTRIBUTION if whole else Scale.GATE


def shift(attention: AttentionMap) -> AttentionMap:
    """Read each target token off the next step's row: the step at which the token was fed, not the one that made it.

    In a Transformer the step that is fed a token has that token's own query, and aligns better than the step before,
    which has yet to choose it. A recurrent decoder attends before it is fed: there the plain row is the one whose
    context made the token.

    Args:
        attention: (*lead, steps, keys), the rows named by what each step produces, the end token's step last. Where
            decoding was cut before the end token, the last token was never fed and has no row in this reading.
    Returns:
        (*lead, steps - 1, keys): one row for each token but the last, which is the end token.
    Raises:
        JumokError: a map of one step, in which no token was fed.
    Source: Chen et al. 2020, Accurate Word Alignment Induction from Neural Machine Translation, arXiv 2004.14837
        (Shift-Att).

    >>> steps = AttentionMap(torch.eye(3), Tokens(("le", "chat", "</s>")), Tokens(("<s>", "the", "cat")))
    >>> [shift(steps).row(word).top(1)[0][0] for word in ("le", "chat")]
    ['the', 'cat']
    """
    steps = len(attention.queries)
    if steps < 2:
        raise JumokError("the next step's row needs a map of at least 2 steps, got 1: keep the step of the end token")
    source = f"{attention.source}, {NEXT}" if attention.source else NEXT
    return dataclasses.replace(
        attention,
        weights=attention.weights[..., 1:, :],
        queries=Tokens(tuple(attention.queries.labels()[:-1])),
        source=source,
    )


def links(attention: AttentionMap, *, threshold: float = 0.0) -> Links:
    """Link each target word to the source word with its largest weight; the first one where several have it.

    A word whose weights are all 0 looks nowhere, and gets no link.

    Args:
        attention: (target words, source words), no leading axes; weights, not scores.
        threshold: the least weight that makes a link.
    Raises:
        JumokError: leading axes, scores, or a threshold below 0.

    >>> sorted(links(AttentionMap(torch.tensor([[0.1, 0.9], [0.5, 0.5]]), Tokens(("a", "b")), Tokens(("c", "d")))))
    [(0, 1), (1, 0)]
    """
    if attention.lead:
        raise JumokError(
            f"links need one (target, source) map, but this one also has {attention.lead}: choose with .at"
        )
    if attention.scale is Scale.SCORE:
        raise JumokError("links need weights, got scores: take their softmax first")
    if not threshold >= 0:
        raise JumokError(f"a threshold is a weight of 0 or more, got {threshold}")
    weights = attention.weights.numpy(force=True)
    best = weights.argmax(-1).tolist()  # numpy's gives the first of equals, by its documentation
    return frozenset(
        (source, target)
        for target, source in enumerate(best)
        if weights[target, source] > 0 and weights[target, source] >= threshold
    )


def diagonal(source_words: Sequence[str], target_words: Sequence[str]) -> AttentionMap:
    """The alignment that knows nothing but the order: each target word looks at the source word beside it.

    Words are laid out evenly over both sentences, and word j of m looks at the one of n whose middle is nearest:
    (i + 1/2) / n to (j + 1/2) / m; the first one where two are as near.

    Returns:
        (target words, source words), a mask.

    >>> sorted(links(diagonal(["a", "b", "c", "d"], ["x", "y"])))
    [(0, 0), (2, 1)]
    """
    n, m = len(source_words), len(target_words)
    queries, keys = Tokens(tuple(target_words)), Tokens(tuple(source_words))  # refuse empty sentences
    i, j = torch.arange(n), torch.arange(m)
    distance = ((2 * i + 1) * m - (2 * j[:, None] + 1) * n).abs()  # whole numbers: ties are exact
    weights = torch.zeros(m, n)
    weights[j, torch.from_numpy(distance.numpy().argmin(-1))] = 1
    return AttentionMap(weights, queries, keys, (), Scale.MASK, "diagonal")
