"""`jumok ask IMAGE QUESTION --model hf:...`: a vision-language model from elsewhere, word by word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jumok.app.naming import say_pictures
from jumok.attention.frames import tell_seen
from jumok.errors import JumokError
from jumok.language import later, translate
from jumok.wording import readable

if TYPE_CHECKING:
    from PIL import Image

    from jumok.app.session import Session
    from jumok.tasks.answer.foreign.asking import Answered, ImageLook
    from jumok.views.pictures.question_picture import Asked

__all__ = ["AnsweredWords", "ask_foreign"]

LOOK, METHOD = "attention", "chefer"
ATTENTION = later("attention of the step that wrote each word, mean over layers and heads")
EVEN = later("on average {share} of it fell on the image; even attention: {even}")
RELEVANCE = later(
    "relevance by chefer: how much each place spoke for a word, followed through the language model to the tokens of "
    "the image; how the image encoder mixed places into these is not followed"
)


@dataclass(frozen=True)
class AnsweredWords:
    """What a model from elsewhere answered about an image, or about several together.

    Args:
        model, images: which model, and about what.
        found: for each question.
        pictures: that were written, one for each question and image.
        page: that was written.
    """

    model: str
    images: Sequence[str]
    found: Sequence[Answered]
    pictures: Sequence[Path]
    page: Path | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "model": self.model,
            **({"image": self.images[0]} if len(self.images) == 1 else {"images": list(self.images)}),
            "questions": [_describe(each) for each in self.found],
            "pictures": list(self.pictures),
            "page": self.page,
            "remarks": self._remarks(),
        }

    def lines(self) -> Iterator[str]:
        """For the terminal."""
        for each in self.found:
            yield f"{each.question}  ->  {each.text}"
            yield from (f"  {line}" for line in self._list_shares(each))
        yield from (f"remark: {remark}" for remark in self._remarks())
        if self.pictures:
            yield say_pictures(self.pictures)
        if self.page is not None:
            yield f"page: {self.page}"

    def _list_shares(self, each: Answered) -> Iterator[str]:
        """Each word with its probability and the share of its attention that fell on each image."""
        names = ["image"] if len(self.images) == 1 else [Path(image).name for image in self.images]
        words = []
        for number, (word, share) in enumerate(zip(each.words, each.probabilities, strict=True)):
            parts = zip(names, each.images, strict=True)
            inside = ", ".join(f"{name} {look.on_image[number]:.0%}" for name, look in parts)
            words.append(f"{word} {share:.0%} ({inside})")
        yield ", ".join(words)
        even = ", ".join(f"{look.even:.0%}" for look in each.images)
        yield f"{', '.join(names)}: the share of a word's attention that fell on it; if all tokens were alike: {even}"

    def _remarks(self) -> list[str]:
        return list(dict.fromkeys(note for each in self.found for note in each.notes))


def _describe(each: Answered) -> dict[str, Any]:
    """Shares of one image, or a list of them, one of each of several."""

    def give(values: Sequence[float]) -> float | list[float]:
        return values[0] if len(values) == 1 else list(values)

    words = [
        {"word": word, "probability": share, "on_image": give([look.on_image[number] for look in each.images])}
        for number, (word, share) in enumerate(zip(each.words, each.probabilities, strict=True))
    ]
    return {
        "question": each.question,
        "answer": each.text,
        "probability": each.probability,
        "words": words,
        "on_image_if_even": give([look.even for look in each.images]),
    }


def ask_foreign(
    model: str,
    images: Sequence[Path],
    questions: Sequence[str],
    most: int,
    out: Path,
    session: Session,
    *,
    html: bool,
    pictures: bool,
    method: str | None = None,
    plain: bool = False,
) -> AnsweredWords:
    """Ask a model from elsewhere about an image or several, and write what each word of its answers looked at.

    Args:
        model: "hf:" and a folder, or a name on the hub.
        images: to ask about, all of them together.
        questions: one or several.
        most: tokens of each answer.
        out: folder for pictures, maps and page.
        session: of the command.
        html, pictures: what to write.
        method: of attribution for each word, beside its attention.
        plain: ask in plain text, without the model's chat template.
    Raises:
        JumokError: the model, its processor or an image cannot be used.
    """
    from jumok.data.images.reading import open_image
    from jumok.tasks.answer.foreign.asking import open_asker
    from jumok.tasks.answer.foreign.explaining import check_method

    check_method(method)
    photos = [open_image(image) for image in images]
    asker = open_asker(model, session.device, plain=plain)
    found = [asker.ask(photos, question, most, method) for question in questions]
    names = [readable(image.name) for image in images]
    shown = [[_build_asked(each, look) for each in found] for look in _list_looks(found)]
    drawn = _draw(photos, names, found, shown, out) if pictures else []
    title = translate("{name}: asked about {image}", name=Path(asker.name).name, image=", ".join(names))
    page = _write_page(photos, names, shown, title, out) if html else None
    return AnsweredWords(model, [str(image) for image in images], found, drawn, page)


def _list_looks(found: Sequence[Answered]) -> range:
    """The numbers of the images."""
    return range(len(found[0].images))


def _build_asked(found: Answered, number: int) -> Asked:
    """What views take: the answer's words, the probability of each, and where each looked in one image."""
    import torch

    from jumok.attention import AttentionMap, One, Scale
    from jumok.views.pictures.question_picture import MOST_WORDS, Asked

    if len(found.words) > MOST_WORDS:
        raise JumokError(f"the answer has {len(found.words)} words, and a page shows {MOST_WORDS}: lower --generate")
    look = found.images[number]
    by_word = {LOOK: look.looks, **({} if look.relevance is None else {METHOD: look.relevance})}
    whole = {
        name: AttentionMap(each.weights.mean(0, keepdim=True), One("answer"), each.keys, (), each.scale, each.source)
        for name, each in by_word.items()
    }
    queries = look.looks.queries
    sure = AttentionMap(
        torch.tensor([found.probabilities]), One("answer"), queries, (), Scale.GATE, "probability of each word"
    )
    answers, note = [(found.text, found.probability)], _write_note(found, look, by_word)
    return Asked(found.question, found.words, answers, whole, by_word, sure, note=note, generated=True, seen=look.seen)


def _write_note(found: Answered, look: ImageLook, shown: Iterable[str]) -> str:
    """What the looks of these names are, how much fell on the image, and what to know of the answer."""
    lines = [translate(note) for note in (*found.notes, tell_seen(look.seen)) if note]
    if METHOD in shown:
        lines.insert(0, translate(RELEVANCE))
    if LOOK in shown:
        share = sum(look.on_image) / len(found.words)
        lines.insert(0, translate(EVEN, share=f"{share:.0%}", even=f"{look.even:.0%}"))
        lines.insert(0, translate(ATTENTION))
    return " ".join(f"{line[0].upper()}{line[1:]}." for line in lines)


def _draw(
    photos: Sequence[Image.Image],
    names: Sequence[str],
    found: Sequence[Answered],
    shown: Sequence[Sequence[Asked]],
    out: Path,
) -> list[Path]:
    """Write a picture of each answer on each image, and its maps. Returns the pictures."""
    from jumok.views.pictures.question_picture import draw_asked

    pictures = []
    for number, answered in enumerate(found):
        for image, (photo, name) in enumerate(zip(photos, names, strict=True)):
            stem = f"{number + 1}" if len(photos) == 1 else f"{number + 1}.{image + 1}"
            asked, picture = shown[image][number], out / f"{stem}.png"
            chosen = METHOD if METHOD in asked.by_word else LOOK  # the page has both
            spread = asked.spread(chosen, translate("the whole answer"))
            spread = replace(spread, note=_write_note(answered, answered.images[image], [chosen]))
            draw_asked(photo, spread, picture, title=f"{name}: {answered.question}")
            for look, heat in asked.by_word.items():
                heat.save(out / f"{stem}.{look}.safetensors")
            pictures.append(picture)
    return pictures


def _write_page(
    photos: Sequence[Image.Image], names: Sequence[str], shown: Sequence[Sequence[Asked]], title: str, out: Path
) -> Path:
    """Write the page, with the questions once for each image. Returns its path."""
    from jumok.views.pages.question_page import QuestionPage

    page = QuestionPage(title)
    for photo, name, asked in zip(photos, names, shown, strict=True):
        page.add(photo, asked, name=name)
    page.write(out / "index.html")
    return out / "index.html"
