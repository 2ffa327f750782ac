"""From learnt tokens that stand for an image, as those of a Q-Former do, to the places of it that they read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from jumok.attention import AttentionMap, Axis, Patches, Regions, Scale, Tokens
from jumok.attention.interleaved import choose_image
from jumok.errors import JumokError
from jumok.watching.calls import Call

__all__ = ["list_readers", "roll_back"]


def list_readers(
    named: Sequence[tuple[str, Call]], axes_of: Callable[[Call], tuple[Axis, Axis]], labels: Sequence[str]
) -> list[str]:
    """The calls by which learnt tokens read an image.

    Args:
        named: the calls that were made.
        axes_of: gives queries and keys of a call.
        labels: of tokens among which the learnt ones are.
    Raises:
        JumokError: there are none, or they were made more than once.
    """
    known, names = set(labels), []
    for name, call in named:
        try:
            queries, keys = axes_of(call)
        except JumokError:  # each image has places of its own
            continue
        looking = queries.labels()
        learnt = isinstance(queries, Tokens) and not any(label.isdigit() for label in looking)
        if learnt and keys.in_image and known.issuperset(looking):
            names.append(name)
    if not names:
        raise JumokError(
            f"none of these {len(labels)} keys is a learnt token that was seen to read an image: give a map of words "
            "that were written, made without words for the axes, as in seen.through(seen.generated(output))"
        )
    if again := next((name for name in names if "@" in name), None):
        raise JumokError(f"{again}: the image was read more than once: watch one generate() or one pass at a time")
    return names


def roll_back(found: AttentionMap, read: AttentionMap) -> AttentionMap:
    """The product of two maps: of each key that is a query of the second, what that one looked at.

    Args:
        found: whose keys are followed.
        read: (batch, queries, places of an image), or without the batch where `found` has none.
    Returns:
        Keys are the places behind all other tokens, which cover no pixels; the sum of a row stays what it was.
    Raises:
        JumokError: a query that several keys are called by, weights that are no shares, or another batch.
    """
    if read.scale is not Scale.DISTRIBUTION:
        raise JumokError(f"weights of {read.source} are a {read.scale}, and only shares can be followed")
    inside = [_find_one(found.keys, label) for label in read.queries.labels()]
    others = [entry for entry in range(len(found.keys)) if entry not in set(inside)]
    keys, shares = choose_image(read.keys, read.weights, None)
    followed = found.weights[..., inside] @ _spread(shares, found, read)
    weights = torch.cat([found.weights[..., others], followed], -1)
    names = tuple(found.keys.label(entry) for entry in others)
    return replace(found, weights=weights, keys=_put_before(names, keys), source=f"{found.source}, then {read.source}")


def _find_one(keys: Axis, label: str) -> int:
    places = [entry for entry, each in enumerate(keys.labels()) if each == label]
    if len(places) != 1:
        raise JumokError(f"{len(places)} keys are called {label!r}, so they cannot be followed to the image")
    return places[0]


def _spread(shares: Tensor, found: AttentionMap, read: AttentionMap) -> Tensor:
    """What was read, with an axis for each leading one of the map that is followed."""
    if not read.lead:
        return shares
    sizes = [size if name == "batch" else 1 for name, size in zip(found.lead, found.weights.shape, strict=False)]
    if len(shares) == 1:
        return shares[0]
    if "batch" not in found.lead or sizes[found.lead.index("batch")] != len(shares):
        raise JumokError(
            f"{len(shares)} images were read, and this map is of {max(sizes, default=1)}: give a map of all of them"
        )
    return shares.reshape(*sizes, *shares.shape[-2:])


def _put_before(names: tuple[str, ...], keys: Axis) -> Axis:
    """More entries in front that lie in no place."""
    if isinstance(keys, Patches):
        return replace(keys, special=(*names, *keys.special))
    assert isinstance(keys, Regions)  # `choose_image` gives no other
    return replace(keys, boxes=(*(None,) * len(names), *keys.boxes), names=(*names, *keys.names))
