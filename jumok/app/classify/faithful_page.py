"""The page of `jumok measure`: what was measured, and some images as they lose what their maps mark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jumok.app.telling import tell
from jumok.language import later, translate
from jumok.wording import readable

if TYPE_CHECKING:
    from torch import Tensor

    from jumok.app.classify.faithful import MeasuredImage
    from jumok.app.scored_maps import ScoredMaps
    from jumok.data.images.image_set import ImageSet
    from jumok.measures.flipping import Flips
    from jumok.measures.image_units import ClassAnswer
    from jumok.tasks.classify.any_classifier import AnyClassifier
    from jumok.views.pages.faithful_page import FaithfulEntry, FaithfulPage, Section, Steps

__all__ = ["Showing"]

HEADINGS = {
    "": later("Do the maps mark what the masks mark?"),
    "faithfulness": later("Do the maps show what the model used?"),
    "health": later("Is the attention fit to be read as a map?"),
    "sanity": later("Do the maps depend on the class and on what was learnt?"),
}


@dataclass
class Showing:
    """Puts the first images that are measured on a page.

    Args:
        page: that they go to.
        model: that was measured.
        images: all of them, for their classes.
        most: images at most.
    """

    page: FaithfulPage
    model: AnyClassifier
    images: ImageSet
    most: int

    def __call__(self, measured: MeasuredImage) -> None:
        """Add one image, unless there are enough."""
        if len(self.page) + self.page.left_out < self.most:
            self.page.add(self._make_entry(measured))

    def report(self, parts: Sequence[ScoredMaps], notes: Sequence[str]) -> None:
        """Say what was measured, above the images."""
        first, *others = sorted(
            map(_make_section, parts), key=lambda section: section.heading != translate(HEADINGS["faithfulness"])
        )
        sections = [first._replace(notes=(*first.notes, *map(tell, notes))), *others]
        ranked = [name for part in parts for name in part.to_dict().get("faithfulness", {}).get("ranking", ())]
        self.page.report(sections, first=ranked[0] if ranked else "")

    def _make_entry(self, measured: MeasuredImage) -> FaithfulEntry:
        from jumok.views.pages.faithful_page import FaithfulEntry

        flips = next(iter(measured.flips.values()))
        answer = next(iter(measured.answers.values()))
        height, width = measured.picture.shape[1:]
        return FaithfulEntry(
            name=readable(self._name(measured)),
            image=self.model.show(measured.pixels),
            ratio=width / height,
            target=self.model.classes[answer.target],
            grid=measured.grid,
            gone=flips.taken["random"].counts.tolist(),
            methods=_as_lists(measured.methods.items()),
            baselines={"random": _rank(flips), **_as_lists(measured.baselines.items())},
            filled={name: None if each is None else self.model.show(each) for name, each in measured.filled.items()},
            steps={name: self._make_steps(each, measured.answers[name]) for name, each in measured.flips.items()},
            note=self._note(measured),
        )

    def _make_steps(self, flips: Flips, answer: ClassAnswer) -> dict[str, Steps]:
        import torch

        from jumok.views.pages.faithful_page import Steps

        found = {}
        for name, taken in flips.taken.items():
            best = [(self.model.classes[each], share) for each, share in answer.best(torch.from_numpy(taken.kept()))]
            found[name] = Steps(taken.order.tolist(), taken.answers.tolist(), best, flips.scores[name].srg)
        return found

    def _name(self, measured: MeasuredImage) -> str:
        root = self.images.root
        return str(measured.path.relative_to(root) if measured.path.is_relative_to(root) else measured.path)

    def _note(self, measured: MeasuredImage) -> str:
        """The true class, labels or number, where images have any."""
        if measured.path not in self.images.paths or (self.images.kind == "class" and len(self.images.classes) < 2):
            return ""
        label = self.images.labels[self.images.paths.index(measured.path)]
        name = self.images.say(label) or translate("none")
        return translate("true {what}: {name}", what=translate(self.images.noun_of_one), name=name)


def _as_lists(maps: Iterable[tuple[str, Tensor]]) -> dict[str, Sequence[float]]:
    return {name: values.tolist() for name, values in maps}


def _rank(flips: Flips) -> list[float]:
    """The random map, which has an order and no values: the first patch to go has the most."""
    order = flips.taken["random"].order.tolist()
    values = [0.0] * len(order)
    for rank, patch in enumerate(order):
        values[patch] = 1 - rank / len(order)
    return values


def _make_section(part: ScoredMaps) -> Section:
    from jumok.views.pages.faithful_page import Section

    scores = part.scores
    values = scores.to_dict()
    notes = values.get("notes", ())
    return Section(
        translate(HEADINGS[part.key]),
        translate(scores.summary()),
        [*map(translate, scores.header())],
        [[name, *map(translate, cells)] for name, *cells in scores.rows()],
        [translate(line.removeprefix("health: ")) for line in part.verdicts if line not in notes],
        [*map(translate, notes)],
        [*values.get("baselines", ())],
    )
