"""Find every text that help and pages show, and that commands print, with where it stands."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import typer

import jumok
from jumok.app.cli import COMMANDS, build
from jumok.app.help_texts import list_texts
from jumok.language import parts_of
from jumok.locale.said import find_said
from jumok.tasks import TASKS
from jumok.views.pages.page_texts import find_html_texts, find_script_texts

__all__ = ["Text", "collect", "collect_printed"]

PACKAGE = Path(jumok.__file__).parent
CALLS = {"translate": 0, "later": 0, "translate_count": 1, "later_count": 1}
"""Functions that are given a text, and which of their arguments it is; the plural stands behind it."""
PRINTING = (
    *(f"jumok/{part}/" for part in ("app", "tasks", "data", "systems")),
    *(f"jumok/{part}.py" for part in ("files", "machine", "durations", "errors", "extras")),
    *(f"jumok/measures/{part}" for part in ("report", "sanity", "faithfulness_report", "health")),
)
"""Where texts begin that commands print; those of parts for use in Python alone stay in English."""
NAMES = re.compile(r"\{\w*\}|\$[a-z_]+")


class Text(NamedTuple):
    """One entry of a catalogue: a text, and its plural where it has one."""

    one: str
    many: str = ""


def collect() -> dict[Text, list[str]]:
    """Every text that is to be translated, with the files and commands that it stands in."""
    found: dict[Text, set[str]] = {}
    for text, place in [*_find_in_files(), *_find_in_help(), *_find_in_systems()]:
        if _is_said(text.one) or place.endswith((".py", ".js")):
            found.setdefault(text, set()).add(place)
    plural = {text.one for text in found if text.many}
    return {text: sorted(places) for text, places in found.items() if text.many or text.one not in plural}


def collect_printed() -> dict[Text, list[str]]:
    """Every text that commands print, but for those that help or pages show as well, with the files it stands in."""
    sources = {path.relative_to(PACKAGE.parent).as_posix(): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
    shown = {text.one for text in collect()}
    found: dict[Text, set[str]] = {}
    for said in find_said(sources, PRINTING):
        if said.one not in shown:
            found.setdefault(Text(said.one, said.many), set()).add(said.place)
    plural = {text.one for text in found if text.many}
    return {text: sorted(places) for text, places in found.items() if text.many or text.one not in plural}


def _is_said(text: str) -> bool:
    """Whether a text has words beside the names; in code, "{count} {noun}" is a text, too, for its order."""
    return re.search("[A-Za-z]{2}", NAMES.sub("", text)) is not None


def _find_in_files() -> Iterator[tuple[Text, str]]:
    finders = {".py": _find_in_python, ".html": _find_in_html, ".js": _find_in_script}
    for path in sorted(PACKAGE.rglob("*.*")):
        if path.suffix in finders:
            place = path.relative_to(PACKAGE.parent).as_posix()
            yield from ((text, place) for text in finders[path.suffix](path.read_text("utf-8")))


def _find_in_python(source: str) -> Iterator[Text]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
            first = CALLS[node.func.id]
            given = node.args[first : first + 1 + first]
            texts = [each.value for each in given if isinstance(each, ast.Constant) and isinstance(each.value, str)]
            if texts:
                yield Text(*texts)


def _find_in_html(source: str) -> Iterable[Text]:
    return map(Text, find_html_texts(source))


def _find_in_script(source: str) -> Iterable[Text]:
    return (Text(*texts) for texts in find_script_texts(source))


def _find_in_help() -> Iterator[tuple[Text, str]]:
    """Texts of all commands, and of `train` for each kind of data, which has headings and defaults of its own."""
    lines = [[name] for name in COMMANDS] + [["train", task.word] for task in TASKS.values()]
    for words in lines:
        for text, place in list_texts(typer.main.get_command(build(words)), "jumok"):
            yield from ((Text(part), place) for part in parts_of(text))


def _find_in_systems() -> Iterator[tuple[Text, str]]:
    """What `jumok systems` says of each, in the words of its docstring, and of what it is trained for."""
    from jumok.app.commands.systems import describe_model, list_meanings

    for task in TASKS.values():
        yield from ((Text(words), "jumok/tasks/task.py") for words in (task.word, task.does))
        for name in task.systems:
            texts = (describe_model(name), *list_meanings(name).values())
            yield from ((Text(text), "jumok/systems/__init__.py") for text in texts)
