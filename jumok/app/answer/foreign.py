"""`jumok ask IMAGE QUESTION --model hf:...`: a vision-language model from elsewhere, word by word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jumok.errors import JumokError
from jumok.language import translate

if TYPE_CHECKING:
    from PIL import Image

    from jumok.app.session import Session
    from jumok.tasks.answer.foreign.asking import Answered
    from jumok.views.pictures.question_picture import Asked

__all__ = ["AnsweredWords", "ask_foreign"]

LOOK = "attention"
NOTE = "attention of the step that wrote each word, mean over layers and heads"


@dataclass(frozen=True)
class AnsweredWords:
    """What a model from elsewhere answered about one image.

    Args:
        model, image: which model, and about what.
        found: for each question.
        pictures: that were written, one for each question.
        page: that was written.
    """

    model: str
    image: str
    found: Sequence[Answered]
    pictures: Sequence[Path]
    page: Path | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "model": self.model,
            "image": self.image,
            "questions": [_describe(each) for each in self.found],
            "pictures": list(self.pictures),
            "page": self.page,
            "remarks": self._remarks(),
        }

    def lines(self) -> Iterator[str]:
        """For the terminal."""
        for each in self.found:
            yield f"{each.question}  ->  {each.text}"
            shares = zip(each.words, each.probabilities, each.on_image, strict=True)
            yield "  " + ", ".join(f"{word} {share:.0%} (image {inside:.0%})" for word, share, inside in shares)
            yield f"  image: the share of a word's attention that fell on it; if all tokens were alike: {each.even:.0%}"
        yield from (f"remark: {remark}" for remark in self._remarks())
        if self.pictures:
            last = f" to {self.pictures[-1]}" if len(self.pictures) > 1 else ""
            yield f"pictures: {self.pictures[0]}{last}"
        if self.page is not None:
            yield f"page: {self.page}"

    def _remarks(self) -> list[str]:
        return list(dict.fromkeys(note for each in self.found for note in each.notes))


def _describe(each: Answered) -> dict[str, Any]:
    parts = zip(each.words, each.probabilities, each.on_image, strict=True)
    words = [{"word": word, "probability": share, "on_image": inside} for word, share, inside in parts]
    return {
        "question": each.question,
        "answer": each.text,
        "probability": each.probability,
        "words": words,
        "on_image_if_even": each.even,
    }


def ask_foreign(
    model: str,
    image: Path,
    questions: Sequence[str],
    most: int,
    out: Path,
    session: Session,
    *,
    html: bool,
    pictures: bool,
) -> AnsweredWords:
    """Ask a model from elsewhere about an image, and write what each word of its answers looked at.

    Args:
        model: "hf:" and a folder, or a name on the hub.
        image: to ask about.
        questions: one or several.
        most: tokens of each answer.
        out: folder for pictures, maps and page.
        session: of the command.
        html, pictures: what to write.
    Raises:
        JumokError: the model, its processor or the image cannot be used.
    """
    from jumok.data.images.reading import open_image
    from jumok.tasks.answer.foreign.asking import open_asker

    photo = open_image(image)
    asker = open_asker(model, session.device)
    found = [asker.ask(photo, question, most) for question in questions]
    shown = [_build_asked(each) for each in found]
    drawn = _draw(photo, image.name, found, shown, out) if pictures else []
    title = translate("{name}: asked about {image}", name=Path(asker.name).name, image=image.name)
    page = _write_page(photo, image.name, shown, title, out) if html else None
    return AnsweredWords(model, str(image), found, drawn, page)


def _build_asked(found: Answered) -> Asked:
    """What views take: the answer's words, the probability of each, and where each looked."""
    import torch

    from jumok.attention import AttentionMap, One, Scale
    from jumok.views.pictures.question_picture import MOST_WORDS, Asked

    if len(found.words) > MOST_WORDS:
        raise JumokError(f"the answer has {len(found.words)} words, and a page shows {MOST_WORDS}: lower --generate")
    looks = found.looks
    whole = AttentionMap(looks.weights.mean(0, keepdim=True), One("answer"), looks.keys, (), looks.scale, looks.source)
    sure = AttentionMap(
        torch.tensor([found.probabilities]), One("answer"), looks.queries, (), Scale.GATE, "probability of each word"
    )
    even = f"On average {sum(found.on_image) / len(found.words):.0%} of it fell on the image; even attention: "
    note = ". ".join([f"{NOTE[0].upper()}{NOTE[1:]}", f"{even}{found.even:.0%}", *found.notes])
    answers = [(found.text, found.probability)]
    return Asked(
        found.question, found.words, answers, {LOOK: whole}, {LOOK: looks}, sure, note=f"{note}.", generated=True
    )


def _draw(photo: Image.Image, name: str, found: Sequence[Answered], shown: Sequence[Asked], out: Path) -> list[Path]:
    """Write a picture of each answer, and its map. Returns the pictures."""
    from jumok.views.pictures.question_picture import draw_asked

    pictures = [out / f"{number}.png" for number in range(1, len(shown) + 1)]
    for number, (answered, asked, picture) in enumerate(zip(found, shown, pictures, strict=True), 1):
        draw_asked(photo, _spread_words(asked), picture, title=f"{name}: {answered.question}")
        answered.looks.save(out / f"{number}.{LOOK}.safetensors")
    return pictures


def _spread_words(asked: Asked) -> Asked:
    """A picture cannot be pointed at: the look of each word stands beside that of the whole answer."""
    from jumok.views.pictures.question_picture import MOST_LOOKS

    words, by_word = list(asked.words)[: MOST_LOOKS - 1], asked.by_word[LOOK]
    looks = {f"{number}: {word}": by_word.row(number - 1) for number, word in enumerate(words, 1)}
    return replace(asked, looks={"whole answer": asked.looks[LOOK], **looks}, by_word={})


def _write_page(photo: Image.Image, name: str, shown: Sequence[Asked], title: str, out: Path) -> Path:
    """Write the page. Returns its path."""
    from jumok.views.pages.question_page import QuestionPage

    page = QuestionPage(title)
    page.add(photo, shown, name=name)
    page.write(out / "index.html")
    return out / "index.html"
