"""One `Looker` in the loaders and engines that people have: each gives the rows that it gives by itself."""

import io
import sys

import numpy as np
import pytest
from engine_models import make_pixels, to_png
from PIL import Image

import jumok

COUNT = 10
PNGS = [*(to_png(pixels) for pixels in make_pixels(COUNT - 1)), b"no image"]
NAMES = [f"{number}.png" for number in range(COUNT)]
BATCH = 4


@pytest.fixture(scope="module")
def wanted(vit):
    """By name: prediction, map and error, in batches of the same size."""
    looker = jumok.Looker(vit, batch_size=BATCH, device="cpu")
    found = {}
    for begin in range(0, COUNT, BATCH):
        some = slice(begin, begin + BATCH)
        batch = looker({"bytes": PNGS[some], "path": NAMES[some]})
        for number, name in enumerate(batch["path"]):
            found[name] = tuple(batch[column][number] for column in ("prediction", "map", "error"))
    assert [name for name in NAMES if found[name][2]] == [NAMES[-1]]
    return found


def check(rows, wanted):
    assert sorted(row["path"] for row in rows) == NAMES
    for row in rows:
        prediction, map_, error = wanted[row["path"]]
        assert row["prediction"] == prediction
        assert row["error"] == error
        np.testing.assert_array_equal(np.asarray(row["map"], np.float16), map_)
        assert "bytes" not in row or row["bytes"] == PNGS[NAMES.index(row["path"])]


def to_rows(batch):
    return [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]


class Files:
    """A data set of torch: the bytes of each file with its name."""

    def __len__(self):
        return COUNT

    def __getitem__(self, number):
        return {"bytes": PNGS[number], "path": NAMES[number]}


def collate(items):
    return {name: [item[name] for item in items] for name in items[0]}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_loader_of_torch(vit, wanted, workers):
    from torch.utils.data import DataLoader

    looker = jumok.Looker(vit, device="cpu")
    loader = DataLoader(Files(), batch_size=BATCH, num_workers=workers, collate_fn=collate)
    check([row for batch in loader for row in to_rows(looker(batch))], wanted)


def test_datasets_of_hugging_face(vit, wanted):
    datasets = pytest.importorskip("datasets")
    looker = jumok.Looker(vit, device="cpu")
    found = datasets.Dataset.from_dict({"bytes": PNGS, "path": NAMES}).map(
        looker, batched=True, batch_size=BATCH, new_fingerprint="looks"
    )
    check(list(found), wanted)


def test_decoded_and_undecoded_images_of_hugging_face(vit):
    datasets = pytest.importorskip("datasets")
    looker = jumok.Looker(vit, device="cpu")
    pillow = [Image.open(io.BytesIO(png)) for png in PNGS[:BATCH]]
    made = datasets.Dataset.from_dict({"image": pillow}, features=datasets.Features({"image": datasets.Image()}))
    undecoded = made.cast_column("image", datasets.Image(decode=False))
    options = {"batched": True, "batch_size": BATCH, "remove_columns": ["image"]}
    maps = [np.array(each.map(looker, **options)["map"], np.float16) for each in (made, undecoded)]
    plain = looker({"image": PNGS[:BATCH]})["map"]
    np.testing.assert_array_equal(maps[0], plain)
    np.testing.assert_array_equal(maps[1], plain)


@pytest.mark.slow  # starts a cluster of one machine
def test_ray_data(vit, wanted):
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        rows = [{"bytes": png, "path": name} for png, name in zip(PNGS, NAMES, strict=True)]
        looked = ray.data.from_items(rows, override_num_blocks=1).map_batches(
            jumok.Looker,
            fn_constructor_kwargs={"model": vit, "device": "cpu", "batch_size": BATCH},
            batch_size=BATCH,
            concurrency=1,
        )
        check(looked.take_all(), wanted)
    finally:
        ray.shutdown()


@pytest.mark.slow  # starts a session of Spark
def test_spark(vit, wanted, monkeypatch):
    pytest.importorskip("pyspark")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    looker = jumok.Looker(vit, batch_size=BATCH, device="cpu")

    def look(batches):
        for batch in batches:
            found = looker(batch.to_dict("list"))
            yield batch[["path"]].assign(
                prediction=found["prediction"], map=found["map"].astype("float32").tolist(), error=found["error"]
            )

    try:
        spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", BATCH)
        rows = spark.createDataFrame([*zip(NAMES, map(bytearray, PNGS), strict=True)], "path string, bytes binary")
        looked = rows.coalesce(1).mapInPandas(look, "path string, prediction string, map array<float>, error string")
        check([row.asDict() for row in looked.collect()], wanted)
    finally:
        spark.stop()
