"""Which part of a network is its head, and in which of its layers each weight lies: what fine-tuning must know."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from jumok.errors import JumokError

__all__ = ["Depths", "find_head", "freeze", "number_layers", "still"]


@contextmanager
def still(model: nn.Module) -> Iterator[None]:
    """Leave a model in eval mode and without gradients for a while; each part is then as it was."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def find_head(model: nn.Module, classes: int, size: tuple[int, int]) -> str | None:
    """The name of the linear layer that the logits come out of; None where there is no such single layer.

    It is told by its output for an image of noise, not by its name.

    Args:
        model: (batch, 3, height, width) -> (batch, classes).
        classes: how many there are.
        size: (height, width) of its images.
    """
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def note(name: str) -> Any:
        return lambda _, inputs, output: seen.__setitem__(name, (inputs[0], output))

    linear = {name: each for name, each in model.named_modules() if isinstance(each, nn.Linear)}
    hooks = [each.register_forward_hook(note(name)) for name, each in linear.items() if each.out_features == classes]
    some = next(model.parameters())
    noise = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0)).to(some)
    try:
        with still(model):
            logits = model(noise)
    finally:
        for hook in hooks:
            hook.remove()
    fits = (name for name, (given, said) in seen.items() if given.ndim == 2 and torch.equal(said, logits))
    return next(fits, None)


@dataclass(frozen=True)
class Depths:
    """How deep each weight of a network lies.

    Args:
        of: by name: 0 before the first layer, 1 in the first layer, ..., layers + 1 behind the last one.
        layers: how many there are.
    """

    of: dict[str, int]
    layers: int


def number_layers(model: nn.Module) -> Depths:
    """Number the layers of a network: the members of its outermost lists of modules of one class, in their order.

    These are the blocks of a transformer, or the stages of a network in stages. A weight between two of them counts to
    the one before it.
    """
    layers = list(_find_layers(model, ""))
    home = {name: next((n for n, layer in enumerate(layers, 1) if name.startswith(layer + ".")), None)
            for name, _ in model.named_parameters()}  # fmt: skip
    depth, of = 0, {}
    for name, layer in home.items():
        depth = layer or depth
        of[name] = len(layers) + 1 if layer is None and depth == len(layers) else depth
    return Depths(of, len(layers))


def _find_layers(module: nn.Module, name: str) -> Iterator[str]:
    children = list(module.named_children())
    kinds = {type(child) for _, child in children}
    alike = len(children) > 1 and len(kinds) == 1 and isinstance(module, nn.ModuleList | nn.Sequential)
    if alike and all(any(True for _ in child.parameters()) for _, child in children):
        yield from (f"{name}{key}" for key, _ in children)
        return
    yield from itertools.chain.from_iterable(_find_layers(child, f"{name}{key}.") for key, child in children)


def freeze(model: nn.Module, what: str, head: str | None) -> list[nn.Module]:
    """Keep weights as they are: all but the head's, or those of the first layers and what lies before them.

    Args:
        model: whose.
        what: "none", "backbone" or a number of layers.
        head: the name of the head.
    Returns:
        the modules that hold frozen weights alone, which should stay in eval mode.
    Raises:
        JumokError: the model has no head of its own or fewer layers.
    """
    if what == "none":
        return []
    if what == "backbone":
        if head is None:
            raise JumokError(
                "--freeze backbone: the logits of this model do not come out of one linear layer, so nothing tells "
                "where its head begins; use --freeze with a number of layers, or --freeze none"
            )
        learnt = {f"{head}.{name}" for name, _ in model.get_submodule(head).named_parameters()}
        frozen = {name for name, _ in model.named_parameters()} - learnt
    else:
        depths, most = number_layers(model), int(what)
        if most > depths.layers:
            raise JumokError(f"--freeze {what}: this model has {depths.layers} layers")
        frozen = {name for name, depth in depths.of.items() if depth <= most}
    for name, value in model.named_parameters():
        value.requires_grad_(name not in frozen)
    return [
        module
        for module in model.modules()
        if (values := list(module.parameters())) and not any(value.requires_grad for value in values)
    ]
