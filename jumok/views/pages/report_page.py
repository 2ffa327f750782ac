"""A report of several steps as one HTML file beside the pictures it shows."""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from urllib.parse import quote

from jumok.errors import JumokError
from jumok.files import inside, write_atomically
from jumok.language import language, translate
from jumok.views.pages.html_file import hash_script, mark_language

RELOAD = "setTimeout(() => location.reload(), 5000);"
"""A page that is not complete loads itself again and stays where it was read; a refresh in its head may not."""


@dataclass(frozen=True)
class Figure:
    """One number that matters: what it is, its value as text, what to hold it against, and whether it stands out."""

    name: str
    value: str
    note: str = ""
    strong: bool = True


@dataclass(frozen=True)
class Section:
    """One step: what was done, by which command, what came out.

    Args:
        heading: of the step.
        text: one paragraph.
        command: as it was typed; empty for none.
        figures: numbers, shown large.
        pictures: (file in the report's folder, caption) pairs.
        links: (file in the report's folder, text) pairs.
        small: as pictures, shown as small as they are.
    """

    heading: str
    text: str = ""
    command: str = ""
    figures: Sequence[Figure] = ()
    pictures: Sequence[tuple[Path, str]] = ()
    links: Sequence[tuple[Path, str]] = ()
    small: Sequence[tuple[Path, str]] = ()


def write_report(
    path: str | os.PathLike[str], title: str, lead: str, sections: Sequence[Section], waiting: Sequence[str] = ()
) -> None:
    """Write the report.

    Args:
        path: of the HTML file.
        title: the heading.
        lead: a paragraph under it.
        sections: the steps, in order.
        waiting: names of steps that are still to come: the page says so, and looks again every few seconds.
    Raises:
        JumokError: a picture that is not there or lies outside the report's folder, or the file cannot be written.
    """
    place = Path(path)
    body = "\n".join(_section(place.parent, section) for section in sections)
    page = resources.files("jumok.views.pages").joinpath("report.html").read_text("utf-8")
    texts = {
        "language": language(),
        "title": html.escape(title),
        "lead": html.escape(lead),
        "body": f"{body}\n{_say_waiting(waiting)}",
        "script": f"<script>{RELOAD}</script>" if waiting else "",
        "script_hash": hash_script(RELOAD),
    }
    write_atomically(place, Template(page).substitute(texts))


def _say_waiting(names: Sequence[str]) -> str:
    if not names:
        return ""
    now, *later = map(html.escape, names)
    then = translate("Then: {names}.", names=", ".join(later)) if later else ""
    told = [translate("Being made: {name}.", name=now), then, translate("This page reloads by itself.")]
    return f'<p class="waiting" role="status">{" ".join(filter(None, told))}</p>'


def _section(folder: Path, section: Section) -> str:
    parts = [f"<h2{mark_language(section.heading)}>{html.escape(section.heading)}</h2>"]
    if section.text:
        parts.append(f"<p{mark_language(section.text)}>{html.escape(section.text)}</p>")
    if section.command:
        parts.append(f"<pre><code>{_write_command(section.command)}</code></pre>")
    if section.figures:
        parts.append(f'<dl class="figures">{"".join(map(_figure, section.figures))}</dl>')
    if section.pictures:
        pictures = "".join(_picture(_link(folder, file), caption) for file, caption in section.pictures)
        parts.append(f'<div class="pictures{" many" if len(section.pictures) > 2 else ""}">{pictures}</div>')
    if section.small:
        pictures = "".join(_picture(_link(folder, file), caption) for file, caption in section.small)
        parts.append(f'<div class="small">{pictures}</div>')
    if section.links:
        links = " &middot; ".join(
            f'<a href="{_link(folder, file)}">{html.escape(text)}</a>' for file, text in section.links
        )
        parts.append(f'<p class="links">{links}</p>')
    return f"<section>{''.join(parts)}</section>"


def _write_command(command: str) -> str:
    """A command whose lines break between its words: browsers break them after hyphens, too, and part --option."""
    return " ".join(f"<span>{html.escape(word)}</span>" for word in command.split(" "))


def _figure(figure: Figure) -> str:
    note = f"<dd class='note'>{html.escape(figure.note)}</dd>" if figure.note else ""
    kind = "" if figure.strong else " class='weak'"
    return f"<div{kind}><dt>{html.escape(figure.name)}</dt><dd>{html.escape(figure.value)}</dd>{note}</div>"


def _picture(link: str, caption: str) -> str:
    text = html.escape(caption)
    image = f'<a href="{link}"><img src="{link}" alt="{text}" loading="lazy"></a>'
    return f"<figure>{image}<figcaption{mark_language(caption)}>{text}</figcaption></figure>"


def _link(folder: Path, file: Path) -> str:
    """The address of a file, relative to the report."""
    place = inside(folder, os.path.relpath(file, folder))
    if not place.is_file():
        raise JumokError(f"the report shows {file}, which is not there: run the step that writes it first")
    return html.escape(quote(place.relative_to(folder.resolve()).as_posix()))
