"""Which words make a sentence encoder find two sentences alike: the cosine, shared out over pairs of words.

With e the pooled and normalised vector of a sentence, cos(a, b) = sum_k e_k(a) e_k(b). Each e_k is explained on its
own, and the products of what token i of a and token j of b contributed to it are summed over k.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from jumok.attention import AttentionMap, Scale, Tokens
from jumok.errors import JumokError
from jumok.tasks.label.foreign import read_parts
from jumok.tasks.read.opening import TextModel
from jumok.tasks.read.reading import Given
from jumok.watching.watch import watch

__all__ = ["MEETING", "MOST_MET", "Meeting", "Vector", "check_pooling", "explain_vector", "meet"]

MEETING = "bilinear libra"
"""The method's name: relevance of each component by libra, combined as in BiLRP."""
METHOD = "libra"
MOST_MET = 8
"""Sentences that are compared with each other: each is explained value by value."""
SUMMED = ("mean", "first")
PARTS = ("Transformer", "Pooling", "Normalize")
"""Parts of a sentence encoder, by the last words of their names, whose vector is a sum of states."""
AT_ONCE = 4096
"""Tokens that are explained at a time, copies counted."""


@dataclass(frozen=True)
class Vector:
    """The vector of a sentence, and what its tokens contributed.

    Args:
        given: the sentence.
        values: (size,), of length 1.
        states: (tokens, size), the last states as the vector is made of them: they sum to it.
        parts: (tokens, size), how much each token of the input contributed to each value.
    """

    given: Given
    values: Tensor
    states: Tensor
    parts: Tensor


@dataclass(frozen=True)
class Meeting:
    """Two sentences side by side.

    Args:
        first, second: their vectors.
        similarity: the cosine of the two.
        relevance: (tokens of the first, tokens of the second), of any sign; what it sums to, `explained`, is the
            similarity of a model without biases.
        late: the same of the last states, which sums to the similarity exactly; a state has read the whole sentence.
    """

    first: Vector
    second: Vector
    similarity: float
    relevance: AttentionMap
    late: AttentionMap

    @property
    def explained(self) -> float:
        """What the pairs of tokens sum to."""
        return float(self.relevance.weights.sum())


def check_pooling(model: TextModel) -> None:
    """Refuse a vector that is no sum of the last states.

    Raises:
        JumokError: the model has parts behind its pooling, or pools otherwise.
    """
    further = [name for name in read_parts(model.name) if name.rpartition(".")[2] not in PARTS]
    if further or model.pool not in SUMMED:
        what = f"has {further[0]} behind its encoder" if further else f"pools by {model.pool}"
        raise JumokError(
            f"hf:{model.name} {what}, and two sentences are compared where the vector is the mean of the last states "
            "or the first one: give one sentence to see its attention"
        )


def explain_vector(model: TextModel, given: Given) -> Vector:
    """The vector of one sentence, each of its values explained by the tokens.

    Args:
        model: a sentence encoder.
        given: the sentence.
    Raises:
        JumokError: the vector is zero, or libra cannot follow the model.
    """
    with torch.no_grad():
        shares = _share(model, model.network(**given.inputs).last_hidden_state)[0]
    length = shares.sum(0).norm()
    if not float(length):
        raise JumokError("the vector of this sentence is zero, so that it is like no other")
    states = shares / length
    size, count = len(states[0]), len(given.pieces)
    step = max(1, AT_ONCE // count)
    parts = [_explain_values(model, given, length, range(at, min(at + step, size))) for at in range(0, size, step)]
    return Vector(given, states.sum(0).cpu(), states.cpu(), torch.cat(parts).T)


def meet(first: Vector, second: Vector) -> Meeting:
    """How alike two sentences are, and which of their words met.

    Source: Eberle et al. 2020, BiLRP, arXiv 2003.05431, eq. 5; for texts Vasileiou & Eberle 2024, arXiv 2405.06604.
        Differs: the values are explained by libra (Mehri et al. 2025), not by LRP.
    """
    cosine = float(first.values @ second.values)
    relevance = _make_map(first, second, first.parts @ second.parts.T, MEETING)
    return Meeting(
        first, second, cosine, relevance, _make_map(first, second, first.states @ second.states.T, "last states")
    )


def _make_map(first: Vector, second: Vector, weights: Tensor, source: str) -> AttentionMap:
    rows, columns = (Tokens(tuple(piece.text for piece in each.given.pieces)) for each in (first, second))
    return AttentionMap(weights, rows, columns, (), Scale.SCORE, source)


def _share(model: TextModel, states: Tensor) -> Tensor:
    """(batch, tokens, size): what the vector is the sum of, before it is brought to length 1."""
    if model.pool == "first":
        return states * (torch.arange(states.shape[1], device=states.device) == 0)[:, None]
    return states / states.shape[1]


def _explain_values(model: TextModel, given: Given, length: Tensor, numbers: range) -> Tensor:
    """(values, tokens): each value of a copy of the sentence of its own, so that one pass back explains them all."""
    copies = {name: values.expand(len(numbers), -1) for name, values in given.inputs.items()}
    with torch.enable_grad(), watch(model.network) as seen:
        states = model.network(**copies).last_hidden_state
        vectors = _share(model, states).sum(1) / length
    targets = vectors[torch.arange(len(numbers)), torch.tensor(list(numbers))]
    return seen.relevance(targets, method=METHOD).weights[:, 0].detach().float().cpu()
