"""Training on questions: the loss, the figures of the validation, and runs that are stopped and go on."""

import csv
import shutil

import pytest
import torch
from breaking import end_after, same_end
from question_helpers import OPTIONS, SYSTEMS, QuestionJob, settings_of, write_squares

from jumok.data.questions.batches import QuestionBatch
from jumok.errors import JumokError
from jumok.systems.vqa import NAMED
from jumok.tasks.answer import prepare
from jumok.tasks.answer.baselines import find_training_questions
from jumok.tasks.answer.parts import find_parts, fingerprint
from jumok.tasks.answer.run import QuestionRun
from jumok.tasks.answer.settings import RunConfig

STEPS = 5  # of an epoch: 72 questions in batches of 16
HARD = {"dropout": 0.2, "word_dropout": 0.2}


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    return write_squares(tmp_path_factory.mktemp("squares"))


@pytest.fixture
def module_of(squares):
    def make(system="vqa-stacked", **training):
        settings = settings_of(squares, system=system, options={"dropout": 0.0, "word_dropout": 0.0}, training=training)
        prepared = prepare.prepare(settings)
        return prepared.module().eval(), prepared  # norms as in use: an image given twice counts twice for them

    return make


# -- the loss -----------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_smoothed_cross_entropy_with_the_answers_that_were_given(module_of, smoothing):
    module, prepared = module_of(label_smoothing=smoothing)
    batch = next(iter(prepared.train))
    scores = batch.scores.clone()
    scores[0] = torch.tensor([0.75, 0.25, 0.0, 0.0])
    scores[1] = torch.tensor([0.3, 0.3, 0.0, 0.0])  # adds up to less than 1
    batch = QuestionBatch(batch.images, batch.questions, batch.pairs, scores, batch.indices)
    mean, std = (torch.tensor(getattr(prepared.config.found, name)).reshape(3, 1, 1) for name in ("mean", "std"))
    log_p = module.model((batch.images / 255 - mean) / std, batch.questions, batch.pairs).log_softmax(-1).detach()
    losses = []
    for row, own in zip(log_p, scores, strict=True):
        share = own / own.sum()
        losses.append(-float(((1 - smoothing) * share * row).sum() + smoothing * row.mean()))
    assert float(module.loss(batch).detach()) == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_better_is_more_right_and_then_the_lower_loss(module_of):
    module, _ = module_of()
    good = {"val_accuracy": 0.5, "val_loss": 2.0}
    assert module.goodness(good) > module.goodness({"val_accuracy": 0.4, "val_loss": 1.0})
    assert module.goodness(good) < module.goodness({"val_accuracy": 0.5, "val_loss": 1.9})


# -- the validation -----------------------------------------------------------------------------


def test_figures_of_the_validation_are_those_worked_out_by_hand(squares, tmp_path):
    rows = [line.split(",") for line in (squares / "val.csv").read_text("utf-8").splitlines()[1:]]
    val = tmp_path / "val.csv"
    answers = ["never heard" if number % 5 == 0 else row[2] for number, row in enumerate(rows)]
    val.write_text(
        "image,question,answer\n"
        + "".join(f"{row[0]},{row[1]},{answer}\n" for row, answer in zip(rows, answers, strict=True)),
        "utf-8",
    )
    QuestionJob(settings_of(squares, val_questions=(str(val),)), tmp_path / "run").start()
    figures = list(csv.DictReader((tmp_path / "run" / "metrics.csv").open()))
    assert list(figures[0]) == ["epoch", "step", "lr", "train_loss", "val_loss", "val_accuracy"]
    best = max(figures, key=lambda row: (float(row["val_accuracy"]), -float(row["val_loss"])))
    run = QuestionRun.load(tmp_path / "run")
    right, losses = [], []
    for row, answer in zip(rows, answers, strict=True):
        (reply,) = run.ask(squares / "images" / row[0], [row[1]], top=99)
        right.append(reply.best == answer)
        if answer in run.answers:
            losses.append(-torch.tensor(dict(reply.answers)[answer]).log())
    assert len(losses) < len(right)
    assert float(best["val_accuracy"]) == pytest.approx(sum(right) / len(right), abs=1e-6)
    assert float(best["val_loss"]) == pytest.approx(float(torch.stack(losses).mean()), abs=1e-4)


def test_a_validation_that_cannot_be_answered_at_all_is_refused_before_training(squares, tmp_path):
    val = tmp_path / "val.csv"
    val.write_text("image,question,answer\nval-0.png,what?,yak\nval-1.png,what?,gnu\n")
    with pytest.raises(JumokError, match=r"none of the 2 validation questions can be answered .* 'yak'"):
        prepare.prepare(settings_of(squares, val_questions=(str(val),)))


@pytest.mark.parametrize(("system", "lr", "epochs"), [("vqa-stacked", 0.01, 15), ("vqa-transformer", 0.005, 18)])
def test_the_colours_are_learnt(squares, tmp_path, system, lr, epochs):
    """The model must tell left from right by the question, so what is guessed stays below."""
    training = {"epochs": epochs, "lr": lr, "ema": 0.9, "checkpoint_every": 100}
    options = {"width": 32, "dropout": 0.0, "word_dropout": 0.0}
    outcome = QuestionJob(settings_of(squares, system=system, options=options, training=training), tmp_path).start()
    assert outcome.rows[-1]["train_loss"] < 0.3 * outcome.rows[0]["train_loss"]
    assert outcome.best["val_accuracy"] > 0.75  # one in three is "no", and of three colours one can be guessed: 0.56


# -- stopped and gone on ------------------------------------------------------------------------


@pytest.fixture(scope="module", params=SYSTEMS)
def unbroken(request, squares, tmp_path_factory):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    settings = settings_of(squares, system=request.param, options=HARD, training={"ema": 0.9, "epochs": 2})
    job = QuestionJob(settings, tmp_path_factory.mktemp("unbroken") / "run")
    assert len(job.start().rows) * STEPS == job.module.global_step
    yield settings, job.folder
    torch.set_num_threads(threads)


def test_a_run_that_was_stopped_ends_where_an_unbroken_one_does(unbroken, tmp_path):
    settings, whole = unbroken
    run = QuestionJob(settings, tmp_path / "run")
    end_after(run, ((2, "step"), (2, "step"), (STEPS, "validation"), (STEPS + 1, "step")))
    same_end(whole, tmp_path / "run")
    other = settings.model_copy(update={"training": settings.training.model_copy(update={"seed": 5})})
    QuestionJob(other, tmp_path / "other").start()
    with pytest.raises(AssertionError):
        same_end(whole, tmp_path / "other")


# -- resuming -----------------------------------------------------------------------------------


@pytest.fixture
def begun(squares, tmp_path):
    folder = shutil.copytree(squares, tmp_path / "data")
    prepared = prepare.prepare(settings_of(folder))
    prepared.write(tmp_path / "run")
    return folder, tmp_path / "run"


def resumed(run):
    return prepare.resume(RunConfig.load(run / "config.yaml"), run)


def test_a_run_resumes_with_the_batches_that_it_began_with(begun):
    folder, run = begun
    first, again = prepare.prepare(settings_of(folder)), resumed(run)
    assert again.config == first.config
    for one, other in zip(first.train, again.train, strict=True):
        assert all(torch.equal(value, getattr(other, name)) for name, value in vars(one).items())


@pytest.mark.parametrize("part", ["train", "val"])
@pytest.mark.parametrize("change", ["question", "answer", "image", "gone", "more"])
def test_changed_questions_are_refused(begun, part, change):
    folder, run = begun
    path = folder / f"{part}.csv"
    head, *lines = path.read_text("utf-8").splitlines()
    image, question, answer, kind, mask = lines[0].split(",")
    other = {"question": question + " now", "answer": "no" if answer != "no" else "red", "image": f"{part}-1.png"}
    row = {"image": image, "question": question, "answer": answer, **{change: other.get(change, "")}}
    changed = ",".join((row["image"], row["question"], row["answer"], kind, mask))
    kept = {"gone": lines[1:], "more": [*lines, lines[0]]}.get(change, [changed, *lines[1:]])
    path.write_text("\n".join([head, *kept]) + "\n", "utf-8")
    with pytest.raises(JumokError, match=r"are not those that this run began with .* put them back, or train anew"):
        resumed(run)


def test_another_test_part_is_no_hindrance(begun):
    folder, run = begun
    (folder / "test.csv").write_text("image,question,answer\ntest-0.png,what?,red\n")
    assert len(resumed(run).train) == STEPS


def test_a_missing_image_is_noticed(begun):
    folder, run = begun
    (folder / "images" / "train-3.png").unlink()
    with pytest.raises(JumokError, match="are not those that this run began with"):
        resumed(run)


def test_every_system_has_its_options_here():
    assert set(OPTIONS) == set(SYSTEMS) == set(NAMED)


def test_a_run_resumes_when_the_folder_of_its_images_is_called_otherwise(tmp_path):
    folder = write_squares(tmp_path / "squares")
    (folder / "all.csv").write_text((folder / "train.csv").read_text("utf-8"), "utf-8")
    settings = settings_of(folder, folder / "all.csv")
    prepare.prepare(settings).write(tmp_path / "run")
    (folder / "images").rename(folder / "photographs")
    config = RunConfig.load(tmp_path / "run" / "config.yaml")
    moved = config.model_copy(update={"data": config.data.model_copy(update={"images": str(folder / "photographs")})})
    again = prepare.resume(moved, tmp_path / "run")
    assert again.config.found.counts == config.found.counts


def test_a_run_of_an_earlier_version_keeps_its_deal(tmp_path):
    folder = write_squares(tmp_path / "squares")
    (folder / "all.csv").write_text((folder / "train.csv").read_text("utf-8"), "utf-8")
    settings = settings_of(folder, folder / "all.csv")
    prepared = prepare.prepare(settings)
    prepared.write(tmp_path / "run")
    parts = find_parts(prepared.config.data, prepared.config.training.seed, "folder")
    old = prepared.config.found.model_dump(exclude={"dealt_by"}) | {"fingerprint": fingerprint(parts, "folder")}
    config = prepared.config.model_copy(update={"found": type(prepared.config.found).model_validate(old)})
    again = prepare.resume(config, tmp_path / "run")
    assert again.parts["val"].questions == parts["val"].questions
    assert find_training_questions(config)[1] == ""
