"""What commands print: how wide tables are where no one looks."""

import io

import pytest
from rich.table import Table

from jumok.app.terminal import Terminal


def lines_of(table, **options):
    file = io.StringIO()
    Terminal(file=file, highlight=False, soft_wrap=True, emoji=False, **options).print(table)
    return file.getvalue().splitlines()


@pytest.fixture
def wide():
    table = Table(*(f"column {number}" for number in range(40)))
    table.add_row(*("x" * 30 for _ in range(40)))
    return table


def test_tables_that_go_to_a_file_or_a_program_are_whole(wide, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    lines = lines_of(wide)
    assert len(lines) == 5
    assert lines[3].count("x" * 30) == 40
    assert max(map(len, lines)) == min(map(len, lines)) < 1400


def test_tables_keep_to_the_width_that_is_asked_for(wide, monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")
    assert max(map(len, lines_of(wide))) <= 90
    monkeypatch.delenv("COLUMNS")
    assert max(map(len, lines_of(wide, force_terminal=True, width=70))) <= 70


@pytest.mark.parametrize("columns", ["0", "", "wide", "-5"])
def test_a_width_that_is_none_is_passed_over(wide, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    assert len(lines_of(wide)) == 5
