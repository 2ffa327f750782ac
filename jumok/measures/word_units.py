"""A text as words that can be taken away: the model's answer without some, and what knows nothing of the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from jumok.errors import JumokError, suggest
from jumok.measures.flipping import Answer
from jumok.measures.image_units import read_probabilities

__all__ = ["WORD_FILLINGS", "SharedPasses", "WordUnits", "add_up_words", "check_word_fillings"]

WORD_FILLINGS = ("replace", "remove")
ALWAYS_KEPT = -1


class WordUnits:
    """A classifier's answer to texts of which words are taken away.

    Args:
        forward: from tokens (inputs, tokens) int64 and which of them are there (inputs, tokens) bool to logits
            (inputs, classes), or to an object that holds them as `.logits`. Tokens that are not there are padding.
        unknown: the token that stands for a word taken away, with "replace": that of a mask or of an unknown word.
        padding: the token behind shorter texts, with "remove".
        fillings: "replace" keeps all words in their place, "remove" moves them up.
    Raises:
        JumokError: an unknown filling.

    >>> units = WordUnits(lambda tokens, there: torch.stack([(tokens == 7).sum(1), (tokens == 8).sum(1)], 1).float())
    >>> answer = units.answers(torch.tensor([5, 7, 6]))["replace"]
    >>> answer(torch.tensor([[True, True, True], [True, False, True]]))
    tensor([0.7311, 0.5000])
    """

    def __init__(
        self,
        forward: Callable[[Tensor, Tensor], Any],
        *,
        unknown: int = 0,
        padding: int = 0,
        fillings: Sequence[str] = WORD_FILLINGS,
    ) -> None:
        self._forward, self._fillings = forward, check_word_fillings(fillings)
        self._fill = partial(_take_away, unknown=unknown, padding=padding)

    def answers(self, tokens: Tensor, *, words: Tensor | None = None, target: int | None = None) -> dict[str, Answer]:
        """The probability of one class, as a function of the words kept, for each filling.

        Args:
            tokens: (tokens,) int64, without padding.
            words: (tokens,), the number of the word that each token belongs to, -1 for one that always stays, such as
                `cls`; None: each token is a word.
            target: the class; None: the one predicted on the whole text.
        Raises:
            JumokError: other shapes, or outputs that are not those of a classifier.
        """
        if tokens.dim() != 1 or (words is not None and words.shape != tokens.shape):
            raise JumokError(f"wanted tokens (tokens,) and as many words, got {tuple(tokens.shape)}")
        numbers = torch.arange(len(tokens)) if words is None else words
        chosen = self._predict(tokens) if target is None else target

        def answer(filling: str) -> Answer:
            return lambda kept: self._probabilities(*self._fill(filling, tokens, _find_kept(kept, numbers)))[:, chosen]

        return {filling: answer(filling) for filling in self._fillings}

    def _predict(self, tokens: Tensor) -> int:
        return int(self._probabilities(tokens[None], torch.ones_like(tokens[None], dtype=torch.bool))[0].argmax())

    @torch.no_grad()
    def _probabilities(self, tokens: Tensor, there: Tensor) -> Tensor:
        return read_probabilities(self._forward(tokens, there), len(tokens))

    @staticmethod
    def baselines(words: Sequence[str]) -> dict[str, Tensor]:
        """What the place, and the length of words alone would mark: the first words, and long words."""
        places = torch.arange(len(words), dtype=torch.float64)
        lengths = torch.tensor([float(len(word)) for word in words], dtype=torch.float64)
        return {"first words": -places, "long words": lengths}


class SharedPasses:
    """One text of which words are taken away, and a model that gives several scores of it in one pass.

    What it says to a part of the text is remembered, so that maps of all the scores share it.

    Args:
        forward: as for `WordUnits`, but to scores (inputs, scores), such as the probability of each word it writes.
        tokens: (tokens,) int64, without padding.
        words: (tokens,), as for `WordUnits.answers`.
        unknown, padding, fillings: as for `WordUnits`.
    Raises:
        JumokError: an unknown filling.

    >>> def count(tokens, there):
    ...     return torch.stack([(tokens == 7).sum(1), (tokens == 8).sum(1)], 1).float()
    >>> text = SharedPasses(count, torch.tensor([7, 8, 8]), torch.arange(3), fillings=["replace"])
    >>> [text.answers(score)["replace"](torch.tensor([[True, True, False]])).item() for score in (0, 1)]
    [1.0, 1.0]
    >>> text.passes
    1
    """

    def __init__(
        self,
        forward: Callable[[Tensor, Tensor], Tensor],
        tokens: Tensor,
        words: Tensor,
        *,
        unknown: int = 0,
        padding: int = 0,
        fillings: Sequence[str] = WORD_FILLINGS,
    ) -> None:
        self._forward, self._tokens, self._words = forward, tokens, words
        self._fill = partial(_take_away, unknown=unknown, padding=padding)
        self._known: dict[str, dict[bytes, Tensor]] = {name: {} for name in check_word_fillings(fillings)}

    @property
    def passes(self) -> int:
        """How many parts of the text the model was asked about."""
        return sum(map(len, self._known.values()))

    def answers(self, score: int) -> dict[str, Answer]:
        """One of the scores, as a function of the words kept, for each filling."""
        return {filling: partial(self._answer, filling, score) for filling in self._known}

    @torch.no_grad()
    def _answer(self, filling: str, score: int, kept: Tensor) -> Tensor:
        known = self._known[filling]
        keys = [row.tobytes() for row in kept.cpu().numpy()]
        if missing := [place for place, key in enumerate(keys) if key not in known]:
            found = self._forward(*self._fill(filling, self._tokens, _find_kept(kept[missing], self._words)))
            known.update(zip((keys[place] for place in missing), found.cpu(), strict=True))
        return torch.stack([known[key][score] for key in keys])


def check_word_fillings(names: Sequence[str]) -> tuple[str, ...]:
    """The same names.

    Raises:
        JumokError: one of them is no filling of words.
    """
    for name in names:
        if name not in WORD_FILLINGS:
            raise JumokError(f"unknown filling {name!r}: {suggest(name, WORD_FILLINGS)}")
    return tuple(names)


def add_up_words(values: Tensor, words: Tensor) -> Tensor:
    """Add up one value per token to one per word.

    Args:
        values: (tokens,).
        words: as for `WordUnits.answers`.
    Returns:
        (words,).

    >>> add_up_words(torch.tensor([0.5, 0.2, 0.2, 0.1]), torch.tensor([-1, 0, 0, 1]))
    tensor([0.4000, 0.1000])
    """
    inside = words >= 0
    totals = torch.zeros(int(words.max()) + 1, dtype=values.dtype, device=values.device)
    return totals.index_add(0, words[inside].to(values.device), values[inside])


def _take_away(filling: str, tokens: Tensor, kept: Tensor, *, unknown: int, padding: int) -> tuple[Tensor, Tensor]:
    """Texts without some tokens, (inputs, tokens), and which tokens are there."""
    kept = kept.to(tokens.device)
    if filling == "replace":
        return tokens.where(kept, unknown), torch.ones_like(kept)
    return _move_up(tokens, kept, unknown, padding)


def _move_up(tokens: Tensor, kept: Tensor, unknown: int, padding: int) -> tuple[Tensor, Tensor]:
    """Kept tokens move up in their order; a text of which nothing is left is one unknown word."""
    order = (~kept).to(torch.int8).argsort(dim=1, stable=True)
    there = torch.arange(len(tokens), device=tokens.device) < kept.sum(1, keepdim=True)
    moved = tokens[order].where(there, padding)
    empty = ~there.any(1)
    moved[empty, 0] = unknown
    there[empty, 0] = True
    longest = int(there.sum(1).max())
    return moved[:, :longest], there[:, :longest]


def _find_kept(kept: Tensor, words: Tensor) -> Tensor:
    """(inputs, words) to (inputs, tokens)."""
    words = words.to(kept.device)
    return kept[:, words.clamp(min=0)] | (words == ALWAYS_KEPT)
