"""Every command and every option that a text of the program names exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import typer

import jumok
from jumok.app import cli

PACKAGE = Path(jumok.__file__).parent
FLAG = re.compile(r"(?<![\w-])(?<!\{ )--[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
"""An option; not a property of a style sheet, which stands behind a brace."""
CALL = re.compile(r"\bjumok ([a-z]+)((?: [^\s`:;,()]+)*)")
OF_OTHERS = {"--upgrade", "--nproc-per-node", "--max-restarts", "--no"}
"""Options of pip and torchrun, and the beginning of those that say no."""


@cache
def options_of(command):
    """The options of a command and of those below it."""
    whole = typer.main.get_command(cli.build([command]))
    named = whole.commands[command]
    every = [named, *getattr(named, "commands", {}).values()]
    flags = {flag for each in every for one in each.params for flag in (*one.opts, *one.secondary_opts)}
    of_all = {flag for one in whole.params for flag in (*one.opts, *one.secondary_opts)}
    return frozenset({*flags, *of_all, "--help", "--install-completion", "--show-completion"})


def texts():
    """Every text in the package that may be shown, with the place it stands in; what is filled in is a word."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            place = f"{path.relative_to(PACKAGE)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.JoinedStr):
                yield place, "".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
                yield place, node.value


@pytest.fixture(scope="module")
def every_option():
    return frozenset().union(*map(options_of, cli.COMMANDS)) | OF_OTHERS


def test_options_that_are_named_exist(every_option):
    named = [(place, flag) for place, text in texts() for flag in FLAG.findall(text)]
    assert len(named) > 150
    assert [one for one in named if one[1] not in every_option] == []


def test_commands_that_are_named_exist_and_take_the_options_beside_them():
    wrong, calls = [], 0
    for place, text in texts():
        for command, rest in CALL.findall(text):
            if command in cli.COMMANDS:
                calls += 1
                wrong += [(place, command, flag) for flag in FLAG.findall(rest) if flag not in options_of(command)]
            elif FLAG.search(rest):
                wrong.append((place, command, rest))
    assert calls > 30
    assert wrong == []
