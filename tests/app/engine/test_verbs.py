"""Every verb by the same engine: its rows are what the plain command finds in the same images."""

import csv
import json
import shutil

import numpy as np
import pytest
from app_helpers import write_coloured
from engine_models import to_png
from PIL import Image

from jumok.app.engine.looker import Looker
from jumok.app.engine.many import make_data_set
from jumok.app.engine.reading import Looks
from jumok.app.engine.settings import EngineSettings
from jumok.app.session import Session
from jumok.attention import AttentionMap
from jumok.tasks.running.trust import Trust, write_trust

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Images by class, as those that a run was trained on, and others of a class that it does not know."""
    folder = write_coloured(tmp_path_factory.mktemp("verbs") / "photos", each=9)
    write_coloured(folder, each=2, classes=("grey",))
    return folder


def engine(out, *more):
    return ["--engine", "local", "--shard-size", 7, "--device", "cpu", "--threads", 1, "--out", out, *more]


def read(out):
    return parquet.read_table(sorted(out.glob("*.parquet"))).to_pylist()


@pytest.fixture(scope="module")
def known(photos, tmp_path_factory):
    """Those of the classes alone that the run knows."""
    folder = tmp_path_factory.mktemp("verbs") / "known"
    for name in ("blue", "green", "red"):
        shutil.copytree(photos / name, folder / name)
    return folder


def test_eval_judges_rows_as_it_judges_images(photos, known, trained, jumok, tmp_path):
    said = jumok("eval", trained, photos, "--json", *engine(tmp_path / "rows"))
    assert said.status == 0
    plain = json.loads(
        jumok("eval", trained, known, "--split", "all", "--json", "--device", "cpu", "--out", tmp_path / "plain").out
    )
    found = json.loads(said.out)
    for name in ("images", "accuracy", "accuracy_95", "confusion", "largest_class", "per_class"):
        assert found[name] == plain[name], name
    assert found["loss"] == pytest.approx(plain["loss"], abs=1e-5)
    assert "not judged: 2 images whose label is none of the model's classes" in found["remarks"]
    assert json.loads((tmp_path / "rows" / "_eval.json").read_text())["confusion"] == plain["confusion"]
    Image.open(tmp_path / "rows" / "_confusion.png").load()


def test_eval_judges_the_rows_of_parquet_files_by_their_column_of_names(known, trained, jumok, tmp_path):
    paths = sorted(known.rglob("*.png"))
    labels = [None if number == 4 else path.parent.name for number, path in enumerate(paths)]
    table = pa.table({"image": [path.read_bytes() for path in paths], "label": labels})
    parquet.write_table(table, tmp_path / "in.parquet", row_group_size=5)
    said = jumok("eval", trained, tmp_path / "in.parquet", "--json", *engine(tmp_path / "rows"))
    assert said.status == 0, said.err
    by_folder = jumok("eval", trained, known, "--json", *engine(tmp_path / "by_folder"))
    found, plain = json.loads(said.out), json.loads(by_folder.out)
    assert found["images"] == plain["images"] - 1
    assert np.abs(np.array(plain["confusion"]) - found["confusion"]).sum() == 1
    assert "not judged: 1 image whose label is none of the model's classes" in found["remarks"]
    numbers = pa.table({"image": table["image"], "label": [0] * len(paths)})
    parquet.write_table(numbers, tmp_path / "numbers.parquet")
    refused = jumok("eval", trained, tmp_path / "numbers.parquet", *engine(tmp_path / "out"))
    assert refused.status == 2
    assert "or Parquet files with a column label of names of classes" in refused.err


def test_what_cannot_be_judged_is_said_before_anything_is_looked_at(known, trained, jumok, tmp_path):
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "a.png").write_bytes((known / "red" / "000.png").read_bytes())
    refused = jumok("eval", trained, tmp_path / "flat", *engine(tmp_path / "out"))
    assert refused.status == 2
    assert "give a folder with a folder for each class" in refused.err
    write_coloured(tmp_path / "other", each=1, classes=("grey", "pink"))
    refused = jumok("eval", trained, tmp_path / "other", *engine(tmp_path / "out"))
    assert refused.status == 2
    assert "the labels are grey, pink, and none is one of the classes" in refused.err
    assert not (tmp_path / "out").exists()


def test_predict_writes_what_the_plain_command_writes(known, trained, jumok, tmp_path):
    assert jumok("predict", trained, known, *engine(tmp_path / "rows", "--batch-size", 7)).status == 0
    assert jumok("predict", trained, known, "--csv", tmp_path / "plain.csv", "--device", "cpu").status == 0
    plain = list(csv.DictReader((tmp_path / "plain.csv").open()))
    rows = read(tmp_path / "rows")
    assert [row["prediction"] for row in rows] == [row["predicted"] for row in plain]
    assert [row["label"] for row in rows] == ["blue"] * 9 + ["green"] * 9 + ["red"] * 9
    assert [row["probability"] for row in rows] == pytest.approx([float(row["probability"]) for row in plain], abs=1e-4)
    refused = jumok("predict", trained, known, "--csv", tmp_path / "x.csv", *engine(tmp_path / "other"))
    assert refused.status == 2
    assert "in place of --csv" in refused.err


def test_measure_averages_what_it_measures_of_each_image(known, trained, jumok, tmp_path):
    asked = ["--method", "chefer", "--method", "rollout", "--steps", 3, "--json"]
    said = jumok("measure", trained, known, *asked, *engine(tmp_path / "rows"))
    assert said.status == 0, said.err
    more = ["--no-health", "--shown", 0, "--split", "all", "--device", "cpu", "--out", tmp_path / "plain"]
    plain = json.loads(jumok("measure", trained, known, *asked, *more).out)["faithfulness"]
    found = json.loads(said.out)["faithfulness"]
    assert found["inputs"] == plain["inputs"] == 27
    assert set(found["methods"]) == set(plain["methods"]) == {"chefer", "rollout"}
    for kind, names in (("methods", ("chefer", "rollout")), ("baselines", ("centre", "edges"))):
        for name in names:  # places of equal weight, such as the parts of one patch, go in an order drawn by chance
            means = {score: value["value"] for score, value in plain[kind][name].items()}
            assert {score: value["value"] for score, value in found[kind][name].items()} == pytest.approx(
                means, abs=0.005
            )
            for filling in ("mean", "blur"):
                ends = [
                    each["curves"][filling][name]["most_first"][place]["value"]
                    for each in (found, plain)
                    for place in (0, -1)
                ]
                assert ends[:2] == pytest.approx(ends[2:], abs=1e-5)
    rows = read(tmp_path / "rows")
    mean = np.mean([row["chefer_srg_mean"] for row in rows])
    assert mean == pytest.approx(found["methods"]["chefer"]["srg, mean"]["value"], abs=1e-9)


def test_saliency_writes_what_the_plain_command_finds(known, jumok, tmp_path):
    shared = ["--method", "frequency-tuned", "--threads", 1, "--out"]
    many = ["--engine", "local", "--shard-size", 7]
    assert jumok("saliency", known, *shared, tmp_path / "rows", *many).status == 0
    assert jumok("saliency", known, *shared, tmp_path / "plain", "--no-pictures", "--no-html").status == 0
    plain = list(csv.DictReader((tmp_path / "plain" / "results.csv").open()))
    rows = read(tmp_path / "rows")
    assert [row["objects"] for row in rows] == [int(row["objects"]) for row in plain]
    assert ["; ".join(" ".join(map(str, box)) for box in row["boxes"]) for row in rows] == [
        row["boxes"] for row in plain
    ]
    assert jumok("look", tmp_path / "rows", "--pages", 3, "--out", tmp_path / "pages").status == 0
    assert "What stands out: frequency-tuned" in (tmp_path / "pages" / "index.html").read_text()


# -- pages of a data set ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def looks(photos, trained, tmp_path_factory):
    out = tmp_path_factory.mktemp("verbs") / "looks"
    looker = Looker(str(trained), method="rollout")
    settings = EngineSettings(engine="local", shard_size=7)
    make_data_set(photos, looker, out, settings, Session("look", quiet=True, device_wanted="cpu"))
    return out


@pytest.mark.parametrize(
    ("best", "said"),
    [
        ("rollout", "rollout was the most faithful map on 9 validation images (beats a random map)"),
        ("libra", "not known of rollout; libra was the most faithful map on 9 validation images (beats a random map)"),
        (None, "no map was shown to be more faithful than chance on 9 validation images (beats a random map)"),
    ],
)
def test_rows_say_how_far_their_method_can_be_trusted(known, trained, tmp_path, best, said):
    run = shutil.copytree(trained, tmp_path / "run")
    write_trust(run, Trust(method=best, verdict="beats a random map", inputs=9))
    looker = Looker(str(run), method="rollout", device="cpu")
    assert list(looker({"path": [str(known / "red" / "000.png")]})["verdict"]) == [said]


def test_rows_of_a_run_that_was_not_measured_say_so(looks):
    assert {row["verdict"] for row in read(looks)} == {"its trust was not measured"}


def test_rows_that_a_query_holds_for_are_drawn(looks, photos, jumok, tmp_path):
    rows = [row for row in read(looks) if row["label"] == "grey" or row["prediction"] != row["label"]]
    assert {row["label"] for row in rows} >= {"grey"}
    said = jumok("look", looks, "--where", "prediction != label", "--out", tmp_path / "pages")
    assert said.status == 0
    assert f"all of {len(rows)} rows where prediction != label" in said.out
    written = list(csv.DictReader((tmp_path / "pages" / "results.csv").open()))
    assert [int(row["row"]) for row in written] == [row["index"] for row in rows]
    for row, cells in zip(rows, written, strict=True):
        Image.open(tmp_path / "pages" / cells["picture"]).load()
        saved = jumok_map(tmp_path / "pages" / cells["map"])
        np.testing.assert_allclose(saved, np.array(row["map"], np.float32))


def jumok_map(path):
    return AttentionMap.load(path).weights[0].numpy()


def test_a_sample_is_the_same_each_time_and_not_the_beginning(looks):
    opened = Looks.open(looks)
    numbers, count = opened.choose(None, 5)
    assert count == 29
    assert numbers == opened.choose(None, 5)[0] == sorted(numbers)
    assert len(set(numbers)) == 5
    assert numbers != list(range(5))
    assert set(numbers) <= set(opened.choose(None, 9)[0])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--where", "index > 1000"], "is such that index > 1000"),
        (["--where", "prediction"], "is true or false of no row"),
        (["--pages", "3", "--method", "rollout"], "no use for --method"),
        (["--pages", "3", "--target", "red"], "no use for --target"),
    ],
)
def test_what_cannot_be_drawn_is_told_in_one_line(looks, jumok, tmp_path, words, said):
    refused = jumok("look", looks, *words, "--out", tmp_path / "pages")
    assert refused.status == 2
    assert said in refused.err
    assert len(refused.err.strip().splitlines()) == 1
    assert not (tmp_path / "pages").exists()


def test_queries_are_of_data_sets_alone(photos, trained, jumok, tmp_path):
    refused = jumok("look", photos, "--model", trained, "--pages", 3, "--out", tmp_path / "pages")
    assert refused.status == 2
    assert "write one first with --engine" in refused.err


def test_inputs_that_have_changed_are_told(photos, looks, jumok, tmp_path):
    new = photos / "grey" / "new.png"
    new.write_bytes(to_png(np.zeros((16, 16, 3), np.uint8)))
    refused = jumok("look", looks, "--pages", 3, "--out", tmp_path / "pages")
    new.unlink()
    assert refused.status == 2
    assert "does not hold the inputs any more" in refused.err
