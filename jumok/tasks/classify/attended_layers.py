"""All weights of a classifier's layers, one layer after the other, so that a whole model's are never held at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from jumok.attention import AttentionMap, Patches, Scale
from jumok.attention.attended import Sloped
from jumok.errors import JumokError
from jumok.tasks.classify.any_classifier import AnyClassifier
from jumok.watching.seen import Seen
from jumok.watching.watch import watch

__all__ = ["Layer", "find_lengths", "read_layers"]


class Layer(NamedTuple):
    """One layer of some images.

    Args:
        attention: (batch, head, queries, keys), from `Patches` to the same `Patches`.
        norms: (batch, tokens), the length of each token that the layer gives out; None where no module gives out these
            tokens.
        values: (batch, keys), the length of each value, mean over heads; None where the call does not tell it.
    """

    attention: AttentionMap
    norms: Tensor | None
    values: Tensor | None


def read_layers(model: AnyClassifier, images: Sequence[Tensor]) -> Iterator[Layer]:
    """Run a batch of images through the model and compute the weights of one layer at a time.

    Layers over windows or over a grid that is not that of the first layer are left out, and those whose weights are no
    shares, as of sigmoid attention.

    Args:
        model: as `open_model` gives it.
        images: (3, any, any) uint8 each.
    """
    pixels = model.prepare(images).requires_grad_()  # values are kept for gradients only
    with torch.enable_grad(), _note_norms(model.model) as norms, watch(model.model) as seen:
        model(pixels)
    for name in _find_whole(seen):
        with torch.no_grad():
            attention = seen[name]
        if attention.scale is not Scale.DISTRIBUTION:
            continue
        yield Layer(attention, _find_norms(name, seen.names, norms, len(attention.queries)), find_lengths(seen, name))


def find_lengths(seen: Seen, name: str) -> Tensor | None:
    """(batch, keys): the length of each value of a call of a pass with gradients, mean over heads; None: not told."""
    call = seen.attended(name)
    if not isinstance(call, Sloped):
        return None
    try:
        return call.value_norms().detach().float().mean(1)
    except JumokError:  # of weights that a model forms itself, the values are not kept
        return None


def _find_whole(seen: Seen) -> list[str]:
    """The calls in which the patches of whole images look at themselves, all of one grid."""
    found = []
    for name in seen.names:
        call = seen.attended(name)
        queries, keys = seen.axes(name)
        if isinstance(keys, Patches) and queries == keys and call.shape[2:] == (len(keys), len(keys)):
            found.append((name, keys))
    return [name for name, keys in found if keys == found[0][1]]


@contextmanager
def _note_norms(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """By path, the length of each token that a module gave out, (batch, tokens)."""
    norms: dict[str, Tensor] = {}

    def note(path: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            tokens = output[0] if isinstance(output, tuple) and output else output
            if isinstance(tokens, Tensor) and tokens.dim() == 3:
                norms[path] = tokens.detach().float().norm(dim=-1)

        return hook

    handles = [module.register_forward_hook(note(path)) for path, module in model.named_modules() if path]
    try:
        yield norms
    finally:
        for handle in handles:
            handle.remove()


def _find_norms(name: str, names: Sequence[str], norms: dict[str, Tensor], tokens: int) -> Tensor | None:
    """Of the block that a call stands in: the largest module that holds this call and no other."""
    others = [other for other in names if other != name]
    parts = name.split("@")[0].split(".")
    for length in range(1, len(parts)):
        path = ".".join(parts[:length])
        alone = not any(other == path or other.startswith(f"{path}.") for other in others)
        if alone and path in norms and norms[path].shape[1] == tokens:
            return norms[path]
    return None
