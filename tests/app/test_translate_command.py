import gzip
import io
import os
import re
import shutil
import sys
import unicodedata
from xml.etree import ElementTree

import pytest
from pair_helpers import settings_of, untrained
from PIL import Image

from jumok.app.naming import LONGEST_NAME
from jumok.app.sentences import LONGEST_LINE, read_sentences
from jumok.data.pairs.alignment_files import Links, read_links
from jumok.errors import JumokError
from jumok.tasks.translate.run import PairRun


@pytest.fixture(scope="module")
def sentences(reversals):
    return [line.split("\t")[0] for line in (reversals / "test.tsv").read_text().splitlines()][:12]


@pytest.fixture(scope="module")
def expected(reverser, sentences):
    return [best.text for best in PairRun.load(reverser).translate(sentences)]


@pytest.fixture
def typed(monkeypatch):
    """Bytes on standard input."""

    def put(content: bytes):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="ascii"))

    return put


@pytest.fixture(scope="module")
def blind(tmp_path_factory, reversals):
    """A run without attention."""
    folder = tmp_path_factory.mktemp("blind") / "run"
    untrained(folder, settings_of(reversals, options={"score": "none"}))
    return folder


# -- what is translated, and where it goes -----------------------------------------------------


def test_a_sentence_typed_as_one_word_or_several(jumok, reverser, sentences, expected):
    for words in ([sentences[0]], sentences[0].split()):
        said = jumok("translate", reverser, *words)
        assert (said.status, said.out, said.err) == (0, expected[0] + "\n", "")


def test_the_translations_may_replace_a_file(jumok, reverser, sentences, expected, tmp_path):
    (tmp_path / "out.txt").write_text("of yesterday")
    said = jumok("translate", reverser, sentences[0], "--out", tmp_path / "out.txt")
    assert (said.status, (tmp_path / "out.txt").read_text()) == (0, expected[0] + "\n")


def test_a_file_plain_or_packed(jumok, reverser, sentences, expected, tmp_path):
    text = "\r\n".join(sentences)  # without an end of its last line
    (tmp_path / "plain.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    (tmp_path / "packed.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("plain.txt", "packed.gz"):
        said = jumok("translate", reverser, tmp_path / name)
        assert (said.status, said.out.splitlines(), said.err) == (0, expected, "")


def test_standard_input(jumok, reverser, sentences, expected, typed):
    for words in (["-"], []):
        typed(b"\xef\xbb\xbf" + "\r\n".join(sentences).encode())
        said = jumok("translate", reverser, *words)
        assert (said.status, said.out.splitlines(), said.err) == (0, expected, "")


def test_a_pipe_under_a_name(jumok, reverser, sentences, expected, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    if not os.fork():
        (tmp_path / "pipe").write_text("\n".join(sentences))
        os._exit(0)
    assert jumok("translate", reverser, tmp_path / "pipe").out.splitlines() == expected
    os.wait()


def test_empty_lines_stay_where_they_are(jumok, reverser, sentences, expected, typed):
    typed(f"\n{sentences[0]}\n   \n\n{sentences[1]}\n".encode())
    assert jumok("translate", reverser).out.split("\n") == ["", expected[0], "", "", expected[1], ""]
    typed(b"")  # a pipe that holds nothing is translated to nothing, as by other filters
    said = jumok("translate", reverser)
    assert (said.status, said.out) == (0, "")
    assert said.err == "jumok: nothing to translate: no sentence came on standard input\n"
    assert jumok("translate", reverser, "").out == "\n"


def test_a_file_is_written_whole(jumok, reverser, sentences, expected, typed, tmp_path):
    out = tmp_path / "new" / "out.txt"
    typed("\n".join(sentences).encode())
    said = jumok("translate", reverser, "--out", out)
    assert (said.status, said.out) == (0, "")
    assert out.read_bytes() == ("\n".join(expected) + "\n").encode()
    typed(b"bad \xff byte\n")
    said = jumok("translate", reverser, "--out", out)
    assert said.status == 2
    assert "standard input, line 1: byte 0xff is not valid UTF-8" in said.err
    assert out.read_text() == "\n".join(expected) + "\n"
    assert [path.name for path in out.parent.iterdir()] == ["out.txt"]


def test_what_is_written_is_utf_8_whatever_the_surroundings_say(tmp_path, reversals, typed, monkeypatch, jumok):
    (tmp_path / "pairs.tsv").write_text("".join(f"{i}\t한글{i} 말\n" for i in range(40)))
    untrained(tmp_path / "run", settings_of(tmp_path / "pairs.tsv"))
    typed(b"1 2 3 4 5 6 7 8\n")
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    jumok("translate", tmp_path / "run", "--beam", 1)
    sys.stdout.flush()
    assert "한글" in raw.getvalue().decode()


# -- how ---------------------------------------------------------------------------------------


def test_several_translations_of_each(jumok, reverser, sentences, typed):
    typed("\n".join([sentences[0], "", sentences[1]]).encode())
    rows = [line.split("\t") for line in jumok("translate", reverser, "--n-best", 3, "--beam", 4).out.splitlines()]
    assert [row[0] for row in rows] == ["1"] * 3 + ["2"] + ["3"] * 3
    assert rows[3][2] == ""
    for first in (0, 4):
        scores = [float(row[1]) for row in rows[first : first + 3]]
        assert scores == sorted(scores, reverse=True)
        assert all(re.fullmatch(r"-?\d+\.\d{4}", row[1]) for row in rows)
    run = PairRun.load(reverser)
    (best,) = run.translate(sentences[:1], beam=4, n_best=3)
    assert [row[2] for row in rows[:3]] == [one.text for one in (best, *best.others)]


def test_beam_length_penalty_and_length_are_passed_on(jumok, reverser, sentences):
    run = PairRun.load(reverser)
    text = " ".join(sentences[:3])
    said = jumok("translate", reverser, text, "--beam", 1, "--max-length", 2)
    assert said.out.strip() == run.translate([text], beam=1, max_length=2)[0].text
    said = jumok("translate", reverser, text, "--beam", 3, "--n-best", 2, "--length-penalty", 0)
    best = run.translate([text], beam=3, n_best=2, length_penalty=0)[0]
    scores = [f"{one.score:.4f}" for one in (best, *best.others)]
    assert [line.split("\t")[1] for line in said.out.splitlines()] == scores


def test_unknown_words_are_told_once_and_cannot_do_harm(jumok, reverser, sentences, typed):
    typed(f"{sentences[0]} 犬\n犬 \x1b[31m\n".encode())
    said = jumok("translate", reverser)
    assert said.status == 0
    assert said.err.startswith("jumok: not in the vocabulary, read as unknown: 犬, U+001B")
    assert said.err.count("\n") == 1
    assert "\x1b" not in said.err
    many = " ".join(f"x{number}" for number in range(1030))
    assert jumok("translate", reverser, many, "--beam", 1).err.endswith(", x19 and 1,010 more\n")


def test_the_name_of_an_unknown_word_is_cut_where_it_is_long(jumok, reverser):
    fits, long = "y" * LONGEST_NAME, "z" * 3000
    said = jumok("translate", reverser, f"{fits} {long}", "--beam", 1)
    assert said.err == f"jumok: not in the vocabulary, read as unknown: {fits}, {'z' * (LONGEST_NAME - 1)}…\n"


def test_hangul_typed_as_letters_gives_the_same_line(jumok, tmp_path):
    (tmp_path / "pairs.tsv").write_text("".join(f"한글 {i}\t말 {i}\n" for i in range(40)))
    untrained(tmp_path / "run", settings_of(tmp_path / "pairs.tsv", vocabulary="characters"))
    one, other = (
        jumok("translate", tmp_path / "run", unicodedata.normalize(form, "한글 7"), "--beam", 2)
        for form in ("NFC", "NFD")
    )
    assert one.out == other.out != "\n"
    assert one.err == other.err == ""


def test_a_line_that_is_far_too_long_is_left_out_and_told(jumok, reverser, sentences, expected, typed):
    typed(f"{sentences[0]}\n{'word ' * 2561}\n{sentences[1]}\n".encode())
    said = jumok("translate", reverser)
    assert said.out.split("\n") == [expected[0], "", expected[1], ""]
    assert said.err == ("jumok: not translated (more than 2,560 tokens): line 2; wanted one sentence per line\n")


# -- what each word looked at ------------------------------------------------------------------


def test_alignments_are_read_back_and_right(jumok, reverser, sentences, expected, typed, tmp_path):
    typed("\n".join([*sentences, "", "x"]).encode())
    assert jumok("translate", reverser, "--align", tmp_path / "found.align").status == 0
    found = read_links(tmp_path / "found.align")
    assert len(found) == len(sentences) + 2
    assert found[-2] == Links()
    right = total = 0
    for links, source, target in zip(found, sentences, expected, strict=False):
        n = len(source.split())
        if target.split() == source.split()[::-1]:
            right += len(links.sure & {(n - 1 - i, i) for i in range(n)})
            total += n
    assert total > 20
    assert right >= 0.9 * total


def test_alignments_of_many_sentences_keep_their_places(jumok, reverser, sentences, typed, tmp_path, monkeypatch):
    texts = []
    for at_once, looked_at in ((2000, 64), (5, 2)):
        monkeypatch.setattr("jumok.app.translate.lines.SENTENCES_AT_ONCE", at_once)
        monkeypatch.setattr("jumok.app.translate.looks.MAPS_AT_ONCE", looked_at)
        typed("\n".join(sentences).encode())
        jumok("translate", reverser, "--align", tmp_path / "found.align")
        texts.append((tmp_path / "found.align").read_text())
    assert texts[0] == texts[1]
    assert len(set(texts[0].splitlines())) > 2


def test_links_of_another_reading_and_of_pieces(jumok, transformer, sentences, tmp_path):
    name = tmp_path / "found.align"
    lines = set()
    for more in ([], ["--reading", "layer 1"], ["--reading", "layer 2, head 1, next step"], ["--pieces"]):
        said = jumok("translate", transformer, sentences[0], "--align", name, *more)
        assert said.status == 0, said.err
        lines.add(name.read_text())
        (links,) = read_links(name)
        assert {target for _, target in links.sure} <= set(range(len(sentences[0].split())))
    assert len(lines) > 1


@pytest.mark.parametrize("ending", ["png", "svg", "html"])
def test_pictures_and_pages(jumok, reverser, sentences, tmp_path, ending):
    path = tmp_path / "new" / f"seen.{ending}"
    said = jumok("translate", reverser, sentences[0], "--show", path)
    assert (said.status, said.err) == (0, "")
    assert [found.name for found in path.parent.iterdir()] == [path.name]
    if ending == "png":
        with Image.open(path) as picture:
            assert min(picture.size) > 100
    elif ending == "svg":
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
    else:
        assert all(word in path.read_text() for word in sentences[0].split())


def test_a_picture_for_each_sentence_and_one_page_for_all(jumok, transformer, sentences, typed, tmp_path):
    for name in ("seen.png", "seen.html"):
        typed("\n".join([sentences[0], "", sentences[1]]).encode())
        assert jumok("translate", transformer, "--show", tmp_path / name).status == 0
    assert {path.name for path in tmp_path.iterdir()} == {"seen-1.png", "seen-3.png", "seen.html"}
    page = (tmp_path / "seen.html").read_text()
    assert page.index("mean, next step") < page.index("layer 1, next step")
    assert "sentence 3" in page


def test_sentences_that_are_not_shown_are_counted(jumok, reverser, sentences, typed, tmp_path, monkeypatch):
    monkeypatch.setattr("jumok.app.translate.looks.MOST_PICTURES", 2)
    monkeypatch.setattr("jumok.app.translate.looks.MAPS_AT_ONCE", 4)
    typed("\n".join(sentences).encode())
    said = jumok("translate", reverser, "--show", tmp_path / "seen.svg")
    assert said.err.startswith("jumok: 10 sentences are not shown")
    assert {path.name for path in tmp_path.iterdir()} == {"seen-1.svg", "seen-2.svg"}


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{run}", "a", "--n-best", "6"], "n_best 6 is more than beam 5"),
        (["{run}", "a", "--length-penalty", "-1"], "length_penalty is 0 to 10"),
        (["{run}", "a", "--beam", "0"], "beam is 0"),
        (["{run}", "a", "--show", "out/seen.pdf"], "--show writes .png, .svg or .html, got seen.pdf"),
        (
            ["{run}", "a", "--align", "out/a", "--reading", "atention"],
            "no reading 'atention': did you mean 'attention'",
        ),
        (["{run}", "a", "--show", "out/a.html", "--reading", "mean"], "no reading 'mean'"),
        (["{run}", "a", "--reading", "attention"], "--reading: nothing is shown or aligned: add --show FILE or"),
        (["{run}", "a", "--heads", "--pieces"], "--heads, --pieces: nothing is shown or aligned"),
        (["{blind}", "a", "--align", "out/a"], "no attention to its source (score none)"),
        (["{blind}", "a", "--show", "out/a.png"], "no attention to its source (score none)"),
        (["{run}", "missing.txt"], "no such file: missing.txt; to translate these very words"),
        (["{run}", "./missing"], "no such file: ./missing"),
        (["{run}", "{data}"], "is a folder: give a file with a sentence per line"),
        (["{run}", "{data}/test.tsv", "{data}/val.tsv"], "are files: give one"),
        (["{run}", "a", "--device", "tpu"], "no device 'tpu'"),
        (["{images}", "a"], "was trained to classify images: wanted one that was trained to translate"),
        (["nowhere", "a"], "no run at nowhere"),
        (["{data}", "a"], "is not a run: it has no config.yaml"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(
    jumok, reverser, blind, reversals, trained, tmp_path, monkeypatch, words, message
):
    monkeypatch.chdir(tmp_path)
    places = {"run": reverser, "blind": blind, "data": reversals, "images": trained}
    said = jumok("translate", *(word.format(**places) for word in words), "--out", "out/translations")
    assert said.status == 2
    assert message in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"good\nbad \xff\n", "line 2: byte 0xff is not valid UTF-8"),
        (gzip.compress(b"words and more words\n" * 99)[:-9], "is damaged or cut short"),
        (b"a" * (LONGEST_LINE + 1), "line 1: longer than 1024 KiB"),
    ],
    ids=["no UTF-8", "cut short", "long line"],
)
def test_files_that_do_not_do_are_refused(jumok, reverser, tmp_path, content, message):
    path = tmp_path / "in.txt"
    path.write_bytes(content)
    said = jumok("translate", reverser, path, "--out", tmp_path / "out.txt", "--align", tmp_path / "out.align")
    assert said.status == 2
    assert message in said.err
    assert said.err.count("\n") == 1
    assert [found.name for found in tmp_path.iterdir()] == ["in.txt"]


def test_a_long_line_on_standard_input_is_not_read_to_its_end(typed):
    typed(b"fine\n" + b"a" * (4 * LONGEST_LINE))
    lines = read_sentences(["-"])
    assert next(lines) == "fine"
    with pytest.raises(JumokError, match="standard input, line 2: longer than 1024 KiB"):
        next(lines)
    assert sys.stdin.buffer.tell() <= 1.5 * LONGEST_LINE


def test_sentences_are_not_taken_for_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text in ("and/or", "22.11.2026", "Hallo.", "z.B. so.txt", "x" * 5000, "a\0b", "3.14"):
        assert list(read_sentences([text])) == [text]


def test_sentences_in_quotes_are_several_and_bare_words_are_one():
    assert list(read_sentences(["Ein Hund rennt.", "Halt!"])) == ["Ein Hund rennt.", "Halt!"]
    assert list(read_sentences(["Ein", "Hund", "rennt."])) == ["Ein Hund rennt."]


def test_nothing_at_all_is_refused_on_a_terminal(jumok, reverser, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    assert "nothing to translate: give a sentence" in jumok("translate", reverser).err


def test_an_empty_file_is_one_line_and_nothing_is_written(jumok, reverser, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").touch()
    for more in (["--out", "out.txt", "--align", "out.align"], ["--json"], []):
        said = jumok("translate", reverser, "empty.txt", *more)
        assert (said.status, said.out) == (2, "")
        assert said.err == "jumok: nothing to translate: empty.txt is empty; wanted a sentence per line\n"
    assert [path.name for path in tmp_path.iterdir()] == ["empty.txt"]


def test_a_translator_is_not_looked_into_as_a_classifier(jumok, reverser, coloured, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = next(coloured.rglob("*.png"))
    said = jumok("look", image, "--model", reverser)
    assert said.status == 2
    assert "trained to translate sentences: wanted one that was trained to classify" in said.err
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_run_is_one_line(jumok, reverser, tmp_path):
    copy = shutil.copytree(reverser, tmp_path / "copy")
    (copy / "source.vocabulary").write_bytes(b"nonsense")
    said = jumok("translate", copy, "a")
    assert said.status == 2
    assert "source.vocabulary is damaged" in said.err
    assert said.err.count("\n") == 1
