"""The tokenizer of a run: from texts to token ids, and to the words that they belong to."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jumok.errors import JumokError, first_line
from jumok.files import write_atomically

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["TOKENIZER", "Cut", "Tokens", "read_tokens"]

TOKENIZER = "tokenizer.json"
"""In the run's folder; it holds plain values, from which the library `tokenizers` is built."""
ALWAYS = -1
"""The word of a token that stands for none, such as [CLS]."""


class Cut(NamedTuple):
    """A text as its encoder reads it.

    Args:
        ids: its tokens.
        owner: the number of the word that each belongs to; -1: none.
        words: as they stand in the text, so far as it is read.
        pieces: the tokens' names.
    """

    ids: list[int]
    owner: list[int]
    words: tuple[str, ...]
    pieces: tuple[str, ...]


@dataclass(frozen=True)
class Tokens:
    """A tokenizer.

    Args:
        text: JSON that it is built from.
        padding: the token behind shorter texts.
        mask: the token that stands for a word taken away.
        longest: tokens that the encoder takes.
    """

    text: str
    padding: int
    mask: int
    longest: int

    @property
    def fingerprint(self) -> str:
        """Of the JSON."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:32]

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        try:
            made: Tokenizer = Tokenizer.from_str(self.text)
        except Exception as error:  # the library has no class of its own for what it cannot read
            raise JumokError(f"{TOKENIZER} is damaged or of another version ({first_line(error)})") from error
        made.no_padding()
        made.no_truncation()
        return made

    def encode_all(self, texts: Sequence[str], longest: int) -> tuple[list[list[int]], int]:
        """Texts as ids, each cut off after the longest; and how many were cut."""
        whole = self._tokenizer.encode_batch(list(texts))
        self._tokenizer.enable_truncation(longest)
        try:
            cut = self._tokenizer.encode_batch([text for text, each in zip(texts, whole, strict=True)
                                                if len(each.ids) > longest])  # fmt: skip
        finally:
            self._tokenizer.no_truncation()
        shorter = iter(cut)
        return [(each if len(each.ids) <= longest else next(shorter)).ids for each in whole], len(cut)

    def cut(self, text: str, longest: int) -> Cut:
        """One text with its words: what white space and the tokenizer part."""
        self._tokenizer.enable_truncation(longest)
        try:
            found = self._tokenizer.encode(text)
        finally:
            self._tokenizer.no_truncation()
        spans: dict[int, tuple[int, int]] = {}
        for number, special, (begin, end) in zip(found.word_ids, found.special_tokens_mask, found.offsets, strict=True):
            if number is not None and not special:
                first, last = spans.get(number, (begin, end))
                spans[number] = (min(first, begin), max(last, end))
        place = {number: index for index, number in enumerate(spans)}
        owner = [
            place.get(ALWAYS if special or number is None else number, ALWAYS)
            for number, special in zip(found.word_ids, found.special_tokens_mask, strict=True)
        ]
        words = tuple(text[begin:end].strip() for begin, end in spans.values())
        return Cut(list(found.ids), owner, words, tuple(found.tokens))

    def save(self, path: Path) -> None:
        """Write the JSON.

        Raises:
            JumokError: it cannot be written.
        """
        write_atomically(path, self.text)


def read_tokens(folder: Path, *, fingerprint: str, padding: int, mask: int, longest: int) -> Tokens:
    """The tokenizer of a run.

    Args:
        folder: of the run.
        fingerprint: that it must have.
        padding, mask, longest: as for `Tokens`.
    Raises:
        JumokError: the file is missing, or it is another one.
    """
    path = folder / TOKENIZER
    try:
        with path.open(encoding="utf-8", newline="") as file:
            found = Tokens(file.read(), padding, mask, longest)
    except (OSError, UnicodeDecodeError) as error:
        raise JumokError(f"cannot read {path}: {error}") from error
    if found.fingerprint != fingerprint:
        raise JumokError(f"{path} is not the tokenizer that this run was trained with: restore it")
    return found
