"""The four symbols that every vocabulary begins with, whatever its words are."""

from __future__ import annotations

__all__ = ["EOS", "PAD", "SOS", "SYMBOLS", "UNK"]

PAD, UNK, SOS, EOS = range(4)
"""Ids of: no token, a token that is not known, the start and the end of a sentence."""
SYMBOLS = ("<pad>", "<unk>", "<s>", "</s>")
"""How they are written."""
