import csv
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from jumok.attention import AttentionMap, Features, Pixels, Scale

METHODS = ("fisher", "anova", "mutual-information", "mrmr-fcd", "mrmr-fcq", "mrmr-mid", "mrmr-miq", "jmi")
FILES = {"scores.csv", "scores.png", "mask.safetensors", "scores.safetensors"}


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    chance = np.random.default_rng(0)
    defective = np.repeat([0, 1], 100)
    shifts = {"x1": 0, "x2": 4, "x3": -4, "x4": 1.5}
    table = pd.DataFrame({name: chance.normal(size=200) + by * defective for name, by in shifts.items()})
    table["part"] = np.where(defective, "defective", "normal")
    path = tmp_path_factory.mktemp("tables") / "parts.csv"
    table.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("method", METHODS)
def test_two_of_four_columns_are_kept_and_written(jumok, tmp_path, parts, method):
    said = jumok("select", parts, "--target", "part", "--k", 2, "--method", method, "--out", tmp_path / "o")
    assert said.status == 0
    assert f"classes, 2 different; method {method}" in said.out
    assert re.search(r"\de[+-]\d", said.out) is None, "figures line up, none is written as a power of ten"
    assert {path.name for path in (tmp_path / "o").iterdir()} == FILES | {"reduced.csv"}
    rows = list(csv.DictReader((tmp_path / "o" / "scores.csv").open()))
    assert [row["kept"] for row in rows] == ["1", "1", "0", "0"]
    kept = {row["column"] for row in rows[:2]}
    if method != "mrmr-miq":
        assert kept == {"x2", "x3"}
    whole, reduced = pd.read_csv(parts), pd.read_csv(tmp_path / "o" / "reduced.csv")
    pd.testing.assert_frame_equal(reduced, whole[[name for name in whole if name in kept | {"part"}]])
    mask = AttentionMap.load(tmp_path / "o" / "mask.safetensors")
    assert mask.keys == Features(("x1", "x2", "x3", "x4"))
    assert mask.scale is Scale.MASK
    assert {name for name, weight in mask.top(2) if weight} == kept


def test_a_parquet_table_gives_a_parquet_table(jumok, tmp_path, parts):
    pd.read_csv(parts).to_parquet(tmp_path / "p.parquet")
    said = jumok("select", tmp_path / "p.parquet", "--target", "part", "--k", 2, "--out", tmp_path / "o")
    assert said.status == 0
    assert list(pd.read_parquet(tmp_path / "o" / "reduced.parquet").columns) == ["x2", "x3", "part"]


def test_what_was_done_about_a_wild_table_is_said(jumok, tmp_path, parts):
    table = pd.read_csv(parts).assign(
        line=["A", "B"] * 100, same=1, name=[f"part {i}" for i in range(200)], n=range(200)
    )
    table.loc[:4, "x4"], table.loc[7, "part"] = np.nan, None
    table.to_csv(tmp_path / "t.csv", index=False, sep=";")
    said = jumok("select", tmp_path / "t.csv", "--target", "part", "--out", tmp_path / "o")
    assert said.status == 0
    for what in ("without a target: 1 of 200 rows", "identifier (each value once): name",
                 "identifier (each whole number once, as rows are counted): n", "5 missing values in x4", "only: same",
                 "5 of 6 columns kept (target column: part)"):  # fmt: skip
        assert what in said.out
    reduced = pd.read_csv(tmp_path / "o" / "reduced.csv", sep=";")
    assert len(reduced) == 200
    assert reduced["x4"].isna().sum() == 5


def test_pixels_are_drawn_over_the_mean_image(jumok, tmp_path):
    chance = np.random.default_rng(0)
    target = chance.integers(0, 2, 120)
    pixels = chance.integers(0, 50, (120, 12))
    pixels[:, 5] += 200 * target
    pd.DataFrame(pixels).rename(columns=lambda n: f"p{n}").assign(t=target).to_csv(tmp_path / "t.csv", index=False)
    arguments = ("select", tmp_path / "t.csv", "--target", "t", "--k", 1, "--out", tmp_path / "o")
    assert jumok(*arguments, "--image", "3x4").status == 0
    mask = AttentionMap.load(tmp_path / "o" / "mask.safetensors")
    assert mask.keys == Pixels(3, 4)
    assert mask.top(1) == [("1,1", 1.0)]
    assert Image.open(tmp_path / "o" / "mask.png").width > 500
    for size, message in (("3x5", "15 pixels, and there are 12 columns"), ("3", "such as 28x28"), ("0x4", "such as")):
        said = jumok(*arguments, "--image", size)
        assert said.status == 2
        assert message in said.err


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (None, (), "no such file"),
        ("", (), "is empty"),
        ("a,t\n1,x\n2,y\n3,x\n4,y\n", ("--target", "T2"), "no column 'T2'"),
        ("a,t\n1,x\n2,y\n3,x\n4,y\n", ("--method", "fischer"), "did you mean 'fisher'"),
        ("a,t\n1,x\n2,y\n3,x\n4,y\n", ("--k", "2"), "1 of the 1 columns can be selected"),
        ("a,t\n1,x\n2,y\n3,x\n4,y\n", ("--k", "0"), "--k"),
        ("a,t\n1,x\n2,y\n3,x\n4,y\n", ("--as", "number"), "did you mean 'numbers'"),
        ("a,t\n1,x\n2,y\n3,x\n4,y\n", ("--as", "numbers"), "was said to be numbers"),
        ("a,t\n1,x\n2,y\n3,x\n4,y\n", ("--as", "numbers", "--method", "fisher"), "tells classes apart"),
        ("a,t\n1,x\n2,x\n3,x\n", (), "one class only, 'x'"),
        ("a,t\n1,x\n1,y\n1,x\n", (), "0 of the 1 columns can be selected"),
        ("a,t\nu,x\nv,y\nw,x\n", ("--method", "anova"), "text of more than 1 different values: a"),
        ("a,t\nu,x\nu,y\nw,x\nw,x\n", ("--method", "anova"), "text, which this method cannot use: a"),
        ("a,t\nu,x\nu,y\nw,x\nw,x\n", ("--method", "anova", "--categorical", "a"), "choose another --method"),
        ("a,t\nu,x\nu,y\nw,x\nw,x\n", ("--numeric", "a"), "no cell of it is a number, such as 'u'"),
        ("abc,t\n1,x\n2,y\n", ("--numeric", "abd"), "did you mean 'abc'"),
        ("a,t\n1,x\n2,y\n", ("--numeric", "a", "--drop", "a"), "choose one"),
        ("a,t\n1,x\n2,y\n", ("--drop", "t"), "would leave out the target"),
        ("a,t\n1,x\n2,y\n", ("--decimal", ";"), "--decimal is , or ."),
        ("a,t\n1,x\n,y\n3,x\n", ("--missing", "stop"), "1 missing value in a"),
        ("a,a,t\n1,2,x\n", (), "such as 'a'"),
        ("a,t\n1,x\n2,y,3\n", (), "line 3: 3 cells for 2 columns"),
        ("a,t\n1,x\n", (), "one value only: a"),
        ("a,t\n0.5,1.5\n0.7,2.5\n", (), "need more rows"),
    ],
)
def test_bad_input_is_one_line_and_status_2_and_nothing_is_written(jumok, tmp_path, text, options, message):
    path = tmp_path / "t.csv"
    if text is not None:
        path.write_text(text)
    target = () if "--target" in options else ("--target", "t")
    said = jumok("select", path, *target, *options, "--out", tmp_path / "o")
    assert said.status == 2
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_the_table_itself_is_never_written_over(jumok, tmp_path, parts):
    path = tmp_path / "reduced.csv"
    path.write_bytes(parts.read_bytes())
    said = jumok("select", path, "--target", "part", "--out", tmp_path)
    assert said.status == 2
    assert "would be overwritten" in said.err
    assert path.read_bytes() == parts.read_bytes()


def test_an_output_that_cannot_be_written(jumok, tmp_path, parts):
    (tmp_path / "o").write_text("a file")
    said = jumok("select", parts, "--target", "part", "--k", 2, "--out", tmp_path / "o")
    assert said.status == 2
    assert "cannot make the folder" in said.err


# -- types --------------------------------------------------------------------------------------


def write_wild(path):
    """A table as people have them: decimal commas, dates, '?', -999, 'None' as a class, an index, identifiers."""
    chance = np.random.default_rng(0)
    rows = [";id;when;len;temp;colour;t"]
    for row in range(150):
        t = ("None", "Scratch", "Dent")[row % 3]
        length = "?" if row % 25 == 0 else f"{(t != 'None') * 2 + chance.normal():.3f}".replace(".", ",")
        day = f"{chance.integers(1, 29)}.{chance.integers(1, 13)}.2025"
        temp = -999 if row % 20 == 0 else chance.integers(20, 30)
        rows.append(f"{row};P{chance.integers(10**9)};{day};{length};{temp};{'rgb'[chance.integers(3)]};{t}")
    path.write_text("\n".join(rows) + "\n")
    return path


def test_types_are_shown_first_and_what_was_taken_for_missing_is_told(jumok, tmp_path):
    said = jumok("select", write_wild(tmp_path / "t.csv"), "--target", "t", "--k", 1, "--out", tmp_path / "o")
    assert said.status == 0
    before = said.out.split("150 rows; target t")[0]
    for line in ("number: len (decimal comma), temp\n", "category: colour (3 values)\n",
                 "date: when (day.month.year, days since 2025-01-01)\n", "target: t (category, 3 values)\n",
                 "identifier (no name, as row numbers are written): Unnamed: 0", "identifier (each value once): id",
                 "'?' in 6 cells of len: taken for missing", "'None' in 50 cells of t: taken for a value; --na None",
                 "temp: 8 cells hold -999: give --na -999 if that means missing"):  # fmt: skip
        assert line in before
    rows = list(csv.DictReader((tmp_path / "o" / "scores.csv").open()))
    assert [row["column"] for row in rows if row["kept"] == "1"] == ["len"]
    assert {row["column"] for row in rows} == {"len", "temp", "colour", "when (days)"}
    assert (tmp_path / "o" / "reduced.csv").read_text().startswith("len;t\n?;None\n")


def test_corrections_change_what_columns_are_taken_for(jumok, tmp_path):
    path = write_wild(tmp_path / "t.csv")
    options = ("--na", "-999", "--na", "None", "--categorical", "when", "--drop", "colour,len", "--decimal", ",")
    said = jumok("select", path, "--target", "t", "--numeric", "Unnamed: 0", "--out", tmp_path / "o", *options)
    assert said.status == 0
    for line in ("number: Unnamed: 0, temp\n", "category: when (", "'-999' in 8 cells of temp: taken for missing",
                 "without a target: 50 of 150 rows"):  # fmt: skip
        assert line in said.out
    assert {row["column"] for row in csv.DictReader((tmp_path / "o" / "scores.csv").open())} == {
        "Unnamed: 0", "temp", "when"}  # fmt: skip


@pytest.mark.parametrize("method", ["mutual-information", "mrmr-mid", "mrmr-miq", "jmi"])
def test_random_identifiers_do_not_come_first(jumok, tmp_path, method):
    chance = np.random.default_rng(1)
    target = np.arange(300) % 2
    table = pd.DataFrame({
        "customer": [f"c{n}" for n in chance.integers(0, 140, 300)],  # 140 values "tell" a third of any target
        "number": chance.permutation(10**6)[:300],
        "width": target + chance.normal(size=300),
        "t": np.where(target, "good", "bad"),
    })  # fmt: skip
    table.to_csv(tmp_path / "t.csv", index=False)
    said = jumok("select", tmp_path / "t.csv", "--target", "t", "--k", 1, "--method", method, "--out", tmp_path / "o")
    assert said.status == 0
    rows = {row["column"]: row for row in csv.DictReader((tmp_path / "o" / "scores.csv").open())}
    assert next(iter(rows)) == "width"
    assert float(rows["width"]["p_value"]) <= 0.05 < min(float(rows[n]["p_value"]) for n in ("customer", "number"))
    assert float(rows["width"]["low"]) < float(rows["width"]["alone"]) < float(rows["width"]["high"])
    assert (
        "significantly better than noise by themselves (p <= 0.05 over all columns, 200 shuffles): width\n" in said.out
    )


def test_names_that_hold_line_ends_or_escapes_stay_on_one_line(jumok, tmp_path):
    names = ["two\nlines", "a\x1b[2Jb", "tab\there", "plain", "id\nx", "const\ny", "t\nt"]
    rows = [
        (i % 2 * 3 + i / 99, i % 2 + i / 77, [i / 7, "n/a", ""][min(i % 7, 2)], i % 3, i, 1, "yn"[i % 2])
        for i in range(60)
    ]
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, *rows])
    said = jumok("select", tmp_path / "t.csv", "--target", "t\nt", "--k", 3, "--out", tmp_path / "o")
    assert said.status == 0
    lines = said.out.split("\n")
    for name in names:
        shown = name.replace("\n", "\\n").replace("\t", "\\t").replace("\x1b", "\\x1b")
        assert any(shown in line for line in lines), shown
    assert "\x1b" not in said.out
    assert not [line for line in lines if line.startswith(("lines", "x", "y", "t ", "t:", "t)"))]
    assert [line for line in lines if "two\\nlines" in line and "kept" in line]
    assert [line for line in lines if "a\\x1b[2Jb" in line and "kept" in line]
    rows = list(csv.DictReader((tmp_path / "o" / "scores.csv").open(newline="")))
    assert {row["column"] for row in rows} == set(names) - {"id\nx", "t\nt"}  # in files names stay as they are


def test_in_korean_a_column_keeps_its_name_and_how_dates_were_read_is_told(jumok, tmp_path):
    rows = [f"{number},{number % 7 + number % 2},2024-01-{number % 28 + 1:02},{number % 2}" for number in range(60)]
    (tmp_path / "table.csv").write_text("\n".join(["id,a,day,y", *rows]))
    said = jumok(
        "select", tmp_path / "table.csv", "--target", "y", "--k", "1", "--out", tmp_path / "o", "--language", "ko"
    )
    assert said.status == 0, said.err
    assert "날짜: day(연-월-일, 2024-01-01부터의 일수)\n" in said.out
    assert "식별자(정수가 한 번씩만 나옴(행 번호처럼)): id\n" in said.out + said.err
