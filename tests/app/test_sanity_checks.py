"""`jumok measure --sanity`: whether maps depend on the class and on what was learnt, and what cannot be measured."""

import html
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pretrained_models import save_processor
from safetensors.torch import load_file, save_file

from jumok.app.classify import sanity
from jumok.app.classify.maps import open_maps
from jumok.app.classify.sanity import LEAST, CheckedMethods, check_methods
from jumok.errors import JumokError
from jumok.intervals import Interval
from jumok.measures.faithfulness_meter import FaithfulnessMeter
from jumok.measures.sanity_card import TITLES, SanityCard, SanityLimits

CHECKS = {"other class", "random weights", "complexity", "max-sensitivity"}


@pytest.fixture
def measured(jumok, trained, coloured, tmp_path):
    def call(*words, images=coloured, model=trained):
        said = jumok("measure", model, images, "--split", "all", "--out", tmp_path / "out", *words)
        return said, tmp_path / "out"

    return call


def paths_of(folder, count):
    return sorted(folder.rglob("*.png"))[:count]


def test_each_method_is_checked_and_told_in_one_line(measured):
    words = ("--method", "chefer", "--method", "rollout", "--method", "random", "--sanity", "--sanity-images", 6)
    said, out = measured(*words, "--no-faithful")
    assert said.status == 0, said.err
    found = json.loads((out / "measure.json").read_text())
    assert "faithfulness" not in found
    sanity = found["sanity"]
    assert set(sanity["methods"]) == {"chefer", "rollout", "random"}
    assert set(sanity["limits"]) == set(sanity["methods"]["chefer"]["checks"]) == CHECKS
    assert sanity["methods"]["rollout"]["inputs"] == 6
    assert sanity["methods"]["rollout"]["passes"]["other class"] is False
    assert sanity["methods"]["chefer"]["passes"]["other class"] is not False
    rollout = "rollout: does not depend on the class, so it cannot tell why this one was predicted (random logit 1.00, "
    assert f"{rollout}wanted below 0.95)" in said.out
    assert "hardly depends on what was learnt" in next(line for line in sanity["verdicts"] if "random:" in line)
    assert all(line in said.out for line in sanity["verdicts"])


def test_the_weights_are_the_same_afterwards(trained, coloured):
    maps = open_maps(str(trained), ("chefer", "lrp"), "cpu")
    before = {name: value.clone() for name, value in maps.model.model.state_dict().items()}
    report, notes, _ = check_methods(maps, paths_of(coloured, 3), most=3, seconds=None, seed=0)
    assert not notes
    assert [card.method for card in report.cards] == ["chefer", "lrp"]
    after = maps.model.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not any(each.requires_grad for each in maps.model.model.parameters())


def test_checks_are_repeatable(trained, coloured):
    maps = open_maps(str(trained), ("rollout",), "cpu")
    once, again = (check_methods(maps, paths_of(coloured, 3), most=3, seconds=None, seed=0) for _ in range(2))
    assert once.report.to_dict() == again.report.to_dict()


def test_a_method_that_is_too_slow_is_named_and_the_others_are_checked(trained, coloured):
    maps = open_maps(str(trained), ("rollout", "rise"), "cpu")
    with pytest.raises(JumokError, match=rf"rise: {LEAST} images would take about .* s: give more --time"):
        check_methods(maps, paths_of(coloured, 8), most=8, seconds=1e-6, seed=0)


def test_checks_need_a_model_and_two_images(jumok, measured, coloured, tmp_path):
    said = jumok("measure", coloured, "--sanity", "--masks", coloured, "--out", tmp_path / "a")
    assert (said.status, said.err.count("\n")) == (2, 1)
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "a.png").write_bytes(paths_of(coloured, 1)[0].read_bytes())
    said, _ = measured("--sanity", "--method", "rollout", images=folder)
    assert said.status == 2
    assert "2 images or more" in said.err


def test_a_random_map_is_a_baseline_and_no_method(measured):
    refused(*measured("--method", "rollout", "--method", "random"), "leave out --method random")


# -- what is kept ---------------------------------------------------------------------------------

THREE = ("--method", "chefer", "--method", "rollout", "--method", "raw")
CHECKED = (*THREE, "--sanity", "--sanity-images", 4)
TAKEN = ("--steps", 2, "--fillings", "zeros", "--most", 8)


@pytest.fixture
def stop_at(monkeypatch):
    """Lets Ctrl-C come while a method is checked."""
    check = sanity._check

    def at(wanted):
        def stop(model, method, *words):
            if method == wanted:
                raise KeyboardInterrupt
            return check(model, method, *words)

        monkeypatch.setattr(sanity, "_check", stop)

    yield at
    monkeypatch.undo()


@pytest.mark.parametrize("words", [("--no-faithful",), TAKEN])
def test_checks_that_were_stopped_go_on_with_the_same_command(measured, stop_at, monkeypatch, words):
    said, out = measured(*CHECKED, *words)
    whole = (out / "measure.json").read_bytes()
    assert not list(out.glob("*.npz"))
    stop_at("raw")
    said, out = measured(*CHECKED, *words)
    assert said.status == 0, said.err
    assert "interrupted: the rest was not measured; the same command goes on from there" in said.out
    found = json.loads((out / "measure.json").read_text())
    assert set(found["sanity"]["methods"]) == {"chefer", "rollout"}
    assert "faithfulness" not in found
    assert [path.name for path in out.glob("*.npz")] == ["sanity.partial.npz"]
    monkeypatch.undo()
    said, out = measured(*CHECKED, *words)
    assert "going on after 2 methods that were measured before" in said.out
    assert (out / "measure.json").read_bytes() == whole
    assert not list(out.glob("*.npz"))


def test_where_no_method_was_checked_nothing_is_written(measured, stop_at):
    stop_at("chefer")
    said, out = measured(*CHECKED, *TAKEN)
    assert said.status == 130
    assert not out.exists()


def test_checks_are_kept_where_what_follows_is_stopped(measured, monkeypatch):
    monkeypatch.setattr(sanity, "_count_affordable", lambda *_: 4)
    monkeypatch.setattr(FaithfulnessMeter, "add", lambda *words, **named: (_ for _ in ()).throw(KeyboardInterrupt))
    said, out = measured(*CHECKED, *TAKEN)
    assert said.status == 0, said.err
    assert "interrupted: the rest was not measured" in said.out
    found = json.loads((out / "measure.json").read_text())
    assert set(found["sanity"]["methods"]) == {"chefer", "rollout", "raw"}
    assert "faithfulness" not in found
    assert not (out / "index.html").exists()


def test_checks_of_other_settings_are_not_taken(measured, stop_at, monkeypatch):
    stop_at("raw")
    measured(*CHECKED, "--no-faithful")
    monkeypatch.undo()
    said, _ = measured(*CHECKED, "--no-faithful", "--seed", 1)
    assert "with other images and settings: measuring starts anew" in said.out


@pytest.mark.parametrize("content", ["3", '{"chefer": {}}', '{"chefer": {"checks": 3}}', "no JSON"])
def test_a_file_that_holds_no_cards_is_not_taken(content):
    with pytest.raises((KeyError, ValueError)):
        CheckedMethods().load_state({"cards": np.array(content)})


def test_cards_come_back_as_they_were():
    checks = {name: Interval(0.1 + 0.2, 0.0, 1 / 3) for name in TITLES} | {"complexity": None}
    card = SanityCard("lrp", checks, {"head": 0.1, "stem": float("nan")}, 3, SanityLimits(rise=0.1), 0.95, 2000, 7)
    kept = CheckedMethods()
    kept.cards["lrp"] = card
    other = CheckedMethods()
    other.load_state(kept.state())
    assert repr(other.cards) == repr(kept.cards)


# -- the page -------------------------------------------------------------------------------------


def test_the_page_tells_of_the_checks_and_says_nothing_twice(measured, monkeypatch):
    monkeypatch.setattr("jumok.measures.faithfulness_report.HARDLY", 1.0)  # so that there are notes
    said, out = measured(*CHECKED, "--steps", 2, "--fillings", "mean", "--fillings", "zeros", "--shown", 1)
    assert said.status == 0, said.err
    found = json.loads((out / "measure.json").read_text())
    text = html.unescape((out / "index.html").read_text("utf-8"))
    notes, verdicts = found["faithfulness"]["notes"], found["sanity"]["verdicts"]
    assert len(notes) == 2
    assert len(verdicts) == 3
    assert [text.count(line) for line in (*notes, *verdicts)] == [1] * 5
    assert "Do the maps depend on the class and on what was learnt?" in text


# -- what cannot be measured ----------------------------------------------------------------------


def refused(said, out, *words):
    assert said.status == 2, said.out
    assert said.err.count("\n") == 1
    assert not out.exists()
    assert all(word in said.err for word in words), said.err


@pytest.mark.parametrize("words", [(), ("--sanity", "--no-faithful")])
@pytest.mark.parametrize("method", ["rollout", "chefer", "lrp", "occlusion"])
def test_a_model_whose_weights_are_not_numbers_is_refused(measured, trained, tmp_path, words, method):
    import shutil

    run = tmp_path / "nan"
    shutil.copytree(trained, run)
    weights = load_file(run / "weights.safetensors")
    save_file({name: value * torch.nan for name, value in weights.items()}, run / "weights.safetensors")
    said, out = measured("--method", method, *words, model=run)
    refused(said, out, "NaN")


def one_logit_model(folder: Path, **options):
    transformers = pytest.importorskip("transformers")
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.ViTConfig(**small, image_size=16, patch_size=8, **options)
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    save_processor(folder, 16)
    return f"hf:{folder}"


@pytest.mark.parametrize("options", [{}, {"problem_type": "regression"}])
def test_a_model_of_one_number_is_refused(measured, coloured, tmp_path, options):
    model = one_logit_model(tmp_path / "vit", num_labels=1, **options)
    words = ("--sanity", "--no-faithful", "--method", "rollout")
    said, out = measured(*words, model=model, images=coloured / "red")
    refused(said, out, "has one output: leave out --sanity")


def write_flat(folder, side, count=9):
    folder.mkdir()
    for number in range(count):
        Image.new("RGB", (side, side), (20 * number, 90, 30)).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize("side", [1, 2])
def test_images_smaller_than_a_patch_are_refused(measured, tmp_path, side):
    said, out = measured("--method", "rollout", "--steps", 2, images=write_flat(tmp_path / "tiny", side))
    refused(said, out, f"has {side} x {side} pixels (height x width), less than one patch of the model")


def test_maps_that_are_all_constant_are_refused(measured, monkeypatch):
    from jumok.tasks.classify import looking

    rollout = looking.METHODS["rollout"]

    def flat(asked):
        return [type(each)(torch.ones_like(each.weights), each.queries, each.keys) for each in rollout(asked)]

    monkeypatch.setitem(looking.METHODS, "rollout", flat)
    said, out = measured("--method", "rollout", "--steps", 2)
    refused(said, out, "all maps are constant")


def test_a_method_that_needs_attention_names_those_that_do_not(jumok, coloured, tmp_path):
    from app_helpers import write_coloured

    run, images = tmp_path / "cnn", write_coloured(tmp_path / "images", each=6)
    words = ("--system", "cnn", "--epochs", 1, "--device", "cpu", "--threads", 1, "--no-trust")
    assert jumok("train", images, "--out", run, *words).status == 0
    for method in ("rollout", "chefer", "raw", "value-weighted", "legrad", "attention"):
        said = jumok("measure", run, images, "--split", "all", "--method", method, "--out", tmp_path / "out")
        refused(said, tmp_path / "out", f"{method}: no attention was seen in this model", "grad-cam, libra")
    words = ("--method", "random", "--no-faithful", "--sanity", "--sanity-images", 2, "--split", "all")
    assert jumok("measure", run, images, *words, "--out", tmp_path / "out").status == 0
