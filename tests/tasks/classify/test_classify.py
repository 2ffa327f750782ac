import random

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss, precision_score, recall_score
from torch import nn

from jumok import systems
from jumok.intervals import wilson
from jumok.tasks.classify.kinds.class_scores import Evaluation, evaluate
from jumok.tasks.running.optimiser import group_parameters, rate
from jumok.tasks.running.training_module import seed_everything


def test_the_learning_rate_rises_then_falls_and_never_is_negative():
    rates = [rate(step, 200, 0.1) for step in range(201)]
    assert rates[:20] == sorted(rates[:20])
    assert rates[19] == rates[20] == 1.0
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert rates[110] == pytest.approx(0.5)
    assert rates[200] == pytest.approx(0, abs=1e-12)
    assert min(rates) >= 0
    assert rates[0] > 0
    assert rate(0, 1, 0.0) == 1.0
    assert rate(5, 1, 0.5) >= 0


def test_only_matrices_decay():
    config = systems.configure("vit-nano", classes=3, registers=2, stem="convolutions")
    model = systems.build("vit-nano", config)
    names = {id(value): name for name, value in model.named_parameters()}
    decayed, kept = ([names[id(value)] for value in group["params"]] for group in group_parameters(model, 0.05))
    assert sorted(decayed + kept) == sorted(names.values())
    assert all(dict(model.named_parameters())[name].ndim >= 2 for name in decayed)
    assert {"cls_token", "register_tokens", "position", "head.bias"} <= set(kept)
    assert "head.weight" in decayed
    assert not any("norm" in name for name in decayed)
    assert [group["weight_decay"] for group in group_parameters(model, 0.05)] == [0.05, 0.0]


def test_every_generator_is_seeded():
    def drawn():
        return torch.rand(3).tolist(), np.random.rand(3).tolist(), [random.random() for _ in range(3)]

    seed_everything(0, 5, 0)
    first = drawn()
    seed_everything(0, 5, 0)
    assert drawn() == first
    seed_everything(0, 5, 1)
    assert all(one != other for one, other in zip(drawn(), first, strict=True))


def test_the_interval_is_wilsons():
    """Values of statsmodels' proportion_confint(method="wilson")."""
    for hits, trials, low, high in ((0, 10, 0.0, 0.27753), (10, 10, 0.72247, 1.0), (7, 20, 0.18119, 0.56715)):
        assert wilson(hits, trials) == pytest.approx((low, high), abs=1e-5)


def test_figures_agree_with_scikit_learn():
    chance = np.random.default_rng(0)
    labels = torch.from_numpy(chance.integers(0, 4, 200))
    logits = torch.from_numpy(chance.normal(size=(200, 4)).astype(np.float32)) + nn.functional.one_hot(labels, 4)
    batches = zip(logits.split(33), labels.split(33), strict=True)
    report = evaluate(nn.Identity(), batches, ("a", "b", "c", "d"))
    guess, true = logits.argmax(1).numpy(), labels.numpy()
    assert report.total == 200
    assert report.accuracy == pytest.approx(accuracy_score(true, guess))
    assert (report.confusion.numpy() == confusion_matrix(true, guess)).all()
    assert report.loss == pytest.approx(log_loss(true, logits.double().softmax(1).numpy()), rel=1e-5)
    rows = report.per_class()
    assert [row["precision"] for row in rows] == pytest.approx(precision_score(true, guess, average=None))
    assert [row["recall"] for row in rows] == pytest.approx(recall_score(true, guess, average=None))
    assert report.interval[0] < report.accuracy < report.interval[1]


def test_a_class_never_said_or_never_there_has_no_share():
    report = Evaluation(("a", "b", "c"), torch.tensor([[2, 0, 0], [1, 0, 0], [0, 0, 0]]), 0.5)
    a, b, c = report.per_class()
    assert (a["precision"], a["recall"]) == (pytest.approx(2 / 3), 1.0)
    assert (b["precision"], b["recall"]) == (None, 0.0)
    assert (c["precision"], c["recall"], c["images"]) == (None, None, 0)
    assert report.to_dict()["confusion"] == [[2, 0, 0], [1, 0, 0], [0, 0, 0]]
