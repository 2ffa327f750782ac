"""`jumok ask` with a vision-language model from elsewhere, as a person calls it."""

import json
import logging
import re

import numpy as np
import pytest
import torch
from PIL import Image
from vision_language import TEMPLATE, make, make_blip2, make_florence2
from watched_models import eager

from jumok.app.cli import main
from jumok.attention import AttentionMap, Patches, Regions
from jumok.tasks.answer.foreign import asking
from jumok.tasks.answer.foreign.asking import open_asker

pytest.importorskip("transformers")

QUESTIONS = ["what is in this picture ?", "a red circle on the left ?"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two models from elsewhere, and an image for each."""
    torch.manual_seed(1)  # the first does not end its answer early
    found = {}
    for name in ("llava", "qwen2-vl"):
        family, folder = make(name), tmp_path_factory.mktemp(name)
        family.save(folder)
        family.photos()[-1].save(folder / "photo.png")
        found[name] = folder
    return found


def run(words):
    with pytest.raises(SystemExit) as end:
        main(words)
    return end.value.code


def ask(folder, *words):
    return run(["ask", str(folder / "photo.png"), *words, "--model", f"hf:{folder}"])


@pytest.mark.parametrize(("name", "grid"), [("llava", (4, 4)), ("qwen2-vl", (3, 5))])
def test_each_word_of_an_answer_has_its_look_and_its_probability(models, name, grid, tmp_path, capsys):
    assert ask(models[name], *QUESTIONS, "--generate", "5", "--out", str(tmp_path), "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert [each["question"] for each in report["questions"]] == QUESTIONS
    for number, each in enumerate(report["questions"], 1):
        looks = AttentionMap.load(tmp_path / f"{number}.attention.safetensors")
        assert looks.queries.labels() == [word["word"] for word in each["words"]]
        assert isinstance(looks.keys, Patches)
        assert looks.keys.special == ("other tokens",)
        torch.testing.assert_close(looks.weights.sum(-1), torch.ones(len(looks.queries)))
        on_image = torch.tensor([word["on_image"] for word in each["words"]])
        torch.testing.assert_close(looks.weights[:, 1:].sum(-1), on_image)
        product = torch.tensor([word["probability"] for word in each["words"]], dtype=torch.float64).prod()
        assert each["probability"] == pytest.approx(float(product))
        assert 0 < each["on_image_if_even"] < 1
    assert (looks.keys.rows, looks.keys.columns) == grid
    assert "the whole answer" in (tmp_path / "index.html").read_text("utf-8")
    assert (tmp_path / "2.png").stat().st_size > 1000


def fail(capsys, folder, *words):
    assert ask(folder, *words) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def copy_changed(folder, to, name, change):
    """The folder with one of its files changed."""
    to.mkdir()
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    values = json.loads((to / name).read_text("utf-8"))
    change(values)
    (to / name).write_text(json.dumps(values))
    return to


def test_without_its_chat_template_a_model_is_asked_in_plain_text_alone(models, tmp_path, capsys):
    folder = copy_changed(models["llava"], tmp_path / "m", "config.json", lambda values: None)
    (folder / "chat_template.jinja").unlink()
    options = ["--generate", "3", "--no-html", "--no-pictures", "--out", str(tmp_path)]
    assert "has no chat template (chat_template.jinja)" in fail(capsys, folder, QUESTIONS[0])
    assert run(["systems", f"hf:{folder}"]) == 0
    told = capsys.readouterr().out
    assert "its chat template is missing, so ask in plain text with --plain" in told
    assert f"--model hf:{folder} --plain" in told
    assert ask(folder, QUESTIONS[0], *options, "--plain") == 0
    assert "no chat template: it was asked in plain text" in capsys.readouterr().out
    assert open_asker(f"hf:{models['llava']}", "cpu").processor.write_prompt("what ?", plain=True) == "<image>\nwhat ?"
    assert run(["ask", "run", "photo.png", "what ?", "--plain"]) == 2
    assert "no use for --plain" in capsys.readouterr().err


def test_a_model_that_never_had_a_chat_template_is_asked_in_plain_text(tmp_path, capsys):
    family = make("paligemma")
    family.save(tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    family.photos(1)[0].save(tmp_path / "photo.png")
    options = ["--generate", "2", "--no-html", "--no-pictures", "--out", str(tmp_path / "out")]
    assert ask(tmp_path, "what ?", *options) == 0
    assert "no chat template: it was asked in plain text" in capsys.readouterr().out


def test_code_of_its_own_is_refused_by_name(models, tmp_path, capsys):
    def change(values):
        values["model_type"], values["auto_map"] = "mine", {"AutoConfig": "mine.Config"}

    folder = copy_changed(models["llava"], tmp_path / "m", "config.json", change)
    assert "asks for code from a repository (auto_map), which is not run here" in fail(capsys, folder, "what ?")


def test_a_model_of_another_kind_is_named(models, tmp_path, capsys):
    folder = copy_changed(
        models["llava"], tmp_path / "m", "config.json", lambda values: values.update(model_type="bert")
    )
    assert "is of type bert, which answers no questions about images" in fail(capsys, folder, "what ?")


def test_a_processor_that_is_missing_or_contradicts_the_model(models, tmp_path, capsys):
    def shrink(values):
        values["crop_size"] = {"height": 16, "width": 16}

    folder = copy_changed(models["llava"], tmp_path / "m", "preprocessor_config.json", shrink)
    assert "and its processor do not fit each other" in fail(capsys, folder, "what ?")
    (folder / "preprocessor_config.json").unlink()
    assert "has no preprocessor_config.json" in fail(capsys, folder, "what ?")
    copy_changed(models["llava"], tmp_path / "n", "config.json", lambda values: None)
    (tmp_path / "n" / "tokenizer.json").unlink()
    assert "has no tokenizer (tokenizer.json)" in fail(capsys, tmp_path / "n", "what ?")


def test_a_processor_that_does_not_say_how_many_tokens_an_image_takes(models, tmp_path, capsys):
    folder = copy_changed(models["llava"], tmp_path / "m", "processor_config.json", lambda values: None)
    (folder / "processor_config.json").unlink()
    line = fail(capsys, folder, "what ?")
    assert "does not say patch_size and vision_feature_select_strategy (processor_config.json)" in line


def test_several_answers_that_a_model_is_set_to_give_are_one(models, tmp_path):
    def change(values):
        values |= {"num_beams": 4, "num_return_sequences": 3}

    folder = copy_changed(models["llava"], tmp_path / "m", "generation_config.json", change)
    assert ask(folder, "what ?", "--generate", "2", "--no-html", "--no-pictures", "--out", str(tmp_path)) == 0


FILES = ["config.json", "preprocessor_config.json", "processor_config.json", "tokenizer.json", "generation_config.json"]
DAMAGES = {"": "(it is empty)", '{"a": ': "(Expecting value", "[1]": "holds no settings"}


@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_of_a_model_is_named(models, file, tmp_path, capsys):
    folder = copy_changed(models["llava"], tmp_path / "m", "config.json", lambda values: None)
    for damage, said in DAMAGES.items():
        (folder / file).write_text(damage)
        line = fail(capsys, folder, "what ?")
        assert f"{folder / file} {said}" in line


@pytest.mark.parametrize(
    "command", [["look", "a red circle"], ["look", "photo.png"], ["systems"], ["predict", "photo.png"]]
)
def test_a_damaged_configuration_is_named_by_every_command(models, command, tmp_path, capsys, monkeypatch):
    folder = copy_changed(models["llava"], tmp_path / "m", "config.json", lambda values: None)
    monkeypatch.chdir(folder)
    named = [f"hf:{folder}"] if command[0] in ("systems", "predict") else ["--model", f"hf:{folder}"]
    for damage, said in {**DAMAGES, None: "it has no config.json"}.items():
        (folder / "config.json").unlink(missing_ok=True)
        if damage is not None:
            (folder / "config.json").write_text(damage)
        assert run([command[0], *named, *command[1:]]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert said in line
        assert damage is None or str(folder / "config.json") in line


@pytest.mark.parametrize("name", ["llava", "qwen2-vl"])
def test_a_question_that_holds_what_stands_for_an_image_is_refused(models, name, capsys):
    for question in ("<image> what is in this ?", "what is <|video_pad|> ?"):
        if name == "llava" and "video" in question:
            continue
        assert "leave it out, for each image given is put in front" in fail(capsys, models[name], question)


def test_bounds_of_an_answer(models, tmp_path, capsys):
    def shorten(values):
        values["text_config"]["max_position_embeddings"] = 30

    folder = copy_changed(models["llava"], tmp_path / "m", "config.json", shorten)
    assert "reads at most 30 with the answer" in fail(capsys, folder, "what ?")
    assert run(["ask", str(folder / "photo.png"), "what ?", "--model", f"hf:{folder}", "--generate", "0"]) == 2
    capsys.readouterr()
    assert run(["ask", "somewhere", str(folder / "photo.png"), "what ?", "--generate", "5"]) == 2
    assert "no use for --generate" in capsys.readouterr().err


def test_what_is_no_model_from_elsewhere(models, tmp_path, capsys):
    photo = str(models["llava"] / "photo.png")
    for name, said in (("nothing", "wanted hf: and a folder"), (f"hf:{tmp_path}/none", "no model folder at")):
        assert run(["ask", photo, "what ?", "--model", name]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", ["llava-next", "internvl", "idefics3", "paligemma"])
def test_other_families_answer_with_tiles_and_merged_places(name, tmp_path):
    family = make(name)
    family.save(tmp_path)
    answered = open_asker(f"hf:{tmp_path}", "cpu").ask(family.photos(1), QUESTIONS[0], 4, "chefer")
    assert len(answered.probabilities) == len(answered.words) > 0
    (look,) = answered.images
    assert len(look.looks.keys) == 1 + (family.places or family.counts)[0]
    torch.testing.assert_close(look.looks.weights.sum(-1), torch.ones(len(answered.words)))
    spread = [each.keys.spread(torch.ones(len(each.keys)), *family.sizes[0]) for each in (look.relevance, look.looks)]
    torch.testing.assert_close(*spread)  # the same places, in the order of each
    assert look.relevance.queries.labels() == list(answered.words)
    assert bool((look.relevance.weights >= 0).all())
    assert bool(look.relevance.weights[:, 1:].any())


def test_an_encoder_and_a_decoder_answer_by_cross_attention(tmp_path, capsys):
    family = make_florence2()
    family.save(tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    photo = family.photos()[0]
    photo.save(tmp_path / "photo.png")
    capsys.readouterr()
    answered = open_asker(f"hf:{tmp_path}", "cpu").ask([photo], "what is this ?", 4)
    (look,) = answered.images
    assert isinstance(look.looks.keys, Regions)
    assert len(look.looks.keys) == 1 + 1 + 4 * 6
    assert look.looks.keys.boxes[1] == (0, 0, 32, 48)  # the mean of all places
    torch.testing.assert_close(look.looks.weights.sum(-1), torch.ones(len(answered.words)))
    assert "writes by an encoder and a decoder" in fail(capsys, tmp_path, "what ?", "--method", "chefer")
    assert ask(tmp_path, "what ?", "--generate", "3", "--out", str(tmp_path / "out")) == 0


@pytest.mark.parametrize(("writes_with", "name"), [("OPT", "Blip2"), ("T5", "Blip2"), ("OPT", "InstructBlip")])
def test_learnt_tokens_lead_the_words_to_the_image_and_that_is_told(writes_with, name, tmp_path, capsys):
    family = make_blip2(writes_with, name)
    family.save(tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    family.photos()[0].save(tmp_path / "photo.png")
    capsys.readouterr()
    options = ["--generate", "3", "--out", str(tmp_path / "out")]
    options += ["--method", "chefer"] if writes_with == "OPT" else []
    assert ask(tmp_path, "what is this ?", *options) == 0
    assert "multiplied by what that one looked at in the image" in capsys.readouterr().out
    for file in (tmp_path / "out").glob("1.*.safetensors"):
        found = AttentionMap.load(file)
        assert found.keys == Patches(4, 4, special=("other tokens",))
        assert ", then the mean of qformer" in found.source
        assert bool((found.weights[:, 1:] > 0).any())


def test_what_a_crop_leaves_of_the_image_is_said_on_the_page_in_its_language(models, tmp_path):
    photo = tmp_path / "wide.png"
    Image.open(models["llava"] / "photo.png").resize((64, 32)).save(photo)
    words = ["ask", str(photo), "what ?", "--model", f"hf:{models['llava']}", "--generate", "2", "--out", str(tmp_path)]
    assert run(words) == 0
    page = (tmp_path / "index.html").read_text("utf-8")
    assert "The model saw 50% of the image" in page
    assert re.search(r'"seen": ?\[0.0, ?0.25, ?1.0, ?0.75\]', page)  # which is outlined
    assert run(["--language", "ko", *words]) == 0
    assert "모델은 이미지의 50%만 보았으며" in (tmp_path / "index.html").read_text("utf-8")


# -- several images ------------------------------------------------------------------------------

TOGETHER = ["llava", "llava-next", "qwen2-vl", "qwen2.5-vl", "internvl", "idefics3", "smolvlm"]


def change(photo):
    """The same image with other pixels."""
    return Image.fromarray(255 - np.asarray(photo))


@pytest.mark.parametrize("name", TOGETHER)
def test_each_of_several_images_has_its_own_heat(name, tmp_path):
    if name == "smolvlm":
        pytest.importorskip("num2words")
    family = make(name)
    family.save(tmp_path)
    first = family.photos(1)[0]
    asker = open_asker(f"hf:{tmp_path}", "cpu")
    answered = asker.ask([first, change(first)], QUESTIONS[0], 4, "chefer")
    alone = asker.ask([first], QUESTIONS[0], 4)
    assert len(answered.images) == 2
    for look in answered.images:
        assert look.looks.keys == alone.images[0].looks.keys
        torch.testing.assert_close(look.looks.weights.sum(-1), torch.ones(len(answered.words)))
        spread = [each.keys.spread(torch.ones(len(each.keys)), 64, 64) for each in (look.relevance, look.looks)]
        torch.testing.assert_close(*spread)
        assert bool(look.relevance.weights[:, 1:].any())
        assert look.even < alone.images[0].even
    one, other = (look.looks.weights[:, 1:] for look in answered.images)
    assert not torch.allclose(one, other)
    assert bool((one.sum(-1) + other.sum(-1) < 1).all())


def test_a_package_that_a_processor_needs_is_named(models, tmp_path, capsys, monkeypatch):
    from transformers.models.smolvlm import processing_smolvlm

    make("smolvlm").save(tmp_path)
    Image.open(models["llava"] / "photo.png").save(tmp_path / "photo.png")
    monkeypatch.setattr(processing_smolvlm, "num2words", None)
    capsys.readouterr()
    assert "needs a package that is not installed: Package `num2words`" in fail(capsys, tmp_path, "what ?")


def test_several_images_on_the_command_line(models, tmp_path, capsys):
    folder = models["qwen2-vl"]
    photos = [str(folder / "photo.png"), str(tmp_path / "second one.png")]
    Image.open(photos[0]).resize((24, 16)).save(photos[1])
    words = ["ask", *photos, QUESTIONS[0], "--model", f"hf:{folder}", "--generate", "3", "--out", str(tmp_path / "out")]
    assert run([*words, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["images"] == photos
    assert [len(word["on_image"]) for word in report["questions"][0]["words"]] == [2] * len(
        report["questions"][0]["words"]
    )
    grids = [AttentionMap.load(tmp_path / "out" / f"1.{number}.attention.safetensors").keys for number in (1, 2)]
    assert [(keys.rows, keys.columns) for keys in grids] == [(3, 5), (2, 3)]
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert "photo.png" in page
    assert "second one.png" in page
    assert run(words) == 0
    assert "photo.png, second one.png: the share of a word" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["paligemma"])
def test_a_model_that_takes_one_image_says_so_in_one_line(name, tmp_path, capsys):
    family = make(name)
    family.save(tmp_path)
    photo = tmp_path / "photo.png"
    family.photos(1)[0].save(photo)
    capsys.readouterr()
    assert run(["ask", str(photo), str(photo), "what ?", "--model", f"hf:{tmp_path}"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].endswith("ask about one image")


def test_what_the_library_remarks_of_a_prompt_is_not_said(tmp_path):
    told = []

    class Keeping(logging.Handler):
        def emit(self, record):
            told.append(record.getMessage())

    family, log, keeping = make("paligemma"), logging.getLogger("transformers"), Keeping()
    family.save(tmp_path)
    asker = open_asker(f"hf:{tmp_path}", "cpu")
    log.addHandler(keeping)
    try:
        asker.ask(family.photos(1), "what ?", 4)
    finally:
        log.removeHandler(keeping)
    assert told == []


def test_an_image_that_is_not_there_is_no_question(models, tmp_path, capsys):
    assert "nowhere.png" in fail(capsys, models["llava"], "nowhere.png", "what ?")
    many = [str(models["llava"] / "photo.png")] * 16
    assert "got 17 images" in fail(capsys, models["llava"], *many, "what ?")


# -- what speaks for a word ----------------------------------------------------------------------


def test_what_speaks_for_each_word_is_kept_beside_its_attention(models, tmp_path, capsys):
    options = ["--generate", "3", "--method", "chefer", "--out", str(tmp_path)]
    assert ask(models["llava"], QUESTIONS[0], *options) == 0
    found = AttentionMap.load(tmp_path / "1.chefer.safetensors")
    assert str(found.scale) == "relevance"
    assert (found.keys.rows, found.keys.columns) == (4, 4)
    assert found.source == "chefer of each word, through model.language_model"
    assert "the image encoder mixed places into these is not followed" in (tmp_path / "index.html").read_text("utf-8")


def test_relevance_is_that_of_a_pass_over_prompt_and_answer(models):
    """Eager attention, its gradients and the published formula, for the last token of the answer."""
    asker = open_asker(f"hf:{models['llava']}", "cpu")
    photo = Image.open(models["llava"] / "photo.png").convert("RGB")
    answered = asker.ask([photo], QUESTIONS[0], 3, "chefer")
    assert len(answered.words) == 3  # one for each token
    inputs = asker._read([photo], QUESTIONS[0])
    output = asker.model.generate(**inputs, max_new_tokens=3, do_sample=False)
    model = eager(asker.model)
    ids = output[:, :-1]
    given = {**inputs, "input_ids": ids, "attention_mask": torch.ones_like(ids), "output_attentions": True}
    found = model(**given)
    target = found.logits[0, -1, output[0, -1]]
    gradients = torch.autograd.grad(target, found.attentions)
    total = torch.eye(ids.shape[1])
    for weights, gradient in zip(found.attentions, gradients, strict=True):
        total = total + (weights[0] * gradient[0]).clamp_min(0).mean(0) @ total
    row = total[-1].detach()
    places = (ids[0] == model.config.image_token_id).nonzero()[:, 0]
    relevance = answered.images[0].relevance.weights[-1]
    torch.testing.assert_close(relevance[1:], row[places], rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(relevance[0], row.sum() - row[places].sum() - 1, rtol=1e-3, atol=1e-5)


def test_methods_that_do_not_explain_words_are_named(models, capsys, monkeypatch):
    assert "words of an answer are explained by chefer" in fail(
        capsys, models["llava"], "what ?", "--method", "rollout"
    )
    monkeypatch.setattr(asking, "open_asker", lambda *_: pytest.fail("the model was opened first"))
    assert "words of an answer are explained by chefer" in fail(capsys, models["llava"], "what ?", "--method", "lrp")


def test_a_chat_template_that_lies_with_the_tokenizer_alone_is_used(models, tmp_path):
    folder = copy_changed(
        models["llava"],
        tmp_path / "m",
        "tokenizer_config.json",
        lambda values: values.update(chat_template=TEMPLATE.replace("IMAGE", "<image>")),
    )
    (folder / "chat_template.jinja").unlink()
    processor = open_asker(f"hf:{folder}", "cpu").processor
    processor.whole.chat_template = None
    assert processor.has_template
    assert processor.write_prompt("what ?") == "user : <image> what ? assistant : "


def test_settings_for_sampling_are_told(models, tmp_path, capsys):
    folder = copy_changed(models["llava"], tmp_path / "m", "config.json", lambda values: None)
    quiet = ["--generate", "2", "--no-html", "--no-pictures", "--out", str(tmp_path)]
    for settings, said in (({"temperature": 0.7}, False), ({"temperature": 0.7, "do_sample": True}, True)):
        (folder / "generation_config.json").write_text(json.dumps(settings))
        assert ask(folder, "what ?", *quiet) == 0
        shown = capsys.readouterr()
        assert ("draw its words by chance: here the most probable are taken" in shown.out) is said
        assert not shown.err.strip()
    for settings in ({"repetition_penalty": -1.0}, {"forced_eos_token_id": 99999}, {"eos_token_id": "x"}):
        (folder / "generation_config.json").write_text(json.dumps(settings))
        assert "cannot write with its generation settings" in fail(capsys, folder, "what ?", *quiet)
    for settings in ({"prompt_lookup_num_tokens": 3}, {"min_length": 90}, {"num_beams": 0}, {"penalty_alpha": 0.6}):
        (folder / "generation_config.json").write_text(json.dumps(settings))
        assert ask(folder, "what ?", *quiet) == 0
        assert not capsys.readouterr().err.strip()
    (folder / "generation_config.json").unlink()
    assert ask(folder, "what ?", *quiet) == 0
    (folder / "generation_config.json").write_text("{")
    assert "generation_config.json (Expecting property name" in fail(capsys, folder, "what ?")


def test_relevance_of_two_images_with_learnt_tokens_between_their_rows(tmp_path):
    """LLaVA-NeXT ends each row of places with the same learnt token: against eager attention and the formula."""
    family = make("llava-next")
    family.save(tmp_path)
    asker = open_asker(f"hf:{tmp_path}", "cpu")
    first = family.photos(1)[0]
    photos = [first, change(first)]
    answered = asker.ask(photos, QUESTIONS[0], 1, "chefer")
    inputs = asker._read(photos, QUESTIONS[0])
    output = asker.model.generate(**inputs, max_new_tokens=1, do_sample=False)
    model = eager(asker.model)
    found = model(**inputs, output_attentions=True)
    gradients = torch.autograd.grad(found.logits[0, -1, output[0, -1]], found.attentions)
    total = torch.eye(inputs["input_ids"].shape[1])
    for weights, gradient in zip(found.attentions, gradients, strict=True):
        total = total + (weights[0] * gradient[0]).clamp_min(0).mean(0) @ total
    places = (inputs["input_ids"][0] == model.config.image_token_id).nonzero()[:, 0]
    for image, here in zip(answered.images, places.chunk(2), strict=True):
        row = total[-1, here].detach()
        rows = row[16:].unflatten(0, (8, 9))[:, :8]  # of the tiles, without the learnt tokens
        torch.testing.assert_close(
            image.relevance.weights[0, 1:].sort().values,
            torch.cat([row[:16], rows.flatten()]).sort().values,
            rtol=1e-3,
            atol=1e-6,
        )
