"""`jumok ask` with a vision-language model from elsewhere, as a person calls it."""

import json

import pytest
import torch
from vision_language import make

from jumok.app.cli import main
from jumok.attention import AttentionMap, Patches
from jumok.tasks.answer.foreign.asking import open_asker

pytest.importorskip("transformers")

QUESTIONS = ["what is in this picture ?", "a red circle on the left ?"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two models from elsewhere, and an image for each."""
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


def test_without_a_chat_template_the_question_is_asked_in_plain_text_and_that_is_told(models, tmp_path, capsys):
    folder = copy_changed(models["llava"], tmp_path / "m", "config.json", lambda values: None)
    (folder / "chat_template.jinja").unlink()
    options = ["--generate", "3", "--no-html", "--no-pictures", "--out", str(tmp_path)]
    assert ask(folder, QUESTIONS[0], *options) == 0
    assert "no chat template: it was asked in plain text" in capsys.readouterr().out


def test_code_of_its_own_is_refused_by_name(models, tmp_path, capsys):
    def change(values):
        values["model_type"], values["auto_map"] = "mine", {"AutoConfig": "mine.Config"}

    folder = copy_changed(models["llava"], tmp_path / "m", "config.json", change)
    assert "code of its own (auto_map in config.json), and jumok runs none" in fail(capsys, folder, "what ?")


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
    assert "cannot open the processor" in fail(capsys, folder, "what ?")


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
    answered = open_asker(f"hf:{tmp_path}", "cpu").ask(family.photos(1)[0], QUESTIONS[0], 4)
    assert len(answered.probabilities) == len(answered.words) > 0
    assert len(answered.looks.keys) == 1 + (family.places or family.counts)[0]
    torch.testing.assert_close(answered.looks.weights.sum(-1), torch.ones(len(answered.words)))
