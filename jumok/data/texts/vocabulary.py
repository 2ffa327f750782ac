"""What every vocabulary offers: from a sentence to ids and back, and which word each piece belongs to."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple, TypeVar

from jumok.errors import JumokError
from jumok.files import write_atomically
from jumok.special_tokens import EOS, PAD, SOS, UNK

T = TypeVar("T")


@dataclass(frozen=True)
class VocabularySpec:
    """What vocabulary is wanted (see `jumok.data.texts.vocabulary_builder.build_vocabulary`)."""

    kind: str
    size: int
    min_count: int = 1
    character_coverage: float = 1.0


class Split(NamedTuple):
    """A sentence in pieces.

    Args:
        ids: of the pieces, without symbols.
        words: of the sentence, separated by white space (in Korean: eojeol).
        owner: for each piece, the index of the word it belongs to; never falling. A space belongs to
            the word behind it.
        pieces: as they stand in the sentence, those that are not known too.
    """

    ids: list[int]
    words: list[str]
    owner: list[int]
    pieces: list[str]


class Vocabulary(ABC):
    """What all kinds of vocabularies offer. Ids 0 to 3 are the symbols of `special_tokens`; sentences get none of them.

    Sentences are cleaned first (see `normal_form.clean`), so Hangul typed as letters gives the same ids.
    """

    signs = ""
    """What stands in pieces for spaces, or for none."""
    padding_id, unknown_id, end_id = PAD, UNK, EOS
    """Ids of symbols that are the same in all vocabularies."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """Its name in `jumok.data.texts.vocabulary_builder.KINDS`."""

    @abstractmethod
    def __len__(self) -> int:
        """How many ids there are, the four symbols among them."""

    @abstractmethod
    def encode_all(self, texts: Iterable[str]) -> list[list[int]]:
        """Ids of many sentences; the quick way."""

    @abstractmethod
    def split(self, text: str) -> Split:
        """A sentence's pieces and the words that they belong to."""

    @abstractmethod
    def to_bytes(self) -> bytes:
        """What `load_vocabulary` reads."""

    @abstractmethod
    def pieces(self, ids: Sequence[int]) -> list[str]:
        """How ids are written, symbols too."""

    @abstractmethod
    def _join(self, ids: list[int]) -> str:
        """The sentence of ids that hold no symbol but UNK."""

    def encode(self, text: str) -> list[int]:
        """Ids of one sentence, without symbols; UNK for what is not known. An empty sentence has none."""
        return self.encode_all([text])[0]

    def regroup(self, ids: Sequence[int]) -> Split:
        """As `split`, for ids that a model wrote: its pieces may be others than the text would be cut into.

        Args:
            ids: without symbols other than UNK.
        """
        words = self.decode(ids).split()
        owner: list[int] = []
        for end in range(1, len(ids) + 1):
            begun = len(f"{self.decode(ids[:end])}.".split())  # the full stop stands for what comes: is it a new word?
            owner.append(max(min(begun, len(words)) - 1, owner[-1] if owner else 0))
        return Split(list(ids), words, owner, self.pieces(ids))

    def decode(self, ids: Iterable[int]) -> str:
        """The sentence up to the first EOS; what was not known reads <unk>.

        Raises:
            JumokError: an id that this vocabulary does not have.
        """
        kept = [int(token) for token in takewhile(EOS.__ne__, ids) if token not in (PAD, SOS)]
        if kept and not 0 <= min(kept) <= max(kept) < len(self):
            raise JumokError(f"ids {min(kept)} to {max(kept)} go beyond this vocabulary of {len(self)}")
        return self._join(kept)

    def unknown(self, text: str) -> tuple[str, ...]:
        """What this vocabulary has no piece for: characters (or words), each once, in the order they come."""
        return self.unknown_pieces(self.split(text))

    def unknown_pieces(self, found: Split) -> tuple[str, ...]:
        """As `unknown`, of a sentence that was split before."""
        unknown = (piece for piece, token in zip(found.pieces, found.ids, strict=True) if token == UNK)
        return tuple(dict.fromkeys(piece.strip(self.signs) if self.signs else piece for piece in unknown))

    def fingerprint(self) -> str:
        """What differs between vocabularies that give other ids, of one size or not."""
        return hashlib.sha256(self.to_bytes()).hexdigest()[:32]

    def save(self, path: Path) -> None:
        """Write it to a file, whole or not at all.

        Raises:
            JumokError: the file cannot be written.
        """
        write_atomically(path, self.to_bytes())


def pick_evenly(items: Sequence[T], most: int) -> Sequence[T]:
    """At most so many of the items, taken at even distances."""
    return items if len(items) <= most else [items[place * len(items) // most] for place in range(most)]
