"""Ask about images, and read where each question, and each of its words, looked."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from jumok.attention import AttentionMap, One, Patches, Scale, Tokens
from jumok.attention.word_alignment import merge_words
from jumok.data.texts.vocabulary import Split
from jumok.tasks.answer.run import QuestionRun, Reply
from jumok.watching.seen import Seen
from jumok.watching.watch import watch

__all__ = ["OF_ANSWER", "READERS", "Looked", "look"]

OF_ANSWER = frozenset({"relevance", "grad-cam"})
"""Looks that explain one answer; the others are the same for all."""

STREAMS = {"eye": "places", "reader": "words", "fusion.*.attn": "words", "fusion.*.cross": "words->places"}
"""Who looks at whom in a `vqa-transformer`."""


@dataclass(frozen=True)
class Looked:
    """What a model answers to one question, and where it looked.

    Args:
        question: as it was asked.
        words: of it.
        reply: the answers.
        looks: by name, one row over the image, in the order in which they are shown; empty where no image is attended.
        by_word: by some of these names, (words, places): where each word looked.
        weights: (1, words), how much each word mattered; None where nothing tells it.
    """

    question: str
    words: tuple[str, ...]
    reply: Reply
    looks: Mapping[str, AttentionMap] = field(default_factory=dict)
    by_word: Mapping[str, AttentionMap] = field(default_factory=dict)
    weights: AttentionMap | None = None

    def put_first(self, name: str | None) -> Looked:
        """The same with one look before all others; None: as it is."""
        if name is None or name not in self.looks:
            return self
        return replace(self, looks={name: self.looks[name], **self.looks})


@dataclass(frozen=True)
class Read:
    """What was read off one pass for all of its questions, still in pieces, the start sign first.

    Args:
        looks: by name, (asked, places).
        by_piece: by name, (asked, pieces, places).
        weights: (asked, pieces).
        scales: of the looks, by name; those that are not named are distributions.
        weighing: what the pieces' weights are.
    """

    looks: Mapping[str, Tensor] = field(default_factory=dict)
    by_piece: Mapping[str, Tensor] = field(default_factory=dict)
    weights: Tensor | None = None
    scales: Mapping[str, Scale] = field(default_factory=dict)
    weighing: Scale = Scale.DISTRIBUTION


def look(
    run: QuestionRun, images: Sequence[Tensor], questions: Sequence[str], *, words: bool = True, rank: int = 1
) -> list[Looked]:
    """Ask one question about each image and read where the model looked.

    Args:
        run: trained.
        images: (3, any, any) uint8 each.
        questions: as many.
        words: also read where each word looked.
        rank: of the answer that looks in `OF_ANSWER` explain; 1 is the most probable one.
    Returns:
        one for each question.
    Raises:
        JumokError: a question that cannot be read.
    """
    pixels, ids = run.prepare(images), run.encode(questions)
    traced = run.fusion in WITH_GRADIENTS
    pixels.requires_grad_(traced)
    with contextlib.nullcontext() if traced else torch.no_grad(), watch(run.model) as seen:
        logits = run.model(pixels, ids)
    target = logits.topk(min(rank, len(run.answers))).values[:, -1]
    found, grid = READERS[run.fusion](seen, target)
    splits = [run.words.split(run.cased(question)) for question in questions]
    replies = run.replies(logits.detach())
    return [
        _build_looked(question, split, reply, _select_question(found, number), grid, words)
        for number, (question, split, reply) in enumerate(zip(questions, splits, replies, strict=True))
    ]


# -- one question -------------------------------------------------------------------------------


def _select_question(read: Read, number: int) -> Read:
    """What was read of one question."""
    return Read(
        {name: each[number].detach().float().cpu() for name, each in read.looks.items()},
        {name: each[number].detach().float().cpu() for name, each in read.by_piece.items()},
        None if read.weights is None else read.weights[number].detach().float().cpu(),
        read.scales,
        read.weighing,
    )


def _build_looked(question: str, split: Split, reply: Reply, read: Read, grid: Patches | None, words: bool) -> Looked:
    """Bring one question's rows to maps over its words and the image's places."""
    shown = tuple(question.split())  # in the case in which it was asked
    shown = shown if len(shown) == len(split.words) else tuple(split.words)
    if grid is None:
        return Looked(question, shown, reply, weights=_weights(read, split, shown))
    looks = {
        name: AttentionMap(row[None], One("question"), grid, (), read.scales.get(name, Scale.DISTRIBUTION), name)
        for name, row in read.looks.items()
    }
    pieces = read.by_piece if words else {}
    by_word = {name: _by_word(rows, split, shown, grid, ALL_LAYERS.get(name, name)) for name, rows in pieces.items()}
    return Looked(question, shown, reply, looks, by_word, _weights(read, split, shown))


def _by_word(rows: Tensor, split: Split, shown: Sequence[str], grid: Patches, source: str) -> AttentionMap:
    """(pieces, places) to (words, places), the mean over each word's pieces."""
    pieces = len(split.owner)
    map_ = AttentionMap(rows[1 : 1 + pieces], Tokens.numbered(pieces), Tokens.numbered(len(grid)))
    places = [str(number) for number in range(len(grid))]
    merged = merge_words(map_, queries=split.owner, keys=range(len(grid)), query_words=shown, key_words=places)
    return AttentionMap(merged.weights, Tokens(tuple(shown)), grid, (), Scale.DISTRIBUTION, source)


def _weights(read: Read, split: Split, shown: Sequence[str]) -> AttentionMap | None:
    """(pieces,) to a row over words, the sum over each word's pieces."""
    if read.weights is None:
        return None
    row = read.weights[1 : 1 + len(split.owner)]
    weights = torch.zeros(len(shown)).index_add_(0, torch.tensor(split.owner), row)
    source = "relevance" if read.weighing is Scale.RELEVANCE else "attention"
    return AttentionMap(weights[None], One("answer"), Tokens(tuple(shown)), (), read.weighing, source)


# -- one kind of fusion -------------------------------------------------------------------------


Found = tuple[Read, Patches | None]
ALL_LAYERS = {"relevance": "mean of the layers"}
"""Looks beside which the words' own are another thing, and what that is."""


def _stacked(seen: Seen, target: Tensor) -> Found:
    """Each hop's own weights, of the question and of each word in its place."""
    hops = {f"hop {number}": seen[name] for number, name in enumerate(_name_looks(seen, "fusion.hops"), 1)}
    looks = {name: hop.weights[:, 0] for name, hop in hops.items()}
    by_piece = {name: hop.weights[:, 1:] for name, hop in hops.items()}
    return Read(looks, by_piece, _pool(seen)), _grid(next(iter(hops.values())))


def _transformer(seen: Seen, target: Tensor) -> Found:
    """Relevance for the answer, and each layer's cross-attention, the mean over heads."""
    layers = {f"layer {number}": seen[name] for number, name in enumerate(_name_looks(seen, "fusion", ".cross"), 1)}
    crossed = {name: layer.mean("head").weights for name, layer in layers.items()}
    relevant = seen.bimodal_relevance(target, streams=STREAMS, allow_empty=True)
    grid = _grid(next(iter(layers.values())))
    looks = {"relevance": relevant.places.weights[:, 0]} | {name: rows[:, 0] for name, rows in crossed.items()}
    # relevance is that of the whole question; beside it stands where each word looked, all layers together
    by_piece = {"relevance": torch.stack(list(crossed.values())).mean(0), **crossed}
    weights = relevant.words.weights[:, 0]
    return Read(looks, by_piece, weights, {"relevance": Scale.RELEVANCE}, Scale.RELEVANCE), grid


def _concat(seen: Seen, target: Tensor) -> Found:
    """Nothing attends to the image: Grad-CAM tells which places spoke for the answer."""
    read, grid = _image(seen, target)
    return Read(read.looks, {}, _pool(seen), read.scales), grid


def _question(seen: Seen, target: Tensor) -> Found:
    return Read(weights=_pool(seen)), None


def _image(seen: Seen, target: Tensor) -> Found:
    # where places attend to each other on top of the feature map, it is the one before them
    found = seen.grad_cam(target, "eye.stem" if _name_looks(seen, "eye.blocks") else None, allow_empty=True)
    return Read({"grad-cam": found.weights[:, 0]}, scales={"grad-cam": found.scale}), _grid(found)


READERS: Mapping[str, Callable[[Seen, Tensor], Found]] = {
    "stacked": _stacked,
    "transformer": _transformer,
    "concat": _concat,
    "question": _question,
    "image": _image,
}
"""How to read where a model looked, by how it brings question and image together."""
WITH_GRADIENTS = frozenset({"transformer", "concat", "image"})


def _pool(seen: Seen) -> Tensor | None:
    """How an LSTM's states were weighted: (asked, pieces); None for a question that a Transformer read."""
    return seen["reader"].weights[:, 0] if "reader" in seen.names else None


def _name_looks(seen: Seen, beginning: str, end: str = "") -> list[str]:
    return [name for name in seen.names if name.startswith(beginning) and name.endswith(end)]


def _grid(found: AttentionMap) -> Patches:
    assert isinstance(found.keys, Patches)
    return found.keys
