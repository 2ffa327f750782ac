"""Data sets of looks: what others read in them, and whose folder is refused."""

import json

import numpy as np
import pytest

import jumok
from jumok.app.engine.looker import Row
from jumok.app.engine.opened import About
from jumok.app.engine.out_folder import OutFolder
from jumok.app.engine.tables import METADATA, count_rows, make_schema, make_table, write_table
from jumok.attention import Axis, Patches
from jumok.errors import JumokError

KEYS = Patches(2, 2, ("cls",))
ABOUT = About("runs/first", ("cat", "dog"), "chefer", None, "chefer(cls)", "relevance", KEYS.to_dict())
MAP = np.array([0.5, 0.1, 0.2, 0.3, 0.4], np.float16)
FRAME = np.array([0.0, 0.25, 1.0, 0.75], np.float32)
SHARES = np.array([0.25, 0.75], np.float32)
ROWS = [Row("dog", 0.75, SHARES, "dog", "chefer(cls)", FRAME, MAP), Row(error="it is empty")]


@pytest.fixture
def folder(tmp_path):
    """A data set of two files, as it is while a third is being made."""
    (tmp_path / "_work").mkdir()
    (tmp_path / "_manifest.json").write_text("{}")
    for number in range(2):
        table = make_table(2 * number, ["a.png", "b.png"], ROWS, ABOUT)
        write_table(table, tmp_path / f"part-00000{number}.parquet", tmp_path / "_work")
    (tmp_path / "_work" / ".part-000002.1234.parquet").write_bytes(b"half")
    return tmp_path


def check(row):
    assert row["index"] == 2
    assert row["prediction"] == row["target"] == "dog"
    np.testing.assert_array_equal(np.asarray(row["map"], np.float32), MAP.astype(np.float32))
    np.testing.assert_array_equal(np.asarray(row["probabilities"], np.float32), SHARES)
    np.testing.assert_array_equal(np.asarray(row["frame"], np.float32), FRAME)


def test_pandas_reads_it(folder):
    pandas = pytest.importorskip("pandas")
    found = pandas.read_parquet(folder)
    assert len(found) == 4
    check(found.iloc[2])
    assert found["map"][3] is None
    assert found["error"][3] == "it is empty"


def test_polars_reads_it(folder):
    polars = pytest.importorskip("polars")
    found = polars.read_parquet(folder / "*.parquet")
    assert len(found) == 4
    check(found.row(2, named=True))
    assert found["map"].null_count() == found["prediction"].null_count() == 2


def test_duckdb_reads_it(folder):
    duckdb = pytest.importorskip("duckdb")
    found = duckdb.sql(f"select * from '{folder}/*.parquet' order by index").fetchall()
    names = [name for name, *_ in duckdb.sql(f"describe select * from '{folder}/*.parquet'").fetchall()]
    assert len(found) == 4
    check(dict(zip(names, found[2], strict=True)))


def test_datasets_of_hugging_face_reads_it(folder, tmp_path_factory):
    datasets = pytest.importorskip("datasets")
    cache = str(tmp_path_factory.mktemp("cache"))
    found = datasets.load_dataset("parquet", data_files=str(folder / "*.parquet"), split="train", cache_dir=cache)
    assert len(found) == 4
    check(found[2])


def test_the_schema_says_what_the_maps_are(folder):
    from pyarrow import parquet

    about = json.loads(parquet.read_schema(folder / "part-000000.parquet").metadata[METADATA])
    assert Axis.from_dict(about["keys"]) == KEYS
    assert about["classes"] == ["cat", "dog"]
    values = torch_map(parquet.read_table(folder / "part-000000.parquet")["map"][0].as_py())
    again = jumok.AttentionMap(values, jumok.One("image"), Axis.from_dict(about["keys"]), (), about["scale"])
    assert again.weights.shape == (1, 5)


def torch_map(values):
    import torch

    return torch.tensor(values, dtype=torch.float32)[None]


def test_numbers_and_looks_without_maps_have_their_own_columns():
    assert make_schema(About("m", ())).names == ["index", "path", "prediction", "error"]
    assert make_schema(About("m", ("a", "b"))).names == [
        *("index", "path", "prediction", "probability", "probabilities", "error")
    ]
    table = make_table(0, ["a"], [Row(0.1)], About("m", ()))
    assert table["prediction"].to_pylist() == [0.1]


def test_rows_and_errors_are_counted_from_the_end_of_a_file(folder):
    assert count_rows(folder / "part-000000.parquet") == (2, 1)
    assert count_rows(folder / "_work" / ".part-000002.1234.parquet") is None


# -- the folder ---------------------------------------------------------------------------------

KEY = {"source": "photos", "--model": "runs/first", "--method": None}


def test_a_folder_goes_on_with_its_own_command_alone(folder):
    out = OutFolder(folder)
    (folder / "_manifest.json").unlink()
    with pytest.raises(JumokError, match="holds no data set"):
        out.check(KEY)
    out.begin(KEY)
    out.check(KEY)
    with pytest.raises(JumokError, match=r"belongs to another command \(--model: runs/first there, runs/second now\):"):
        out.check({**KEY, "--model": "runs/second"})
    with pytest.raises(JumokError, match="--method: none there, libra now"):
        out.check({**KEY, "--method": "libra"})


def test_files_that_are_damaged_or_short_are_made_again(folder):
    out = OutFolder(folder)
    assert out.find_done([2, 2, 2]) == {0: 1, 1: 1}
    damaged = folder / "part-000001.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    assert out.find_done([3, 2, 2]) == {}
    assert not list(folder.glob("*.parquet"))


def test_two_at_once_are_refused_and_what_a_killed_one_left_is_cleared(folder):
    out = OutFolder(folder)
    out.workshop.mkdir()
    (out.workshop / ".part-000002.1234.parquet").write_bytes(b"half")
    with out.claimed():
        assert list(out.workshop.iterdir()) == []
        with pytest.raises(JumokError, match="another process is writing"), OutFolder(folder).claimed():
            pass
        with OutFolder(folder, rank=1).claimed():
            pass
    out.finish(KEY, [2, 2], {0: 1, 1: 1})
    assert sorted(path.name for path in folder.iterdir()) == [
        *("_manifest.json", "part-000000.parquet", "part-000001.parquet")
    ]
    manifest = json.loads((folder / "_manifest.json").read_text())
    assert manifest["parts"][1] == {"file": "part-000001.parquet", "rows": 2, "errors": 1}


@pytest.mark.parametrize("content", ["", "[]", '{"format": "other/1", "command": {}}', '{"format": "jumok-looks/1"}'])
def test_a_damaged_manifest_is_refused(content, tmp_path):
    (tmp_path / "_manifest.json").write_text(content)
    with pytest.raises(JumokError, match="damaged or of another version"):
        OutFolder(tmp_path).check(KEY)
