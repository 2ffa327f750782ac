"""Names and texts from anywhere, as a terminal, a table or a file may have them."""

import os
import re
from pathlib import Path

import pytest
from rich.table import Table

import jumok
from jumok.app.session import as_json
from jumok.app.terminal import Terminal
from jumok.errors import JumokError
from jumok.files import regular_file, write_atomically
from jumok.wording import defuse, printable, readable

HOSTILE = "a\x1b]0;owned\x07\x1b[2J\x9b31m\u202eb\udcb0"


def test_nothing_that_a_terminal_obeys_is_left():
    shown = printable(HOSTILE)
    assert shown == r"a\x1b]0;owned\x07\x1b[2J\x9b31m\u202eb\xb0"
    assert printable("한글, עברית\tand\nlines") == "한글, עברית\tand\nlines"


def test_lines_and_tables_are_printed_without_escapes(tmp_path):
    with (tmp_path / "out").open("w", encoding="utf-8") as file:
        terminal = Terminal(file=file, width=200, force_terminal=True, color_system=None)
        terminal.print(HOSTILE, markup=False)
        table = Table(HOSTILE)
        table.add_row("[/x]" + HOSTILE)
        terminal.print(table, markup=False)
    shown = (tmp_path / "out").read_text("utf-8")
    assert not set(shown) & set("\x1b\x07\x9b\u202e")
    assert r"\x1b[2J\x9b31m\u202eb\xb0" in shown


@pytest.mark.parametrize("cell", ["=1+1", "+cmd", "-cmd", "@SUM(A1)", "\t=1", "＝1+1"])
def test_a_cell_is_no_formula(cell):
    assert defuse(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "a=b", "-0.5", "+1e-3", ".5", -1, None, "dent"])
def test_other_cells_stay(cell):
    assert defuse(cell) is cell


def test_names_that_are_no_utf8_can_be_written(tmp_path):
    assert readable("\ud800\udcb0") == "\ufffd\ufffd"
    write_atomically(tmp_path / "names.txt", "\udcb0.png")
    assert (tmp_path / "names.txt").read_text("utf-8") == "\ufffd.png"
    assert as_json({"image": Path("\udcb0.png")}) == '{"image": "\ufffd.png"}'


def test_only_a_file_that_ends_is_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    assert regular_file(tmp_path / "file") == tmp_path / "file"
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "loop", tmp_path / ("x" * 5000), tmp_path / "a\0b"):
        with pytest.raises(JumokError):
            regular_file(path)
    with pytest.raises(FileNotFoundError):
        regular_file(tmp_path / "none")


PACKAGE = Path(jumok.__file__).parent
TEXTS = [path for path in PACKAGE.rglob("*") if path.suffix in {".po", ".js", ".html"}]
TEXTS += [path for folder in (".", "docs") for path in (PACKAGE.parent / folder).glob("*.md")]


@pytest.mark.parametrize("path", sorted(TEXTS), ids=lambda path: path.name)
def test_a_percent_sign_stands_at_its_number(path):
    apart = r"[\d}][ \u00a0\u202f]%" + (r"[\"'`)]" if path.suffix == ".js" else "")  # else a remainder, in code
    shares = [line for line in path.read_text("utf-8").splitlines() if re.search(apart, line)]
    assert shares == []
