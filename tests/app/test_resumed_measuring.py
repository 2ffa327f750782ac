"""A measurement of faithfulness that was stopped goes on where it was, with the same command."""

import json
import re

import numpy as np
import pytest
import torch
from question_helpers import settings_of, untrained, write_squares

from jumok.app.partial import PAUSE, PartialFile
from jumok.measures.faithfulness_meter import FaithfulnessMeter

WORDS = ("--split", "all", "--method", "chefer", "--steps", 2, "--fillings", "zeros")


@pytest.fixture
def measure(jumok, trained, coloured, tmp_path):
    def call(*words, name="out"):
        said = jumok("measure", trained, coloured, "--out", tmp_path / name, *WORDS, *words)
        return said, tmp_path / name

    return call


@pytest.mark.parametrize("count", [3, 11])
def test_it_ends_bit_for_bit_where_an_unbroken_one_ends(measure, stop_after, monkeypatch, count):
    _, whole = measure(name="whole")
    stop_after(count)
    said, out = measure()
    assert said.status == (130 if count < 8 else 0)
    assert ("interrupted" if count >= 8 else f"{count} inputs were measured") in said.out
    assert "; the same command goes on from there" in said.out
    monkeypatch.undo()
    said, out = measure()
    assert f"going on after {count} inputs" in said.out
    assert (out / "measure.json").read_bytes() == (whole / "measure.json").read_bytes()
    assert not list(out.glob("*.npz"))
    assert not list(whole.glob("*.npz"))


@pytest.mark.parametrize(
    ("words", "changed"),
    [(("--steps", 3), "settings"), (("--method", "rollout"), "methods"), (("--seed", 1), "images and settings")],
)
def test_what_was_measured_otherwise_is_not_taken(measure, stop_after, monkeypatch, words, changed):
    stop_after(9)
    measure()
    monkeypatch.undo()
    said, out = measure(*words)
    assert f"with other {changed}: measuring starts anew" in said.out
    assert json.loads((out / "measure.json").read_text())["faithfulness"]["inputs"] >= 32


def test_other_weights_are_noticed(jumok, trained, coloured, tmp_path, stop_after, monkeypatch):
    import shutil

    from safetensors.torch import load_file, save_file

    run = tmp_path / "run"
    shutil.copytree(trained, run)
    words = ("measure", run, coloured, "--out", tmp_path / "out", *WORDS)
    stop_after(9)
    jumok(*words)
    monkeypatch.undo()
    weights = load_file(run / "weights.safetensors")
    name = next(name for name in weights if name.endswith("weight"))
    weights[name] = weights[name] * 1.001
    save_file(weights, run / "weights.safetensors")
    assert "with other weights: measuring starts anew" in jumok(*words).out


@pytest.mark.parametrize("damage", [lambda content: content[: len(content) // 2], lambda content: b"no zip"])
def test_a_damaged_file_is_named_and_measuring_starts_anew(measure, stop_after, monkeypatch, damage):
    stop_after(9)
    _, out = measure()
    monkeypatch.undo()
    (file,) = out.glob("*.npz")
    file.write_bytes(damage(file.read_bytes()))
    said, _ = measure()
    assert said.status == 0
    assert "cannot be read: measuring starts anew" in said.out


def test_a_measurement_whose_time_was_up_goes_on(measure, monkeypatch):
    monkeypatch.setattr("jumok.app.faithful.parse_duration", lambda text, option: 0.0)
    for _ in range(7):
        said, out = measure()
        assert said.status == 2
        assert "run the same command again to go on" in said.err
    said, out = measure()
    assert "faithfulness of 8 images" in said.out
    assert "the time was up; the same command goes on from there" in said.out
    assert list(out.glob("*.npz"))


# -- pairs and questions --------------------------------------------------------------------------


@pytest.fixture
def measure_pairs(jumok, reverser, reversals, tmp_path):
    def call(name):
        said = jumok("measure", reverser, reversals / "test.tsv", "--out", tmp_path / name, "--steps", 2)
        return said, tmp_path / name

    return call


@pytest.fixture
def measure_questions(jumok, tmp_path):
    data = write_squares(tmp_path / "squares")
    untrained(tmp_path / "run", settings_of(data, system="vqa-stacked"))

    def call(name):
        said = jumok("measure", tmp_path / "run", "--out", tmp_path / name, "--steps", 2, "--fillings", "remove")
        return said, tmp_path / name

    return call


@pytest.mark.parametrize(
    ("kind", "noun", "count", "status"),
    [
        ("pairs", "sentence", 5, 130),
        ("pairs", "sentences", 45, 0),
        ("questions", "questions", 5, 130),
        ("questions", "questions", 23, 0),
    ],
)
def test_other_measurements_go_on_too(request, stop_after, monkeypatch, kind, noun, count, status):
    call = request.getfixturevalue(f"measure_{kind}")
    _, whole = call("whole")
    stop_after(count)
    said, out = call("out")
    assert "the same command goes on from there" in said.out
    assert said.status == status
    monkeypatch.undo()
    said, out = call("out")
    assert re.search(rf"going on after [1-9]\d* {noun} that w", said.out)
    assert (out / "measure.json").read_bytes() == (whole / "measure.json").read_bytes()
    assert not list(out.glob("*.npz"))


# -- the file ---------------------------------------------------------------------------------------


def meter_of(count, **options):
    meter = FaithfulnessMeter(steps=2, **options)
    for number in range(count):
        weight = torch.rand(4, generator=torch.Generator().manual_seed(number))
        meter.add({"zeros": lambda kept, w=weight: kept.float() @ w}, {"true": weight, "flat": torch.ones(4)})
    return meter


def test_nothing_is_written_of_nothing_and_no_pickle_is_read(tmp_path):
    file = PartialFile(tmp_path / "a.npz", {"model": "a"}, said := [].append)
    file.write(FaithfulnessMeter(steps=2))
    assert not file.path.exists()
    file.write(meter_of(2))
    with np.load(file.path, allow_pickle=False) as found:
        assert all(found[name].dtype != object for name in found)
    np.savez(file.path, key=np.array([{"model": "a"}], dtype=object))
    fresh = FaithfulnessMeter(steps=2)
    file.restore(fresh)
    assert len(fresh) == 0
    assert "cannot be read" in said.__self__[0]


def test_it_is_written_now_and_then(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("jumok.app.partial.time.monotonic", lambda: now[0])
    file, meter = PartialFile(tmp_path / "a.npz", {"model": "a"}, print), meter_of(2)
    file.keep(meter)
    assert not file.path.exists()
    now[0] = PAUSE + 1
    file.keep(meter)
    fresh = FaithfulnessMeter(steps=2)
    file.restore(fresh)
    assert fresh.report() == meter.report()
    file.path.unlink()
    file.keep(meter)
    assert not file.path.exists()
