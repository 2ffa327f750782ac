"""Tables as text have one form, whoever reads them: questions, tables of labels and texts, tables of features."""

import pytest

from jumok.data.pairs.pair_set import read_pairs
from jumok.data.questions.files import read_files
from jumok.data.table_rows import read_rows
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
