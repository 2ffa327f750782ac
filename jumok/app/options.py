"""Command-line options made from the settings, so that each is described and bounded in one place only."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Optional, TypeVar, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from jumok.errors import JumokError
from jumok.language import join_later, later
from jumok.tasks.running.config import FLAGS, parse
from jumok.wanted_values import format_limits

Chosen = TypeVar("Chosen", bound=BaseModel)
Panels = Mapping[str, tuple[type[BaseModel], ...]]
"""Models of settings by the heading under which their options stand; the first is for what concerns all."""


def with_settings(
    panels: Panels, leave_out: Collection[tuple[str, str]] = (), shown: Collection[str] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command one option for each setting; one that stands under several headings is put under the first.

    The command gets those that were given as `settings`: {name: value}.

    Args:
        panels: of the settings.
        leave_out: (heading, setting) that the command has arguments of its own for.
        shown: headings whose options the help shows; the others work too. None: all.
    """
    common = next(iter(panels))
    found: dict[str, dict[str, FieldInfo]] = {}  # by setting, by heading
    for panel, models in panels.items():
        for name, field in (pair for model in models for pair in model.model_fields.items()):
            if (panel, name) not in leave_out:
                found.setdefault(name, {})[panel] = field
    options = {name: _make_parameter(name, homes, common, shown) for name, homes in found.items()}

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


def options_of(model: type[Chosen], given: Mapping[str, Any], why: str) -> Chosen:
    """The options of one kind of data, from the flags that were given.

    Args:
        model: of the options.
        given: by name.
        why: what to say of flags that it does not have.
    Raises:
        JumokError: such a flag, or a value out of range.
    """
    refuse({to_flag(name): value for name, value in given.items() if name not in model.model_fields}, why)
    return parse(model, given, FLAGS)


def pick(model: type[Chosen], given: Mapping[str, Any]) -> Chosen:
    """Those of the options that a model of settings has.

    Args:
        model: of the options.
        given: by name.
    Raises:
        JumokError: a value out of range.
    """
    return parse(model, {name: value for name, value in given.items() if name in model.model_fields}, FLAGS)


def split_off(model: type[Chosen], given: Mapping[str, Any]) -> tuple[Chosen, dict[str, Any]]:
    """Those of the options that a model of settings has, and the others.

    Args:
        model: of the options.
        given: by name.
    Raises:
        JumokError: a value out of range.
    """
    return pick(model, given), {name: value for name, value in given.items() if name not in model.model_fields}


def to_flag(name: str) -> str:
    """A setting as it is typed."""
    return "--" + name.replace("_", "-")


def refuse(given: Mapping[str, object], why: str) -> None:
    """Refuse options that another kind of data would have a use for.

    Args:
        given: values by flag; None where it was left out.
        why: what to say of them.
    Raises:
        JumokError: one was given.
    """
    if names := [flag for flag, value in given.items() if value is not None]:
        raise JumokError(f"no use for {', '.join(names)}: {why}")


def _format_defaults(homes: Mapping[str, FieldInfo], common: str) -> str:
    """The default of a setting, or those of each kind of data where they differ."""
    own = {panel: field for panel, field in homes.items() if panel != common} or homes
    texts = {panel: text for panel, field in own.items() if (text := _format_default(field))}
    if len(set(texts.values())) <= 1:
        return later("default {value}", value=next(iter(texts.values()))) if texts else ""
    each = [later("{value} for {kind}", value=text, kind=later(panel.lower())) for panel, text in texts.items()]
    return later("default {value}", value=join_later(", ", each))


def _make_parameter(
    name: str, homes: Mapping[str, FieldInfo], common: str, shown: Collection[str] | None
) -> inspect.Parameter:
    visible = {panel: field for panel, field in homes.items() if shown is None or panel in {common, *shown}}
    panel, field = next(iter((visible or homes).items()))
    panel, default = (common if len(homes) > 1 else panel), _format_defaults(visible or homes, common)
    flag, kind = to_flag(name), _choose_type(field.annotation)
    alone = kind is not bool or (name.startswith("without_") and not field.default)  # --no-without says nothing
    names = flag if alone else f"{flag}/--no-{name.replace('_', '-')}"
    text = _describe(field, default)
    option = typer.Option(names, help=text, rich_help_panel=panel, show_default=False, hidden=not visible)
    annotation: Any = Annotated[Optional[kind], option]  # noqa: UP045 (a kind known only now)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _choose_type(annotation: Any) -> Any:
    """What the command line reads: bool, int, float, text or several texts; the settings themselves check the rest."""
    if get_origin(annotation) in (Union, UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return _choose_type(kinds[0]) if len(kinds) == 1 else str
    if get_origin(annotation) is tuple:
        return list[str]
    return str if get_origin(annotation) is Literal or annotation not in (bool, int, float) else annotation


def _describe(field: FieldInfo, default: str) -> str:
    """The description, the choices or limits, and the default."""
    choices = " | ".join(get_args(field.annotation)) if get_origin(field.annotation) is Literal else ""
    notes = [note for note in (choices, format_limits(field), default) if note]
    what = later(str(field.description))
    return later("{what} ({notes})", what=what, notes=join_later("; ", notes)) if notes else what


def _format_default(field: FieldInfo) -> str:
    """What stands for a setting that is left out, in words of its own where it has some."""
    value, extra = field.default, field.json_schema_extra
    if isinstance(extra, Mapping):
        return later(str(extra["usual"]))
    if value is None or value == ():
        return ""
    return (later("on") if value else later("off")) if isinstance(value, bool) else str(value)
