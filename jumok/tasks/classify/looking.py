"""Ask a classifier what it sees and where it looked."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from jumok.attention import AttentionMap, One, Patches
from jumok.errors import JumokError, suggest
from jumok.tasks.classify.opened import Opened
from jumok.watch import MEAN, Seen, watch

Method = Literal["rollout", "relevance", "raw"]


@dataclass(frozen=True)
class Question:
    """What is asked of each image.

    Args:
        methods: how to read where the model looked; see `METHODS`.
        target: the class that relevance explains; None: the predicted one.
        layer: of the raw weights, from 0; negative from the end.
        head: of the raw weights, from 0; None: the mean over heads.
        layers: also give all weights of every layer.
    """

    methods: tuple[str, ...] = ("relevance",)
    target: int | None = None
    layer: int = -1
    head: int | None = None
    layers: bool = False

    def __post_init__(self) -> None:
        for method in self.methods:
            if method not in METHODS:
                raise JumokError(f"no method {method!r}: {suggest(method, METHODS)}")


@dataclass(frozen=True)
class Answer:
    """What a model says of one image, and where it looked.

    Args:
        probabilities: (classes,).
        target: the class that was explained.
        heats: by method, one row over the model's tokens.
        layers: (head, queries, keys) of each layer, where they were asked for.
    """

    probabilities: Tensor
    target: int
    heats: dict[str, AttentionMap]
    layers: list[AttentionMap]

    @property
    def predicted(self) -> int:
        """The most probable class."""
        return int(self.probabilities.argmax())


def look(model: Opened, images: Sequence[Tensor], question: Question) -> list[Answer]:
    """Run a batch of images through the model and read where it looked.

    Args:
        model: as `open_model` gives it.
        images: (3, any, any) uint8 each.
        question: what to read.
    Returns:
        one answer per image.
    Raises:
        JumokError: the model's attention cannot be followed to the image; the message says why.
    """
    pixels = model.prepare(images)
    if "relevance" in question.methods:
        pixels.requires_grad_()
    with contextlib.nullcontext() if pixels.requires_grad else torch.no_grad(), watch(model.model) as seen:
        logits = model(pixels)
    probabilities = logits.detach().float().softmax(-1)
    targets = probabilities.argmax(-1) if question.target is None else torch.full((len(images),), question.target)
    query = main_query(seen)
    target = logits.gather(1, targets[:, None].to(logits.device))
    heats = {method: METHODS[method](seen, target, query, question) for method in question.methods}
    layers = [seen[name] for name in seen.names] if question.layers else []
    return [
        Answer(
            probabilities[number].cpu(),
            int(targets[number]),
            {method: _cpu(heat.at(batch=number)) for method, heat in heats.items()},
            [_cpu(layer.at(batch=number)) for layer in layers],
        )
        for number in range(len(images))
    ]


def main_query(seen: Seen) -> str:
    """The query that a class is read off: the `cls` token where there is one, else the mean over the patches."""
    axis = seen.queries
    if not isinstance(axis, Patches):
        raise JumokError(f"{seen.names[0]} attends over {type(axis).__name__}, not over the patches of an image")
    return "cls" if "cls" in axis.special else MEAN


def _raw(seen: Seen, target: Tensor, query: str, question: Question) -> AttentionMap:
    """The weights of one layer as they are: one head, or the mean over heads."""
    if query == MEAN:
        whole = seen[question.layer]
        assert isinstance(whole.queries, Patches)
        rows = whole.weights[..., len(whole.queries.special) :, :].mean(-2, keepdim=True)
        raw = AttentionMap(rows, One(MEAN), whole.keys, whole.lead, whole.scale, whole.source)
    else:
        raw = seen.row(question.layer, query)
    return raw.mean("head") if question.head is None else raw.at(head=question.head)


METHODS: dict[str, Callable[[Seen, Tensor, str, Question], AttentionMap]] = {
    "rollout": lambda seen, target, query, question: seen.rollout(query),
    "relevance": lambda seen, target, query, question: seen.relevance(target, query),
    "raw": _raw,
}


def _cpu(found: AttentionMap) -> AttentionMap:
    weights = found.weights.detach().cpu()
    return AttentionMap(weights, found.queries, found.keys, found.lead, found.scale, found.source)
