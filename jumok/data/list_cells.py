"""Lists that stand in one cell of a table, as programs write them."""

from __future__ import annotations

from ast import literal_eval

__all__ = ["read_list"]


def read_list(cell: str) -> list[str]:
    """What a cell holds: the texts of a list as JSON or Python writes it, or the cell itself where it is no list.

    >>> read_list('["red", "blue"]'), read_list("['red', 'blue']"), read_list("[]"), read_list("[sic]")
    (['red', 'blue'], ['red', 'blue'], [], ['[sic]'])
    """
    if not (cell.lstrip().startswith("[") and cell.rstrip().endswith("]")):
        return [cell]
    try:
        found = literal_eval(cell.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return [cell]
    if not all(isinstance(each, str | int | float) for each in found):
        return [cell]
    return list(map(str, found))
