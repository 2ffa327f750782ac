"""Change pixels of an image where a token is said to lie, and find the token that changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from jumok.attention import AttentionMap, Axis, Patches, Regions, Tokens
from jumok.watching.seen import Seen
from jumok.watching.token_axes import is_mixed
from reproduce.zoo_models import Subject

PROBES = 8
FAR_BEHIND = 0.35
"""Of all tokens, by chance half of them change more than the right one."""

FEWEST = 9
LEAST = -60.0
"""Logarithm of a weight that says nothing of its score."""
MOST_HIDDEN = 0.2

BY_QUERY = ("Outlook", "Deformable")
"""Attention whose weights the query gives alone, so that no pixel of a key changes them."""

Watch = Callable[[Mapping[str, Any]], Seen]


def tell_axis(axis: Axis) -> str:
    """An axis in a few words."""
    if isinstance(axis, Patches):
        special = "".join(f" + {name}" for name in axis.special[:4])
        return f"Patches({axis.rows} x {axis.columns}{special})"
    reason = f": {axis.why[:40]}" if isinstance(axis, Tokens) and axis.why else ""
    return f"{type(axis).__name__}({len(axis)}{reason})"


def find_own(seen: Seen, name: str, found: AttentionMap) -> AttentionMap | None:
    """The map of one window in the middle of the first image, or of that image, where each has places of its own."""
    if not is_mixed(found.keys) and not is_mixed(found.queries):
        return None
    if "window" not in found.lead:
        return seen.of_image(name, 0)
    return seen.of_window(name, 0, _choose_window(found))


def _is_by_query(kind: type) -> bool:
    return any(part in kind.__name__ for part in BY_QUERY)


def _choose_window(found: AttentionMap) -> int:
    return int(found.weights.shape[found.lead.index("window")] // 2)


def check_places(
    subject: Subject, maps: Mapping[str, AttentionMap], own: Mapping[str, AttentionMap], watch: Watch
) -> tuple[list[str], list[str]]:
    """Check the places of the first map whose keys lie in the image.

    Where a pixel reaches one token only, that token must be the one that is said to lie there. Convolutions and
    normalisation over the image carry a pixel to others: then the right token must be among those that change most.

    Args:
        subject: the model, with an image.
        maps: of its calls.
        own: of one window, or of one image, of those calls where each has places of its own.
        watch: runs the model on other inputs.
    Returns:
        what is wrong, and notes.
    """
    parts = dict(subject.model.named_modules())
    chosen = {name: found for name, found in maps.items() if not _is_by_query(type(parts.get(name.partition("@")[0])))}
    lying = {name: own.get(name, found) for name, found in chosen.items()}
    name = next((name for name, found in lying.items() if isinstance(found.keys, Patches | Regions)), None)
    if name is None:
        return [], ["no map lies over the image"]
    keys = lying[name].keys
    window = _choose_window(maps[name]) if name in own and "window" in maps[name].lead else None
    assert isinstance(keys, Patches | Regions)
    assert subject.image is not None
    boxes = {number: box for number in range(len(keys)) if (box := keys.box(number, *subject.image)) is not None}
    before = _score(watch(subject.inputs), name, window)
    if float((before < LEAST).float().mean()) > MOST_HIDDEN:
        return [], [f"{name}: weights too peaked for its places to be checked"]
    found = {}
    for place in _choose(list(boxes)):
        after = _score(watch(_disturb(subject, boxes[place])), name, window)
        if after.shape != before.shape:
            return [], [f"{name}: how many tokens there are depends on the pixels, so its places cannot be checked"]
        if order := _find_changed(before, after):
            found[place] = order
    return _say(name, keys, found)


def _say(name: str, keys: Axis, found: dict[int, list[int]]) -> tuple[list[str], list[str]]:
    if not found:
        return [], [f"{name}: no weight changes with the pixels"]
    missed = {place: order[0] for place, order in found.items() if order[0] != place}
    where = "".join(f"; entry {place} is said to lie where entry {other} does" for place, other in missed.items())
    if all(len(order) == 1 for order in found.values()):
        return ([f"{name}, {tell_axis(keys)}{where}"] if missed else []), []
    if len(keys) < FEWEST:
        return [], [f"{name}: pixels reach several tokens of a grid too coarse to tell them apart"]
    ranks = [order.index(place) if place in order else len(keys) for place, order in found.items()]
    behind = sum(ranks) / len(ranks) / len(keys)
    if behind > FAR_BEHIND:
        return [f"{name}, {tell_axis(keys)}: {behind:.0%} of the tokens change more than the right ones{where}"], []
    return [], [f"{name}: pixels reach several tokens; the right one is behind {behind:.0%} of them"]


def _choose(places: list[int]) -> list[int]:
    """A few places from all over the image, off its diagonals."""
    count = min(PROBES, len(places))
    return sorted({places[(number * len(places) + len(places) // 3) // count % len(places)] for number in range(count)})


def _disturb(subject: Subject, box: tuple[int, int, int, int]) -> dict[str, Any]:
    top, left, bottom, right = box
    name = next(name for name in ("pixel_values", "x") if name in subject.inputs)
    pixels: Tensor = subject.inputs[name].clone()
    patch = pixels[..., top:bottom, left:right]
    patch += 3.0 * torch.randn(patch.shape, generator=torch.Generator().manual_seed(2))
    return {**subject.inputs, name: pixels}


def _score(seen: Seen, name: str, window: int | None) -> Tensor:
    """Logarithms of the weights: the scores, but for a constant of each row."""
    found = seen[name] if window is None else seen[name].at(batch=0, window=window)
    weights = found.weights.double().clamp_min(1e-30).log()
    return weights.reshape(-1, *weights.shape[-2:])


def _find_changed(before: Tensor, after: Tensor) -> list[int]:
    """The keys whose scores have changed, the most changed first."""
    moved = after - before
    moved = (moved - moved.median(-1, keepdim=True).values).abs()
    change = moved.median(-2).values.amax(0)
    order: list[int] = change.argsort(descending=True).tolist()
    return [place for place in order if change[place] > 1e-3 * change.max()]
