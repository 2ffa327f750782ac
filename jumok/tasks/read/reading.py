"""What a text model answers about a text, and which words it read: relevance and the attention of every layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from jumok.attention import AttentionMap, Scale, Tokens
from jumok.errors import JumokError, foreign
from jumok.tasks.classify.foreign import ADVICE
from jumok.tasks.prediction import check_answered
from jumok.tasks.read.pieces import Piece, name_pieces
from jumok.watching.seen import Seen

__all__ = [
    "MOST_BEST",
    "MOST_TOKENS",
    "Answer",
    "Given",
    "Reading",
    "Sheet",
    "encode",
    "list_calls",
    "rank",
    "self_attention",
]

MOST_TOKENS = 2048
"""Of a text: beyond it no page could show who reads what."""
MOST_BEST = 5
"""Classes or words that are told beside the first."""


@dataclass(frozen=True)
class Given:
    """A text as a model is given it.

    Args:
        text: itself.
        inputs: by the names that the model takes, (1, tokens) each.
        pieces: its tokens.
    """

    text: str
    inputs: Mapping[str, Tensor]
    pieces: tuple[Piece, ...]

    @property
    def ids(self) -> Tensor:
        """(1, tokens)."""
        return self.inputs["input_ids"]


@dataclass(frozen=True)
class Answer:
    """One thing that a model said.

    Args:
        name: a class or a word.
        share: its probability; of a regression the number itself.
        best: what was most likely, with probabilities, best first.
        relevance: (pieces of the text and then of the output,) how much each contributed; None: not asked.
        place: the number of the mask that it stands for, -1 otherwise.
    """

    name: str
    share: float
    best: tuple[tuple[str, float], ...] = ()
    relevance: Tensor | None = None
    place: int = -1


@dataclass(frozen=True)
class Sheet:
    """Attention calls between the same tokens, one a layer; their weights are computed when they are asked for.

    Args:
        name: "self-attention", "encoder", "decoder" or "cross-attention".
        queries, keys: who reads and what is read.
        calls: names of the calls, first layer first.
        seen: that they were noted in.
        first: the first row that is shown.
        rolls: whether layers lead from the keys to the keys, so that rollout holds.
    """

    name: str
    queries: tuple[Piece, ...]
    keys: tuple[Piece, ...]
    calls: tuple[str, ...]
    seen: Seen
    first: int = 0
    rolls: bool = False

    def maps(self) -> Iterator[AttentionMap]:
        """(head, queries, keys) of each layer."""
        rows, keys = range(self.first, self.first + len(self.queries)), len(self.keys)
        axes = Tokens(tuple(piece.text for piece in self.queries)), Tokens(tuple(piece.text for piece in self.keys))
        for name in self.calls:
            weights = self.seen.attended(name).weights(list(rows))[0, ..., :keys]
            yield AttentionMap(weights.float().cpu(), *axes, ("head",), Scale.DISTRIBUTION, name)

    @cached_property
    def unrolled(self) -> str:
        """Why rollout does not hold; empty where it does."""
        if not self.rolls:
            return "these layers do not lead from the text to the text"
        try:
            self.seen.flow().check_same_tokens("rollout")
        except JumokError as error:
            return str(error)
        return ""

    def roll(self) -> AttentionMap:
        """Rollout (Abnar & Zuidema 2020), (queries, keys): the product over layers of half attention, half the token.

        As `attribution.rollout`, of all queries at once.
        """
        rows = slice(self.first, self.first + len(self.queries))
        total: Tensor | None = None
        for name in self.calls:
            mean = self.seen.attended(name).weights()[0].float().mean(0)
            mixed = 0.5 * mean + 0.5 * torch.eye(len(mean), device=mean.device)
            total = mixed if total is None else mixed @ total
        assert total is not None
        axes = Tokens(tuple(piece.text for piece in self.queries)), Tokens(tuple(piece.text for piece in self.keys))
        return AttentionMap(total[rows, : len(self.keys)].cpu(), *axes, (), Scale.DISTRIBUTION, "rollout")


@dataclass(frozen=True)
class Reading:
    """What was asked of one text.

    Args:
        given: the text.
        asked: "class", "score", "masked word", "next word" or "words"; empty where the model answers nothing.
        answers: in order; one a word of the output where the model wrote one.
        output: what was written.
        sheets: who read what.
        method: of the relevance.
        remarks: what the user should know.
    """

    given: Given
    asked: str = ""
    answers: tuple[Answer, ...] = ()
    output: tuple[Piece, ...] = ()
    sheets: tuple[Sheet, ...] = ()
    method: str = ""
    remarks: tuple[str, ...] = ()


def encode(model: Any, text: str, *, chat: bool = False, room: int = 0) -> Given:
    """A text as a model takes it.

    Args:
        model: a `TextModel`.
        text: with something in it.
        chat: put it into the model's chat template, as a user's message.
        room: tokens that will be written behind it.
    Raises:
        JumokError: an empty text, no template, or more tokens than the model or a page takes.
    """
    if not text.strip():
        raise JumokError("an empty text cannot be read: give a text with words in it")
    tokenizer, spans = model.tokenizer, None
    with foreign(f"the tokenizer of hf:{model.name} cannot read this text", ADVICE):
        if chat:
            text = _fill_template(model, text)
        fast = bool(getattr(tokenizer, "is_fast", False))
        found = tokenizer(text, add_special_tokens=not chat, return_offsets_mapping=fast, verbose=False)
        ids = list(found["input_ids"])
        spans = [tuple(span) for span in found["offset_mapping"]] if fast else None
    pieces = name_pieces(tokenizer, ids, spans)
    _check_length(model, text, len(ids), room)
    if all(piece.special for piece in pieces):
        raise JumokError(
            f"the tokenizer of hf:{model.name} finds no token in {_shorten(text)!r}: give a text with words"
        )
    given = torch.tensor([ids], device=model.device)
    return Given(text, {"input_ids": given, "attention_mask": torch.ones_like(given)}, pieces)


def list_calls(seen: Seen, rows: int, keys: int, inside: str = "") -> tuple[list[str], list[str]]:
    """The calls of one text that weigh so many keys for so many rows, and those that do otherwise."""
    every = [name for name in seen.names if name == inside or name.startswith(f"{inside}." if inside else "")]
    fits = {name: seen.attended(name).shape for name in every}
    whole = [name for name, shape in fits.items() if (shape[0], *shape[2:]) == (1, rows, keys)]
    return whole, [name for name in every if name not in whole]


def self_attention(seen: Seen, pieces: Sequence[Piece], first: int = 0, rows: Sequence[Piece] | None = None) -> Sheet:
    """The sheet of a model of one stream.

    Args:
        seen: of the pass.
        pieces: the tokens that it was given.
        first: the first row that is shown.
        rows: names of the rows; None: the tokens themselves.
    Raises:
        JumokError: no layer looks from every token to every other.
    """
    calls, others = list_calls(seen, len(pieces), len(pieces))
    if not calls:
        raise JumokError(
            f"no layer of this model weighs {len(pieces)} tokens for {len(pieces)} ({', '.join(others[:3]) or 'none'} "
            "were seen): it attends within windows or mixes tokens otherwise; in Python, read it with jumok.watch"
        )
    shown = tuple(pieces[first:] if rows is None else rows)
    return Sheet("self-attention", shown, tuple(pieces), tuple(calls), seen, first, rolls=not others)


def rank(model: Any, logits: Tensor, most: int = MOST_BEST) -> tuple[tuple[str, float], ...]:
    """The most probable words of a distribution over the vocabulary: (words,) logits."""
    shares = check_answered(logits.detach().float().softmax(-1), f"hf:{model.name}")
    best = shares.topk(min(most, len(logits)))
    pieces = name_pieces(model.tokenizer, best.indices.tolist())
    return tuple((piece.text, value) for piece, value in zip(pieces, best.values.tolist(), strict=True))


def _fill_template(model: Any, text: str) -> str:
    if not getattr(model.tokenizer, "chat_template", None):
        raise JumokError(f"hf:{model.name} has no chat template: leave out --chat, or write the roles into the text")
    messages = [{"role": "user", "content": text}]
    return str(model.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def _check_length(model: Any, text: str, count: int, room: int) -> None:
    most = min(model.longest, MOST_TOKENS)
    if count + room <= most:
        return
    limit = f"hf:{model.name} takes {model.longest}" if model.longest <= MOST_TOKENS else f"a page shows {MOST_TOKENS}"
    written = f" and {room} more are to be written" if room else ""
    raise JumokError(f"{_shorten(text)!r} has {count:,} tokens{written}, and {limit}: give a shorter text")


def _shorten(text: str, most: int = 40) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= most else f"{flat[:most]}..."


def with_remark(reading: Reading, remark: str) -> Reading:
    """The same with one more remark; none where it is empty."""
    return replace(reading, remarks=(*reading.remarks, remark)) if remark else reading
