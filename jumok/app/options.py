"""Command-line options made from the settings, so that each is described and bounded in one place only."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Optional, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from jumok.tasks.config import limits_of


def with_settings(
    panels: Mapping[str, type[BaseModel]], leave_out: tuple[str, ...] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command one option for each setting; a setting that several models have is one option.

    The command gets those that were given as `settings`: {name: value}.

    Args:
        panels: models of settings, by the heading under which their options stand; the first that has one counts.
        leave_out: settings that the command has arguments of its own for.
    """
    options: dict[str, inspect.Parameter] = {}
    for panel, model in panels.items():
        for name, field in model.model_fields.items():
            if name not in leave_out and name not in options:
                options[name] = _parameter(name, field, panel, _defaults(name, panels))

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(**values: Any) -> Any:
            given = {name: value for name in options if (value := values.pop(name)) not in (None, [])}
            return command(**values, settings=given)

        own = inspect.signature(command, eval_str=True).parameters.values()
        wrapper.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [*(p.replace(kind=p.KEYWORD_ONLY) for p in own if p.name != "settings"), *options.values()]
        )
        wrapper.__annotations__, wrapper.__doc__ = {}, command.__doc__
        return wrapper

    return decorate


def _defaults(name: str, panels: Mapping[str, type[BaseModel]]) -> str:
    """The default of a setting, or those of each kind of data where they differ."""
    found = {
        panel: _default(model.model_fields[name].default)
        for panel, model in panels.items()
        if name in model.model_fields
    }
    texts = dict.fromkeys(filter(None, found.values()))
    if len(texts) <= 1:
        return f"default {next(iter(texts))}" if texts else ""
    return "default " + ", ".join(dict.fromkeys(f"{text} ({panel.lower()})" for panel, text in found.items()))


def _parameter(name: str, field: FieldInfo, panel: str, default: str) -> inspect.Parameter:
    flag = "--" + name.replace("_", "-")
    kind = _kind(field.annotation)
    names = f"{flag}/--no-{name.replace('_', '-')}" if kind is bool else flag
    option = typer.Option(names, help=_help(field, default), rich_help_panel=panel, show_default=False)
    annotation: Any = Annotated[Optional[kind], option]  # noqa: UP045 (a kind known only now)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _kind(annotation: Any) -> Any:
    """What the command line reads: bool, int, float, text or several texts; the settings themselves check the rest."""
    if get_origin(annotation) in (Union, UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return _kind(kinds[0]) if len(kinds) == 1 else str
    if get_origin(annotation) is tuple:
        return list[str]
    return str if get_origin(annotation) is Literal or annotation not in (bool, int, float) else annotation


def _help(field: FieldInfo, default: str) -> str:
    """The description, the choices or limits, and the default."""
    choices = " | ".join(get_args(field.annotation)) if get_origin(field.annotation) is Literal else ""
    notes = [note for note in (choices, limits_of(field), default) if note]
    return f"{field.description} ({'; '.join(notes)})" if notes else str(field.description)


def _default(value: object) -> str:
    if value is None or value == ():
        return ""
    return ("on" if value else "off") if isinstance(value, bool) else str(value)
