"""What the queries and keys of a recorded call stand for: as its mechanism said it, or found from the input."""

from __future__ import annotations

from collections.abc import Sequence

from jumok.attention import Axis, Patches, Tokens
from jumok.errors import JumokError
from jumok.watching.calls import Call
from jumok.watching.token_grid import (
    Special,
    explain_mismatch,
    find_image_axis,
    find_square_patches,
    make_text_axis,
    name_specials,
)


class CallAxes:
    """Finds the axes of calls.

    Args:
        specials: the model's tokens that cover no pixels.
        known: what the tokens stand for, where the user said it.
    """

    def __init__(self, specials: Sequence[Special], known: Sequence[Axis]) -> None:
        self._specials, self._known = specials, known

    def lead(self, call: Call) -> tuple[str, ...]:
        """The names of a call's axes in front."""
        batch = ("batch", "window") if _count_windows(call) > 1 else ("batch",)
        return (*batch, "head") if call.rank >= 4 else batch

    def lead_sizes(self, call: Call) -> tuple[int, ...]:
        """Their sizes."""
        batch, heads, *_ = call.attended.shape
        windows = _count_windows(call)
        sizes = (batch // windows, windows) if windows > 1 else (batch,)
        return (*sizes, heads) if call.rank >= 4 else sizes

    def of(self, call: Call) -> tuple[Axis, Axis]:
        """Queries and keys.

        Raises:
            JumokError: each image has keys of its own, or the tokens fit no grid that was seen.
        """
        if call.axes is not None:
            said, seen = call.axes
            if isinstance(seen, tuple):
                if len(seen) > 1:
                    raise JumokError("each image has keys of its own here: choose one with seen.of_image(name, batch)")
                (seen,) = seen
            return said, seen
        queries, keys = call.attended.shape[2:]
        if queries == keys:
            axis = self._axis(call, queries)
            return axis, axis
        return self._axis(call, queries, strict=False), self._axis(call, keys, strict=False)

    def words(self, count: int) -> Axis:
        """So many tokens that are known to be no places, even where a grid would fit them."""
        known = (axis for axis in self._known if len(axis) == count and not axis.in_image)
        return next(known, make_text_axis(count, None))

    def places(self, call: Call, count: int) -> Axis:
        """So many tokens that are known to be no words, even where the words that were said would fit them."""
        known = (axis for axis in self._known if len(axis) == count and axis.in_image)
        return next(known, None) or self._found(call, count) or make_text_axis(count, None)

    def _axis(self, call: Call, count: int, *, strict: bool = True) -> Axis:
        for axis in self._known:
            if len(axis) == count:
                return axis
        patches = self._found(call, count)
        if patches is not None:
            return patches
        is_image = bool(call.grids) and not call.text
        pooled = any(count < grid.rows * grid.columns for grid in call.grids)  # fewer than the patches: no grid to find
        if strict and is_image and not pooled:
            names = name_specials(self._specials, call.module)
            raise explain_mismatch(count, call.grids, names, call.module or "the model")
        return make_text_axis(count, None)

    def _found(self, call: Call, count: int) -> Patches | None:
        """The grid of what was seen that so many tokens are."""
        names = name_specials(self._specials, call.module)
        patches = find_image_axis(count, call.grids, names) if _count_windows(call) == 1 else None
        if patches is None and call.pixels is not None:
            return find_square_patches(count, *call.pixels, names)
        return patches


def find_known_axes(tokens: Axis | Sequence[str] | None) -> list[Axis]:
    """What the user said that tokens stand for.

    Raises:
        JumokError: words as one string.
    """
    if tokens is None:
        return []
    if isinstance(tokens, str):
        raise JumokError(f"tokens is an axis or a sequence of words, got the one string {tokens!r}: split it")
    return [tokens] if isinstance(tokens, Axis) else [Tokens(tuple(tokens))]


def take_first(keys: Axis | tuple[Axis, ...]) -> Axis:
    """The keys of all images, or those of the first where each has its own."""
    return keys[0] if isinstance(keys, tuple) else keys


def words_axis(words: Sequence[str], count: int, side: str) -> Axis:
    """Words for so many tokens.

    Raises:
        JumokError: they are one string, or not as many.
    """
    if isinstance(words, str):
        raise JumokError(f"the {side} words are a sequence, got the one string {words!r}: split it first")
    if len(words) != count:
        raise JumokError(f"got {len(words)} {side} words for {count} {side} tokens: give one word for each")
    return Tokens(tuple(words))


def _count_windows(call: Call) -> int:
    """How many windows each image was cut into: a multiple of the input's batch came to the call.

    Once a text was seen beside the image, such a multiple is the hypotheses of a caption.
    """
    batch = call.attended.shape[0]
    if call.axes is not None:
        return 1
    return batch // call.batch if call.batch and call.grids and not call.text and batch % call.batch == 0 else 1
