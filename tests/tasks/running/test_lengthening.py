"""A finished run that is trained for longer, and one whose data was moved."""

import csv
import shutil

import pytest
import yaml
from app_helpers import QUICK, write_coloured
from breaking import At, Stop, same_end, stop

from jumok.errors import JumokError
from jumok.files import write_atomically
from jumok.tasks.classify import prepare
from jumok.tasks.classify.settings import RunConfig
from jumok.tasks.running import fit
from jumok.tasks.running.lengthening import find_step, lengthen

LR = 0.004


def rows(folder):
    with (folder / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def read(folder):
    return yaml.safe_load((folder / "config.yaml").read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of two epochs of four steps, which others copy, and its images."""
    from jumok.app.cli import main

    place = tmp_path_factory.mktemp("finished")
    write_coloured(place / "photos")
    words = [
        "train",
        place / "photos",
        "--out",
        place / "run",
        *QUICK,
        "--lr",
        LR,
        "--mixup",
        "0.3",
        "--warmup",
        "0.25",
    ]
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    assert stopped.value.code == 0
    return place


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished / "run", tmp_path / "moved")


def test_a_finished_run_goes_on_for_more_epochs_and_says_so(jumok, run):
    before = rows(run)
    said = jumok("train", "--resume", run, "--epochs", 5)
    assert said.status == 0, said.err
    after = rows(run)
    assert after[:2] == before
    assert [row["epoch"] for row in after] == [1, 2, 3, 4, 5]
    told = "epochs 2 to 5 after step 8, the learning rate rising to 0.004 and falling anew over the steps from there on"
    assert told in said.out
    assert told in (run / "card.md").read_text()
    config = read(run)
    assert config["training"]["epochs"] == 5
    assert config["changes"] == [{"step": 8, "told": told, "schedule": True}]


def test_the_learning_rate_rises_and_falls_anew_from_the_first_added_step(run):
    rates = []

    class Note(At):
        def on_train_batch_start(self, trainer, *_):
            rates.append(trainer.optimizers[0].param_groups[0]["lr"] / LR)

    start_longer(run, Note(0, None), epochs=4)
    assert rates[0] == pytest.approx(0.5)  # a quarter of 8 steps is warm-up
    assert rates[1:3] == pytest.approx([1, 1])
    assert rates[-1] < 0.1
    assert sorted(rates[2:], reverse=True) == rates[2:]


def start_longer(run, *watchers, **length):
    """Lengthen a run, or resume it as it is, and train."""
    config = RunConfig.load(run / "config.yaml")
    prepared = prepare.resume(config, run)
    if length:
        prepared = lengthen(prepared, find_step(run), seconds=None, **length)
        write_atomically(run / "config.yaml", prepared.config.to_yaml())
    module = prepared.module()
    module.schedule_start = prepared.schedule_start
    return fit.fit(module, prepared.train, prepared.val, run, prepared.training, watchers)


@pytest.mark.parametrize("step", [8, 9, 12, 14])
def test_a_lengthened_run_that_is_stopped_resumes_bit_for_bit(finished, run, tmp_path, step):
    whole = shutil.copytree(finished / "run", tmp_path / "whole")
    for folder in (run, whole):
        config = folder / "config.yaml"
        config.write_text(config.read_text().replace("checkpoint_every: null", "checkpoint_every: 1"))
    with pytest.raises(Stop):
        start_longer(run, At(step, stop), epochs=4)
    start_longer(run)
    start_longer(whole, epochs=4)
    same_end(run, whole)


def test_a_run_that_had_stopped_early_goes_on_when_it_is_lengthened(run):
    path = run / "config.yaml"
    path.write_text(path.read_text().replace("patience: null", "patience: 1").replace("epochs: 2", "epochs: 200"))
    outcome = start_longer(run)
    stopped = len(outcome.rows)
    assert stopped < 200
    assert len(start_longer(run).rows) == stopped
    assert len(start_longer(run, epochs=201).rows) > stopped


def test_a_finished_run_goes_on_for_a_time(jumok, run):
    said = jumok("train", "--resume", run, "--time", "3s")
    assert said.status == 0, said.err
    assert len(rows(run)) > 2
    assert read(run)["training"]["epochs"] == len(rows(run))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epochs", "1"], "this run has done 2 of 2 epochs: give --epochs more than 2"),
        (["--epochs", "9", "--time", "3s"], "--time and --epochs both say how long to train"),
        (["--time", "soon"], "--time 'soon' is not a time"),
        (["--lr", "0.1"], "leave out --lr"),
        (["--data", "nowhere"], "--data: there is nothing at nowhere"),
        (["--data", "{images}", "--data", "{images}"], "--data: wanted as many paths as this run had ("),
    ],
)
def test_what_cannot_be_changed_is_one_line_and_the_run_stays(jumok, finished, run, words, message):
    before = (run / "config.yaml").read_bytes()
    said = jumok("train", "--resume", run, *(word.format(images=finished / "photos") for word in words))
    assert said.status == 2
    assert message in said.err
    assert said.err.count("\n") == 1
    assert (run / "config.yaml").read_bytes() == before


def test_data_that_was_moved_is_found_where_it_lies_now(jumok, finished, run, tmp_path):
    photos = shutil.copytree(finished / "photos", tmp_path / "elsewhere")
    said = jumok("train", "--resume", run, "--data", photos)
    assert said.status == 0, said.err
    assert f"data moved from {finished / 'photos'} to {photos}" in said.out
    assert read(run)["data"]["images"] == str(photos)
    assert f"data moved from {finished / 'photos'}" in (run / "card.md").read_text()
    assert len(rows(run)) == 2


def test_other_data_is_not_taken_for_the_runs_own(jumok, finished, run, tmp_path):
    photos = shutil.copytree(finished / "photos", tmp_path / "elsewhere")
    (photos / "red" / "000.png").unlink()
    before = (run / "config.yaml").read_bytes()
    said = jumok("train", "--resume", run, "--data", photos)
    assert said.status == 2
    assert "not those that this run began with" in said.err
    assert (run / "config.yaml").read_bytes() == before


def test_data_is_moved_only_with_a_run_to_resume(jumok, finished, tmp_path):
    said = jumok("train", finished / "photos", "--data", finished / "photos", "--out", tmp_path / "run")
    assert said.status == 2
    assert "--data goes with --resume" in said.err


def test_questions_and_their_images_move_together(tmp_path):
    from jumok.tasks.answer.settings import QuestionData
    from jumok.tasks.answer.settings import Settings as Questions
    from jumok.tasks.running.lengthening import move_data

    for name in ("now/questions.csv", "now/photos/a.png", "there/val.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    before, there = tmp_path / "before", tmp_path / "there" / "val.csv"
    data = QuestionData(questions=(f"{before}/questions.csv",), images=f"{before}/photos", val_questions=(str(there),))
    moved = move_data(Questions(data=data), "questions", [tmp_path / "now" / "questions.csv"], 3).data
    assert moved.questions == (str(tmp_path / "now" / "questions.csv"),)
    assert moved.images == str(tmp_path / "now" / "photos")
    assert moved.val_questions == (str(there),)


def test_a_run_that_was_never_begun_is_lengthened_from_its_start(job):
    one = job("run")
    one.folder.mkdir()
    (one.folder / "config.yaml").write_text(one.config.to_yaml())
    prepared = lengthen(prepare.resume(one.config, one.folder), find_step(one.folder), epochs=7, seconds=None)
    assert (prepared.training.epochs, prepared.schedule_start) == (7, 0)
    with pytest.raises(JumokError, match="has done 0 of 3 epochs"):
        lengthen(prepare.resume(one.config, one.folder), 0, epochs=0, seconds=None)


def test_the_images_that_a_table_names_may_move_alone(jumok, finished, tmp_path):
    photos = shutil.copytree(finished / "photos", tmp_path / "photos")
    names = [f"{path.parent.name}/{path.name}" for path in sorted(photos.rglob("*.png"))]
    lines = ["image,label", *(f"{name},{name.partition('/')[0]}" for name in names)]
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    words = ("--system", "mlp", "--epochs", "1", "--threads", "1", "--no-trust")
    said = jumok("train", tmp_path / "labels.csv", "--images", photos, "--out", tmp_path / "run", *words)
    assert said.status == 0, said.err
    photos.rename(tmp_path / "elsewhere")
    said = jumok("train", "--resume", tmp_path / "run", "--epochs", "2", "--images", tmp_path / "elsewhere")
    assert said.status == 0, said.err
    assert f"images moved from {photos} to {tmp_path / 'elsewhere'}" in said.out
    assert read(tmp_path / "run")["data"]["image_folder"] == str(tmp_path / "elsewhere")


def test_a_run_of_class_folders_has_no_other_images_to_move(jumok, run, tmp_path):
    said = jumok("train", "--resume", run, "--images", tmp_path)
    assert said.status == 2
    assert "this run names no folder of images beside its data: say where the data lies by --data" in said.err
