"""Help and what is said of a wrong command line, in Korean."""

import re
import subprocess
import sys

import pytest
import typer
from rich.cells import cell_len

from jumok.app.cli import COMMANDS, build, split_off_language
from jumok.app.help_texts import USAGE, translate_usage
from jumok.language import speaking

HANGUL = re.compile("[가-힣]")


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS), ["train", "pairs"], ["sample", "dates"]])
def test_all_help_is_in_korean_and_wraps_at_the_edge(jumok, command):
    said = jumok("--language", "ko", *command, "--help")
    lines = said.out.splitlines()
    assert said.status == 0
    assert "사용법: jumok" in said.out
    assert "이 도움말을" in said.out
    boxed = [line for line in lines if line.startswith(("│", "╭", "╰"))]
    assert {cell_len(line) for line in boxed} == {80}
    assert re.search("[가-힣,.)] ?…", said.out) is None  # no syllable is cut off
    english = [line for line in lines if re.search(r"[a-z]+ (the|of|a|to|is|for|with) [a-z]", line)]
    assert english == []


@pytest.mark.parametrize("language", ["en", "ko"])
def test_no_word_of_help_is_cut_off(jumok, language):
    shown = {command: jumok("--language", language, command, "--help").out for command in COMMANDS}
    assert [command for command, text in shown.items() if "\N{HORIZONTAL ELLIPSIS}" in text] == []
    assert "integrated-gradients" in shown["look"]


NUMBERED = [[name] for name in COMMANDS] + [["train", word] for word in ("images", "pairs", "questions", "texts")]


@pytest.mark.parametrize("command", NUMBERED)
def test_every_number_says_what_it_is_by_default(jumok, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "400")
    lines = jumok(*command, "--help").out.splitlines()
    assert [line for line in lines if re.search("<(int|float)", line) and "default" not in line] == []


def test_english_help_is_as_before(jumok):
    assert "Usage: jumok" in jumok("--help").out
    jumok("--language", "ko", "--help")
    assert HANGUL.search(jumok("look", "--help").out) is None


def test_the_locale_chooses_and_the_option_wins(jumok, monkeypatch):
    monkeypatch.setenv("LC_ALL", "ko_KR.UTF-8")
    assert "사용법" in jumok("look", "--help").out
    assert "Usage" in jumok("look", "--help", "--language", "en").out


def test_the_option_stands_anywhere_before_two_dashes():
    assert split_off_language(["look", "--language=ko", "a"]) == ("ko", ["look", "a"])
    assert split_off_language(["translate", "run", "--", "--language", "ko"])[0] is None
    assert split_off_language(["--language"]) == (None, ["--language"])


def test_another_language_is_refused_in_one_line(jumok):
    said = jumok("--language", "fr", "look")
    assert said.status == 2
    assert said.err == "jumok: no texts in the language 'fr': choose en (English) or ko (한국어)\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train --foo", "없는 옵션입니다: --foo"),
        ("translate", "인자가 빠졌습니다: 'run' (jumok translate --help 참고)"),
        ("trian", "없는 명령입니다: 'trian'. 혹시 'train'인가요? (jumok --help 참고)"),
        ("bogus", "없는 명령입니다: 'bogus' (jumok --help 참고)"),
        ("look a --batch-size x", "'--batch-size'의 값이 잘못되었습니다: 정수여야 합니다 (jumok look --help 참고)"),
        ("ask a b --top 0", "'--top'의 값이 잘못되었습니다: 1 이상이어야 합니다 (jumok ask --help 참고)"),
        ("demo foo", "'tour'의 값이 잘못되었습니다: 'foo'은(는) 없습니다. 가능한 값: 'images', "),
        ("train --out", "'--out' 옵션에는 값이 필요합니다"),
        ("train --trust=3", "'--trust' 옵션에는 값을 쓰지 않습니다"),
        ("runs a b c", "필요 없는 인자가 있습니다: b c (jumok runs --help 참고)"),
    ],
)
def test_what_is_wrong_with_a_command_line_is_said_in_korean(jumok, words, message):
    said = jumok("--language", "ko", *words.split())
    assert said.status == 2
    assert said.err.startswith(f"jumok: {message}")


def test_what_is_not_in_the_list_is_said_in_english():
    with speaking("ko"):
        assert translate_usage("Something else") == "Something else"
        assert translate_usage(USAGE[0].format(name="--a.b", names="--a, --b")).startswith("없는 옵션입니다: --a.b(")


def test_commands_keep_their_english_texts():
    with speaking("ko"):
        assert typer.main.get_command(build(["look"])).commands["look"].help.startswith("Write each image's")


def test_korean_help_imports_neither_torch_nor_babel():
    script = "import sys; from jumok.app.cli import run; run(['--language', 'ko', '--help'])\n"
    script += "print(*(name for name in ('torch', 'babel', 'numpy') if name in sys.modules), 'loaded')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].strip() == "loaded"
