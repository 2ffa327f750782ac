"""`--engine ray`: the same rows as by `--engine local`, whatever dies; what kills is named."""

import os
import socket
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from engine_models import SIZE, Reader, make_jobs, write_images
from pyarrow import parquet
from test_look_at_many import command, kill, launch, same_files, start

from jumok.app.engine import ray_crew
from jumok.errors import JumokError

KILLS = int(os.environ.get("JUMOK_KILLS", "1"))


@pytest.fixture(scope="module")
def ray():
    """A cluster of this machine alone, which commands in this process use."""
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(Path(__file__).parent), *sys.path])))
        ray.init("local", num_cpus=2, include_dashboard=False, _system_config={"worker_niceness": 0})
        yield ray
        ray.shutdown()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ray") / "photos"
    for name in ("cat", "dog"):
        write_images(folder / name, 7, seed=len(name) + ord(name[0]))
    (folder / "dog" / "005.png").write_bytes(b"no image")
    return folder


def by_ray(photos, vit, out, *more):
    return command(photos, vit, out, "--engine", "ray", *more)


@pytest.mark.slow  # Ray starts
def test_what_kills_a_process_costs_its_own_row_and_is_named(ray, tmp_path):
    from jumok.app.engine.ray_crew import RayCrew, Share

    texts = [f"text {number}" for number in range(3 * SIZE)]
    texts[5] = "kill"
    jobs = list(make_jobs(texts, tmp_path))
    with RayCrew(Reader(), Share("cpu", 1), 1) as crew:
        assert crew.wait_until_open().fingerprint == "1"
        done = [job.number for job, _ in crew.work(iter(jobs))]
    assert sorted(done) == [0, 1, 2]
    rows = [row for job in jobs for row in parquet.read_table(job.order.path).to_pylist()]
    assert [row["index"] for row in rows] == list(range(3 * SIZE))
    assert [row["path"] for row in rows if row["error"]] == ["input 5"]
    assert "it ended the process that looked at it" in rows[5]["error"]
    assert [row["prediction"] for row in rows if not row["error"]] == [text for text in texts if text != "kill"]
    assert not list((tmp_path / "work").iterdir())


@pytest.mark.slow  # two processes open a model
def test_the_data_set_is_that_of_the_local_engine(ray, photos, vit, jumok, tmp_path):
    assert jumok(*command(photos, vit, tmp_path / "local")).status == 1
    said = jumok(*by_ray(photos, vit, tmp_path / "ray", "--processes", 2))
    assert said.status == 1
    assert "rows with an error: 1 of 14" in said.out
    same_files(tmp_path / "local", tmp_path / "ray")
    labels = parquet.read_table(tmp_path / "ray").column("label").to_pylist()
    assert labels == ["cat"] * 7 + ["dog"] * 7


@pytest.mark.slow  # Ray starts with each command
def test_killed_the_same_command_goes_on(photos, vit, tmp_path):
    pytest.importorskip("ray.data")
    log, out = tmp_path / "log", tmp_path / "out"
    for _ in range(KILLS):
        running = start(by_ray(photos, vit, out), log)
        parts = len(list(out.glob("*.parquet")))
        while running.poll() is None and len(list(out.glob("*.parquet"))) <= parts:
            time.sleep(0.01)
        kill(running.pid)
        running.wait()
    assert start(by_ray(photos, vit, out), log).wait() == 1, log.read_text()
    assert launch(command(photos, vit, tmp_path / "local"), log).wait() == 1, log.read_text()
    same_files(tmp_path / "local", out)


def test_without_ray_it_says_what_to_install(photos, vit, jumok, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    refused = jumok(*by_ray(photos, vit, tmp_path / "out"))
    assert refused.status == 2
    assert len(refused.err.strip().splitlines()) == 1
    assert "Ray, which is not installed: pip install" in refused.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "[::1]:{}"])
def test_an_address_where_nothing_answers_is_one_line_at_once(monkeypatch, form):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("RAY_ADDRESS", form.format(port))
    asked = []
    ray = SimpleNamespace(init=lambda *words, **more: asked.append(words))
    with pytest.raises(JumokError, match="cannot join the Ray at RAY_ADDRESS=") as told:
        ray_crew._join(ray, 1)
    assert not asked
    assert "unset it to start Ray on this machine" in str(told.value)


def test_an_address_that_answers_is_joined(monkeypatch):
    asked = []
    ray = SimpleNamespace(init=lambda *words, **more: asked.append(words))
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        ray_crew._join(ray, 1)
    monkeypatch.setenv("RAY_ADDRESS", "auto")  # the one that runs here
    ray_crew._join(ray, 1)
    assert asked == [(address,), ("auto",)]
