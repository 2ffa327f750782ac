"""Vocabularies that are lists: of words and punctuation, or of characters."""

from __future__ import annotations

import re
import sys
import unicodedata
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import ClassVar, Self

from jumok.data.texts.normal_form import clean
from jumok.data.texts.vocabulary import Split, Vocabulary, VocabularySpec
from jumok.errors import JumokError
from jumok.special_tokens import SYMBOLS, UNK

HEAD = b"jumok-vocabulary/1 "
"""A file begins so, then come the kind and the number of entries, then one entry per line."""
JOIN = "\uffed"
"""Beside punctuation that has no space on that side, so that words can be put together again."""
PLAIN = "\u25a0"
"""What the sign above becomes where it stands in a text."""
REMEMBERED = 200_000
"""So many different words' ids are kept while sentences are encoded."""


class ListVocabulary(Vocabulary):
    """The entries behind the symbols, the most frequent first.

    Args:
        entries: each once, none empty.
    Raises:
        JumokError: there are such.
    """

    name: ClassVar[str]
    between: ClassVar[tuple[str, ...]] = ()
    """The pieces that stand between two words."""

    def __init__(self, entries: Sequence[str]) -> None:
        self._written = (*SYMBOLS, *entries)
        self._ids = {entry: number for number, entry in enumerate(entries, len(SYMBOLS))}
        if len(self._ids) != len(entries) or "" in self._ids:
            raise JumokError("vocabulary entries must not be empty or repeated")

    @staticmethod
    @abstractmethod
    def cut(word: str) -> list[str]:
        """The pieces of one word (with no white space in it)."""

    @classmethod
    def build(cls, wish: VocabularySpec, sentences: Sequence[str]) -> Self:
        """Take the most frequent pieces of cleaned sentences; of equally frequent ones, the lesser by code points."""
        words = Counter(word for sentence in sentences for word in sentence.split())
        counts: Counter[str] = Counter()
        for word, count in words.items():
            for piece in cls.cut(word):
                counts[piece] += count
        for piece in cls.between:
            counts[piece] += words.total() - len(sentences)
        frequent = [piece for piece in counts if counts[piece] >= wish.min_count]
        if not frequent:
            raise JumokError(
                f"no {cls.name} occur {wish.min_count} times in the text: lower the count, or give more text"
            )
        frequent.sort(key=lambda piece: (-counts[piece], piece))
        return cls(frequent[: wish.size - len(SYMBOLS)])

    @property
    def kind(self) -> str:
        return self.name

    def __len__(self) -> int:
        return len(self._written)

    def encode_all(self, texts: Iterable[str]) -> list[list[int]]:
        known: dict[str, list[int]] = {}

        def ids_of(word: str) -> list[int]:
            ids = known.get(word)
            if ids is None:
                ids = self._find(self.cut(word))
                if len(known) < REMEMBERED:
                    known[word] = ids
            return ids

        between = self._find(self.between)
        return [_chain(map(ids_of, clean(text).split()), between) for text in texts]

    def split(self, text: str) -> Split:
        words = clean(text).split()
        pieces: list[str] = []
        owner: list[int] = []
        for number, word in enumerate(words):
            own = [*(self.between if number else ()), *self.cut(word)]
            pieces += own
            owner += [number] * len(own)
        return Split(self._find(pieces), words, owner, pieces)

    def pieces(self, ids: Sequence[int]) -> list[str]:
        return [self._written[token] for token in ids]

    def to_bytes(self) -> bytes:
        entries = self._written[len(SYMBOLS) :]
        head = f"{HEAD.decode()}{self.name} {len(entries)}\n"
        return (head + "".join(f"{_escape(entry)}\n" for entry in entries)).encode()

    @staticmethod
    def from_bytes(content: bytes) -> ListVocabulary:
        """Read what `to_bytes` gives.

        Raises:
            ValueError: it is damaged.
        """
        head, *lines = content.decode().split("\n")
        _, name, count = head.split(" ")
        if name not in LISTED:
            raise JumokError(f"no kind {name!r}")
        if not lines or lines.pop() or len(lines) != int(count):
            raise JumokError(f"{len(lines)} entries where {count} should be")
        return LISTED[name](list(map(_unescape, lines)))

    def _find(self, pieces: Iterable[str]) -> list[int]:
        return [self._ids.get(piece, UNK) for piece in pieces]


class WordVocabulary(ListVocabulary):
    """Words and punctuation apart, put together again exactly.

    A word is a run of letters, digits and their marks, with apostrophes inside it; every other character stands
    alone. Such a character has \uffed on each side where no space is (but not at both ends of the sentence's words):
    "(see p. 3)" gives "(\uffed", "see", "p", "\uffed.", "3", "\uffed)".
    """

    name = "words"
    signs = JOIN

    @staticmethod
    def cut(word: str) -> list[str]:
        pieces: list[str] = _compile_word().findall(word.replace(JOIN, PLAIN))
        return [
            piece if _is_word(piece) else f"{JOIN * (place > 0)}{piece}{JOIN * _is_before_word(pieces, place)}"
            for place, piece in enumerate(pieces)
        ]

    def _join(self, ids: list[int]) -> str:
        return re.sub(f" ?{JOIN} ?", "", " ".join(self.pieces(ids)))


class CharacterVocabulary(ListVocabulary):
    """Code points, spaces among them; composed Hangul is one per syllable."""

    name = "characters"
    between = (" ",)

    @staticmethod
    def cut(word: str) -> list[str]:
        return list(word)

    def _join(self, ids: list[int]) -> str:
        return "".join(self.pieces(ids))


LISTED: dict[str, Callable[[Sequence[str]], ListVocabulary]] = {
    "words": WordVocabulary,
    "characters": CharacterVocabulary,
}


def _is_before_word(pieces: list[str], place: int) -> bool:
    return place + 1 < len(pieces) and _is_word(pieces[place + 1])


def _is_word(piece: str) -> bool:
    return len(piece) > 1 or _compile_letter().fullmatch(piece) is not None


def _chain(parts: Iterable[list[int]], between: list[int]) -> list[int]:
    """All ids in one list, with those of the space between the parts."""
    whole: list[int] = []
    for part in parts:
        whole += between if whole else ()
        whole += part
    return whole


@cache
def _compile_letter() -> re.Pattern[str]:
    """Letters and digits, and the marks and joiners written among them, which Python's own class of letters lacks."""
    marks = (chr(point) for point in range(sys.maxunicode + 1) if unicodedata.category(chr(point)).startswith("M"))
    return re.compile(rf"[\w\u200c\u200d{re.escape(''.join(marks))}]")


@cache
def _compile_word() -> re.Pattern[str]:
    letter = _compile_letter().pattern
    return re.compile(rf"{letter}+(?:['\u2019]{letter}+)*|\S")


def _escape(entry: str) -> str:
    return entry.replace("\\", "\\\\").replace("\n", "\\n")


def _unescape(line: str) -> str:
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], line)
