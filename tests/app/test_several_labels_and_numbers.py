"""Tables with several labels, or a number, for each image: from `jumok train` to every other command."""

import csv
import json

import numpy as np
import pytest
import yaml
from app_helpers import QUICK, TINY
from breaking import end_after, same_end
from small_runs import Job
from table_helpers import write_labelled, write_numbered, write_table

from jumok.app.cli import main
from jumok.attention import AttentionMap
from jumok.tasks.classify.run import ImageRun

LONG = [*QUICK, "--epochs", "20", "--lr", "0.005", "--no-trust"]


def train(table, folder, *words):
    with pytest.raises(SystemExit) as stopped:
        main(["train", str(table), "--out", str(folder), *LONG, *words])
    assert stopped.value.code == 0
    return folder


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    return write_labelled(tmp_path_factory.mktemp("several"))


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    return write_numbered(tmp_path_factory.mktemp("numbers"))


@pytest.fixture(scope="module")
def several(labelled, tmp_path_factory):
    """A run that tells which of three labels images have."""
    return train(labelled, tmp_path_factory.mktemp("runs") / "several")


@pytest.fixture(scope="module")
def number(numbered, tmp_path_factory):
    """A run that gives a number."""
    return train(numbered, tmp_path_factory.mktemp("runs") / "number")


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def refused(jumok, *words):
    said = jumok(*words)
    assert said.status == 2
    assert said.err.startswith("jumok: ")
    assert said.err.count("\n") == 1
    return said.err


# -- several labels -----------------------------------------------------------------------------


def test_several_labels_are_learnt_and_judged(jumok, several, labelled, tmp_path):
    config = yaml.safe_load((several / "config.yaml").read_text())
    assert (config["found"]["kind"], config["data"]["labels_are"]) == ("multi", "multi")
    assert set(yaml.safe_load((several / "thresholds.yaml").read_text())["of"]) == {"blue", "green", "red"}
    card = (several / "card.md").read_text()
    assert "says which of these labels images of 16 x 16 pixels have: blue, green and red" in card
    assert "any number of labels for each image" in card
    said = jumok("eval", several, "--out", tmp_path)
    assert said.status == 0, said.err
    assert "baseline: always saying" in said.out
    found = json.loads((tmp_path / "eval.json").read_text())
    assert found["beats_most_frequent_labels"]
    assert found["micro_f1"] > 0.8 > found["most_frequent_labels"]["micro_f1"]
    assert {"threshold", "f1", "average_precision"} <= set(found["per_label"][0])
    assert (tmp_path / "labels.png").is_file()


def test_labels_are_predicted_with_all_probabilities(jumok, several, labelled, tmp_path):
    assert jumok("predict", several, labelled.parent / "im", "--csv", tmp_path / "p.csv").status == 0
    rows = rows_of(tmp_path / "p.csv")
    assert list(rows[0]) == ["image", "predicted", "p(blue)", "p(green)", "p(red)", "error"]
    thresholds = dict(zip(("blue", "green", "red"), ImageRun.load(several).kind.thresholds, strict=True))
    for row in rows:
        given = [name for name, least in thresholds.items() if float(row[f"p({name})"]) >= least]
        assert row["predicted"] == "|".join(given)
    true = [line.split(",")[1] for line in labelled.read_text().splitlines()[1:]]
    assert np.mean([row["predicted"] == label for row, label in zip(rows, true, strict=True)]) > 0.7


def test_a_look_explains_the_most_probable_label_or_the_one_asked_for(jumok, several, labelled, tmp_path):
    image = labelled.parent / "im" / "000.png"
    for words, wanted in (((), None), (("--target", "red"), "red")):
        said = jumok("look", image, "--model", several, "--method", "chefer", "--out", tmp_path / "look", *words)
        assert said.status == 0, said.err
        (row,) = rows_of(tmp_path / "look" / "results.csv")
        shares = ImageRun.load(several).probabilities(ImageRun.load(several).prepare([image]))[0]
        best = ("blue", "green", "red")[int(shares.argmax())]
        assert row["target"] == (wanted or best)
        assert float(row["probability"]) == pytest.approx(float(shares.max()), abs=1e-5)
        AttentionMap.load(tmp_path / "look" / row["map"])
    assert "no class 'pink'" in refused(jumok, "look", image, "--model", several, "--target", "pink", "--out", tmp_path)


def test_other_labels_and_other_tables_are_refused(jumok, several, number, labelled, numbered, trained, tmp_path):
    other = write_table(tmp_path, ["im/000.png,blue|pink"])
    assert "has 2 labels: blue, pink, but the model has 3 labels: blue, green, red and no 'pink'" in refused(
        jumok, "eval", several, other, "--images", labelled.parent
    )
    assert "line 3: the label 'blue' is not a finite number" in refused(
        jumok,
        "eval",
        number,
        write_table(tmp_path, ["im/000.png,1", "im/001.png,blue"], "n.csv"),
        "--images",
        numbered.parent,
    )
    assert "give images of the same classes" in refused(jumok, "eval", trained, labelled)
    (tmp_path / "photos").mkdir()
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir()
        (tmp_path / "photos" / name / "0.png").write_bytes((labelled.parent / "im" / "000.png").read_bytes())
    assert "gives each image one class: wanted a table" in refused(jumok, "eval", several, tmp_path / "photos")


# -- numbers ------------------------------------------------------------------------------------


def test_numbers_are_learnt_and_judged_in_their_unit(jumok, number, numbered, tmp_path):
    config = yaml.safe_load((number / "config.yaml").read_text())
    assert config["found"]["kind"] == "number"
    assert 1000 < config["found"]["target"]["mean"] < 1022
    assert (config["training"]["augment"], config["training"]["mixup"]) == (False, 0.0)
    assert "gives a number for images of 16 x 16 pixels" in (number / "card.md").read_text()
    said = jumok("eval", number, "--out", tmp_path)
    assert said.status == 0, said.err
    assert "baseline: always saying the median" in said.out
    found = json.loads((tmp_path / "eval.json").read_text())
    low, high = found["mean_absolute_error_95"]
    assert low <= found["mean_absolute_error"] <= high < found["median"]["mean_absolute_error"]
    assert found["beats_median"]
    assert found["r2"] > 0.5
    assert (tmp_path / "numbers.png").is_file()


def test_a_number_is_predicted_and_looked_at(jumok, number, numbered, tmp_path):
    files = [f"--{kind}={tmp_path / f'p.{kind}'}" for kind in ("csv", "jsonl")]
    assert jumok("predict", number, numbered.parent / "im", *files).status == 0
    rows = rows_of(tmp_path / "p.csv")
    assert list(rows[0]) == ["image", "predicted", "error"]
    true = [float(line.split(",")[1]) for line in numbered.read_text().splitlines()[1:]]
    assert np.abs(np.array([float(row["predicted"]) for row in rows]) - true).mean() < 2.5
    assert isinstance(json.loads((tmp_path / "p.jsonl").read_text().splitlines()[0])["predicted"], float)
    image = numbered.parent / "im" / "000.png"
    said = jumok("look", image, "--model", number, "--method", "chefer", "--out", tmp_path / "look")
    assert said.status == 0, said.err
    (row,) = rows_of(tmp_path / "look" / "results.csv")
    assert float(row["predicted"]) == pytest.approx(float(rows[0]["predicted"]), rel=1e-5)
    assert "probability" not in row
    for words, why in ((("--target", "3"), "gives a number"), (("--method", "rise"), "this model gives a number")):
        assert why in refused(jumok, "look", image, "--model", number, "--out", tmp_path / "other", *words)


def test_python_is_told_labels_and_numbers(several, number, labelled, numbered):
    image = labelled.parent / "im" / "000.png"
    run = ImageRun.load(several)
    found, (again,) = run.predict(image), run.predict([image])
    assert found == again
    assert found.label == "|".join(found.labels)
    shares = run.probabilities(run.prepare([image]))[0].tolist()
    assert found.probabilities == dict(zip(("blue", "green", "red"), shares, strict=True))
    assert found.probability == max(shares)
    assert "3 labels: blue, green, red" in repr(run)
    run = ImageRun.load(number)
    image = numbered.parent / "im" / "000.png"
    found, true = run.predict(image), float(run.probabilities(run.prepare([image])))
    assert found.number == float(found.label) == pytest.approx(true, rel=1e-6)
    assert (found.probability, dict(found.probabilities), found.labels) == (None, {}, ())
    assert "a number, from 10" in repr(run)


# -- both ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["several", "number"])
def test_maps_are_measured_against_what_the_model_answers(jumok, kind, request, tmp_path):
    run = request.getfixturevalue(kind)
    table = request.getfixturevalue({"several": "labelled", "number": "numbered"}[kind])
    words = ["--method", "chefer", "--method", "raw", "--most", 6, "--steps", 3, "--fillings", "mean"]
    said = jumok("measure", run, table, "--out", tmp_path, *words)
    assert said.status == 0, said.err
    found = json.loads((tmp_path / "measure.json").read_text())["faithfulness"]
    assert set(found["methods"]) == {"chefer", "raw"}
    assert ("other class" in found["baselines"]) == (kind == "several")
    page = tmp_path / "index.html"
    assert "true labels: " in page.read_text() if kind == "several" else not page.exists()
    if kind == "number":
        assert found["answer"] == "the number, in standard deviations"
        assert "no page of images is written of a model that gives numbers" in said.out
        err = refused(jumok, "measure", run, table, "--out", tmp_path / "s", "--sanity", "--no-faithful")
        assert "sanity checks hold maps of two classes or labels side by side" in err


@pytest.mark.parametrize(("kind", "output"), [("several", "probabilities"), ("number", "number")])
def test_an_exported_graph_gives_what_predict_gives(jumok, kind, output, request, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    run = request.getfixturevalue(kind)
    said = jumok("export", run, "--out", tmp_path, "--with-map")
    assert said.status == 0, said.err
    facts = json.loads((tmp_path / "model.json").read_text())
    assert facts["outputs"] == [output, "map"]
    assert "thresholds" in facts or kind == "number"
    opened = ImageRun.load(run)
    table = request.getfixturevalue({"several": "labelled", "number": "numbered"}[kind])
    pixels = opened.prepare(sorted((table.parent / "im").iterdir())[:3])
    answers, _ = runtime.InferenceSession(tmp_path / "model.onnx").run(None, {"pixels": pixels.numpy()})
    np.testing.assert_allclose(answers, opened.probabilities(pixels).numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("write", [write_labelled, write_numbered])
def test_a_stopped_training_resumes_bit_for_bit(write, jumok, tmp_path):
    table = write(tmp_path, count=40)
    whole, broken = (Job(table, tmp_path / name, epochs=2, mixup=0.4) for name in ("whole", "broken"))
    whole.start()
    end_after(broken, [(2, "step"), (3, "validation")])
    same_end(whole.folder, broken.folder)
    for folder in (whole.folder, broken.folder):
        said = jumok("train", "--resume", folder, "--no-trust")
        assert said.status == 0, said.err
    thresholds = [folder / "thresholds.yaml" for folder in (whole.folder, broken.folder)]
    assert [path.exists() for path in thresholds] == [write is write_labelled] * 2
    if write is write_labelled:
        assert thresholds[0].read_text() == thresholds[1].read_text()


def test_what_makes_no_sense_is_refused_in_one_line(jumok, labelled, numbered, tmp_path):
    for table, words, why in (
        (labelled, ("--system", "ram"), "each of these has any number of labels: choose another --system"),
        (numbered, ("--system", "ram"), "each of these has a number: choose another --system"),
        (labelled, (*TINY.split(), "--balance", "sampler"), "--balance sampler needs one class for each image"),
        (numbered, (*TINY.split(), "--balance", "weights"), "--balance weights needs classes"),
        (numbered, (*TINY.split(), "--label-smoothing", "0.1"), "--label-smoothing needs classes"),
    ):
        assert why in refused(jumok, "train", table, "--out", tmp_path / "run", *words)
        assert not (tmp_path / "run").exists()
    for table, why in ((labelled, "has any number of labels"), (numbered, "has a number")):
        words = ("--systems", "cnn,mlp", "--budget", "5s", "--out", tmp_path / "compared")
        assert why in refused(jumok, "compare", table, *words)


def test_what_a_table_holds_is_counted_by_label_and_by_range(jumok, labelled, numbered, tmp_path):
    for table, first in ((labelled, "(any of 3 labels)"), (numbered, "(numbers from 1002 to 1022)")):
        said = jumok("inspect", table, "--out", tmp_path)
        assert said.status == 0, said.err
        assert first in said.out
        found = json.loads((tmp_path / "inspect.json").read_text())
        (counts,) = found["counts"].values()
        cells = [line.split(",")[1] for line in table.read_text().splitlines()[1:]]
        if table == labelled:
            names = ("blue", "green", "red")
            assert counts == {name: sum(name in cell for cell in cells) for name in names} | {
                "no label": cells.count("")
            }
        else:
            assert (len(counts), sum(counts.values())) == (5, 60)
            assert found["numbers"]["largest"] == max(map(float, cells))
    assert "did you mean" in refused(jumok, "inspect", numbered, "--labels-are", "numbers", "--out", tmp_path)
