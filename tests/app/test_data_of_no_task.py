"""Files that hold no data of any task are told by what they are, in one line, with what to do."""

import zipfile

import pandas as pd
import pytest
from PIL import Image

WANTED = (
    "wanted a folder of images, a table (.csv, .tsv, .jsonl or .parquet) of images, questions or texts, or sentence"
)
NAMED = ("x.xlsx", "x.zip", "x.csv.gz", "x.tar.gz", "x.PNG")
"""What is told by its name alone."""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("x.xlsx", "x.zip", "x"):
        with zipfile.ZipFile(tmp_path / name, "w") as packed:
            packed.writestr("a.txt", "hello")
    Image.new("RGB", (8, 8)).save(tmp_path / "x.PNG", "png")
    (tmp_path / "x.pdf").write_bytes(b"%PDF-1.4\n\0\0")
    (tmp_path / "x.csv.gz").write_bytes(b"\x1f\x8b")
    (tmp_path / "x.tar.gz").write_bytes(b"\x1f\x8b")
    (tmp_path / "pairs.tsv").write_text("a b\tb a\n")
    pd.DataFrame({"one": [1], "other": ["x"]}).to_parquet(tmp_path / "x.parquet")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["x.xlsx"], "x.xlsx is a spreadsheet: save it as CSV; "),
        (["--system", "seq2seq", "x.xlsx"], "x.xlsx is a spreadsheet: save it as CSV; "),
        (["texts", "x.xlsx"], "x.xlsx is a spreadsheet: save it as CSV; "),
        (["x.zip"], "x.zip is an archive: unpack it, and give the folder; "),
        (["x.csv.gz"], "x.csv.gz is a packed table: unpack it, and give the table; "),
        (["x.tar.gz"], "x.tar.gz is an archive: unpack it, and give the folder; "),
        (["x.PNG"], "x.PNG is a single image: give the folder of all images; "),
        (["images", "x.PNG"], "x.PNG is a single image: give the folder of all images; "),
        (["pairs.tsv", "x.PNG"], "x.PNG is a single image: give the folder of all images; "),
        (["x.pdf"], "x.pdf is not text: "),
        (["x"], "x is not text: "),
    ],
)
@pytest.mark.parametrize("verb", ["train", "compare", "inspect"])
def test_what_is_data_of_no_task_is_named_in_one_line(jumok, place, verb, words, message):
    if (verb == "compare" and "--system" in words) or (verb == "inspect" and (len(words) > 1 or words[0] not in NAMED)):
        return
    before = sorted(place.iterdir())
    said = jumok(verb, *words, "--out", "out")
    assert said.status == 2
    assert said.err.startswith(f"jumok: {message}{WANTED}")
    assert said.err.count("\n") == 1
    assert sorted(place.iterdir()) == before


@pytest.mark.parametrize(
    "words", [["train", "{}"], ["train", "images", "{}"], ["inspect", "{}"], ["select", "{}", "--target", "a"]]
)
@pytest.mark.parametrize("head", [b"image,label\na.png,x\n", b"PAR1\0\0PAR1"])
def test_a_damaged_parquet_file_is_told_as_such(jumok, place, words, head):
    (place / "x.parquet").write_bytes(head)
    said = jumok(*[word.format("x.parquet") for word in words])
    assert said.status == 2
    assert said.err.startswith("jumok: x.parquet is damaged or not a Parquet file (")
    assert said.err.count("\n") == 1
    assert not (place / "runs").exists()


def test_text_in_utf_16_is_still_told_as_what_it_is(jumok, place):
    (place / "wide.txt").write_text("a b\tb a\n", encoding="utf-16")
    said = jumok("train", "wide.txt", "--out", "out")
    assert said.status == 2
    assert "save it as UTF-8" in said.err


@pytest.mark.parametrize(("name", "columns"), [("words.csv", "ko, en"), ("x.parquet", "one, other")])
def test_a_table_none_of_whose_columns_is_known_is_told_as_such(jumok, place, name, columns):
    (place / "words.csv").write_text("ko,en\n나,I\n")
    said = jumok("train", name, "--out", "out")
    assert said.status == 2
    assert said.err.startswith(f"jumok: {name} has the columns {columns}: wanted image,label, or image,question,answer")
    assert "sentence pairs are two columns of a .tsv" in said.err


@pytest.mark.parametrize(
    ("name", "head", "word"),
    [
        ("a.csv", "text,label\na,b\n", "texts"),
        ("a.tsv", "one\tother\n", "pairs"),
        ("a.csv", "image,question,answer\na.png,what?,b\n", "questions"),
    ],
)
def test_inspect_says_of_other_data_what_tells_of_it(jumok, place, name, head, word):
    (place / name).write_text(head)
    said = jumok("inspect", name, "--out", "out")
    assert said.status == 2
    wanted = f"{name} looks like {word}, and jumok inspect looks at images, in a folder or a table of image,label"
    assert said.err == f"jumok: {wanted}: jumok train {word} {name} --dry-run says what is in it\n"
