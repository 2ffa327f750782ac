import csv
import errno
import os
import signal

import pytest
import torch
from breaking import At, Stop, end_after, same_end, stop
from pytorch_lightning import Callback
from small_runs import Job

from jumok import machine
from jumok.errors import Interrupted, JumokError
from jumok.tasks.classify.settings import ImageTraining
from jumok.tasks.classify.training import Classifier
from jumok.tasks.running import callbacks, checkpoint, fit, ledger
from jumok.tasks.running.checkpoint import load_state, read_tensors
from jumok.tasks.running.ending_signals import Signals
from jumok.tasks.running.run import Run

HARD = {"options": {"dropout": 0.1, "drop_path": 0.1}, "mixup": 0.4, "flips": "both"}


def test_it_learns_and_keeps_the_best_weights(job):
    run = job(epochs=20, lr=3e-3, mixup=0.0, augment=False, checkpoint_every=None)
    outcome = run.start()
    assert outcome.best["val_accuracy"] >= 0.9
    assert outcome.best == max(outcome.rows, key=lambda row: (row["val_accuracy"], -row["val_loss"]))
    assert outcome.rows[-1]["train_loss"] < outcome.rows[0]["train_loss"] - 0.2
    assert outcome.clock.count == 20 * (len(run.sets["train"]) // 8 * 8)
    assert outcome.clock.rate > 0
    assert 0 <= outcome.clock.share_waiting < 1
    trained = Run.load(run.folder)
    val = run.sets["val"]
    right = trained.probabilities(trained.prepare(val.paths)).argmax(1) == torch.tensor(val.labels)
    assert right.float().mean().item() == pytest.approx(outcome.best["val_accuracy"], abs=1e-6)


def test_the_run_folder_is_whole(job):
    run = job(epochs=2)
    outcome = run.start()
    assert {path.name for path in run.folder.iterdir()} == {
        "config.yaml", "weights.safetensors", "metrics.csv", "checkpoints", "logs", "kernels.json",
    }  # fmt: skip
    assert {path.name for path in (run.folder / "checkpoints").iterdir()} == {
        "earlier.safetensors",
        "last.safetensors",
        "best.safetensors",
    }
    rows = list(csv.DictReader((run.folder / "metrics.csv").open()))
    assert [{name: float(value) for name, value in row.items()} for row in rows] == outcome.rows
    metadata, weights = read_tensors(run.folder / "weights.safetensors")
    assert float(metadata["val_loss"]) == outcome.best["val_loss"]
    assert weights.keys() == run.module.model.state_dict().keys()
    best = read_tensors(run.folder / "checkpoints" / "best.safetensors")
    assert all(torch.equal(value, best[1][name]) for name, value in weights.items())
    assert list((run.folder / "logs").glob("events*"))


def test_the_kept_weights_are_an_average_of_the_steps(job, monkeypatch):
    """Follow the weights by hand; the average must come out the same."""
    seen = []

    class Spy(Callback):
        def on_train_batch_end(self, trainer, pl_module, *_):
            seen.append({name: value.clone() for name, value in pl_module.model.state_dict().items()})

    run = job(epochs=1, ema=0.9)
    run.start(Spy())
    average = seen[0]
    for step, weights in enumerate(seen[1:], 2):
        decay = min(0.9, (1 + step) / (10 + step))
        average = {name: average[name].lerp(value, 1 - decay) for name, value in weights.items()}
    kept = read_tensors(run.folder / "weights.safetensors")[1]
    for name, value in kept.items():
        torch.testing.assert_close(value, average[name], rtol=1e-6, atol=1e-7)
    assert any(not torch.equal(value, seen[-1][name]) for name, value in kept.items())


def test_without_averaging_the_last_weights_are_validated_and_kept(job):
    run = job(epochs=1, ema=0)
    run.start()
    kept = read_tensors(run.folder / "weights.safetensors")[1]
    assert all(torch.equal(value, kept[name]) for name, value in run.module.model.state_dict().items())


@pytest.fixture(scope="module")
def unbroken(photos, tmp_path_factory):
    torch.set_num_threads(1)
    run = Job(photos, tmp_path_factory.mktemp("unbroken") / "run", **HARD)
    run.start()
    return run.folder


@pytest.mark.parametrize(
    "stops",
    [
        [(0, "step")],  # nothing saved yet
        [(1, "step")],
        [(2, "step"), (2, "step"), (3, "validation")],  # three times in one run
        [(3, "validation")],  # the first epoch's steps are done, its validation is not
        [(3, "step")],  # exactly between two epochs
        [(7, "step"), (8, "step")],
        [(9, "validation")],  # in the very last validation
    ],
    ids=lambda stops: "+".join(f"{where}{step}" for step, where in stops),
)
def test_a_broken_run_ends_bit_for_bit_where_an_unbroken_one_does(job, unbroken, stops):
    run = job(**HARD)
    end_after(run, stops)
    same_end(run.folder, unbroken)


def test_a_finished_run_stays_as_it_is(job, unbroken):
    run = job(**HARD)
    run.start()
    before = (run.folder / "checkpoints" / "last.safetensors").read_bytes()
    outcome = run.start()
    assert (run.folder / "checkpoints" / "last.safetensors").read_bytes() == before
    assert len(outcome.rows) == 3
    same_end(run.folder, unbroken)


def test_later_weights_of_a_classifier_are_kept_unless_they_are_clearly_worse(job):
    run = job(epochs=1)
    run.start()
    before = [{"val_accuracy": 0.52, "val_loss": 1.4}, {"val_accuracy": 0.547, "val_loss": 1.34}]
    for judged_on, accuracy, kept in (
        (300, 0.54, True),
        (300, 0.50, False),  # a standard error is 0.029
        (30_000, 0.54, False),
        (0, 0.546, False),
        (0, 0.548, True),
    ):
        run.module.judged_on = judged_on
        assert run.module.keeps({"val_accuracy": accuracy, "val_loss": 1.31}, before) is kept
    assert run.module.keeps(before[0], [])


ROW = {"step": 4.0, "val_accuracy": 1.0, "val_loss": 0.1}


@pytest.mark.parametrize(
    ("rows", "judged_on", "ends"),
    [
        ([ROW] * 6, 400, True),
        ([ROW] * 6, 399, False),  # too few to be sure
        ([ROW] * 5, 400, False),  # nothing before them to compare with
        ([*[ROW] * 5, {**ROW, "val_loss": 0.09}], 400, False),  # the loss still falls
        ([*[ROW] * 2, {**ROW, "val_accuracy": 0.9975}, *[ROW] * 4], 400, False),
    ],
)
def test_a_run_without_errors_ends_once_its_loss_no_longer_falls(job, rows, judged_on, ends):
    run = job(epochs=1)
    run.start()
    run.module.judged_on = judged_on
    assert callbacks.is_perfect(rows, run.module) is ends


def test_a_planned_run_that_ends_early_resumes_bit_for_bit(job, monkeypatch, tmp_path):
    monkeypatch.setattr(Classifier, "is_perfect", lambda module, row: row["epoch"] > 2)
    monkeypatch.setattr(callbacks, "PERFECT_VALIDATIONS", 2)
    planned = {"epochs": 20, "steps_per_epoch": 3, "lr": 1e-9}  # the loss stays about as it is
    whole = job("whole", **planned)
    outcome = whole.start()
    assert 4 <= len(outcome.rows) < 20
    broken = job("broken", **planned)
    end_after(broken, [(5, "step"), (9, "validation")])
    same_end(broken.folder, whole.folder)
    assert whole.start().rows == outcome.rows, "it is over"
    assert len(job("asked", epochs=6, lr=1e-9).start().rows) == 6, "epochs that were asked for are all done"


def test_patience_ends_a_run_and_resuming_does_not_prolong_it(job, monkeypatch):
    # the second epoch is the best
    monkeypatch.setattr(Classifier, "goodness", lambda module, row: (-abs(row["epoch"] - 2),))
    run = job(epochs=20, patience=2)
    outcome = run.start()
    assert [row["epoch"] for row in outcome.rows] == [1, 2, 3, 4]
    assert outcome.best["epoch"] == 2
    again = run.start()
    assert again.rows == outcome.rows
    assert again.best == outcome.best


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(job, monkeypatch):
    real = torch.nn.functional.cross_entropy

    def spoilt(logits, *args, **kwargs):
        loss = real(logits, *args, **kwargs)
        return loss * float("nan") if run.module.global_step == 4 and logits.requires_grad else loss

    run = job(checkpoint_every=2)
    monkeypatch.setattr(torch.nn.functional, "cross_entropy", spoilt)
    with pytest.raises(JumokError, match="the loss is nan at step 5"):
        run.start()
    state = load_state(run.folder / "checkpoints" / "last.safetensors")
    assert state["global_step"] == 4
    assert all(bool(torch.isfinite(value).all()) for value in state["state_dict"].values())
    Run.load(run.folder)


def test_weights_that_are_no_numbers_are_never_written(job):
    def spoil():
        run.module.model.head.weight.data[0, 0] = float("inf")

    run = job(checkpoint_every=1, ema=0)
    with pytest.raises(JumokError, match=r"NaN or infinite at step|the loss is"):
        run.start(At(2, spoil))
    assert load_state(run.folder / "checkpoints" / "last.safetensors")["global_step"] == 2


@pytest.mark.parametrize("what", ["save_file", "metrics"])
def test_a_full_disk_is_said_and_the_earlier_checkpoint_stays(job, monkeypatch, what):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run = job()
    with pytest.raises(Stop):
        run.start(At(2, stop))
    last = run.folder / "checkpoints" / "last.safetensors"
    before = last.read_bytes()
    if what == "save_file":
        monkeypatch.setattr(checkpoint, "save_file", full)
    else:
        monkeypatch.setattr(ledger, "as_csv", full)
    with pytest.raises(JumokError, match=r"cannot write .*No space left"):
        run.start()
    if what == "save_file":
        assert last.read_bytes() == before
    assert load_state(last)["global_step"] >= 2
    monkeypatch.undo()
    assert len(run.start().rows) == 3


def logged(folder, name):
    """(step, value) of what TensorBoard shows."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(folder / "logs"))
    board.Reload()
    return [(event.step, event.value) for event in board.Scalars(name)]


ENDINGS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1]


@pytest.mark.parametrize("signum", ENDINGS)
def test_a_signal_lets_the_step_end_and_saves(job, unbroken, signum):
    run = job(**{**HARD, "checkpoint_every": 1000})
    before = signal.getsignal(signum)
    with pytest.raises(Interrupted, match="after step 5") as caught:
        run.start(At(4, lambda: os.kill(os.getpid(), signum)))
    assert caught.value.signum == signum
    assert signal.getsignal(signum) is before
    assert load_state(run.folder / "checkpoints" / "last.safetensors")["global_step"] == 5
    assert [step for step, _ in logged(run.folder, "train/loss")] == [1, 2, 3, 4, 5]
    run.start()
    same_end(run.folder, unbroken)


def test_a_second_interrupt_stops_at_once(job):
    def twice():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        signal.sigtimedwait([], 0.2)
        pytest.fail("went on after two signals")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        job().start(At(2, twice))
    assert signal.getsignal(signal.SIGINT) is before


def test_a_checkpoint_of_another_model_is_refused(job):
    run = job(epochs=1)
    run.start()
    other = job(epochs=1, options={"width": 32})
    with pytest.raises(JumokError, match=r"last\.safetensors does not fit this run"):
        other.start()


@pytest.mark.parametrize("spoil", ["cut", "part"])
def test_a_spoilt_checkpoint_is_refused_and_not_replaced(job, spoil):
    run = job(epochs=1)
    run.start()
    last = run.folder / "checkpoints" / "last.safetensors"
    if spoil == "cut":
        last.write_bytes(last.read_bytes()[:-100])
    else:
        state = load_state(last)
        del state["optimizer_states"]
        checkpoint.save_state(state, last)
    before = last.read_bytes()
    with pytest.raises(JumokError, match=r"last\.safetensors"):
        run.start()
    assert last.read_bytes() == before


def test_leftovers_of_a_killed_process_go_when_the_run_goes_on(job):
    run = job(epochs=1)
    run.start()
    leftover = run.folder / "checkpoints" / ".last.01234567.safetensors"
    leftover.touch()
    run.start()
    assert not leftover.exists()


def test_checkpoints_cost_little_where_nobody_says_how_often(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: now[0])
    figures = ledger.Ledger(tmp_path, ledger.Clock())
    keeper = callbacks.Keeper(tmp_path, figures, None, Signals(), every=None, patience=None)
    keeper._cost = 0.5
    due = []
    for _ in range(1000):
        now[0] += 1
        if keeper._is_due(callbacks.LEAST_SECONDS):
            due.append(now[0])
            keeper._last_save = now[0]
    assert len(due) * keeper._cost <= 0.011 * now[0]
    keeper._cost = 0.001
    keeper._last_save = now[0]
    now[0] += callbacks.LEAST_SECONDS - 1
    assert not keeper._is_due(callbacks.LEAST_SECONDS)
    assert keeper._is_due(0)


def test_devices_and_precisions_that_are_not_there_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(JumokError, match="no device 'cuda' on this machine; there is: cpu"):
        machine.accelerator_of("cuda", machine.World())
    with pytest.raises(JumokError, match="no device 'tpu'"):
        machine.device_name("tpu")
    with pytest.raises(JumokError, match="precision 16 needs a GPU"):
        fit.check_machine(ImageTraining(precision="16", device="cpu"))
    assert machine.device_name("cpu") == "cpu"


def test_half_precision_trains_on_the_cpu(job):
    outcome = job(epochs=1, precision="bf16").start()
    assert outcome.rows[0]["train_loss"] < 2


def test_the_world_is_what_torchrun_says(monkeypatch):
    for name in ("WORLD_SIZE", "RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert machine.World.found() == machine.World(0, 1, 1)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert machine.World.found() == machine.World(3, 4, 2)
    assert not machine.World.found().first


def test_threads_are_set_as_told_or_by_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    assert machine.set_threads(None) == 1
    assert machine.set_threads(2) == 2
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert machine.set_threads(None) == 3
