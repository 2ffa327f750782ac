"""Visual question answering: an image and a question in, one of many answers out; the question decides what is seen.

Words -> reader -> states -> fusion with the places of the image <- eye <- pixels; fusion -> answer.

The eye makes a grid of places of the image: a few convolutions, or patches, and blocks of self-attention on top where
they are wanted. The reader makes a state of each word and one of the whole question. What differs is how both meet:

stacked      the question looks at the places, adds what it saw to itself, and looks again (Yang et al. 2016, 3.3)
transformer  every word looks at all words and at all places, block after block (Tan & Bansal 2019)
concat       question and image side by side, without attention (Antol et al. 2015, 4.2)
question     the question alone: what can be guessed
image        the image alone

Sources: Yang et al. 2016, arXiv 1511.02274; Antol et al. 2015, arXiv 1505.00468; Tan & Bansal 2019 (LXMERT), arXiv
1908.07490, 2.2, of which only the direction from words to places is here. Differ: places carry learnt positions; the
state of a question that an LSTM read is the sum of its words' states, weighted by additive attention from the last one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from jumok.attention import Patches, Tokens
from jumok.errors import JumokError
from jumok.mechanisms.additive import Additive
from jumok.mechanisms.layers.dropout import Dropout
from jumok.mechanisms.layers.linear import Linear
from jumok.mechanisms.layers.shared_memory import bring_together
from jumok.special_tokens import EOS, UNK
from jumok.systems.parts import Share, Side, as_pair, check_pixels, initialise
from jumok.systems.vqa_encoders import (
    Block,
    EncodedQuestion,
    Eye,
    LSTMReader,
    Places,
    TransformerReader,
    check_ids,
    convolutions,
    patches,
)
from jumok.watching.watchers import is_watched, report, unseen

__all__ = ["NAMED", "VQA", "EncodedQuestion", "Places", "VQAConfig"]

NAMED: Mapping[str, Mapping[str, Any]] = {
    "vqa-stacked": {"fusion": "stacked"},
    "vqa-transformer": {"fusion": "transformer", "reader": "transformer", "eye_layers": 2},
    "vqa-question": {"fusion": "question"},
    "vqa-image": {"fusion": "image"},
    "vqa-concat": {"fusion": "concat"},
}
POOLED_SIDE = 4
"""Rows and columns of what `concat` keeps of the image."""
LEAST_PLACES = 8
"""Convolutions halve nothing more once the shorter side would have fewer places."""


class VQAConfig(BaseModel):
    """Everything needed to build a `VQA`.

    Args:
        answers: how many there are to choose from.
        words: entries of the vocabulary that questions are written in, symbols counted.
        image_size: pixels, one side of a square or (height, width): it decides how many places there are. Other sizes
            can be shown to the model later.
        fusion: how question and image meet.
        reader: what reads the question.
        eye: what makes places of the image: convolutions, or patches cut out and mapped linearly.
        patch: pixels of a place's side. None: the image halved by convolutions until 8 places are left on its shorter
            side, at most 5 times.
        coordinates: give the eye where each pixel is, besides its colour, for questions about places; it then takes
            longer to learn what things are.
        eye_layers: blocks of self-attention over the places.
        width: size of each word, place and state.
        heads: how many looks per block; divides width.
        layers: blocks of a reader that is a Transformer, and of the fusion by Transformer.
        hops: how often the question looks, where they are stacked.
        longest: words that a question may have, the start token counted, where a Transformer reads it.
        dropout: probability, after each layer in training.
        word_dropout: probability with which a word is unknown in training, so that unknown words are known of.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    answers: int = Field(ge=2, le=1_000_000)
    words: int = Field(ge=5, le=10_000_000)
    image_size: Side | tuple[Side, Side] = 64
    fusion: Literal["stacked", "transformer", "concat", "question", "image"] = "stacked"
    reader: Literal["lstm", "transformer"] = "lstm"
    eye: Literal["convolutions", "patches"] = "convolutions"
    patch: Side | None = None
    coordinates: bool = False
    eye_layers: int = Field(default=0, ge=0, le=64)
    width: int = Field(default=128, ge=8, le=8192)
    heads: int = Field(default=4, ge=1, le=1024)
    layers: int = Field(default=2, ge=1, le=64)
    hops: int = Field(default=2, ge=1, le=64)
    longest: int = Field(default=128, ge=2, le=100_000)
    dropout: Share = 0.1
    word_dropout: Share = 0.02

    @property
    def side(self) -> int:
        """Pixels of a place's side."""
        if self.patch is not None:
            return self.patch
        shorter = min(as_pair(self.image_size))
        return 1 << min(max(int(math.log2(max(shorter / LEAST_PLACES, 1))), 0), 5)

    @property
    def grid(self) -> tuple[int, int]:
        """How many places an image of `image_size` has: (rows, columns)."""
        height, width = as_pair(self.image_size)
        if self.eye == "patches":  # what does not fill one is cut off
            return height // self.side, width // self.side
        return -(-height // self.side), -(-width // self.side)

    @model_validator(mode="after")
    def _fits(self) -> VQAConfig:
        if self.width % self.heads:
            raise JumokError(f"heads {self.heads} do not divide width {self.width}: choose a divisor")
        if self.eye == "convolutions" and self.side & (self.side - 1):
            raise JumokError(f"convolutions halve the image until it has places: patch {self.side} is not a power of 2")
        if not min(self.grid):
            raise JumokError(f"image_size {self.image_size} is smaller than one patch of {self.side}")
        return self


class VQA(nn.Module):
    """A model that answers questions about images.

    >>> model = VQA(VQAConfig(answers=3, words=9, image_size=32, width=16, heads=2))
    >>> model(torch.zeros(2, 3, 32, 32), torch.tensor([[2, 5, 6], [2, 4, 0]])).shape
    torch.Size([2, 3])
    """

    def __init__(self, config: VQAConfig) -> None:
        super().__init__()
        self.config = config
        fusion = FUSIONS[config.fusion]
        self.eye = make_eye(config) if fusion.sees else None
        self.reader = READERS[config.reader](config) if fusion.reads else None
        self.fusion = fusion(config)
        self.head = Head(config)
        self.apply(initialise)
        nn.init.trunc_normal_(self.head.out.weight, std=0.02)  # nearly even odds to begin with

    def forward(self, pixels: Tensor, questions: Tensor, pairs: Tensor | None = None) -> Tensor:
        """Answer questions.

        Args:
            pixels: (images, 3, height, width) float, normalised.
            questions: (questions, words) int64, each from <s> on, padded with <pad> at the right.
            pairs: (asked, 2) int64, of which image which question is asked, so that each is looked at and read once.
                None: the first of the first, and so on.
        Returns:
            logits: (asked, answers).
        Raises:
            JumokError: pixels of another kind or shape, ids that are not questions, or numbers that do not fit.
        """
        places, question = self.see(pixels), self.read(questions)
        pairs = self._pairs(pixels.shape[0], questions.shape[0]) if pairs is None else pairs
        _check_pairs(pairs, pixels.shape[0], questions.shape[0])
        return self.answer(places, question, pairs)

    def see(self, pixels: Tensor) -> Places | None:
        """Look at images, once for all questions; None where the model sees none."""
        check_pixels(pixels)
        return None if self.eye is None else self.eye(pixels)

    def read(self, questions: Tensor) -> EncodedQuestion | None:
        """Read questions, once for all images; None where the model reads none."""
        check_ids(questions, self.config.words)
        if self.reader is None:
            return None
        if self.training and self.config.word_dropout:
            lost = torch.rand(questions.shape, device=questions.device) < self.config.word_dropout
            questions = questions.masked_fill(lost & (questions > EOS), UNK)
        read: EncodedQuestion = self.reader(questions)
        return read

    def answer(self, places: Places | None, question: EncodedQuestion | None, pairs: Tensor) -> Tensor:
        """Answer questions that were read about images that were seen.

        Args:
            places: from `see`.
            question: from `read`.
            pairs: as for `forward`.
        Returns:
            logits: (asked, answers).
        """
        logits: Tensor = self.head(self.fusion(places, question, pairs))
        return logits

    def _pairs(self, images: int, questions: int) -> Tensor:
        if not torch.compiler.is_exporting() and images != questions:
            raise JumokError(f"got {images} images and {questions} questions: wanted the same number, or pairs of them")
        device = next(self.parameters()).device
        return torch.arange(images, device=device)[:, None].expand(-1, 2)


# -- encoders -----------------------------------------------------------------------------------


def make_eye(config: VQAConfig) -> Eye:
    """The eye of this configuration."""
    stem = STEMS[config.eye](5 if config.coordinates else 3, config.width, config.side)
    return Eye(
        stem,
        config.width,
        config.grid,
        layers=config.eye_layers,
        heads=config.heads,
        dropout=config.dropout,
        coordinates=config.coordinates,
    )


def make_transformer_reader(config: VQAConfig) -> TransformerReader:
    """The Transformer that reads questions."""
    return TransformerReader(
        config.words,
        config.width,
        longest=config.longest,
        layers=config.layers,
        heads=config.heads,
        dropout=config.dropout,
    )


STEMS: Mapping[str, Callable[[int, int, int], nn.Module]] = {"convolutions": convolutions, "patches": patches}
READERS: Mapping[str, Callable[[VQAConfig], nn.Module]] = {
    "lstm": lambda config: LSTMReader(config.words, config.width, config.dropout),
    "transformer": make_transformer_reader,
}


# -- fusions ------------------------------------------------------------------------------------


class Fusion(nn.Module):
    """How image and question meet: (asked, width), what the answer is read off.

    States are picked by `index_select`, never by `states[of]`: the gradient of the latter is summed by several threads
    in no fixed order, and a run that is resumed would not end where an unbroken one ends.
    """

    sees, reads = True, True

    def __init__(self, config: VQAConfig) -> None:
        super().__init__()


class Stacked(Fusion):
    """The question looks, adds what it saw to itself, and looks again: u^k = sum_i p_i^k v_i + u^(k-1).

    Differs: u is normed before it looks. Where u and the places are small, tanh is nearly linear, and then the weights
    do not depend on the question: it would take long until they did.
    """

    def __init__(self, config: VQAConfig) -> None:
        super().__init__(config)
        self.hops = nn.ModuleList(Additive(config.width, config.width, config.width) for _ in range(config.hops))
        self.norms = nn.ModuleList(nn.LayerNorm(config.width) for _ in range(config.hops))
        self.dropout = Dropout(config.dropout)

    def forward(self, places: Places, question: EncodedQuestion, pairs: Tensor) -> Tensor:
        """Look from the whole question; for who watches, also from each word as if it were the question."""
        together = bring_together(pairs[:, 0], places.states.shape[0])
        states = together.gather(question.whole.index_select(0, pairs[:, 1]))  # (images, asked of each, width)
        words = question.states.detach()[pairs[:, 1]] if is_watched() else None
        for hop, norm in zip(self.hops, self.norms, strict=True):
            assert isinstance(hop, Additive)
            with unseen():
                weights = hop.weights(norm(states), hop.project_keys(places.states))
            if words is not None:
                words = self._tell(hop, norm, together.part(weights), words, places, pairs[:, 0])
            states = states + self.dropout(torch.bmm(weights, places.states))
        return together.part(states)

    @staticmethod
    def _tell(hop: Additive, norm: nn.Module, weights: Tensor, words: Tensor, places: Places, of: Tensor) -> Tensor:
        """Report where the question and each of its words look in one hop; give the words after it."""
        with torch.no_grad(), unseen():
            own = hop.weights(norm(words), hop.project_keys(places.states)[of])
        axis = Tokens(("question", *(str(number) for number in range(words.shape[1]))))
        report(torch.cat([weights[:, None], own], 1), (axis, Patches(places.rows, places.columns)))
        return words + torch.bmm(own, places.states.detach()[of])


class CrossAttention(Fusion):
    """Blocks in which each word looks at all words and at all places; the answer is read off the start token."""

    def __init__(self, config: VQAConfig) -> None:
        super().__init__(config)
        self.blocks = nn.ModuleList(
            Block(config.width, config.heads, config.dropout, across=True) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)

    def forward(self, places: Places, question: EncodedQuestion, pairs: Tensor) -> Tensor:
        """Read on, with the image in sight."""
        whole = torch.cat([question.whole[:, None], question.states[:, 1:]], 1)  # at the start token stands the whole
        states, real = whole.index_select(0, pairs[:, 1]), question.real[pairs[:, 1]]
        *blocks, last = self.blocks
        for block in blocks:
            states = block(states, real, places.states, pairs[:, 0])
        # Only the start token is read after the last block. In training only that one is computed there, with the same
        # answer and gradients; in eval all are, so that each word can be asked where it looks.
        states = last(states, real, places.states, pairs[:, 0], queries=1 if self.training else None)
        normed: Tensor = self.norm(states[:, 0])
        return normed


class Concat(Fusion):
    """The question's state and the image, averaged over 4 x 4 places, side by side."""

    def __init__(self, config: VQAConfig) -> None:
        super().__init__(config)
        self.join = Linear((1 + POOLED_SIDE**2) * config.width, config.width)

    def forward(self, places: Places, question: EncodedQuestion, pairs: Tensor) -> Tensor:
        """Join both by one layer."""
        features = places.states.transpose(1, 2).unflatten(2, (places.rows, places.columns))
        image = F.adaptive_avg_pool2d(features, POOLED_SIDE).flatten(1)
        return F.relu(
            self.join(torch.cat([image.index_select(0, pairs[:, 0]), question.whole.index_select(0, pairs[:, 1])], 1))
        )


class QuestionAlone(Fusion):
    """What can be guessed from the question."""

    sees = False

    def forward(self, places: Places | None, question: EncodedQuestion, pairs: Tensor) -> Tensor:
        """The question's state."""
        return question.whole.index_select(0, pairs[:, 1])


class ImageAlone(Fusion):
    """What can be guessed from the image."""

    reads = False

    def forward(self, places: Places, question: EncodedQuestion | None, pairs: Tensor) -> Tensor:
        """The mean over the places."""
        return places.states.mean(1).index_select(0, pairs[:, 0])


FUSIONS: Mapping[str, type[Fusion]] = {
    "stacked": Stacked,
    "transformer": CrossAttention,
    "concat": Concat,
    "question": QuestionAlone,
    "image": ImageAlone,
}


# -- the answer and the checks -------------------------------------------------------------------


class Head(nn.Module):
    """Answers, by one hidden layer."""

    def __init__(self, config: VQAConfig) -> None:
        super().__init__()
        self.widen = Linear(config.width, 2 * config.width)
        self.dropout = Dropout(config.dropout)
        self.out = Linear(2 * config.width, config.answers)

    def forward(self, state: Tensor) -> Tensor:
        """(asked, width) to (asked, answers)."""
        logits: Tensor = self.out(self.dropout(F.gelu(self.widen(state))))
        return logits


def _check_pairs(pairs: Tensor, images: int, questions: int) -> None:
    if pairs.dim() != 2 or pairs.shape[1] != 2 or pairs.dtype != torch.int64 or not pairs.shape[0]:
        raise JumokError(f"pairs are (asked, 2) of int64, got {pairs.dtype} of shape {tuple(pairs.shape)}")
    if torch.compiler.is_exporting():  # values are not there yet
        return
    low, image, question = torch.cat([pairs.min()[None], pairs.amax(0)]).tolist()
    if low < 0 or image >= images or question >= questions:
        raise JumokError(
            f"pairs go from {low} to image {image} and question {question}, wanted numbers of {images} images and "
            f"{questions} questions"
        )
