"""Which places of an image, or of a text, the tokens of a recorded call stand for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from jumok.attention import Axis, Patches, Tokens
from jumok.errors import JumokError

# Parameters that models put in front of the patches, in the order in which they stand there.
SPECIAL_PARAMETERS = {
    "cls_token": "cls",
    "class_token": "cls",
    "class_embedding": "cls",
    "cls_embed": "cls",
    "dist_token": "dist",
    "distillation_token": "dist",
    "register_tokens": "reg",
    "reg_token": "reg",
    "reg_tokens": "reg",
    "storage_tokens": "reg",
}
SPECIAL_ORDER = ("cls", "dist", "reg")


@dataclass(frozen=True)
class Grid:
    """What a convolution made of an image: pixels (or features) in, places out."""

    height: int
    width: int
    rows: int
    columns: int


@dataclass(frozen=True)
class Special:
    """Tokens that cover no pixels: where their parameter lives, their kind, how many they are."""

    module: str
    kind: str
    count: int

    def names(self) -> tuple[str, ...]:
        """One name per token: cls, dist, reg1, reg2, ..."""
        if self.kind == "reg":
            return tuple(f"reg{number}" for number in range(1, self.count + 1))
        return (self.kind,)


def find_specials(modules: Mapping[str, nn.Module]) -> list[Special]:
    """The special tokens that the parameters of a model's modules, by path, tell of."""
    found = []
    for path, module in modules.items():
        for name, parameter in module._parameters.items():
            if name in SPECIAL_PARAMETERS and parameter is not None:
                count = parameter.shape[-2] if parameter.dim() >= 2 else 1
                found.append(Special(path, SPECIAL_PARAMETERS[name], count))
    return found


def name_specials(specials: Iterable[Special], module: str) -> tuple[str, ...]:
    """The names of the special tokens of the tower that `module` stands in."""
    specials = list(specials)
    depth = max((_count_shared_parts(s.module, module) for s in specials), default=0)
    near = [s for s in specials if _count_shared_parts(s.module, module) == depth]
    names: list[str] = []
    for special in sorted(near, key=lambda s: SPECIAL_ORDER.index(s.kind)):
        names += [name for name in special.names() if name not in names]
    return tuple(names)


def _count_shared_parts(one: str, other: str) -> int:
    """How many leading parts two module paths share."""
    depth = 0
    for left, right in zip(one.split("."), other.split("."), strict=False):
        if left != right or not left:
            break
        depth += 1
    return depth


def find_image_axis(count: int, grids: Sequence[Grid], specials: tuple[str, ...]) -> Patches | None:
    """The patches that `count` tokens are, if some grid and a plausible number of special tokens add up to them.

    The last grid that fits is taken: a stem of convolutions ends with the one whose places become tokens.
    """
    for grid in reversed(grids):
        front = _name_rest(count - grid.rows * grid.columns, specials)
        if front is not None:
            return Patches(grid.rows, grid.columns, special=front)
    return None


def find_square_patches(count: int, height: int, width: int, specials: tuple[str, ...]) -> Patches | None:
    """As `find_image_axis`, for square patches that a linear layer embeds: no convolution tells the grid."""
    fitting = set()
    for side in range(1, min(height, width) + 1):
        if height % side == 0 and width % side == 0:
            front = _name_rest(count - (height // side) * (width // side), specials)
            if front is not None:
                fitting.add(Patches(height // side, width // side, special=front))
    named = [patches for patches in fitting if patches.special == specials]
    if len(named) == 1:
        return named[0]
    return fitting.pop() if len(fitting) == 1 else None


def _name_rest(rest: int, specials: tuple[str, ...]) -> tuple[str, ...] | None:
    """Names for `rest` tokens in front of the patches; None if that many cannot be explained."""
    if rest == len(specials):
        return specials
    if rest == 0:
        return ()
    if rest == 1:
        return ("cls",) if not specials or "cls" in specials else (specials[0],)
    return None


def explain_mismatch(count: int, grids: Sequence[Grid], specials: tuple[str, ...], source: str) -> JumokError:
    """Say which numbers do not fit and how to pass them."""
    sizes = list(dict.fromkeys(f"{g.rows} x {g.columns} = {g.rows * g.columns}" for g in grids[-3:]))
    known = f" and {len(specials)} special ({', '.join(specials)})" if specials else ""
    return JumokError(
        f"{source}: {count} tokens do not fit the places that were seen ({'; '.join(sizes) or 'none'}{known}): "
        "pass them with watch(model, tokens=Patches(rows, columns, special=(...)))"
    )


def make_text_axis(count: int, words: Sequence[str] | None) -> Axis:
    """Words where they are known and fit, else numbers."""
    return Tokens(tuple(words)) if words is not None and len(words) == count else Tokens.numbered(count)
