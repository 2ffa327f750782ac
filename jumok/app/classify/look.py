"""What an image classifier predicts, and where it looks for it: pictures, maps and a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from unicodedata import normalize

from jumok.app.image_results import Finding, ImageResults, look_at_images, place
from jumok.app.look_request import LookRequest
from jumok.app.session import Session
from jumok.language import translate, translate_count
from jumok.wording import write_count, write_percent

if TYPE_CHECKING:
    from torch import Tensor

    from jumok.app.fiftyone_folder import FiftyOneFolder
    from jumok.tasks.classify.any_classifier import AnyClassifier
    from jumok.tasks.classify.kinds import Said
    from jumok.tasks.classify.looking import LookOptions, LookResult
    from jumok.tasks.classify.regions import Regions

__all__ = ["look"]

COLUMNS = ("predicted", "probability", "target", "method")
MOST_CLASSES = 5
"""Classes on a page and in the terminal."""


def look(asked: LookRequest, model: str, session: Session) -> ImageResults:
    """Write each image's prediction, its map, a picture of that, and one page for all.

    Args:
        asked: what is looked at, and how.
        model: a run, or hf: or timm: with a name.
        session: of the command.
    Raises:
        JumokError: a model that cannot be opened or a target that is none of its classes, or no image to look at.
    """
    path = asked.take_path()
    looker = _open(model, asked, session)
    shares = looker.model.kind.are_shares or looker.model.kind.figure
    columns = COLUMNS if shares else tuple(name for name in COLUMNS if name != "probability")
    title = translate("Where {model} looks", model=looker.model.name)
    results = ImageResults(asked.out, title, columns, pictures=asked.files.pictures)
    if asked.files.export is not None:
        results.export = _export(asked, looker.model)
    look_at_images(path, looker, results, session, html=asked.files.html)
    return results


def _export(asked: LookRequest, model: AnyClassifier) -> FiftyOneFolder:
    from jumok.app.fiftyone_folder import FiftyOneFolder

    classes = model.classes if model.kind.are_shares else ()
    return FiftyOneFolder(asked.out / str(asked.files.export), model.name, model.kind.name, classes)


def _open(name: str, asked: LookRequest, session: Session) -> ModelLooker:
    """The model, and what is asked of it."""
    from jumok.tasks.classify.any_classifier import open_model
    from jumok.tasks.classify.regions import Regions

    model = open_model(name, session.device)
    if asked.maps.method is None and model.trust is not None:
        session.say(f"maps: {model.trust.why()}")
    return ModelLooker(model, _choose(asked, model), asked.files.batch_size, Regions(), asked.maps.without_sinks)


def _choose(asked: LookRequest, model: AnyClassifier) -> LookOptions:
    """How this model is asked.

    Raises:
        JumokError: a target that is none of its classes.
    """
    from jumok.tasks.classify.looking import LookOptions

    target = None if asked.maps.target is None else model.index(asked.maps.target)
    method = asked.maps.method or (model.trust.method if model.trust else None)
    methods = () if method is None else (method,)
    layers = asked.files.html or asked.maps.without_sinks
    return LookOptions(
        methods, 1, target, asked.maps.layer_wanted, asked.maps.head, layers=layers, values=asked.maps.without_sinks
    )


@dataclass
class ModelLooker:
    """A model that is asked about images."""

    model: AnyClassifier
    options: LookOptions
    batch_size: int
    regions: Regions = field(repr=False)
    without_sinks: bool = False
    asked: int = 0
    with_sinks: int = 0

    @property
    def bits(self) -> int | None:
        """As the model was trained."""
        return self.model.bits

    @cached_property
    def least(self) -> tuple[int, int]:
        """One patch of the model."""
        from jumok.tasks.classify.patch_size import find_patch_size

        return find_patch_size(self.model)

    def look(self, images: Sequence[Tensor]) -> list[Finding]:
        """What the model predicts for each image, and where it looked."""
        from jumok.tasks.classify.looking import look

        found = zip(images, look(self.model, images, self.options), strict=True)
        return [place(self._finding(answer), self.model.frame(image)) for image, answer in found]

    def find_truth(self, path: Path) -> str:
        """The folder that an image lies in, where that is called as one of the model's classes is."""
        folder = normalize("NFC", path.resolve().parent.name)
        return next((name for name in self.model.classes if normalize("NFC", name) == folder), "")

    def remarks(self) -> list[str]:
        """Whether its classes have names, regions have left the image, and in how many images there were sinks."""
        from jumok.tasks.foreign_models import remark_unnamed

        asked = write_count(self.asked, "image")
        told = f"sinks in {self.with_sinks} of {asked}, shown with and without them"
        unnamed = remark_unnamed(self.model.classes)
        return [*unnamed, *self.regions.remarks(), *([told] if self.without_sinks else [])]

    def _finding(self, answer: LookResult) -> Finding:

        (method, heat) = next(iter(answer.heats.items()))
        self.regions.add(answer.heats.values())
        said = self.model.kind.say(answer.probabilities.tolist())
        best, target = said.best[:MOST_CLASSES], self.model.classes[answer.target]
        share = {} if said.share is None else {"probability": said.share}
        found = Finding(
            heat,
            method,
            title=f": {said.text}",
            text=self._tell(said),
            figures={"predicted": said.answer, **share, "target": target, "method": heat.source},
            best=best,
            layers=answer.layers,
            note=self._note(method, target, said),
        )
        if not self.without_sinks:
            return found
        others = self._correct(found, answer)
        return replace(found, others=others, group=translate("with sinks") if others else translate("no sinks"))

    def _correct(self, found: Finding, answer: LookResult) -> list[Finding]:
        """The same map without sinks; nothing where there is no sink."""
        from jumok.app.classify.without_sinks import CORRECTED, check_correctable, drop_sinks

        check_correctable([found.method])
        heat, sinks = drop_sinks(found.heat, answer.layers, answer.values)
        self.asked += 1
        self.with_sinks += bool(sinks)
        told = f"{found.note}, {translate_count(sinks, 'without {count} sink', 'without {count} sinks')}"
        method = f"{found.method}.{CORRECTED.replace(' ', '-')}"
        figures = {**found.figures, "method": heat.source}
        title = f"{found.title}, {CORRECTED}"
        without = replace(
            found, heat=heat, method=method, figures=figures, title=title, note=told, group=translate("without sinks")
        )
        return [without] if sinks else []

    def _tell(self, said: Said) -> str:
        """A line for the terminal: the most probable classes, or the answer and the most probable labels."""
        best = ", ".join(f"{name} {write_percent(value, 1)}" for name, value in said.best[:MOST_CLASSES])
        return f"{said.note} ({best})" if said.note and best else said.note or best

    def _note(self, method: str, target: str, said: Said) -> str:
        """What the map shows, and how far it can be trusted, where that was measured."""
        from jumok.tasks.classify.looking import OF_TARGET

        trust = self.model.trust
        why = f"; {translate(trust.why())}" if trust is not None and trust.method in (None, method) else ""
        answer = f"{said.note}; " if said.note else ""
        shown = translate("{method} for {target}", method=method, target=target) if method in OF_TARGET else method
        return answer + shown + why
