"""What draws and shows maps for people: any image they hold, a file or the screen."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from jumok.attention import AttentionMap
from jumok.errors import JumokError

if TYPE_CHECKING:
    from PIL.Image import Image

    from jumok.data.images.given import GivenImage

__all__ = ["draw", "show"]


def draw(
    attention: AttentionMap,
    image: GivenImage | None,
    path: str | os.PathLike[str] | None = None,
    *,
    title: str = "",
    vmin: float | None = None,
    vmax: float | None = None,
    cmap: str | None = None,
) -> None:
    """Draw a map to a file, as its keys ask for.

    Patches and pixels: a heatmap over the image; glimpses: the path of the gaze; a sampled window: its outline; one row
    over words: the text, shaded; words that look at words: a matrix with both texts; all others: bars or a matrix.

    Args:
        attention: (queries, keys), no leading axes; keys in an image: one row.
        image: that the keys lie in: a path, a Pillow image, an array (height, width, 3) or a tensor (3, height, width)
            of uint8 or of fractions from 0 to 1. Keys that lie in no image need none: `draw(map, "words.png")`.
        path: of a .png, .svg or .pdf file; its folder is made if it is missing.
        title: a line above the picture; any text.
        vmin, vmax: the weights where the colours begin and end; None: 0, or as far below 0 as above it, and the largest
            weight. Of a map that is nearly even the colours end at twice its mean. The picture says which it was.
        cmap: one of matplotlib's colour maps, by name.
    Raises:
        JumokError: another kind of file, a map of more than that, no image for keys that lie in one, bounds or colours
            that do not exist, or a file that cannot be written.

    >>> import tempfile, torch
    >>> from jumok.attention import Tokens
    >>> attention = AttentionMap(torch.eye(2), Tokens(("le", "chat")), Tokens(("the", "cat")))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     draw(attention, f"{folder}/words.png")
    """
    from jumok.views.draw import draw as draw_opened
    from jumok.views.pictures.colour_scale import Look

    if path is None:
        image, path = None, _take_path(attention, image)
    opened = _open(attention, image)
    draw_opened(attention, opened, path, title=title, look=Look(vmin, vmax, cmap))


def show(attention: AttentionMap, image: GivenImage | None = None, **look: Any) -> None:
    """Show the picture that `draw` writes: in the notebook, or in a window of the system's viewer.

    Args:
        attention, image, look: as for `draw`.
    Raises:
        JumokError: as `draw`, or there is nothing to show pictures with.
    """
    from PIL import Image

    with TemporaryDirectory() as folder:
        path = Path(folder) / "map.png"
        draw(attention, image, path, **look)
        with Image.open(path) as file:
            picture = file.copy()
    _display(picture)


def _take_path(attention: AttentionMap, given: Any) -> str | os.PathLike[str]:
    """The one path that was given, for keys that lie in no image."""
    if isinstance(given, str | os.PathLike) and not attention.keys.in_image:
        return given
    if attention.keys.in_image:
        kind = type(attention.keys).__name__
        raise JumokError(f"keys of kind {kind} lie in an image: give the image and the path, draw(map, image, path)")
    raise JumokError(f'the path of the picture is missing: draw(map, "words.png"), got {type(given).__name__}')


def _open(attention: AttentionMap, image: GivenImage | None) -> Image | None:
    """The image, where it has a part in the picture."""
    from jumok.data.images.given import open_given

    return open_given(image) if image is not None and attention.keys.in_image else None


def _display(picture: Image) -> None:
    """In a notebook as its output, else with the system's viewer."""
    notebook = sys.modules.get("IPython")
    shell = notebook.get_ipython() if notebook is not None else None
    if getattr(shell, "kernel", None) is not None:
        from IPython.display import display

        display(picture)
        return
    from PIL import ImageShow

    headless = sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if headless or not ImageShow.show(picture, "attention map"):
        raise JumokError('nothing here can show pictures: write one to a file with map.draw(image, "map.png")')
