"""`jumok compare` as a person calls it."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from jumok.app.faithful import Measured
from jumok.errors import JumokError
from jumok.tasks.classify import comparison as images
from jumok.tasks.running import comparison, planning
from jumok.tasks.running.stopwatch import Stopwatch

SMALL = ("--device", "cpu", "--threads", "1", "--batch-size", "8", "--budget", "1s", "--shown", "4")


@pytest.fixture(scope="module")
def masks(coloured, tmp_path_factory):
    folder = tmp_path_factory.mktemp("masks")
    mask = np.zeros((16, 16), np.uint8)
    mask[2:9, 3:11] = 255
    for path in coloured.rglob("*.png"):
        place = folder / path.relative_to(coloured)
        place.parent.mkdir(exist_ok=True)
        Image.fromarray(mask).save(place)
    return folder


def told(folder):
    return json.loads((folder / "compare.json").read_text())


def test_systems_side_by_side_with_figures_and_a_page(jumok, coloured, masks, tmp_path, monkeypatch):
    monkeypatch.setattr("jumok.app.comparison_report.LEAST_SECONDS", 120.0)  # a busy machine measures too few in less
    out = tmp_path / "out"
    said = jumok("compare", coloured, "--masks", masks, "--systems", "vit-nano,cnn", "--out", out, *SMALL)
    assert said.status == 0
    found = told(out)
    assert [each["system"] for each in found["systems"]] == ["vit-nano", "cnn"]
    for each in found["systems"]:
        assert 0 <= each["low"] <= each["accuracy"] <= each["high"] <= 1
        assert each["epochs"] > 0
        assert min(each["train_rate"], each["use_rate"], each["parameters"]) > 0
        assert (out / each["system"] / "weights.safetensors").is_file()
        assert each["system"] in said.out
    assert set(found["faithfulness"]) == set(found["looking"]["methods"]) == {"vit-nano", "cnn"}
    assert "over baselines" in said.out
    assert "has no SRG" not in said.out
    assert set(found["looking"]["baselines"]) == {"random", "centre", "edges", "boolean-maps"}
    text = (out / "index.html").read_text()
    assert text.count("data-photo=") == 4
    assert text.count('class="heat"') == 8


def test_a_system_that_cannot_be_measured_is_named_with_the_command_that_does_it(
    jumok, coloured, tmp_path, monkeypatch
):
    def measure(maps, *words, **named):
        if "vit" in maps.model.name:
            raise JumokError("all maps are constant")
        return Measured(None, "the time was up")

    monkeypatch.setattr("jumok.app.classify.faithful.measure_faithfulness", measure)
    out = tmp_path / "out"
    said = jumok("compare", coloured, "--systems", "vit-nano,cnn", "--out", out, *SMALL)
    assert said.status == 0
    assert told(out)["faithfulness"] == {}
    told_of = "".join(said.out.split())  # lines are broken to the width of the terminal
    for name, why in (("vit-nano", "all maps are constant"), ("cnn", "5 s were too short for 8 images")):
        line = f"remark: {name} has no SRG: {why}; jumok measure {out / name} {coloured} measures it by itself"
        assert "".join(line.split()) in told_of


def test_masks_beside_the_images_are_used_where_no_folder_is_given(jumok, coloured, masks, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(coloured, data)
    for path in list(data.rglob("*.png")):
        shutil.copy(masks / path.relative_to(data), path.with_name(f"{path.stem}_mask.png"))
    assert jumok("compare", data, "--systems", "cnn", "--out", tmp_path / "out", *SMALL).status == 0
    assert set(told(tmp_path / "out")["looking"]["methods"]) == {"cnn"}


def test_what_is_there_is_not_trained_again_and_a_lost_page_is_made_anew(jumok, coloured, tmp_path, monkeypatch):
    words = ("compare", coloured, "--systems", "cnn", "--out", tmp_path / "out", *SMALL)
    assert jumok(*words).status == 0
    before = told(tmp_path / "out")
    (tmp_path / "out" / "index.html").unlink()
    monkeypatch.setattr(comparison.fit, "fit", None)  # would fail if it were called
    said = jumok(*words)
    assert said.status == 0
    assert "cnn: already there" in said.out
    assert told(tmp_path / "out") == before
    assert before["looking"] is None, "no masks, no scores"
    assert (tmp_path / "out" / "index.html").is_file()


def test_one_that_cannot_be_trained_does_not_keep_the_others_from_it(jumok, coloured, tmp_path, monkeypatch):
    from jumok.errors import JumokError

    whole = images.ImageComparison.of_system

    def broken(self, name):
        if name == "mlp":
            raise JumokError("mlp needs other images")
        return whole(self, name)

    monkeypatch.setattr(images.ImageComparison, "of_system", broken)
    said = jumok("compare", coloured, "--systems", "mlp,cnn", "--out", tmp_path / "out", *SMALL)
    assert said.status == 1
    assert told(tmp_path / "out")["errors"] == {"mlp": "mlp needs other images"}
    assert "mlp needs other images" in (tmp_path / "out" / "index.html").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--systems", "cnm"), "no system 'cnm': did you mean 'cnn'?"),
        (
            ("--systems", "cnn,seq2seq"),
            "seq2seq is trained to translate sentences: compare takes systems that classify images",
        ),
        (("--systems", ", ,"), "no systems to compare: give their names"),
        (("--budget", "soon"), "--budget 'soon' is not a time"),
        (("--budget", "0s"), "--budget '0s' is not a time"),
        (("--masks", "nowhere"), "nowhere"),
        (("--time", "2m"), "No such option: --time"),
        (("--init", "run"), "No such option: --init"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_left(jumok, coloured, tmp_path, words, message):
    said = jumok("compare", coloured, "--out", tmp_path / "out", "--budget", "1s", *words)
    assert said.status == 2
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_else_is_left_alone(jumok, coloured, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    said = jumok("compare", coloured, "--systems", "cnn", "--out", tmp_path / "out", *SMALL)
    assert (said.status, [path.name for path in (tmp_path / "out").iterdir()]) == (2, ["thesis.txt"])
    assert "holds something other than a comparison" in said.err


def test_another_budget_is_another_comparison(jumok, coloured, tmp_path):
    words = ("compare", coloured, "--systems", "mlp", "--out", tmp_path / "out", *SMALL)
    assert jumok(*words).status == 0
    said = jumok(*words, "--budget", "2s")
    assert said.status == 2
    assert "with other settings or another budget" in said.err


def test_a_longer_budget_gives_more_steps_of_training(coloured, tmp_path, monkeypatch):
    from jumok.tasks.classify.settings import ImageData, ImageTraining, Settings

    monkeypatch.setattr(planning, "measure_speed", lambda *_: planning.Speed(step=0.1, validation=0.1, start=9.0))
    training = ImageTraining(batch_size=4, device="cpu", threads=1, lr=0.01)
    settings = Settings(system="mlp", data=ImageData(images=str(coloured)), training=training)
    for budget, least, most in ((1, 5, 9), (100, 850, 990)):
        begun = images.begin(settings, budget, tmp_path / str(budget), "cpu")
        assert least <= begun._start("mlp").steps <= most
        assert begun._start("mlp").config.training.lr == 0.01


def test_a_step_takes_what_steps_take_but_for_the_first_and_the_slowest():
    watch = Stopwatch()
    watch._steps = [0.0, 5.0, 6.0, 7.0, 7.5, 8.0, 8.5, 9.0, 12.0]  # the first steps take longer
    assert watch.step == pytest.approx(0.5)
