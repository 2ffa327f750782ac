"""A task is a plug-in: one that is registered is trained, evaluated and resumed by the program's own commands."""

import json

import pytest
from fourth_task import SYSTEM, TASK

import jumok as package
from jumok import systems, tasks
from jumok.errors import JumokError

FLAGS = ("--device", "cpu", "--threads", 1, "--epochs", 40, "--lr", 0.3, "--ema", 0, "--weight-decay", 0)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(systems.SYSTEMS, "line", SYSTEM)
    monkeypatch.setitem(tasks.TASKS, TASK.name, TASK)


@pytest.fixture
def numbers(tmp_path):
    """Rows whose last number is twice the first, less the second."""
    path = tmp_path / "rows.numbers"
    path.write_text("".join(f"{a} {b} {2 * a - b}\n" for a in range(4) for b in range(4)))
    return path


def test_it_is_trained_evaluated_and_loaded(jumok, numbers, tmp_path):
    run = tmp_path / "run"
    said = jumok("train", numbers, "--out", run, *FLAGS)
    assert said.status == 0, said.err
    assert "16 rows; 3 weights" in said.out
    assert f"next: jumok eval {run}" in said.out
    said = jumok("eval", run, "--digits", 1)
    assert (said.status, said.out) == (0, "squared error 0.0\n")
    assert json.loads((run / "eval" / "eval.json").read_text())["error"] < 0.05
    found = json.loads(jumok("eval", run, numbers, "--json").out)
    assert found["schema"] == "jumok-eval/1"
    assert package.load(run).model.sum.weight.detach().round().tolist() == [[2.0, -1.0]]


def test_a_stopped_training_resumes_to_the_same_weights(jumok, numbers, tmp_path, monkeypatch):
    from jumok.tasks.running import callbacks
    from jumok.tasks.running.checkpoint import read_tensors

    assert jumok("train", numbers, "--out", tmp_path / "whole", *FLAGS).status == 0
    saves = callbacks.Keeper._save

    def stop_after_three(self, trainer, module):
        saves(self, trainer, module)
        if trainer.global_step == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(callbacks.Keeper, "_save", stop_after_three)
        said = jumok("train", numbers, "--out", tmp_path / "run", *FLAGS, "--checkpoint-every", 1)
    assert said.status == 130
    assert f"Resume with: jumok train --resume {tmp_path / 'run'}" in said.out
    assert jumok("train", "--resume", tmp_path / "run").status == 0
    (_, one), (_, other) = (
        read_tensors(tmp_path / name / "weights.safetensors", wanted=None) for name in ("run", "whole")
    )
    assert {name: value.tolist() for name, value in one.items()} == {
        name: value.tolist() for name, value in other.items()
    }


def test_its_options_are_shown_for_its_data_alone(jumok, numbers, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert " --skip " in jumok("train", numbers, "--help").out
    assert " --skip " in jumok("train", "numbers", "--help").out
    assert " --skip " not in jumok("train", "--help").out
    assert " --digits " in jumok("eval", "--help").out


def test_what_it_does_not_do_is_refused_in_one_line(jumok, numbers, tmp_path):
    assert jumok("train", numbers, "--out", tmp_path / "run", *FLAGS, "--epochs", 1).status == 0
    for words, message in (
        (("eval", tmp_path / "run", "--beam", 3), "no use for --beam"),
        (("measure", tmp_path / "run", numbers), "cannot be measured"),
        (("compare", numbers), "cannot be compared"),
        (("train", numbers, "--flips", "both", "--out", tmp_path / "other"), "line has no use for --flips"),
        (("look", numbers, "--model", tmp_path / "run"), "wanted one that was trained to classify images"),
    ):
        said = jumok(*words)
        assert said.status == 2, words
        assert message in said.err
        assert said.err.count("\n") == 1


def test_two_tasks_of_one_name_are_refused():
    with pytest.raises(JumokError, match="there is a task 'foretell' already"):
        tasks.register(TASK)


@pytest.mark.parametrize("task", tasks.TASKS.values(), ids=lambda task: task.name)
def test_every_task_has_what_its_record_says(task):
    if task.systems:
        assert task.settings.model_fields["system"].default == task.default_system
    else:
        with pytest.raises(JumokError, match=f"name one with --system {task.opens[0]}NAME-OR-FOLDER"):
            _ = task.default_system
    assert task.word in type(task.settings.model_fields["data"].default).model_fields
    assert set(task.systems) <= set(systems.names())
    assert task.run.__name__.endswith("Run")
    assert callable(task.part("prepare").prepare)
    assert callable(task.part("prepare").resume)
    for verb in ("evaluate", "measure"):
        assert verb not in task.verbs or callable(getattr(task.verb(verb), verb))
    assert "compare" not in task.verbs or callable(task.part("comparison").begin)
