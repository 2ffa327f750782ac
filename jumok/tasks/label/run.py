"""A text classifier's run, ready to use: from texts to probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import torch
from torch import Tensor

from jumok.data.labelled.batches import pad_texts
from jumok.data.texts.normal_form import clean
from jumok.errors import JumokError
from jumok.systems.pretrained_texts import TextConfig, TextNetwork
from jumok.tasks.label.settings import RunConfig
from jumok.tasks.label.tokens import TOKENIZER, Cut, Tokens, read_tokens
from jumok.tasks.prediction import Prediction, check_answered
from jumok.tasks.running.config import plain_errors
from jumok.tasks.running.run import CONFIG, Run, read_model
from jumok.wording import describe_names

__all__ = ["RUN", "TextRun", "build_model", "longest_read"]


@dataclass(frozen=True, repr=False)
class TextRun(Run):
    """A trained text classifier with what is needed to use it.

    Args:
        config: how it was made.
        model: in eval mode: tokens (batch, tokens) and which are there (batch, tokens) -> (batch, classes) logits.
        folder: where it lies.
        tokens: its tokenizer.

    After `run = jumok.load("runs/reviews")`, `run.predict("What a film!").label` names its class.
    """

    config: RunConfig
    tokens: Tokens

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the model's outputs."""
        return self.config.found.classes

    @property
    def longest(self) -> int:
        """Tokens of a text that are read."""
        return longest_read(self.config)

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Texts as the model takes them, on its device.

        Returns:
            tokens (n, longest) int64, and which of them are there (n, longest) bool.
        Raises:
            JumokError: none, or one without words.
        """
        if isinstance(texts, str) or not len(texts):
            raise JumokError("a list of at least one text is wanted")
        cleaned = [clean(text) for text in texts]
        if not all(cleaned):
            raise JumokError("a text without words cannot be classified")
        ids, _ = self.tokens.encode_all(cleaned, self.longest)
        tokens, there = pad_texts(ids, self.tokens.padding)
        return tokens.to(self.device), there.to(self.device)

    def cut(self, text: str) -> Cut:
        """One text with its words, as the model reads it."""
        return self.tokens.cut(clean(text), self.longest)

    @overload
    def predict(self, texts: str, *, batch_size: int = ...) -> Prediction: ...  # type: ignore[overload-overlap]
    @overload
    def predict(self, texts: Iterable[str], *, batch_size: int = ...) -> list[Prediction]: ...
    def predict(self, texts: str | Iterable[str], *, batch_size: int = 64) -> Prediction | list[Prediction]:
        """Say of which class a text is, or each of several, with the probability of every class.

        Args:
            texts: a text, or a list of them.
            batch_size: texts at a time.
        Returns:
            one prediction for one text, a list for several.
        Raises:
            JumokError: a text without words, or a batch of none.
        """
        given = [texts] if isinstance(texts, str) else list(texts)
        if batch_size < 1:
            raise JumokError(f"batch_size is how many texts are taken at a time, wanted 1 or more, got {batch_size}")
        found = [
            self._predict_one(shares)
            for start in range(0, len(given), batch_size)
            for shares in self.probabilities(given[start : start + batch_size]).tolist()
        ]
        return found[0] if isinstance(texts, str) else found

    def _predict_one(self, shares: list[float]) -> Prediction:
        ranked = sorted(zip(self.classes, shares, strict=True), key=lambda each: -each[1])
        return Prediction(*ranked[0], dict(ranked))

    @torch.no_grad()
    def probabilities(self, texts: Sequence[str]) -> Tensor:
        """Give each class's probability.

        Args:
            texts: any number of them.
        Returns:
            (n, classes), each row summing to 1.
        Raises:
            JumokError: as `encode`.
        """
        logits: Tensor = self.model(*self.encode(texts))
        return check_answered(logits.float().softmax(-1), str(self.folder))

    def _describe(self) -> str:
        return describe_names(self.classes, "class", "classes")

    def save(self, folder: str | Path) -> None:  # type: ignore[override]
        """Write the configuration, the weights and the tokenizer, each whole or not at all."""
        self.tokens.save(Path(folder) / TOKENIZER)
        super().save(folder)

    @classmethod
    def read(cls, folder: Path) -> TextRun:
        config = RunConfig.load(folder / CONFIG)
        return cls(config, read_model(lambda: build_model(config), folder), folder, read_own_tokens(folder, config))


def read_own_tokens(folder: Path, config: RunConfig) -> Tokens:
    """The tokenizer of a run.

    Raises:
        JumokError: it is missing, or another one.
    """
    found = config.found
    return read_tokens(
        folder, fingerprint=found.tokenizer, padding=found.padding, mask=found.mask, longest=found.longest
    )


def longest_read(config: RunConfig) -> int:
    """Tokens of a text that a run reads."""
    return config.data.max_tokens or config.found.longest


def build_model(config: RunConfig) -> TextNetwork:
    """Build a run's model, with fresh weights.

    Raises:
        JumokError: options that the system does not take, or another number of classes.
    """
    with plain_errors(TextConfig, f"options of {config.system}"):
        options = TextConfig.model_validate(config.options)
    if options.classes != len(config.found.classes):
        raise JumokError(f"config.yaml gives the model {options.classes} classes but names {len(config.found.classes)}")
    return TextNetwork(options)


RUN = TextRun
