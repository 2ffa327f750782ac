import time

import pytest
import torch
from breaking import end_after, same_end
from small_runs import Job, write_photos

from jumok.tasks import TASKS
from jumok.tasks.classify import prepare
from jumok.tasks.classify.settings import ImageData, ImageTraining, Settings
from jumok.tasks.running import planning, stopwatch, time_plan
from jumok.tasks.running.config import EPOCHS
from jumok.tasks.running.fit import Feed
from jumok.tasks.running.planning import Trial, learn_by_heart, plan, try_rates
from jumok.tasks.running.prepared import RATES
from jumok.tasks.running.stopwatch import Sampled, Stopwatch
from jumok.tasks.running.time_plan import Speed, fit_into


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path / "photos", each=24)


def prepared(photos, system="mlp", **training):
    given = {"device": "cpu", "flips": "none", "batch_size": 8, **training}
    settings = Settings(system=system, data=ImageData(images=str(photos)), training=ImageTraining(**given))
    return prepare.prepare(settings)


# -- time ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [20, 60, 600, 7200])
@pytest.mark.parametrize("step", [0.002, 0.05, 1.5])
@pytest.mark.parametrize("validation", [0.01, 3.0])
@pytest.mark.parametrize("pass_steps", [2, 40, 20_000])
def test_the_epochs_fill_the_time_and_do_not_exceed_it(seconds, step, validation, pass_steps):
    speed = Speed(step, validation)
    epochs, steps = fit_into(seconds, speed, pass_steps)
    taken = epochs * (steps * step + validation)
    assert taken <= seconds
    assert taken >= 0.75 * seconds or steps == 1
    assert epochs >= 1
    assert epochs * validation <= max(0.2 * seconds, time_plan.LEAST_EPOCHS * validation)


def test_a_time_too_short_for_a_step_and_a_validation_is_one_of_each():
    assert fit_into(0.5, Speed(step=2.0, validation=3.0), 10) == (1, 1)


class FakeTime:
    """A clock that moves only when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    perf_counter = monotonic


@pytest.fixture
def clock(monkeypatch):
    fake = FakeTime()
    for module in (planning, time_plan, stopwatch):
        monkeypatch.setattr(module, "time", fake)
    return fake


@pytest.mark.parametrize("total", [10, 20, 60, 600])
@pytest.mark.parametrize("read", [0, 4])
@pytest.mark.parametrize("step", [0.002, 0.02])
def test_reading_trials_and_training_fill_the_time_and_do_not_exceed_it(photos, clock, monkeypatch, total, read, step):
    speed = Speed(step, validation=0.1, start=0.1)
    began = clock.now
    clock.now += read

    def measure(_, seconds):
        assert seconds == total - read
        clock.now += 2 * time_plan.SPEED_SHARE * seconds
        return speed

    def train_on(_, batches, rate):
        for number, _batch in enumerate(batches):
            clock.now += step
            yield 1.0 / (number + 1)

    monkeypatch.setattr(planning, "measure_speed", measure)
    monkeypatch.setattr(planning, "_train_on", train_on)
    made = plan(prepared(photos), {"batch_size"}, seconds=total, began=began, afterwards=0.05)
    assert clock.now - began - read <= time_plan.TRIALS_SHARE * (total - read) + step
    training = made.steps * step + made.training.epochs * speed.validation
    whole = clock.now - began + speed.start + 1.05 * training
    assert 0.8 * total < whole <= total


def test_a_time_for_a_few_steps_is_warned_of_with_one_that_is_long_enough(photos, clock, monkeypatch):
    speed = Speed(step=0.5, validation=2.0, start=1.0)
    monkeypatch.setattr(planning, "measure_speed", lambda *_: speed)
    made = plan(prepared(photos), {"lr"}, seconds=20, began=clock.now - 5)
    wanted = f"warning: {made.steps} steps can teach hardly anything: --time 6m leaves time for about 500; a smaller"
    assert made.remarks[-1].startswith(wanted)
    longer = plan(prepared(photos), {"lr"}, seconds=360, began=clock.now - 5)
    assert 450 <= longer.steps <= 700
    assert not any("hardly anything" in line for line in longer.remarks)


def test_what_a_process_does_once_is_not_foreseen_again(photos, clock, monkeypatch):
    def fit(module, train, val, folder, training, watchers):
        (watch,) = watchers
        watch.on_train_start(None, None)
        clock.now += 8  # imports, kernels that are compiled
        trainer = type("Trainer", (), {"should_stop": False})()
        while not trainer.should_stop:
            clock.now += 0.1
            watch.on_train_batch_end(trainer, None, None, None, 0)

    monkeypatch.setattr(time_plan.fit, "fit", fit)
    found = time_plan.measure_speed(prepared(photos), 20)
    assert (found.step, found.start) == (pytest.approx(0.1), pytest.approx(0.1))


def test_slow_steps_are_timed_no_longer_than_they_may_be(clock):
    watch, steps = Stopwatch(seconds=10), 0
    trainer = type("Trainer", (), {"should_stop": False})()
    while not trainer.should_stop:
        clock.now += 3.0
        watch.on_train_batch_end(trainer, None, None, None, 0)
        steps += 1
    assert (steps, watch.step) == (6, pytest.approx(3.0))  # the second after 0 s, the sixth after 12


def test_a_slow_validation_is_timed_in_part(clock):
    batches = type("Batches", (list,), {})(range(100))
    part = Sampled(batches, seconds=2)
    for _ in part:
        clock.now += 0.25
    assert part.share == 0.09
    whole = Sampled(batches, seconds=100)
    assert [*whole] == [*range(100)]
    assert whole.share == 1


def test_the_number_of_steps_is_told_and_kept_in_the_configuration(photos):
    made = plan(prepared(photos), {"batch_size", "flips", "device"}, seconds=6, began=time.monotonic())
    training = made.config.training
    assert training.steps_per_epoch is not None
    assert made.steps == training.epochs * training.steps_per_epoch
    assert any(line.startswith(f"time: 6 s (as asked), so {made.steps:,} steps") for line in made.remarks)
    assert 0 < training.ema < 1


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_every_task_says_the_same_of_an_epoch(task):
    fields = type(task.part("settings").Settings(system=next(iter(task.systems), "hf:x")).training).model_fields
    assert fields["epochs"].description == EPOCHS


def test_an_epoch_is_a_pass_or_the_steps_that_were_asked_for(photos):
    usual = prepared(photos, epochs=3)
    assert (usual.steps_per_epoch, usual.steps) == (len(usual.train), 3 * len(usual.train))
    assert prepared(photos, epochs=3, steps_per_epoch=5).steps == 15


def test_nothing_is_measured_or_changed_where_all_was_asked_for(photos, monkeypatch):
    monkeypatch.setattr(planning, "measure_speed", lambda *_: pytest.fail("measured"))
    asked = {"epochs", "lr", "ema", "mixup", "label_smoothing", "augment_strength"}
    made = prepared(photos, epochs=3)
    assert plan(made, asked, seconds=None, began=time.monotonic()).config == made.config


def test_several_processes_measure_nothing_and_say_so(photos, monkeypatch):
    made = prepared(photos)
    monkeypatch.setattr(planning, "measure_speed", lambda *_: pytest.fail("measured"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    told = plan(made, (), seconds=None, began=time.monotonic())
    kept, settled = made.config.training, told.config.training
    assert (settled.lr, settled.epochs, settled.steps_per_epoch) == (kept.lr, kept.epochs, None)
    assert "several processes" in told.remarks[-1]


# -- learning rate ------------------------------------------------------------------------------


def test_every_rate_is_tried_from_the_same_weights_on_the_same_batches(photos):
    first, second = try_rates(prepared(photos), (1e-3, 1e-2), 6)
    assert first.losses[0] == second.losses[0]
    assert first.losses[1:] != second.losses[1:]
    again = try_rates(prepared(photos), (1e-3,), 6)
    assert again == [first]


def test_the_trial_leaves_the_batches_as_they_were(photos):
    made = prepared(photos)
    before = made.train.state_dict()
    try_rates(made, (1e-3,), 7)
    assert made.train.state_dict() == before


@pytest.mark.parametrize(
    ("losses", "chosen"),
    [
        ({3e-4: 2.0, 1e-3: 1.5, 3e-3: 1.0, 1e-2: 1.4}, 3e-3),
        ({3e-4: 1.00, 1e-3: 1.02, 3e-3: 1.05, 1e-2: 1.01}, 3e-3),  # all tie: the highest but the very high one
        ({3e-4: 2.0, 1e-3: 1.5, 3e-3: 1.3, 1e-2: 1.0}, 1e-2),
        ({3e-4: 2.0, 1e-3: 1.5, 3e-3: float("nan"), 1e-2: float("inf")}, 1e-3),
        ({rate: float("nan") for rate in RATES}, 7e-4),  # none: the usual one
    ],
)
def test_the_rate_of_the_lowest_loss_is_taken_and_of_those_that_tie_the_highest(photos, monkeypatch, losses, chosen):
    waves = {rate: [0.1, -0.1] if number else [-0.1, 0.1] for number, rate in enumerate(RATES)}
    trials = [Trial(rate, tuple(loss + wave for wave in waves[rate] * 5)) for rate, loss in losses.items()]
    monkeypatch.setattr(planning, "try_rates", lambda *_: trials)
    made = planning._choose_rate(prepared(photos, lr=7e-4), Speed(0.01, 0.1), 600)
    assert made.config.training.lr == chosen
    assert made.remarks[-1].startswith(f"learning rate: {chosen:g}")


@pytest.mark.parametrize(
    ("losses", "chosen"),
    [
        ({3e-4: 1.78, 1e-3: 1.77, 3e-3: 1.77, 1e-2: 1.88}, 1e-2),  # a little worse in a short trial
        ({3e-4: 1.78, 1e-3: 1.77, 3e-3: 1.77, 1e-2: 2.40}, 3e-3),
        ({3e-4: 1.78, 1e-3: 1.77, 3e-3: 1.77, 1e-2: float("nan")}, 3e-3),
    ],
)
def test_a_rate_that_the_system_is_known_to_like_is_taken_unless_clearly_worse(photos, monkeypatch, losses, chosen):
    trials = [Trial(rate, (loss,) * 10) for rate, loss in losses.items()]
    monkeypatch.setattr(planning, "try_rates", lambda *_: trials)
    made = planning._choose_rate(prepared(photos, system="senet"), Speed(0.01, 0.1), 600)
    assert made.config.training.lr == chosen
    assert made.remarks[-1].startswith(f"learning rate: {chosen:g} ({'usual for' if chosen == 1e-2 else 'loss'}")


@pytest.mark.parametrize(("system", "rates"), [("mlp", (1e-3, 3e-3)), ("senet", (3e-3, 1e-2))])
def test_with_little_time_two_rates_are_tried(photos, monkeypatch, system, rates):
    tried = []
    monkeypatch.setattr(planning, "try_rates", lambda _, few, __: tried.extend(few) or [Trial(few[0], (1.0,) * 10)])
    planning._choose_rate(prepared(photos, system=system), Speed(0.01, 0.1), 0.01 * 12 * 2 / planning.TRIAL_SHARE)
    assert tuple(tried) == rates


def test_a_residual_network_without_time_for_trials_has_its_own_rate(photos):
    made = planning._choose_rate(prepared(photos, system="senet"), Speed(0.5, 0.1), 10)
    assert made.config.training.lr == 1e-2


def test_without_time_for_trials_the_usual_rate_is_kept_and_that_is_said(photos):
    made = planning._choose_rate(prepared(photos), Speed(0.5, 0.1), 10)
    assert made.config.training.lr == 1e-3
    assert "no time to try others" in made.remarks[-1]


# -- by heart -----------------------------------------------------------------------------------


def test_a_model_that_can_learn_learns_a_batch_by_heart(photos):
    first, lowest = learn_by_heart(prepared(photos, lr=1e-2), 80)
    assert lowest < 0.25 * first


def test_a_model_that_cannot_learn_is_told(photos):
    made = planning._check_by_heart(prepared(photos, lr=1e-9), Speed(0.01, 0.1), 600)
    assert "not enough to learn a single batch by heart" in made.remarks[-1]


# -- epochs of any number of steps --------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 3, 4, 10])
def test_epochs_of_any_length_give_the_batches_of_pass_after_pass(photos, steps):
    made, done = prepared(photos), 0
    clock = type("Clock", (), {"waiting": 0.0})()
    feed = Feed(made.train, lambda: done, clock, steps)
    wanted = [batch.indices for _ in range(4) for batch in made.train]
    got = []
    while len(got) < len(wanted):
        for batch in feed:
            got.append(batch.indices)
            done += 1
    assert len(feed) == steps
    assert all(torch.equal(one, other) for one, other in zip(got, wanted, strict=False))


def test_a_run_with_epochs_of_several_passes_is_resumed_bit_for_bit(photos, tmp_path):
    whole, broken = (
        Job(photos, tmp_path / name, epochs=2, steps_per_epoch=7, mixup=0.4) for name in ("whole", "broken")
    )
    whole.start()
    end_after(broken, [(3, "step"), (7, "validation"), (10, "step")])
    same_end(whole.folder, broken.folder)


def test_time_and_epochs_together_are_refused(jumok, photos, tmp_path):
    said = jumok("train", photos, "--time", "10s", "--epochs", "3", "--out", tmp_path / "run")
    assert said.status == 2
    assert "--time and --epochs both say how long to train" in said.err
    assert not (tmp_path / "run").exists()


def test_what_is_no_time_is_refused(jumok, photos, tmp_path):
    said = jumok("train", photos, "--time", "soon", "--out", tmp_path / "run")
    assert said.status == 2
    assert "--time 'soon' is not a time" in said.err
