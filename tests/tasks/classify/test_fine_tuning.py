"""Training goes on with weights from elsewhere: all of them, the head alone, or adapters beside them."""

import shutil
import sys

import pytest
import torch
from breaking import At, Stop, same_end, stop
from pretrained_models import save_hf

from jumok.errors import JumokError
from jumok.tasks.classify import prepare, tuning
from jumok.tasks.classify.any_classifier import open_model
from jumok.tasks.classify.features import FEATURES
from jumok.tasks.classify.foreign import load_hf
from jumok.tasks.classify.looking import LookOptions, look
from jumok.tasks.classify.run import ImageRun
from jumok.tasks.classify.settings import ImageData, ImageTraining, RunConfig, Settings
from jumok.tasks.running import fit
from jumok.tasks.running.adapters import add_adapters, merge_adapters
from jumok.tasks.running.checkpoint import read_tensors
from jumok.tasks.running.layers import still
from jumok.tasks.running.optimiser import FACTOR

pytest.importorskip("transformers", reason="networks of transformers need it (the hf extra)")

QUIET = {"epochs": 3, "batch_size": 8, "checkpoint_every": 1, "device": "cpu", "lr": 0.01}


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    return save_hf(tmp_path_factory.mktemp("hf") / "vit")


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def prepared(photos, vit, **training):
    return prepare.prepare(
        Settings(
            system=f"hf:{vit}", data=ImageData(images=str(photos)), training=ImageTraining(**{**QUIET, **training})
        )
    )


def train(ready, folder, *watchers):
    ready.write(folder)
    return fit.fit(ready.module(), ready.train, ready.val, folder, ready.training, watchers)


def resume(folder, *watchers):
    ready = prepare.resume(RunConfig.load(folder / "config.yaml"), folder)
    return fit.fit(ready.module(), ready.train, ready.val, folder, ready.training, watchers)


def weights(folder):
    return read_tensors(folder / "weights.safetensors")[1]


HEAD = {"network.classifier.weight", "network.classifier.bias"}


def test_a_new_head_stands_on_the_weights_from_elsewhere(photos, vit, tmp_path):
    ready = prepared(photos, vit)
    begun = ready.config.found.begun
    assert set(begun.new) == HEAD
    state = ready.module().model.state_dict()
    for name, value in load_hf(str(vit)).network.state_dict().items():
        if not name.startswith("classifier"):
            assert torch.equal(state[f"network.{name}"], value)
    assert state["network.classifier.weight"].shape == (2, 32)


def test_the_head_is_the_seeds_and_the_others_are_the_same_for_every_seed(photos, vit):
    first, second, again = (prepared(photos, vit, seed=seed).module().model.state_dict() for seed in (1, 2, 1))
    assert {name for name in first if not torch.equal(first[name], second[name])} == {"network.classifier.weight"}
    assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize("step", [0, 5])
def test_a_run_that_began_with_other_weights_resumes_bit_for_bit_without_them(photos, vit, tmp_path, step):
    model = shutil.copytree(vit, tmp_path / "model")
    for name in ("broken", "whole"):
        ready = prepared(photos, model)
        if name == "whole":
            train(ready, tmp_path / name)
        else:
            with pytest.raises(Stop):
                train(ready, tmp_path / name, At(step, stop))
    shutil.rmtree(model)
    resume(tmp_path / "broken")
    same_end(tmp_path / "broken", tmp_path / "whole")


def test_a_run_looks_where_the_network_that_it_is_made_of_looks(photos, vit, tmp_path):
    train(prepared(photos, vit, freeze="backbone"), tmp_path / "run")
    images = [torch.randint(0, 256, (3, 20, 24), dtype=torch.uint8) for _ in range(2)]
    options = LookOptions(("rollout",))
    ours, theirs = (look(open_model(name), images, options) for name in (str(tmp_path / "run"), f"hf:{vit}"))
    for one, other in zip(ours, theirs, strict=True):
        assert len(one.probabilities) == 2
        assert one.heats["rollout"].keys == other.heats["rollout"].keys
        torch.testing.assert_close(one.heats["rollout"].weights, other.heats["rollout"].weights, rtol=1e-4, atol=1e-6)


# -- freezing ----------------------------------------------------------------------------------


def test_a_head_alone_learns_the_same_from_features_as_from_images(photos, vit, tmp_path, monkeypatch):
    by_features = prepared(photos, vit, freeze="backbone")
    assert by_features.features is not None
    train(by_features, tmp_path / "features")
    monkeypatch.setattr(prepare, "keep_features", lambda *_: None)
    by_images = prepared(photos, vit, freeze="backbone")
    assert by_images.features is None
    train(by_images, tmp_path / "images")
    first, second = weights(tmp_path / "features"), weights(tmp_path / "images")
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=1e-4, atol=1e-5)
        if name not in HEAD:
            assert torch.equal(value, by_features.initial[name])
    start = by_features.module().model.state_dict()
    assert not torch.equal(first["network.classifier.weight"], start["weight"])


def test_features_are_computed_once_even_for_a_run_that_was_stopped(photos, vit, tmp_path, monkeypatch):
    with pytest.raises(Stop):
        train(prepared(photos, vit, freeze="backbone"), tmp_path / "broken", At(5, stop))
    train(prepared(photos, vit, freeze="backbone"), tmp_path / "whole")
    monkeypatch.setattr(tuning, "compute_features", lambda *_: pytest.fail("they are kept in the run"))
    resume(tmp_path / "broken")
    assert (tmp_path / "broken" / "metrics.csv").read_text() == (tmp_path / "whole" / "metrics.csv").read_text()
    first, second = weights(tmp_path / "broken"), weights(tmp_path / "whole")
    assert all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize("spoil", ["gone", "cut"])
def test_features_that_are_spoilt_are_computed_again(photos, vit, tmp_path, spoil):
    ready = prepared(photos, vit, freeze="backbone")
    ready.write(tmp_path / "run")
    file = tmp_path / "run" / FEATURES
    file.unlink() if spoil == "gone" else file.write_bytes(file.read_bytes()[:90])
    again = prepare.resume(ready.config, tmp_path / "run")
    for part, features in again.features.items():
        torch.testing.assert_close(features.values, ready.features[part].values)


def test_images_that_are_varied_have_no_features_to_keep(photos, vit):
    ready = prepared(photos, vit, freeze="backbone", augment=True)
    assert ready.features is None
    assert [name for name, value in ready.module().named_parameters() if value.requires_grad] == [
        f"model.{name}" for name in sorted(HEAD, reverse=True)
    ]


def test_frozen_layers_stay_as_they_were_and_in_eval_mode(photos, vit, tmp_path):
    ready = prepared(photos, vit, freeze="2", ema=0)
    module = ready.module().train()
    assert {type(each).__name__ for each in module.frozen} >= {"ViTEmbeddings", "ViTLayer"}
    assert not any(each.training for each in module.frozen)
    assert module.training
    train(ready, tmp_path / "run")
    changed = {name for name, value in weights(tmp_path / "run").items() if name in ready.initial}
    changed = {name for name in changed if not torch.equal(weights(tmp_path / "run")[name], ready.initial[name])}
    frozen = {name for name in ready.initial if ".embeddings." in name or ".0." in name or ".1." in name}
    assert changed
    assert not changed & frozen
    assert changed | frozen == set(ready.initial)


def test_layers_nearer_to_the_image_learn_more_slowly(photos, vit):
    module = prepared(photos, vit, layer_decay=0.5).module()
    factor = {id(value): group[FACTOR] for group in module.learning_groups() for value in group["params"]}
    found = {name: factor[id(value)] for name, value in module.model.named_parameters()}
    assert found["network.classifier.weight"] == 1
    assert found["network.vit.embeddings.cls_token"] == 0.5**4
    layers = {name.split("layernorm_before")[0]: value for name, value in found.items() if "layernorm_before" in name}
    assert list(layers.values()) == [0.5**3, 0.5**2, 0.5]
    groups = module.configure_optimizers()["optimizer"].param_groups
    assert groups[0]["initial_lr"] == 0.01
    assert groups[-1]["initial_lr"] == 0.01 * 0.5**4


# -- adapters ----------------------------------------------------------------------------------


def test_adapters_change_nothing_before_they_learn_and_are_merged_into_the_weights(photos, vit):
    pytest.importorskip("peft", reason="adapters need peft (the lora extra)")
    torch.manual_seed(0)
    pixels = torch.randn(2, 3, 16, 16)
    ready = prepared(photos, vit)
    plain, adapted = ready.module().model, ready.module().model
    add_adapters(adapted, "network.classifier", 2)
    with still(plain), still(adapted):
        torch.testing.assert_close(adapted(pixels), plain(pixels), rtol=0, atol=0)
    learns = [name for name, value in adapted.named_parameters() if value.requires_grad]
    assert all("lora_" in name or name in HEAD for name in learns)
    for name, value in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value)
    with still(plain), still(adapted):
        changed = adapted(pixels)
        assert not torch.allclose(changed, plain(pixels), atol=1e-3)
        plain.load_state_dict(merge_adapters(adapted.state_dict()))
        torch.testing.assert_close(plain(pixels), changed, rtol=1e-4, atol=1e-5)


def test_a_run_with_adapters_is_used_without_peft_and_resumes_bit_for_bit(photos, vit, tmp_path, monkeypatch):
    pytest.importorskip("peft", reason="adapters need peft (the lora extra)")
    with pytest.raises(Stop):
        train(prepared(photos, vit, lora=2), tmp_path / "broken", At(5, stop))
    resume(tmp_path / "broken")
    train(prepared(photos, vit, lora=2), tmp_path / "whole")
    same_end(tmp_path / "broken", tmp_path / "whole")
    monkeypatch.setitem(sys.modules, "peft", None)
    run = ImageRun.load(tmp_path / "whole")
    initial = read_tensors(tmp_path / "whole" / "initial.safetensors")[1]
    changed = {
        name
        for name, value in run.model.state_dict().items()
        if name in initial and not torch.equal(value, initial[name])
    }
    assert changed
    assert all(
        name.endswith("weight") and any(part in name for part in (".attention.", ".mlp.", "dense", "proj"))
        for name in changed
    ), changed


def test_what_does_not_go_together_is_said(photos, vit):
    with pytest.raises(JumokError, match="--lora keeps all weights but its own and the head's as they are"):
        prepared(photos, vit, lora=2, freeze="backbone")
    with pytest.raises(JumokError, match="--freeze and --lora keep weights that were trained before"):
        prepare.prepare(Settings(data=ImageData(images=str(photos)), training=ImageTraining(**QUIET, freeze="1")))
    with pytest.raises(JumokError, match="--freeze 4: this model has 3 layers"):
        prepared(photos, vit, freeze="4")
