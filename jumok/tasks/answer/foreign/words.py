"""Words of what a model wrote, from its tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

__all__ = ["group_words", "multiply_shares"]


def group_words(tokenizer: Any, tokens: Sequence[int]) -> Iterator[tuple[str, list[int]]]:
    """Words of an answer, and the numbers of their tokens: pieces that are written without a space belong together."""
    special, before = set(tokenizer.all_special_ids), ""
    word, places, kept = "", list[int](), list[int]()
    for number, token in enumerate(tokens):
        if token in special:
            continue
        kept.append(token)
        text = tokenizer.decode(kept, skip_special_tokens=True)
        piece, before = text[len(before) :], text
        if places and piece[:1].isspace() and word.strip():
            yield word.strip(), places
            word, places = "", []
        word, places = word + piece, [*places, number]
    if word.strip():
        yield word.strip(), places


def multiply_shares(shares: Sequence[float], words: Sequence[tuple[str, Sequence[int]]]) -> tuple[float, ...]:
    """How probable each word was: its tokens, one after the other."""
    return tuple(float(torch.tensor([shares[at] for at in places]).prod()) for _, places in words)
