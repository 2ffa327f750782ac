"""Which rows of a data set are meant: comparisons of columns, joined by and, or and not, as an expression of Arrow."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

from jumok.errors import JumokError, suggest

__all__ = ["to_expression"]

LONGEST = 2000
COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
WANTED = "wanted columns and values compared, as in 'prediction != label and probability > 0.9' or 'error is not None'"


def to_expression(text: str, schema: Any) -> Any:
    """A query as a `pyarrow.compute.Expression`.

    Names are columns; values are texts in quotes, numbers, True, False and None. They are compared by ==, !=, <, <=, >,
    >=, in, not in, is None and is not None, and joined by and, or, not and brackets. Where a value is missing, nothing
    but `is None` holds.

    Args:
        text: of the query.
        schema: of the data set, a `pyarrow.Schema`.
    Raises:
        JumokError: it cannot be read, a column is not there, or texts are compared with numbers.
    """
    if len(text) > LONGEST:
        raise JumokError(f"--where has {len(text):,} characters: at most {LONGEST:,} are read")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        return _Reader(schema).condition(tree)
    except JumokError:
        raise
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise JumokError(f"--where {text!r} cannot be read: {WANTED}") from None


class _Reader:
    """Turns a tree of Python's grammar into an expression: what it has no method for is refused, and nothing is run.

    Args:
        schema: of the data set.
    """

    def __init__(self, schema: Any) -> None:
        self._schema = schema

    def condition(self, node: ast.expr) -> Any:
        """What is true or false of a row."""
        if isinstance(node, ast.BoolOp):
            join = operator.and_ if isinstance(node.op, ast.And) else operator.or_
            found = self.condition(node.values[0])
            for value in node.values[1:]:
                found = join(found, self.condition(value))
            return found
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ~self.condition(node.operand)
        if isinstance(node, ast.Compare):
            return self._compare(node)
        raise JumokError(f"--where: {ast.unparse(node)!r} is true or false of no row: {WANTED}")

    def _compare(self, node: ast.Compare) -> Any:
        """One comparison, or a chain of them such as 0.4 < probability < 0.6."""
        sides = [node.left, *node.comparators]
        each = [self._pair(*two) for two in zip(sides, node.ops, sides[1:], strict=False)]
        found = each[0]
        for other in each[1:]:
            found &= other
        return found

    def _pair(self, left: ast.expr, how: ast.cmpop, right: ast.expr) -> Any:
        if isinstance(how, ast.Is | ast.IsNot):
            if not (isinstance(right, ast.Constant) and right.value is None):
                raise JumokError(f"--where: nothing but None follows 'is', got {ast.unparse(right)}: use ==")
            missing = self._column(left).is_null()
            return missing if isinstance(how, ast.Is) else ~missing
        if isinstance(how, ast.In | ast.NotIn):
            found = self._column(left).isin(self._list(left, right))
            return found if isinstance(how, ast.In) else ~found & self._column(left).is_valid()
        self._check_kinds(left, right)
        return COMPARISONS[type(how)](self._operand(left), self._operand(right))

    def _list(self, column: ast.expr, node: ast.expr) -> list[Any]:
        if not isinstance(node, ast.Tuple | ast.List) or not node.elts:
            raise JumokError(f"--where: wanted values in brackets after 'in', got {ast.unparse(node)}")
        for each in node.elts:
            self._check_kinds(column, each)
        return [_read_value(each) for each in node.elts]

    def _operand(self, node: ast.expr) -> Any:
        from pyarrow import compute  # type: ignore[import-untyped]

        return self._column(node) if isinstance(node, ast.Name) else compute.scalar(_read_value(node))

    def _column(self, node: ast.expr) -> Any:
        from pyarrow import compute

        self._kind(node)
        if not isinstance(node, ast.Name):
            raise JumokError(f"--where: wanted a column, got {ast.unparse(node)}")
        return compute.field(node.id)

    def _check_kinds(self, left: ast.expr, right: ast.expr) -> None:
        """Refuse to compare a text with a number."""
        kinds = [self._kind(left), self._kind(right)]
        if kinds[0] != kinds[1]:
            sides = " and ".join(
                f"{ast.unparse(side)} is a {kind}" for side, kind in zip((left, right), kinds, strict=True)
            )
            raise JumokError(f"--where: {sides}: texts stand in quotes, numbers do not")

    def _kind(self, node: ast.expr) -> str:
        if not isinstance(node, ast.Name):
            return "text" if isinstance(_read_value(node), str) else "number"
        import pyarrow as pa

        simple = [field.name for field in self._schema if not pa.types.is_nested(field.type)]
        if node.id not in simple:
            raise JumokError(f"--where: no column {node.id!r} to compare: {suggest(node.id, simple)}")
        return "text" if pa.types.is_string(self._schema.field(node.id).type) else "number"


def _read_value(node: ast.expr) -> str | int | float | bool:
    """A text or a number.

    Raises:
        JumokError: it is none.
    """
    negative = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
    value = node.operand if isinstance(node, ast.UnaryOp) and negative else node
    if (
        isinstance(value, ast.Constant)
        and isinstance(value.value, str | int | float)
        and not (negative and isinstance(value.value, str))
    ):
        return -value.value if negative else value.value  # type: ignore[operator]
    raise JumokError(f"--where: {ast.unparse(node)!r} is no text or number: {WANTED}")
