"""A recurrent layer that looks at a memory before each step.

    a = softmax(score(g_{i-1}, h_1..h_S)),  c_i = sum_j a_j h_j,
    g_i = t1(U3 g_{i-1} + U1 y_{i-1} + U4 c_i)
U4 c_i = sum_j a_j (U4 h_j), since both are linear: U4 h_j is computed once for all steps, and no step multiplies by U4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from jumok.errors import JumokError, suggest
from jumok.mechanisms import dot_product
from jumok.mechanisms.additive import Additive
from jumok.mechanisms.general import General
from jumok.mechanisms.layers.linear import Linear
from jumok.mechanisms.multi_head import MultiHead
from jumok.mechanisms.recurrent import attending_steps
from jumok.mechanisms.recurrent.cells import CELLS, States, start_layer

__all__ = ["SCORES", "AttendingLayer"]


class ScoreFunction(Protocol):
    """How the layer looks at its memory h_1..h_S: (sentences, places, size)."""

    def project_keys(self, memory: Tensor) -> Tensor:
        """What is compared with the queries, once for all steps: (sentences, places, size)."""

    def weights(self, query: Tensor, projected_keys: Tensor, mask: Tensor) -> Tensor:
        """a: (sentences, queries, hidden) to (sentences, queries, places), mask (sentences, places) bool."""


class Dot(nn.Module):
    """The score q . h, over sqrt(size) if scaled (Luong et al. 2015, 3.1; Vaswani et al. 2017, 3.2.1)."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def project_keys(self, memory: Tensor) -> Tensor:
        """The memory itself, with the scale on it."""
        return memory if self.scale == 1 else memory * self.scale

    def weights(self, query: Tensor, projected_keys: Tensor, mask: Tensor) -> Tensor:
        """Softmax of the dot products."""
        scores = torch.bmm(query, projected_keys.transpose(1, 2))
        return torch.softmax(scores.masked_fill(~mask[:, None], -math.inf), -1)


class AttendingLayer(nn.Module):
    """A recurrent layer with attention: query g_{i-1}, keys and values the memory.

    Args:
        cell: name of a cell in `CELLS`.
        score: name of a score in `SCORES`, or multi-head.
        size: of each input y.
        hidden: of the state g.
        memory: size of each h_j.
        heads: how many looks, where the score is multi-head.
    Source: Bahdanau, Cho & Bengio 2015, arXiv 1409.0473, 3.1 and A.1. Differs: plain U4 c_i in every cell.
    """

    def __init__(self, cell: str, score: str, size: int, hidden: int, memory: int, heads: int = 1) -> None:
        super().__init__()
        if score not in SCORES:
            raise JumokError(f"no score {score!r}: {suggest(score, SCORES)}")
        self.name, self.cell = cell, CELLS[cell]
        gates = self.cell.gates * hidden
        self.u1 = Linear(size, gates)
        self.u3 = nn.Linear(hidden, gates, bias=cell == "gru")  # the GRU's reset gate acts on a biased product
        self.u4 = Linear(memory, gates, bias=False)
        self.look = SCORES[score](hidden, memory, heads)
        start_layer(cell, self.u1.weight, self.u3.weight, self.u1.bias, *([self.u3.bias] if cell == "gru" else []))
        for part in self.u4.weight.detach().chunk(self.cell.gates):
            nn.init.xavier_uniform_(part)

    def prepare(self, memory: Tensor, allowed: Tensor) -> dict[str, Tensor]:
        """What is the same for all steps.

        Args:
            memory: (sentences, places, size), h_1..h_S.
            allowed: (sentences, places) bool, True = may be attended; at least one of each sentence.
        Returns:
            keys, values and allowed: tensors (sentences, ...) for `step`.
        """
        if isinstance(self.look, MultiHead):
            keys, values = self.look.project_memory(memory)
        else:
            keys, values = self.look.project_keys(memory), self.u4(memory)  # U4 h_j
        return {"keys": keys, "values": values, "allowed": allowed}

    def step(self, inputs: Tensor, memory: Mapping[str, Tensor], state: States) -> tuple[States, Tensor]:
        """One step of each hypothesis.

        Args:
            inputs: (sentences, beams, gates), U1 y_{i-1}.
            memory: from `prepare`.
            state: each (sentences, beams, hidden), g_{i-1} first.
        Returns:
            state: after the step.
            weights: a, (sentences, [heads,] beams, places).
        """
        keys, values, allowed = memory["keys"], memory["values"], memory["allowed"]
        g = state[0]
        if isinstance(self.look, MultiHead):
            scores = dot_product.scaled_scores(self.look.project_query(g), keys)
            weights = torch.softmax(scores.masked_fill(~allowed[:, None, None], -math.inf), -1)
            seen = self.u4(self.look.join(weights @ values))  # U4 c_i
        else:
            weights = self.look.weights(g, keys, allowed)
            seen = torch.bmm(weights, values)  # U4 c_i = sum_j a_j (U4 h_j)
        return self.cell.step(inputs + seen, self.u3(g), state), weights

    def run(self, inputs: Tensor, memory: Mapping[str, Tensor], state: States) -> tuple[Tensor, Tensor]:
        """All steps, their inputs being known.

        Args:
            inputs: (sentences, steps, size), y.
            memory: from `prepare`.
            state: each (sentences, 1, hidden).
        Returns:
            outputs: (sentences, steps, hidden), g_1..g_T.
            weights: (sentences, [heads,] steps, places), without gradient.
        """
        given = self.u1(inputs.transpose(0, 1).contiguous())  # strided, it would go to a slow kernel
        if isinstance(self.look, MultiHead):
            return self.plain(given, memory, state)
        query, w = (self.look.query.weight, self.look.w) if isinstance(self.look, Additive) else (None, None)
        weights = attending_steps.Weights(self.u3.weight, self.u3.bias, query, w)
        return attending_steps.run(self.name, given, memory, tuple(part[:, 0] for part in state), weights)

    def plain(self, given: Tensor, memory: Mapping[str, Tensor], state: States) -> tuple[Tensor, Tensor]:
        """As `run` by the textbook, step for step; given: (steps, sentences, gates), U1 y."""
        outputs, looks = [], []
        for inputs in given[:, :, None]:
            state, weights = self.step(inputs, memory, state)
            outputs.append(state[0])
            looks.append(weights.detach())
        return torch.cat(outputs, 1), torch.cat(looks, -2)


SCORES: Mapping[str, Callable[[int, int, int], ScoreFunction | MultiHead]] = {
    "dot": lambda hidden, memory, heads: Dot(),
    "scaled-dot": lambda hidden, memory, heads: Dot(1 / math.sqrt(hidden)),
    "general": lambda hidden, memory, heads: General(hidden, memory),
    "additive": lambda hidden, memory, heads: Additive(hidden, memory, hidden),
    "multi-head": lambda hidden, memory, heads: MultiHead(hidden, heads),
}
"""How well a key fits the query, by name: made of the sizes of query and memory and the number of heads."""
