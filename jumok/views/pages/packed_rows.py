"""Attention between words made small for a page: all of it where it is small, else the largest weights of each row.

A block of rows is the little-endian concatenation of, for `heads` x `queries` rows of which `kept` weights are kept,

    peaks   float32 (heads, queries)          the largest weight of each row, by size
    places  uint16  (heads, queries, kept)    the keys that the kept weights are of
    codes   uint8   (heads, queries, kept)    weight / peak * 255, rounded

and their last head is the mean over all of the layer's, of which other weights may be kept.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jumok.attention import AttentionMap, Patches, Scale
from jumok.views.pages.packed_maps import PackedMap, pack

__all__ = ["Form", "choose_form", "pack_layers"]

DENSE_WEIGHTS = 6_000_000
"""Of a sheet whose every weight is kept."""
SPARSE_WEIGHTS = 4_000_000
"""Of a sheet that keeps every head, kept weights counted."""
KEPT, KEPT_OF_MEANS = 24, 64
"""Weights of a row that are kept where not all are: of each head, and of the mean over heads alone."""


@dataclass(frozen=True)
class Form:
    """How much of a sheet a page holds.

    Args:
        name: "all", "top" (every head, the largest weights of each row) or "means" (the mean over heads, likewise).
        kept: weights of each row.
    """

    name: str
    kept: int


@dataclass(frozen=True)
class PackedLayer:
    """One layer as it goes into the file.

    Args:
        packed: its block.
        held: (rows,) the share of each row that the kept weights hold.
    """

    packed: PackedMap
    held: Tensor


def choose_form(layers: int, heads: int, queries: int, keys: int) -> Form:
    """How much of so many layers a page holds."""
    if layers * heads * queries * keys <= DENSE_WEIGHTS:
        return Form("all", keys)
    if layers * heads * queries * KEPT <= SPARSE_WEIGHTS:
        return Form("top", min(KEPT, keys))
    return Form("means", min(KEPT_OF_MEANS, keys))


def pack_layers(maps: Iterable[AttentionMap], layers: int) -> Iterator[tuple[Form, PackedLayer]]:
    """Pack the layers of a sheet one after the other, so that the weights of one are in memory at a time."""
    for each in maps:
        weights = each.weights.detach().float().cpu()
        weights = weights if weights.dim() == 3 else weights[None]
        form = choose_form(layers, *weights.shape)
        yield form, _pack_all(weights) if form.name == "all" else _pack_some(weights, form)


def _pack_all(weights: Tensor) -> PackedLayer:
    """To the packing of maps each query and each key is a patch."""
    axes = Patches(weights.shape[1], 1), Patches(1, weights.shape[2])
    signed = bool((weights < 0).any())
    scale = Scale.SCORE if signed else Scale.RELEVANCE
    return PackedLayer(pack(AttentionMap(weights, *axes, ("head",), scale)), torch.ones(1))


def _pack_some(weights: Tensor, form: Form) -> PackedLayer:
    mean = weights.mean(0, keepdim=True)
    rows = torch.cat([weights, mean]) if form.name == "top" else mean
    values, places = rows.topk(form.kept, -1)
    peaks = values[..., 0].clamp_min(1e-30)
    codes = (values / peaks[..., None] * 255).round()
    error = float((codes / 255 * peaks[..., None] - values).abs().max())
    parts: Sequence[Any] = (peaks.numpy().astype("<f4"), places.numpy().astype("<u2"), codes.numpy().astype("u1"))
    about = {"form": form.name, "heads": len(rows), "queries": rows.shape[1], "keys": rows.shape[2], "kept": form.kept}
    held = (values.sum(-1) / rows.sum(-1).clamp_min(1e-30)).flatten()
    return PackedLayer(PackedMap(about, _deflate(b"".join(part.tobytes() for part in parts)), error), held)


def _deflate(raw: bytes) -> str:
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS, 9)
    return base64.b64encode(packer.compress(raw) + packer.flush()).decode("ascii")
