"""What figures share: size, place, letters and the way to a file."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jumok.errors import JumokError, suggest
from jumok.files import replacing
from jumok.views.palette import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

DPI, PAD_INCHES = 150, 0.18
LONGEST_LABEL, LONGEST_TITLE = 28, 90  # letters
ENDINGS = (".png", ".svg", ".pdf")
WRITTEN: dict[str, dict[str, Any]] = {
    ".png": {"pil_kwargs": {"compress_level": 2}},
    ".svg": {"metadata": {"Date": None}},
    ".pdf": {"metadata": {"CreationDate": None}},
}
"""How each kind of file is written: quickly, for a few per cent more bytes; and the same whenever it is written."""
BLANK = "\N{OPEN BOX}"
"""Stands for a blank where that is all there is."""
CENTRED: dict[str, Any] = {"ha": "center", "va": "center"}
"""Text in the middle of its place."""


def new_figure(width: float, height: float) -> Figure:
    """A figure of its own, in inches: pyplot's shared state would make drawing in threads unsafe."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white", dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def check_picture_path(path: str | os.PathLike[str]) -> Path:
    """Take the path of a picture.

    Raises:
        JumokError: its ending names another kind of file.
    """
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise JumokError(f"pictures are .png, .svg or .pdf files, got {path.name!r}: {suggest(path.suffix, ENDINGS)}")
    return path


def place_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes in inches from the figure's upper left corner; saving makes room for what lies beyond its edge."""
    across, down = figure.get_size_inches()
    return figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))


def shorten(text: str, longest: int = LONGEST_LABEL) -> str:
    """One line, not too long, in letters that fonts have."""
    from jumok.views.pictures.fonts import compose

    text = " ".join(compose(text).split())
    return text if len(text) <= longest else f"{text[: longest - 1]}\N{HORIZONTAL ELLIPSIS}"


def make_visible(word: str, longest: int = LONGEST_LABEL) -> str:
    """A word as one line that can be seen: blanks alone are drawn as open boxes.

    >>> make_visible("  "), make_visible("two  words")
    ('␣␣', 'two words')
    """
    return shorten(word, longest) or BLANK * max(1, min(len(word), longest))


def save_figure(figure: Figure, path: str | os.PathLike[str], title: str) -> None:
    """Write a figure, as PNG, SVG or PDF, whole or not at all, with a title above all that is drawn.

    Raises:
        JumokError: a path that names another kind of file, or one that cannot be written.
    """
    path = check_picture_path(path)
    title = shorten(title, LONGEST_TITLE)
    with replacing(path) as fresh, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # said by families_for, in one line, with what to do
        families = set_fonts(figure, title)
        box = figure.get_tightbbox()  # asked for once: it takes as long as the drawing itself
        if title:
            box = _set_title(figure, title, families, box)
        figure.savefig(fresh, dpi=DPI, bbox_inches=box.padded(PAD_INCHES), **WRITTEN[path.suffix.lower()])


def _set_title(figure: Figure, title: str, families: list[str], drawn: Bbox) -> Bbox:
    """Write it above all that is drawn, however far that reaches. Returns what is drawn then, in inches."""
    from matplotlib.transforms import Bbox

    width, height = figure.get_size_inches()
    style: dict[str, Any] = {"ha": "left", "va": "bottom", "size": 12.5, "color": INK, "parse_math": False}
    text = figure.text(drawn.x0 / width, (drawn.y1 + 0.12) / height, title, family=families, **style)
    own = text.get_window_extent()
    inches = Bbox.from_extents(*(edge / figure.dpi for edge in own.extents))
    return Bbox.union([drawn, inches])


def set_fonts(figure: Figure, *more: str) -> list[str]:
    """Names as their owners wrote them: no mathematics between dollar signs, Korean in a font that has it.

    Args:
        figure: whose texts are set.
        more: texts that are still to come.
    Returns:
        the families, best first.
    """
    from matplotlib.text import Text

    from jumok.views.pictures.fonts import choose_families

    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    families = choose_families([*(text.get_text() for text in texts), *more])
    for text in texts:
        text.set_parse_math(False)
        text.set_fontfamily(families)
    return families
