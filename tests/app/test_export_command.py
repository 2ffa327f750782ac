import json
import sys

import numpy as np
import pytest
import question_helpers
import torch
from question_helpers import SYSTEMS, write_squares

import jumok as package
from jumok.data.images.folders import find_images
from jumok.extras import install_extra
from jumok.tasks.answer.run import QuestionRun
from jumok.tasks.classify.run import ImageRun

onnxruntime = pytest.importorskip("onnxruntime")
EVERY_QUESTION = pytest.mark.parametrize("system", SYSTEMS)


def session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """A small ViT as ONNX with its map, and as a program."""
    from jumok.app.cli import main

    folder = tmp_path_factory.mktemp("exported")
    with pytest.raises(SystemExit) as stopped:
        main(["export", str(trained), "--onnx", "--pt2", "--with-map", "--out", str(folder)])
    assert stopped.value.code == 0
    return folder


def test_a_classifier_gives_the_same_logits_and_map_as_onnx(trained, coloured, exported):
    run, about = ImageRun.load(trained), json.loads((exported / "model.json").read_text())
    images = find_images(coloured)[:5]
    pixels = run.prepare(images)
    logits, heat = session(exported / "model.onnx").run(None, {"pixels": pixels.numpy()})
    with torch.no_grad(), package.watch(run.model) as seen:
        wanted = run.model(pixels)
    rollout = seen.rollout("cls").weights[:, 0, 1:].unflatten(1, heat.shape[1:])
    np.testing.assert_allclose(logits, wanted.numpy(), atol=1e-4)
    np.testing.assert_allclose(heat, rollout.numpy(), atol=1e-5)
    assert about["classes"] == ["blue", "green", "red"]
    assert about["inputs"]["pixels"] == {"shape": ["batch", 3, 16, 16], "type": "float32"}
    assert about["outputs"] == ["logits", "map"]
    assert about["opset"] == 18
    assert about["checked"]["on"] == "12 images"
    assert max(about["checked"]["greatest_difference"].values()) <= 1e-4


def test_the_facts_beside_the_graph_suffice_to_prepare_an_image(trained, coloured, exported):
    from PIL import Image

    about = json.loads((exported / "model.json").read_text())
    path = find_images(coloured)[0]
    height, width = about["size"]
    image = Image.open(path).convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    pixels = (np.asarray(image, np.float32) / 255 - about["mean"]) / about["std"]
    pixels = pixels.transpose(2, 0, 1)[None].astype(np.float32)
    logits, _ = session(exported / "model.onnx").run(None, {"pixels": pixels})
    run = ImageRun.load(trained)
    np.testing.assert_allclose(logits, run.model(run.prepare([path])).detach().numpy(), atol=1e-4)


def test_a_program_gives_the_same_for_any_batch(trained, coloured, exported):
    run = ImageRun.load(trained)
    program = torch.export.load(exported / "model.pt2").module()
    for count in (1, 7):
        pixels = run.prepare(find_images(coloured)[:count])
        with torch.no_grad():
            torch.testing.assert_close(program(pixels)[0], run.model(pixels))


def test_images_that_are_gone_are_told_and_others_can_be_given(jumok, job, photos, tmp_path):
    trained = job(epochs=1)
    trained.start()
    config = trained.folder / "config.yaml"
    config.write_text(config.read_text().replace(str(photos), str(tmp_path / "gone")))
    said = jumok("export", trained.folder, "--onnx", "--out", tmp_path / "a")
    assert said.status == 0
    assert "remark: checked on noise" in said.out
    said = jumok("export", trained.folder, photos, "--onnx", "--out", tmp_path / "b", "--json")
    found = json.loads(said.out)
    assert found["checks"]["model.onnx"]["on"] == "12 images"
    assert found["files"] == ["model.onnx", "model.json"]
    assert found["remarks"] == []


@EVERY_QUESTION
def test_questions_are_answered_alike(jumok, tmp_path, system):
    squares = write_squares(tmp_path / "squares")
    settings = question_helpers.settings_of(squares, squares / "train.csv", system=system)
    run = question_helpers.untrained(tmp_path / "run", settings)
    assert jumok("export", tmp_path / "run", "--out", tmp_path / "o").status == 0
    about = json.loads((tmp_path / "o" / "model.json").read_text())
    assert about["answers"] == list(run.answers)
    image = squares / "images" / "test-0.png"
    ids = [about["words"].index("<s>"), *run.words.encode("what colour is the left square?")]
    given = {"pixels": run.prepare([image]).numpy(), "questions": np.array([ids])}
    (logits,) = session(tmp_path / "o" / "model.onnx").run(None, {name: given[name] for name in about["inputs"]})
    (reply,) = QuestionRun.load(tmp_path / "run").ask(image, ["what colour is the left square?"])
    assert about["answers"][int(logits.argmax())] == reply.best


def test_images_of_questions_that_have_moved_are_given_by_their_flag(jumok, trained, tmp_path):
    squares = write_squares(tmp_path / "squares")
    question_helpers.untrained(tmp_path / "run", question_helpers.settings_of(squares, squares / "train.csv"))
    moved = (squares / "images").rename(tmp_path / "moved")
    for data in ((), (squares / "val.csv",)):
        words = ("export", tmp_path / "run", *data, "--out", tmp_path / "o")
        said = jumok(*words)
        assert said.status == 2
        assert said.err.strip() == f"jumok: no folder of images at {squares / 'images'}: give it by --images"
        assert jumok(*words, "--images", moved).status == 0
    said = jumok("export", tmp_path / "run", squares / "val.csv", "--images", squares / "masks")
    assert (said.status, said.err.count("\n")) == (2, 1)
    assert f"lies in {squares / 'masks'}: give their folder by --images" in said.err
    said = jumok("export", trained, "--images", moved)
    assert (said.status, said.err.strip()) == (
        2,
        f"jumok: no use for --images: {trained} is trained to classify images",
    )


def test_a_recurrent_translator_translates_alike_by_its_two_graphs(jumok, reverser, tmp_path):
    said = jumok("export", reverser, "--out", tmp_path / "o", "--json")
    assert said.status == 0
    found = json.loads(said.out)
    assert found["files"] == ["encoder.onnx", "encoder.json", "decoder_step.onnx", "decoder_step.json"]
    assert found["checks"]["decoding"] == {"sentences": 12, "alike": 12}
    about = json.loads((tmp_path / "o" / "encoder.json").read_text())
    assert about["inputs"]["source"]["shape"] == ["sentences", "tokens"]
    assert about["source_vocabulary"][:4] == ["<pad>", "<unk>", "<s>", "</s>"]


def test_a_transformer_translates_alike_by_its_graphs_and_by_ctranslate2(jumok, transformer, tmp_path):
    pytest.importorskip("ctranslate2")
    said = jumok("export", transformer, "--onnx", "--ctranslate2", "--out", tmp_path / "o", "--json")
    assert said.status == 0
    checks = json.loads(said.out)["checks"]
    assert checks["decoding"]["alike"] == checks["decoding"]["sentences"]
    greedy, beam = checks["ctranslate2"]["greedy"], checks["ctranslate2"]["beam 5"]
    assert greedy["run"]["bleu"] > 40
    assert greedy["ctranslate2"]["bleu"] == pytest.approx(greedy["run"]["bleu"])
    assert beam["ctranslate2"]["bleu"] == pytest.approx(beam["run"]["bleu"], abs=1)
    assert greedy["ctranslate2"]["rate"] > 0
    assert (tmp_path / "o" / "ctranslate2" / "model.bin").is_file()


@pytest.mark.parametrize(
    ("run", "options", "message"),
    [
        ("images", ("--ctranslate2",), "--ctranslate2 is for translators"),
        ("reverser", ("--ctranslate2",), "CTranslate2 knows Transformers, and seq2seq is recurrent"),
        ("reverser", ("--with-map",), "leave it out"),
        ("nothing", (), "no run at"),
        ("images", ("nowhere",), "no image or folder at nowhere"),
    ],
)
def test_what_cannot_be_exported_is_one_line(jumok, request, tmp_path, run, options, message):
    runs = {"images": "trained", "reverser": "reverser"}
    folder = request.getfixturevalue(runs[run]) if run in runs else tmp_path / run
    said = jumok("export", folder, *options, "--out", tmp_path / "o")
    assert said.status == 2
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(("package", "flag"), [("onnxscript", "--onnx"), ("ctranslate2", "--ctranslate2")])
def test_a_missing_package_gives_the_command_that_installs_it(jumok, transformer, tmp_path, monkeypatch, package, flag):
    monkeypatch.setitem(sys.modules, package, None)
    said = jumok("export", transformer, flag, "--out", tmp_path / "o")
    assert said.status == 2
    assert f"this needs {package}" in said.err
    assert install_extra("export") in said.err
    assert not (tmp_path / "o").exists()


def test_a_graph_that_differs_from_the_model_is_not_written(jumok, trained, tmp_path, monkeypatch):
    from jumok.tasks import exporting

    monkeypatch.setattr(exporting, "TOLERANCE", -1.0)
    said = jumok("export", trained, "--out", tmp_path / "o")
    assert said.status == 2
    assert "gives another logits than the model" in said.err
    assert not list((tmp_path / "o").iterdir())


def test_graphs_that_translate_otherwise_are_removed(jumok, reverser, tmp_path, monkeypatch):
    monkeypatch.setattr("jumok.tasks.translate.export.translate_greedily", lambda _, source, limit: [[]] * len(source))
    said = jumok("export", reverser, "--out", tmp_path / "o")
    assert said.status == 2
    assert "12 of 12 sentences otherwise than the run" in said.err
    assert not list((tmp_path / "o").glob("*.onnx"))


def test_a_ctranslate2_model_of_another_bleu_is_removed(jumok, transformer, tmp_path, monkeypatch):
    pytest.importorskip("ctranslate2")
    from jumok.tasks.translate.ctranslate import CTranslated
    from jumok.tasks.translate.decoding import Hypothesis

    nothing = [Hypothesis([], 0.0)]
    monkeypatch.setattr(CTranslated, "search", lambda self, sources, beam: [nothing] * len(sources))
    said = jumok("export", transformer, "--ctranslate2", "--out", tmp_path / "o")
    assert said.status == 2
    assert "CTranslate2 reaches BLEU 0.00" in said.err
    assert not (tmp_path / "o" / "ctranslate2").exists()


def test_a_name_given_to_a_flag_without_one_is_told(jumok, trained):
    said = jumok("export", trained, "--onnx", "mine.onnx")
    assert said.status == 2
    assert said.err == (
        "jumok: mine.onnx is no data to check the model on: --onnx and --pt2 take no name, --out names a folder\n"
    )
