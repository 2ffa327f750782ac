"""What the tokens of a text stand for in it: words and parts of words as a person reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["Piece", "join_pieces", "name_pieces", "name_token"]

MARKS = ("Ġ", "▁", " ")
"""What stands for a blank before a word in the names of tokens: of byte-level and of SentencePiece tokenizers."""
PART = "##"
"""What stands before a part of a word in WordPiece."""
BROKEN = "\N{REPLACEMENT CHARACTER}"
"""What the bytes of a part of a character become."""
MOST_BYTES = 4
"""Tokens that one character may be cut into."""


@dataclass(frozen=True)
class Piece:
    """One token.

    Args:
        text: what it stands for in the text.
        gap: whether a blank stands before it.
        special: whether it is no part of a text, as [CLS] is.
    """

    text: str
    gap: bool = True
    special: bool = False


def name_pieces(
    tokenizer: Any, ids: Sequence[int], spans: Sequence[tuple[int, int]] | None = None
) -> tuple[Piece, ...]:
    """The tokens of a text.

    A character that several tokens share bytes of is written at each of them with its part: "한 1/3".

    Args:
        tokenizer: of the model.
        ids: of the tokens.
        spans: where each begins and ends in the text, where that is known.
    """
    names = tokenizer.convert_ids_to_tokens(list(ids))
    special = set(tokenizer.all_special_ids)
    found = [_name(tokenizer, number, str(name), number in special) for number, name in zip(ids, names, strict=True)]
    if spans is not None and not any(str(name).startswith(MARKS) for name in names):
        found = list(_find_gaps(found, spans))
    return tuple(_mend_bytes(tokenizer, ids, found))


def name_token(tokenizer: Any, number: int) -> str:
    """One token alone, as it is listed among others: a blank before a word is not shown."""
    return name_pieces(tokenizer, [number])[0].text


def join_pieces(pieces: Sequence[Piece]) -> list[tuple[str, list[int]]]:
    """The words, each with the numbers of its tokens: what stands between blanks; special tokens are left out.

    A text without blanks, as in Chinese or Japanese, stays in its pieces.
    """
    words: list[tuple[str, list[int]]] = []
    for number, piece in enumerate(pieces):
        if piece.special:
            continue
        if words and not piece.gap and words[-1][1][-1] == number - 1:
            words[-1] = (words[-1][0] + piece.text, [*words[-1][1], number])
        else:
            words.append((piece.text, [number]))
    if len(words) == 1 and len(words[0][1]) > 1:
        return [(pieces[number].text, [number]) for number in words[0][1]]
    return words


def _name(tokenizer: Any, number: int, name: str, special: bool) -> Piece:
    if special:
        return Piece(name, special=True)
    if name.startswith(PART):
        return Piece(name.removeprefix(PART), gap=False)
    text = tokenizer.decode([number], clean_up_tokenization_spaces=False)
    bare = text.removeprefix(" ")
    return Piece(bare or text, gap=name.startswith(MARKS) or text != bare or not _has_marks(tokenizer))


def _has_marks(tokenizer: Any) -> bool:
    """Whether the names of tokens tell where blanks are: those of WordPiece do not."""
    return type(getattr(getattr(tokenizer, "backend_tokenizer", None), "model", None)).__name__ != "WordPiece"


def _find_gaps(pieces: Sequence[Piece], spans: Sequence[tuple[int, int]]) -> Iterator[Piece]:
    end = -1  # what follows a special token has a gap before it
    for piece, (begin, last) in zip(pieces, spans, strict=True):
        yield piece if piece.special else replace(piece, gap=begin > end)
        end = -1 if piece.special else last


def _mend_bytes(tokenizer: Any, ids: Sequence[int], pieces: Sequence[Piece]) -> Iterator[Piece]:
    """The same, where runs of broken characters are written as the character that they are bytes of."""
    number = 0
    while number < len(pieces):
        if BROKEN not in pieces[number].text:
            yield pieces[number]
            number += 1
            continue
        count, whole = _find_character(tokenizer, ids[number : number + MOST_BYTES])
        for part in range(count):
            name = f"{whole} {part + 1}/{count}" if whole else str(tokenizer.convert_ids_to_tokens(ids[number + part]))
            yield replace(pieces[number + part], text=name)
        number += count


def _find_character(tokenizer: Any, ids: Sequence[int]) -> tuple[int, str]:
    """How many tokens make the next whole characters, and what these are; of one that is never whole, its first."""
    for count in range(2, len(ids) + 1):
        text = tokenizer.decode(list(ids[:count]), clean_up_tokenization_spaces=False)
        if BROKEN not in text:
            return count, text.strip()
    return 1, ""
