"""What methods that go from the last layer to the first share: where they start, and the target's gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from jumok.attention import Axis, Patches, Place, Regions
from jumok.attention.attended import Attended
from jumok.errors import JumokError

__all__ = ["CHOOSE_QUERY", "MEAN", "find_query", "start_row", "take_gradients"]

MEAN = "mean"
"""The query that stands for the average over all tokens that cover pixels (or, in a text, all words)."""


CHOOSE_QUERY = (
    "name the token to start from with query=: an index (0 for the first, such as [CLS] or <s>; -1 for the last), "
    'a patch as (row, column), or "mean"'
)
"""What to do where the token meant is not there."""
CLASS_TOKENS = ("[CLS]", "<s>")
"""What the class token is called among words."""


def start_row(query: Place | None, axis: Axis, batch: int, device: torch.device) -> tuple[Tensor, str]:
    """Where a chain starts: 1 at the query, or even shares over all places.

    Args:
        query: "mean", or as for `find_query`.
        axis: of the tokens.
        batch: how many images or sentences.
        device: of the weights.
    Returns:
        (batch, tokens), and the query's name.
    Raises:
        JumokError: no such token.
    """
    count = len(axis)
    start = torch.zeros(batch, count, device=device)
    if query == MEAN:
        covered = [number for number in range(count) if not _covers_nothing(axis, number)]
        start[:, covered] = 1 / len(covered)
        return start, MEAN
    index = find_query(query, axis)
    start[:, index] = 1
    return start, axis.label(index)


def find_query(query: Place | None, axis: Axis) -> int:
    """The number of the token that a query names.

    Args:
        query: what picks one token of the axis; None: the class token or, where no other is there, the only token.
        axis: of the tokens.
    Raises:
        JumokError: no such token; the message says how to name one.
    """
    if query is None and len(axis) == 1:
        return 0
    try:
        return axis.index(_find_class_token("cls" if query is None else query, axis))
    except JumokError as error:
        raise JumokError(f"{error}; {CHOOSE_QUERY}") from error


def _find_class_token(query: Place, axis: Axis) -> Place:
    """The token meant by "cls": that of an image, [CLS] or <s> of a text.

    Of a model with several, each in a stream of its own, it is the one that is here.
    """
    labels = axis.labels() if query == "cls" else []
    if "cls" in labels or not labels:
        return query
    named = [number for number, label in enumerate(labels) if label.startswith("cls_token_")]
    return named[0] if len(named) == 1 else 0 if labels[0] in CLASS_TOKENS else query


def _covers_nothing(axis: Axis, number: int) -> bool:
    """Whether a token of an image covers no pixels, as cls does."""
    if isinstance(axis, Patches):
        return number < len(axis.special)
    return isinstance(axis, Regions) and axis.boxes[number] is None


def take_gradients(target: Tensor, layers: Sequence[Attended], batch: int) -> list[Tensor | None]:
    """The target's gradient at each layer's traced tensor; None where it does not depend on the layer.

    Args:
        target: one number, or one per image.
        layers: of the chain.
        batch: how many images there are.
    Raises:
        JumokError: a target of another shape, the forward pass kept no gradients, or the target depends on no layer.
    """
    check_target(target, batch)
    traced = [layer.traced for layer in layers]
    if not target.requires_grad or any(tensor is None for tensor in traced):
        raise JumokError(
            "relevance needs gradients and this forward pass kept none: run the model outside torch.no_grad() and "
            "inference_mode, with parameters (or an input) that require gradients, and checkpointing with "
            "use_reentrant=False"
        )
    with needing_graph("relevance"):
        found = torch.autograd.grad(
            target.sum(), [tensor for tensor in traced if tensor is not None], retain_graph=True, allow_unused=True
        )
    if all(gradient is None for gradient in found):
        raise JumokError("the target does not depend on any attention that was seen: compute it from this forward pass")
    return list(found)


@contextmanager
def needing_graph(name: str) -> Iterator[None]:
    """Say what to do where a backward pass has freed the graph that the block needs.

    Args:
        name: of the method.
    """
    try:
        yield
    except RuntimeError as error:
        if "second time" not in str(error) and "freed" not in str(error):
            raise
        raise JumokError(
            f"{name} needs the graph of the forward pass, and it was freed by a backward pass: explain before that, or "
            "keep it with backward(retain_graph=True)"
        ) from error


def check_target(target: Tensor, batch: int) -> None:
    """Refuse a target that is not one number, or one per image.

    Raises:
        JumokError: it is another.
    """
    if target.numel() != 1 and tuple(target.shape) not in ((batch,), (batch, 1)):
        raise JumokError(
            f"the target is one number, or one per image ({batch} here), got shape {tuple(target.shape)}: choose one, "
            "as in logits[:, 207]"
        )
