"""Ask a classifier what it sees and where it looked."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jumok.attention import AttentionMap, One, Patches
from jumok.errors import JumokError, suggest
from jumok.tasks.classify.any_classifier import AnyClassifier
from jumok.watching.seen import MEAN, Seen, watch

NOTHING = (
    "no attention call was seen, and no feature map that carries a gradient: nothing tells where this model looked "
    "(a fused kernel of its own hides attention: choose the model's `sdpa` or `eager` attention)"
)


@dataclass(frozen=True)
class LookOptions:
    """What is asked of each image.

    Args:
        methods: how to read where the model looked; see `METHODS`. None: those that fit the model.
        most: of the methods that fit, take the first so many; 0: only ask what the model sees.
        target: the class that relevance and grad-cam explain; None: see `rank`.
        layer: of the raw weights, from 0; negative from the end.
        head: of the raw weights, from 0; None: the mean over heads.
        layers: also give all weights of every layer.
        rank: of the class that is explained, by its probability, where there is no target: 1 is the predicted one.
    """

    methods: tuple[str, ...] = ()
    most: int | None = None
    target: int | None = None
    layer: int = -1
    head: int | None = None
    layers: bool = False
    rank: int = 1

    def __post_init__(self) -> None:
        for method in self.methods:
            if method not in METHODS:
                raise JumokError(f"no method {method!r}: {suggest(method, METHODS)}")


@dataclass(frozen=True)
class LookResult:
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


def look(model: AnyClassifier, images: Sequence[Tensor], options: LookOptions) -> list[LookResult]:
    """Run a batch of images through the model and read where it looked.

    Args:
        model: as `open_model` gives it.
        images: (3, any, any) uint8 each.
        options: what to read.
    Returns:
        one answer per image.
    Raises:
        JumokError: the model's attention cannot be followed to the image; the message says why.
    """
    pixels = model.prepare(images)
    traced = not options.methods or not WITH_GRADIENTS.isdisjoint(options.methods)
    pixels.requires_grad_(traced)
    with contextlib.nullcontext() if traced else torch.no_grad(), watch(model.model) as seen:
        logits = model(pixels)
    probabilities = logits.detach().float().softmax(-1)
    targets = _choose_targets(probabilities, options)
    target = logits.gather(1, targets[:, None].to(logits.device))
    methods = options.methods or (() if options.most == 0 else find_fitting(seen)[: options.most])
    heats = {method: METHODS[method](seen, target, options) for method in methods}
    layers = [seen[name] for name in _find_grids(seen)] if options.layers else []
    return [
        LookResult(
            probabilities[number].cpu(),
            int(targets[number]),
            {method: _move_to_cpu(maps[number]) for method, maps in heats.items()},
            [_move_to_cpu(layer.at(batch=number)) for layer in layers],
        )
        for number in range(len(images))
    ]


def _choose_targets(probabilities: Tensor, options: LookOptions) -> Tensor:
    """The class that is explained of each image."""
    if options.target is not None:
        return torch.full((len(probabilities),), options.target)
    return probabilities.topk(options.rank).indices[:, -1]


def find_fitting(seen: Seen) -> tuple[str, ...]:
    """The methods that can tell where this model looked, the most telling first.

    Raises:
        JumokError: there is none; the message says why.
    """
    placed = seen.in_image()
    found = ["attention"] if placed else []
    why = ""
    try:
        find_main_query(seen)
        found = [*TOKEN_METHODS, *found]
    except JumokError as error:
        why = str(error)
    # Where a model cuts its glimpses or its window out of the image, feature maps lie in what was cut out.
    if all(isinstance(seen.axes(name)[1], Patches) for name in placed):
        try:
            seen.feature_map()
            found.append("grad-cam")
        except JumokError as error:
            why = f"{why}; and {error}"
    if not found:
        raise JumokError(why if len(seen) else NOTHING)
    return tuple(found)


def find_main_query(seen: Seen) -> str:
    """The query that a class is read off: the `cls` token where there is one, else the mean over the patches."""
    axis = seen.queries
    if not isinstance(axis, Patches):
        raise JumokError(f"{seen.names[0]} attends over {type(axis).__name__}, not over the patches of an image")
    return "cls" if "cls" in axis.special else MEAN


def _find_grids(seen: Seen) -> list[str]:
    """The calls whose queries and keys are all places of the image."""
    return [name for name in seen.names if isinstance(seen.axes(name)[0], Patches)]


def _split_batch(maps: AttentionMap) -> list[AttentionMap]:
    return [maps.at(batch=number) for number in range(len(maps.weights))]


def _rollout(seen: Seen, target: Tensor, options: LookOptions) -> list[AttentionMap]:
    return _split_batch(seen.rollout(find_main_query(seen)))


def _relevance(seen: Seen, target: Tensor, options: LookOptions) -> list[AttentionMap]:
    return _split_batch(seen.relevance(target, find_main_query(seen)))


def _raw(seen: Seen, target: Tensor, options: LookOptions) -> list[AttentionMap]:
    """The weights of one layer as they are: one head, or the mean over heads."""
    query = find_main_query(seen)
    if query == MEAN:
        whole = seen[options.layer]
        assert isinstance(whole.queries, Patches)
        raw = _average_queries(whole, len(whole.queries.special))
    else:
        raw = seen.row(options.layer, query)
    return _split_batch(raw.mean("head") if options.head is None else raw.at(head=options.head))


def _attention(seen: Seen, target: Tensor, options: LookOptions) -> list[AttentionMap]:
    """Where the mechanism itself says that it looked: the last of its kind; the mean over who looks, where many do."""
    names = seen.in_image()
    if not names:
        raise JumokError(
            f"this model has no attention of its own in the image: use one of {', '.join(find_fitting(seen))}"
        )
    maps = seen.of_images(names[-1])
    maps = [each.mean("head") if each.lead else each for each in maps]
    return [each if len(each.queries) == 1 else _average_queries(each, 0) for each in maps]


def _grad_cam(seen: Seen, target: Tensor, options: LookOptions) -> list[AttentionMap]:
    """The last feature map; an image in which no place speaks for the target gets zeros, as the others have theirs."""
    return _split_batch(seen.grad_cam(target, allow_empty=len(target) > 1))


def _average_queries(whole: AttentionMap, first: int) -> AttentionMap:
    """One row: the mean over the queries from the first on."""
    rows = whole.weights[..., first:, :].mean(-2, keepdim=True)
    return AttentionMap(rows, One(MEAN), whole.keys, whole.lead, whole.scale, whole.source)


Read = Callable[[Seen, Tensor, LookOptions], list[AttentionMap]]
TOKEN_METHODS: dict[str, Read] = {"relevance": _relevance, "rollout": _rollout, "raw": _raw}
METHODS: dict[str, Read] = {**TOKEN_METHODS, "attention": _attention, "grad-cam": _grad_cam}
"""Ways to read where a model looked: each gives one row over the image, or its places, for each image."""
WITH_GRADIENTS = frozenset({"relevance", "grad-cam"})


def _move_to_cpu(found: AttentionMap) -> AttentionMap:
    weights = found.weights.detach().cpu()
    return AttentionMap(weights, found.queries, found.keys, found.lead, found.scale, found.source)
