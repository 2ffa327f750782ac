"""What texts are like, so far as it decides how to cut them into units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jumok.data.texts.vocabulary import pick_evenly
from jumok.data.texts.word_vocabulary import WordVocabulary

__all__ = ["TextSurvey", "survey"]

MOST_SENTENCES = 20_000
"""So many sentences, taken evenly, are looked at."""


@dataclass(frozen=True)
class TextSurvey:
    """What some texts are like.

    Args:
        characters: of a sentence, on average.
        alphabet: different characters.
        words: running words and signs.
        types: different ones.
        new: share of the running words of held-out texts that are not among them.
    """

    characters: float
    alphabet: int
    words: int
    types: int
    new: float

    @property
    def repeats(self) -> float:
        """How often a word comes, on average."""
        return self.words / max(self.types, 1)


def survey(texts: Sequence[str], held_out: Sequence[str]) -> TextSurvey:
    """Count the characters and words of texts, and how many words of others are new.

    >>> survey(["a b a", "b c"], ["a d"])
    TextSurvey(characters=4.0, alphabet=4, words=5, types=3, new=0.5)
    """
    known, others = pick_evenly(texts, MOST_SENTENCES), pick_evenly(held_out, MOST_SENTENCES)
    words = [_cut(text) for text in known]
    types = {word for sentence in words for word in sentence}
    asked = [word for text in others for word in _cut(text)]
    return TextSurvey(
        characters=sum(map(len, known)) / max(len(known), 1),
        alphabet=len(set().union(*known)) if known else 0,
        words=sum(map(len, words)),
        types=len(types),
        new=sum(word not in types for word in asked) / max(len(asked), 1),
    )


def _cut(text: str) -> list[str]:
    """The words and signs of a sentence."""
    return [piece for word in text.split() for piece in WordVocabulary.cut(word)]
