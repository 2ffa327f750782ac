"""Sequence to sequence by recurrent networks, with attention or without.

Source words -> encoder -> h_1..h_T. The decoder then writes word by word: what it wrote last, y_{i-1}, where it stands,
g_{i-1}, and what it sees of the source, c_i, give the next state g_i, and that gives the next word o_i.

With attention (Bahdanau, Cho & Bengio 2015, arXiv 1409.0473, 3.1; the scores of Luong, Pham & Manning 2015, arXiv
1508.04025, 3.1): query g_{i-1}, keys and values h_1..h_T,
    a = softmax(score(g_{i-1}, h_1..h_T)),  c_i = sum_j a_j h_j,
    g_i = t1(U3 g_{i-1} + U1 y_{i-1} + U4 c_i),  o_i = t2(U2 g_i).
Without (Sutskever, Vinyals & Le 2014, arXiv 1409.3215), only the encoder's last hidden state reaches the decoder:
    g_i = t1(U3 g_{i-1} + U1 y_{i-1}),  o_i = t2(U2 g_i).
t1 is the cell's step (tanh for the RNN), t2 the softmax, which the loss or the search takes of the logits given here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from jumok.errors import JumokError
from jumok.mechanisms.layers.dropout import Dropout
from jumok.mechanisms.recurrent.attending_layer import AttendingLayer
from jumok.mechanisms.recurrent.cells import CELLS, States, run_layer, start_layer, step_layer, weights_of
from jumok.special_tokens import EOS, UNK
from jumok.systems.writing import State, check_ids, check_step, mask_real
from jumok.watching.watchers import report, unseen

__all__ = ["Seq2Seq", "Seq2SeqConfig"]

Share = Annotated[float, Field(ge=0, lt=1)]
Vocabulary = Annotated[int, Field(gt=EOS, le=1_000_000)]
Size = Annotated[int, Field(ge=1, le=16_384)]


class Seq2SeqConfig(BaseModel):
    """Everything needed to build a `Seq2Seq`.

    Args:
        source_vocabulary: how many words (or sub-words) the source has, the four symbols among them.
        target_vocabulary: how many the target has.
        shared: both sides have one vocabulary and one table of embeddings.
        cell: rnn, lstm or gru, of encoder and decoder.
        score: how well a key fits the query; `none` is seq2seq without attention.
        embedding: size of a word's embedding.
        hidden: size of the decoder's state g_i.
        encoder_hidden: size of h_j, both directions together; None: as `hidden`.
        layers: how many, of encoder and decoder each.
        bidirectional: the encoder reads both ways, each with half of the size of h_j.
        heads: how many looks, where the score is multi-head.
        dropout: probability, on embeddings, between layers and before the output, in training.
        word_dropout: probability with which a word that is read is replaced by the unknown word, in training.
        tied: the output's weights are the target's embeddings.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source_vocabulary: Vocabulary
    target_vocabulary: Vocabulary
    shared: bool = False
    cell: Literal["rnn", "lstm", "gru"] = "lstm"
    score: Literal["none", "dot", "scaled-dot", "general", "additive", "multi-head"] = "additive"
    embedding: Size = 256
    hidden: Size = 512
    encoder_hidden: Size | None = None
    layers: int = Field(default=1, ge=1, le=64)
    bidirectional: bool = True
    heads: int = Field(default=4, ge=1, le=1024)
    dropout: Share = 0.3
    word_dropout: Share = 0.0
    tied: bool = False

    @property
    def memory(self) -> int:
        """Size of h_j."""
        return self.hidden if self.encoder_hidden is None else self.encoder_hidden

    @model_validator(mode="after")
    def _fits(self) -> Seq2SeqConfig:
        if self.shared and self.source_vocabulary != self.target_vocabulary:
            sizes = f"{self.source_vocabulary} and {self.target_vocabulary}"
            raise JumokError(f"a shared vocabulary has one size, got {sizes}: give the same twice")
        if self.bidirectional and self.memory % 2:
            raise JumokError(f"two directions share the encoder's hidden size, got {self.memory}: choose an even one")
        if self.score in ("dot", "scaled-dot", "multi-head") and self.memory != self.hidden:
            raise JumokError(
                f"score {self.score} needs encoder_hidden = hidden, got {self.memory} and {self.hidden}: "
                "choose equal sizes, or the score general or additive"
            )
        if self.score == "multi-head" and self.hidden % self.heads:
            raise JumokError(f"heads {self.heads} do not divide hidden {self.hidden}: choose a divisor")
        return self


class Seq2Seq(nn.Module):
    """A recurrent encoder and a recurrent decoder.

    >>> model = Seq2Seq(Seq2SeqConfig(source_vocabulary=9, target_vocabulary=8, embedding=6, hidden=4))
    >>> source, target_in = torch.tensor([[5, 8, 3], [7, 3, 0]]), torch.tensor([[2, 4, 6, 7], [2, 5, 0, 0]])
    >>> model(source, target_in).shape
    torch.Size([2, 4, 8])
    """

    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__()
        self.config = config
        self.source_embedding = nn.Embedding(config.source_vocabulary, config.embedding)
        self.target_embedding = (
            self.source_embedding if config.shared else nn.Embedding(config.target_vocabulary, config.embedding)
        )
        self.dropout = Dropout(config.dropout)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        fits = config.tied and config.embedding == config.hidden
        self.narrow = nn.Linear(config.hidden, config.embedding) if config.tied and not fits else nn.Identity()
        self.output = nn.Linear(config.embedding if config.tied else config.hidden, config.target_vocabulary)  # U2
        self._start()

    def forward(self, source: Tensor, target_in: Tensor) -> Tensor:
        """Say of each place of the target which word comes there, knowing the words before it (teacher forcing).

        Args:
            source: (batch, source tokens) int64, each sentence with </s>, padded with <pad> at the right.
            target_in: (batch, steps) int64, from <s> on.
        Returns:
            logits: (batch, steps, target vocabulary).
        Raises:
            JumokError: ids of another shape or type, outside their vocabulary, or with padding inside a sentence.
        """
        return self.readout(self.decode(source, target_in))

    def decode(self, source: Tensor, target_in: Tensor, own: Tensor | None = None) -> Tensor:
        """As `forward`, up to what the logits are read off.

        Args:
            source: as for `forward`.
            target_in: as for `forward`.
            own: (batch, steps) bool; True = the step reads the word that the model itself finds likeliest after the
                step before, in place of target_in's (scheduled sampling; Bengio et al. 2015, arXiv 1506.03099). There
                is none for the first step, which reads target_in. None: never.
        Returns:
            hidden: (batch, steps, hidden).
        """
        check_ids("target_in", target_in, self.config.target_vocabulary, source.shape[0])
        memory, states = self._read(source)
        if own is None or not bool(own[:, 1:].any()):
            words = self._embed(self.target_embedding, target_in)
            return self.decoder.run(words, memory, states, self.dropout)
        if own.shape != target_in.shape or own.dtype != torch.bool:
            got = f"{tuple(own.shape)} and {own.dtype}"
            raise JumokError(f"own has shape {got}, wanted {tuple(target_in.shape)} bool: one per step")
        return self._decode_own(memory, states, target_in, own)

    def readout(self, hidden: Tensor) -> Tensor:
        """The logits of the next word: U2 g_i.

        Args:
            hidden: (..., hidden), from `decode`; all steps, or those that matter.
        Returns:
            logits: (..., target vocabulary).
        """
        logits: Tensor = self.output(self.narrow(hidden))
        return logits

    def encode(self, source: Tensor, beams: int = 1) -> State:
        """Read sentences that are to be written in another language.

        Args:
            source: as for `forward`.
            beams: how many hypotheses of each sentence begin.
        """
        memory, states = self._read(source)
        spread = [[state.expand(-1, beams, -1) for state in layer] for layer in states]
        return State(memory, _carry(spread))

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Write one word more.

        Args:
            tokens: (sentences, beams) int64, the word that each hypothesis got last; <s> first of all.
            state: from `encode` or the step before.
        Returns:
            logits: (sentences, beams, target vocabulary), of the next word.
            state: after the step; the one before it stays as it was.
        """
        check_step(tokens, state)
        with unseen():
            hidden, states, weights = self.decoder.step(
                self._embed(self.target_embedding, tokens), state.memory, self._states(state), self.dropout
            )
        if weights is not None:
            report(weights)
        return self.readout(hidden), State(state.memory, _carry(states), state.length + 1)

    def _read(self, source: Tensor) -> tuple[dict[str, Tensor], list[States]]:
        """What the decoder may look at, and the states that it begins with, each (batch, 1, hidden)."""
        check_ids("source", source, self.config.source_vocabulary)
        allowed = mask_real(source)
        h, last = self.encoder(self._embed(self.source_embedding, source), allowed.sum(1))
        return self.decoder.prepare(h, allowed), self.decoder.begin(last[:, None])

    def _embed(self, table: nn.Embedding, ids: Tensor) -> Tensor:
        if self.training and self.config.word_dropout:
            lost = torch.rand(ids.shape, device=ids.device) < self.config.word_dropout
            ids = ids.masked_fill(lost & (ids > EOS), UNK)
        embedded: Tensor = self.dropout(table(ids))
        return embedded

    def _decode_own(self, memory: dict[str, Tensor], states: list[States], target_in: Tensor, own: Tensor) -> Tensor:
        """Step by step, since what a step reads may depend on the one before."""
        read = target_in[:, :1]
        outputs: list[Tensor] = []
        looks: list[Tensor] = []
        with unseen():
            for i in range(target_in.shape[1]):
                if i:
                    guess = self.readout(outputs[-1].detach()).argmax(-1)
                    read = torch.where(own[:, i : i + 1], guess, target_in[:, i : i + 1])
                words = self._embed(self.target_embedding, read)
                hidden, states, weights = self.decoder.step(words, memory, states, self.dropout)
                outputs.append(hidden)
                looks += [] if weights is None else [weights]
        if looks:
            report(torch.cat(looks, -2))
        return torch.cat(outputs, 1)

    def _states(self, state: State) -> list[States]:
        names = ("g", "c")[: CELLS[self.config.cell].states]
        return [tuple(state.carried[f"{name}{layer}"] for name in names) for layer in range(self.config.layers)]

    def _start(self) -> None:
        """Fresh weights of what `Encoder` and `Decoder` have not set themselves."""
        for table in dict.fromkeys((self.source_embedding, self.target_embedding)):  # in this order, for the seed
            nn.init.normal_(table.weight, std=self.config.embedding**-0.5)
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        if self.config.tied:
            self.output.weight = self.target_embedding.weight


class Encoder(nn.Module):
    """Read a sentence by layers of recurrent cells, from the left and, if wanted, from the right."""

    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__()
        ways = 2 if config.bidirectional else 1
        self.layers = nn.ModuleList()
        for number in range(config.layers):
            size = config.embedding if number == 0 else config.memory
            self.layers.append(nn.ModuleList(_layer(config.cell, size, config.memory // ways) for _ in range(ways)))
        self.dropout = Dropout(config.dropout)

    def forward(self, words: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, tokens, embedding) to all hidden states (batch, tokens, size) and the last (batch, size).

        Padding stands at the end of what each direction reads, so no state of a word depends on it; what comes out at
        padded places means nothing. One kernel over padded sentences is faster than packing them.
        """
        turned = _turn(lengths, words.shape[1])
        end = (lengths - 1)[:, None, None]
        h, last = words, words
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, nn.ModuleList)
            h = self.dropout(h) if number else h
            outputs, lasts = [], []
            for way, directed in enumerate(layer):
                assert isinstance(directed, nn.RNNBase)
                read = run_layer(directed, _pick(h, turned) if way else h)
                lasts.append(read.gather(1, end.expand(-1, 1, read.shape[2]))[:, 0])
                outputs.append(_pick(read, turned) if way else read)
            h, last = torch.cat(outputs, -1), torch.cat(lasts, -1)
        return h, last


class Decoder(nn.Module):
    """Write a sentence: a first layer that may attend, and recurrent layers above it."""

    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__()
        self.cell = CELLS[config.cell]
        self.parts = config.layers * self.cell.states
        self.bridge = nn.Linear(config.memory, self.parts * config.hidden)
        nn.init.xavier_uniform_(self.bridge.weight)
        nn.init.zeros_(self.bridge.bias)
        sizes = [config.embedding, *[config.hidden] * (config.layers - 1)]
        self.first: AttendingLayer | None = None
        if config.score != "none":
            self.first = AttendingLayer(
                config.cell, config.score, sizes.pop(0), config.hidden, config.memory, config.heads
            )
        self.layers = nn.ModuleList(_layer(config.cell, size, config.hidden) for size in sizes)

    def prepare(self, h: Tensor, allowed: Tensor) -> dict[str, Tensor]:
        """Whatever of the encoder's states is the same for all steps."""
        return {} if self.first is None else self.first.prepare(h, allowed)

    def begin(self, last: Tensor) -> list[States]:
        """g_0 (and c_0 of the LSTM's cell) of each layer: tanh of a linear map of the encoder's last hidden state."""
        parts = torch.tanh(self.bridge(last)).chunk(self.parts, -1)
        return [parts[at : at + self.cell.states] for at in range(0, len(parts), self.cell.states)]

    def run(self, words: Tensor, memory: dict[str, Tensor], states: list[States], dropout: nn.Module) -> Tensor:
        """All steps at once: (batch, steps, embedding) to (batch, steps, hidden)."""
        above = list(zip(self.layers, states[-len(self.layers) :] if self.layers else [], strict=True))
        hidden = words
        if self.first is not None:
            with unseen():
                hidden, weights = self.first.run(words, memory, states[0])
            report(weights)
            hidden = dropout(hidden)
        for layer, state in above:
            assert isinstance(layer, nn.RNNBase)
            hidden = dropout(run_layer(layer, hidden, tuple(part.transpose(0, 1).contiguous() for part in state)))
        return hidden

    def step(
        self, words: Tensor, memory: Mapping[str, Tensor], states: Sequence[States], dropout: nn.Module
    ) -> tuple[Tensor, list[States], Tensor | None]:
        """One step of each hypothesis: (sentences, beams, embedding) to (sentences, beams, hidden)."""
        hidden, weights, after = words, None, []
        if self.first is not None:
            state, weights = self.first.step(self.first.u1(words), memory, states[0])
            hidden = dropout(state[0])
            after.append(state)
        for layer, state in zip(self.layers, states[len(after) :], strict=True):
            assert isinstance(layer, nn.RNNBase)
            after.append(step_layer(self.cell, layer, hidden, state))
            hidden = dropout(after[-1][0])
        return hidden, after, weights


def _layer(cell: str, size: int, hidden: int) -> nn.RNNBase:
    """PyTorch's fused layer of a cell, with fresh weights."""
    layer = CELLS[cell].layer(size, hidden, batch_first=True)
    start_layer(cell, *weights_of(layer))
    return layer


def _turn(lengths: Tensor, tokens: int) -> Tensor:
    """Places (batch, tokens) that read each sentence from its last word to its first, and leave its padding behind."""
    places = torch.arange(tokens, device=lengths.device)
    return torch.where(places < lengths[:, None], lengths[:, None] - 1 - places, places)


def _pick(tokens: Tensor, places: Tensor) -> Tensor:
    return tokens.gather(1, places[..., None].expand(-1, -1, tokens.shape[2]))


def _carry(states: Sequence[Sequence[Tensor]]) -> dict[str, Tensor]:
    return {f"{name}{layer}": part for layer, parts in enumerate(states) for name, part in zip("gc", parts)}  # noqa: B905
