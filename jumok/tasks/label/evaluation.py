"""How well a text classifier tells its classes apart, and what words alone tell without any network."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from jumok.data.labelled.text_set import TextSet
from jumok.tasks.classify.kinds.class_scores import Evaluation, count_confusions
from jumok.tasks.label.run import TextRun
from jumok.tasks.running.figures import Progress

__all__ = ["evaluate", "evaluate_bag_of_words"]

WORD = r"(?u)\b\w+\b"
MOST_WORDS = 50_000
MOST_TEXTS = 100_000
"""Texts that words are counted in."""


@torch.inference_mode()
def evaluate(run: TextRun, texts: TextSet, size: int, progress: Progress | None = None) -> Evaluation:
    """Judge a run on texts that it has not learned from.

    Args:
        run: a text classifier.
        texts: with the run's classes.
        size: texts at a time.
        progress: called with how many are done, and how many there are.
    """
    count = len(run.classes)
    confusion, loss = torch.zeros(count, count, dtype=torch.int64), 0.0
    for start in range(0, len(texts), size):
        labels = torch.tensor(texts.labels[start : start + size])
        logits = run.model(*run.encode(texts.texts[start : start + size])).float().cpu()
        loss += float(F.cross_entropy(logits, labels, reduction="sum"))
        confusion += count_confusions(logits.argmax(-1), labels, count)
        if progress:
            progress(min(start + size, len(texts)), len(texts))
    return Evaluation(run.classes, confusion, loss / len(texts), noun="texts", other="--freeze none")


def evaluate_bag_of_words(train: TextSet, texts: TextSet) -> Evaluation:
    """What counting words gives: a logistic regression on how often each word and pair of words stands in a text.

    Args:
        train: to learn from.
        texts: to judge on, with the same classes.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    words = TfidfVectorizer(ngram_range=(1, 2), max_features=MOST_WORDS, sublinear_tf=True, token_pattern=WORD)
    model = make_pipeline(words, LogisticRegression(C=10.0, max_iter=200))
    model.fit(train.texts[:MOST_TEXTS], train.labels[:MOST_TEXTS])
    shares = torch.zeros(len(texts), len(texts.classes), dtype=torch.float64)
    shares[:, torch.tensor(model.classes_)] = torch.from_numpy(model.predict_proba(list(texts.texts)))
    labels = torch.tensor(texts.labels)
    loss = F.nll_loss(shares.clamp_min(1e-12).log(), labels)
    confusion = count_confusions(shares.argmax(-1), labels, len(texts.classes))
    return Evaluation(texts.classes, confusion, float(loss), noun="texts", other="--freeze none")
