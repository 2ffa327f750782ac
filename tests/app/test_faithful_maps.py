"""`jumok measure` without masks, and the map that a run shows because it was the most faithful one."""

import json
import shutil

import pytest
from app_helpers import QUICK, write_coloured
from PIL import Image
from pretrained_models import save_processor

from jumok.app import training
from jumok.errors import JumokError
from jumok.measures.faithfulness_meter import FaithfulnessMeter
from jumok.measures.localisation_meter import LocalisationMeter
from jumok.tasks.classify.run import ImageRun
from jumok.tasks.running.trust import Trust, read_trust, write_trust


@pytest.fixture
def measured(jumok, trained, coloured, tmp_path):
    def call(*words):
        said = jumok("measure", trained, coloured, "--out", tmp_path / "out", *words)
        return said, tmp_path / "out"

    return call


def test_measuring_needs_no_masks(measured):
    said, out = measured(
        "--method", "chefer", "--method", "rollout", "--split", "all", "--steps", 6, "--fillings", "zeros"
    )
    assert said.status == 0, said.err
    found = json.loads((out / "measure.json").read_text())
    assert "area" not in found
    assert found["masks"] is None
    faithful = found["faithfulness"]
    assert set(faithful["methods"]) == {"chefer", "rollout"}
    assert set(faithful["baselines"]) == {"random", "centre", "edges", "other class"}
    assert faithful["inputs"] == 48
    assert faithful["fillings"] == ["zeros"]
    assert all(verdict in said.out for verdict in faithful["verdicts"])
    assert (out / "faithfulness.png").stat().st_size > 0


@pytest.fixture
def masks(coloured, tmp_path):
    for path in coloured.rglob("*.png"):
        place = tmp_path / "masks" / path.relative_to(coloured)
        place.parent.mkdir(parents=True, exist_ok=True)
        mask = Image.new("L", (16, 16))
        mask.paste(255, (4, 4, 9, 9))
        mask.save(place)
    return tmp_path / "masks"


def test_with_masks_both_are_measured(measured, masks):
    words = ("--masks", masks, "--method", "rollout", "--fillings", "zeros", "--steps", 2)
    _, out = measured(*words)
    found = json.loads((out / "measure.json").read_text())
    assert found["methods"]["rollout"]["pointing"]
    assert found["faithfulness"]["methods"]["rollout"]["srg, zeros"]
    assert (out / "measure.png").exists()
    assert (out / "faithfulness.png").exists()
    _said, out = measured(*words, "--no-faithful")
    assert "faithfulness" not in json.loads((out / "measure.json").read_text())


def test_where_the_time_is_too_short_what_masks_tell_is_kept(measured, masks, monkeypatch):
    monkeypatch.setattr("jumok.app.faithful.parse_duration", lambda text, option: 0.0)
    said, out = measured("--masks", masks, "--method", "rollout", "--fillings", "zeros", "--steps", 2)
    assert said.status == 0, said.err
    assert "before 8 images were measured" in said.out
    found = json.loads((out / "measure.json").read_text())
    assert found["methods"]["rollout"]["pointing"]
    assert "faithfulness" not in found


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--fillings", "blurr"), "did you mean 'blur'"),
        (("--no-faithful",), "no masks lie beside"),
        (("--method", "roll-out"), "did you mean 'rollout'"),
        (("--time", "soon"), "--time"),
        (("--steps", "1"), "steps"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_line(measured, words, message):
    said, out = measured(*words)
    assert said.status == 2
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not out.exists()


def test_a_model_of_one_logit_is_measured_by_that_number(jumok, coloured, tmp_path):
    transformers = pytest.importorskip("transformers")
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.ViTConfig(**small, image_size=16, patch_size=8, num_labels=1)
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path / "vit")
    save_processor(tmp_path / "vit", 16)
    model = f"hf:{tmp_path / 'vit'}"
    said = jumok(
        "measure", model, coloured / "blue", "--split", "all", "--method", "rollout", "--out", tmp_path / "out"
    )
    assert said.status == 0, said.err
    report = json.loads((tmp_path / "out" / "measure.json").read_text())
    assert report["faithfulness"]["answer"] == "the number"


def test_what_was_measured_before_an_interruption_is_kept(measured, monkeypatch):
    add = FaithfulnessMeter.add

    def stop(meter, *words, **named):
        if len(meter) == 10:
            raise KeyboardInterrupt
        return add(meter, *words, **named)

    monkeypatch.setattr(FaithfulnessMeter, "add", stop)
    said, out = measured("--split", "all", "--method", "rollout", "--steps", 2)
    assert said.status == 0
    assert "faithfulness of 10 images: interrupted" in said.out
    assert json.loads((out / "measure.json").read_text())["faithfulness"]["inputs"] == 10


@pytest.mark.parametrize("count", [3, 10])
def test_scores_against_masks_before_an_interruption_are_kept(measured, masks, monkeypatch, count):
    add, seen = LocalisationMeter.add, []

    def stop(meter, *words, **named):
        if len(seen) == count:
            raise KeyboardInterrupt
        seen.append(words)
        return add(meter, *words, **named)

    monkeypatch.setattr(LocalisationMeter, "add", stop)
    words = ("--split", "all", "--masks", masks, "--method", "rollout", "--batch-size", 2)
    said, out = measured(*words)
    assert said.status == (130 if count < 8 else 0)
    if count >= 8:
        assert "interrupted: 10 of " in said.out
        assert "nothing else was measured" in said.out
        report = json.loads((out / "measure.json").read_text())
        assert "faithfulness" not in report


def test_a_training_ends_with_the_most_faithful_map(jumok, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "SHARE_FOR_TRUST", 50.0)
    coloured, run = write_coloured(tmp_path / "images", each=40), tmp_path / "run"
    said = jumok("train", coloured, "--out", run, *QUICK, "--epochs", 1, "--lr", "0.001")
    assert said.status == 0, said.err
    trust = read_trust(run)
    assert trust.inputs == ImageRun.load(run).config.found.counts["val"]
    assert trust.why() in said.out
    assert f"| maps | {trust.why()} |" in (run / "card.md").read_text()
    again = tmp_path / "again"
    said = jumok("train", coloured, "--out", again, *QUICK, "--epochs", 1, "--lr", "0.001", "--no-trust")
    assert read_trust(again) is None
    assert "maps:" not in said.out


def test_a_run_shows_the_map_that_was_most_faithful(jumok, trained, coloured, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    trust = Trust(method="raw", verdict="raw: beats an edge map by 0.10 (0.05 to 0.15) on 9 images", inputs=9)
    write_trust(run, trust)
    said = jumok("look", coloured / "red" / "000.png", "--model", run, "--out", tmp_path / "look")
    assert said.status == 0
    assert trust.why() in said.out
    assert (tmp_path / "look" / "000.png.raw.png").exists()
    said = jumok("look", coloured / "red" / "000.png", "--model", run, "--out", tmp_path / "b", "--method", "rollout")
    assert trust.why() not in said.out
    assert (tmp_path / "b" / "000.png.rollout.png").exists()


def test_where_nothing_beats_chance_the_usual_method_is_shown_and_this_is_said(jumok, trained, coloured, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    verdict = "chefer: not shown to be better than a random map (difference 0.01, -0.05 to 0.07) on 64 images"
    write_trust(run, Trust(method=None, verdict=verdict, inputs=64))
    said = jumok("look", coloured / "red" / "000.png", "--model", run, "--out", tmp_path / "look")
    assert f"no map was shown to be more faithful than chance on 64 validation images ({verdict})" in said.out


def test_a_damaged_record_of_trust_is_named(trained, tmp_path):
    (tmp_path / "trust.yaml").write_text("method: [1\n")
    with pytest.raises(JumokError, match=r"trust\.yaml"):
        read_trust(tmp_path)


def test_images_without_classes_are_measured(jumok, trained, coloured, tmp_path):
    words = ("--out", tmp_path / "out", "--method", "rollout", "--steps", 2, "--fillings", "zeros")
    said = jumok("measure", trained, coloured / "red", *words)
    assert said.status == 0, said.err
    assert "the images have no classes" in said.out
    assert "16 images; SRG" in said.out
    shutil.copytree(coloured / "red", tmp_path / "alone" / "red")
    said = jumok("measure", trained, tmp_path / "alone", *words)
    assert "all images are of one class: red" in said.out


@pytest.mark.parametrize("inside", ["", "red"])
def test_masks_beside_images_of_no_class_or_one_are_measured(jumok, trained, coloured, tmp_path, inside):
    data = tmp_path / "data" / inside
    data.mkdir(parents=True)
    mask = Image.new("L", (16, 16))
    mask.paste(255, (4, 4, 9, 9))
    for path in sorted((coloured / "red").glob("*.png")):
        shutil.copy(path, data / path.name)
        mask.save(data / f"{path.stem}_mask.png")
    words = ("--method", "rollout", "--steps", 2, "--fillings", "zeros", "--out", tmp_path / "out")
    said = jumok("measure", trained, tmp_path / "data", *words)
    assert said.status == 0, said.err
    assert "16 masks lie beside the images" in said.out
    found = json.loads((tmp_path / "out" / "measure.json").read_text())
    assert found["masks"] == "beside the images"
    assert found["methods"]["rollout"]["pointing"]
    assert found["faithfulness"]["inputs"] == 16
