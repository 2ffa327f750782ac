"""What a model from elsewhere takes and gives that is no image classifier: texts, boxes, speech, answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jumok.app.session import Session
from jumok.language import later, translate
from jumok.tasks.model_types import is_listed
from jumok.wording import describe_names, typed

__all__ = ["DescribedOther", "describe_other"]

PURPOSES = {
    "classifier": later("classifies texts"),
    "masked language model": later("fills in masked words"),
    "encoder": later("encodes texts"),
    "sentence encoder": later("compares sentences"),
    "decoder": later("continues texts"),
    "encoder-decoder": later("reads a text and writes another"),
}
"""By the kind of a text model."""


@dataclass(frozen=True)
class DescribedOther:
    """A model from elsewhere.

    Args:
        name: of it.
        kind: of network.
        weights: how many.
        purpose: what it does, in words.
        takes: what it takes, in words.
        shows: what is shown of it, in words.
        classes: names; empty where it has none.
        command: that uses it.
    """

    name: str
    kind: str
    weights: int
    purpose: str
    takes: str
    shows: str
    classes: Sequence[str]
    command: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "system": self.name,
            "model": self.kind,
            "weights": self.weights,
            "purpose": self.purpose,
            "takes": self.takes,
            "shows": self.shows,
            "classes": list(self.classes),
            "command": self.command,
        }

    def lines(self) -> Iterator[str]:
        """For the terminal."""
        from jumok.tasks.foreign_models import remark_unnamed

        yield f"{self.name}: {self.kind}, {self.weights / 1e6:.2f} million weights"
        purpose, takes, shows = map(translate, (self.purpose, self.takes, self.shows))
        yield f"purpose: {purpose}"
        yield f"takes: {takes}"
        if self.classes:
            yield describe_names(self.classes, "class", "classes")
        yield from (f"remark: {remark}" for remark in remark_unnamed(self.classes))
        yield f"shown: {shows}"
        yield f"use it: {self.command}"


def describe_other(model: str, session: Session) -> DescribedOther | None:
    """Open a model of texts, boxes, speech or answers; None of another one.

    Args:
        model: "hf:..." or "timm:...".
        session: of the command.
    Raises:
        JumokError: it cannot be opened.
    """
    from jumok.tasks.detect.opening import LISTS as DETECTORS
    from jumok.tasks.listen.opening import LISTS as LISTENERS
    from jumok.tasks.read.opening import reads_texts

    describers: Mapping[Callable[[str], bool], Callable[[str, str], DescribedOther]] = {
        lambda name: is_listed(name, *DETECTORS): _describe_detector,
        lambda name: is_listed(name, *LISTENERS): _describe_listener,
        reads_texts: _describe_texts,
        lambda name: is_listed(name, "IMAGE_TEXT_TO_TEXT"): _describe_asker,
    }
    found = next((describe for fits, describe in describers.items() if fits(model)), None)
    return None if found is None else found(model, session.device)


def _describe_detector(model: str, device: str) -> DescribedOther:
    from jumok.tasks.detect.opening import open_detector

    detector = open_detector(model, device)
    takes = later("images, {how}", how=detector.preparation.described)
    shows = later("where the query that gave each box looked")
    what = later("finds objects in images")
    return _describe(
        model, detector.network, what, takes, shows, f"jumok look PHOTO --model {typed(model)}", detector.classes
    )


def _describe_listener(model: str, device: str) -> DescribedOther:
    from jumok.tasks.listen.opening import open_listener

    listener = open_listener(model, device)
    values = {"seconds": f"{listener.longest:.0f}", "rate": f"{listener.rate:,}"}
    takes = later("sounds of up to {seconds} s, brought to {rate} Hz", **values)
    shows = later("where in the spectrogram each word that it writes looked")
    what = later("writes what is said")
    return _describe(model, listener.network, what, takes, shows, f"jumok look SPEECH.wav --model {typed(model)}")


def _describe_texts(model: str, device: str) -> DescribedOther:
    from jumok.tasks.read.opening import open_text_model

    opened = open_text_model(model, device)
    takes = later("texts of up to {count} tokens", count=f"{opened.longest:,}")
    shows = later("which words each word reads, in every layer and head, and which of them spoke for the answer")
    command = f'jumok look "A sentence." --model {typed(model)}'
    return _describe(model, opened.network, PURPOSES[opened.kind], takes, shows, command, opened.classes)


def _describe_asker(model: str, device: str) -> DescribedOther:
    from jumok.tasks.answer.foreign.asking import open_asker

    asker = open_asker(model, device)
    takes = later("images and a question, put into its chat template")
    if asker.processor.lacks_template:
        takes = later("images and a question; its chat template is missing, so ask in plain text with --plain")
    elif not asker.processor.has_template:
        takes = later("images and a question, in plain text, as it has no chat template")
    shows = later("where in the images each word of its answer looked")
    what = later("answers questions about images")
    plain = " --plain" if asker.processor.lacks_template else ""
    command = f'jumok ask PHOTO "What is this?" --model {typed(model)}{plain}'
    return _describe(model, asker.model, what, takes, shows, command)


def _describe(
    model: str, network: Any, purpose: str, takes: str, shows: str, command: str, classes: Sequence[str] = ()
) -> DescribedOther:
    weights = sum(each.numel() for each in network.parameters())
    return DescribedOther(model, type(network).__name__, weights, purpose, takes, shows, classes, command)
