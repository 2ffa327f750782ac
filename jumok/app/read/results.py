"""What was read of a text as plain values for JSON, and as lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from jumok.language import later, translate
from jumok.wording import write_percent

if TYPE_CHECKING:
    from jumok.tasks.read.meeting import Meeting
    from jumok.tasks.read.reading import Answer, Reading

__all__ = ["make_pair", "make_row", "tell"]

TOP_WORDS = 5
MOST_TOLD = 12
"""Written words that get a line each."""
NOUNS = {
    "class": later("class"),
    "score": later("score"),
    "masked word": later("masked word"),
    "next word": later("next word"),
    "words": later("word"),
}
"""What one answer is called, by what was asked."""


def make_row(reading: Reading) -> dict[str, Any]:
    """One text: its tokens, and what the model said with the relevance of every token."""
    return {
        "text": reading.given.text,
        "tokens": [piece.text for piece in reading.given.pieces],
        "asked": reading.asked or None,
        "method": reading.method or None,
        "output": "".join(
            f"{' ' * (piece.gap and number > 0)}{piece.text}" for number, piece in enumerate(reading.output)
        )
        if reading.output
        else None,
        "answers": [_describe(answer, reading) for answer in reading.answers],
        "layers": {sheet.name: len(sheet.calls) for sheet in reading.sheets},
    }


def make_pair(meeting: Meeting) -> dict[str, Any]:
    """Two sentences: how alike they are, and every token by every token."""
    return {
        "first": meeting.first.given.text,
        "second": meeting.second.given.text,
        "similarity": meeting.similarity,
        "explained": meeting.explained,
        "method": meeting.relevance.source,
        "words": ", ".join(f"{one} – {other} {value:.2f}" for one, other, value in _list_met(meeting)),
        "relevance": [[round(value, 6) for value in row] for row in meeting.relevance.weights.tolist()],
    }


def tell(reading: Reading) -> Iterator[str]:
    """A line a thing that the model said."""
    noun = translate(NOUNS[reading.asked]) if reading.answers else ""
    for number, answer in enumerate(reading.answers[:MOST_TOLD], 1):
        shares = ", ".join(f"{_flatten(name)} {write_percent(share, 1)}" for name, share in answer.best[:3])
        best = shares or f"{_flatten(answer.name)} {answer.share:.4g}"
        words = _list_words(answer, reading)
        place = f"{noun} {number}" if len(reading.answers) > 1 else noun
        evidence = f"; {translate('evidence: {words}', words=words)}" if words else ""
        yield f"{place}: {_flatten(answer.name)} ({best}){evidence}"
    if len(reading.answers) > MOST_TOLD:
        yield f"and {len(reading.answers) - MOST_TOLD} more"


def _flatten(text: str) -> str:
    """On one line, with something to see."""
    return text.replace("\n", "\\n").strip() or repr(text)


def _describe(answer: Answer, reading: Reading) -> dict[str, Any]:
    row = answer.relevance
    return {
        "answer": answer.name,
        "probability": answer.share,
        "best": [{"name": name, "probability": share} for name, share in answer.best],
        "relevance": None if row is None else [float(f"{value:.6g}") for value in row.tolist()],
        "words": _list_words(answer, reading),
        **({"place": answer.place} if answer.place >= 0 else {}),
    }


def _list_words(answer: Answer, reading: Reading) -> str:
    """The words that spoke most for an answer, with their share of all that spoke for it."""
    from jumok.tasks.read.pieces import join_pieces

    if answer.relevance is None:
        return ""
    begin = len(reading.given.pieces)
    written = [(word, [begin + number for number in numbers]) for word, numbers in join_pieces(reading.output)]
    words = [*join_pieces(reading.given.pieces), *written]
    values = torch.stack([answer.relevance[numbers].sum() for _, numbers in words])
    whole = float(values.clamp_min(0).sum())
    if not whole:
        return ""
    best = values.topk(min(TOP_WORDS, len(values)))
    told = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return ", ".join(f"{_flatten(words[number][0])} {value / whole:.0%}" for number, value in told if value > 0)


def _list_met(meeting: Meeting) -> list[tuple[str, str, float]]:
    """The pairs of words that met most."""
    from jumok.tasks.read.pieces import join_pieces

    first, second = (join_pieces(each.given.pieces) for each in (meeting.first, meeting.second))
    values = torch.stack(
        [torch.stack([_add(meeting.relevance.weights, one, other) for _, other in second]) for _, one in first]
    )
    best = values.flatten().topk(min(TOP_WORDS, values.numel()))
    places = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return [(first[at // len(second)][0], second[at % len(second)][0], value) for at, value in places if value > 0]


def _add(weights: Tensor, rows: Sequence[int], columns: Sequence[int]) -> Tensor:
    return weights[list(rows)][:, list(columns)].sum()
