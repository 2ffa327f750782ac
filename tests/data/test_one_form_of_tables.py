"""Tables as text have one form, whoever reads them: questions, tables of labels and texts, tables of features."""

import gzip

import numpy as np
import pandas as pd
import pytest

from jumok.data.pairs.pair_set import read_pairs
from jumok.data.questions.files import read_files
from jumok.data.table_rows import read_rows, refuse_nested
from jumok.data.tables import read_table
from jumok.errors import JumokError

HEAD = "image\tquestion\tanswer\n"
COMMAS = HEAD.replace("\t", ",")


def as_questions(path):
    return [[row.image, row.question, *row.answers] for row in read_files([path])]


def as_rows(path):
    return [list(cells.values()) for _, cells in read_rows(path)]


def as_features(path):
    return read_table(path, as_text=True).to_numpy().tolist()


READERS = [as_questions, as_rows, as_features]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("a.tsv",
         HEAD + '1\t"how tall?\tbig\n2\tis it 5"\tyes\n', [["1", '"how tall?', "big"], ["2", 'is it 5"', "yes"]]),
        ("b.tsv", HEAD + '1\t"is it 5"" tall?"\tyes\n', [["1", 'is it 5" tall?', "yes"]]),
        ("c.tsv", '"image"\t"question"\t"answer"\n1\t"say\t""hi"""\tyes\n', [["1", 'say\t"hi"', "yes"]]),
        ("d.tsv", HEAD + "1\twhat\ris it?\tyes\n2\twho?\tno\n", [["1", "what is it?", "yes"], ["2", "who?", "no"]]),
        ("e.csv", COMMAS + "1,what\ris it?,yes\r\n2,who?,no\r\n", [["1", "what is it?", "yes"], ["2", "who?", "no"]]),
        ("f.csv", COMMAS + '1,"what\r\nis it?",yes\r\n', [["1", "what\r\nis it?", "yes"]]),
        ("g.csv", "\ufeff" + COMMAS + "1,a\u2028b\u0085c\x0cd,yes\n", [["1", "a\u2028b\u0085c\x0cd", "yes"]]),
        ("h.csv", COMMAS.replace(",", ";") + "1;who, me?;yes\n", [["1", "who, me?", "yes"]]),
        ("j.csv", "sep=;\r\n" + COMMAS.replace(",", ";") + "1;who, me;yes\n", [["1", "who, me", "yes"]]),
        ("k.csv", '\ufeff"sep=\t"\n' + HEAD + "1\twho\tyes\n", [["1", "who", "yes"]]),
        ("i.tsv", HEAD + "\n1\twho?\tyes\n \n", [["1", "who?", "yes"]]),
    ],
)  # fmt: skip
def test_readers_agree(tmp_path, read, name, text, wanted):
    path = tmp_path / name
    path.write_bytes(text.encode())
    assert read(path) == wanted


@pytest.mark.parametrize("read", [*READERS, lambda path: read_pairs([path])])
def test_lines_that_end_in_cr_alone_are_refused(tmp_path, read):
    path = tmp_path / "old.tsv"
    path.write_bytes((HEAD + "1\twho?\tyes\n").replace("\n", "\r").encode())
    with pytest.raises(JumokError, match="with CR alone, as old Macs did: save it with LF"):
        read(path)


def test_a_return_where_a_long_file_is_cut_into_pieces(tmp_path):
    path = tmp_path / "long.csv"
    for before in range(65_530, 65_540):
        path.write_bytes(f"a,b\n{'x' * before}\r\n1,y\rz\n".replace("x\r\n", "x,1\r\n").encode())
        assert read_table(path)["b"].tolist() == ["1", "y z"]


def test_a_table_says_the_same_as_parquet_as_it_does_as_csv(tmp_path):
    table = pd.DataFrame(
        {
            "label": ["a", "b", None],
            "whole": [1.0, 2.0, 1e16],
            "part": [0.5, None, 1e-7],
            "short": np.array([0.1, 2.0, np.nan], np.float32),
            "flag": [True, False, True],
            "gap": pd.array([1, None, 3], dtype="Int64"),
            "count": [1, 20, 300],
            "kind": pd.Categorical(["x", "y", "x"]),
            "sign": [True, None, False],
        }
    )
    table.to_csv(tmp_path / "a.csv", index=False)
    table.to_parquet(tmp_path / "a.parquet")
    assert as_rows(tmp_path / "a.parquet") == as_rows(tmp_path / "a.csv")


def test_texts_that_parquet_keeps_as_bytes_are_texts_and_other_bytes_are_refused(tmp_path):
    pd.DataFrame({"label": ["흠집".encode(), b"dent"]}).to_parquet(tmp_path / "a.parquet")
    assert as_rows(tmp_path / "a.parquet") == [["흠집"], ["dent"]]
    pd.DataFrame({"label": [b"\xff\xfe\x00"]}).to_parquet(tmp_path / "b.parquet")
    (where, cells), *_ = read_rows(tmp_path / "b.parquet")
    with pytest.raises(JumokError, match="'label' is 3 bytes: wanted a text, a number, or a list of such"):
        refuse_nested(where, cells, ["label"])


@pytest.mark.parametrize("read", READERS)
def test_lines_are_counted_from_the_first_of_the_file(tmp_path, read):
    path = tmp_path / "excel.csv"
    path.write_text("sep=;\n" + COMMAS.replace(",", ";") + "1;who;yes\n2;who\n")
    with pytest.raises(JumokError, match=r"line 4: 2 cells for 3 columns"):
        read(path)


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("a.csv", COMMAS.encode("utf-16"), "is text in UTF-16: give --encoding utf-16, or save it as UTF-8"),
        ("a.csv", gzip.compress(COMMAS.encode(), mtime=0), "is packed, or a spreadsheet: unpack it"),
        ("a.csv.gz", gzip.compress(COMMAS.encode(), mtime=0), "is packed, or a spreadsheet: unpack it"),
        ("a.xlsx", b"PK\3\4", "is packed, or a spreadsheet: unpack it, or save the sheet as CSV"),
    ],
)
def test_what_is_no_text_is_refused_with_what_to_do(tmp_path, name, content, wanted):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(JumokError, match=wanted):
        read_table(path)
