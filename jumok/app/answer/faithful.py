"""Whether looks tell what a model used: places of the image and words of the question are taken away in their order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from jumok.app.answer.looks import BLIND, OTHER_QUESTIONS, AskedLook, QuestionLooks, group_by_image
from jumok.app.faithful import choose_fillings, choose_grid, conclude, draw_some
from jumok.app.measuring import Measuring, Plan, Tell, measure_in_turn
from jumok.errors import JumokError

if TYPE_CHECKING:
    from torch import Tensor

    from jumok.app.partial import PartialFile
    from jumok.attention import AttentionMap
    from jumok.measures.faithfulness_meter import FaithfulnessMeter
    from jumok.measures.faithfulness_report import FaithfulnessReport
    from jumok.tasks.answer.looking import Looked
    from jumok.tasks.answer.run import Scene

__all__ = ["MeasuredQuestions", "measure_faithfulness"]

OTHER_ANSWER = "other answer"
"""The map of the answer that the model holds for the second most probable one."""


class MeasuredQuestions(NamedTuple):
    """What came of it.

    Args:
        places, words: of the image and of the questions; None where nothing tells them, or too few were measured.
        images: that the questions are about.
        short: questions of one word, of which none can be taken away.
        why: the measuring ended before all questions were measured; empty where it did not.
    """

    places: FaithfulnessReport | None
    words: FaithfulnessReport | None
    images: int
    short: int
    why: str


def measure_faithfulness(
    looks: QuestionLooks,
    plan: Plan,
    *,
    seed: int,
    words: bool = True,
    tell: Tell | None = None,
    kept: PartialFile | None = None,
) -> MeasuredQuestions:
    """Measure how faithful a model's looks are for some questions, beside baselines.

    The score is the probability of the answer that is given on the whole input. Questions about one image hang
    together. Ctrl-C ends it; what was measured is kept, where it is enough.

    Args:
        looks: the model, its questions and the looks that are wanted.
        plan: how it is measured.
        seed: of the choice of questions, of random maps and of the intervals.
        words: also measure how the words are weighed.
        tell: called with how many questions were measured, of how many.
        kept: where figures are kept meanwhile, and from where measuring goes on.
    Raises:
        JumokError: a look that the model has not, or nothing that can be measured.
    """
    chosen = draw_some(range(len(looks.questions)), plan.most, seed)
    measuring = _Questions(looks, chosen, plan, seed, words=words)
    why = measure_in_turn(measuring, plan, tell=tell, kept=kept)
    meters = measuring.places, measuring.words
    if not any(map(len, meters)):
        raise JumokError(f"a {looks.run.config.system} weighs no places and no words, so there is nothing to measure")
    places, texts = (conclude(meter, why, "questions") if len(meter) else None for meter in meters)
    return MeasuredQuestions(places, texts, measuring.groups, measuring.left_out, why)


class _Questions(Measuring["_Asked"]):
    """Questions that are asked image by image, and measured one after the other."""

    def __init__(self, looks: QuestionLooks, numbers: Sequence[int], plan: Plan, seed: int, *, words: bool) -> None:
        from jumok.measures.faithfulness_meter import FaithfulnessMeter

        self.looks, self.run, self._weigh_words = looks, looks.run, words
        self._every, self._by_image = (group_by_image(looks.questions, some) for some in (None, numbers))
        self.of_places, self.of_words = choose_fillings(plan.fillings)
        most = len(self._by_image) if plan.early and len(self._by_image) > 1 else None
        places, weighed = (FaithfulnessMeter(steps=plan.steps, saco=plan.saco, seed=seed, most=most) for _ in range(2))
        super().__init__(len(numbers), places=places, words=weighed)

    @property
    def places(self) -> FaithfulnessMeter:
        """Of places of the image."""
        return self.meters["places"]

    @property
    def words(self) -> FaithfulnessMeter:
        """Of words of the question."""
        return self.meters["words"]

    def read(self) -> Iterator[_Asked]:
        """Ask the questions, always all about one image together."""
        passed, done = 0, self.done
        for image, chosen in self._by_image.items():
            if passed + len(chosen) > done:
                yield from self._look_at(image, chosen)[max(0, done - passed) :]
            passed += len(chosen)

    def _look_at(self, image: int, chosen: Sequence[int]) -> list[_Asked]:
        """All that is measured of one image."""
        picture, name = self.looks.read(image), str(self.looks.questions.images[image])
        others = [number for number in self._every[image] if number not in chosen][:OTHER_QUESTIONS]
        asked = self.looks.look(picture, chosen, others)
        second = self._look_for_other_answers(picture, asked)
        scene, (pixels,) = self.run.see(picture), self.run.prepare([picture])
        return [_Asked(each, name, picture, pixels, scene, heats) for each, heats in zip(asked, second, strict=True)]

    def _look_for_other_answers(
        self, picture: Tensor, asked: Sequence[AskedLook]
    ) -> Sequence[Mapping[str, AttentionMap]]:
        """The maps of the second most probable answers, by the first look that can explain an answer."""
        from jumok.tasks.answer.looking import OF_ANSWER

        able = next((name for name in asked[0].looks if name in OF_ANSWER), None)
        if able is None:
            return [{} for _ in asked]
        found = self.looks.ask(picture, [each.number for each in asked], rank=2)
        return [{OTHER_ANSWER: each.looks[able]} for each in found]

    def measure(self, given: _Asked) -> None:
        """Measure one question."""
        if given.look.looks:
            self._add_places(given)
        looked = given.look.looked
        if self._weigh_words and looked.weights is not None and self.looks.wants(looked.weights.source):
            self._add_words(given, looked, looked.weights)

    def _add_places(self, asked: _Asked) -> None:
        import torch

        from jumok.measures.image_units import ImageUnits

        ids = self.run.encode([asked.look.looked.question])
        units = ImageUnits(
            lambda pixels: self.run.answer_pixels(pixels, ids),
            grid=choose_grid(asked.look.looks),
            fillings=self.of_places,
            mean=torch.zeros(3),  # what the model's own preprocessing makes of the mean
        )
        others = {**({} if asked.look.blind is None else {BLIND: asked.look.blind}), **asked.others}
        baselines = {**units.baselines(asked.picture), **{name: units.lay(heat) for name, heat in others.items()}}
        heats = {name: units.lay(heat) for name, heat in asked.look.looks.items()}
        self.places.add(units.answers(asked.pixels), heats, baselines=baselines, name=asked.image, group=asked.image)

    def _add_words(self, asked: _Asked, looked: Looked, weights: AttentionMap) -> None:
        import torch

        from jumok.measures.word_units import WordUnits

        if len(looked.words) < 2:
            self.left_out += 1
            return
        (tokens,) = self.run.encode([looked.question])
        owners = torch.tensor([-1, *self.run.words.split(self.run.cased(looked.question)).owner])  # -1: the start sign
        symbols = self.run.words
        units = WordUnits(
            lambda ids, there: self.run.answer_ids(asked.scene, ids.masked_fill(~there, symbols.padding_id)),
            unknown=symbols.unknown_id,
            padding=symbols.padding_id,
            fillings=self.of_words,
        )
        baselines = units.baselines(looked.words)
        baselines["last words"] = -baselines["first words"]
        answers = units.answers(tokens, words=owners)
        self.words.add(
            answers, {weights.source: weights.weights[0]}, baselines=baselines, name=asked.image, group=asked.image
        )


class _Asked(NamedTuple):
    """One question about one image.

    Args:
        look: where the model looked.
        image: its name.
        picture: (3, any, any) uint8.
        pixels: (3, height, width), as the model is given it.
        scene: what the model made of it.
        others: baselines of its own: the map of another answer.
    """

    look: AskedLook
    image: str
    picture: Tensor
    pixels: Tensor
    scene: Scene
    others: Mapping[str, AttentionMap]
