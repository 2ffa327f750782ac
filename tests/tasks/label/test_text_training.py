"""Training of text classifiers: resumed bit for bit, what is frozen stays, texts are read by their own tokenizer."""

import pytest
import torch
from breaking import At, Stop, stop
from text_encoders import make_texts, make_tokenizer, save_encoder, write_texts

from jumok.errors import JumokError
from jumok.tasks.label.foreign import load_encoder
from jumok.tasks.label.looking import explain, list_methods
from jumok.tasks.label.prepare import prepare, resume
from jumok.tasks.label.run import TextRun
from jumok.tasks.label.settings import RunConfig, Settings, TextData, TextTraining
from jumok.tasks.running.checkpoint import read_tensors
from jumok.tasks.running.fit import fit
from jumok.tasks.running.lengthening import find_step


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("encoders") / "tiny")


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    return write_texts(tmp_path_factory.mktemp("texts") / "topics.csv", make_texts(40))


def settle(encoder, texts, **training):
    usual = {"epochs": 2, "lr": 0.003, "batch_size": 8, "device": "cpu", "checkpoint_every": 1}
    return Settings(
        system=f"hf:{encoder}", data=TextData(texts=str(texts)), training=TextTraining(**{**usual, **training})
    )


def train(prepared, folder, *watchers):
    fit(prepared.module(), prepared.train, prepared.val, folder, prepared.training, watchers)


@pytest.mark.parametrize("frozen", ["none", "backbone"])
def test_a_stopped_run_ends_where_an_unbroken_one_ends(encoder, texts, tmp_path, frozen):
    for name in ("whole", "cut"):
        prepared = prepare(settle(encoder, texts, freeze=frozen))
        prepared.write(tmp_path / name)
        if name == "whole":
            train(prepared, tmp_path / name)
        else:
            with pytest.raises(Stop):
                train(prepared, tmp_path / name, At(4, stop))
    assert find_step(tmp_path / "cut") == 4
    train(resume(RunConfig.load(tmp_path / "cut" / "config.yaml"), tmp_path / "cut"), tmp_path / "cut")
    whole, cut = (read_tensors(tmp_path / name / "weights.safetensors")[1] for name in ("whole", "cut"))
    assert whole.keys() == cut.keys()
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_features_give_what_the_whole_model_gives(encoder, texts):
    prepared = prepare(settle(encoder, texts, freeze="backbone"))
    head = prepared.module()
    batch = next(iter(prepared.val))
    settings = settle(encoder, texts)
    whole = prepare(settings)
    module = whole.module().eval()
    module.model.load_state_dict(head.complete(head.model.state_dict()))
    torch.testing.assert_close(head.eval()(batch), module(next(iter(whole.val))), atol=1e-5, rtol=1e-4)


def test_the_tokenizer_is_the_encoders_own(encoder):
    tokens = load_encoder(str(encoder)).tokens
    theirs, _ = make_tokenizer()
    for text in ("The OVEN was striking, good!", "a goal", "zzz"):
        assert tokens.encode_all([text], 24)[0][0] == theirs(text)["input_ids"]
        assert tokens.encode_all([text], 4)[0][0] == theirs(text, truncation=True, max_length=4)["input_ids"]
    cut = tokens.cut("The OVEN was striking!", 24)
    assert cut.words == ("The", "OVEN", "was", "striking", "!")
    assert cut.owner == [-1, 0, 1, 2, 3, 3, 4, -1]
    assert tokens.longest == 24


def test_every_method_gives_a_row_over_the_words(encoder, texts, tmp_path):
    prepared = prepare(settle(encoder, texts, epochs=1))
    prepared.write(tmp_path / "run")
    train(prepared, tmp_path / "run")
    run = TextRun.load(tmp_path / "run")
    found = explain(run, "the striking oven was good", list_methods())
    for name, heat in found.maps.items():
        assert heat.keys.labels() == ["the", "striking", "oven", "was", "good"], name
        assert torch.isfinite(heat.weights).all()
    libra = explain(run, "the striking oven was good", ["libra"], target=1 - found.target)
    assert not torch.allclose(libra.maps["libra"].weights, found.maps["libra"].weights)
    with pytest.raises(JumokError, match="'occlusion' does not explain texts"):
        explain(run, "the oven", ["occlusion"])


def test_an_encoder_without_tokenizer_or_with_missing_weights_is_refused(encoder, tmp_path):
    import shutil

    bare = shutil.copytree(encoder, tmp_path / "bare")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (bare / name).unlink()
    with pytest.raises(JumokError, match="tokenizer"):
        load_encoder(str(bare))
    from safetensors.torch import load_file, save_file

    lame = shutil.copytree(encoder, tmp_path / "lame")
    kept = {name: value for name, value in load_file(lame / "model.safetensors").items() if "layer.1." not in name}
    save_file(kept, lame / "model.safetensors", {"format": "pt"})
    with pytest.raises(JumokError, match=r"lacks the weights encoder\.layer\.1"):
        load_encoder(str(lame))


def test_a_tokenizer_that_was_changed_is_refused(encoder, texts, tmp_path):
    prepared = prepare(settle(encoder, texts, epochs=1))
    prepared.write(tmp_path / "run")
    path = tmp_path / "run" / "tokenizer.json"
    path.write_text(path.read_text("utf-8") + " ", "utf-8")
    with pytest.raises(JumokError, match="is not the tokenizer that this run was trained with"):
        resume(RunConfig.load(tmp_path / "run" / "config.yaml"), tmp_path / "run")
