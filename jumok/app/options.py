"""Command-line options made from the settings, so that each is described and bounded in one place only."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Optional, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from jumok.tasks.config import limits_of


def with_settings(
    sections: dict[str, type[BaseModel]], leave_out: tuple[str, ...] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command one option for each setting of each section.

    The command gets the ones that were given as `settings`: {section: {name: value}}.

    Args:
        sections: models of settings, by the name of their section.
        leave_out: settings that the command has arguments of its own for.
    """
    homes = {
        name: section for section, model in sections.items() for name in model.model_fields if name not in leave_out
    }

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(**values: Any) -> Any:
            settings: dict[str, dict[str, Any]] = {section: {} for section in sections}
            for name, section in homes.items():
                if (value := values.pop(name)) is not None:
                    settings[section][name] = value
            return command(**values, settings=settings)

        own = inspect.signature(command, eval_str=True).parameters.values()
        added = (p for section, model in sections.items() for p in _parameters(section, model) if p.name in homes)
        wrapper.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [*(p.replace(kind=p.KEYWORD_ONLY) for p in own if p.name != "settings"), *added]
        )
        wrapper.__annotations__, wrapper.__doc__ = {}, command.__doc__
        return wrapper

    return decorate


def _parameters(section: str, model: type[BaseModel]) -> Iterator[inspect.Parameter]:
    for name, field in model.model_fields.items():
        flag = "--" + name.replace("_", "-")
        kind = _kind(field.annotation)
        names = f"{flag}/--no-{name.replace('_', '-')}" if kind is bool else flag
        option = typer.Option(names, help=_help(field), rich_help_panel=section.capitalize(), show_default=False)
        annotation: Any = Annotated[Optional[kind], option]  # noqa: UP045 (a kind known only now)
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _kind(annotation: Any) -> Any:
    """What the command line reads: bool, int, float or text; the settings themselves check the rest."""
    if get_origin(annotation) in (Union, UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return _kind(kinds[0]) if len(kinds) == 1 else str
    return str if get_origin(annotation) is Literal or annotation not in (bool, int, float) else annotation


def _help(field: FieldInfo) -> str:
    """The description, the choices or limits, and the default."""
    choices = " | ".join(get_args(field.annotation)) if get_origin(field.annotation) is Literal else ""
    notes = [note for note in (choices, limits_of(field), _default(field.default)) if note]
    return f"{field.description} ({'; '.join(notes)})" if notes else str(field.description)


def _default(value: object) -> str:
    if value is None:
        return ""
    return f"default {'on' if value else 'off'}" if isinstance(value, bool) else f"default {value}"
