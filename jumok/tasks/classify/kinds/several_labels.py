"""Any number of labels for each image: a probability for each, its threshold, and always saying the most frequent."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jumok.data.table_rows import BETWEEN
from jumok.errors import JumokError
from jumok.intervals import NORMAL_95
from jumok.tasks.classify.kinds.kind import AnswerKind, Choice, Figures, Model, Report, Said, read_all
from jumok.tasks.classify.kinds.thresholds import HALF, choose_threshold, read_thresholds, write_thresholds
from jumok.tasks.classify.settings import ImageTraining, RunConfig
from jumok.tasks.prediction import Prediction
from jumok.wording import describe_names, join_names, write_count, write_percent

if TYPE_CHECKING:
    from torchmetrics import Metric

    from jumok.data.images.image_set import ImageSet

__all__ = ["SeveralLabels", "weigh_rare"]

RARE_SHARE, MOST_WEIGHT = 0.25, 10.0
"""Labels that fewer of the images have are rare; how much more those that have one count, at the most."""
MOST_SAID = 5
"""Labels that are named in a picture's title."""
NO_LABEL = "no label"


class SeveralLabels(AnswerKind):
    """Any number of labels for each image, or none.

    Args:
        names: of the labels.
        positives: images of each label, by part.
        images: of each part.
        balance: "weights": where a label is rare, images that have it count more.
        thresholds: from which probability on an image is said to have a label; None: not chosen yet.
    """

    name = "multi"
    settles_answers = True
    figure_names = ("val_loss", "val_map")

    def __init__(
        self,
        names: tuple[str, ...],
        positives: Mapping[str, Sequence[int]],
        images: Mapping[str, int],
        *,
        balance: str = "none",
        thresholds: tuple[float, ...] | None = None,
    ) -> None:
        super().__init__(names)
        self._positives, self._images = positives, images
        weights = weigh_rare(positives["train"], images["train"]) if balance == "weights" else [1.0] * len(names)
        self.weights = torch.tensor(weights)
        self.thresholds = thresholds or (HALF,) * len(names)

    @classmethod
    def of(cls, config: RunConfig, folder: Path | None = None) -> Self:
        found = config.found
        thresholds = None if folder is None else read_thresholds(folder, found.classes)
        balance = config.training.balance
        return cls(found.classes, found.per_class, found.counts, balance=balance, thresholds=thresholds)

    # -- from the data ----------------------------------------------------------------------------

    @classmethod
    def settle(cls, training: ImageTraining, images: ImageSet, asked: Collection[str]) -> Choice:
        if training.balance == "sampler":
            raise JumokError("--balance sampler needs one class for each image, and these have several labels: weights")
        counts = images.counts()
        unseen = [name for name, count in counts.items() if not count]
        remarks = [f"no training image has the label {name!r}: it cannot be learnt" for name in unseen]
        if training.balance != "auto":
            return Choice({}, remarks)
        weights = weigh_rare(list(counts.values()), len(images))
        rare = [name for name, weight in zip(images.classes, weights, strict=True) if weight > 1]
        if not rare:
            return Choice({"balance": "none"}, remarks)
        told = (
            f"rare labels: {join_names(rare, 'and', 5)}; images that have one count up to {max(weights):.2g} times as "
            "much for it (--balance none: all alike)"
        )
        return Choice({"balance": "weights"}, [*remarks, told])

    @classmethod
    def sort_out(cls, images: ImageSet) -> list[int]:
        numbers = {labels: number for number, labels in enumerate(sorted(set(images.labels)))}
        return [numbers[labels] for labels in images.labels]

    # -- training ---------------------------------------------------------------------------------

    def encode(self, labels: Sequence[Any]) -> Tensor:
        found = torch.zeros(len(labels), len(self.names), dtype=torch.uint8)
        for row, held in zip(found, labels, strict=True):
            row[list(held)] = 1
        return found

    def to_targets(self, labels: Tensor) -> Tensor:
        return labels.float()

    def loss(self, outputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        wanted = targets * (1 - smoothing) + smoothing / 2
        return F.binary_cross_entropy_with_logits(outputs, wanted, pos_weight=self.weights.to(outputs))

    def make_meter(self, name: str) -> Metric:
        if name != "val_map":
            return super().make_meter(name)
        from jumok.tasks.classify.kinds.average_precision import MeanAveragePrecision

        return MeanAveragePrecision()

    def judge(self, outputs: Tensor, labels: Tensor) -> dict[str, tuple[Tensor, ...]]:
        plain = self._unweigh(outputs)
        loss = F.binary_cross_entropy_with_logits(plain, labels.float(), reduction="none").mean(1)
        return {"val_loss": (loss,), "val_map": (plain.sigmoid(), labels)}

    def goodness(self, figures: Figures) -> tuple[float, ...]:
        """The higher the mean average precision the better; of the same, the surer."""
        return figures["val_map"], -figures["val_loss"]

    def settle_answers(self, values: Tensor, labels: Tensor, folder: Path) -> list[str]:
        """Choose each label's threshold."""
        shares, held = values.double().numpy(), labels.bool().numpy()
        self.thresholds = tuple(map(choose_threshold, shares.T, held.T))
        write_thresholds(folder, self.names, self.thresholds, len(held))
        without = [name for name, own in zip(self.names, held.T, strict=True) if not own.any()]
        lacking = f"; {HALF} for {join_names(without, 'and', 5)}, which no validation image has" if without else ""
        return [
            f"thresholds: {min(self.thresholds):.3f} to {max(self.thresholds):.3f}, the best F1 of each label on "
            f"{write_count(len(held), 'validation image')}{lacking}"
        ]

    # -- answers ----------------------------------------------------------------------------------

    def read(self, outputs: Tensor) -> Tensor:
        return self._unweigh(outputs).sigmoid()

    def _unweigh(self, outputs: Tensor) -> Tensor:
        """Logits as they would be had all images counted alike: a weight w raises them by log w."""
        return outputs.float() - self.weights.to(outputs.device).log()

    def say(self, values: Sequence[float]) -> Said:
        best = sorted(zip(self.names, values, strict=True), key=lambda pair: -pair[1])
        given = {name for name, share, least in zip(self.names, values, self.thresholds, strict=True) if share >= least}
        told = [f"{name} {write_percent(share, 1)}" for name, share in best if name in given]
        more = [f"{len(told) - MOST_SAID} more"] if len(told) > MOST_SAID else []
        answer = BETWEEN.join(name for name in self.names if name in given)
        text = ", ".join([*told[:MOST_SAID], *more]) or NO_LABEL
        return Said(answer, text, best[0][1], best, answer or NO_LABEL)

    def predict(self, values: Sequence[float]) -> Prediction:
        answer = super().predict(values)
        return replace(answer, labels=tuple(answer.label.split(BETWEEN)) if answer.label else ())

    def make_answering(self, model: nn.Module) -> tuple[nn.Module, str]:
        return _Answering(model, self.weights.log()), "probabilities"

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "thresholds": list(self.thresholds)}

    # -- judging ----------------------------------------------------------------------------------

    def evaluate(self, models: Mapping[str, Model], batches: Iterable[tuple[Tensor, Tensor]]) -> Mapping[str, Report]:
        from jumok.tasks.classify.kinds.label_scores import LabelReport, choose_constant

        values, labels = read_all(self, models, batches)
        constant = choose_constant(self._positives["train"], self._images["train"])
        held = labels.bool().numpy()
        return {
            name: LabelReport(self.names, self.thresholds, found.double().numpy(), held, constant)
            for name, found in values.items()
        }

    # -- words ------------------------------------------------------------------------------------

    def summary(self) -> str:
        return describe_names(self.names, "label")

    def describe(self) -> str:
        return f"with any of {write_count(len(self.names), 'label')}"

    def reached(self, best: Figures, labels: Tensor) -> str:
        held = labels.float().mean(0)
        chance = held[held > 0].mean() if bool((held > 0).any()) else held.mean()
        return (
            f"mean average precision {best['val_map']:.1%} on {write_count(len(labels), 'validation image')}; "
            f"chance gives {float(chance):.1%}"
        )

    def shortfall(self, best: Figures, labels: Tensor) -> str:
        """Held against always giving each label the share of the training images that have it.

        It is better where its cross-entropy is, or its mean average precision is above that of any luck.
        """
        shares = torch.tensor(self._positives["train"]) / self._images["train"]
        shares = shares.clamp(1e-3, 1 - 1e-3).expand(len(labels), -1)
        guess = F.binary_cross_entropy(shares, labels.float(), reduction="none").mean(1)
        error = float(guess.std()) / len(labels) ** 0.5 if len(labels) > 1 else 0.0
        if best["val_loss"] < float(guess.mean()) - NORMAL_95 * error:
            return ""
        from jumok.tasks.classify.kinds.average_precision import find_lucky

        if best.get("val_map", 0.0) > find_lucky(labels.bool().numpy()):
            return ""
        each = min(self._positives["train"])
        return (
            "this model is not significantly better than always giving each label its share of the training images. "
            f"What may help: more images (the rarest label has {each} to learn from), more --time, a larger "
            "--image-size, or a pretrained model"
        )

    def purpose(self, size: str) -> str:
        return f"says which of these labels images of {size} pixels have: {join_names(self.names, 'and')}"

    def card_figures(self, best: Figures) -> dict[str, str]:
        return {
            "answers": "any number of labels for each image; their thresholds stand in thresholds.yaml",
            "validation mean average precision": f"{best['val_map']:.4f}",
            "validation loss": f"{best['val_loss']:.4f}",
        }


class _Answering(nn.Module):
    """A network that gives probabilities in place of logits.

    Args:
        model: (batch, ...) -> logits (batch, labels), alone or first of several.
        weights: (labels,), the logarithms of what images that have them counted in training.
    """

    def __init__(self, model: nn.Module, weights: Tensor) -> None:
        super().__init__()
        self.model = model
        self.weights: Tensor
        self.register_buffer("weights", weights)

    def forward(self, pixels: Tensor) -> Any:
        said = self.model(pixels)
        logits, *more = said if isinstance(said, tuple) else (said,)
        shares = (logits - self.weights).sigmoid()
        return (shares, *more) if more else shares


def weigh_rare(positives: Sequence[int], images: int) -> list[float]:
    """How much more images that have a label count for it: for rare ones as much as those that have it not, all in all.

    Args:
        positives: images of each label.
        images: how many there are.

    >>> weigh_rare([50, 10, 1, 0], 100)
    [1.0, 9.0, 10.0, 1.0]
    """
    rare = [0 < count < RARE_SHARE * images for count in positives]
    return [
        min((images - count) / count, MOST_WEIGHT) if own else 1.0 for count, own in zip(positives, rare, strict=True)
    ]
