"""Models of timm through the commands, and where their weights may come from."""

import importlib
import json
import shutil

import pytest
import yaml
from timm_library import import_timm, save_timm

from jumok.errors import JumokError
from jumok.systems.pretrained import import_timm as import_whole_timm
from jumok.tasks.classify.any_classifier import open_model

QUICK = ("--epochs", "1", "--lr", "1e-3", "--batch-size", "8", "--device", "cpu", "--threads", "1", "--no-trust")


@pytest.fixture(scope="module")
def timm():
    return import_timm()


@pytest.fixture(scope="module")
def saved(timm, tmp_path_factory):
    return save_timm(tmp_path_factory.mktemp("models") / "vit", num_classes=4)


def train(jumok, data, *words):
    said = jumok("train", data, *QUICK, *words)
    assert said.status == 0, said.err
    return said


def test_a_moved_run_keeps_what_timm_does_to_images(saved, coloured, jumok, tmp_path):
    model = shutil.copytree(saved.removeprefix("timm:local-dir:"), tmp_path / "model")
    train(jumok, coloured, "--system", f"timm:local-dir:{model}", "--out", tmp_path / "run")
    answers = open_model(str(tmp_path / "run")).preparation.described
    assert answers == "center crop of 90.0% to 16 x 16 (bicubic)"
    shutil.rmtree(model)
    run = shutil.move(tmp_path / "run", tmp_path / "moved")
    assert open_model(str(run)).preparation.described == answers
    assert jumok("eval", run, coloured).status == 0
    said = jumok("train", "--resume", run, "--epochs", "2")
    assert said.status == 0, said.err
    assert yaml.safe_load((run / "config.yaml").read_text())["training"]["epochs"] == 2
    train(jumok, coloured, "--init", run, "--out", tmp_path / "next")


def test_predict_look_and_measure_take_it(saved, coloured, jumok, tmp_path):
    image = next(coloured.rglob("*.png"))
    said = jumok("predict", saved, image, "--json")
    assert said.status == 0, said.err
    assert len(json.loads(said.out)["predictions"][0]["probabilities"]) == 4
    assert jumok("look", image, "--model", saved, "--method", "rollout", "--out", tmp_path / "o").status == 0
    assert jumok("measure", saved, coloured, "--method", "rollout", "--out", tmp_path / "m").status == 0


@pytest.mark.parametrize("words", ["--freeze backbone", "--freeze 1 --layer-decay 0.8", "--lora 2"])
def test_parts_of_it_are_trained(saved, coloured, jumok, tmp_path, words):
    if "lora" in words:
        pytest.importorskip("peft", reason="adapters need peft (the lora extra)")
    said = train(jumok, coloured, "--system", saved, *words.split(), "--out", tmp_path / "run")
    assert "30 of 32 tensors" in said.out
    assert "learning: " in said.out


def test_a_model_without_classes_can_be_trained_and_not_asked(timm, coloured, jumok, tmp_path):
    name = save_timm(tmp_path / "vit", "vit_small_patch14_reg4_dinov2", num_classes=0)
    with pytest.raises(JumokError, match="has no layer that names classes"):
        open_model(name)
    train(jumok, coloured, "--system", name, "--out", tmp_path / "run")


@pytest.fixture
def hub(timm, tmp_path, monkeypatch):
    """A cache of the hub with one model, whose weights lie in a file of the name that is given."""
    constants = importlib.import_module("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    def keep(file):
        import torch
        from timm.models import save_for_hf

        place = tmp_path / "hub" / "models--timm--mobilenetv3_small_050.lamb_in1k"
        (place / "refs").mkdir(parents=True)
        (place / "refs" / "main").write_text("abc")
        model = timm.create_model("mobilenetv3_small_050")
        save_for_hf(model, place / "snapshots" / "abc", safe_serialization=True)
        weights = place / "snapshots" / "abc" / "model.safetensors"
        if file != weights.name:
            weights.unlink()
            torch.save(model.state_dict(), weights.with_name(file))
            (place / ".no_exist" / "abc").mkdir(parents=True)
            for name in ("model.safetensors", "pytorch_model.safetensors"):
                (place / ".no_exist" / "abc" / name).touch()

    return keep


def test_weights_of_the_hub_are_read_from_safetensors(hub):
    hub("model.safetensors")
    assert len(open_model("timm:mobilenetv3_small_050").classes) == 1000


def test_a_pickle_of_the_hub_is_not_opened(hub):
    hub("pytorch_model.bin")
    with pytest.raises(JumokError, match="cannot open timm:mobilenetv3_small_050"):
        open_model("timm:mobilenetv3_small_050")


def test_a_pickle_beside_other_weights_is_not_opened(saved, tmp_path):
    folder = shutil.copytree(saved.removeprefix("timm:local-dir:"), tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(JumokError, match=r"has its weights as pytorch_model\.bin, a pickle"):
        open_model(f"timm:local-dir:{folder}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vit_tinny_patch16", "timm has no model 'vit_tinny_patch16': near it: vit_tiny_patch16_"),
        ("legacy_seresnet18", r"has its weights as .*\.pth, a pickle"),
        ("convnext_atto.nope", r"Invalid pretrained tag \(nope\)"),
    ],
)
def test_names_without_weights_that_can_be_read_are_refused(timm, name, message):
    with pytest.raises(JumokError, match=message) as error:
        open_model(f"timm:{name}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("error", [RuntimeError("no operator nms"), ModuleNotFoundError("no x", name="torchvision")])
def test_a_timm_that_does_not_load_is_no_fault_of_jumok(monkeypatch, error):
    def fail(name):
        raise error

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(JumokError, match=r"cannot be imported .*pip install torchvision, of the version that does"):
        import_whole_timm()
