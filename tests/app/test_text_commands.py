"""`jumok train TEXTS --system hf:FOLDER` and what can be done with the run, on tiny random encoders."""

import csv
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from text_encoders import make_texts, save_encoder, write_texts

import jumok as package
from jumok.app.cli import main
from jumok.errors import JumokError

QUICK = ("--device", "cpu", "--threads", "1", "--seed", "0")
LEARN = ("--epochs", "8", "--lr", "0.003", "--batch-size", "8")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("encoders") / "tiny")


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    return write_texts(tmp_path_factory.mktemp("texts") / "topics.csv")


@pytest.fixture(scope="module")
def run(encoder, texts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "topics"
    with pytest.raises(SystemExit) as stopped:
        main(["train", str(texts), "--system", f"hf:{encoder}", "--out", str(folder), *QUICK, *LEARN])
    assert stopped.value.code == 0
    return folder


def test_a_run_learns_and_is_used_from_python(run):
    loaded = package.load(run)
    rows = make_texts(10, seed=5)
    shares = loaded.probabilities([text for text, _ in rows])
    assert shares.shape == (20, 2)
    assert torch.allclose(shares.sum(1), torch.ones(20))
    said = [loaded.classes[number] for number in shares.argmax(1).tolist()]
    assert sum(one == label for one, (_, label) in zip(said, rows, strict=True)) >= 18
    assert (run / "tokenizer.json").is_file()
    assert not list(run.glob("**/*.bin"))


def test_predict_answers_as_for_every_kind_of_data(run):
    loaded = package.load(run)
    text = make_texts(1, seed=5)[0][0]
    found, (again, other) = loaded.predict(text), loaded.predict((each for each in (text, "the oven")), batch_size=1)
    assert found == again
    assert {found.label, other.label} <= set(loaded.classes)
    assert list(found.probabilities) == sorted(loaded.classes, key=lambda name: -found.probabilities[name])
    assert found.probability == found.probabilities[found.label] == loaded.probabilities([text]).max().item()
    assert loaded.predict([]) == []
    with pytest.raises(JumokError, match="without words"):
        loaded.predict("  ")
    with pytest.raises(JumokError, match="texts are taken at a time"):
        loaded.predict([text], batch_size=0)


def test_a_run_tells_what_it_is_in_one_line(run):
    told = repr(package.load(run))
    assert told.startswith(f"TextRun({str(run)!r}, system hf:")
    assert "2 classes" in told
    assert len(told) < 300 + len(str(run))


def test_padding_changes_no_answer(run):
    loaded = package.load(run)
    short, long = "the oven was good", "we saw a goal and the coach was very bad today after some match"
    assert torch.allclose(loaded.probabilities([short])[0], loaded.probabilities([short, long])[0], atol=1e-6)


def test_eval_tells_the_baselines(run, jumok, texts):
    said = jumok("eval", run, "--device", "cpu", "--json")
    found = json.loads(said.out)
    assert said.status == 0
    assert found["texts"] == 18
    assert found["accuracy"] > 0.8
    assert found["largest_class"]["accuracy"] == 0.5
    assert found["bag_of_words"]["accuracy"] > 0.5
    assert {"balanced_accuracy", "macro_f1", "confusion"} <= set(found)
    told = jumok("eval", run, texts, "--device", "cpu").out
    assert "always saying" in told
    assert "bag of words" in told
    assert "macro F1" in told


def test_held_out_texts_that_the_first_weights_were_trained_on_are_told(run, jumok, texts, tmp_path):
    other = tmp_path / "r"
    said = jumok("train", texts, "--init", run, "--epochs", "1", "--lr", "1e-4", "--out", other, *QUICK[:-1], "7")
    assert said.status == 0, said.err
    assert "were trained on" in said.out
    assert "are among those that the run was trained or validated on" in jumok("eval", other).out
    assert jumok("train", "--resume", other, "--epochs", "2").status == 0
    assert "are among those that the run was trained or validated on" in jumok("eval", other).out


def test_eval_of_another_table_knows_the_texts_of_the_training(run, jumok, texts, tmp_path):
    other = write_texts(tmp_path / "other.csv", [*make_texts(5, seed=9), make_texts()[0], make_texts()[1]])
    found = json.loads(jumok("eval", run, other, "--json").out)
    assert found["split"] == "all"
    assert found["texts"] == 12
    said = jumok("eval", run, write_texts(tmp_path / "wrong.csv", [("the oven", "fodo")]))
    assert said.status == 2
    assert "the model has no class 'fodo': did you mean 'food'?" in said.err
    assert jumok("eval", run, other, "--split", "test").status == 2


def test_predict_writes_every_class(run, jumok, tmp_path):
    table = write_texts(tmp_path / "new.csv", [("the oven was good",), ("",), ("a goal today",)], ("text",))
    said = jumok("predict", run, table, "--csv", tmp_path / "said.csv")
    rows = list(csv.DictReader((tmp_path / "said.csv").open(encoding="utf-8")))
    assert said.status == 1
    assert "text 2: empty" in said.out
    assert [row["predicted"] for row in rows] == ["food", "", "sport"]
    assert float(rows[0]["p(food)"]) + float(rows[0]["p(sport)"]) == pytest.approx(1, abs=1e-5)
    lines = tmp_path / "lines.txt"
    lines.write_text("the oven was good\n", "utf-8")
    found = json.loads(jumok("predict", run, lines, "--json").out)
    assert found["predictions"][0]["predicted"] == "food"
    assert found["predictions"][0]["text"] == "the oven was good"


def test_look_shades_the_words_that_spoke_for_the_class(run, jumok, tmp_path):
    table = write_texts(tmp_path / "new.csv", [("we had <b> butter with some flour",), (" ",)], ("text",))
    said = jumok("look", table, "--model", run, "--out", tmp_path / "look")
    row = next(csv.DictReader((tmp_path / "look" / "results.csv").open(encoding="utf-8")))
    assert said.status == 1
    assert row["predicted"] == "food"
    assert {word.split()[0] for word in row["words"].split(", ")[:2]} == {"butter", "flour"}
    page = (tmp_path / "look" / "index.html").read_text("utf-8")
    assert 'class="plus-10"' in page
    assert "&lt;" in page
    assert "<b>" not in page.replace('<b>"', "")
    assert jumok("look", table, "--model", run, "--method", "occlusion").status == 2
    assert jumok("look", table, "--model", run, "--target", "fod", "--out", tmp_path / "no").status == 2
    assert jumok("look", table, "--model", run, "--layer", "1", "--method", "raw").status == 2
    assert not (tmp_path / "no").exists()


def test_no_cell_of_looked_at_texts_is_a_formula(run, jumok, tmp_path):
    table = write_texts(tmp_path / "new.csv", [("=1+1 butter with flour",)], ("text",))
    assert jumok("look", table, "--model", run, "--out", tmp_path / "look", "--no-html").status == 0
    row = next(csv.DictReader((tmp_path / "look" / "results.csv").open(encoding="utf-8")))
    assert row["text"] == "'=1+1 butter with flour"


def test_measure_takes_words_away(run, jumok, texts, tmp_path):
    words = ("--most", "12", "--steps", "4", "--method", "libra", "--method", "chefer")
    said = jumok("measure", run, *words, "--out", tmp_path / "measure", "--json", "--device", "cpu")
    found = json.loads(said.out)["faithfulness"]
    assert said.status == 0
    assert set(found["methods"]) == {"libra", "chefer"}
    assert set(found["baselines"]) == {"random", "first words", "long words", "other class"}
    assert found["inputs"] == 12
    assert (tmp_path / "measure" / "faithfulness.png").is_file()


def test_a_measurement_that_was_stopped_goes_on(run, jumok, tmp_path, stop_after, monkeypatch):
    def measure(name):
        words = ("--most", "12", "--steps", "2", "--fillings", "remove", "--method", "chefer", "--device", "cpu")
        return jumok("measure", run, *words, "--out", tmp_path / name), tmp_path / name / "measure.json"

    _, whole = measure("whole")
    stop_after(9)
    said, _ = measure("out")
    assert "faithfulness of 9 texts: interrupted; the same command goes on from there" in said.out
    monkeypatch.undo()
    said, figures = measure("out")
    assert "going on after 9 texts that were measured before" in said.out
    assert figures.read_bytes() == whole.read_bytes()


def test_a_frozen_encoder_is_run_once(encoder, texts, jumok, tmp_path):
    words = ("--system", f"hf:{encoder}", "--freeze", "backbone", "--epochs", "3", "--lr", "0.01", *QUICK)
    said = jumok("train", texts, *words, "--out", tmp_path / "head")
    assert said.status == 0, said.err
    assert "what the others make of each text is computed once and kept" in said.err + said.out
    kept, first = load_file(tmp_path / "head" / "weights.safetensors"), load_file(encoder / "model.safetensors")
    assert all(torch.equal(kept[f"encoder.{name}"], value) for name, value in first.items() if "pooler" not in name)
    assert (tmp_path / "head" / "features.safetensors").is_file()


@pytest.mark.parametrize(
    "words", [("--freeze", "1"), ("--layer-decay", "0.7"), ("--lora", "2"), ("--option", "pool=first")]
)
def test_other_ways_of_tuning(encoder, texts, jumok, tmp_path, words):
    said = jumok("train", texts, "--system", f"hf:{encoder}", "--out", tmp_path / "r", "--epochs", "1", "--lr", "1e-3",
                 *QUICK, *words)  # fmt: skip
    assert said.status == 0, said.err
    assert package.load(tmp_path / "r").probabilities(["the oven"]).shape == (1, 2)


def test_another_run_to_begin_with(run, jumok, tmp_path):
    other = write_texts(tmp_path / "other.csv", [(text, f"is {label}") for text, label in make_texts(30, seed=3)])
    said = jumok("train", other, "--init", run, "--epochs", "1", "--lr", "1e-4", "--out", tmp_path / "r", *QUICK)
    assert said.status == 0, said.err
    assert "new: head.weight, head.bias" in said.err + said.out


def test_a_finished_run_is_trained_for_longer(run, texts, jumok, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    said = jumok("train", "--resume", copy, "--epochs", "9")
    assert said.status == 0, said.err
    moved = shutil.copy(texts, tmp_path / "moved.csv")
    said = jumok("train", "--resume", copy, "--epochs", "10", "--data", moved)
    assert said.status == 0, said.err
    assert package.load(copy).config.data.texts == str(moved)


def test_changed_texts_do_not_resume(encoder, jumok, tmp_path):
    table = write_texts(tmp_path / "a.csv")
    words = ("--system", f"hf:{encoder}", "--epochs", "1", "--lr", "1e-3", "--out", tmp_path / "r", *QUICK)
    assert jumok("train", table, *words).status == 0
    write_texts(table, make_texts(61))
    said = jumok("train", "--resume", tmp_path / "r", "--epochs", "2")
    assert said.status == 2
    assert "are not those that this run began with" in said.err


def test_what_cannot_be_trained_is_refused_in_one_line(encoder, texts, jumok, tmp_path):
    def refused(*words):
        said = jumok("train", *words, "--out", tmp_path / "r")
        assert said.status == 2
        assert "Traceback" not in said.err
        assert not (tmp_path / "r").exists()
        return " ".join(said.err.split())

    assert "begin with a pretrained model: name one with --system hf:" in refused(texts)
    assert "no model folder at" in refused(texts, "--system", "hf:./nowhere")
    assert "is trained on pairs, not on texts" in refused("texts", texts, "--system", "seq2seq")
    assert "the encoder takes 24 tokens at most" in refused(texts, "--system", f"hf:{encoder}", "--max-tokens", "99")
    assert "has no option 'hiden'" in refused(texts, "--system", f"hf:{encoder}", "--option", "hiden=3")
    assert "has no use for --mixup" in refused(texts, "--system", f"hf:{encoder}", "--mixup", "0.1")
    odd = write_texts(tmp_path / "odd.csv", make_texts(5), ("words", "kind"))
    assert "has the columns words, kind: wanted" in refused(odd, "--system", f"hf:{encoder}")
    both = write_texts(tmp_path / "both.csv", [("a.png", "x", "y")], ("image", "text", "label"))
    assert "has the columns of images and of texts" in refused(both, "--system", f"hf:{encoder}")


def test_a_model_of_images_is_no_text_encoder(texts, jumok, tmp_path):
    from pretrained_models import save_hf

    said = jumok("train", texts, "--system", f"hf:{save_hf(tmp_path / 'vit')}", "--out", tmp_path / "r")
    assert said.status == 2
    assert "made for images, and the data are texts" in said.err


def test_a_table_with_named_columns(encoder, jumok, tmp_path):
    table = write_texts(tmp_path / "odd.csv", None, ("words", "kind"))
    named = ("--text-column", "words", "--label-column", "kind", "--system", f"hf:{encoder}")
    said = jumok("train", table, *named, "--epochs", "1", "--lr", "1e-3", "--out", tmp_path / "r", *QUICK)
    assert said.status == 0, said.err
    assert "(columns 'words' and 'kind')" in said.err + said.out
    assert jumok("predict", tmp_path / "r", table, "--json").status == 0


def test_uneven_classes_are_evened_out(encoder, jumok, tmp_path):
    rows = make_texts(60)
    table = write_texts(tmp_path / "a.csv", [row for number, row in enumerate(rows) if row[1] == "food" or number < 30])
    said = jumok("train", table, "--system", f"hf:{encoder}", "--epochs", "1", "--lr", "1e-3", "--out", tmp_path / "r",
                 *QUICK)  # fmt: skip
    assert said.status == 0
    assert "rare ones are shown more often" in said.err + said.out
    assert "balanced accuracy" in said.err + said.out


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
def test_export_gives_what_the_model_gives(run, texts, jumok, tmp_path, kind):
    if kind != "bert":
        family, options = {"roberta": ("Roberta", {"pad_token_id": 0}), "distilbert": ("DistilBert", {})}[kind]
        folder = save_encoder(tmp_path / kind, family, **options)
        run = tmp_path / "r"
        words = ("--system", f"hf:{folder}", "--epochs", "1", "--lr", "1e-3", "--out", run, *QUICK)
        assert jumok("train", texts, *words).status == 0
    said = jumok("export", run, "--onnx", "--out", tmp_path / "files", "--json")
    assert said.status == 0, said.err
    found = json.loads(said.out)
    assert set(found["files"]) == {"model.onnx", "model.json", "tokenizer.json"}
    assert found["checks"]["model.onnx"]["greatest_difference"]["logits"] < 1e-4
    about = json.loads((tmp_path / "files" / "model.json").read_text("utf-8"))
    assert about["classes"] == ["food", "sport"]
    assert about["inputs"]["tokens"]["shape"] == ["batch", "length"]
    assert jumok("export", run, "--onnx", "--with-map", "--out", tmp_path / "no").status == 2


def test_a_dry_run_counts_what_only_the_head_needs(encoder, texts, jumok, tmp_path):
    words = ("train", texts, "--system", f"hf:{encoder}", "--dry-run", "--epochs", "1", *QUICK)
    whole, head = (json.loads(jumok(*words, *more, "--json").out) for more in ((), ("--freeze", "backbone")))
    assert whole["bytes_of_weights"] == 16 * whole["parameters"]
    assert head["bytes_of_weights"] == 4 * head["parameters"] + 12 * 2 * (32 + 1)  # of 32 values and 2 classes
    assert "1 validation of" in jumok(*words).out


def test_a_table_in_utf_16_is_told_to_be_saved_as_utf_8(encoder, jumok, tmp_path):
    table = tmp_path / "wide.csv"
    table.write_text("text,label\nthe oven,food\na goal,sport\n", encoding="utf-16")
    said = jumok("train", table, "--system", f"hf:{encoder}", "--out", tmp_path / "r")
    assert (said.status, "save" in said.err and "UTF-8" in said.err) == (2, True)
    assert "\\x00" not in said.err
