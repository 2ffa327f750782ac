"""The parts of models that answer questions: what sees the image, what reads the question, and their common block."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from jumok.attention import One, Tokens
from jumok.errors import JumokError
from jumok.mechanisms.additive import Additive
from jumok.mechanisms.layers.dropout import Dropout
from jumok.mechanisms.multi_head import MultiHead
from jumok.mechanisms.recurrent.cells import run_layer, start_layer
from jumok.special_tokens import PAD
from jumok.systems.parts import TokenMLP, channels_last, convolution, resize_positions
from jumok.watching.watchers import is_watched, report, unseen

__all__ = ["Block", "EncodedQuestion", "Eye", "LSTMReader", "Places", "TransformerReader", "convolutions", "patches"]


class Places(NamedTuple):
    """What the eye made of images.

    Args:
        states: (images, places, width), row by row.
        rows, columns: of the grid.
    """

    states: Tensor
    rows: int
    columns: int


class EncodedQuestion(NamedTuple):
    """What the reader made of questions.

    Args:
        states: (questions, words, width), of each word, the start token first.
        whole: (questions, width), of the question.
        real: (questions, words) bool, False at padding.
    """

    states: Tensor
    whole: Tensor
    real: Tensor


# -- the eye ------------------------------------------------------------------------------------


class Eye(nn.Module):
    """Pixels to places with positions, and what each place learns of the others.

    Args:
        stem: makes places of pixels, `convolutions` or `patches`.
        width: size of each place.
        grid: (rows, columns) of the places that positions are learnt for.
        layers: blocks of self-attention over the places.
        heads, dropout: of these blocks.
        coordinates: give the stem y and x of each pixel as two more channels.
    """

    def __init__(
        self,
        stem: nn.Module,
        width: int,
        grid: tuple[int, int],
        *,
        layers: int,
        heads: int,
        dropout: float,
        coordinates: bool,
    ) -> None:
        super().__init__()
        self.coordinates = coordinates
        self.stem = stem
        self.position = nn.Parameter(torch.empty(1, width, *grid))
        nn.init.trunc_normal_(self.position, std=0.02)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, pixels: Tensor) -> Places:
        """(images, 3, height, width) to places."""
        if isinstance(self.stem, nn.Conv2d) and min(pixels.shape[2:]) < self.stem.stride[0]:
            height, width = pixels.shape[2:]
            raise JumokError(f"images of {height} x {width} pixels are smaller than one patch of {self.stem.stride[0]}")
        features = self.stem(add_coordinates(pixels) if self.coordinates else channels_last(pixels))
        rows, columns = features.shape[2:]
        states = (features + resize_positions(self.position, rows, columns)).flatten(2).transpose(1, 2).contiguous()
        for block in self.blocks:
            states = block(states)
        return Places(self.norm(states), rows, columns)


def add_coordinates(pixels: Tensor) -> Tensor:
    """(images, 3, height, width) with y and x from -1 to 1 as two more channels.

    So that features can tell where they are, which questions are often about (Liu et al. 2018, arXiv 1807.03247).
    """
    images, _, height, width = pixels.shape
    y, x = (torch.linspace(-1, 1, side, device=pixels.device, dtype=pixels.dtype) for side in (height, width))
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij")).expand(images, -1, -1, -1)
    return channels_last(torch.cat([pixels, grid], 1))


def convolutions(channels: int, width: int, side: int) -> nn.Sequential:
    """3 x 3 convolutions, narrow at first, of which every other one halves the image.

    Args:
        channels: of the pixels.
        width: size of each place.
        side: pixels of a place's side, a power of 2.
    """
    steps = max(side.bit_length() - 1, 1)
    widths = [max(width >> (steps - 1 - step), 16) for step in range(steps - 1)]
    layers: list[nn.Module] = []
    for size_in, size in itertools.pairwise([channels, *widths, width]):
        stride = 2 if side > 1 else 1
        layers += [convolution(size_in, size, 3, stride), nn.BatchNorm2d(size), nn.ReLU()]
        layers += [convolution(size, size, 3), nn.BatchNorm2d(size), nn.ReLU()]
    return nn.Sequential(*layers)


def patches(channels: int, width: int, side: int) -> nn.Conv2d:
    """Patches, each mapped to a place by one linear map; arguments as for `convolutions`, but any side."""
    return nn.Conv2d(channels, width, side, stride=side)


# -- readers ------------------------------------------------------------------------------------


class LSTMReader(nn.Module):
    """Word after word; the whole is the sum of the words' states, weighted by how much the last one looks at them."""

    def __init__(self, words: int, width: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width, padding_idx=PAD)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        u1, u3, *biases = self.lstm.all_weights[0]
        start_layer("lstm", u1, u3, *biases)
        self.norm = nn.LayerNorm(width)
        self.look = Additive(width, width, width)
        self.dropout = Dropout(dropout)

    def forward(self, ids: Tensor) -> EncodedQuestion:
        """(questions, words) to their states."""
        real = ids != PAD
        states = self.norm(run_layer(self.lstm, self.dropout(self.embedding(ids))))
        last = states[torch.arange(ids.shape[0], device=ids.device), real.sum(1) - 1]
        with unseen():
            words = real & ((real.sum(1, keepdim=True) == 1) | (torch.arange(ids.shape[1], device=ids.device) > 0))
            weights = self.look.weights(last[:, None], self.look.project_keys(states), words)
        if is_watched():
            report(weights, (One("question"), Tokens.numbered(ids.shape[1])))
        return EncodedQuestion(states, torch.bmm(weights, states)[:, 0], real)


class TransformerReader(nn.Module):
    """All words at once; the whole is the state of the start token."""

    def __init__(self, words: int, width: int, *, longest: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width, padding_idx=PAD)
        self.position = nn.Parameter(torch.empty(longest, width))
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        nn.init.trunc_normal_(self.position, std=0.02)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(self, ids: Tensor) -> EncodedQuestion:
        """(questions, words) to their states."""
        if ids.shape[1] > self.position.shape[0]:
            raise JumokError(
                f"a question has {ids.shape[1]} tokens, the start token counted, and this model reads "
                f"{len(self.position)}: shorten it"
            )
        real = ids != PAD
        words = self.embedding(ids) * math.sqrt(self.position.shape[1])
        states = self.dropout(words + self.position[: ids.shape[1]])
        for block in self.blocks:
            states = block(states, real)
        states = self.norm(states)
        return EncodedQuestion(states, states[:, 0], real)


# -- both ---------------------------------------------------------------------------------------


class Block(nn.Module):
    """Self-attention, cross-attention where it is wanted, and an MLP, each beside a path that leaves the tokens."""

    def __init__(self, width: int, heads: int, dropout: float, across: bool = False) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width), MultiHead(width, heads)
        self.norm2 = nn.LayerNorm(width) if across else None
        self.cross = MultiHead(width, heads) if across else None
        self.norm3, self.mlp = nn.LayerNorm(width), TokenMLP(width, 4 * width, dropout)
        self.dropout = Dropout(dropout)

    def forward(
        self,
        tokens: Tensor,
        real: Tensor | None = None,
        memory: Tensor | None = None,
        of: Tensor | None = None,
        queries: int | None = None,
    ) -> Tensor:
        """(batch, tokens, width) to the same; where `queries` is given, to the first so many tokens only.

        Args:
            tokens: who looks.
            real: (batch, tokens) bool, False at padding. None: all are.
            memory: (images, places, width).
            of: (batch,), which image the tokens look at.
        """
        normed = self.norm1(tokens)
        if queries is None:
            looked = self.attn(normed, mask=real)
        else:
            tokens, looked = tokens[:, :queries], self.attn(normed[:, :queries], normed, mask=real)
        tokens = tokens + self.dropout(looked)
        if self.cross is not None and self.norm2 is not None:
            tokens = tokens + self.dropout(self.cross(self.norm2(tokens), memory, of=of))
        changed: Tensor = tokens + self.mlp(self.norm3(tokens))
        return changed


def check_ids(questions: Tensor, words: int) -> None:
    """Refuse what are no questions of this vocabulary.

    Args:
        questions: (questions, words) of ids, int64, padded on the right.
        words: entries of the vocabulary.
    Raises:
        JumokError: another shape or type, ids beyond the vocabulary, or an empty question.
    """
    shape = tuple(questions.shape)
    if questions.dim() != 2 or questions.dtype != torch.int64 or not questions.numel():
        raise JumokError(f"questions are ids (questions, words) of int64, got {questions.dtype} of shape {shape}")
    if torch.compiler.is_exporting():  # values are not there yet
        return
    low, high = questions.aminmax()
    if int(low) < 0 or int(high) >= words:
        raise JumokError(f"ids from {int(low)} to {int(high)} go beyond this vocabulary of {words}")
    if not bool((questions[:, 0] != PAD).all()):
        raise JumokError("a question is empty: each begins with the start token and is padded on the right")
