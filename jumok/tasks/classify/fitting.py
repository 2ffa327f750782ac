"""Which methods can tell where a model looked, by what was seen of a pass."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from jumok.attention import Patches
from jumok.errors import JumokError
from jumok.watching.seen import MEAN, Seen

__all__ = ["OF_PIXELS", "TOKEN_METHODS", "find_fitting", "find_main_query"]

NOTHING = (
    "no attention call was seen, and no feature map that carries a gradient: nothing tells where this model looked "
    "(where a fused kernel of its own hides attention, choose the model's `sdpa` or `eager` attention)"
)
TOKEN_METHODS = ("chefer", "rollout", "raw")
OF_PIXELS = ("libra", "lrp", "input-x-gradient")
"""Those that follow gradients to the pixels, of any model."""


def find_fitting(seen: Seen, target: Tensor | None = None) -> tuple[str, ...]:
    """The quick methods that can tell where this model looked, the most telling first.

    Args:
        seen: of a pass.
        target: of that pass; with gradients, methods that follow them to the pixels are among those found.
    Raises:
        JumokError: there is none; the message says why.
    """
    placed, traced = seen.in_image(), target is not None and target.requires_grad
    followed, of_one_layer, why = _find_token_methods(seen)
    found = [*followed, *(["legrad"] if followed and traced else []), *(["attention"] if placed else [])]
    # Where a model cuts its glimpses or its window out of the image, feature maps lie in what was cut out.
    if all(isinstance(seen.axes(name)[1], Patches) for name in placed):
        try:
            seen.feature_map()
            found.append("grad-cam")
        except JumokError as error:
            why = f"{why}; and {error}"
    found += of_one_layer
    if traced and not placed:
        found += OF_PIXELS
    if not found:
        raise JumokError(why if len(seen) else NOTHING)
    return tuple(found)


def _find_token_methods(seen: Seen) -> tuple[Sequence[str], Sequence[str], str]:
    """Methods that follow tokens to the image, those that read one layer instead, and why there are none of either."""
    try:
        find_main_query(seen)
    except JumokError as error:
        return (), (), str(error)
    try:
        seen.flow()
    except JumokError:
        return (), ("raw",), ""  # between the layers tokens are mixed by something that is not seen
    return TOKEN_METHODS, (), ""


def find_main_query(seen: Seen) -> str:
    """The query that a class is read off: the `cls` token where there is one, else the mean over the patches."""
    axis = seen.queries
    if not isinstance(axis, Patches):
        raise JumokError(f"{seen.names[0]} attends over {type(axis).__name__}, not over the patches of an image")
    return "cls" if "cls" in axis.special else MEAN
