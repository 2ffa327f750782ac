"""`jumok train --system hf:...` and `--init RUN`, and the other commands on the runs that come of them."""

import json
import shutil

import pytest
import yaml
from app_helpers import QUICK, write_coloured
from pretrained_models import MEAN, STD, save_hf

pytest.importorskip("transformers", reason="networks of transformers need it (the hf extra)")

SHORT = ["--device", "cpu", "--threads", "1", "--epochs", "6", "--batch-size", "8", "--lr", "0.01"]


def read(folder):
    return yaml.safe_load((folder / "config.yaml").read_text())


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    return save_hf(tmp_path_factory.mktemp("hf") / "vit")


@pytest.fixture(scope="module")
def tuned(coloured, tmp_path_factory):
    """A run of a network from elsewhere, which itself is gone."""
    from jumok.app.cli import main

    place = tmp_path_factory.mktemp("tuned")
    model = save_hf(place / "model")
    with pytest.raises(SystemExit) as stopped:
        main(["train", str(coloured), "--system", f"hf:{model}", "--out", str(place / "run"), *SHORT])
    assert stopped.value.code == 0
    shutil.rmtree(model)
    return place / "run"


def test_a_network_from_elsewhere_is_trained_with_its_own_preprocessing(jumok, coloured, vit, tmp_path):
    said = jumok("train", coloured, "--system", f"hf:{vit}", "--out", tmp_path / "run", *SHORT, "--epochs", 1)
    assert said.status == 0, said.err
    assert f"image size: 16 x 16 pixels (that of hf:{vit}: resized to 16 x 16 (bilinear))" in said.out
    new = "new: network.classifier.weight, network.classifier.bias"
    assert f"weights: 54 of 56 tensors from hf:{vit}; {new}" in said.out
    config = read(tmp_path / "run")
    assert (config["found"]["mean"], config["found"]["std"]) == (MEAN, STD)
    assert config["options"]["architecture"]["model_type"] == "vit"
    assert config["training"]["lr"] == 0.01


def test_its_run_is_evaluated_looked_at_and_measured_from_its_folder_alone(jumok, coloured, tuned, tmp_path):
    said = jumok("eval", tuned, coloured, "--out", tmp_path / "eval")
    assert said.status == 0, said.err
    assert json.loads((tmp_path / "eval" / "eval.json").read_text())["accuracy"] > 0.9
    said = jumok("look", coloured / "red", "--model", tuned, "--method", "rollout", "--out", tmp_path / "look")
    assert said.status == 0, said.err
    assert len(list((tmp_path / "look").glob("*.rollout.png"))) == 16
    said = jumok("train", "--resume", tuned)
    assert said.status == 0, said.err


def test_its_maps_are_measured(jumok, coloured, tuned, tmp_path):
    from PIL import Image

    for path in coloured.rglob("*.png"):
        mask = tmp_path / "masks" / path.relative_to(coloured)
        mask.parent.mkdir(parents=True, exist_ok=True)
        image = Image.new("L", (16, 16), 0)
        image.paste(255, (0, 0, 8, 8))
        image.save(mask)
    said = jumok("measure", tuned, coloured, "--masks", tmp_path / "masks", "--out", tmp_path / "measured")
    assert said.status == 0, said.err
    assert {"chefer", "rollout", "raw"} <= json.loads((tmp_path / "measured" / "measure.json").read_text())[
        "methods"
    ].keys()


def test_a_run_begins_with_the_weights_of_another_on_other_classes(jumok, trained, tmp_path):
    photos = write_coloured(tmp_path / "photos", classes=("blau", "rot"))
    said = jumok("train", photos, "--init", trained, "--out", tmp_path / "run", *QUICK[12:])
    assert said.status == 0, said.err
    assert f"tensors from {trained}; new: head.weight, head.bias" in said.out
    config, before = read(tmp_path / "run"), read(trained)
    assert (config["system"], config["options"]["width"]) == (before["system"], before["options"]["width"])
    assert config["found"]["mean"] == before["found"]["mean"]
    assert "begun with" in (tmp_path / "run" / "card.md").read_text()


def test_the_same_classes_keep_their_head(jumok, coloured, trained, tmp_path):
    said = jumok("train", coloured, "--init", trained, "--out", tmp_path / "run", *QUICK[12:])
    assert said.status == 0, said.err
    assert "new:" not in said.out
    assert "that this run begins with" not in said.out  # the split is the same, so what is held out was held out before


def test_held_out_images_that_the_first_weights_were_trained_on_are_told(jumok, coloured, trained, tmp_path):
    first, again = tmp_path / "first", tmp_path / "again"
    told = "the weights that this run begins with were trained on"
    said = jumok("train", coloured, "--init", trained, "--out", first, *QUICK[12:], "--seed", "5")
    assert said.status == 0, said.err
    assert told in said.out
    judged = jumok("eval", first, coloured)
    assert "trained on before (--init)" in judged.out
    assert jumok("train", "--resume", first, "--epochs", "3").status == 0
    assert jumok("eval", first, coloured).out.splitlines()[0] == judged.out.splitlines()[0]
    assert "trained on before (--init)" in jumok("eval", first, coloured).out
    said = jumok("train", coloured, "--init", first, "--out", again, *QUICK[12:], "--seed", "5")
    assert told in said.out  # the one before the last had seen them


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--system", "hf:{place}/none"], "no model folder at "),
        (["--system", "hf:{place}/empty"], "cannot open hf:"),
        (["--system", "hf:{vit}", "--image-size", "24"], "does not take images of 24 x 24 pixels"),
        (
            ["--system", "hf:{vit}", "--option", "hiden_size=8"],
            "has no option 'hiden_size': did you mean 'hidden_size'",
        ),
        (["--system", "hf:{vit}", "--option", "hidden_size=64"], "of the weights of such a network"),
        (["--system", "hf:{vit}", "--freeze", "9"], "--freeze 9: this model has 3 layers"),
        (["--system", "hf:{vit}", "--freeze", "head"], "--freeze is 'head'"),
        (["--system", "vit-nano", "--freeze", "backbone"], "--freeze and --lora keep weights that were trained before"),
        (["--init", "{place}/none"], "no run at "),
        (["--init", "{run}", "--system", "cnn"], "leave --system out"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(jumok, coloured, vit, trained, tmp_path, words, message):
    (tmp_path / "empty").mkdir()
    given = [word.format(place=tmp_path, vit=vit, run=trained) for word in words]
    said = jumok("train", coloured, "--out", tmp_path / "run", *given, *SHORT)
    assert said.status == 2
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_run_that_lacks_what_it_began_with_says_so(jumok, tuned, tmp_path):
    run = shutil.copytree(tuned, tmp_path / "run")
    (run / "initial.safetensors").unlink()
    said = jumok("train", "--resume", run)
    assert said.status == 2
    assert "no such file: " in said.err


def test_a_model_from_elsewhere_is_compared_with_ours(jumok, coloured, vit, tmp_path):
    words = ["--systems", f"hf:{vit},cnn", "--budget", "2s", "--shown", "2", *SHORT[:4], "--batch-size", "8"]
    said = jumok("compare", coloured, "--out", tmp_path / "out", *words)
    assert said.status == 0, said.err
    found = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert [each["system"] for each in found["systems"]] == [f"hf:{vit}", "cnn"]
    runs = {read(path.parent)["system"]: path.parent for path in (tmp_path / "out").glob("*/config.yaml")}
    assert set(runs) == {f"hf:{vit}", "cnn"}
    assert read(runs[f"hf:{vit}"])["found"]["mean"] == MEAN
    assert read(runs["cnn"])["found"]["mean"] != MEAN
    (runs[f"hf:{vit}"] / "result.json").unlink()
    again = jumok("compare", coloured, "--out", tmp_path / "out", *words)
    assert again.status == 0, again.err + again.out
    assert "cnn: already there" in again.out
