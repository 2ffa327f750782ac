"""What a setting may be, said in plain words: its limits, its choices or its kind. No torch here."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from jumok.language import later

__all__ = ["find_section", "format_limits", "say_wanted", "show_value"]

BOUNDS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
KINDS = {
    "int": later("a whole number"),
    "float": later("a number"),
    "finite": later("a number"),
    "bool": later("true or false"),
    "string": later("a text"),
    "list": later("a list"),
    "tuple": later("a list"),
    "dict": later("keys and values"),
    "model": later("keys and values"),
}
"""What pydantic misses, by the first word of the kind of its error."""


def say_wanted(field: FieldInfo | None, error: ErrorDetails) -> str:
    """What a setting should be, given what pydantic found wrong with it.

    Args:
        field: the setting, None where it has no description of its own.
        error: as pydantic tells it.
    """
    limits, context = format_limits(field) if field else "", error.get("ctx", {})
    if error["type"] == "literal_error":
        return str(context["expected"])
    if bound := next((name for name in BOUNDS if name in context), None):
        return limits or f"{BOUNDS[bound]} {_format_limit(context[bound])}"
    if error["type"] == "string_pattern_mismatch" and field and field.description:
        return field.description.rstrip(".")
    wanted = KINDS.get(error["type"].partition("_")[0], error["msg"])
    return f"{wanted} ({limits})" if limits else wanted


def show_value(value: object) -> str:
    """A value as people write it: 'soon', 3 or -1.

    >>> show_value("soon"), show_value(-1.0), show_value([0, 4])
    ("'soon'", '-1', '[0, 4]')
    """
    return f"{value:g}" if isinstance(value, float) else repr(value)


def format_limits(field: FieldInfo) -> str:
    """The range of a setting, such as '>= 0, < 1'; empty where it has none."""
    found = [
        (sign, getattr(item, name)) for item in field.metadata for name, sign in BOUNDS.items() if hasattr(item, name)
    ]
    return ", ".join(f"{sign} {_format_limit(value)}" for sign, value in found)


def _format_limit(value: float) -> str:
    """A number as people write it: 1,000,000 or 2^63 or 0.5."""
    if isinstance(value, int):
        power = value.bit_length() - 1
        return f"2^{power}" if power >= 31 and value == 1 << power else f"{value:,}"
    return f"{value:g}"


def find_section(model: type[BaseModel], path: Sequence[str]) -> type[BaseModel] | None:
    """The part of a model of settings that keys lead to; None where they lead to a value."""
    for part in path:
        field = model.model_fields.get(part)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return None
        model = field.annotation
    return model
