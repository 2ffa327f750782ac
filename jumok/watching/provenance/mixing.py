"""What norms and softmaxes do to identities: of the features of a token nothing; over tokens, they mix them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from jumok.watching.provenance import functions
from jumok.watching.provenance.blending import merge_over
from jumok.watching.provenance.identities import Identities
from jumok.watching.provenance.ops import Op
from jumok.watching.provenance.origins import PLAIN, TEXT
from jumok.watching.provenance.shadows import compact, is_even
from jumok.watching.provenance.spreading import note_spread

IMPLICIT_FIRST = (0, 1, 3)
"""Ranks of which PyTorch takes the first axis for a softmax where none is said; of others the second."""


def would_mix(known: Identities, ids: Tensor, *, plain: bool = False) -> bool:
    """Whether among the tokens are words, or what attention has seen already.

    Args:
        known: the table.
        ids: of the tokens.
        plain: tokens that were handed to the model as they are count, too; else they are taken for measured, as the
            numbers of images and sound are.
    """
    flat = ids.reshape(-1)
    early = known.is_input(flat) | known.is_weak(flat)
    if not bool(early.all()):
        return True
    source = known.origin(flat).source
    kinds = (TEXT, PLAIN) if plain else (TEXT,)
    tokens = torch.tensor([each.kind in kinds for each in known.sources] or [False])
    return bool((tokens[source.clamp(min=0)] & (source >= 0)).any())


def normalise(known: Identities, op: Op, name: str, ids: Tensor) -> Tensor:
    """Identities after a norm: over tokens, what each holds of the others is not seen.

    Over the features of several tokens, put one behind the other as where patches are merged, it makes one of them.
    """
    plain = name == "log_softmax"  # others leave numbers that were measured what they are, as less their mean
    axes = [axis for axis in find_axes(op, name) if not is_even(ids, axis)]
    if not axes or not would_mix(known, compact(ids), plain=plain):
        return ids
    why = f"{name} in training mode{op.where}" if name == "batch_norm" else f"{name}{op.where}"
    if any(_are_all_different(ids, axis) for axis in axes):
        return known.unsee(compact(ids), why).expand(ids.shape)
    merged = merge_over(known, ids, axes)
    note_spread(known, merged, why)
    return merged.expand(ids.shape)


def _are_all_different(ids: Tensor, axis: int) -> bool:
    """Whether along an axis each stands for another token, and not several for features of one."""
    row = compact(ids).movedim(axis, -1).reshape(-1, ids.shape[axis])[0]
    return len(row.unique()) == len(row)


def find_axes(op: Op, name: str) -> Sequence[int]:
    """Over which axes a norm or a softmax goes."""
    rank = len(op.outs[0].shape)
    if name in ("layer_norm", "rms_norm"):
        shape = op.given(1, "normalized_shape", ())
        return range(rank - len(shape), rank) if isinstance(shape, tuple | list) else (-1,)
    if name == "group_norm":
        return range(1, rank)
    if name == "batch_norm":  # in training mode over all images, too
        return (0, *range(2, rank)) if op.given(5, "training", False) else ()
    if name == "instance_norm":
        return range(2, rank) if op.given(5, "use_input_stats", True) else ()
    dim = op.given(2, "dim", 1) if name == "normalize" else op.given(1, "dim", None)
    if dim is None:
        dim = 0 if rank in IMPLICIT_FIRST else 1
    return tuple(dim) if isinstance(dim, tuple | list) else (dim,)


def softens(known: Identities, op: Op, name: str, ids: Tensor) -> bool:
    """Whether a softmax goes over tokens, so that each holds of all, unless they become weights of values."""
    return name in functions.SOFTMAXES and softens_over(known, find_axes(op, name), ids)


def softens_over(known: Identities, axes: Sequence[int], ids: Tensor) -> bool:
    """As `softens`, of what goes over some axes and makes weights as a softmax does."""
    return any(not is_even(ids, axis) for axis in axes) and would_mix(known, compact(ids), plain=True)


def find_scanned(op: Op, name: str) -> Sequence[int]:
    """Over which axes sums run, or a spectrum is taken."""
    if not name.startswith("fft_"):
        return (op.given(1, "dim", -1),)
    last = len(op.outs[0].shape) if name.endswith("n") else 2 if name.endswith("2") else 1
    found = op.given(2, "dim", None)
    return range(-last, 0) if found is None else found if isinstance(found, list) else (found,)
