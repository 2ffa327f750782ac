"""Help in the user's language: commands keep plain English texts, and each is looked up here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jumok.language import later, translate

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["USAGE", "list_texts", "translate_help", "translate_usage"]

TITLES = {
    "ARGUMENTS_PANEL_TITLE": later("Arguments"),
    "OPTIONS_PANEL_TITLE": later("Options"),
    "COMMANDS_PANEL_TITLE": later("Commands"),
    "REQUIRED_LONG_STRING": later("[required]"),
    "DEFAULT_STRING": later("[default: {}]"),
}
"""What typer writes itself, by the name of its constant."""
RANGE = "\n[{}]"
"""How typer writes the limits of a number: below its type, as the widest type takes room from all help texts."""
HELP = later("Show this message and exit.")
USAGE = (
    later("No such option: {name} (Possible options: {names})"),
    later("No such option: {name} Did you mean {names}?"),
    later("No such option: {name}"),
    later("No such command {name}. Did you mean {names}?"),
    later("No such command {name}"),
    later("Missing argument {name}"),
    later("Missing option {name}"),
    later("Missing command"),
    later("Invalid value for {name}: {reason}"),
    later("Invalid value: {reason}"),
    later("Got unexpected extra argument(s) ({names})"),
    later("Option {name} requires an argument"),
    later("Option {name} does not take a value"),
    later("{got} is not one of {names}"),
    later("Input should be a valid integer, unable to parse string as an integer"),
    later("Input should be a valid number, unable to parse string as a number"),
    later("Input should be greater than or equal to {limit}"),
    later("Input should be less than or equal to {limit}"),
    later("Input should be greater than {limit}"),
    later("Input should be less than {limit}"),
)
"""What typer finds wrong with a command line; the first that fits counts."""


def translate_help(command: Any) -> None:
    """Put all texts of a command, which is made anew for each run, and of those under it into the language of now."""
    for name in ("help", "short_help", "epilog"):
        setattr(command, name, _translate_paragraphs(getattr(command, name)))
    for parameter in command.params:
        for name in ("help", "rich_help_panel"):
            if text := getattr(parameter, name, None):
                setattr(parameter, name, translate(text))
    command.format_help = _write_with(command)
    command.get_usage = _with_prefix(command.get_usage)
    for each in getattr(command, "commands", {}).values():
        translate_help(each)


def list_texts(command: Any, path: str) -> Iterator[tuple[str, str]]:
    """All texts that the help of a command shows, and of those under it, each with where it stands."""
    for text in (command.help, command.short_help, command.epilog):
        yield from ((paragraph, path) for paragraph in _split_paragraphs(text or ""))
    for parameter in command.params:
        where = f"{path} {max(parameter.opts, key=len)}"
        yield from ((text, where) for name in ("help", "rich_help_panel") if (text := getattr(parameter, name, None)))
    for name, each in getattr(command, "commands", {}).items():
        yield from list_texts(each, f"{path} {name}")


def translate_usage(message: str) -> str:
    """What typer found wrong, in the language of now; in English where it says what is not in the list."""
    for text in USAGE:
        pattern = re.escape(text).replace(r"\{", "{").replace(r"\}", "}")
        if found := re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>.+?)", pattern), message):
            return translate(text, **{name: translate_usage(value) for name, value in found.groupdict().items()})
    return message


def _translate_paragraphs(text: str | None) -> str | None:
    return text and "\n\n".join(map(translate, _split_paragraphs(text)))


def _split_paragraphs(text: str) -> list[str]:
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n") if paragraph.strip()]


def _with_prefix(get_usage: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda context: get_usage(context).replace("Usage:", translate("Usage:"), 1)


def _write_with(command: Any) -> Callable[..., None]:
    """How a command writes its help, with what typer itself says in it translated."""
    format_help = command.format_help

    def write(context: Any, formatter: Any) -> None:
        if option := command.get_help_option(context):
            option.help = translate(HELP)
        with _changed_typer():
            format_help(context, formatter)

    return write


@contextmanager
def _changed_typer() -> Iterator[None]:
    """Within the block, typer's headings are translated, limits stand below, and wide signs wrap without loss."""
    from rich.text import Text
    from typer import rich_utils

    changed = {**{name: translate(text) for name, text in TITLES.items()}, "RANGE_STRING": RANGE}
    kept, strip_end = {name: getattr(rich_utils, name) for name in changed}, Text.rstrip_end
    for name, value in changed.items():
        setattr(rich_utils, name, value)
    Text.rstrip_end = _strip_end  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Text.rstrip_end = strip_end  # type: ignore[method-assign]
        for name, value in kept.items():
            setattr(rich_utils, name, value)


def _strip_end(text: Text, size: int) -> None:
    """Take as many blanks off the end of a line as it is too long by.

    Rich counts signs here, not cells: a line of Hangul that fits but for the blank after it would lose a syllable.
    """
    from rich.cells import cell_len

    blanks = len(text.plain) - len(text.plain.rstrip())
    if (excess := min(blanks, cell_len(text.plain) - size)) > 0:
        text.right_crop(excess)
