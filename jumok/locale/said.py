"""Find the texts that the program says in a run: errors, remarks, progress and what they are made of.

Such a text is an f-string in plain English, written where it arises. It is followed back from where it leaves the
program: through names, branches, joined lists, and functions of the package that give a text. Values in it become
{names}; those that are texts themselves are called {text}, and are translated in turn.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

__all__ = ["Said", "find_said"]

SINKS = {
    "JumokError": (0,),
    "ValueError": (0,),
    "Interrupted": (1,),
    "foreign": (0, 1),
    "writing": (4, 5),
    "write_watched": (4, 5),
    "say": (0,),
    "_say": (0,),
    "remark": (0,),
    "warn": (0,),
    "tell": (0,),
    "show_progress": (1,),
    "Table": (2,),
    "add_column": (0,),
}
"""Calls that let a text out, and which of their arguments are texts."""
LINES = frozenset(
    {
        "lines",
        "remarks",
        "text",
        "caption",
        "title",
        "notes",
        "verdicts",
        "told",
        "summary",
        "warning",
        "why",
        "about",
        "reached",
        "shortfall",
    }
)
"""Functions, settings and variables whose texts are printed sooner or later."""
MARKED = frozenset({"later", "later_count", "translate", "translate_count"})
"""Calls whose texts are in the catalogue in any case."""
COUNTED = {"write_count": 1, "describe_names": 1}
"""Functions of `jumok.wording` that count things, and the argument that names one of them; the plural stands behind."""
TEXT = "text"
HANDED_ON = frozenset(
    {"what", "why", "advice", "hint", "reason", "wish", "message", "line", "note", "error", "told", "remark"}
)
"""Names that hold a text, wherever it was made."""
WORDS = re.compile(r"[A-Za-z]{2,}[^A-Za-z{}]* |\ [A-Za-z]{2,}")
CODE = re.compile(r"(jumok|pip|torchrun|streams|[<(])\b|[<(]|.*\\")
"""How lines begin that are typed, not said."""
Functions = ast.FunctionDef | ast.AsyncFunctionDef
Node = ast.expr | None


@dataclass(frozen=True)
class Said:
    """A text that is said, its plural where it has one, and the file that it stands in."""

    one: str
    many: str
    place: str


@dataclass
class Package:
    """What the files of the package define, by name."""

    functions: dict[str, list[tuple[str, Functions]]] = field(default_factory=lambda: defaultdict(list))
    constants: dict[str, list[tuple[str, ast.expr]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, place: str, tree: ast.Module) -> None:
        for node in ast.walk(tree):
            if isinstance(node, Functions):
                self.functions[node.name].append((place, node))
            elif isinstance(node, ast.Module | ast.ClassDef):
                for name, value in _assignments(node.body):
                    self.constants[name].append((place, value))


@dataclass
class Follower:
    """Follows expressions back to the texts that they are made of."""

    package: Package
    found: set[Said] = field(default_factory=set)
    told: dict[int, bool] = field(default_factory=dict)
    bound: dict[int, dict[str, list[ast.expr]]] = field(default_factory=dict)

    def follow(self, node: Node, place: str, inside: Functions | None) -> bool:
        """Note every text that an expression may be. Returns whether it may be one."""
        if node is None:
            return False
        if id(node) not in self.told:
            self.told[id(node)] = False
            self.told[id(node)] = self._follow(node, place, inside)
        return self.told[id(node)]

    def _follow_all(self, nodes: Iterable[ast.expr], place: str, inside: Functions | None) -> bool:
        told = [self.follow(each, place, inside) for each in nodes]  # each of them, whatever the first one is
        return any(told)

    def _follow(self, node: ast.expr, place: str, inside: Functions | None) -> bool:
        match node:
            case ast.Constant(value=str()) | ast.JoinedStr():
                return self._note(node, place, inside)
            case ast.BinOp(op=ast.Add(), left=left, right=right):
                if _is_text(left) and _is_text(right):
                    return self._note(node, place, inside)
                return self._follow_all((left, right), place, inside)
            case ast.Call():
                return self._follow_call(node, place, inside)
            case ast.Name(id=name):
                return self._follow_name(name, place, inside) or name in HANDED_ON
            case ast.Attribute(attr=name):
                return (
                    name in HANDED_ON
                    or self._follow_function(name, kinds=("property", "cached_property"))
                    or self._follow_constant(name)
                )
            case ast.Subscript(value=value):
                return self.follow(value, place, inside)
        return self._follow_all(_choices(node), place, inside)

    def _note(self, node: ast.expr, place: str, inside: Functions | None) -> bool:
        text = self._write(node, place, inside)
        if not WORDS.search(text) or CODE.match(text):
            return False
        self.found.add(Said(" ".join(text.split()), "", place))
        return True

    def _write(self, node: ast.expr, place: str, inside: Functions | None) -> str:
        """An f-string as it stands in the catalogue."""
        names: dict[str, int] = {}
        written = ""
        for part in _parts(node):
            if isinstance(part, str):
                written += part.replace("{", "{{").replace("}", "}}")
                continue
            name = TEXT if self.follow(part, place, inside) else _name(part)
            names[name] = names.get(name, 0) + 1
            written += f"{{{name}{names[name] if names[name] > 1 else ''}}}"
        return written

    def _follow_call(self, node: ast.Call, place: str, inside: Functions | None) -> bool:
        name = _called(node)
        if name in MARKED:
            return True
        if name in COUNTED:
            return self._note_count(node, COUNTED[name], name, place)
        if name in ("join", "join_names", "list", "tuple", "sorted", "reversed", "chain", "filter"):
            return self._follow_all(node.args, place, inside)
        texts = [self.follow(each, place, inside) for each in node.args if _is_text(each)]
        return self._follow_function(name) or (name in self.package.functions and any(texts))

    def _note_count(self, node: ast.Call, first: int, name: str, place: str) -> bool:
        given = [*node.args[first:], *(each.value for each in node.keywords)]
        words = [each.value for each in given if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        if not words or len(words) < len(given):
            return False
        one, many = words[0], words[1] if len(words) > 1 else f"{words[0]}s"
        listed = ": {names}" if name == "describe_names" else ""
        self.found.add(Said(f"{{count}} {one}{listed}", f"{{count}} {many}{listed}", place))
        return True

    def _follow_name(self, name: str, place: str, inside: Functions | None) -> bool:
        if inside is not None:
            if given := self._bound(inside).get(name):
                return self._follow_all(given, place, inside)
            if name in {each.arg for each in [*inside.args.args, *inside.args.kwonlyargs]}:
                return False
        return self._follow_constant(name)

    def _bound(self, inside: Functions) -> dict[str, list[ast.expr]]:
        """What the names in a function are given, and what loops over."""
        if id(inside) not in self.bound:
            found = self.bound[id(inside)] = defaultdict(list)
            nodes = list(ast.walk(inside))
            for name, value in _assignments(nodes):
                found[name].append(value)
            for node in nodes:
                if isinstance(node, ast.For | ast.comprehension) and isinstance(node.target, ast.Name):
                    found[node.target.id].append(node.iter)
        return self.bound[id(inside)]

    def _follow_constant(self, name: str) -> bool:
        found = [self.follow(value, place, None) for place, value in self.package.constants.get(name, ())]
        return any(found)

    def _follow_function(self, name: str, kinds: tuple[str, ...] = ()) -> bool:
        found = []
        for place, function in self.package.functions.get(name, ()):
            marks = {each.id for each in function.decorator_list if isinstance(each, ast.Name)}
            if kinds and not marks & set(kinds):
                continue
            found += [self.follow(each, place, function) for each in _given_back(function)]
        return any(found)


def find_said(files: Mapping[str, str], parts: Iterable[str]) -> set[Said]:
    """The texts that the files of some parts say, wherever in the package those are made.

    Args:
        files: what all files of the package hold, by their place.
        parts: beginnings of the places that are looked through for what is said.
    """
    package, trees = Package(), {place: ast.parse(source) for place, source in files.items()}
    for place, tree in trees.items():
        package.add(place, tree)
    follower = Follower(package)
    for place, tree in trees.items():
        if place.startswith(tuple(parts)):
            for inside, node in _let_out(tree, None):
                follower.follow(node, place, inside)
    return follower.found


def _let_out(node: ast.AST, inside: Functions | None) -> Iterator[tuple[Functions | None, ast.expr]]:
    """What leaves the program under a node, each with the outermost function that it stands in."""
    match node:
        case ast.Call(args=args, keywords=keywords):
            places = SINKS.get(_called(node), (0,) if _adds_to_lines(node) else ())
            yield from ((inside, args[place]) for place in places if place < len(args))
            yield from ((inside, each.value) for each in keywords if each.arg in LINES)
        case ast.FunctionDef(name=name) if name.strip("_") in LINES:
            yield from ((inside or node, each) for each in _given_back(node))
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
            yield from ((inside, value) for name, value in _assignments([node]) if name in LINES)
    for child in ast.iter_child_nodes(node):
        yield from _let_out(child, inside or (child if isinstance(child, Functions) else None))


def _adds_to_lines(node: ast.Call) -> bool:
    match node.func:
        case ast.Attribute(value=ast.Name(id=name) | ast.Attribute(attr=name), attr="append" | "extend"):
            return name in LINES
    return False


def _assignments(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, ast.expr]]:
    """The names that are given a value, each with it."""
    for node in nodes:
        match node:
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
                pairs = list(zip(names, values, strict=False))
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=value):
                pairs = [(name, value) for name in names if isinstance(name, ast.Name) and name.id in HANDED_ON]
            case ast.Assign(targets=[target], value=value) | ast.AnnAssign(target=target, value=ast.expr() as value):
                pairs = [(target, value)]
            case ast.NamedExpr(target=target, value=value) | ast.AugAssign(target=target, value=value):
                pairs = [(target, value)]
            case _:
                continue
        yield from ((target.id, value) for target, value in pairs if isinstance(target, ast.Name))


def _given_back(function: Functions) -> Iterator[ast.expr]:
    """What a function returns or yields."""
    for node in ast.walk(function):
        if isinstance(node, ast.Return | ast.Yield | ast.YieldFrom) and node.value is not None:
            yield node.value


def _choices(node: ast.expr) -> list[ast.expr]:
    """The expressions that another may give, or holds as items."""
    match node:
        case ast.IfExp(body=body, orelse=otherwise):
            return [body, otherwise]
        case ast.BoolOp(values=values) | ast.List(elts=values) | ast.Tuple(elts=values) | ast.Set(elts=values):
            return values
        case ast.Dict(values=values):
            return values
        case ast.ListComp(elt=each) | ast.GeneratorExp(elt=each) | ast.SetComp(elt=each) | ast.Starred(value=each):
            return [each]
        case ast.DictComp(value=each) | ast.NamedExpr(value=each) | ast.Await(value=each):
            return [each]
    return []


def _is_text(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Add) and _is_text(node.left) and _is_text(node.right)
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _parts(node: ast.expr) -> Iterator[str | ast.expr]:
    """The words of an f-string, and the expressions between."""
    match node:
        case ast.BinOp(left=left, right=right):
            yield from (*_parts(left), *_parts(right))
        case ast.JoinedStr(values=values):
            for each in values:
                yield from _parts(each)
        case ast.FormattedValue(value=value):
            yield value
        case ast.Constant(value=str(value)):
            yield value


def _called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def _name(node: ast.expr) -> str:
    """What a value is called in the catalogue."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            found = name
        case ast.Call(func=ast.Name(id="len" | "str" | "list" | "sorted" | "max" | "min"), args=[each, *_]):
            return _name(each)
        case ast.Call(func=ast.Attribute(attr="join"), args=[each]):
            return _name(each)
        case ast.Call():
            found = _called(node)
        case ast.Subscript(value=value) | ast.ListComp(elt=value) | ast.GeneratorExp(elt=value):
            return _name(value)
        case ast.BinOp(left=value) | ast.IfExp(body=value) | ast.Starred(value=value):
            return _name(value)
        case _:
            found = ""
    found = re.sub(r"\W|\d|^_+", "", found).lower()
    return found if found and found != TEXT else "value"
