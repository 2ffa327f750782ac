"""Training on Parquet and tar files: the same images as in a folder, exact resumption, any number of processes."""

import csv
import json
from collections import Counter
from functools import partial

import pytest
from app_helpers import QUICK, start
from breaking import end_after, same_end
from packed_files import CLASSES, make_images, write_parquet, write_shard
from small_runs import Job

from jumok.data.images.folders import scan
from jumok.data.packed.blocks import find_neighbours
from jumok.tasks.classify import prepare

LAUNCHER = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
IMAGES = make_images(60)


def pack(folder, kind):
    """Two files of a kind."""
    for number, some in enumerate((IMAGES[:32], IMAGES[32:])):
        if kind == "parquet":
            write_parquet(folder / f"{number}.parquet", some)
        else:
            write_shard(folder / f"{number}.tar", some, first=32 * number, told="json")
    return folder


@pytest.fixture(params=["parquet", "tar"])
def packed(request, tmp_path):
    if request.param == "parquet":
        pytest.importorskip("pyarrow")
    return pack(tmp_path / "packed", request.param)


@pytest.fixture
def streamed(monkeypatch):
    """Nothing is kept decoded, and four row groups are about what may be shuffled together."""
    monkeypatch.setattr("jumok.data.images.batches.memory_to_use", lambda: 0)
    monkeypatch.setattr(prepare, "find_neighbours", partial(find_neighbours, window=12_000))


def test_a_run_is_trained_and_judged_where_the_images_lie(packed, jumok, tmp_path):
    before = {path.name: path.read_bytes() for path in packed.iterdir()}
    said = jumok("train", packed, "--out", tmp_path / "run", *QUICK)
    assert said.status == 0, said.err
    assert "60 images in 2 ." in said.out
    judged = json.loads(jumok("eval", tmp_path / "run", packed, "--json").out)
    assert judged["split"] == "test"
    assert judged["images"] == len(scan(packed)["test"])
    assert judged["seen"] == {"trained_on": 0, "validated_on": 0}
    assert jumok("measure", tmp_path / "run", packed, "--steps", 4, "--out", tmp_path / "measured").status == 0
    assert jumok("inspect", packed, "--out", tmp_path / "seen").status == 0
    assert {path.name: path.read_bytes() for path in packed.iterdir()} == before


def test_a_run_on_packed_images_knows_them_in_a_folder(packed, jumok, tmp_path):
    for number, (content, name) in enumerate(IMAGES):
        (tmp_path / "folder" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name / f"{number}.png").write_bytes(content)
    assert jumok("train", packed, "--out", tmp_path / "run", *QUICK, "--no-trust").status == 0
    report = json.loads(jumok("eval", tmp_path / "run", tmp_path / "folder", "--split", "train", "--json").out)
    assert report["seen"]["trained_on"] == report["images"] == len(scan(packed)["train"])


@pytest.mark.usefixtures("streamed")
def test_a_stopped_training_resumes_bit_for_bit(packed, tmp_path):
    whole, broken = (Job(packed, tmp_path / name, epochs=2, mixup=0.4) for name in ("whole", "broken"))
    assert not whole.stores[0].in_memory
    loader = prepare.loaders(whole.config, whole.sets, *whole.stores)[0]
    assert (loader.deal.neighbours is None) == (packed / "0.tar").exists()
    whole.start()
    end_after(broken, [(2, "step"), (5, "validation")])
    same_end(whole.folder, broken.folder)


@pytest.mark.usefixtures("streamed")
def test_each_image_comes_once_in_an_epoch(packed, tmp_path):
    job = Job(packed, tmp_path / "run", batch_size=6)
    train, val = prepare.loaders(job.config, job.sets, *job.stores)
    seen = [index for batch in train for index in batch.indices.tolist()]
    assert len(set(seen)) == len(seen) == len(train) * 6
    contents = Counter(
        batch.images[place].numpy().tobytes() for batch in (*train, *val) for place in range(len(batch.labels))
    )
    assert max(contents.values()) == 1


@pytest.mark.slow
def test_two_processes_train_as_one_does(packed, jumok, tmp_path):
    words = (*QUICK, "--lr", "0.002", "--no-trust", "--memory", "0")
    process = start("train", packed, "--out", tmp_path / "two", *words, launcher=LAUNCHER)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    assert jumok("train", packed, "--out", tmp_path / "one", *words).status == 0
    rows = [list(csv.DictReader((tmp_path / name / "metrics.csv").open())) for name in ("one", "two")]
    assert len(rows[0]) == 2
    for one, two in zip(*rows, strict=True):
        assert {key: float(value) for key, value in two.items()} == pytest.approx(
            {key: float(value) for key, value in one.items()}, rel=1e-4
        )


def test_files_that_have_changed_do_not_resume(packed, jumok, tmp_path):
    assert jumok("train", packed, "--out", tmp_path / "run", *QUICK, "--no-trust").status == 0
    other = [*make_images(32, seed=1)]
    if (packed / "0.tar").exists():
        write_shard(packed / "0.tar", other, told="json")
    else:
        write_parquet(packed / "0.parquet", other)
    said = jumok("train", "--resume", tmp_path / "run", "--epochs", 3)
    assert said.status == 2
    assert "hold other images than when this run began" in said.err


def test_one_file_is_given_by_its_name(jumok, tmp_path):
    file = write_shard(tmp_path / "only.tar", IMAGES)
    said = jumok("train", file, "--out", tmp_path / "run", *QUICK, "--no-trust")
    assert said.status == 0, said.err
    assert "42 training and 9 validation images of 3 classes" in said.out
    assert len(CLASSES) == 3


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz"])
def test_compressed_tar_files_are_refused_with_what_to_do(jumok, tmp_path, name):
    (tmp_path / name).write_bytes(b"\x1f\x8b rest")
    said = jumok("train", tmp_path / name, "--out", tmp_path / "run")
    assert said.status == 2
    assert "is an archive: unpack it" in said.err
    assert len(said.err.strip().splitlines()) == 1
