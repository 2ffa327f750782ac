"""Looks for FiftyOne: the documents that its form of a data set is made of, and what it makes of them itself."""

import base64
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from app_helpers import write_coloured
from PIL import Image

from jumok.app.fiftyone_folder import FiftyOneFolder, Sample
from jumok.attention import AttentionMap, One, Patches, Pixels, Scale

PYTHON = os.environ.get("FIFTYONE_PYTHON", sys.executable)
"""An interpreter that has FiftyOne: it pins libraries that others need in other versions."""
ID = re.compile(r"[0-9a-f]{24}")


def heat(values, keys, scale=Scale.RELEVANCE):
    return AttentionMap(torch.tensor(values).reshape(1, -1), One("image"), keys, (), scale)


def read(folder):
    samples = json.loads((folder / "samples.json").read_text())["samples"]
    return samples, json.loads((folder / "metadata.json").read_text())


def unpack(binary):
    assert binary["$binary"]["subType"] == "00"
    return np.load(io.BytesIO(zlib.decompress(base64.b64decode(binary["$binary"]["base64"]))), allow_pickle=False)


def list_labels(sample):
    return [value for value in sample.values() if isinstance(value, dict) and "_cls" in value]


@pytest.fixture
def folder(tmp_path):
    """A sample of each kind of field."""
    with FiftyOneFolder(tmp_path / "out", "mine", "class", ("cat", "dog")) as out:
        heats = {"heatmap": heat([0.0, 0.1, 0.3, 0.6], Patches(2, 2))}
        out.add(Sample(tmp_path / "a.png", None, "dog", {"dog": 0.75}, "cat", heats, {"method": "rollout", "note": ""}))
        out.add(Sample(Path("00000001.png"), b"bytes", "cat"))
        out.add_failed(tmp_path / "b.png", "it is empty")
    return tmp_path / "out"


def test_samples_are_documents_of_fiftyone(folder):
    samples, about = read(folder)
    ids = [sample["_id"]["$oid"] for sample in samples]
    ids += [label["_id"]["$oid"] for sample in samples for label in list_labels(sample)]
    assert len(set(ids)) == len(ids) == 7
    assert all(map(ID.fullmatch, ids))
    for sample in samples:
        assert sample["_media_type"] == "image"
        assert sample["tags"] == []
        assert 0 <= sample["_rand"] < 1
        assert sample["_dataset_id"] == about["_id"]
    assert samples[0]["filepath"] == str(folder.parent / "a.png")
    assert samples[0]["prediction"] | {"_id": 0} == {
        "_id": 0, "_cls": "Classification", "tags": [], "label": "dog", "confidence": 0.75,
    }  # fmt: skip
    assert samples[0]["ground_truth"]["label"] == "cat"
    assert "note" not in samples[0]
    assert samples[1]["filepath"] == "data/00000001.png"
    assert (folder / "data" / "00000001.png").read_bytes() == b"bytes"
    assert samples[2]["error"] == "it is empty"


def test_every_field_of_a_sample_is_described(folder):
    samples, about = read(folder)
    fields = {field["db_field"]: field for field in about["sample_fields"]}
    assert {name for sample in samples for name in sample} <= set(fields)
    assert {name: field["embedded_doc_type"] for name, field in fields.items() if field["embedded_doc_type"]} == {
        "metadata": "fiftyone.core.metadata.ImageMetadata",
        "prediction": "fiftyone.core.labels.Classification",
        "ground_truth": "fiftyone.core.labels.Classification",
        "heatmap": "fiftyone.core.labels.Heatmap",
    }
    for sample in samples:
        for name, label in sample.items():
            if isinstance(label, dict) and "_cls" in label:
                assert set(label) - {"_cls"} <= {field["db_field"] for field in fields[name]["fields"]}
    assert about["default_classes"] == ["cat", "dog"]
    assert about["media_type"] == "image"


def test_maps_keep_their_values(folder):
    heatmap = read(folder)[0][0]["heatmap"]
    np.testing.assert_array_equal(unpack(heatmap["map"]), np.float32([[0.0, 0.1], [0.3, 0.6]]))
    assert unpack(heatmap["map"]).dtype == np.float32
    assert heatmap["range"] == [0.0, pytest.approx(0.6)]


@pytest.mark.parametrize(
    ("found", "shape", "ends"),
    [
        (heat([-2.0, 1.0], Patches(1, 2), Scale.SCORE), (1, 2), [-2.0, 2.0]),
        (heat([0.0, 0.0], Patches(1, 2)), (1, 2), [0.0, 1.0]),
        (heat([0.5, 1.0, 0.25], Patches(1, 2, special=("cls",))), (1, 2), [0.0, 1.0]),
        (heat([1.0] * 2048 * 4, Pixels(2048, 4)), (512, 1), [0.0, 1.0]),
        (heat([1.0, 1.0], Patches(1, 2)).within((0.0, 0.0, 1.0, 1.0)), (1, 2), [0.0, 1.0]),
    ],
)
def test_a_map_has_the_range_of_its_colours_and_no_more_cells_than_needed(tmp_path, found, shape, ends):
    with FiftyOneFolder(tmp_path / "out", "mine") as out:
        out.add(Sample(tmp_path / "a.png", heats={"heatmap": found}))
    heatmap = read(tmp_path / "out")[0][0]["heatmap"]
    assert unpack(heatmap["map"]).shape == shape
    assert heatmap["range"] == ends


def test_a_map_of_a_part_lies_in_that_part(tmp_path):
    with FiftyOneFolder(tmp_path / "out", "mine") as out:
        part = heat([1.0, 2.0], Patches(2, 1)).within((0.0, 0.5, 1.0, 1.0))
        out.add(Sample(tmp_path / "a.png", heats={"heatmap": part}))
    grid = unpack(read(tmp_path / "out")[0][0]["heatmap"]["map"])
    height, width = grid.shape
    assert (grid[:, : width // 2] == 0).all()
    assert (grid[: height // 2, width // 2 :] == 1).all()
    assert (grid[height // 2 :, width // 2 :] == 2).all()


@pytest.mark.parametrize(
    ("answers", "answer", "shares", "wanted"),
    [
        ("multi", "cat|dog", {"cat": 0.9}, [("cat", 0.9), ("dog", None)]),
        ("multi", "", {"cat": 0.1}, []),
        ("number", 12.5, {}, 12.5),
    ],
)
def test_each_kind_of_answer_is_its_own_kind_of_label(tmp_path, answers, answer, shares, wanted):
    with FiftyOneFolder(tmp_path / "out", "mine", answers) as out:
        out.add(Sample(tmp_path / "a.png", answer=answer, shares=shares))
    label = read(tmp_path / "out")[0][0]["prediction"]
    if answers == "number":
        assert (label["_cls"], label["value"]) == ("Regression", wanted)
    else:
        assert label["_cls"] == "Classifications"
        assert [(each["label"], each.get("confidence")) for each in label["classifications"]] == wanted


def test_nothing_is_left_where_it_fails(tmp_path):
    with pytest.raises(ZeroDivisionError), FiftyOneFolder(tmp_path / "out", "mine") as out:
        out.add(Sample(tmp_path / "a.png", answer="cat"))
        raise ZeroDivisionError
    assert list((tmp_path / "out").iterdir()) == []


# -- the command --------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path):
    folder = write_coloured(tmp_path / "pictures", each=3)
    (folder / "red" / "broken.png").write_bytes(b"no image")
    return folder


def test_a_look_at_a_folder_is_exported(pictures, trained, jumok, tmp_path):
    words = ["--model", trained, "--out", tmp_path / "out", "--device", "cpu", "--no-html", "--no-pictures"]
    said = jumok("look", pictures, *words, "--export", "fiftyone", "--json")
    report = json.loads(said.out)
    assert report["export"] == str(tmp_path / "out" / "fiftyone")
    samples, about = read(tmp_path / "out" / "fiftyone")
    assert about["default_classes"] == ["blue", "green", "red"]
    assert len(samples) == len(report["images"]) == 10
    for row in report["images"]:
        (sample,) = (each for each in samples if each["filepath"] == str(pictures / row["image"]))
        if "error" in row:
            assert sample["error"] == row["error"]
            continue
        assert sample["ground_truth"]["label"] == Path(row["image"]).parts[0]
        assert sample["prediction"]["label"] == row["predicted"]
        assert sample["prediction"]["confidence"] == pytest.approx(row["probability"])
        saved = AttentionMap.load(tmp_path / "out" / Path(row["image"]).parent / row["map"])
        grid = unpack(sample["heatmap"]["map"])
        np.testing.assert_allclose(grid, saved.image(*grid.shape)[0].numpy())


def test_without_a_model_maps_alone_are_exported(pictures, jumok, tmp_path):
    assert jumok("look", pictures / "blue", "--export", "fiftyone", "--out", tmp_path / "out").status == 0
    samples, about = read(tmp_path / "out" / "fiftyone")
    assert len(samples) == 3
    assert all("prediction" not in sample and "heatmap" in sample for sample in samples)
    assert "prediction" not in [field["name"] for field in about["sample_fields"]]


def pack(pictures, file):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    paths = sorted(pictures.rglob("*.png"))
    columns = {"image": [path.read_bytes() for path in paths], "label": [path.parent.name for path in paths]}
    parquet.write_table(pa.table(columns), file)
    return file


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "parquet"])
def test_rows_of_a_data_set_are_exported(pictures, trained, jumok, tmp_path, packed):
    pytest.importorskip("pyarrow")
    source = pack(pictures, tmp_path / "all.parquet") if packed else pictures
    words = ["--model", trained, "--engine", "local", "--device", "cpu", "--shard-size", 4, "--out", tmp_path / "rows"]
    assert jumok("look", source, *words).status == 1
    said = jumok("look", tmp_path / "rows", "--export", "fiftyone", "--out", tmp_path / "out", "--json")
    assert json.loads(said.out)["samples"] == 10
    samples, _ = read(tmp_path / "out" / "fiftyone")
    from jumok.app.engine.reading import Looks

    rows = list(Looks.open(tmp_path / "rows").rows(range(10)))
    for row, sample in zip(rows, samples, strict=True):
        place = Path(sample["filepath"])
        assert place.is_absolute() != packed
        assert sample["ground_truth"]["label"] == row["label"]
        if row["error"]:
            assert sample["error"] == row["error"]
            assert "heatmap" not in sample
            continue
        Image.open(tmp_path / "out" / "fiftyone" / place).load()
        assert sample["prediction"]["label"] == row["prediction"]
        assert sample["heatmap"]["range"][1] > 0
    where = ["--where", "prediction == label", "--out", tmp_path / "some"]
    assert jumok("look", tmp_path / "rows", "--export", "fiftyone", *where).status == 0
    kept = [row["path"] for row in rows if row["prediction"] == row["label"]]
    assert len(read(tmp_path / "some" / "fiftyone")[0]) == len(kept) > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--export", "cvat"], "--export"),
        (["--export", "fiftyone", "--engine", "local"], "no use for --export"),
    ],
)
def test_what_cannot_be_exported_is_told_in_one_line(pictures, trained, jumok, tmp_path, words, said):
    refused = jumok("look", pictures, "--model", trained, *words, "--out", tmp_path / "out")
    assert refused.status == 2
    assert said in refused.err
    assert len(refused.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


# -- FiftyOne itself ----------------------------------------------------------------------------

OPENS = """
import sys
import fiftyone as fo
found = fo.Dataset.from_dir(sys.argv[1], dataset_type=fo.types.FiftyOneDataset)
sample = found.match(fo.ViewField("prediction.label") == "dog").first()
print(len(found), sample.prediction.confidence, sample.ground_truth.label, sample.heatmap.range)
print(sample.heatmap.map.dtype, sample.heatmap.map.tolist(), type(sample.heatmap).__name__)
print(found.distinct("error"), found.default_classes, found.last().filepath)
"""


@pytest.mark.skipif(
    not (os.environ.get("FIFTYONE_PYTHON") or importlib.util.find_spec("fiftyone")), reason="needs fiftyone"
)
def test_fiftyone_opens_it(folder, tmp_path):
    environment = {**os.environ, "HOME": str(tmp_path), "FIFTYONE_DO_NOT_TRACK": "true"}
    done = subprocess.run([PYTHON, "-c", OPENS, folder], capture_output=True, text=True, env=environment, timeout=200)
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stdout.splitlines() if line.strip()][-3:]
    assert told[0] == "3 0.75 cat [0.0, 0.6000000238418579]"
    assert told[1] == f"float32 {np.float32([[0.0, 0.1], [0.3, 0.6]]).tolist()} Heatmap"
    assert told[2] == f"['it is empty'] ['cat', 'dog'] {tmp_path / 'b.png'}"
