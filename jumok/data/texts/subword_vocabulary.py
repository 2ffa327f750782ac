"""Sub-words by sentencepiece: unigram language model or byte-pair encoding."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence

import sentencepiece

from jumok.data.texts.normal_form import clean
from jumok.data.texts.vocabulary import Split, Vocabulary, VocabularySpec, pick_evenly
from jumok.errors import JumokError
from jumok.special_tokens import EOS, PAD, SOS, SYMBOLS, UNK

MARK = "\u2581"
"""What stands for a space before a word in sentencepiece's pieces."""
PLAIN = "_"
"""What the mark becomes where it stands in a text; it would come back as a space."""
MOST_SENTENCES = 500_000
"""So many sentences, taken evenly, are enough to find sub-words."""
THREADS = 4
"""Of training, always: sums are rounded by it, so another number gives other pieces."""
LONGEST = 65_536
"""In bytes: longer sentences are not learnt from."""
RESERVED = tuple(f"\t{symbol}" for symbol in SYMBOLS)
"""The symbols' names in sentencepiece's model, which learns nothing from where one of them stands in a text. No cleaned
text holds a tab, so <unk> and <s> are learnt like any other word."""
MANY_SENTENCES = 1000
"""From so many sentences on, encoding is worth threads."""


class SubwordVocabulary(Vocabulary):
    """Pieces of words, from sentencepiece's model.

    Args:
        model: the bytes of a model whose symbols have the ids of `jumok.special_tokens`.
    Raises:
        JumokError: the bytes are no such model.
    """

    signs = MARK

    def __init__(self, model: bytes) -> None:
        self._model = model
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)
            self.pieces(range(len(self)))
        except (RuntimeError, UnicodeDecodeError) as error:
            raise JumokError(f"not a sentencepiece model: {_shorten(error)}") from None
        processor = self._processor
        ids = (processor.pad_id(), processor.unk_id(), processor.bos_id(), processor.eos_id())
        if ids != (PAD, UNK, SOS, EOS):
            raise JumokError(f"this sentencepiece model gives {', '.join(SYMBOLS)} the ids {ids}: wanted 0, 1, 2 and 3")

    @classmethod
    def build(cls, wish: VocabularySpec, sentences: Sequence[str]) -> SubwordVocabulary:
        """Train sentencepiece on cleaned sentences.

        Raises:
            JumokError: the size has no room for the characters.
        """
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=map(_hide_mark, pick_evenly(sentences, MOST_SENTENCES)),
                model_writer=model,
                model_type=wish.kind,
                vocab_size=wish.size,
                hard_vocab_limit=False,  # a text that gives no more pieces gets a smaller vocabulary
                character_coverage=wish.character_coverage,
                normalization_rule_name="identity",  # sentences are cleaned before, in training as in use
                byte_fallback=False,
                max_sentence_length=LONGEST,
                num_threads=THREADS,
                minloglevel=2,
                unk_surface=SYMBOLS[UNK],
                pad_id=PAD,
                unk_id=UNK,
                bos_id=SOS,
                eos_id=EOS,
                pad_piece=RESERVED[PAD],
                unk_piece=RESERVED[UNK],
                bos_piece=RESERVED[SOS],
                eos_piece=RESERVED[EOS],
            )
        except RuntimeError as error:
            raise JumokError(_explain(str(error), wish)) from None
        return cls(model.getvalue())

    @property
    def kind(self) -> str:
        """The name of its kind: byte-pair encoding scores its pieces 0, -1, -2, ..., which no unigram model does."""
        first = range(len(SYMBOLS), min(len(SYMBOLS) + 3, len(self)))
        return (
            "bpe"
            if [self._processor.GetScore(i) for i in first] == [-float(i) for i in range(len(first))]
            else "unigram"
        )

    def __len__(self) -> int:
        return int(self._processor.GetPieceSize())

    def encode_all(self, texts: Iterable[str]) -> list[list[int]]:
        plain = [_hide_mark(clean(text)) for text in texts]
        ids: list[list[int]] = self._processor.encode(plain, num_threads=THREADS if len(plain) >= MANY_SENTENCES else 1)
        return ids

    def split(self, text: str) -> Split:
        text = clean(text)
        plain = _hide_mark(text)
        pieces: list[str] = self._processor.encode(plain, out_type=str)
        owner, word = [], -1
        for piece in pieces:
            word += piece.startswith(MARK)  # a mark stands at the beginning of a piece or nowhere
            owner.append(word)
        return Split(self._processor.encode(plain), text.split(), owner, pieces)

    def pieces(self, ids: Sequence[int]) -> list[str]:
        return [
            SYMBOLS[token] if token < len(SYMBOLS) else str(self._processor.IdToPiece(token)) for token in map(int, ids)
        ]

    def to_bytes(self) -> bytes:
        return self._model

    def _join(self, ids: list[int]) -> str:
        return str(self._processor.decode(ids))


def _hide_mark(text: str) -> str:
    return text.replace(MARK, PLAIN)


def _explain(message: str, wish: VocabularySpec) -> str:
    """Put sentencepiece's error into words that help here."""
    small = re.search(r"required_chars\. \d+ vs (\d+)", message)
    if small:
        return (
            f"a vocabulary of {wish.size} has no room for all characters of the text: it needs {small[1]}; "
            "raise the size, or lower the character coverage (0.9995, say)"
        )
    return f"sentencepiece found no {wish.kind} vocabulary: {_shorten(message)}"


def _shorten(error: object) -> str:
    return " ".join(str(error).split())[-200:]
