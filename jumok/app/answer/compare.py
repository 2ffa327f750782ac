"""`jumok compare` for questions: systems that answer them side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jumok.app.comparison_report import IMAGES_AT_ONCE, ComparedInput, ComparisonReport
from jumok.language import translate
from jumok.wording import typed

if TYPE_CHECKING:
    from jumok.app.measuring import Plan, Tell
    from jumok.data.questions.masks import QuestionMasks
    from jumok.data.questions.question_set import QuestionSet
    from jumok.measures.faithfulness_report import FaithfulnessReport
    from jumok.tasks.answer.comparison import QuestionComparison
    from jumok.tasks.answer.looking import Looked
    from jumok.tasks.answer.run import QuestionRun
    from jumok.tasks.running.comparison import Result
    from jumok.views.pages.comparison_page import Cell, Measure

QUESTIONS_PER_IMAGE = 3
"""Questions about one image that are shown one below the other."""
LEAST_RIGHT = 0.5
"""An answer that is at least so right, as people agree on it, counts as right on the page."""
MOST_ANSWERS = 3


def read_truth(masks: Path | None, comparison: QuestionComparison) -> QuestionMasks | None:
    """The masks of what the test questions are about; None where no folder of them is given.

    Raises:
        JumokError: no question names one, or one that is named is missing.
    """
    from jumok.data.questions.masks import QuestionMasks

    return None if masks is None else QuestionMasks(masks, comparison.test)


class QuestionReport(ComparisonReport[int]):
    """Systems that answer questions side by side; a question is known by its number in the test."""

    comparison: QuestionComparison
    truth: QuestionMasks | None

    asking = True

    def about(self) -> dict[str, Any]:
        data = self.comparison.base.config.data
        return {"questions": list(data.questions), "images": data.images}

    def title(self) -> str:
        return Path(self.comparison.base.config.data.questions[0]).name

    def lead(self) -> str:
        config = self.comparison.base.config
        size, found = " x ".join(map(str, config.data.size)), config.found
        return translate(
            "{count} training questions about {images} images of {size} pixels, {answers} answers",
            count=f"{found.counts['train']:,}",
            images=f"{found.images['train']:,}",
            size=size,
            answers=f"{len(found.answers):,}",
        )

    def parts(self, result: Result) -> dict[str, tuple[Measure, int]]:
        from jumok.tasks.answer.comparison import QuestionResult
        from jumok.views.pages.comparison_page import Measure

        assert isinstance(result, QuestionResult)
        return {
            name: (Measure(f"{kind.accuracy:.1%}", kind.accuracy, kind.low, kind.high), kind.questions)
            for name, kind in (result.kinds.items() if len(result.kinds) > 1 else ())
        }

    def marked(self) -> list[int]:
        return [] if self.truth is None else self._keep_readable(self.truth.marked)

    def chosen(self) -> list[int]:
        """Some questions about each of some images, of all kinds in turn; those with a place to look at come first."""
        by_image: dict[int, list[int]] = {}
        for number in self._keep_readable(range(len(self._test))):
            by_image.setdefault(self._test.of[number], []).append(number)
        seen: Counter[str] = Counter()
        found: list[int] = []
        for numbers in by_image.values():
            found += self._choose_of_one_image(numbers, seen)
            if len(found) >= self.shown:
                break
        return found[: self.shown]

    def looked(self, some: Sequence[int]) -> Iterator[ComparedInput]:
        """Each question with what every system answers and where it looked."""
        from jumok.data.images.reading import read_image
        from jumok.tasks.answer.looking import look

        test = self._test
        for start in range(0, len(some), IMAGES_AT_ONCE):
            numbers = some[start : start + IMAGES_AT_ONCE]
            wanted = dict.fromkeys(map(test.image_of, numbers))
            images = {path: read_image(path, bits=self.comparison.base.config.data.bits) for path in wanted}
            pictures, asked = [images[test.image_of(n)] for n in numbers], [test.questions[n] for n in numbers]
            found = {name: look(run, pictures, asked, words=False) for name, run in self._runs.items()}
            for row, (number, picture) in enumerate(zip(numbers, pictures, strict=True)):
                mask = None if self.truth is None else self.truth.get(number, *picture.shape[1:])
                cells = {name: self._make_cell(number, looked[row]) for name, looked in found.items()}
                name, label = test.image_of(number).name, " or ".join(list(self._score_answers(number))[:MOST_ANSWERS])
                yield ComparedInput(name, label, picture, mask, cells, test.questions[number])

    def shows_map(self, system: str) -> bool:
        return bool(self._looks[system])

    def measure(self, system: str, plan: Plan, tell: Tell) -> FaithfulnessReport | None:
        from jumok.app.answer.faithful import measure_faithfulness
        from jumok.app.answer.looks import QuestionLooks

        readable = self._test.select(self._keep_readable(range(len(self._test))))
        looks = QuestionLooks(self._runs[system], readable, self._looks[system][:1])
        seed = self.comparison.base.training.seed
        return measure_faithfulness(looks, plan, seed=seed, words=False, tell=tell).places

    def command(self, system: str) -> str:
        return f"jumok measure {typed(self.comparison.place(system))}"

    @property
    def _test(self) -> QuestionSet:
        return self.comparison.test

    @cached_property
    def _runs(self) -> Mapping[str, QuestionRun]:
        from jumok.tasks.answer.run import QuestionRun

        place, device = self.comparison.place, self.comparison.device
        return {result.system: QuestionRun.load(place(result.system), device) for result in self.results}

    @cached_property
    def _looks(self) -> Mapping[str, Sequence[str]]:
        """The names of each system's looks at the image, of which the first is shown."""
        from jumok.data.images.reading import read_image
        from jumok.tasks.answer.looking import look

        number = self._keep_readable(range(len(self._test)))[0]
        picture = read_image(self._test.image_of(number), bits=self.comparison.base.config.data.bits)
        asked = [picture], [self._test.questions[number]]
        return {name: tuple(look(run, *asked, words=False)[0].looks) for name, run in self._runs.items()}

    def _keep_readable(self, numbers: Sequence[int]) -> list[int]:
        """The questions that are short enough to be asked whole."""
        longest = min(run.longest for run in self._runs.values())
        ids = self.comparison.base.words.encode_all([self._test.questions[number] for number in numbers])
        return [number for number, own in zip(numbers, ids, strict=True) if 0 < len(own) <= longest]

    def _choose_of_one_image(self, numbers: Sequence[int], seen: Counter[str]) -> list[int]:
        """Some questions about an image, each of a kind that was seen least; in the order of the file."""
        left = list(numbers)
        found: list[int] = []
        while left and len(found) < QUESTIONS_PER_IMAGE:
            best = min(left, key=lambda number: (seen[self._test.kinds[number]], not self._test.masks[number]))
            left.remove(best)
            found.append(best)
            seen[self._test.kinds[best]] += 1
        return sorted(found)

    def _score_answers(self, number: int) -> dict[str, float]:
        """How right each answer to a question is, the most right first."""
        from jumok.data.questions.question_set import score_answers

        scores = score_answers(self._test.answers[number])
        return dict(sorted(scores.items(), key=lambda pair: -pair[1]))

    def _make_cell(self, number: int, looked: Looked) -> Cell:
        from jumok.views.pages.comparison_page import Cell

        answer, probability = looked.reply.answers[0]
        method, heat = next(iter(looked.looks.items()), ("", None))
        right = self._score_answers(number).get(answer, 0) >= LEAST_RIGHT
        return Cell(heat, f"{answer} {probability:.0%}", right, method=method)


REPORT, TRUTH = QuestionReport, read_truth
