"""A translator as two graphs: one that reads sentences, and one that says which word comes next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from jumok.special_tokens import EOS, PAD, SOS
from jumok.systems.seq2seq import Seq2Seq
from jumok.systems.transformer import SinePositions, Transformer
from jumok.systems.writing import State
from jumok.tasks.exporting import Graph
from jumok.tasks.translate.run import PairRun

__all__ = ["count_places", "make_graphs", "prepare_batches", "translate_greedily"]

BATCH = 8
EXAMPLE = torch.tensor([[4, 4, 4, EOS], [4, EOS, PAD, PAD]])
NEVER = [PAD, SOS]
LEAST_PLACES = 1024
"""Of words that a graph with sine positions can read and write."""


def make_graphs(run: PairRun) -> list[Graph]:
    """An encoder and one step of the decoder.

    A recurrent decoder takes its state and gives the next one. A Transformer's takes all words so far: without a cache,
    so that the graph holds for any length (CTranslate2 keeps one).
    """
    model = run.model
    read: ReadRecurrent | ReadAll = ReadRecurrent(model) if isinstance(model, Seq2Seq) else ReadAll(model)
    read.eval().requires_grad_(False)
    with torch.no_grad():
        names = tuple(read.names)
        found = dict(zip(names, read(EXAMPLE), strict=True))
    encoder = Graph("encoder", read, {"source": EXAMPLE}, names, {"source": {0: "sentences", 1: "tokens"}}, _limit(run))
    open_ = {name: _open_axes(name, value) for name, value in found.items()}
    if isinstance(model, Seq2Seq):
        step: nn.Module = StepRecurrent(model, names)
        tokens, words = torch.full((2, 1), SOS), {0: "sentences"}
        outputs = ("logits", *(f"next {name}" for name in names if name[0] in "gc" and name[1:].isdigit()))
    else:
        step, outputs = StepAll(model), ("logits",)
        tokens, words = torch.tensor([[SOS, 4, 4], [SOS, 4, PAD]]), {0: "sentences", 1: "steps"}
    axes = {"tokens": words, **open_}
    return [encoder, Graph("decoder_step", step, {"tokens": tokens, **found}, outputs, axes, _limit(run))]


def _limit(run: PairRun) -> dict[str, tuple[int, int]]:
    """A graph has only so many positions: those that were learned, or a table of sines that no longer grows."""
    if not isinstance(run.model, Transformer):
        return {}
    places = count_places(run)
    return {"tokens": (1, places), "steps": (1, places)}


def count_places(run: PairRun) -> int:
    """How many positions an exported Transformer has."""
    assert isinstance(run.model, Transformer)
    if run.model.longest is not None:
        return run.model.longest
    positions = run.model.position
    assert isinstance(positions, SinePositions)
    positions(0, max(run.longest + 1, LEAST_PLACES))  # makes its table that long
    return positions.table.shape[0]


def _open_axes(name: str, value: Tensor) -> dict[int, str]:
    """Sentences come first; of what stands for the source, its tokens second, or third behind heads."""
    if name[0] in "gc" and name[1:].isdigit():
        return {0: "sentences"}
    return {0: "sentences", (2 if value.dim() == 4 else 1): "tokens"}


# -- recurrent ----------------------------------------------------------------------------------


class ReadRecurrent(nn.Module):
    """Sentences to what the decoder looks at, and the states that it begins with."""

    def __init__(self, model: Seq2Seq) -> None:
        super().__init__()
        self.model = model
        with torch.no_grad():
            state = model.eval().encode(EXAMPLE)
        self.names = [*state.memory, *state.carried]

    def forward(self, source: Tensor) -> tuple[Tensor, ...]:
        """(sentences, tokens) to tensors of `names`."""
        state = self.model.encode(source)
        return tuple(value.clone() for value in (*state.memory.values(), *state.carried.values()))


class StepRecurrent(nn.Module):
    """One word more of each sentence."""

    def __init__(self, model: Seq2Seq, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, tuple(names)
        self.carried = tuple(name for name in names if name[0] in "gc" and name[1:].isdigit())

    def forward(self, tokens: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
        """(sentences, 1) and what was read to logits (sentences, vocabulary) and the next states."""
        values = dict(zip(self.names, given, strict=True))
        memory = {name: value for name, value in values.items() if name not in self.carried}
        logits, after = self.model.step(tokens, State(memory, {name: values[name] for name in self.carried}))
        return logits[:, 0], *(after.carried[name] for name in self.carried)


# -- Transformer --------------------------------------------------------------------------------


class ReadAll(nn.Module):
    """Sentences to the encoder's memory."""

    names = ("memory", "allowed")

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        assert isinstance(model, Transformer)
        self.model = model

    def forward(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """(sentences, tokens) to (sentences, tokens, width) and bool (sentences, tokens)."""
        return self.model.read(source)


class StepAll(nn.Module):
    """The next word of each sentence, from all words so far."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        assert isinstance(model, Transformer)
        self.model = model

    def forward(self, tokens: Tensor, memory: Tensor, allowed: Tensor) -> Tensor:
        """(sentences, steps) from <s> on, and what was read, to logits (sentences, vocabulary)."""
        return self.model.readout(self.model.write(tokens, memory, allowed)[:, -1])


# -- in use -------------------------------------------------------------------------------------


def prepare_batches(run: PairRun, graphs: Sequence[Graph], sentences: Sequence[str]) -> dict[str, list[Any]]:
    """Real sentences as each graph takes them, in batches of two sizes."""
    ids = [run.source.encode(run.cased(sentence)) for sentence in sentences]
    ids = [own for own in ids if 0 < len(own) <= run.longest]
    encoder, step = graphs
    read = [{"source": pad_sources(part)} for part in (ids[:BATCH], ids[BATCH:]) if part]
    steps = []
    for batch in read:
        found = encoder.run(batch)
        steps.append({"tokens": torch.full((len(batch["source"]), 1), SOS), **found})
    return {encoder.name: read, step.name: steps}


def pad_sources(ids: Sequence[Sequence[int]]) -> Tensor:
    """Sentences with </s>, padded at the right."""
    longest = max(map(len, ids)) + 1
    return torch.tensor([[*own, EOS, *[PAD] * (longest - len(own) - 1)] for own in ids])


def translate_greedily(sessions: Mapping[str, Any], source: Tensor, limit: int) -> list[list[int]]:
    """Translate by the graphs alone, the likeliest word at each step: what a user's loop does.

    Args:
        sessions: of ONNX Runtime, by the names of the graphs.
        source: (sentences, tokens).
        limit: most words.
    Returns:
        ids without symbols.
    """
    encoder, step = sessions["encoder"], sessions["decoder_step"]
    names = [output.name for output in encoder.get_outputs()]
    state = dict(zip(names, encoder.run(names, {"source": source.numpy()}), strict=True))
    carried = [output.name for output in step.get_outputs()][1:]
    written = np.full((len(source), 1), SOS)
    for _ in range(limit):
        tokens = written[:, -1:] if carried else written
        logits, *after = step.run(None, {"tokens": tokens, **state})
        logits[:, NEVER] = -np.inf
        state |= {name.removeprefix("next "): value for name, value in zip(carried, after, strict=True)}
        written = np.concatenate([written, logits.argmax(-1)[:, None]], 1)
        if (written == EOS).any(1).all():
            break
    return [_cut(row) for row in written[:, 1:].tolist()]


def _cut(row: Sequence[int]) -> list[int]:
    return list(row[: row.index(EOS)] if EOS in row else row)
