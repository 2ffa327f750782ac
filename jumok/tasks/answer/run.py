"""A run that answers questions about images, ready to use."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import torch
from torch import Tensor, nn

from jumok import systems
from jumok.data.questions.batches import pad_questions
from jumok.data.texts.normal_form import clean
from jumok.data.texts.vocabulary_builder import Vocabulary, load_vocabulary
from jumok.errors import JumokError
from jumok.special_tokens import UNK
from jumok.systems.vqa import VQA, Places
from jumok.tasks.answer.settings import RunConfig
from jumok.tasks.image_run import SeeingRun
from jumok.tasks.preprocessing import ImageLike, Preprocessing
from jumok.tasks.running.run import CONFIG, configure_system, load_weights_into
from jumok.wording import describe_names

WORDS = "questions.vocabulary"


@dataclass(frozen=True)
class Reply:
    """What a model answers.

    Args:
        answers: with their probabilities, best first.
    """

    answers: tuple[tuple[str, float], ...]

    @property
    def best(self) -> str:
        """The most probable answer."""
        return self.answers[0][0]

    @property
    def label(self) -> str:
        """The most probable answer: what an answer, a class and a translation have in common."""
        return self.best

    @property
    def probability(self) -> float:
        """That of the most probable answer."""
        return self.answers[0][1]

    @property
    def probabilities(self) -> dict[str, float]:
        """Of all answers that were asked for, best first."""
        return dict(self.answers)


@dataclass(frozen=True)
class Scene:
    """An image that was looked at once, to be asked about as often as one likes.

    Args:
        places: what the model made of it; None for a model that sees no image.
    """

    places: Places | None


@dataclass(frozen=True, repr=False)
class QuestionRun(SeeingRun):
    """A trained model that answers questions, with what is needed to use it.

    Args:
        words: the vocabulary that questions are written in.

    After `run = jumok.load("runs/shapes")`, `run.ask("photo.png", "what colour is the circle?")` answers.
    """

    config: RunConfig
    words: Vocabulary

    @property
    def answers(self) -> tuple[str, ...]:
        """All answers, in the order of the model's outputs."""
        return self.config.found.answers

    @property
    def fusion(self) -> str:
        """How the model brings question and image together."""
        return self._vqa.config.fusion

    @property
    def sees(self) -> bool:
        """Whether the model sees the image at all."""
        return self._vqa.eye is not None

    def encode(self, questions: Sequence[str]) -> Tensor:
        """Questions as ids: (n, longest + 1) int64, on the model's device.

        Raises:
            JumokError: none, an empty one, or one that is longer than the model can read.
        """
        if isinstance(questions, str) or not len(questions):
            raise JumokError("encode takes a list of at least one question")
        ids = self.words.encode_all([self.cased(question) for question in questions])
        for question, own in zip(questions, ids, strict=True):
            self._check_length(question, len(own))
        return pad_questions(ids).to(self.device)

    @torch.inference_mode()
    def see(self, image: ImageLike) -> Scene:
        """Look at one image, so that several questions about it cost one look.

        Raises:
            JumokError: the image cannot be read.
        """
        return Scene(self._vqa.see(self.prepare([image])))

    @overload
    def ask(  # type: ignore[overload-overlap]  # a string is a sequence of strings, too
        self, image: ImageLike | Scene, questions: str, *, top: int = ...
    ) -> Reply: ...
    @overload
    def ask(self, image: ImageLike | Scene, questions: Sequence[str], *, top: int = ...) -> list[Reply]: ...
    @torch.inference_mode()
    def ask(self, image: ImageLike | Scene, questions: str | Sequence[str], *, top: int = 5) -> Reply | list[Reply]:
        """Answer a question about an image, or several.

        Args:
            image: a path, a Pillow image, an array (height, width, 3), a tensor (3, height, width), or what `see` gave.
            questions: one, or a list of them; words that the model does not know are read as unknown.
            top: how many answers to give, the best first.
        Returns:
            one reply for one question, a list for several.
        Raises:
            JumokError: an image that cannot be read, a question that cannot, or a `top` below 1.
        """
        scene = image if isinstance(image, Scene) else self.see(image)
        if isinstance(questions, str):
            return self.replies(self._answer(scene, [questions]), top)[0]
        return self.replies(self._answer(scene, questions), top)

    predict = ask
    """The verb that every run has."""

    def _describe(self) -> str:
        return describe_names(self.answers, "answer")

    def answer_shares(self, scene: Scene, questions: Sequence[str]) -> Tensor:
        """The probability of every answer to questions about one image, (questions, answers).

        Raises:
            JumokError: a question that cannot be read.
        """
        return self._answer(scene, questions).float().softmax(-1)

    def _answer(self, scene: Scene, questions: Sequence[str]) -> Tensor:
        """Logits, (questions, answers)."""
        return self.answer_ids(scene, self.encode(questions))

    @torch.inference_mode()
    def answer_ids(self, scene: Scene, ids: Tensor) -> Tensor:
        """Logits of questions about one image, (questions, answers).

        Args:
            scene: what `see` gave.
            ids: (questions, words) int64, as `encode` gives them.
        """
        pairs = torch.stack([torch.zeros(len(ids), dtype=torch.int64), torch.arange(len(ids))], 1).to(self.device)
        return self._vqa.answer(scene.places, self._vqa.read(ids), pairs)

    @torch.inference_mode()
    def answer_pixels(self, pixels: Tensor, ids: Tensor) -> Tensor:
        """Logits of one question about several images, (images, answers).

        Args:
            pixels: (images, 3, height, width), as `prepare` gives them.
            ids: (1, words) int64, as `encode` gives them.
        """
        images = torch.arange(len(pixels), device=ids.device)
        logits: Tensor = self._vqa(pixels, ids, torch.stack([images, torch.zeros_like(images)], 1))
        return logits

    def replies(self, logits: Tensor, top: int = 50) -> list[Reply]:
        """Logits (n, answers) as answers with probabilities.

        Raises:
            JumokError: not even one answer is wanted.
        """
        if top < 1:
            raise JumokError(f"top is how many answers are given, wanted 1 or more, got {top}")
        best = logits.float().softmax(-1).topk(min(top, len(self.answers)))
        rows = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [Reply(tuple((self.answers[number], value) for number, value in zip(*row, strict=True))) for row in rows]

    def unknown(self, question: str) -> tuple[str, ...]:
        """What of a question the vocabulary does not know; nothing for a model that reads none."""
        if self._vqa.reader is None:
            return ()
        cased = self.cased(question)
        return self.words.unknown(cased) if UNK in self.words.encode(cased) else ()

    def cased(self, text: str) -> str:
        """A text in the case that the model was trained on."""
        return text.lower() if self.config.data.lowercase else text

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the configuration, the vocabulary and the weights, each whole or not at all.

        Raises:
            JumokError: the folder cannot be written.
        """
        self.words.save(Path(folder) / WORDS)
        super().save(folder)

    @classmethod
    def read(cls, folder: Path) -> QuestionRun:
        config = RunConfig.load(folder / CONFIG)
        words = read_words(folder, config)
        return cls(config, load_weights_into(build_model(config), folder), folder, words)

    @property
    def _vqa(self) -> VQA:
        assert isinstance(self.model, VQA)  # `build_model` made sure
        return self.model

    @property
    def _preprocessing(self) -> Preprocessing:
        return Preprocessing(
            self.config.data.size, self.config.found.mean, self.config.found.std, self.config.data.bits
        )

    @property
    def longest(self) -> int:
        """Tokens that a question may have."""
        return self._vqa.config.longest - 1  # the start sign has a place too

    def _check_length(self, question: str, tokens: int) -> None:
        if not tokens:
            raise JumokError("a question has no words: ask something")
        if tokens > self.longest:
            raise JumokError(
                f"a question of {tokens} tokens is too long, wanted at most {self.longest}: {clean(question)[:60]}..."
            )


def read_words(folder: Path, config: RunConfig) -> Vocabulary:
    """Read a run's vocabulary.

    Raises:
        JumokError: it is missing or damaged, or another one than the configuration says.
    """
    words = load_vocabulary(folder / WORDS)
    if words.fingerprint() != config.found.vocabulary:
        raise JumokError(f"{folder / WORDS} is not the vocabulary that this run began with: put its own file back")
    return words


def build_model(config: RunConfig) -> nn.Module:
    """Build a run's model, with fresh weights.

    Raises:
        JumokError: a system that is not known, options that it does not take, or other numbers of answers and words.
    """
    system = configure_system(config.system, config.options)
    sizes = (getattr(system, "answers", None), getattr(system, "words", None))
    wanted = (len(config.found.answers), config.found.words)
    if sizes != wanted:
        raise JumokError(f"config.yaml gives the model {sizes} answers and words but found {wanted}")
    return systems.build(config.system, system)


RUN = QuestionRun
