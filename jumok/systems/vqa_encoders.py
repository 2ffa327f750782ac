"""The parts of models that answer questions: what sees the image, what reads the question, and their common block."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from jumok.attention import One, Tokens
from jumok.errors import JumokError
from jumok.mechanisms.additive import Additive
from jumok.mechanisms.layers.dropout import Dropout
from jumok.mechanisms.multi_head import MultiHead
from jumok.mechanisms.recurrent.cells import run_layer, start_layer
from jumok.special_tokens import PAD
from jumok.systems.resnet import convolution
from jumok.systems.vit import MLP, resize_positions
from jumok.watching.recorder import report, unseen, watched

if TYPE_CHECKING:
    from jumok.systems.vqa import VQAConfig

__all__ = ["READERS", "Block", "Eye", "Places", "Question"]


class Places(NamedTuple):
    """What the eye made of images.

    Args:
        states: (images, places, width), row by row.
        rows, columns: of the grid.
    """

    states: Tensor
    rows: int
    columns: int


class Question(NamedTuple):
    """What the reader made of questions.

    Args:
        states: (questions, words, width), of each word, the start sign first.
        whole: (questions, width), of the question.
        real: (questions, words) bool, False at padding.
    """

    states: Tensor
    whole: Tensor
    real: Tensor


# -- the eye ------------------------------------------------------------------------------------


class Eye(nn.Module):
    """Pixels to places with positions, and what each place learns of the others."""

    def __init__(self, config: VQAConfig) -> None:
        super().__init__()
        self.coordinates = config.coordinates
        self.stem = STEMS[config.eye](config)
        self.position = nn.Parameter(torch.empty(1, config.width, *config.grid))
        nn.init.trunc_normal_(self.position, std=0.02)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.eye_layers))
        self.norm = nn.LayerNorm(config.width)

    def forward(self, pixels: Tensor) -> Places:
        """(images, 3, height, width) to places."""
        if isinstance(self.stem, nn.Conv2d) and min(pixels.shape[2:]) < self.stem.stride[0]:
            height, width = pixels.shape[2:]
            raise JumokError(f"images of {height} x {width} pixels are smaller than one patch of {self.stem.stride[0]}")
        features = self.stem(with_coordinates(pixels) if self.coordinates else channels_last(pixels))
        rows, columns = features.shape[2:]
        states = (features + resize_positions(self.position, rows, columns)).flatten(2).transpose(1, 2).contiguous()
        for block in self.blocks:
            states = block(states)
        return Places(self.norm(states), rows, columns)


def with_coordinates(pixels: Tensor) -> Tensor:
    """(images, 3, height, width) with y and x from -1 to 1 as two more channels.

    So that features can tell where they are, which questions are often about (Liu et al. 2018, arXiv 1807.03247).
    """
    images, _, height, width = pixels.shape
    y, x = (torch.linspace(-1, 1, side, device=pixels.device, dtype=pixels.dtype) for side in (height, width))
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij")).expand(images, -1, -1, -1)
    return channels_last(torch.cat([pixels, grid], 1))


def channels_last(pixels: Tensor) -> Tensor:
    """The same pixels in the order of memory in which convolutions are faster on a CPU."""
    return pixels.contiguous(memory_format=torch.channels_last) if pixels.device.type == "cpu" else pixels


def channels_of(config: VQAConfig) -> int:
    """Red, green and blue, and y and x where they are wanted."""
    return 5 if config.coordinates else 3


def convolutions(config: VQAConfig) -> nn.Sequential:
    """3 x 3 convolutions, narrow at first, of which every other one halves the image."""
    steps = max(config.side.bit_length() - 1, 1)
    widths = [max(config.width >> (steps - 1 - step), 16) for step in range(steps - 1)]
    layers: list[nn.Module] = []
    for size_in, size in itertools.pairwise([channels_of(config), *widths, config.width]):
        stride = 2 if config.side > 1 else 1
        layers += [convolution(size_in, size, 3, stride), nn.BatchNorm2d(size), nn.ReLU()]
        layers += [convolution(size, size, 3), nn.BatchNorm2d(size), nn.ReLU()]
    return nn.Sequential(*layers)


def patches(config: VQAConfig) -> nn.Conv2d:
    """Patches, each mapped to a place by one linear map."""
    return nn.Conv2d(channels_of(config), config.width, config.side, stride=config.side)


STEMS: Mapping[str, Callable[[VQAConfig], nn.Module]] = {"convolutions": convolutions, "patches": patches}


# -- readers ------------------------------------------------------------------------------------


class LSTMReader(nn.Module):
    """Word after word; the whole is the sum of the words' states, weighted by how much the last one looks at them."""

    def __init__(self, config: VQAConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(config.words, config.width, padding_idx=PAD)
        self.lstm = nn.LSTM(config.width, config.width, batch_first=True)
        u1, u3, *biases = self.lstm.all_weights[0]
        start_layer("lstm", u1, u3, *biases)
        self.norm = nn.LayerNorm(config.width)
        self.look = Additive(config.width, config.width, config.width)
        self.dropout = Dropout(config.dropout)

    def forward(self, ids: Tensor) -> Question:
        """(questions, words) to their states."""
        real = ids != PAD
        states = self.norm(run_layer(self.lstm, self.dropout(self.embedding(ids))))
        last = states[torch.arange(len(ids), device=ids.device), real.sum(1) - 1]
        with unseen():
            words = real & ((real.sum(1, keepdim=True) == 1) | (torch.arange(ids.shape[1], device=ids.device) > 0))
            weights = self.look.weights(last[:, None], self.look.project_keys(states), words)
        if watched():
            report(weights, (One("question"), Tokens.numbered(ids.shape[1])))
        return Question(states, torch.bmm(weights, states)[:, 0], real)


class TransformerReader(nn.Module):
    """All words at once; the whole is the state of the start sign."""

    def __init__(self, config: VQAConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(config.words, config.width, padding_idx=PAD)
        self.position = nn.Parameter(torch.empty(config.longest, config.width))
        nn.init.normal_(self.embedding.weight, std=config.width**-0.5)
        nn.init.trunc_normal_(self.position, std=0.02)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.dropout = Dropout(config.dropout)

    def forward(self, ids: Tensor) -> Question:
        """(questions, words) to their states."""
        if ids.shape[1] > len(self.position):
            raise JumokError(
                f"a question has {ids.shape[1]} tokens, the start sign counted, and this model reads "
                f"{len(self.position)}: shorten it"
            )
        real = ids != PAD
        words = self.embedding(ids) * math.sqrt(self.position.shape[1])
        states = self.dropout(words + self.position[: ids.shape[1]])
        for block in self.blocks:
            states = block(states, real)
        states = self.norm(states)
        return Question(states, states[:, 0], real)


READERS: Mapping[str, Callable[[VQAConfig], nn.Module]] = {"lstm": LSTMReader, "transformer": TransformerReader}


# -- both ---------------------------------------------------------------------------------------


class Block(nn.Module):
    """Self-attention, cross-attention where it is wanted, and an MLP, each beside a path that leaves the tokens."""

    def __init__(self, config: VQAConfig, across: bool = False) -> None:
        super().__init__()
        width = config.width
        self.norm1, self.attn = nn.LayerNorm(width), MultiHead(width, config.heads)
        self.norm2 = nn.LayerNorm(width) if across else None
        self.cross = MultiHead(width, config.heads) if across else None
        self.norm3, self.mlp = nn.LayerNorm(width), MLP(width, 4 * width, config.dropout)
        self.dropout = Dropout(config.dropout)

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
