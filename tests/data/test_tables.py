import os
import sys

import numpy as np
import pandas as pd
import pytest

from jumok.data import tables
from jumok.data.tables import read_table, write_table
from jumok.errors import JumokError


def write(folder, text, name="t.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_first_line_tells_what_parts_the_cells(tmp_path, separator):
    path = write(tmp_path, "a,b c,나이\n1,2.5,x\n3,,y\n".replace(",", separator))
    table = read_table(path)
    assert list(table.columns) == ["a", "b c", "나이"]
    assert table["b c"].isna().tolist() == [False, True]
    assert tables.separator_of(path) == separator


def test_marks_spaces_and_quotes(tmp_path):
    table = read_table(write(tmp_path, '\ufeffa, "b, c" \n1, 2\n'))
    assert [name.strip() for name in table.columns] == ["a", "b, c"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (",a,b\n0,1,2\n1,3,4\n", ["Unnamed: 0", "a", "b"]),
        (",,a\nx,0,1\nx,1,3\n", ["Unnamed: 0", "Unnamed: 1", "a"]),
        (",Unnamed: 0,a\n0,5,1\n1,6,3\n", ["Unnamed: 1", "Unnamed: 0", "a"]),
        ("a,b,\n1,2,\n3,4,\n", ["a", "b"]),
    ],
)
def test_first_columns_without_a_name_get_one_and_empty_ones_at_the_end_go(tmp_path, text, names):
    assert list(read_table(write(tmp_path, text)).columns) == names


def test_words_stay_as_they_stand_in_the_file(tmp_path):
    table = read_table(write(tmp_path, "a,b\nNone,1\nNA,?\n,3\n"))
    assert table["a"].iloc[:2].tolist() == ["None", "NA"]
    assert table["a"].isna().tolist() == [False, False, True]
    assert table["b"].tolist() == ["1", "?", "3"]


def test_other_encodings_are_read_when_named(tmp_path):
    path = write(tmp_path, "길이,판정\n1.5,정상\n", encoding="cp949")
    assert list(read_table(path, encoding="cp949").columns) == ["길이", "판정"]
    with pytest.raises(JumokError, match="give another --encoding"):
        read_table(path)
    with pytest.raises(JumokError, match="no encoding 'cp9949'"):
        read_table(path, encoding="cp9949")


def test_numbers_come_back_to_the_last_digit(tmp_path):
    table = pd.DataFrame({"x": np.random.default_rng(0).normal(size=200) * 1e-7, "n": range(200)})
    for name in ("t.csv", "t.tsv", "t.parquet"):
        separator = "\t" if name == "t.tsv" else ","
        write_table(table, tmp_path / name, separator=separator)
        pd.testing.assert_frame_equal(read_table(tmp_path / name), table, check_exact=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("a,b\n", "no rows"),
        ("a,a\n1,2\n", "such as 'a'"),
        ("a,,c\n1,2,3\n", "column 2 has no name"),
        ("a,b,\n1,2,3\n", "column 3 has no name"),
        ("\n1,2\n", "column 1 has no name"),
        ("a,b\n1,2\n1,2,3\n", "line 3: 3 cells for 2 columns"),
        ("a,b\n1,2,3\n1,2,3\n", "line 2: 3 cells for 2 columns"),
        ('a,b\n1,"2\n', "line 2: a quote that begins in this row is never closed"),
        ("\x89PNG\r\n\x00\x00,", "zero bytes"),
    ],
)
def test_files_that_are_no_tables(tmp_path, text, message):
    with pytest.raises(JumokError, match=message) as raised:
        read_table(write(tmp_path, text, encoding="latin-1"))
    assert "\n" not in str(raised.value)


def test_no_file_a_folder_another_kind(tmp_path):
    with pytest.raises(JumokError, match="no such file"):
        read_table(tmp_path / "t.csv")
    (tmp_path / "d.csv").mkdir()
    with pytest.raises(JumokError, match="is a folder"):
        read_table(tmp_path / "d.csv")
    with pytest.raises(JumokError, match=r"did you mean '\.csv'"):
        read_table(write(tmp_path, "a\n1\n", "t.cvs"))


def test_what_is_too_large(tmp_path, monkeypatch):
    path = write(tmp_path, "a,b\n1,2\n3,4\n5,6\n")
    pd.DataFrame({"a": [1, 3, 5], "b": [2, 4, 6]}).to_parquet(tmp_path / "t.parquet")
    monkeypatch.setattr(tables, "MOST_CELLS", 5)
    with pytest.raises(JumokError, match="more than 5 cells"):
        read_table(path)
    with pytest.raises(JumokError, match="3 rows of 2 columns"):
        read_table(tmp_path / "t.parquet")
    monkeypatch.setattr(tables, "MOST_COLUMNS", 1)
    with pytest.raises(JumokError, match="wanted at most 1"):
        read_table(path)
    monkeypatch.setattr(tables, "MOST_BYTES", 3)
    with pytest.raises(JumokError, match="give a part of it"):
        read_table(path)


def test_parquet_that_is_damaged_or_not_wanted(tmp_path, monkeypatch):
    with pytest.raises(JumokError, match="damaged or not a Parquet file"):
        read_table(write(tmp_path, "a,b\n1,2\n", "t.parquet"))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(JumokError, match=r"pip install .*\[parquet\]"):
        read_table(tmp_path / "t.parquet")


def test_an_index_with_a_name_is_a_column(tmp_path):
    frame = pd.DataFrame({"a": [1, 2]}, index=pd.Index([5, 6], name="key"))
    frame.to_parquet(tmp_path / "t.parquet")
    assert set(read_table(tmp_path / "t.parquet").columns) == {"a", "key"}
    frame.rename_axis(None).to_parquet(tmp_path / "t.parquet")
    assert list(read_table(tmp_path / "t.parquet").columns) == ["a"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x,n,y\n1,2,a\n3,b\n", "line 3: 2 cells for 3 columns"),
        ("x,n,y\n1,2,a\n3,4,b,5\n", "line 3: 4 cells for 3 columns"),
        ("x,n,y\n1,2,a\n\n3,4\n", "line 4: 2 cells for 3 columns"),
        ('x,n,y\n"1\n1",2,a\n3\n', "line 4: 1 cell for 3 columns"),
        ("Report\n\nx,n,y\n1,2,a\n", "line 3: 3 cells for 1 column"),
        ('x,n,y\n1,2,a\n"3,4,b\n', "line 3: a quote that begins in this row is never closed: close it, or remove it"),
    ],
)
def test_a_row_of_another_length_is_told_with_its_line(tmp_path, text, said):
    with pytest.raises(JumokError) as caught:
        read_table(write(tmp_path, text))
    assert said in str(caught.value)
    assert "C error" not in str(caught.value)


@pytest.mark.parametrize("text", ["x,y\n1,a,\n2,b,\n", "x,y,\n1,a\n2,b,\n", "x,y\n1,a\n\n2,b\n", "x,y\n1,\n2,b\n"])
def test_commas_too_many_and_empty_cells_do_no_harm(tmp_path, text):
    assert list(read_table(write(tmp_path, text))["x"]) == [1, 2]


def test_a_pipe_is_no_missing_file(tmp_path):
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(JumokError, match="is not a plain file but a pipe or device"):
        read_table(tmp_path / "t.csv")
