"""What can be trained, how a model from elsewhere is used, which runs there are, and what a training would take."""

import json
import re
import shutil
from pathlib import Path

import pytest
from app_helpers import QUICK
from detectors import save_detector
from speech_models import save_whisper
from text_models import save_sentence_encoder, save_text_model
from vision_language import make as make_family

from jumok.app.commands.systems import find_papers
from jumok.systems import SYSTEMS
from jumok.tasks.running.claim import claim


def test_all_systems_are_listed_with_what_they_attend_to(jumok):
    found = json.loads(jumok("systems", "--json").out)["systems"]
    assert {row["system"] for row in found} == set(SYSTEMS)
    assert all(row["attends_to"] and row["model"] for row in found)


@pytest.mark.parametrize("name", list(SYSTEMS))
def test_each_option_has_a_meaning(jumok, name):
    found = json.loads(jumok("systems", name, "--json").out)
    assert found["papers"] or name in ("cnn", "mlp")
    assert not [row["option"] for row in found["options"] if not row["meaning"]]


def test_a_system_is_described_by_its_paper_options_and_defaults(jumok):
    said = jumok("systems", "vit-nano").out
    assert "paper: Dosovitskiy et al. 2021, arXiv 2010.11929" in said
    assert "patches, in every layer" in said
    assert "jumok train IMAGES --system vit-nano" in said
    assert json.loads(jumok("systems", "cbam", "--json").out)["papers"][0].startswith("Woo")
    assert "did you mean 'vit-nano'" in jumok("systems", "vit-nanno").err


def test_what_is_no_name_is_told_in_korean(jumok, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    table = jumok("--language", "ko", "systems").out
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in table.splitlines() if line.startswith("│")]
    assert {row[0] for row in rows} == set(SYSTEMS)
    assert [cell for row in rows for cell in row[1:] if not re.search("[가-힣]", cell)] == []
    one = jumok("--language", "ko", "systems", "vit-tiny").out
    assert "vit-tiny: 이미지를 분류하는 비전 트랜스포머. 학습 목적: 이미지 분류." in one
    assert "보는 것: 모든 레이어에서 패치 (2021)" in one
    assert re.search("옵션 +┃ 기본값 +┃ 뜻", one)
    assert json.loads(jumok("--language", "ko", "systems", "--json").out)["systems"][0]["data"] == "images"


def test_papers_are_found_in_docstrings():
    first, second = (
        "Mnih, Heess & Graves 2014, NIPS 27 and arXiv 1406.6247",
        "Tan & Bansal 2019 (LXMERT), arXiv 1908.07490",
    )
    assert find_papers(f"Source: {first}; {second.replace('arXiv ', 'arXiv' + chr(10))}, 2.2.") == [first, second]


@pytest.fixture
def foreign(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, image_size=16, patch_size=8,
        id2label={0: "blue", 1: "green", 2: "red"}, label2id={"blue": 0, "green": 1, "red": 2},
    )  # fmt: skip
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path / "vit")
    about = {
        "size": {"shortest_edge": 18},
        "crop_size": {"height": 16, "width": 16},
        "do_center_crop": True,
        "image_processor_type": "CLIPImageProcessor",
    }
    about |= {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.2]}
    (tmp_path / "vit" / "preprocessor_config.json").write_text(json.dumps(about))
    return tmp_path / "vit"


def test_a_model_from_elsewhere_is_described(jumok, foreign):
    found = json.loads(jumok("systems", f"hf:{foreign}", "--json").out)
    assert found["image_size"] == [16, 16]
    assert found["mean"] == [0.5, 0.4, 0.3]
    assert found["preparation"] == "resized to 18 on the shorter side (bicubic), centre crop of 16 x 16"
    assert [int(each) for each in re.findall("[0-9]+", found["seen"])] == pytest.approx([27, 453, 107, 533], abs=1)
    assert found["answers"] == "3 classes: blue, green, red"
    assert found["classes"] == ["blue", "green", "red"]
    fits = {row["method"]: row["fits"] for row in found["methods"]}
    assert fits["chefer"]
    assert fits["rollout"]
    assert all(row["why"] for row in found["methods"] if not row["fits"])
    assert jumok("systems", f"hf:{foreign}").out.count("3 classes: blue, green, red") == 1


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (save_detector, ("finds objects in images", "3 classes: cat, dog, cup", "jumok look PHOTO --model hf:")),
        (save_whisper, ("sounds of up to 2 s, brought to 16,000 Hz", "jumok look SPEECH.wav --model hf:")),
        (save_sentence_encoder, ("compares sentences", "texts of up to 24 tokens", "jumok look")),
        (lambda folder: make_family("llava").save(folder), ("answers questions about images", "jumok ask PHOTO")),
        (lambda folder: save_text_model(folder, "BertForSequenceClassification"), ("id2label",)),
    ],
)
def test_a_model_from_elsewhere_of_another_kind_is_described_with_its_command(jumok, tmp_path, make, told):
    pytest.importorskip("transformers")
    folder = tmp_path / "model"
    folder.mkdir()
    make(folder)
    said = jumok("systems", f"hf:{folder}")
    assert said.status == 0, said.err
    assert all(each in said.out for each in told), said.out
    korean = jumok("--language", "ko", "systems", f"hf:{folder}").out
    assert re.findall(r"(?m)^(?:purpose|takes|shown|use it|remark):.*", korean) == []


def test_a_row_that_does_not_fit_is_written_out_in_whole_words(jumok, trained, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    said = jumok("runs", trained.parent).out
    assert "finished" in said
    assert re.search(r"best val_accuracy [\d.]+ ·", said)
    assert max(map(len, said.splitlines())) <= 60


def test_a_model_from_elsewhere_is_evaluated(jumok, foreign, coloured, tmp_path):
    said = jumok("eval", f"hf:{foreign}", coloured, "--out", tmp_path / "eval")
    assert said.status == 0, said.err
    report = json.loads((tmp_path / "eval" / "eval.json").read_text())
    assert report["images"] == 48
    assert report["seen"] is None


def test_a_model_from_elsewhere_without_its_prefix_is_recognised(jumok, foreign, coloured):
    assert f"did you mean hf:{foreign}?" in jumok("eval", foreign, coloured).err
    assert "did you mean hf:google/vit-base?" in jumok("look", coloured, "--model", "google/vit-base").err
    assert "did you mean timm:vit_tiny?" in jumok("look", coloured, "--model", "timm/vit_tiny").err


def test_a_run_that_may_not_be_entered_stands_beside_the_others(jumok, monkeypatch, tmp_path):
    for name in ("cut", "shut"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("format: 1\n")
    is_file = Path.is_file

    def deny_some(path):
        if path.parent.name == "shut":
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", deny_some)
    said = jumok("runs", tmp_path, "--json")
    assert said.status == 1
    why = {Path(row["run"]).name: row["why"] for row in json.loads(said.out)["runs"]}
    assert why["shut"] == f"cannot read {tmp_path / 'shut'}: Permission denied; check its permissions"
    assert "config.yaml is damaged: it does not say 'task'" in why["cut"]


def test_runs_are_listed_with_their_state(jumok, trained, tmp_path):
    for name in ("whole", "stopped", "cut", "wrong"):
        shutil.copytree(trained, tmp_path / name)
    shutil.copytree(trained, tmp_path / "going on")
    for name in ("stopped", "going on"):
        (tmp_path / name / "card.md").unlink()
    weights = tmp_path / "cut" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    (tmp_path / "wrong" / "config.yaml").write_text("task: classify\n")
    (tmp_path / "no-run").mkdir()
    with claim(tmp_path / "going on"):
        said = jumok("runs", tmp_path, "--json")
    assert said.status == 1
    runs = {row["run"].rpartition("/")[2]: row for row in json.loads(said.out)["runs"]}
    states = {name: row["state"] for name, row in runs.items()}
    assert (states.pop("going on"), runs["going on"]["why"]) == ("in training", "")
    assert states == {"whole": "finished", "stopped": "stopped", "cut": "damaged", "wrong": "damaged"}
    assert runs["whole"]["best"].startswith("val_accuracy")
    assert runs["stopped"]["why"] == f"resume with: jumok train --resume {tmp_path / 'stopped'}"
    assert "weights.safetensors is damaged" in runs["cut"]["why"]
    text = jumok("runs", tmp_path).out
    assert f"5 runs in {tmp_path}" in " ".join(text.split())
    assert "damaged: " in text
    assert "no runs in" in jumok("runs", tmp_path / "no-run").out


def test_a_dry_run_says_what_it_would_take_and_writes_nothing(jumok, coloured, tmp_path):
    said = jumok("train", coloured, "--out", tmp_path / "run", "--dry-run", *QUICK)
    assert said.status == 0, said.err
    assert "time foreseen: " in said.out
    assert "MB for weights, gradients and optimiser" in said.out
    assert f"nothing was trained or written; the run would be {tmp_path / 'run'}" in said.out
    assert not (tmp_path / "run").exists()
    refused = jumok("train", "--resume", tmp_path / "run", "--dry-run")
    assert (refused.status, "--dry-run is for new runs" in refused.err) == (2, True)


def test_look_without_pictures_writes_maps_and_the_page(jumok, trained, coloured, tmp_path):
    said = jumok("look", next(coloured.rglob("*.png")), "--model", trained, "--no-pictures", "--out", tmp_path / "look")
    assert said.status == 0, said.err
    assert "and 1 map" in said.out
    assert not list((tmp_path / "look").rglob("*.png"))
    assert len(list((tmp_path / "look").rglob("*.safetensors"))) == 1
    assert "picture" not in (tmp_path / "look" / "results.csv").read_text().splitlines()[0]


def test_pictures_are_not_written_among_the_files_of_a_run(jumok, trained, coloured):
    said = jumok("look", coloured, "--model", trained, "--out", trained)
    assert said.status == 2
    assert "is the folder of a run: give another" in said.err
