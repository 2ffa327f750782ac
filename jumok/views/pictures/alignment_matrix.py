"""Alignments as pictures: target words down, source words across, and how much each target word looks at each.

Colours are linear in the raw weights, from white at 0 to dark at 1, so that pictures can be held beside each other;
nothing is clipped. Gold links are outlined.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jumok.attention import AttentionMap, Axis, Scale
from jumok.attention.colour_range import EVEN, find_colour_end
from jumok.attention.word_alignment import Gold
from jumok.errors import JumokError
from jumok.language import later
from jumok.views.palette import DIVERGING, FAINT_LINE, GOLD_LINK, INK, PALE, QUIET
from jumok.views.pictures.colour_scale import (
    ALIGNMENT,
    PLAIN,
    Look,
    Scaling,
    name_with_unit,
    tell_around_zero,
    tell_from_zero,
)
from jumok.views.pictures.drawn_texts import translate, wrap
from jumok.views.pictures.figures import (
    CENTRED,
    check_picture_path,
    make_visible,
    new_figure,
    place_axes,
    save_figure,
    set_fonts,
    shorten,
)
from jumok.views.raster import Numbers, is_signed
from jumok.wording import count_columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_WORDS, MOST_MAPS = 300, 64
LONGEST_WORD = 18  # widths of a letter; Korean ones take two
LARGEST_CELL, SMALLEST_CELL = 0.44, 0.145  # inches
LONGER_SIDE_INCHES = 7.2  # inches that the longer side of one map takes while cells are not at their bounds
WIDTH_INCHES = 15.0  # inches for small multiples beside each other
SMALL_CELL, LABELLED_CELL = 0.26, 0.095  # of small multiples: the largest, and the least that words fit beside
MOST_NUMBERED = 14  # up to so many words a side, cells hold their weights
TRANSLATED = later("target words down, source words across")
OF_ONE_TEXT = later("query words down, key words across, both of one text")
LETTER_ASPECT = 0.56  # width of a letter, in heights


def draw_alignment(
    attention: AttentionMap,
    path: str | os.PathLike[str],
    *,
    title: str = "",
    subtitle: str = "",
    gold: Gold | None = None,
    look: Look = PLAIN,
    sides: str = TRANSLATED,
) -> None:
    """Draw one alignment with its words; up to 14 words a side, the weights stand in the cells.

    Args:
        attention: (target words, source words), no leading axes; at most 300 words a side.
        path: of a .png, .svg or .pdf file; its folder is made if it is missing.
        title, subtitle: lines above the picture; any text.
        gold: links to outline: sure ones solid, possible ones dashed.
        look: bounds and colours.
        sides: what the caption says of the words, `TRANSLATED` or `OF_ONE_TEXT`.
    Raises:
        JumokError: another kind of file, leading axes, a look that cannot be had, too many words, a gold link outside
            the map, or a file that cannot be written.
    """
    _check({"the map": attention}, path, gold)
    targets, sources = attention.weights.shape
    cell = min(max(LONGER_SIDE_INCHES / max(targets, sources), SMALLEST_CELL), LARGEST_CELL)
    shades = _choose_shades([attention], look)
    figure = new_figure(cell * sources, cell * targets)
    axes = place_axes(figure, 0, 0, cell * sources, cell * targets)
    _draw_cells(axes, attention, shades, cell, gold)
    _write_words(axes, attention, cell)
    if max(targets, sources) <= MOST_NUMBERED:
        _write_weights(axes, attention.weights.numpy(force=True), shades)
    _finish(figure, shades, gold, Path(path), title, subtitle, sides=sides)


def draw_alignments(
    maps: Mapping[str, AttentionMap],
    path: str | os.PathLike[str],
    *,
    title: str = "",
    subtitle: str = "",
    gold: Gold | None = None,
) -> None:
    """Draw several alignments of one sentence pair, such as all heads, small beside each other and on one scale.

    Args:
        maps: by name, each (target words, source words) with the same words; at most 64.
        path, title, subtitle, gold: as for `draw_alignment`.
    Raises:
        JumokError: as `draw_alignment`, no map or too many, or maps of other words.
    """
    _check(maps, path, gold)
    first = next(iter(maps.values()))
    targets, sources = first.weights.shape
    columns = min(len(maps), 4) if len(maps) != 9 else 3
    cell = min(WIDTH_INCHES / (columns * sources), SMALL_CELL)
    across, down = max(cell * sources, 1.1) + 0.18, max(cell * targets, 0.3) + 0.42
    rows = math.ceil(len(maps) / columns)
    figure, shades = new_figure(columns * across - 0.18, rows * down), _choose_shades(list(maps.values()))
    for place, (name, each) in enumerate(maps.items()):
        row, column = divmod(place, columns)
        axes = place_axes(figure, column * across, row * down, cell * sources, cell * targets)
        _draw_cells(axes, each, shades, cell, gold)
        if cell >= LABELLED_CELL:
            _write_words(axes, each, cell, source=row == 0, target=column == 0)
        fitting = max(6, round(across / (9 * LETTER_ASPECT / 72)))
        axes.set_xlabel(shorten(name, fitting), size=9, color=INK, labelpad=5, loc="left")
    note = "" if cell >= LABELLED_CELL else translate("Too small for words: draw one map alone to read them.")
    _finish(figure, shades, gold, Path(path), title, subtitle, note)


def _check(maps: Mapping[str, AttentionMap], path: str | os.PathLike[str], gold: Gold | None) -> None:
    check_picture_path(path)
    if not 1 <= len(maps) <= MOST_MAPS:
        raise JumokError(f"a picture shows 1 to {MOST_MAPS} maps, got {len(maps)}: choose some")
    first = next(iter(maps.values()))
    for name, each in maps.items():
        if each.lead:
            raise JumokError(f"{name} also has {each.lead}, and an alignment is (target, source): choose with .at")
        if _list_words(each) != _list_words(first):
            raise JumokError(f"{name} has other words than the first map: a picture shows maps of one sentence pair")
    if max(first.weights.shape) > MOST_WORDS:
        size = " x ".join(map(str, first.weights.shape))
        raise JumokError(f"a picture shows up to {MOST_WORDS} words a side, got {size}: use the page instead")
    targets, sources = first.weights.shape
    for source, target in () if gold is None else (*gold.sure, *gold.possible):
        if not (0 <= source < sources and 0 <= target < targets):
            raise JumokError(
                f"a gold link joins source word {source} and target word {target}, outside the {sources} source and "
                f"{targets} target words"
            )


def _list_words(attention: AttentionMap) -> tuple[list[str], list[str]]:
    return attention.queries.labels(), attention.keys.labels()


# -- colours --------------------------------------------------------------------------------------


def _choose_shades(maps: Sequence[AttentionMap], look: Look = PLAIN) -> Scaling:
    """The one scaling for all of the maps: from 0 to 1 for weights that may be no larger."""
    drawn = np.concatenate([each.weights.numpy(force=True).ravel() for each in maps])
    top = float(np.abs(drawn).max()) or 1.0
    unit = maps[0].unit
    if any(is_signed(each) for each in maps):
        what = name_with_unit(translate("raw scores"), unit)
        return Scaling(-top, top, DIVERGING, what, tell_around_zero(top)).adapt(look, drawn)
    bounded = all(each.scale in (Scale.DISTRIBUTION, Scale.GATE, Scale.MASK) for each in maps) and top <= 1.001
    end, even = (1.0, False) if bounded else find_colour_end(top, float(drawn.mean()), drawn.size)
    said = f"{end:.3g}"
    if even:
        said = translate("{times} times the mean, {end}", times=f"{EVEN:g}", end=said)
    elif end != 1:
        said = translate("the largest, {top}", top=said)
    what = name_with_unit(translate("raw weights"), unit)
    scaling = Scaling(0, end, ALIGNMENT, what, tell_from_zero(said))
    return scaling.adapt(look, drawn)


# -- one map --------------------------------------------------------------------------------------


def _draw_cells(axes: Axes, attention: AttentionMap, shades: Scaling, cell: float, gold: Gold | None) -> None:
    mappable = shades.mappable()
    targets, sources = attention.weights.shape
    colours = mappable.to_rgba(attention.weights.numpy(force=True))
    axes.imshow(colours, aspect="auto", interpolation="nearest")
    axes.set_xticks([]), axes.set_yticks([])
    axes.set_xticks(np.arange(sources + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(targets + 1) - 0.5, minor=True)
    if cell >= LABELLED_CELL:
        axes.grid(which="minor", color=PALE, linewidth=0.35 if cell < 0.2 else 0.6)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set(color=PALE, linewidth=0.8)
    if gold is not None:
        _draw_outline(axes, gold, cell)


def _draw_outline(axes: Axes, gold: Gold, cell: float) -> None:
    from matplotlib.patches import Rectangle

    sure = frozenset(gold.sure)
    for source, target in sorted(sure | frozenset(gold.possible)):
        style = _draw_line(cell, sure=(source, target) in sure)
        inset = min(0.5 * style["linewidth"] / 72 / cell, 0.2)  # neighbours stay apart
        side = 1 - 2 * inset
        axes.add_patch(Rectangle((source - side / 2, target - side / 2), side, side, fill=False, **style))


def _draw_line(cell: float, *, sure: bool) -> dict[str, Any]:
    width = min(max(cell * 5.5, 0.4), 1.8)
    return {"edgecolor": GOLD_LINK, "linewidth": width, "linestyle": "solid" if sure else (0, (2, 1.3))}


def _write_words(axes: Axes, attention: AttentionMap, cell: float, *, source: bool = True, target: bool = True) -> None:
    """Source words above, level where they fit and turned where not; target words at the left."""
    size = min(10.0, 0.8 * 72 * cell)
    if target:
        axes.set_yticks(range(len(attention.queries)), _write_labels(attention.queries))
    if source:
        names = _write_labels(attention.keys)
        widest = max(count_columns(name) for name in names) * LETTER_ASPECT * size / 72
        level, slanted = widest < 0.92 * cell, 0.7 * 72 * cell > 1.05 * size
        turn: dict[str, Any] = {
            "rotation": 0 if level else 50 if slanted else 90,
            "rotation_mode": "anchor",
            "va": "baseline",
        }
        axes.set_xticks(range(len(names)), names, **turn, ha="center" if level else "left")
        axes.xaxis.tick_top()
        if not (level or slanted):
            for label in axes.get_xticklabels():
                label.set(va="center")
    axes.tick_params(length=0, labelsize=size, labelcolor=INK, pad=3.5)


def _write_labels(axis: Axis) -> list[str]:
    return [_clip_word(axis.label(place)) for place in range(len(axis))]


def _clip_word(word: str) -> str:
    """A word as one line, cut to the room there is by the width of its letters."""
    word = make_visible(word, 4 * LONGEST_WORD)
    if count_columns(word) <= LONGEST_WORD:
        return word
    kept = ""
    for letter in word:
        if count_columns(kept + letter) > LONGEST_WORD - 1:
            break
        kept += letter
    return f"{kept.rstrip()}\N{HORIZONTAL ELLIPSIS}"


def _write_weights(axes: Axes, weights: Numbers, shades: Scaling) -> None:
    """The weights in their cells, but for those that would read 0.00."""
    colours = shades.mappable().to_rgba(weights)[..., :3]
    brightness = colours @ np.array([0.299, 0.587, 0.114])
    for (row, column), weight in np.ndenumerate(weights):
        if abs(weight) >= 0.005:
            on_light = FAINT_LINE if abs(weight) < 0.1 * shades.high else INK
            colour = on_light if brightness[row, column] > 0.52 else "white"
            axes.text(column, row, f"{weight:.2f}", color=colour, size=7.5, **CENTRED)


# -- around it ------------------------------------------------------------------------------------


def _finish(
    figure: Figure,
    shades: Scaling,
    gold: Gold | None,
    path: Path,
    title: str,
    subtitle: str,
    note: str = "",
    *,
    sides: str = TRANSLATED,
) -> None:
    width, height = figure.get_size_inches()
    _draw_colour_bar(figure, shades, sides, note)
    if gold is not None and (gold.sure or gold.possible):
        _draw_legend(figure, gold, lines=3 if note else 2)
    if subtitle.strip():
        set_fonts(figure)
        drawn = figure.get_tightbbox()
        lines = wrap(" ".join(subtitle.split()), max(44, round((drawn.x1 - drawn.x0) * 14)))
        place = (drawn.x0 / width, (drawn.y1 + 0.1) / height)
        figure.text(*place, lines, ha="left", va="bottom", size=9, color=QUIET, linespacing=1.35)
    save_figure(figure, path, title)


def _draw_colour_bar(figure: Figure, shades: Scaling, sides: str, note: str) -> None:
    width, height = figure.get_size_inches()
    axes = place_axes(figure, 0, height + 0.22, min(max(width, 2.4), 4.6), 0.1)
    bar = figure.colorbar(shades.mappable(), cax=axes, orientation="horizontal")
    ends = np.linspace(shades.low, shades.high, 5)
    bar.set_ticks(ends.tolist(), labels=[f"{value:.3g}" for value in ends])
    bar.outline.set(edgecolor=PALE, linewidth=0.8)
    axes.tick_params(labelsize=8, color=PALE, labelcolor=QUIET, length=3)
    said = "\n".join(filter(None, [shades.words, translate(sides), note]))
    axes.annotate(said, (0, 0), (0, -18), **UNDER_AXES, size=8, color=QUIET, linespacing=1.4)


UNDER_AXES: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "top", "ha": "left"}


def _draw_legend(figure: Figure, gold: Gold, lines: int) -> None:
    from matplotlib.patches import Rectangle

    sure = frozenset(gold.sure)
    kinds = [(translate("sure gold link"), True)] * bool(sure)
    kinds += [(translate("possible gold link"), False)] * bool(set(gold.possible) - sure)
    handles = [
        Rectangle((0, 0), 1, 1, fill=False, label=name, **_draw_line(0.22, sure=is_sure)) for name, is_sure in kinds
    ]
    height = figure.get_size_inches()[1]
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0, -(0.67 + 0.155 * lines) / height),
        bbox_transform=figure.transFigure,
        ncols=len(handles),
        frameon=False,
        fontsize=8,
        labelcolor=INK,
        borderpad=0,
        borderaxespad=0,
        handlelength=1.1,
        handleheight=1.1,
        handletextpad=0.5,
        columnspacing=1.4,
    )
