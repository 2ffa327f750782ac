"""`jumok look --engine`: each input once in the data set, whatever was killed meanwhile; the same rows in the end."""

import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from engine_models import make_pixels, to_png, write_images
from forked import Forked, find_children, kill, lives, wait_for_a_part
from pretrained_models import make_hf, save_hf
from pyarrow import parquet

from jumok.app.engine.looker import Looker

KILLS = int(os.environ.get("JUMOK_KILLS", "3"))
COUNT = max(37, 10 * KILLS)
"""Images: enough of them that each kill meets a command at work."""
DEADLY = b"DEADLY"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = write_images(tmp_path_factory.mktemp("many") / "photos", COUNT)
    (folder / "005.png").write_bytes(b"no image")
    return folder


def command(photos, vit, out, *more):
    options = [
        "--engine",
        "local",
        "--shard-size",
        4,
        "--batch-size",
        3,
        "--device",
        "cpu",
        "--threads",
        1,
        "--out",
        out,
        *more,
    ]
    return ["look", photos, "--model", vit, *map(str, options)]


def start(arguments, log):
    """The program itself."""
    with log.open("a") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "jumok", *map(str, arguments)],
            stdout=said,
            stderr=said,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


def launch(arguments, log):
    """A command to be killed: the program itself where many kills are asked for, else what starts sooner."""
    return (start if "JUMOK_KILLS" in os.environ else Forked)(arguments, log)


def read(out):
    return parquet.read_table(sorted(out.glob("*.parquet"))).to_pylist()


def same_files(one, other):
    names = [sorted(path.name for path in folder.iterdir()) for folder in (one, other)]
    assert names[0] == names[1]
    for name in names[0]:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.fixture(scope="module")
def unbroken(photos, vit, tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    out, log = folder / "unbroken", folder / "log"
    assert start(command(photos, vit, out), log).wait() == 1, log.read_text()  # one image cannot be read
    return out


def test_rows_are_those_of_a_looker(photos, vit, unbroken):
    rows = read(unbroken)
    assert [row["path"] for row in rows] == sorted(map(str, photos.iterdir()))
    assert [row["index"] for row in rows] == list(range(COUNT))
    assert [row["index"] for row in rows if row["error"]] == [5]
    assert rows[5]["prediction"] is rows[5]["map"] is None
    # the same batches: shards of 4 in batches of 3 and 1
    looker = Looker(vit, batch_size=3, device="cpu")
    for begin in range(0, COUNT, 4):
        some = rows[begin : begin + 4]
        found = looker({"path": [row["path"] for row in some]})
        for row, prediction, map_ in zip(some, found["prediction"], found["map"], strict=True):
            assert (row["prediction"] or "") == prediction
            if row["map"] is not None:
                np.testing.assert_array_equal(np.array(row["map"], np.float16), map_)


def test_killed_at_any_moment_the_same_command_ends_as_an_unbroken_one(photos, vit, unbroken, tmp_path):
    chance, out, log = random.Random(0), tmp_path / "killed", tmp_path / "log"
    running = launch(command(photos, vit, out), log)
    for turn in range(KILLS):
        wait_for_a_part(out, running)
        time.sleep(chance.random() * 0.02)
        assert running.poll() is None, "it ended before all kills"
        workers = list(find_children(running.pid))
        victim = running.pid if turn % 3 != 1 else (workers or [running.pid])[0]
        kill(victim)
        if victim == running.pid:
            assert running.wait() == -signal.SIGKILL
            while any(map(lives, workers)):
                time.sleep(0.005)  # they end with their parent, and as its copies hold its lock until then
            running = launch(command(photos, vit, out), log)
    assert running.wait() == 1, log.read_text()
    same_files(unbroken, out)


def kill_at_deadly_images():
    """Have an image reader end its process at some images, as the kernel does when memory runs out."""
    import jumok.data.images.given as given

    real = given.open_image

    def open_image(source, **options):
        if isinstance(source, str) and Path(source).read_bytes().endswith(DEADLY):
            kill(os.getpid())
        return real(source, **options)

    given.open_image = open_image


def test_an_image_that_ends_the_process_costs_its_own_row_alone(photos, vit, unbroken, tmp_path):
    folder, out = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    for path in photos.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "010.png").write_bytes(to_png(make_pixels(1)[0]) + DEADLY)
    log = tmp_path / "log"
    assert Forked(command(folder, vit, out), log, kill_at_deadly_images).wait() == 1, log.read_text()
    rows, wanted = read(out), read(unbroken)
    assert [row["index"] for row in rows if row["error"]] == [5, 10]
    assert "ended the process that looked at it (SIGKILL, as when memory runs out)" in rows[10]["error"]
    assert [row["map"] for row in rows if row["index"] // 4 != 2] == [
        row["map"] for row in wanted if row["index"] // 4 != 2
    ]


def test_programs_of_one_world_share_the_work(photos, vit, unbroken, tmp_path):
    out, log = tmp_path / "shared", tmp_path / "log"

    def join_as(rank):
        os.environ.update(RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank))

    world = [Forked(command(photos, vit, out), log, partial(join_as, rank)) for rank in range(2)]
    for each in world:
        assert each.wait() in (0, 1), log.read_text()
    rows = read(out)
    assert [(row["index"], row["map"]) for row in rows] == [(row["index"], row["map"]) for row in read(unbroken)]
    assert (out / "_manifest.json").read_bytes() == (unbroken / "_manifest.json").read_bytes()


def test_the_same_command_again_changes_nothing_and_another_is_refused(photos, vit, unbroken, jumok, tmp_path):
    before = {path.name: path.stat().st_mtime_ns for path in unbroken.glob("*.parquet")}
    said = jumok(*command(photos, vit, unbroken))
    assert said.status == 1
    assert f"{COUNT} inputs were done before" in said.out
    assert {path.name: path.stat().st_mtime_ns for path in unbroken.glob("*.parquet")} == before
    for more, told in ((["--method", "rollout"], "--method: none there, rollout now"), (["--no-maps"], "--maps")):
        refused = jumok(*command(photos, vit, unbroken, *more))
        assert refused.status == 2
        assert "belongs to another command" in refused.err
        assert told in refused.err


def test_a_model_of_other_weights_is_refused(photos, tmp_path, jumok):
    folder, out = save_hf(tmp_path / "model"), tmp_path / "out"
    few = tmp_path / "few.txt"
    few.write_text("".join(f"{path}\n" for path in sorted(photos.iterdir())[:3]))
    assert jumok(*command(few, f"hf:{folder}", out)).status == 0
    changed = make_hf("ViT")
    changed.classifier.weight.data += 1
    changed.save_pretrained(folder)
    refused = jumok(*command(few, f"hf:{folder}", out))
    assert refused.status == 2
    assert "the model's weights" in refused.err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--engine", "lokal"], "did you mean 'local'"),
        (["--head", "1", "--method", "raw"], "no use for --head"),
        (["--without-sinks"], "no use for --without-sinks"),
        (["--column", "x"], "no use for --column x"),
        (["--method", "cheffer"], "did you mean 'chefer'"),
        (["--where", "label == 'a'", "--pages", "3"], "no use for --where, --pages"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(photos, vit, tmp_path, jumok, more, said):
    refused = jumok(*command(photos, vit, tmp_path / "out", *more))
    assert refused.status == 2
    assert said in refused.err
    assert not (tmp_path / "out").exists()


def test_a_model_that_cannot_be_opened_is_told_in_one_line(photos, tmp_path, jumok):
    refused = jumok(*command(photos, tmp_path / "nowhere", tmp_path / "out"))
    assert refused.status == 2
    assert len(refused.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_without_a_model_it_says_so(photos, tmp_path, jumok):
    refused = jumok("look", photos, "--engine", "local", "--out", tmp_path / "out")
    assert refused.status == 2
    assert "--model" in refused.err
