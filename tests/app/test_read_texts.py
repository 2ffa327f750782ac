"""`jumok look TEXT --model hf:FOLDER` for text models: what it writes, and what it refuses in one line."""

import json
import re
import shutil

import pytest
from text_encoders import make_texts, save_encoder, write_texts
from text_models import CLASSES, PLACES, save_sentence_encoder, save_text_model

ENGLISH = "The quick brown fox jumps"
OVEN = "the oven was very good today"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of models, by a short name."""
    root = tmp_path_factory.mktemp("models")
    return {
        "classifier": save_text_model(root / "classifier", "BertForSequenceClassification", id2label=CLASSES),
        "encoder": save_encoder(root / "encoder"),
        "sentences": save_sentence_encoder(root / "sentences"),
        "decoder": save_text_model(root / "decoder", "GPT2LMHeadModel"),
        "pair": save_text_model(root / "pair", "T5ForConditionalGeneration"),
    }


@pytest.fixture
def look(jumok, models, tmp_path):
    def run(*words, model, **options):
        flags = [part for name, value in options.items() for part in (f"--{name}", *([] if value is True else [value]))]
        return jumok("look", *words, "--model", f"hf:{models.get(model, model)}", "--out", tmp_path / "out", *flags)

    return run


def test_a_class_with_the_words_that_spoke_for_it(look, tmp_path):
    said = look(OVEN, model="classifier", json=True)
    found = json.loads(said.out)
    (text,) = found["texts"]
    (answer,) = text["answers"]
    assert said.status == 0
    assert found["schema"] == "jumok-look/1"
    assert text["tokens"] == ["[CLS]", *OVEN.split(), "[SEP]"]
    assert answer["answer"] in CLASSES.values()
    assert sum(each["probability"] for each in answer["best"]) == pytest.approx(1, abs=1e-5)
    assert len(answer["relevance"]) == len(text["tokens"])
    assert found["page_bytes"] == (tmp_path / "out" / "index.html").stat().st_size
    saved = json.loads((tmp_path / "out" / "results.json").read_text("utf-8"))
    assert saved["texts"] == found["texts"]


def test_a_line_break_or_blanks_among_the_words_leave_what_is_told_on_one_line(look):
    said = look("The quick\nbrown  fox  ", model="decoder")
    assert said.status == 0
    (line,) = (line for line in said.out.splitlines() if "evidence" in line)
    shares = line.partition("evidence: ")[2].split("%, ")
    assert all(len(share.split()) > 1 for share in shares)  # each has a word in front
    assert any("\\n" in share or "' '" in share for share in shares)


def test_texts_of_several_lengths_are_read_as_each_alone(look, tmp_path):
    file = tmp_path / "texts.txt"
    file.write_text(f"{OVEN}\n\nthe team\n", encoding="utf-8")
    together = json.loads(look(file, model="classifier", json=True).out)["texts"]
    typed = json.loads(look(OVEN, "the team", model="classifier", json=True).out)["texts"]
    alone = json.loads(look("the team", model="classifier", json=True).out)["texts"][0]
    assert together == typed
    assert together[1] == {**alone, "number": 2}
    assert not any("PAD" in token for text in together for token in text["tokens"])


def test_each_line_says_which_text_it_is_about_and_what_its_shares_are_of(look):
    lines = look(OVEN, "the team", model="classifier").out.splitlines()
    for number, line in enumerate(lines[:2], 1):
        assert re.match(rf"text {number}: class: \S+ \(.*%\); evidence: \S+ \d+%", line)
    assert look(OVEN, model="classifier").out.startswith("class: ")
    korean = look(OVEN, "the team", model="classifier", language="ko").out.splitlines()
    assert re.match(r"텍스트 1: 클래스: \S+ \(.*%\); 근거: \S+ \d+%", korean[0])


def test_a_decoder_says_its_next_word_and_what_it_writes(look):
    next_word = json.loads(look(ENGLISH, model="decoder", json=True).out)["texts"][0]
    assert next_word["asked"] == "next word"
    assert len(next_word["answers"][0]["best"]) == 5
    said = look(ENGLISH, model="decoder", generate=4)
    assert re.findall(r"^word (\d): ", said.out, re.MULTILINE) == ["1", "2", "3", "4"]
    assert said.out.count("; evidence: ") == 4
    assert "cut off after 4 tokens" in said.out
    assert "index.html (0.1 MB)" in said.out


def test_an_encoder_decoder_writes_unasked(look):
    text = json.loads(look(ENGLISH, model="pair", generate=3, json=True).out)["texts"][0]
    assert text["layers"] == {"cross-attention": 2, "decoder": 2, "encoder": 2}
    assert 1 <= len(text["answers"]) <= 3
    assert look(ENGLISH, model="pair", method="libra").status == 2


def test_two_sentences_are_compared(look):
    found = json.loads(look("the oven was good", "a good dish", model="sentences", json=True).out)
    (pair,) = found["pairs"]
    assert -1 <= pair["similarity"] <= 1
    assert len(pair["relevance"]) == 6
    assert pair["explained"] == pytest.approx(sum(map(sum, pair["relevance"])), abs=1e-4)
    assert json.loads(look("the oven was good", model="sentences", json=True).out)["pairs"] == []


def test_without_a_page(look, tmp_path):
    said = look(OVEN, model="encoder", json=True, **{"no-html": True})
    assert json.loads(said.out)["page"] is None
    assert not (tmp_path / "out" / "index.html").exists()


REFUSED = [
    (("",), "classifier", {}, "an empty text cannot be read"),
    (("   ",), "decoder", {}, "an empty text cannot be read"),
    ((OVEN,), "encoder", {"generate": 4}, "which writes no text: leave out --generate"),
    ((OVEN,), "classifier", {"generate": 4}, "which writes no text: leave out --generate"),
    ((ENGLISH,), "decoder", {"generate": 0}, "a number of tokens from 1 to 1,024, got 0"),
    ((ENGLISH,), "decoder", {"generate": -3}, "a number of tokens from 1 to 1,024, got -3"),
    ((ENGLISH,), "decoder", {"generate": 10**8}, "a number of tokens from 1 to 1,024, got 100,000,000"),
    ((ENGLISH,), "decoder", {"generate": PLACES}, "takes 48 tokens: write fewer"),
    ((" ".join(["dog"] * 100),), "decoder", {}, f"tokens, and hf:FOLDER takes {PLACES}: give a shorter text"),
    ((ENGLISH,), "decoder", {"chat": True}, "has no chat template: leave out --chat"),
    ((ENGLISH,), "decoder", {"target": "good"}, "no use for --target"),
    ((OVEN,), "encoder", {"method": "libra"}, "there is nothing to explain"),
    ((OVEN,), "classifier", {"method": "rise"}, "does not explain texts"),
    ((OVEN,), "classifier", {"layer": 0, "method": "raw"}, "no use for --layer"),
    (("texts.csv",), "classifier", {}, "no such file: texts.csv"),
    (("/tmp",), "classifier", {}, "is a folder, and the model reads texts"),
]


@pytest.mark.parametrize(("words", "model", "options", "message"), REFUSED, ids=[case[3][:40] for case in REFUSED])
def test_what_cannot_be_is_refused_in_one_line(look, models, tmp_path, words, model, options, message):
    said = look(*words, model=model, **options)
    assert said.status == 2
    assert message in said.err.replace(str(models[model]), "FOLDER")
    assert len(said.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def edit(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **values}), encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda folder: [(folder / name).unlink() for name in ("tokenizer.json", "tokenizer_config.json")],
            "tokenizer",
        ),
        (lambda folder: edit(folder / "config.json", auto_map={"AutoModel": "own.Own"}, model_type="own"), "auto_map"),
        (lambda folder: (folder / "model.safetensors").unlink(), "cannot open hf:"),
    ],
    ids=["no tokenizer", "own code", "no weights"],
)
def test_spoilt_folders_are_refused(look, models, tmp_path, spoil, message):
    folder = shutil.copytree(models["classifier"], tmp_path / "spoilt")
    spoil(folder)
    said = look(OVEN, model=folder)
    assert said.status == 2
    assert message in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_a_head_that_was_never_trained_is_refused_by_name(look, models, tmp_path):
    folder = shutil.copytree(models["encoder"], tmp_path / "headless")
    edit(folder / "config.json", architectures=["BertForSequenceClassification"])
    said = look(OVEN, model=folder)
    assert said.status == 2
    assert "lacks the weights classifier.bias, classifier.weight" in said.err
    assert "its classes would be random" in said.err


def test_a_model_of_images_takes_no_text(look, tmp_path):
    import transformers

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    transformers.ViTForImageClassification(
        transformers.ViTConfig(image_size=16, patch_size=8, **small)
    ).save_pretrained(tmp_path / "vit")
    said = look("a red car", model=tmp_path / "vit")
    assert said.status == 2
    assert "takes no text" in said.err
    assert look("a red car", model=tmp_path / "nowhere").status == 2


def test_a_model_named_without_its_library_is_asked_back(jumok, models, tmp_path):
    for model, meant in ((models["encoder"], f"hf:{models['encoder']}"), ("google/bert-base", "hf:google/bert-base")):
        for texts in ((OVEN,), (OVEN, OVEN)):
            said = jumok("look", *texts, "--model", model, "--out", tmp_path / "out")
            assert (said.status, said.err.splitlines()) == (2, [f"jumok: {model} is not a run: did you mean {meant}?"])


def test_texts_are_refused_without_a_model_and_flags_of_texts_with_one_of_images(jumok, tmp_path):
    said = jumok("look", "a red car", "--out", tmp_path / "out")
    assert said.status == 2
    assert "no file or folder 'a red car', and no --model was named" in said.err
    assert "wanted one image, folder or file, got 2" in jumok("look", "a.png", "b.png").err
    assert "no use for --generate" in jumok("look", "a.png", "--generate", "3").err


def test_an_image_is_no_file_of_texts(look, tmp_path):
    (tmp_path / "photo.png").write_bytes(b"\x89PNG")
    said = look(tmp_path / "photo.png", model="encoder")
    assert (said.status, len(said.err.splitlines())) == (2, 1)
    assert "photo.png is an image, and the model reads texts" in said.err


def test_a_folder_that_cannot_be_opened_is_named_where_it_was_given_a_text(jumok, tmp_path):
    (tmp_path / "config.json").write_text('{"add_source_bos": false}')
    said = jumok("look", "a red car", "--model", f"hf:{tmp_path}")
    assert (said.status, len(said.err.splitlines())) == (2, 1)
    assert "names no model_type" in said.err


def test_a_chat_template_is_filled(look, models, tmp_path):
    folder = shutil.copytree(models["decoder"], tmp_path / "chat")
    (folder / "chat_template.jinja").write_text("{% for m in messages %}<u>{{ m.content }}</u>{% endfor %}")
    text = json.loads(look(ENGLISH, model=folder, chat=True, json=True).out)["texts"][0]
    assert text["text"] == f"<u>{ENGLISH}</u>"


@pytest.mark.parametrize("name", ["decoder", "pair"])
def test_settings_that_generation_cannot_use_are_named(look, models, name, tmp_path):
    folder = shutil.copytree(models[name], tmp_path / "model")
    for settings in ({"repetition_penalty": -1.0}, {"forced_eos_token_id": 99999}, {"eos_token_id": "x"}):
        (folder / "generation_config.json").write_text(json.dumps(settings))
        said = look(ENGLISH, model=folder, generate=2)
        (line,) = said.err.splitlines()
        assert said.status == 2
        assert "cannot write with its generation settings (" in line
        assert line.endswith("mend its generation_config.json, or take it away")
    for settings in ({"stop_strings": ["fox"]}, {"do_sample": True, "temperature": 0.0}, {"min_length": 90}):
        (folder / "generation_config.json").write_text(json.dumps(settings | {"decoder_start_token_id": 1}))
        said = look(ENGLISH, model=folder, generate=2, json=True)
        assert said.status == 0
        assert "Unfeasible" not in said.err


def test_a_table_of_texts_is_read_and_what_is_too_long_is_left_out(look, tmp_path):
    rows = [(make_texts()[0][0],), (" ".join(["oven"] * 100),)]
    table = write_texts(tmp_path / "new.csv", rows, ("text",))
    said = look(table, model="classifier", json=True)
    found = json.loads(said.out)["texts"]
    assert said.status == 1
    assert "error" not in found[0]
    assert "give a shorter text" in found[1]["error"]


def test_remarks_on_what_was_written_are_told_in_korean(jumok, tmp_path):
    folder = save_text_model(tmp_path / "gpt2", "GPT2LMHeadModel")
    said = jumok(
        "--language", "ko", "look", "The capital", "--model", f"hf:{folder}", "--generate", 2, "--out", tmp_path
    )
    assert "텍스트가 잘렸습니다(--generate)" in said.out + said.err
