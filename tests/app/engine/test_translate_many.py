"""`jumok translate --engine`: each sentence once in the data set, as plain translating gives it."""

import signal
import time

import pyarrow as pa
import pytest
from forked import Forked, find_children, kill, lives, wait_for_a_part
from pyarrow import parquet

from jumok.app.engine.text_sources import Lines, open_texts
from jumok.app.sentences import LONGEST_LINE
from jumok.data.pairs.alignment_files import read_links
from jumok.errors import JumokError
from jumok.tasks.translate.run import PairRun

BEAM = ("--beam", 2)


@pytest.fixture(scope="module")
def sentences(reversals):
    return [line.split("\t")[0] for line in (reversals / "test.tsv").read_text().splitlines()][:11]


@pytest.fixture
def corpus(tmp_path, sentences):
    """Two files in a folder: an empty line, and one that is not UTF-8; the last line has no end."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "a.txt").write_bytes("\r\n".join(sentences[:5]).encode() + b"\n\n\xff\xfe\n")
    (folder / "b.txt").write_bytes(("\ufeff" + "\n".join(sentences[5:])).encode())
    (folder / "notes.md").write_text("not a sentence")
    return folder


def read(folder):
    return [row for path in sorted(folder.glob("*.parquet")) for row in parquet.read_table(path).to_pylist()]


def words(run, source, out, *more):
    engine = ["--engine", "local", "--shard-size", 3, "--threads", 1, "--device", "cpu"]
    return [str(each) for each in ("translate", run, source, "--out", out, *engine, *BEAM, *more)]


def test_every_line_has_its_row_as_plain_translating_gives_it(jumok, reverser, corpus, sentences, tmp_path):
    said = jumok(*words(reverser, corpus, tmp_path / "out"))
    assert said.status == 1, said.err  # of the line that is not UTF-8
    rows = read(tmp_path / "out")
    assert [row["index"] for row in rows] == list(range(13))
    assert [row["path"].rpartition("/")[2] for row in rows[4:9]] == [
        "a.txt#5",
        "a.txt#6",
        "a.txt#7",
        "b.txt#1",
        "b.txt#2",
    ]
    wanted = PairRun.load(reverser).translate(sentences, beam=2)
    good = rows[:5] + rows[7:]
    assert [row["source"] for row in good] == sentences
    assert [row["translation"] for row in good] == [each.text for each in wanted]
    assert [row["score"] for row in good] == pytest.approx([each.score for each in wanted], abs=1e-5)
    assert (rows[5]["source"], rows[5]["translation"], rows[5]["error"]) == ("", "", None)
    assert rows[6]["translation"] is None
    assert "line 7: byte 0xff is not valid UTF-8" in rows[6]["error"]
    assert "links" not in rows[0]


def test_links_are_those_of_align(jumok, reverser, corpus, tmp_path):
    assert jumok(*words(reverser, corpus / "b.txt", tmp_path / "out", "--reading", "attention")).status == 0
    plain = ["translate", reverser, corpus / "b.txt", *BEAM, "--align", tmp_path / "links", "--reading", "attention"]
    assert jumok(*plain, "--out", tmp_path / "texts").status == 0
    rows = read(tmp_path / "out")
    assert [frozenset(map(tuple, row["links"])) for row in rows] == [
        each.sure for each in read_links(tmp_path / "links")
    ]
    assert any(row["links"] for row in rows)


def write_slowly():
    """So that what has begun can be killed before it ends."""
    from jumok.app.engine import worker

    write = worker.write_table
    worker.write_table = lambda *words: (time.sleep(0.1), write(*words))[1]


def test_a_command_that_was_killed_goes_on_to_the_same_rows(jumok, reverser, corpus, tmp_path):
    assert jumok(*words(reverser, corpus, tmp_path / "whole")).status == 1
    command, log = words(reverser, corpus, tmp_path / "out", "--processes", 2), tmp_path / "log"
    for _ in range(2):
        begun = Forked(command, log, write_slowly)
        wait_for_a_part(tmp_path / "out", begun)
        workers = list(find_children(begun.pid))
        kill(begun.pid)
        assert begun.wait() == -signal.SIGKILL, "it ended before it was killed"
        while any(map(lives, workers)):
            time.sleep(0.005)  # they end with their parent, and as its copies hold its lock until then
    assert jumok(*command).status == 1
    assert read(tmp_path / "out") == read(tmp_path / "whole")


def test_sentences_of_a_parquet_column(jumok, reverser, sentences, tmp_path):
    table = pa.table({"id": list(range(len(sentences))), "source": [*sentences[:-1], None]})
    parquet.write_table(table, tmp_path / "in.parquet")
    assert jumok(*words(reverser, tmp_path / "in.parquet", tmp_path / "out")).status == 1
    rows = read(tmp_path / "out")
    assert [row["source"] for row in rows] == [*sentences[:-1], None]
    assert rows[-1]["error"] == "no text in this row"
    wrong = jumok(*words(reverser, tmp_path / "in.parquet", tmp_path / "other", "--column", "id"))
    assert wrong.status == 2
    assert "column 'id' holds int64, wanted texts" in wrong.err
    assert not (tmp_path / "other").exists()


def test_shards_begin_where_lines_begin(tmp_path):
    """Also across the blocks that a file is read in; an overlong line costs its own row."""
    texts = [f"line {number} " + "x" * (number % 7 * 100_000) for number in range(40)]
    texts[20] = "y" * (3 * LONGEST_LINE)
    (tmp_path / "a.txt").write_text("\n".join(texts) + "\n")
    source = open_texts(str(tmp_path / "a.txt"), 7, None, print)
    assert (len(source), source.total) == (6, 40)
    items = [item for number in range(len(source)) for item in source.shard(number).items()]
    assert [item.name for item in items] == [f"{tmp_path}/a.txt#{number}" for number in range(1, 41)]
    told = [item.content for item in items]
    assert isinstance(told.pop(20), JumokError)
    assert told == texts[:20] + texts[21:]
    digest = source.digest
    (tmp_path / "a.txt").write_text("\n".join(["line X", *texts[1:]]) + "\n")
    assert Lines([str(tmp_path / "a.txt")], 7).digest != digest


@pytest.mark.parametrize(
    ("files", "name", "said"),
    [
        ({"a.txt.gz": "x"}, "a.txt.gz", "is packed, and --engine begins at any of its lines: unpack it first"),
        ({"a.txt": ""}, "a.txt", "is empty; wanted a sentence per line"),
        ({"a.md": "x"}, ".", "no sentences are at"),
        ({"a.txt": "x", "b.parquet": "x"}, ".", "stands for files of several kinds"),
        ({"b.parquet": "x"}, ".", "is damaged or not a Parquet file"),
        ({}, "none.txt", "no sentences are at"),
    ],
)
def test_sources_that_will_not_do(files, name, said, jumok, reverser, tmp_path):
    for file, text in files.items():
        (tmp_path / file).write_text(text)
    refused = jumok(*words(reverser, tmp_path / name, tmp_path / "out"))
    assert refused.status == 2
    assert said in refused.err
    assert refused.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_options_that_will_not_do(jumok, reverser, corpus, tmp_path):
    def refuse(*more, of=corpus, told):
        refused = jumok(*words(reverser, of, tmp_path / "out", *more))
        assert refused.status == 2
        assert told in refused.err
        assert not (tmp_path / "out").exists()

    refuse("--align", tmp_path / "links", told="--reading adds a column of links")
    refuse("--heads", told="--show, --align, --heads and --pieces draw some sentences")
    refuse("--n-best", 2, told="leave --n-best out")
    refuse("--reading", "layer 9", told="attention")
    refuse("--column", "text", told="no use for --column text")
    missing = jumok("translate", reverser, corpus, "--engine", "local")
    assert missing.status == 2
    assert "--out for the folder of the data set" in missing.err
    assert "folder of a run" in jumok(*words(reverser, corpus, reverser)).err


def test_a_data_set_of_another_search_is_refused(jumok, reverser, corpus, tmp_path):
    jumok(*words(reverser, corpus, tmp_path / "out"))
    refused = jumok(*words(reverser, corpus, tmp_path / "out", "--length-penalty", 0.5))
    assert refused.status == 2
    assert "--length-penalty: 1.0 there, 0.5 now" in refused.err
