"""Vocabularies: built from sentences, checked on them, kept in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from jumok.data.texts.normal_form import clean
from jumok.data.texts.subword_vocabulary import SubwordVocabulary
from jumok.data.texts.vocabulary import Split, Vocabulary, VocabularySpec, pick_evenly
from jumok.data.texts.word_vocabulary import HEAD, CharacterVocabulary, ListVocabulary, WordVocabulary
from jumok.errors import JumokError, suggest
from jumok.special_tokens import SYMBOLS, UNK

__all__ = [
    "CHECKED",
    "KINDS",
    "BuildReport",
    "Split",
    "Vocabulary",
    "build_vocabulary",
    "check_vocabulary",
    "load_vocabulary",
]

MOST_BYTES = 64 * 1024**2
"""Of a vocabulary's file."""
CHECKED = 20_000
"""So many sentences are encoded and decoded again when a vocabulary was built."""


class Kind(NamedTuple):
    """How a kind of vocabulary is built, how large it is and how rare its entries may be by default."""

    build: Callable[[VocabularySpec, Sequence[str]], Vocabulary]
    size: int
    min_count: int = 1


KINDS = {
    "unigram": Kind(SubwordVocabulary.build, 8_000),
    "bpe": Kind(SubwordVocabulary.build, 8_000),
    "words": Kind(WordVocabulary.build, 30_000, 2),
    "characters": Kind(CharacterVocabulary.build, 20_000),
}


@dataclass(frozen=True)
class BuildReport:
    """How well a vocabulary fits some sentences, such as those it was built from.

    Args:
        kind, size: of the vocabulary, symbols counted.
        sentences: that were checked.
        round_trip: share of them that come back the same after encoding and decoding.
        coverage: share of their pieces that are known.
        notes: what is worth telling, one line each.
    """

    kind: str
    size: int
    sentences: int
    round_trip: float
    coverage: float
    notes: tuple[str, ...] = ()


def build_vocabulary(
    kind: str,
    texts: Iterable[str],
    *,
    size: int | None = None,
    min_count: int | None = None,
    character_coverage: float = 1.0,
) -> tuple[Vocabulary, BuildReport]:
    """Build a vocabulary from the sentences to train on, and check it on them; the same sentences, the same vocabulary.

    Args:
        kind: of `KINDS`.
        texts: sentences; of both sides, for a vocabulary that both share.
        size: ids at most, the four symbols among them; None: 8,000 sub-words, 30,000 words or 20,000 characters.
        min_count: words or characters that are rarer become unknown; None: 2 for words, so that what is unknown is
            seen in training, and 1 for characters.
        character_coverage: for sub-words: the share of running characters that must be known.
    Raises:
        JumokError: an unknown kind, no text, or a size that has no room for the characters.
    """
    if kind not in KINDS:
        raise JumokError(f"no vocabulary {kind!r}: {suggest(kind, KINDS)}")
    default = KINDS[kind]
    wish = VocabularySpec(
        kind,
        default.size if size is None else size,
        default.min_count if min_count is None else min_count,
        character_coverage,
    )
    if wish.size <= len(SYMBOLS) or wish.min_count < 1 or not 0 < character_coverage <= 1:
        raise JumokError(
            f"a vocabulary needs a size above {len(SYMBOLS)}, a min_count from 1 and a character_coverage above 0 up "
            f"to 1: got {wish.size}, {wish.min_count} and {character_coverage}"
        )
    sentences = [text for text in map(clean, texts) if text]
    if not sentences:
        raise JumokError("no sentence to build a vocabulary from")
    built = default.build(wish, sentences)
    report = check_vocabulary(built, pick_evenly(sentences, CHECKED))
    if size is not None and len(built) < size:
        note = f"the vocabulary has {len(built)} entries and not {size}: the text gives no more"
        report = replace(report, notes=(note,))
    return built, report


def check_vocabulary(vocabulary: Vocabulary, texts: Iterable[str]) -> BuildReport:
    """Encode and decode sentences, and see what of them is known and comes back."""
    sentences = [clean(text) for text in texts]
    encoded = vocabulary.encode_all(sentences)
    tokens = sum(map(len, encoded))
    unknown = sum(ids.count(UNK) for ids in encoded)
    back = sum(vocabulary.decode(ids) == text for ids, text in zip(encoded, sentences, strict=True))
    return BuildReport(
        vocabulary.kind,
        len(vocabulary),
        len(sentences),
        round_trip=back / max(len(sentences), 1),
        coverage=1 - unknown / max(tokens, 1),
    )


def load_vocabulary(path: Path) -> Vocabulary:
    """Read a vocabulary that `save` wrote.

    Raises:
        JumokError: no such file, too large a file, or one that is damaged or of another program.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise JumokError(f"cannot read the vocabulary {path}: {error.strerror or error}") from None
    if len(content) > MOST_BYTES:
        raise JumokError(f"the vocabulary {path} is larger than {MOST_BYTES >> 20} MiB: too large to be one of jumok's")
    try:
        return ListVocabulary.from_bytes(content) if content.startswith(HEAD) else SubwordVocabulary(content)
    except (ValueError, RuntimeError) as error:
        raise JumokError(f"the vocabulary {path} is damaged ({error}): restore it, or train again") from None
