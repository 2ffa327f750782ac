"""The Transformer, encoder and decoder: sentences read and written by attention alone.

Source words -> encoder blocks -> memory. Target words so far -> decoder blocks, which look back at the words before and
across at the memory -> logits of the next word.

Source: Vaswani et al. 2017, arXiv 1706.03762, 3. Differs: each block normalises what it reads, not what it gives
(pre-norm; Xiong et al. 2020, arXiv 2002.04745), with one norm more at the end; attention weights have a
dropout of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from jumok.errors import JumokError
from jumok.mechanisms.layers.dropout import Dropout
from jumok.mechanisms.layers.linear import Linear
from jumok.mechanisms.multi_head import MultiHead
from jumok.special_tokens import EOS, UNK
from jumok.systems.writing import State, check_ids, check_step, mask_real

__all__ = ["Transformer", "TransformerConfig"]

CHUNK = 16  # steps that a fresh cache has room for; it doubles when it is full
Share = Annotated[float, Field(ge=0, lt=1)]
Vocabulary = Annotated[int, Field(gt=EOS, le=1_000_000)]


class TransformerConfig(BaseModel):
    """Everything needed to build a `Transformer`.

    Args:
        source_vocabulary: how many words (or sub-words) the source has, the four symbols among them.
        target_vocabulary: how many the target has.
        shared: both sides have one vocabulary and one table of embeddings.
        width: size of each token.
        layers: how many blocks, of encoder and decoder each.
        heads: how many looks per attention; divides width.
        expansion: hidden size of the MLP, as a multiple of width.
        activation: between the two layers of the MLP.
        position: sines of fixed frequencies (width then a multiple of 2), or learned.
        max_length: how many tokens a sentence may have, where positions are learned.
        dropout: probability, on embeddings and after each layer, in training.
        attention_dropout: probability with which an attention weight is set to 0 in training; PyTorch has no fused
            kernel for it on a CPU, so it costs time there.
        word_dropout: probability with which a word that is read is replaced by the unknown word, in training.
        tied: the output's weights are the target's embeddings.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source_vocabulary: Vocabulary
    target_vocabulary: Vocabulary
    shared: bool = False
    width: int = Field(default=256, ge=1, le=16_384)
    layers: int = Field(default=3, ge=1, le=256)
    heads: int = Field(default=4, ge=1, le=1024)
    expansion: float = Field(default=4.0, gt=0, le=64)
    activation: Literal["relu", "gelu"] = "relu"
    position: Literal["sine", "learned"] = "sine"
    max_length: int = Field(default=512, ge=1, le=100_000)
    dropout: Share = 0.1
    attention_dropout: Share = 0.0
    word_dropout: Share = 0.0
    tied: bool = True

    @model_validator(mode="after")
    def _fits(self) -> TransformerConfig:
        if self.shared and self.source_vocabulary != self.target_vocabulary:
            sizes = f"{self.source_vocabulary} and {self.target_vocabulary}"
            raise JumokError(f"a shared vocabulary has one size, got {sizes}: give the same twice")
        if self.width % self.heads:
            raise JumokError(f"heads {self.heads} do not divide width {self.width}: choose a divisor")
        if self.position == "sine" and self.width % 2:
            raise JumokError(f"sine positions need a width that is a multiple of 2, got {self.width}")
        if round(self.width * self.expansion) < 1:
            raise JumokError(
                f"expansion {self.expansion} gives the MLP of width {self.width} no hidden units: choose a larger one"
            )
        return self


class Transformer(nn.Module):
    """A Transformer that reads a sentence and writes another.

    >>> model = Transformer(TransformerConfig(source_vocabulary=9, target_vocabulary=8, width=8, layers=2, heads=2))
    >>> source, target_in = torch.tensor([[5, 8, 3], [7, 3, 0]]), torch.tensor([[2, 4, 6, 7], [2, 5, 0, 0]])
    >>> model(source, target_in).shape
    torch.Size([2, 4, 8])
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.source_embedding = nn.Embedding(config.source_vocabulary, config.width)
        self.target_embedding = (
            self.source_embedding if config.shared else nn.Embedding(config.target_vocabulary, config.width)
        )
        self.position = POSITIONS[config.position](config)
        self.dropout = Dropout(config.dropout)
        self.encoder = nn.ModuleList(EncoderBlock(config) for _ in range(config.layers))
        self.encoder_norm = nn.LayerNorm(config.width)
        self.decoder = nn.ModuleList(DecoderBlock(config) for _ in range(config.layers))
        self.decoder_norm = nn.LayerNorm(config.width)
        self.output = Linear(config.width, config.target_vocabulary)
        self.apply(_initialise)
        for table in dict.fromkeys((self.source_embedding, self.target_embedding)):  # in this order, for the seed
            nn.init.normal_(table.weight, std=config.width**-0.5)
        if config.tied:
            self.output.weight = self.target_embedding.weight

    @property
    def longest(self) -> int | None:
        """How many tokens a sentence may have, <s> and </s> counted; None: any number."""
        return self.config.max_length if self.config.position == "learned" else None

    def forward(self, source: Tensor, target_in: Tensor) -> Tensor:
        """Say of each place of the target which word comes there, knowing the words before it (teacher forcing).

        Args:
            source: (batch, source tokens) int64, each sentence with </s>, padded with <pad> at the right.
            target_in: (batch, steps) int64, from <s> on, padded alike.
        Returns:
            logits: (batch, steps, target vocabulary).
        Raises:
            JumokError: ids of another shape or type, outside their vocabulary, or with padding inside a sentence; more
                tokens than there are learned positions.
        """
        return self.readout(self.decode(source, target_in))

    def decode(self, source: Tensor, target_in: Tensor, own: Tensor | None = None) -> Tensor:
        """As `forward`, up to what the logits are read off.

        Args:
            source: as for `forward`.
            target_in: as for `forward`.
            own: must be None or all False: all steps run at once, so none can read what the model wrote itself.
        Returns:
            hidden: (batch, steps, width).
        """
        if own is not None and bool(own.any()):
            raise JumokError(
                "a Transformer runs all steps at once and cannot read its own words: choose teacher forcing"
            )
        check_ids("target_in", target_in, self.config.target_vocabulary, source.shape[0])
        return self.write(target_in, *self.read(source))

    def readout(self, hidden: Tensor) -> Tensor:
        """The logits of the next word.

        Args:
            hidden: (..., width), from `decode`; all steps, or those that matter.
        Returns:
            logits: (..., target vocabulary).
        """
        logits: Tensor = self.output(hidden)
        return logits

    @torch.no_grad()
    def encode(self, source: Tensor, beams: int = 1) -> State:
        """Read sentences that are to be written in another language; without gradients.

        Args:
            source: as for `forward`.
            beams: how many hypotheses of each sentence begin.
        """
        memory, allowed = self.read(source)
        kept = {"allowed": allowed[:, None, None]}
        for number, block in enumerate(self.decoder):
            assert isinstance(block, DecoderBlock)
            kept[f"cross key {number}"], kept[f"cross value {number}"] = block.cross.project_memory(memory)
        return State(kept, {"ancestors": allowed.new_zeros(source.shape[0], beams, 0)})

    @torch.no_grad()
    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Write one word more; without gradients.

        Keys and values of all hypotheses of a sentence lie in one pool, which grows in place, and `ancestors` tells
        each hypothesis which of them are its own past. Reordering hypotheses so moves bools only.

        Args:
            tokens: (sentences, beams) int64, the word that each hypothesis got last; <s> first of all.
            state: from `encode` or the step before; it is used up, since its pool is written to.
        Returns:
            logits: (sentences, beams, target vocabulary), of the next word.
            state: after the step.
        """
        check_step(tokens, state)
        hidden = self._embed(self.target_embedding, tokens, state.length, steps=False)
        ancestors = _append_itself(state.carried["ancestors"])
        memory = dict(state.memory)
        # One hypothesis that was never reordered has all of the pool for its past: then no mask is needed.
        past = None if ancestors.shape[1] == 1 and ancestors.shape[2] == state.length + 1 else ancestors[:, None]
        for number, block in enumerate(self.decoder):
            assert isinstance(block, DecoderBlock)
            hidden = block.step(hidden, memory, number, past, ancestors.shape[2])
        logits = self.readout(self.decoder_norm(hidden))
        return logits, State(memory, {"ancestors": ancestors}, state.length + 1)

    def read(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Read sentences, (batch, tokens).

        Returns:
            memory: (batch, tokens, width).
            allowed: (batch, tokens) bool, which of it may be attended.
        """
        check_ids("source", source, self.config.source_vocabulary)
        allowed = mask_real(source)
        tokens = self._embed(self.source_embedding, source)
        for block in self.encoder:
            tokens = block(tokens, allowed)
        return self.encoder_norm(tokens), allowed

    def write(self, target_in: Tensor, memory: Tensor, allowed: Tensor) -> Tensor:
        """What the logits are read off, (batch, steps, width), of all steps at once; arguments as of `read`."""
        tokens = self._embed(self.target_embedding, target_in)
        for block in self.decoder:
            tokens = block(tokens, memory, allowed)
        hidden: Tensor = self.decoder_norm(tokens)
        return hidden

    def _embed(self, table: nn.Embedding, ids: Tensor, first: int = 0, *, steps: bool = True) -> Tensor:
        """Words and positions: the second axis counts steps from `first` on, or hypotheses that are all at `first`."""
        if self.training and self.config.word_dropout:
            lost = torch.rand(ids.shape, device=ids.device) < self.config.word_dropout
            ids = ids.masked_fill(lost & (ids > EOS), UNK)
        words = table(ids) * math.sqrt(self.config.width)
        embedded: Tensor = self.dropout(words + self.position(first, ids.shape[1] if steps else 1))
        return embedded


class EncoderBlock(nn.Module):
    """Self-attention, then an MLP, each beside a path that leaves the tokens as they are."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width)
        self.attn = MultiHead(config.width, config.heads, dropout=config.attention_dropout)
        self.norm2 = nn.LayerNorm(config.width)
        self.mlp = FeedForward(config)
        self.dropout = Dropout(config.dropout)

    def forward(self, tokens: Tensor, allowed: Tensor) -> Tensor:
        """(batch, tokens, width) to the same; allowed: (batch, tokens)."""
        tokens = tokens + self.dropout(self.attn(self.norm1(tokens), mask=allowed))
        changed: Tensor = tokens + self.dropout(self.mlp(self.norm2(tokens)))
        return changed


class DecoderBlock(nn.Module):
    """Look back at the words so far, across at the memory, then an MLP."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width)
        self.attn = MultiHead(config.width, config.heads, dropout=config.attention_dropout)
        self.norm2 = nn.LayerNorm(config.width)
        self.cross = MultiHead(config.width, config.heads, dropout=config.attention_dropout)
        self.norm3 = nn.LayerNorm(config.width)
        self.mlp = FeedForward(config)
        self.dropout = Dropout(config.dropout)

    def forward(self, tokens: Tensor, memory: Tensor, allowed: Tensor) -> Tensor:
        """(batch, steps, width) to the same; memory: (batch, tokens, width), of which (batch, tokens) are allowed."""
        tokens = tokens + self.dropout(self.attn(self.norm1(tokens), causal=True))  # padding stands behind every word
        tokens = tokens + self.dropout(self.cross(self.norm2(tokens), memory, mask=allowed))
        changed: Tensor = tokens + self.dropout(self.mlp(self.norm3(tokens)))
        return changed

    def step(self, tokens: Tensor, memory: dict[str, Tensor], number: int, past: Tensor | None, pool: int) -> Tensor:
        """One step of each hypothesis, (sentences, beams, width), whose keys and values join the pool in `memory`.

        Args:
            tokens: (sentences, beams, width).
            memory: cross keys and values, and pools of this block, by its number; the pools are brought up to date.
            number: of the block.
            past: (sentences, 1, beams, pool) bool, True = own past. None: all of the pool is.
            pool: how many keys there are after this step.
        """
        query, key, value = self.attn.project(self.norm1(tokens))
        keys = _append(memory, f"key {number}", key, pool)
        values = _append(memory, f"value {number}", value, pool)
        tokens = tokens + self.dropout(self.attn.attend(query, keys, values, past))
        query = self.cross.project_query(self.norm2(tokens))
        cross = memory[f"cross key {number}"], memory[f"cross value {number}"]
        tokens = tokens + self.dropout(self.cross.attend(query, *cross, memory["allowed"]))
        changed: Tensor = tokens + self.dropout(self.mlp(self.norm3(tokens)))
        return changed


class FeedForward(nn.Module):
    """Each token by itself: widen, bend, narrow."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        hidden = round(config.width * config.expansion)
        self.widen, self.narrow = Linear(config.width, hidden), Linear(hidden, config.width)
        self.bend, self.dropout = ACTIVATIONS[config.activation], Dropout(config.dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """(..., width) to the same."""
        narrowed: Tensor = self.narrow(self.dropout(self.bend(self.widen(tokens))))
        return narrowed


class SinePositions(nn.Module):
    """sin(p / 10000^(2i / width)) and cos of the same, first all sines; any length (Vaswani et al. 2017, 3.5)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.width = config.width
        self.table: Tensor
        self.register_buffer("table", self._make(config.max_length), persistent=False)

    def forward(self, first: int, count: int) -> Tensor:
        """Positions `first` and so on, (count, width)."""
        if first + count > len(self.table):
            with torch.inference_mode(False):  # so that it may be trained with later
                self.table = self._make(2 * (first + count)).to(self.table)
        return self.table[first : first + count]

    def _make(self, length: int) -> Tensor:
        half = self.width // 2
        # On the CPU, for `tasks.bounded.sizes_alone`
        places, steps = (torch.arange(count, device="cpu") for count in (length, half))
        angles = places[:, None] * 10_000.0 ** (-steps / half)
        return torch.cat([angles.sin(), angles.cos()], 1)


class LearnedPositions(nn.Module):
    """A vector for each place, learned, up to `max_length`."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(config.max_length, config.width))
        nn.init.normal_(self.table, std=0.02)

    def forward(self, first: int, count: int) -> Tensor:
        """Positions `first` and so on, (count, width)."""
        if first + count > len(self.table):
            raise JumokError(
                f"a sentence has {first + count} tokens and there are {len(self.table)} learned positions: cut it, or "
                "choose sine positions or a larger max_length"
            )
        return self.table[first : first + count]


POSITIONS: Mapping[str, Callable[[TransformerConfig], nn.Module]] = {"sine": SinePositions, "learned": LearnedPositions}
ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu}


def _append_itself(ancestors: Tensor) -> Tensor:
    """(sentences, beams, pool) with each hypothesis' new place in the pool at the end: (..., pool + beams)."""
    beams = ancestors.shape[1]
    own = torch.eye(beams, dtype=torch.bool, device=ancestors.device)
    return torch.cat([ancestors, own.expand(len(ancestors), -1, -1)], 2)


def _append(memory: dict[str, Tensor], name: str, new: Tensor, pool: int) -> Tensor:
    """Write (sentences, heads, beams, size) at the end of a pool that then holds `pool`, and give all it holds."""
    store = memory.get(name)
    if store is None or store.shape[2] < pool:
        batch, heads, beams, size = new.shape
        grown = new.new_empty(batch, heads, max(CHUNK * beams, 2 * (pool - beams)), size)
        if store is not None:
            grown[:, :, : store.shape[2]] = store
        memory[name] = store = grown
    store[:, :, pool - new.shape[2] : pool] = new
    return store[:, :, :pool]


def _initialise(module: nn.Module) -> None:
    """Weights begin so that forward and backward spread stay alike (Glorot & Bengio 2010); biases with 0.

    Query, key and value lie in one matrix and begin as three of their own would.
    """
    if isinstance(module, MultiHead):
        for part in module.qkv.weight.detach().chunk(3):
            nn.init.xavier_uniform_(part)
        nn.init.xavier_uniform_(module.out.weight)
        nn.init.zeros_(module.qkv.bias)
        nn.init.zeros_(module.out.bias)
    elif isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
