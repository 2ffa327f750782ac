"""`jumok export` of runs that began with models of transformers and timm: checked against the model on real images."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pretrained_models import save_hf
from timm_library import import_timm, save_timm

import jumok as package
from jumok.app.cli import main
from jumok.data.images.folders import find_images
from jumok.tasks.classify.run import ImageRun

onnxruntime = pytest.importorskip("onnxruntime")
QUICK = ("--epochs", "1", "--lr", "1e-4", "--batch-size", "8", "--device", "cpu", "--threads", "1", "--no-trust")


def tune(images: Path, folder: Path, system: str) -> Path:
    with pytest.raises(SystemExit) as stopped:
        main(["train", str(images), "--system", system, "--out", str(folder), *QUICK])
    assert stopped.value.code == 0
    return folder


def ask(path, pixels):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"pixels": pixels.numpy()})


@pytest.fixture(scope="module")
def tuned(coloured, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned")
    return lambda family: (
        folder / family
        if (folder / family).exists()
        else tune(coloured, folder / family, f"hf:{save_hf(folder / f'{family}-model', family)}")
    )


@pytest.mark.parametrize("family", ["ViT", "Swin", "ResNet", "ConvNext"])
def test_networks_of_transformers_give_the_same_in_onnx(tuned, coloured, jumok, tmp_path, family):
    run = tuned(family)
    said = jumok("export", run, "--onnx", "--out", tmp_path, "--json")
    assert said.status == 0, said.err
    check = json.loads(said.out)["checks"]["model.onnx"]
    assert check["opset"] == 18
    assert check["on"] == "12 images"
    assert check["greatest_difference"]["logits"] <= 1e-4
    loaded = ImageRun.load(run)
    for count in (1, 5):
        pixels = loaded.prepare(find_images(coloured)[:count])
        np.testing.assert_allclose(
            ask(tmp_path / "model.onnx", pixels)[0], loaded.model(pixels).detach().numpy(), atol=1e-4
        )


def test_a_vit_of_transformers_gives_its_map(tuned, coloured, jumok, tmp_path):
    run = tuned("ViT")
    said = jumok("export", run, "--onnx", "--with-map", "--out", tmp_path)
    assert said.status == 0, said.err
    loaded = ImageRun.load(run)
    pixels = loaded.prepare(find_images(coloured)[:3])
    _, heat = ask(tmp_path / "model.onnx", pixels)
    with torch.no_grad(), package.watch(loaded.model) as seen:
        loaded.model(pixels)
    wanted = seen.rollout("cls").weights[:, 0, 1:].unflatten(1, (4, 4))
    np.testing.assert_allclose(heat, wanted.numpy(), atol=1e-5)


@pytest.mark.parametrize("family", ["Swin", "ResNet"])
def test_a_map_that_is_not_known_to_be_right_is_refused(tuned, jumok, tmp_path, family):
    said = jumok("export", tuned(family), "--with-map", "--out", tmp_path / "o")
    assert said.status == 2
    assert "--with-map is not known to be right for hf:" in " ".join(said.err.split())
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "resnet10t", "convnext_atto"])
def test_networks_of_timm_give_the_same_in_onnx(coloured, jumok, tmp_path, name):
    import_timm()
    run = tune(coloured, tmp_path / "run", save_timm(tmp_path / "model", name))
    said = jumok("export", run, "--onnx", "--out", tmp_path / "o", "--json")
    assert said.status == 0, said.err
    assert json.loads(said.out)["checks"]["model.onnx"]["greatest_difference"]["logits"] <= 1e-4
    said = jumok("export", run, "--with-map", "--out", tmp_path / "no")
    assert said.status == 2
    assert "leave it out" in said.err
