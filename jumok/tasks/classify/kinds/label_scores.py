"""How well a model tells which labels images have, beside always giving the most frequent ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jumok.intervals import Interval, cut_tails, find_unseen, resample_means
from jumok.language import later
from jumok.tasks.classify.kinds.kind import Table
from jumok.wording import join_names

__all__ = ["LabelReport", "choose_constant", "score_average_precision"]

RESAMPLES = 2000
Floats = NDArray[np.float64]


def choose_constant(positives: Sequence[int], images: int) -> tuple[int, ...]:
    """The labels that always giving them has the highest micro F1: so many of the most frequent ones.

    Args:
        positives: images of each label.
        images: how many there are.

    >>> choose_constant([10, 90, 60], 100)
    (1, 2)
    """
    order = sorted(range(len(positives)), key=lambda label: (-positives[label], label))
    right = np.cumsum([positives[label] for label in order])
    scores = 2 * right / (images * np.arange(1, len(order) + 1) + right[-1])
    return tuple(sorted(order[: int(scores.argmax()) + 1]))


def score_average_precision(shares: Floats, held: NDArray[np.bool_]) -> list[float | None]:
    """The average precision of each label; None of one that no image has.

    Args:
        shares, held: (images, labels), the probabilities, and whether images have the labels.
    """
    from sklearn.metrics import average_precision_score

    return [
        float(average_precision_score(own, share)) if own.any() else None
        for share, own in zip(shares.T, held.T, strict=True)
    ]


@dataclass(frozen=True)
class LabelReport:
    """How well a model tells which labels images have.

    Args:
        names: of the labels.
        thresholds: from which probability on an image is said to have a label.
        shares: (images, labels), the probabilities.
        held: (images, labels), whether images have the labels.
        constant: labels that the baseline always gives.
    """

    names: tuple[str, ...]
    thresholds: tuple[float, ...]
    shares: Floats
    held: NDArray[np.bool_]
    constant: tuple[int, ...]

    @property
    def total(self) -> int:
        """How many were judged."""
        return len(self.held)

    @cached_property
    def said(self) -> NDArray[np.bool_]:
        """(images, labels): whether images are said to have them."""
        said: NDArray[np.bool_] = self.shares >= np.array(self.thresholds)
        return said

    @cached_property
    def _always(self) -> NDArray[np.bool_]:
        """The same of the baseline."""
        said = np.zeros_like(self.held)
        said[:, list(self.constant)] = True
        return said

    @cached_property
    def _draws(self) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """The figures of the model and of the baseline, first as they are, then on images drawn anew."""
        counts = [np.stack([self.held & said, self.held, said]) for said in (self.said, self._always)]
        table = np.stack(counts).astype(np.float64).transpose(2, 0, 1, 3).reshape(self.total, -1)
        drawn = resample_means(table, RESAMPLES, np.random.default_rng(0))
        both = np.concatenate([table.mean(0)[None], drawn]).reshape(-1, 2, 3, len(self.names))
        own, other = (_score(both[:, number]) for number in (0, 1))
        return own, other

    def interval(self, figure: str, *, gain: bool = False) -> Interval:
        """A figure with its 95% bootstrap interval over images; or by how much it is above the baseline's.

        Where every draw gives the same, as where all labels are right, see `cut_tails`: of images that may be otherwise
        the micro F1 loses as much, and the macro F1 the mean over labels of what Wilson's interval leaves of each.

        Args:
            figure: "micro_f1" or "macro_f1".
            gain: less that of the baseline, image by image.
        Source: of a mean of shares from the interval of each: Zou, Huang & Zhang 2009, Computational Statistics & Data
            Analysis 53(4), 1080-1085; here for F1, as if each label that may be missed were also given once too often.
        """
        own, other = self._draws
        values = own[figure] - other[figure] if gain else own[figure]
        bounds = (-1.0 if gain else 0.0, 1.0)
        unseen = self._unseen_of_labels if figure == "macro_f1" else find_unseen(self.total)
        return cut_tails(float(values[0]), values[1:], self.total, bounds, unseen)

    @cached_property
    def _unseen_of_labels(self) -> float:
        """How far the mean over labels may be off for images that were not seen, where none seen is otherwise."""
        held = [int(count) for count in self.held.sum(0) if count]
        return math.hypot(*map(find_unseen, held)) / len(held) if held else 1.0

    @property
    def beats_constant(self) -> bool:
        """Whether its micro F1 is above the baseline's, with 95% confidence."""
        return self.interval("micro_f1", gain=True).low > 0

    @property
    def baseline(self) -> str:
        """What it is held against, in words."""
        return f"always saying {join_names([repr(self.names[label]) for label in self.constant], 'and')}"

    @property
    def mean_average_precision(self) -> float | None:
        """The mean over labels that some image has; None where none has any."""
        found = [row["average_precision"] for row in self.per_label if row["average_precision"] is not None]
        return float(np.mean(found)) if found else None

    @cached_property
    def per_label(self) -> list[dict[str, Any]]:
        """Each label's images, threshold, precision, recall, F1 and average precision; None where there is none."""
        right, held, said = (each.sum(0).tolist() for each in (self.held & self.said, self.held, self.said))
        average = score_average_precision(self.shares, self.held)
        return [
            {
                "label": name,
                "images": held[at],
                "threshold": self.thresholds[at],
                "precision": right[at] / said[at] if said[at] else None,
                "recall": right[at] / held[at] if held[at] else None,
                "f1": 2 * right[at] / (held[at] + said[at]) if held[at] else None,
                "average_precision": average[at],
            }
            for at, name in enumerate(self.names)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        micro, macro, gain = self.interval("micro_f1"), self.interval("macro_f1"), self.interval("micro_f1", gain=True)
        other = self._draws[1]
        return {
            "images": self.total,
            "micro_f1": micro.value,
            "micro_f1_95": [micro.low, micro.high],
            "macro_f1": macro.value,
            "macro_f1_95": [macro.low, macro.high],
            "mean_average_precision": self.mean_average_precision,
            "all_labels_right": float((self.held == self.said).all(1).mean()),
            "most_frequent_labels": {
                "labels": [self.names[label] for label in self.constant],
                "micro_f1": float(other["micro_f1"][0]),
                "macro_f1": float(other["macro_f1"][0]),
                "mean_average_precision": self._chance(),
            },
            "gain_95": [gain.low, gain.high],
            "beats_most_frequent_labels": self.beats_constant,
            "per_label": self.per_label,
        }

    def lines(self) -> Iterator[str]:
        """For the terminal."""
        micro, macro = self.interval("micro_f1"), self.interval("macro_f1")
        mean, other = self.mean_average_precision, self._draws[1]
        whole = (self.held == self.said).all(1).mean()
        yield f"micro F1 {micro.value:.1%} (95% interval {micro.low:.1%} to {micro.high:.1%})"
        yield (
            f"macro F1 {macro.value:.1%} ({macro.low:.1%} to {macro.high:.1%}), mean average precision "
            f"{'-' if mean is None else f'{mean:.1%}'}, all labels right in {whole:.1%} of the images"
        )
        yield (
            f"baseline: {self.baseline} gives micro F1 {other['micro_f1'][0]:.1%}, macro F1 "
            f"{other['macro_f1'][0]:.1%}; chance gives a mean average precision of {self._chance():.1%}"
        )

    def table(self) -> Table:
        """The figures of each label."""
        shares = ("precision", "recall", "f1", "average_precision")
        rows = [
            [
                row["label"],
                str(row["images"]),
                f"{row['threshold']:.3f}",
                *("-" if row[name] is None else f"{row[name]:.1%}" for name in shares),
            ]
            for row in self.per_label
        ]
        header = (later("label"), later("images"), later("threshold"), later("precision"), later("recall"), "F1")
        return Table((*header, later("average precision")), rows)

    def warning(self) -> str:
        """Of a model that is not better than the baseline."""
        if self.beats_constant:
            return ""
        return (
            f"this model is not significantly better than {self.baseline}: it may have learnt nothing; more images, "
            "more --time, or a pretrained --system may help"
        )

    def brief(self) -> dict[str, Any]:
        """The micro F1."""
        micro = self.interval("micro_f1")
        return {
            "micro_f1": micro.value,
            "micro_f1_95": [micro.low, micro.high],
            "text": f"micro F1 {micro.value:.1%} ({micro.low:.1%} to {micro.high:.1%})",
        }

    def _chance(self) -> float:
        """The mean average precision of equal probabilities: the mean share of images that have a label."""
        shares = self.held.mean(0)
        return float(shares[shares > 0].mean()) if (shares > 0).any() else 0.0


def _score(counts: Floats) -> dict[str, Floats]:
    """Micro and macro F1, (draws,), from shares of images (draws, 3, labels): right, held and said.

    Labels that no image has are left out of the mean.
    """
    right, held, said = counts[:, 0], counts[:, 1], counts[:, 2]
    total = (held + said).sum(1)
    micro = np.divide(2 * right.sum(1), total, out=np.zeros_like(total), where=total > 0)
    each = np.divide(2 * right, held + said, out=np.zeros_like(right), where=held + said > 0)
    present = (held > 0).sum(1)
    macro = np.where(held > 0, each, 0.0).sum(1) / np.maximum(present, 1)
    return {"micro_f1": micro, "macro_f1": macro}
