"""`jumok compare` for images: classifiers side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jumok.app.classify.maps import salient_maps
from jumok.app.comparison_report import IMAGES_AT_ONCE, ComparedInput, ComparisonReport
from jumok.errors import JumokError
from jumok.language import translate
from jumok.wording import typed

if TYPE_CHECKING:
    from torch import Tensor

    from jumok.app.measuring import Plan, Tell
    from jumok.attention import AttentionMap
    from jumok.data.images.folders import ImageSet
    from jumok.data.images.masks import ImageMasks
    from jumok.measures.faithfulness_report import FaithfulnessReport
    from jumok.tasks.classify.any_classifier import AnyClassifier
    from jumok.tasks.classify.comparison import ImageComparison
    from jumok.tasks.classify.looking import LookOptions, LookResult
    from jumok.views.pages.comparison_page import Cell


def read_truth(masks: Path | None, comparison: ImageComparison) -> ImageMasks | None:
    """The masks of the test images: those of a folder, or else those beside the images; None where there are none.

    Raises:
        JumokError: some are missing, or do not fit.
    """
    from jumok.data.images.masks import find_masks

    truth = find_masks(comparison.test, masks)
    if truth is not None:
        for path in comparison.test.paths:  # before anything is trained
            truth.find(path)
    return truth


class ImageReport(ComparisonReport[Path]):
    """Classifiers side by side."""

    comparison: ImageComparison
    truth: ImageMasks | None

    def about(self) -> dict[str, Any]:
        return {"images": str(self._test.root)}

    def title(self) -> str:
        return self._test.root.resolve().name

    def lead(self) -> str:
        config = self.comparison.base.config
        size = " x ".join(map(str, config.size))
        return translate(
            "{count} training images of {classes} classes, {size} pixels",
            count=f"{config.found.counts['train']:,}",
            classes=len(config.found.classes),
            size=size,
        )

    def marked(self) -> list[Path]:
        return [path for path in self._test.paths if self.truth is not None and self.truth.find(path) is not None]

    def chosen(self) -> list[Path]:
        """Test images in turn from each class; classes in which there is something to look at come first."""
        by_class: dict[int, list[Path]] = {}
        for path, label in zip(self._test.paths, self._test.labels, strict=True):
            by_class.setdefault(label, []).append(path)
        groups = sorted(
            by_class.values(), key=lambda paths: self.truth is not None and self.truth.find(paths[0]) is None
        )
        turns = [group[turn] for turn in range(max(map(len, groups))) for group in groups if turn < len(group)]
        return turns[: self.shown]

    def looked(self, some: Sequence[Path]) -> Iterator[ComparedInput]:
        """Each image with what every system says of it and where it looked, by the way that suits the system best."""
        from jumok.data.images.batches import take_turns
        from jumok.data.images.reading import read_image
        from jumok.tasks.classify.looking import look

        labels = dict(zip(self._test.paths, (self._test.classes[label] for label in self._test.labels), strict=True))
        for paths in take_turns(some, IMAGES_AT_ONCE):
            pictures = [read_image(path, bits=self.comparison.base.config.data.bits) for path in paths]
            answers = {name: look(model, pictures, self._questions[name]) for name, model in self._opened.items()}
            for number, (path, picture) in enumerate(zip(paths, pictures, strict=True)):
                mask = None if self.truth is None else self.truth.get(path, *picture.shape[1:])
                cells = {name: self._make_cell(name, found[number], labels[path]) for name, found in answers.items()}
                yield ComparedInput(path.name, labels[path], picture, mask, cells)

    def maps_without_model(self, picture: Tensor) -> dict[str, AttentionMap]:
        """The saliency method that is the default."""
        from jumok.mechanisms.saliency import DEFAULT_METHOD

        return salient_maps(picture, (DEFAULT_METHOD,))

    def shows_map(self, system: str) -> bool:
        return self._questions[system].most != 0

    def measure(self, system: str, plan: Plan, tell: Tell) -> FaithfulnessReport | None:
        from jumok.app.classify.faithful import measure_faithfulness
        from jumok.app.classify.maps import MapMaker

        maps = MapMaker(self._opened[system], self._questions[system], ())
        seed = self.comparison.base.training.seed
        return measure_faithfulness(maps, self._test.paths, plan, seed=seed, tell=tell).report

    def command(self, system: str) -> str:
        return f"jumok measure {typed(self.comparison.place(system))} {typed(self._test.root)}"

    @property
    def _test(self) -> ImageSet:
        return self.comparison.test

    @cached_property
    def _opened(self) -> Mapping[str, AnyClassifier]:
        from jumok.tasks.classify.any_classifier import open_model

        place, device = self.comparison.place, self.comparison.device
        return {result.system: open_model(str(place(result.system)), device) for result in self.results}

    @cached_property
    def _questions(self) -> Mapping[str, LookOptions]:
        """How each model is asked."""
        return {name: _choose_question(model, self._test.paths[0]) for name, model in self._opened.items()}

    def _make_cell(self, name: str, answer: LookResult, label: str) -> Cell:
        from jumok.views.pages.comparison_page import Cell

        method, heat = next(iter(answer.heats.items()), ("", None))
        said, probability = self._opened[name].classes[answer.predicted], float(answer.probabilities.max())
        return Cell(heat, f"{said} {probability:.0%}", said == label, f"{name}: {method}", method)


def _choose_question(model: AnyClassifier, path: Path) -> LookOptions:
    """How a model is asked; of one off which nothing can be read that lies in the image, such as an MLP, no map."""
    from jumok.data.images.reading import read_image
    from jumok.tasks.classify.looking import LookOptions, look

    trusted = model.trust.method if model.trust else None
    options = LookOptions(methods=() if trusted is None else (trusted,), most=1)
    try:
        look(model, [read_image(path, bits=model.bits)] * 2, options)
    except JumokError:
        return LookOptions(most=0)
    return options


REPORT, TRUTH = ImageReport, read_truth
