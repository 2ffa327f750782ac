"""--json: one object on standard output, whose keys docs/json.md describes; everything else on standard error."""

import json
import re
from pathlib import Path

import pytest
from app_helpers import QUICK
from PIL import Image
from question_helpers import settings_of, untrained, write_squares

DOCUMENT = (Path(__file__).parents[2] / "docs" / "json.md").read_text("utf-8")
REPORTING = (
    "train",
    "eval",
    "inspect",
    "look",
    "predict",
    "measure",
    "saliency",
    "select",
    "translate",
    "ask",
    "compare",
    "export",
    "systems",
    "runs",
    "sample",
)


def documented(command):
    """The keys that the document gives for a command, and `schema`."""
    (section,) = re.findall(rf"^## jumok-{command}\n(.*?)(?=^## |\Z)", DOCUMENT, re.DOTALL | re.MULTILINE)
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", section, re.MULTILINE)
    return {"schema"} | {key for row in rows for key in re.findall(r"`(\w+)`", row)}


@pytest.fixture
def as_json(jumok):
    """Runs a command with --json, and gives what it printed as the one object that it must be."""

    def call(*words, status=0):
        said = jumok(*words, "--json")
        assert said.status == status, said.err
        assert said.out.count("\n") == 1
        found = json.loads(said.out)
        assert found["schema"] == f"jumok-{words[0]}/1"
        assert set(found) <= documented(words[0])
        return found

    return call


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """Squares, and a run about them that was not trained."""
    squares = write_squares(tmp_path_factory.mktemp("squares"))
    folder = tmp_path_factory.mktemp("asked") / "run"
    untrained(folder, settings_of(squares, system="vqa-stacked"))
    return squares, folder


def test_every_reporting_command_is_documented():
    assert set(re.findall(r"^## jumok-(\w+)$", DOCUMENT, re.MULTILINE)) == set(REPORTING)


def test_train(as_json, coloured, tmp_path):
    found = as_json("train", coloured, "--out", tmp_path / "run", *QUICK)
    assert found["run"] == str(tmp_path / "run")
    assert found["epochs"] == 2
    assert found["best"]["val_accuracy"] >= 0


def test_eval(as_json, trained, coloured, reverser, asked, tmp_path):
    found = as_json("eval", trained, coloured, "--out", tmp_path / "eval")
    low, high = found["accuracy_95"]
    assert low <= found["accuracy"] <= high
    assert sum(map(sum, found["confusion"])) == found["images"]
    written = json.loads((tmp_path / "eval" / "eval.json").read_text("utf-8"))
    assert written == {key: value for key, value in found.items() if key != "schema"}
    assert as_json("eval", reverser, "--out", tmp_path / "pairs", "--beam", 1)["bleu"] > 50
    assert as_json("eval", asked[1], "--out", tmp_path / "questions")["questions"] > 0


def test_inspect(as_json, coloured, tmp_path):
    found = as_json("inspect", coloured, "--out", tmp_path / "inspect")
    assert found["counts"] == {"train": {"blue": 16, "green": 16, "red": 16}}
    assert found["near_duplicates"] == {"images": 0, "groups": [], "groups_across_parts": 0}


def test_look_and_saliency(as_json, trained, coloured, tmp_path):
    found = as_json("look", coloured / "red", "--model", trained, "--out", tmp_path / "look")
    assert len(found["images"]) == 16
    assert {"predicted", "probability", "target", "method", "picture", "map"} < set(found["images"][0])
    assert Path(found["page"]).is_file()
    found = as_json("saliency", coloured / "red" / "000.png", "--out", tmp_path / "saliency", "--no-html")
    assert found["page"] is None
    assert (tmp_path / "saliency" / found["images"][0]["mask"]).is_file()


def test_an_image_that_cannot_be_read_is_told_in_the_object(as_json, tmp_path):
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (20, 20), "red").save(tmp_path / "photos" / "a.png")
    (tmp_path / "photos" / "b.png").write_bytes(b"no image")
    found = as_json("saliency", tmp_path / "photos", "--out", tmp_path / "out", status=1)
    assert ["error" in each for each in found["images"]] == [True, False] or "error" in found["images"][1]


def test_measure(as_json, trained, coloured, reverser, reversals, asked, tmp_path):
    masks = tmp_path / "masks"
    for path in coloured.rglob("*.png"):
        place = masks / path.relative_to(coloured)
        place.parent.mkdir(parents=True, exist_ok=True)
        mask = Image.new("L", (16, 16))
        mask.paste(255, (4, 4, 9, 9))
        mask.save(place)
    found = as_json("measure", trained, coloured, "--masks", masks, "--out", tmp_path / "a", "--method", "rollout")
    assert set(found["baselines"]) == {"random", "centre", "edges"}
    words = ("--alignments", reversals / "test.align", "--out", tmp_path / "b")
    assert as_json("measure", reverser, reversals / "test.tsv", *words)["methods"]
    found = as_json("measure", asked[1], "--masks", asked[0] / "masks", "--out", tmp_path / "c")
    assert "agreement" in found


def test_select(as_json, tmp_path):
    table = tmp_path / "parts.csv"
    table.write_text(
        "a,b,part\n" + "".join(f"{number * 7 % 11},{number % 3},{'xy'[number % 2]}\n" for number in range(40))
    )
    found = as_json("select", table, "--target", "part", "--k", 1, "--out", tmp_path / "out")
    assert len(found["kept"]) == 1
    assert [each["kept"] for each in found["columns"]] == [True, False]


def test_predict(as_json, asked, trained, coloured, tmp_path):
    found = as_json("predict", trained, coloured / "red")
    assert found["inputs"] == len(found["predictions"]) == 16
    found = as_json("predict", asked[1], asked[0] / "test.csv")
    assert set(found["predictions"][0]) == {"image", "question", "predicted", "probability", "probabilities", "error"}


def test_export(as_json, trained, tmp_path):
    found = as_json("export", trained, "--pt2", "--out", tmp_path / "out")
    assert found["files"] == ["model.pt2", "model.json"]


def test_translate(as_json, reverser, tmp_path):
    found = as_json("translate", reverser, "ba bo", "--n-best", 2)
    assert [len(each["translations"]) for each in found["sentences"]] == [2]
    assert found["sentences"][0]["source"] == "ba bo"
    found = as_json("translate", reverser, "ba bo", "--out", tmp_path / "out.txt")
    assert found["files"] == {"translations": str(tmp_path / "out.txt")}
    assert (tmp_path / "out.txt").read_text("utf-8").strip() == found["sentences"][0]["translations"][0]["text"]


def test_ask(as_json, asked, tmp_path):
    squares, run = asked
    image = next((squares / "images").iterdir())
    found = as_json("ask", run, image, "what colour is the left square?", "--out", tmp_path / "asked", "--top", 2)
    assert [len(each["answers"]) for each in found["questions"]] == [2]


def test_compare(as_json, coloured, tmp_path):
    words = ("--budget", "1s", "--systems", "mlp", "--device", "cpu", "--threads", 1, "--out", tmp_path / "compare")
    found = as_json("compare", coloured, *words)
    assert [each["system"] for each in found["systems"]] == ["mlp"]


def test_sample(as_json, tmp_path):
    found = as_json("sample", "dates", tmp_path / "dates", "--train", 20, "--val", 5, "--test", 5)
    assert found["sample"] == "dates"
    assert found["next"].startswith("jumok train ")


def test_an_error_prints_nothing_on_standard_output(jumok, tmp_path):
    said = jumok("eval", tmp_path / "gone", tmp_path, "--json")
    assert said.status == 2
    assert said.out == ""
    assert said.err.startswith("jumok: no run at ")


def test_quiet_prints_the_result_alone(jumok, coloured, tmp_path):
    said = jumok("train", coloured, "--out", tmp_path / "run", *QUICK, "--quiet")
    assert said.status == 0
    assert [line.split()[0] for line in said.out.splitlines()] == [
        "kept",
        *[said.out.splitlines()[1].split()[0]],
        "saved",
    ]
    assert said.err == ""
