"""Maps of images to be scored: where a model looks, and what stands out without any model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from jumok.errors import JumokError, suggest

if TYPE_CHECKING:
    from torch import Tensor

    from jumok.attention import AttentionMap
    from jumok.attention.frames import Frame
    from jumok.tasks.classify.any_classifier import AnyClassifier
    from jumok.tasks.classify.looking import LookOptions, LookResult

__all__ = ["MapMaker", "open_maps", "salient_maps"]


@dataclass(frozen=True)
class MapMaker:
    """What makes maps of images.

    Args:
        model: that is asked where it looks; None: no model is.
        options: how it is asked.
        saliency: methods that ask no model.
        without_sinks: add, for each map that comes from attention, the one without the weights on sinks.
    """

    model: AnyClassifier | None
    options: LookOptions
    saliency: Sequence[str]
    without_sinks: bool = False

    @property
    def bits(self) -> int | None:
        """That 16-bit images use, as the model was trained; None: what each image's values need."""
        return None if self.model is None else self.model.bits

    def make(self, images: Sequence[Tensor]) -> list[dict[str, AttentionMap]]:
        """The maps of each image, by method, those of the model first; images are (3, any, any) uint8."""
        return [
            {**{method: heat.within(self._frame(image)) for method, heat in heats.items()}, **self._salient(image)}
            for heats, image in zip(self._look(images), images, strict=True)
        ]

    def make_of_seen(self, images: Sequence[Tensor], shown: Sequence[Tensor]) -> list[dict[str, AttentionMap]]:
        """As `make`, over what the model was given of each image.

        Args:
            images: (3, any, any) uint8.
            shown: what the model was given of each, as a picture.
        """
        return [{**heats, **self._salient(picture)} for heats, picture in zip(self._look(images), shown, strict=True)]

    def _salient(self, image: Tensor) -> dict[str, AttentionMap]:
        return salient_maps(image, self.saliency)

    def _frame(self, image: Tensor) -> Frame | None:
        return None if self.model is None else self.model.frame(image)

    def _look(self, images: Sequence[Tensor]) -> list[Mapping[str, AttentionMap]]:
        """The model's own maps of each image, over what it was given of that."""
        from jumok.tasks.classify.looking import look

        options = replace(self.options, layers=self.without_sinks, values=self.without_sinks, empty=True)
        looks = look(self.model, images, options) if self.model is not None and images else ()
        return [self._correct(each) if self.without_sinks else each.heats for each in looks] or [{} for _ in images]

    def _correct(self, found: LookResult) -> dict[str, AttentionMap]:
        """All maps, those that come from attention also without sinks; the same map where there is none."""
        from jumok.app.classify.without_sinks import CORRECTED, OF_ATTENTION, check_correctable, drop_sinks

        check_correctable(list(found.heats))
        corrected = {
            f"{method} {CORRECTED}": drop_sinks(heat, found.layers, found.values)[0]
            for method, heat in found.heats.items()
            if method in OF_ATTENTION
        }
        return {**found.heats, **corrected}


def salient_maps(image: Tensor, methods: Sequence[str]) -> dict[str, AttentionMap]:
    """What stands out in one image, by method."""
    from jumok.mechanisms.saliency import saliency_map

    return {method: saliency_map(image, method) for method in methods}


def open_maps(model: str, methods: Sequence[str], device: str, *, without_sinks: bool = False) -> MapMaker:
    """Open a model, if one is named, and sort methods into its own and those that need none.

    Args:
        model: folder of a run, or the name of a model from elsewhere; "": none.
        methods: of both kinds; none for all that fit the model or, without one, all that need none.
        device: for the model.
        without_sinks: see `MapMaker`.
    Raises:
        JumokError: no such method, one that needs a model where none was named, or a model that cannot be opened.
    """
    from jumok.mechanisms.saliency import METHODS as SALIENCY
    from jumok.tasks.classify.any_classifier import open_model
    from jumok.tasks.classify.looking import METHODS, LookOptions

    for method in methods:
        if method not in (known := {**METHODS, **SALIENCY}):
            raise JumokError(f"no method {method!r}: {suggest(method, known)}")
    own = tuple(method for method in methods if method in METHODS)
    free = tuple(method for method in methods if method in SALIENCY)
    if not model:
        if without_sinks:
            raise JumokError(
                "--without-sinks corrects maps of a model: name one first, as in jumok measure MODEL IMAGES"
            )
        if own:
            raise JumokError(f"the method {own[0]} needs a model: name it first, as in jumok measure MODEL IMAGES")
        return MapMaker(None, LookOptions(), free or tuple(SALIENCY))
    if free and not own:
        raise JumokError(
            f"{', '.join(free)} need no model, and no method of {model} was named: add one, such as --method rollout, "
            "or leave the model out"
        )
    return MapMaker(open_model(model, device), LookOptions(own), free, without_sinks)
