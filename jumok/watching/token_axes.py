"""What the tokens of a call are called: patches of an image, words, learnt tokens, or numbers and a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from jumok.attention import Axis, Patches, Regions, Tokens
from jumok.watching import numbered_axes
from jumok.watching.image_axes import APART, has_pictures, lie_apart, name_with_images
from jumok.watching.provenance.identities import Identities
from jumok.watching.provenance.origins import (
    CONSTANT_SOURCE,
    FOREIGN,
    IMAGE,
    LEARNT_SOURCE,
    PLAIN,
    SERIES,
    TEXT,
    UNORDERED,
    Block,
    Origin,
    Source,
)
from jumok.watching.provenance.residuals import are_passed

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
"""Names of parameters that models put beside the patches."""
NOTHING = "constant"
"""What a token is called that comes from no input."""
ROUNDED = 1
"""Pixels by which cells of a grid may overlap or differ, as those of a resized image do."""
SEVERAL = "each image of the batch, or each window, has places of its own here: see seen.of_image or seen.of_window"


def name_tokens(known: Identities, rows: Tensor, words: Sequence[Axis] = ()) -> Axis:
    """The axis of tokens.

    Args:
        known: the table of identities.
        rows: (slices, tokens) of identities, of images or of windows.
        words: what the user said that tokens stand for.
    """
    count = rows.shape[-1]
    if (source := _find_steps_first(known, rows)) is not None:
        fitting = (axis for axis in words if len(axis) == count and not source.why and _may_be(known, rows, axis))
        return next(fitting, number_tokens(count, source.why))
    different = _find_different(known, rows)
    axes = {_name_row(known, row) for row in different}
    if len(axes) > 1:
        found: Axis = Tokens(_numbers(count), SEVERAL)
        said = next((axis for axis in words if len(axis) == count and _may_be(known, rows, axis)), None)
    else:
        found = axes.pop()
        laid = (numbered_axes.lay_words(known, different, axis) for axis in words if _may_be(known, rows, axis))
        said = next((axis for axis in laid if axis is not None), None)
    return found if said is None else said


def _find_steps_first(known: Identities, rows: Tensor) -> Source | None:
    """The input, if it has its steps before the items of the batch, as PyTorch's modules take it by default."""
    origin = known.origin(rows.reshape(-1))
    sources = origin.source.unique().tolist()
    source = known.sources[sources[0]] if len(sources) == 1 and sources[0] >= 0 else None
    if source is None or source.kind not in (TEXT, PLAIN) or source.dims != (rows.shape[1], rows.shape[0], 1, 1):
        return None
    item, step = torch.arange(rows.shape[0]), torch.arange(rows.shape[1])
    numbered = torch.equal(origin.low[:, 0], item.repeat_interleave(len(step)))
    return source if numbered and torch.equal(origin.item, step.repeat(len(item))) else None


def name_each(known: Identities, rows: Tensor) -> list[Axis]:
    """The axis of each slice's tokens."""
    return [_name_row(known, row) for row in rows]


def is_mixed(axis: Axis) -> bool:
    """Whether the slices of a call differ in what their tokens are."""
    return isinstance(axis, Tokens) and axis.why == SEVERAL


def are_constant(known: Identities, rows: Tensor) -> bool:
    """Whether no row is a token: neither of an input, nor learnt, nor gathered from such."""
    flat = rows.reshape(-1)
    constant = known.origin(flat).source == CONSTANT_SOURCE
    return bool(constant.all()) and not bool(known.is_attended(flat).any())


def kind_of(known: Identities, row: Tensor) -> str:
    """Of which kind of input the tokens are: of the first that are of any; "" where they are of none."""
    source = known.origin(row).source
    there = source[source >= 0]
    return known.sources[int(there[0])].kind if len(there) else ""


def _find_different(known: Identities, rows: Tensor) -> Tensor:
    """One of each kind of rows, items of the batch left aside."""
    if len(rows) == 1:
        return rows
    origin = known.origin(rows.reshape(-1))
    columns = [origin.source, *origin.low.T, *origin.high.T]
    if has_pictures(known, origin):  # each item has places of its own
        pictured = torch.isin(origin.source, torch.tensor(list(known.pictures)))
        columns.append(torch.where(pictured, origin.item, 0))
    places = torch.stack(columns, -1).view(len(rows), -1)
    if bool((places == places[:1]).all()):
        return rows[:1]
    _, inverse = places.unique(dim=0, return_inverse=True)
    first = [int((inverse == number).int().argmax()) for number in range(int(inverse.max()) + 1)]
    return rows[first[:2]]


def _may_be(known: Identities, rows: Tensor, axis: Axis) -> bool:
    """Whether what the user said can be meant for these tokens."""
    kind = kind_of(known, rows.reshape(-1))
    return kind in ((IMAGE, PLAIN, FOREIGN, "") if axis.in_image else (TEXT, PLAIN, FOREIGN, "", SERIES))


def _name_row(known: Identities, row: Tensor) -> Axis:
    count = len(row)
    if bool(known.is_lost(row).any()):
        return Tokens(_numbers(count), f"lost: {'; '.join(known.notes(row, 'lost'))}")
    return _name_origins(known, row, numbered_axes.find_given(known, row))


def _name_origins(known: Identities, row: Tensor, origin: Origin) -> Axis:
    """The axis of tokens none of which is lost."""
    count = len(row)
    learnt = (origin.source == LEARNT_SOURCE) | (origin.source == CONSTANT_SOURCE) | (origin.source == -1)
    places = origin.source >= 0
    if not bool((learnt | places).all()):
        return Tokens(_numbers(count), "some tokens are made from several inputs")
    names = _name_learnt(known, row, origin, learnt)
    if not bool(places.any()):
        return Tokens(tuple(names[n] or str(n) for n in range(count)), _explain_constants(names))
    if has_pictures(known, origin) and (pictured := name_with_images(known, origin, names, places)) is not None:
        return pictured
    sources = origin.source[places].unique()
    if len(sources) > 1:
        return _name_several_inputs(known, origin, names, places)
    source = known.sources[int(sources[0])]
    if source.kind in (IMAGE, FOREIGN) and source.dims[2] * source.dims[3] > 1:
        return _name_places(known, origin, names, places, source)
    if source.dims[3] > 1 and source.kind == SERIES:
        corners = zip(range(count), origin.low[:, 1].tolist(), origin.low[:, 2].tolist(), strict=True)
        return Tokens(tuple(names[n] or f"{top},{left}" for n, top, left in corners))
    if source.kind == FOREIGN:
        return Tokens(_numbers(count), source.why)
    why = _explain_constants(names)
    if source.kind in (TEXT, PLAIN):
        why = why or (UNORDERED if source.why == UNORDERED else "")
        return numbered_axes.number_by_place(origin, names, places, source, why)
    numbers = iter(_numbers(count))
    return Tokens(tuple(name or next(numbers) for name in names), why)


def _explain_constants(names: Sequence[str]) -> str:
    """What is to be said of tokens that come from nothing."""
    return numbered_axes.CONSTANT if NOTHING in names else ""


def _name_several_inputs(known: Identities, origin: Origin, names: Sequence[str], places: Tensor) -> Axis:
    """The axis of tokens of which some come from one input and some from others."""
    kinds = {known.sources[int(source)].kind for source in origin.source[places].unique()}
    picture = _find_picture(known, origin, places)
    if picture is not None and not lie_apart(origin, picture[0]):
        return _name_places_between(origin, names, *picture)
    if kinds == {TEXT}:
        return Tokens(tuple(name or str(n) for n, name in enumerate(names)), _explain_constants(names))
    labels = _label_inputs(known, origin, names, places)
    why = "tokens of several inputs"
    return name_with_images(known, origin, labels, places, why) or Tokens(labels, why)


def _find_picture(known: Identities, origin: Origin, places: Tensor) -> tuple[Tensor, Source] | None:
    """The places of the one image among tokens of several inputs, as of a text with an image in it."""
    numbers = origin.source[places].unique().tolist()
    images = [number for number in numbers if known.sources[number].kind == IMAGE]
    if len(images) != 1 or any(known.sources[number].kind not in (IMAGE, TEXT, PLAIN) for number in numbers):
        return None
    source = known.sources[images[0]]
    inside = origin.source == images[0]
    alone = len(origin.item[inside].unique()) == 1 and source.dims[1] == 1
    return (inside, source) if alone and source.dims[2] * source.dims[3] > 1 else None


def _name_places_between(origin: Origin, names: Sequence[str], inside: Tensor, source: Source) -> Regions:
    """Places of an image between other tokens, which have the numbers at which they stand."""
    count = len(names)
    labels = [name or str(number) for number, name in enumerate(names)]
    boxes = tuple(
        (*origin.low[n, 1:].tolist(), *origin.high[n, 1:].tolist()) if inside[n] else None for n in range(count)
    )
    return Regions(boxes, _label_regions(origin.low[inside, 1:], inside, labels), *source.dims[2:])


def _numbers(count: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(count))


def _name_learnt(known: Identities, row: Tensor, origin: Origin, learnt: Tensor) -> list[str]:
    """Names of learnt tokens, "" for others."""
    names = [""] * len(row)
    for place in learnt.nonzero()[:, 0].tolist():
        identity = int(origin.low[place, 0]) if int(origin.source[place]) == LEARNT_SOURCE else int(row[place])
        if int(origin.source[place]) == CONSTANT_SOURCE:
            names[place] = _name_gathered(known, identity)
        else:
            found = _find_learnt(known, identity)
            names[place] = NOTHING if found is None else name_parameter(*found)
    return names


def _name_gathered(known: Identities, identity: int) -> str:
    """What a token is called that comes from no input, by the first call that made it.

    It is gathered from others where nothing was there before, as by learnt scores for each of several tokens.
    """
    name = NOTHING
    while (block := _find_attended(known, identity)) is not None:
        passed = bool(are_passed(known, torch.tensor([identity])).any())
        name = NOTHING if passed else f"gathered{(identity - block.start) % block.each + 1}"
        identity = int(known.base(torch.tensor([identity])))
    return name


def _find_attended(known: Identities, identity: int) -> Block | None:
    inside = (block for block in known.blocks if block.start <= identity < block.start + block.count)
    return next((block for block in inside if block.kind == "attended"), None)


def _find_learnt(known: Identities, identity: int) -> tuple[str, int, int] | None:
    """The parameter of a learnt token, its row there and how many rows there are; None: not learnt."""
    for block in known.blocks:
        if block.kind == "learnt" and block.start <= identity < block.start + block.count:
            return block.note, identity - block.start, block.count
    return None


def name_parameter(path: str, number: int, count: int) -> str:
    """What a row of a parameter is called as a token."""
    last = path.rpartition(".")[2]
    name = SPECIAL_PARAMETERS.get(last)
    if name is None:
        name = "learnt" if last == "weight" else last.removesuffix("_tokens").removesuffix("_token")
        return f"{name}{number + 1}" if count > 1 else name
    return f"{name}{number + 1}" if name == "reg" else name


def _name_places(known: Identities, origin: Origin, names: Sequence[str], places: Tensor, source: Source) -> Axis:
    """Patches where the places are a grid, row by row behind the rest; else regions, or moments of a video."""
    item = origin.item[places]
    count = len(places)
    if bool((item != item[0]).any()) or bool((item < 0).any()):
        return _name_images(known, origin, names, places, source)
    low, high = origin.low[places], origin.high[places]
    if lie_apart(origin, places):
        return Tokens(tuple(name or str(number) for number, name in enumerate(names)), APART)
    if source.dims[1] > 1:
        return Tokens(tuple(_label_moment(names[n], origin, n) for n in range(count)))
    grid = _find_grid(low[:, 1:], high[:, 1:], source.dims[2:])
    front = int((~places).sum())
    if grid is not None and bool(places[front:].all()):
        return Patches(*grid, special=tuple(names[:front]))
    boxes = tuple(
        (*origin.low[n, 1:].tolist(), *origin.high[n, 1:].tolist()) if places[n] else None for n in range(count)
    )
    labels = _label_regions(low[:, 1:], places, names)
    return Regions(boxes, labels, *source.dims[2:])


def _label_inputs(known: Identities, origin: Origin, names: Sequence[str], places: Tensor) -> tuple[str, ...]:
    """Words by the number at which they stand, places of images by their edges, rows of other inputs by theirs."""
    labels = []
    for number, (name, there) in enumerate(zip(names, places.tolist(), strict=True)):
        source = known.sources[int(origin.source[number])] if there else None
        time, top, left = origin.low[number].tolist()
        if source is None or source.kind == TEXT:
            labels.append(name or str(number))
        elif source.kind == IMAGE:
            labels.append(f"{int(origin.item[number])}:{time},{top},{left}")
        else:
            _, _, rows, columns = source.dims
            first = (time * rows + top) * columns + left
            last = int(
                ((origin.high[number, 0] - 1) * rows + origin.high[number, 1] - 1) * columns
                + origin.high[number, 2]
                - 1
            )
            span = str(first) if last <= first else f"{first}-{last}"
            labels.append(f"input{int(origin.source[number]) + 1}:{span}")
    return tuple(labels)


def _name_images(known: Identities, origin: Origin, names: Sequence[str], places: Tensor, source: Source) -> Tokens:
    """Places of several images in one sequence: of each, the number of its image, its top and its left edge."""
    labels = []
    for number, (name, there) in enumerate(zip(names, places.tolist(), strict=True)):
        _, top, left = origin.low[number].tolist()
        labels.append(f"{int(origin.item[number])}:{top},{left}" if there else name or str(number))
    single = source.dims[1] == 1 and not bool((origin.item[places] < 0).any())
    if not single:
        return Tokens(_numbers(len(names)), "tokens of several images")
    found = name_with_images(known, origin, labels, places, "tokens of several images")
    return found if isinstance(found, Tokens) else Tokens(tuple(labels), "tokens of several images")


def _label_moment(name: str, origin: Origin, place: int) -> str:
    time, top, left = origin.low[place].tolist()
    return name or f"{time}:{top},{left}"


def _label_regions(low: Tensor, places: Tensor, names: Sequence[str]) -> tuple[str, ...]:
    """As patches are labelled, by row and column, where the places' corners make rows and columns."""
    rows, columns = (low[:, axis].unique(return_inverse=True)[1].tolist() for axis in (0, 1))
    cells = iter(zip(rows, columns, strict=True))
    labels = [
        "{},{}".format(*next(cells)) if there else name for there, name in zip(places.tolist(), names, strict=True)
    ]
    return tuple(numbered_axes.tell_apart(labels, places.nonzero()[:, 0].tolist()))


def _find_grid(low: Tensor, high: Tensor, size: tuple[int, int]) -> tuple[int, int] | None:
    """Rows and columns, if the places are all cells of a grid over the whole image, row by row."""
    tops, lefts = low[:, 0].unique(), low[:, 1].unique()
    rows, columns = len(tops), len(lefts)
    if rows * columns != len(low):
        return None
    wanted = torch.stack([tops.repeat_interleave(columns), lefts.repeat(rows)], 1)
    if not torch.equal(low, wanted):
        return None
    cell = high[0] - low[0]
    for axis, gaps in enumerate((tops.diff(), lefts.diff())):
        if len(gaps) and (int(cell[axis] - gaps[0]) > ROUNDED or int(gaps.max() - gaps.min()) > ROUNDED):
            return None  # they overlap, or differ in size
    reach = high.amax(0)
    whole = all(int(reach[axis]) > size[axis] - max(int(cell[axis]), 1) for axis in (0, 1))
    return (rows, columns) if whole and int(low.amin()) == 0 else None


def number_tokens(count: int, why: str = "") -> Tokens:
    """Tokens of which only the number is known."""
    return Tokens(_numbers(count), why)


def make_names(modules: Mapping[str, torch.nn.Module]) -> dict[int, str]:
    """The names of parameters, by their id."""
    return {
        id(parameter): f"{path}.{name}" if path else name
        for path, module in modules.items()
        for name, parameter in module._parameters.items()
        if parameter is not None
    }
