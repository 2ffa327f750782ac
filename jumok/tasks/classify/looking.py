"""Ask a classifier what it sees and where it looked."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from jumok.attention import AttentionMap, Patches
from jumok.attribution import METHODS as ATTRIBUTION
from jumok.attribution import Method, Need
from jumok.attribution.raw import average_queries
from jumok.errors import JumokError, suggest, suggest_some
from jumok.tasks.classify.any_classifier import AnyClassifier, group_by_size
from jumok.tasks.classify.attended_layers import find_lengths
from jumok.tasks.classify.fitting import OF_PIXELS, find_fitting, find_main_query
from jumok.watching.seen import Seen
from jumok.watching.watch import watch
from jumok.wording import join_names


@dataclass(frozen=True)
class LookOptions:
    """What is asked of each image.

    Args:
        methods: how to read where the model looked; see `METHODS`. None: those that fit the model and are quick.
        most: of the methods that fit, take the first so many; 0: only ask what the model sees.
        target: the class that is explained; None: see `rank`.
        layer: of the raw weights, from 0; negative from the end; or the name of a module, for the methods that read
            one.
        head: of the raw weights, from 0; None: the mean over heads.
        layers: also give all weights of every layer.
        values: also give the length of each value in every layer, for which gradients are traced.
        empty: give a map without any evidence as it is, which of a single image is refused otherwise.
        rank: of the class that is explained, by its probability, where there is no target: 1 is the predicted one.
    """

    methods: tuple[str, ...] = ()
    most: int | None = None
    target: int | None = None
    layer: int | str = -1
    head: int | None = None
    layers: bool = False
    values: bool = False
    empty: bool = False
    rank: int = 1

    def __post_init__(self) -> None:
        for method in self.methods:
            if method not in METHODS:
                raise JumokError(f"no method {method!r}: {suggest(method, METHODS)}")


@dataclass(frozen=True)
class LookResult:
    """What a model says of one image, and where it looked.

    Args:
        probabilities: (classes,), of classes or labels; of a model that gives a number (1,), that number.
        target: the class that was explained.
        heats: by method, one row over the model's tokens.
        layers: (head, queries, keys) of each layer, where they were asked for.
        values: of each of these layers, (keys,), the length of each value, mean over heads, where they were asked for;
            None where a layer does not tell.
    """

    probabilities: Tensor
    target: int
    heats: dict[str, AttentionMap]
    layers: list[AttentionMap]
    values: Sequence[Tensor | None] = ()

    @property
    def predicted(self) -> int:
        """The most probable class or label."""
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
    return look_at_prepared(model, model.prepare_each(images), options)


def look_at_prepared(model: AnyClassifier, prepared: Sequence[Tensor], options: LookOptions) -> list[LookResult]:
    """As `look`, at images that `AnyClassifier.prepare_each` has prepared."""
    found: dict[int, LookResult] = {}
    alone = replace(options, empty=options.empty or len(prepared) > 1)
    for numbers, pixels in group_by_size(prepared):
        found |= zip(numbers, _look_at(model, pixels, alone), strict=True)
    return [found[number] for number in range(len(prepared))]


def _look_at(model: AnyClassifier, pixels: Tensor, options: LookOptions) -> list[LookResult]:
    """As `look`, at prepared images of one size."""
    seen, logits = _run(model, pixels, options)
    probabilities = model.kind.read(logits.detach())
    targets = _choose_targets(probabilities, options)
    asked = Asked(seen, model, pixels, logits, targets[:, None].to(logits.device), options)
    heats = _read(asked)
    names = _find_grids(seen) if options.layers else []
    layers = [seen[name] for name in names]
    values = [find_lengths(seen, name) for name in names] if options.values else []
    return [
        LookResult(
            probabilities[number].cpu(),
            int(targets[number]),
            {method: _move_to_cpu(maps[number]) for method, maps in heats.items()},
            [_move_to_cpu(layer.at(batch=number)) for layer in layers],
            [None if each is None else each[number].cpu() for each in values],
        )
        for number in range(len(pixels))
    ]


def explain(model: AnyClassifier, pixels: Tensor, targets: Tensor, method: str) -> list[AttentionMap]:
    """One method's map of each prepared image, each for a class of its own.

    Args:
        model: as `open_model` gives it; its weights may have been changed meanwhile.
        pixels: (images, 3, height, width), two or more: a single map that is empty is refused.
        targets: (images,), the classes that are explained.
        method: one of `METHODS`.
    Raises:
        JumokError: the method does not fit the model; the message says why.
    """
    given, options = pixels.detach().clone(), LookOptions((method,))
    seen, logits = _run(model, given, options)
    asked = Asked(seen, model, given, logits, targets[:, None].to(logits.device), options)
    return [_move_to_cpu(each) for each in _read(asked)[method]]


def find_methods(model: AnyClassifier, pixels: Tensor, targets: Tensor) -> tuple[str, ...]:
    """The methods that fit a model and are quick, as `look` takes them where none is named.

    Args:
        model, pixels, targets: as for `explain`.
    Raises:
        JumokError: there is none; the message says why.
    """
    given, options = pixels.detach().clone(), LookOptions()
    seen, logits = _run(model, given, options)
    return tuple(_read(Asked(seen, model, given, logits, targets[:, None].to(logits.device), options)))


def _choose_targets(probabilities: Tensor, options: LookOptions) -> Tensor:
    """The class that is explained of each image."""
    if options.target is not None:
        return torch.full((len(probabilities),), options.target)
    return probabilities.topk(options.rank).indices[:, -1]


def _run(model: AnyClassifier, pixels: Tensor, options: LookOptions) -> tuple[Seen, Tensor]:
    """Watch the model, with what gradients the methods need."""
    traced = options.values or not options.methods or not WITH_GRADIENTS.isdisjoint(options.methods)
    whole = "lrp" in options.methods or (not options.methods and options.most is None)
    pixels.requires_grad_(traced)
    with (
        contextlib.nullcontext() if traced else torch.no_grad(),
        _trace(model.model, whole),
        watch(model.model) as seen,
    ):
        return seen, model(pixels)


@contextlib.contextmanager
def _trace(model: nn.Module, whole: bool) -> Iterator[None]:
    """Let parameters ask for gradients in the block, so that torch keeps what went into each layer."""
    still = [each for each in model.parameters() if not each.requires_grad and each.is_floating_point()]
    for each in still if whole else ():
        each.requires_grad_()
    yield
    for each in still:
        each.requires_grad_(False)


def _read(asked: Asked) -> dict[str, list[AttentionMap]]:
    """The maps by method; of methods that were not named, those that know the model's operations."""
    if named := asked.options.methods:
        maps = {method: _read_named(asked, method) for method in sorted(named, key=SLOW.__contains__)}
        return {method: maps[method] for method in named}
    if asked.options.most == 0:
        return {}
    found: dict[str, list[AttentionMap]] = {}
    for method in find_fitting(asked.seen, asked.target)[: asked.options.most]:
        with contextlib.suppress(JumokError) if found and method in CHOOSY else contextlib.nullcontext():
            found[method] = METHODS[method](asked)
    return found


def _read_named(asked: Asked, method: str) -> list[AttentionMap]:
    """The maps of one method; an error names it, as others may have been asked for beside it."""
    try:
        return METHODS[method](asked)
    except JumokError as error:
        why = NO_ATTENTION if method in OF_ATTENTION and not len(asked.seen) else error
        raise JumokError(f"{method}: {why}") from error


def _find_grids(seen: Seen) -> list[str]:
    """The calls whose queries and keys are all places of the image."""
    return [name for name in seen.names if isinstance(seen.axes(name)[0], Patches)]


@dataclass(frozen=True)
class Asked:
    """What a method is asked about one batch.

    Args:
        seen: of the pass over it.
        model: that ran.
        pixels: that it was given.
        logits: that it gave.
        targets: (batch, 1), the classes that are explained.
        options: of the look.
    """

    seen: Seen
    model: AnyClassifier
    pixels: Tensor
    logits: Tensor
    targets: Tensor
    options: LookOptions

    @property
    def target(self) -> Tensor:
        """(batch, 1): the logits that are explained."""
        return self.logits.gather(1, self.targets)

    def run(self, pixels: Tensor) -> Tensor:
        """The same numbers for other pixels, (batch,)."""
        return self.model(pixels).gather(1, self.targets)[:, 0]

    def run_shares(self, pixels: Tensor) -> Tensor:
        """The probabilities of the same classes, (batch,)."""
        return self.model.kind.read(self.model(pixels)).gather(1, self.targets)[:, 0]


def _split_batch(maps: AttentionMap) -> list[AttentionMap]:
    return [maps.at(batch=number) for number in range(len(maps.weights))]


def _explain(method: Method) -> Read:
    """Ask a method of `jumok.attribution`."""

    def read(asked: Asked) -> list[AttentionMap]:
        empty = asked.options.empty or len(asked.pixels) > 1
        known: dict[str, Any] = {"inputs": asked.pixels, "forward": asked.run, "allow_empty": empty}
        options = {name: known[name] for name in method.options if name in known}
        if "query" in method.options:
            options["query"] = find_main_query(asked.seen)
        options |= _choose_layer(asked, method)
        return _split_batch(method.run(asked.seen, asked.target, **options))

    return read


def _choose_layer(asked: Asked, method: Method) -> dict[str, Any]:
    """The layer and the head, for a method that reads one layer."""
    layer = asked.options.layer
    if method.name == "raw":
        return {"layer": _find_call(asked.seen, layer), "head": asked.options.head}
    if "layer" not in method.options or layer == LookOptions.layer:
        return {}
    if Need.ATTENTION in method.needs:
        return {"layer": _find_call(asked.seen, layer)}
    if isinstance(layer, int):
        raise JumokError(f"it reads the feature map of a module: give its name in place of --layer {layer}")
    return {"layer": layer}


def _find_call(seen: Seen, layer: int | str) -> int | str:
    """The attention call of a number or a name; of a module that holds several, the last one in it.

    Raises:
        JumokError: there is none.
    """
    if isinstance(layer, int) or layer in seen.names:
        return layer
    inside = [name for name in seen.names if name.startswith(f"{layer.rstrip('.')}.")]
    if not inside:
        raise JumokError(f"no attention of a layer {layer!r} was seen: {suggest_some(layer, seen.names)}")
    return inside[-1]


def _rise(asked: Asked) -> list[AttentionMap]:
    """RISE weighs masks by probabilities, which are never below 0."""
    if not asked.model.kind.are_shares:
        raise JumokError("it weighs masks by probabilities, and this model gives a number: use another method")
    target = asked.model.kind.read(asked.logits).gather(1, asked.targets)
    found = ATTRIBUTION["rise"].run(asked.seen, target, inputs=asked.pixels, forward=asked.run_shares)
    return _split_batch(found)


def _attention(asked: Asked) -> list[AttentionMap]:
    """Where the mechanism itself says that it looked: the last of its kind; the mean over who looks, where many do."""
    names = asked.seen.in_image()
    if not names:
        fitting = join_names(list(dict.fromkeys((*find_fitting(asked.seen), *OF_PIXELS))), "or")
        raise JumokError(
            "it shows a mechanism that weighs places of the whole image, such as a glimpse or a spatial gate, and this "
            f"model has none: use {fitting}"
        )
    maps = asked.seen.of_images(names[-1])
    maps = [each.mean("head") if each.lead else each for each in maps]
    return [each if len(each.queries) == 1 else average_queries(each, 0) for each in maps]


Read = Callable[[Asked], list[AttentionMap]]
METHODS: dict[str, Read] = {name: _explain(method) for name, method in ATTRIBUTION.items()}
METHODS |= {"attention": _attention, "rise": _rise, "relevance": METHODS["chefer"]}
"""Ways to read where a model looked: each gives one row over the image, or its places, for each image."""
CHOOSY = ("legrad", "rollout", "raw", *OF_PIXELS)
"""Those that refuse some models, by the operations that these are made of."""
OF_TARGET = frozenset({"relevance", *(name for name, method in ATTRIBUTION.items() if method.of_target)})
"""Those whose map is of one class."""
WITH_GRADIENTS = frozenset(
    {"relevance", "random", *(n for n, each in ATTRIBUTION.items() if Need.GRADIENTS in each.needs)}
)

OF_ATTENTION = frozenset(
    {"attention", "relevance", *(name for name, each in ATTRIBUTION.items() if Need.ATTENTION in each.needs)}
)
NO_ATTENTION = (
    "no attention was seen in this model: it has none, or a fused kernel of its own hides it (then choose the model's "
    "`sdpa` or `eager` attention); these need none: "
    f"{', '.join(name for name in ATTRIBUTION if name not in {*OF_ATTENTION, 'random'})}"
)
SLOW = frozenset(name for name, method in ATTRIBUTION.items() if Need.PASSES in method.needs)
"""Those that run the model many times: they come last, so that others refuse a model at once."""


def _move_to_cpu(found: AttentionMap) -> AttentionMap:
    weights = found.weights.detach().cpu()
    return AttentionMap(weights, found.queries, found.keys, found.lead, found.scale, found.source)
