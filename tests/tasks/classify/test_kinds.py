"""What models answer: one class, several labels, or a number."""

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    mean_absolute_error,
    precision_recall_curve,
    r2_score,
    root_mean_squared_error,
)
from torch import nn

from jumok.errors import JumokError
from jumok.intervals import Interval, wilson
from jumok.tasks.classify.kinds import KINDS, OneClass, OneNumber, SeveralLabels
from jumok.tasks.classify.kinds.average_precision import MeanAveragePrecision, find_lucky
from jumok.tasks.classify.kinds.class_scores import Evaluation
from jumok.tasks.classify.kinds.label_scores import LabelReport, choose_constant
from jumok.tasks.classify.kinds.number_scores import NumberReport
from jumok.tasks.classify.kinds.thresholds import choose_threshold, read_thresholds, write_thresholds
from jumok.tasks.classify.settings import Scale
from jumok.tasks.running.class_figures import ClassFigures

NAMES = ("a", "b", "c")


def drawn(images=200, seed=0):
    """Probabilities of three labels and whether images have them; the last one is rare."""
    chance = np.random.default_rng(seed)
    held = chance.random((images, 3)) < (0.5, 0.3, 0.05)
    return np.clip(0.35 * held + 0.6 * chance.random((images, 3)), 0, 1), held


def several(balance="none", thresholds=None, train=(50, 30, 5)):
    return SeveralLabels(NAMES, {"train": train}, {"train": 100}, balance=balance, thresholds=thresholds)


def number(mean=1000.0, std=2.0, median=1001.0):
    return OneNumber(("number",), Scale(mean=mean, std=std, median=median, low=990, high=1010))


def test_figures_of_labels_agree_with_scikit_learn():
    shares, held = drawn()
    report = LabelReport(NAMES, (0.5, 0.4, 0.6), shares, held, (0, 1))
    said = shares >= (0.5, 0.4, 0.6)
    assert report.interval("micro_f1").value == pytest.approx(f1_score(held, said, average="micro"))
    assert report.interval("macro_f1").value == pytest.approx(f1_score(held, said, average="macro"))
    assert report.mean_average_precision == pytest.approx(average_precision_score(held, shares, average="macro"))
    assert [row["f1"] for row in report.per_label] == pytest.approx(f1_score(held, said, average=None).tolist())
    always = np.tile([True, True, False], (len(held), 1))
    found = report.to_dict()
    assert found["most_frequent_labels"]["micro_f1"] == pytest.approx(f1_score(held, always, average="micro"))
    low, high = found["micro_f1_95"]
    assert low < found["micro_f1"] < high
    assert (report.beats_constant, report.warning()) == (True, "")


def test_a_model_that_knows_nothing_is_said_to_be_no_better():
    _, held = drawn()
    guess = np.random.default_rng(1).random(held.shape)
    report = LabelReport(NAMES, (0.5,) * 3, guess, held, (0, 1))
    assert not report.beats_constant
    assert "not significantly better than always saying 'a' and 'b'" in report.warning()


def test_labels_that_no_image_has_are_left_out_of_means():
    shares, held = drawn()
    held[:, 2] = False
    report = LabelReport(NAMES, (0.5,) * 3, shares, held, (0,))
    assert report.per_label[2]["average_precision"] is None is report.per_label[2]["f1"]
    assert report.mean_average_precision == pytest.approx(average_precision_score(held[:, :2], shares[:, :2]))
    none = LabelReport(NAMES, (0.5,) * 3, shares, np.zeros_like(held), (0,))
    assert none.mean_average_precision is None
    assert all("nan" not in line for line in none.lines())


def test_the_constant_answer_is_the_best_there_is():
    _, held = drawn(40)
    best = max(
        ([at for at in range(3) if mask >> at & 1] for mask in range(1, 8)),
        key=lambda some: f1_score(held, np.tile(np.isin(range(3), some), (40, 1)), average="micro"),
    )
    assert choose_constant(held.sum(0).tolist(), 40) == tuple(best)


def test_a_threshold_has_the_best_f1_score():
    shares, held = drawn()
    for share, own in zip(shares.T, held.T, strict=True):
        precision, recall, _ = precision_recall_curve(own, share)
        best = np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12))
        assert f1_score(own, share >= choose_threshold(share, own)) == pytest.approx(best)
    assert choose_threshold(np.array([0.2, 0.9]), np.array([False, False])) == 0.5


def test_thresholds_are_kept_in_the_run(tmp_path):
    assert read_thresholds(tmp_path, NAMES) is None
    shares, held = drawn()
    kind = several()
    (told,) = kind.settle_answers(torch.tensor(shares), torch.tensor(held, dtype=torch.uint8), tmp_path)
    assert "the best F1 of each label on 200 validation images" in told
    assert read_thresholds(tmp_path, NAMES) == kind.thresholds
    write_thresholds(tmp_path, ("a", "z"), (0.5, 0.5), 3)
    with pytest.raises(JumokError, match="thresholds of other labels"):
        read_thresholds(tmp_path, NAMES)


def test_batches_of_a_validation_give_the_mean_average_precision():
    shares, held = drawn()
    meter = MeanAveragePrecision()
    for part in np.array_split(np.arange(200), 7):
        meter.update(torch.tensor(shares[part]), torch.tensor(held[part]))
    assert float(meter.compute()) == pytest.approx(average_precision_score(held, shares), abs=1e-6)


def test_the_weight_of_rare_labels_leaves_probabilities_as_they_are():
    """With a weight of its own in the loss, the best constant logit is read as the share of images that have it."""
    kind = several("weights")
    assert kind.weights.tolist() == [1.0, 1.0, 10.0]
    held = torch.zeros(100, 3)
    held[:50, 0], held[:30, 1], held[:5, 2] = 1, 1, 1
    logits = nn.Parameter(torch.zeros(1, 3))
    optimiser = torch.optim.LBFGS([logits], max_iter=100)

    def closure():
        optimiser.zero_grad()
        loss = kind.loss(logits.expand(100, 3), held, 0.0)
        loss.backward()
        return loss

    optimiser.step(closure)
    assert kind.read(logits.detach())[0].tolist() == pytest.approx([0.5, 0.3, 0.05], abs=1e-3)
    answering, name = kind.make_answering(nn.Identity())
    assert name == "probabilities"
    torch.testing.assert_close(answering(logits.detach()), kind.read(logits.detach()))


def test_labels_are_said_from_their_thresholds_on():
    said = several(thresholds=(0.9, 0.2, 0.3)).say([0.8, 0.25, 0.3])
    assert (said.answer, said.share, said.best[0]) == ("b|c", 0.8, ("a", 0.8))
    assert said.text == "c 30.0%, b 25.0%"
    assert several().say([0.1, 0.1, 0.1])[:2] == ("", "no label")


def test_labels_are_encoded_as_they_are():
    kind = several()
    assert kind.encode([(0, 2), (), (1,)]).tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert kind.loss(torch.tensor([[9.0, -9.0, 9.0]]), torch.tensor([[1.0, 0.0, 1.0]]), 0.0) < 1e-3
    assert kind.loss(torch.zeros(1, 3), torch.ones(1, 3), 0.2) == pytest.approx(np.log(2), abs=1e-6)


def test_figures_of_numbers_agree_with_scikit_learn():
    chance = np.random.default_rng(0)
    true = chance.normal(50, 10, 100)
    said = true + chance.normal(0, 3, 100)
    report = NumberReport(said, true, 48.0)
    found = report.to_dict()
    assert found["mean_absolute_error"] == pytest.approx(mean_absolute_error(true, said))
    assert found["root_mean_square_error"] == pytest.approx(root_mean_squared_error(true, said))
    assert found["r2"] == pytest.approx(r2_score(true, said))
    assert found["median"]["mean_absolute_error"] == pytest.approx(np.abs(true - 48).mean())
    low, high = found["mean_absolute_error_95"]
    assert low < found["mean_absolute_error"] < high
    assert (report.beats_median, report.warning()) == (True, "")
    guess = NumberReport(chance.permutation(true), true, 48.0)
    assert "not significantly better than always saying 48" in guess.warning()
    assert NumberReport(said[:1], true[:1], 48.0).to_dict()["mean_absolute_error_95"] is None


def test_numbers_are_learnt_standardised_and_given_in_their_own_unit():
    kind = number()
    labels = kind.encode([1000.0, 1004.0])
    assert labels.tolist() == [0.0, 2.0]
    assert kind.read(labels[:, None]).flatten().tolist() == [1000.0, 1004.0]
    assert kind.judge(torch.tensor([[1.0], [2.0]]), labels)["val_mae"][0].tolist() == [2.0, 0.0]
    far = number(mean=1e7, std=0.5)
    assert float(far.read(far.encode([1e7 + 0.25])[:, None])) == 1e7 + 0.25
    assert kind.say([1003.14159265])[:3] == (1003.142, "1003", None)
    answering, name = kind.make_answering(nn.Identity())
    assert (name, answering(torch.tensor([[2.0]])).item()) == ("number", 1004.0)


def test_the_word_on_a_training_that_taught_nothing():
    labels = number().encode(list(np.random.default_rng(0).normal(1000, 2, 50)))
    assert number().shortfall({"val_mae": 0.2}, labels) == ""
    assert "always saying the median, 1001" in number().shortfall({"val_mae": 1.9}, labels)
    held = several().encode([(0,), (), (1,), (0, 1)] * 10)
    assert several().shortfall({"val_loss": 0.05}, held) == ""
    assert "its share of the training images" in several().shortfall({"val_loss": 0.6}, held)
    assert several().shortfall({"val_loss": 0.6, "val_map": 0.9}, held) == ""
    assert "its share of the training images" in several().shortfall({"val_loss": 0.6, "val_map": 0.5}, held)


def test_every_kind_has_its_name():
    assert {name: kind.name for name, kind in KINDS.items()} == {"class": "class", "multi": "multi", "number": "number"}
    assert OneClass(("a", "b")).read(torch.zeros(1, 2)).tolist() == [[0.5, 0.5]]


def test_a_model_of_uneven_classes_that_finds_the_rare_one_is_not_said_to_have_learnt_nothing():
    found = Evaluation(("fine", "dent"), torch.tensor([[930, 70], [3, 47]]), 0.3)
    assert not found.beats_largest_class  # 93.0% against 95.2%
    low, high = found.balanced_interval
    assert 0.84 < low < found.balanced_accuracy < high < 0.98
    assert "its balanced accuracy is significantly higher" in found.warning()
    assert "balanced accuracy 50.0%" in list(found.lines())[-1]
    blind = Evaluation(("fine", "dent"), torch.tensor([[930, 70], [46, 4]]), 0.3)
    assert "it may have learnt nothing" in blind.warning()


def test_the_interval_of_the_balanced_accuracy_of_one_class_is_wilsons():
    found = Evaluation(("a", "b"), torch.tensor([[7, 3], [0, 0]]), 0.3)
    assert found.balanced_interval == pytest.approx(wilson(7, 10))


def test_examples_of_one_class_tell_nothing_of_the_model():
    found = Evaluation(("a", "b"), torch.tensor([[10, 0], [0, 0]]), 0.1)
    assert "learnt nothing" not in found.warning()
    assert "give images of other classes" in found.warning()
    figures = OneClass(("a", "b"), {"train": (9, 9), "val": (4, 0)})
    assert "learnt nothing" not in figures.shortfall({"val_accuracy": 1.0}, torch.zeros(4))
    assert "only others show" in figures.shortfall({"val_accuracy": 1.0}, torch.zeros(4))


def test_a_training_on_uneven_classes_is_judged_by_its_balanced_accuracy_too():
    figures = ClassFigures(("fine", "dent"), {"train": (900, 60), "val": (150, 30)}, uneven=True)
    figures.noun, figures.may_help = "images", "a pretrained model"
    assert figures.describe_shortfall({"val_accuracy": 0.83, "val_balanced_accuracy": 0.9}) == ""
    assert "not significantly better" in figures.describe_shortfall(
        {"val_accuracy": 0.8, "val_balanced_accuracy": 0.55}
    )


def test_luck_is_that_of_random_orders():
    _, held = drawn()
    chance = np.random.default_rng(7)
    luck = [average_precision_score(held, chance.random(held.shape), average="macro") for _ in range(400)]
    assert np.mean(np.array(luck) > find_lucky(held)) == pytest.approx(0.025, abs=0.02)
    assert find_lucky(np.zeros((9, 2), bool)) == float("inf")


def test_equal_numbers_have_no_r2():
    said = np.random.default_rng(0).normal(2, 1, 20)
    assert NumberReport(said, np.full(20, 2.1), 2.0).r2 is None


def test_labels_that_are_all_right_say_nothing_of_other_images_for_sure():
    held = np.eye(2, dtype=bool)[np.arange(20) % 2]
    report = LabelReport(("a", "b"), (0.5, 0.5), held.astype(float), held, (0,))
    assert report.interval("micro_f1") == Interval(1, pytest.approx(wilson(20, 20)[0]), 1)
    of_each = 1 - wilson(10, 10)[0]
    assert report.interval("macro_f1") == Interval(1, pytest.approx(1 - of_each / 2**0.5), 1)
    wrong = LabelReport(("a", "b"), (0.5, 0.5), 1 - held, held, (0,))
    assert wrong.interval("micro_f1").high == pytest.approx(wilson(0, 20)[1])
