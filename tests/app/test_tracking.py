"""`--log`: figures and files of a run in an experiment tracker, beside the run's own."""

import csv
import importlib.util
import json
import shutil

import pytest

from jumok.app.tracking import opening
from jumok.app.tracking.log import TRACKING
from jumok.tasks.running.ledger import METRICS

TRAIN = ("--system", "cnn", "--epochs", 2, "--batch-size", 8, "--image-size", 16, "--device", "cpu", "--no-trust")
MEASURE = ("--split", "all", "--method", "grad-cam", "--steps", 2, "--fillings", "zeros", "--most", 8)

needs_mlflow = pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="MLflow is not installed")
needs_wandb = pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="wandb is not installed")


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A client of a file store of MLflow's, in which jumok logs, too."""
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path / 'store'}")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return MlflowClient()


@pytest.fixture
def train(jumok, photos, tmp_path):
    return lambda *words: jumok("train", photos, "--out", tmp_path / "run", *TRAIN, *words)


def rows_of(run):
    return list(csv.DictReader((run / METRICS).read_text().splitlines()))


def logged(store, run, name):
    """Step and value of all that was logged by one name."""
    (known,) = [json.loads((run / TRACKING).read_text())["id"]]
    return [(each.step, each.value) for each in store.get_metric_history(known, name)]


@needs_mlflow
def test_a_training_is_logged_and_goes_on_there_when_resumed_and_measured(store, train, jumok, photos, tmp_path):
    run = tmp_path / "run"
    said = train("--log", "mlflow")
    assert said.status == 0, said.err
    rows = rows_of(run)
    assert logged(store, run, "train_loss") == [(int(row["step"]), float(row["train_loss"])) for row in rows]
    assert logged(store, run, "val_loss") == [(int(row["step"]), float(row["val_loss"])) for row in rows]
    known = json.loads((run / TRACKING).read_text())["id"]
    found = store.get_run(known)
    assert (found.info.status, found.info.run_name) == ("FINISHED", "run")
    assert store.get_experiment(found.info.experiment_id).name == "jumok"
    assert (found.data.params["system"], found.data.params["training/batch_size"]) == ("cnn", "8")
    assert {each.path for each in store.list_artifacts(known)} == {"card.md", "config.yaml", METRICS}

    assert jumok("train", "--resume", run, "--epochs", 3, "--no-trust").status == 0
    assert logged(store, run, "train_loss") == [(int(row["step"]), float(row["train_loss"])) for row in rows_of(run)]
    assert len(rows_of(run)) == 3

    assert jumok("measure", run, photos, *MEASURE).status == 0
    assert "index.html" not in {each.path for each in store.list_artifacts(known)}, "nobody asked for it"
    said = jumok("measure", run, photos, *MEASURE, "--log", "mlflow")
    assert said.status == 0, said.err
    figures = json.loads((run / "measure" / "measure.json").read_text())
    srg = figures["faithfulness"]["methods"]["grad-cam"]["srg, zeros"]["value"]
    assert logged(store, run, "measure/faithfulness/methods/grad-cam/srg_ zeros/value") == [(0, srg)]
    assert "index.html" in {each.path for each in store.list_artifacts(known)}


@needs_mlflow
def test_a_measurement_of_a_model_that_is_not_logged_is_a_run_of_its_own(store, train, jumok, photos, tmp_path):
    assert train().status == 0
    said = jumok("measure", tmp_path / "run", photos, *MEASURE, "--log", "mlflow", "--out", tmp_path / "figures")
    assert said.status == 0, said.err
    (experiment,) = store.search_experiments(filter_string="name = 'jumok'")
    (found,) = store.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED"
    assert found.data.params["model"] == str(tmp_path / "run")


class Breaking:
    """A tracker that cannot be reached after so many calls."""

    calls = 0
    id = "7"

    def __init__(self, title, known):
        self.left = Breaking.calls

    def act(self, *words):
        self.left -= 1
        if self.left < 0:
            raise ConnectionError("no route to host\nmore")

    note = log = keep = end = act


@pytest.fixture
def breaking(monkeypatch):
    monkeypatch.setattr(opening, "_class_of", lambda name: Breaking)
    monkeypatch.setattr(opening, "import_module", lambda name: None)
    return Breaking


def test_a_tracker_that_is_gone_does_not_cost_the_training(breaking, train, tmp_path):
    breaking.calls = 2
    said = train("--log", "wandb")
    assert said.status == 0
    line = "wandb takes no more, so nothing further is logged there: no route to host"
    assert f"remark: {line}\n" in said.out
    assert said.out.count("nothing further is logged") == 1
    assert len(rows_of(tmp_path / "run")) == 2


def test_a_tracker_that_cannot_be_reached_is_one_line_and_nothing_is_left(train, tmp_path, monkeypatch):
    def refuse(title, known):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(opening, "_class_of", lambda name: refuse)
    monkeypatch.setattr(opening, "import_module", lambda name: None)
    said = train("--log", "mlflow")
    assert (said.status, said.err.count("\n")) == (2, 1)
    assert "no run can be begun (no route to host): set MLFLOW_TRACKING_URI" in said.err
    assert not (tmp_path / "run").exists()


def test_a_run_that_was_logged_can_be_resumed_where_the_tracker_is_not(breaking, train, jumok, tmp_path, monkeypatch):
    breaking.calls = 100
    assert train("--log", "mlflow").status == 0

    def refuse(title, known):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(opening, "_class_of", lambda name: refuse)
    said = jumok("train", "--resume", tmp_path / "run", "--epochs", 3, "--no-trust")
    assert said.status == 0, said.err
    assert "this run was logged to mlflow, and is not now: " in said.out
    assert len(rows_of(tmp_path / "run")) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--log", "mlfow"), "did you mean 'mlflow'?"),
        (("--log", "tensorboard"), "known: mlflow, wandb"),
    ],
)
def test_a_tracker_that_is_not_known_is_named(train, tmp_path, words, message):
    said = train(*words)
    assert (said.status, said.err.count("\n")) == (2, 1)
    assert message in said.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", ["", "{}", '{"tracker": "mlflow"}', '{"tracker": "x", "id": "1"}', "[" * 9000])
def test_a_damaged_record_of_the_tracker_is_named(train, jumok, tmp_path, content):
    assert train().status == 0
    (tmp_path / "run" / TRACKING).write_text(content)
    said = jumok("train", "--resume", tmp_path / "run", "--epochs", 3)
    assert (said.status, said.err.count("\n")) == (2, 1)
    assert f"{TRACKING} does not say where the run is logged" in said.err


@needs_wandb
def test_weights_and_biases_gets_the_same(train, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    said = train("--log", "wandb")
    assert said.status == 0, said.err
    known = json.loads((tmp_path / "run" / TRACKING).read_text())["id"]
    (kept,) = (tmp_path / "wandb").glob(f"offline-run-*-{known}/run-{known}.wandb")
    content = kept.read_bytes()
    assert b"train_loss" in content
    assert b"card" in content
    shutil.rmtree(tmp_path / "wandb")


@needs_mlflow
def test_a_dry_run_says_that_it_logs_nothing(store, train):
    said = train("--log", "mlflow", "--dry-run")
    assert said.status == 0, said.err
    assert "--log mlflow: a dry run logs nothing" in said.out
    assert not store.search_experiments(filter_string="name = 'jumok'")


def test_a_dry_run_refuses_a_tracker_that_is_not_known(train):
    said = train("--log", "mlfow", "--dry-run")
    assert (said.status, "--log mlfow: did you mean 'mlflow'" in said.err) == (2, True)
