"""Generated pictures of coloured shapes, with questions in English and Korean and the masks of what they are about."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from jumok.data.samples.image_folder import check_numbers, write_pictures
from jumok.data.samples.shape_questions import (
    FARTHEST_RATIO,
    KINDS,
    MOST_SLANT,
    NEAREST_RATIO,
    AskedQuestion,
    QuestionSpec,
    compose,
    plan_questions,
)
from jumok.data.samples.shapes import Scene, draw_scene
from jumok.data.splits import SPLITS
from jumok.errors import JumokError, suggest

FORMAT = "jumok-shapes/1"
COLUMNS = ("image", "question", "answer", "kind", "language", "mask")
MASKED = ("val", "test")
USUAL = 6
"""So many questions are asked about an image by default."""
README = """# Coloured shapes, with questions

Four to six objects on a pale wall, each of one of six colours and one of five shapes, no two alike in both. Nothing was
photographed: every picture was drawn by `jumok sample shapes`.

| part | images | questions |
|---|---|---|
| train | {train} | {questions} about each image |
| val | {val} | the same |
| test | {test} | the same |

`PART.csv` has the columns image, question, answer, kind, language (en: English, ko: Korean) and mask. The images are
`images/PART/NUMBER.png`, {size} x {size} pixels, 8-bit RGB. For val and test, `masks/PART/NUMBER-QUESTION.png` has 255
where the objects are that the question is about, and 0 elsewhere. Where there is nothing to look at (an object that is
not there, a count of 0), the column is empty; so it is for train, since no model is to be taught where to look.

| kind | what is asked | answers | in the mask |
|---|---|---|---|
| colour | What colour is the circle? 원은 무슨 색인가요? | 6 colours | the object |
| shape | What shape is the red object? 빨간 물체는 무슨 모양인가요? | 5 shapes | the object |
| exists | Is there a red circle? 빨간 원이 있나요? | yes, no | the object |
| count | How many stars are there? 별이 몇 개 있나요? | 0 to 3 | all that are counted |
| beside | What shape is the object left of the red star? | shapes or colours | both objects |
| closest | What colour is the object closest to the red star? | shapes or colours | both objects |
| farthest | 빨간 별에서 가장 먼 물체는 무슨 모양인가요? | shapes or colours | both objects |

*Left of* an object (and right of, above, below) is the nearest of all objects whose centre is further to the left; it
is asked for only where that one is off the row by at most {aslant:.0%} of the way. The nearest is nearest by a clear
margin: the next is at least {nearer} times as far, between centres, and its rim is farther as well. The farthest is at
least {farther} times as far as the next. Colour and shape are asked for only where one object alone is meant. Where an
object is not there, others of its colour and others of its shape are.

To each question's text, all answers of its kind are about as likely: who knows the question alone does no better than
chance. Answers to Korean questions are Korean; numbers are digits.

Made with seed {seed}; the same numbers give the same files. `sample.json` holds them and is written last: without it,
the sample is not complete.

Licence: CC0 1.0 (https://creativecommons.org/publicdomain/zero/1.0/), no rights reserved.
"""


def write_shapes(
    folder: Path,
    *,
    seed: int = 0,
    size: int = 64,
    train: int = 3000,
    val: int = 300,
    test: int = 500,
    questions: int | None = None,
    kinds: Sequence[str] = KINDS,
) -> None:
    """Write images of coloured shapes and questions about them, the half in English, the half in Korean.

    `PART.csv` has the columns image, question, answer, kind, language and mask; images are `images/PART/NUMBER.png`,
    8-bit RGB. For val and test `masks/PART/NUMBER-QUESTION.png`, 8-bit grey, has 255 where the objects are that a
    question is about; the column is empty where there are none (an object that is not there, a count of 0), and for
    train. To each question's text, all answers are about as likely.

    An image and its questions depend on seed, size, part, its number, the number of questions and their kinds only: a
    larger set starts with the smaller one. A folder that already holds this very sample is kept; one that was left half
    written is completed.

    Args:
        folder: new, empty, or holding this sample.
        seed: 0 or more.
        size: height and width of each image in pixels, 32 to 1024.
        train, val, test: images in each part, 1 or more.
        questions: about each image, all of different kinds. None: 6, or one of each kind where there are fewer.
        kinds: of questions, among `KINDS`.
    Raises:
        JumokError: a number out of its range, a kind that is not known, a folder that holds something else, or one that
            cannot be written.
    """
    counts = {"train": train, "val": val, "test": test}
    check_numbers(seed, size, counts, 1, "to ask about")
    kinds = _order_kinds(kinds)
    asked = _count_questions(questions, len(kinds))
    about = {"format": FORMAT, "seed": seed, "size": size, **counts, "questions": asked, "kinds": list(kinds)}
    parts = {
        part: [_Item(seed, part, number, asked, kinds) for number in range(count)] for part, count in counts.items()
    }
    write_pictures(
        Path(folder),
        about,
        README.format(**about, aslant=MOST_SLANT, nearer=NEAREST_RATIO, farther=FARTHEST_RATIO),
        [item for items in parts.values() for item in items],
        partial(_write, size=size),
        {f"{part}.csv": partial(_table, items) for part, items in parts.items()},
    )


def _order_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """Each once, in the order of `KINDS`.

    Raises:
        JumokError: one that is not known.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise JumokError(f"no kind of question {kind!r}: {suggest(kind, KINDS)}")
    return tuple(kind for kind in KINDS if kind in kinds)


def _count_questions(wanted: int | None, kinds: int) -> int:
    """How many are asked about an image.

    Raises:
        JumokError: none, or more than there are kinds.
    """
    asked = min(USUAL, kinds) if wanted is None else wanted
    if not 1 <= asked <= kinds:
        raise JumokError(f"1 to {kinds} questions can be asked about an image, one of each kind: got {asked}")
    return asked


@dataclass(frozen=True)
class _Item:
    """One image and its questions."""

    seed: int
    part: str
    number: int
    count: int
    kinds: tuple[str, ...]

    @cached_property
    def _draw(self) -> Random:
        return Random(f"{FORMAT} {self.seed} {self.part} {self.number}")  # noqa: S311

    @cached_property
    def wishes(self) -> list[QuestionSpec]:
        return plan_questions(self._draw, self.number, self.count, self.kinds)

    @cached_property
    def content(self) -> tuple[Scene, list[AskedQuestion]]:
        wanted = self.wishes  # drawn first
        return compose(self._draw, wanted)

    @property
    def image(self) -> str:
        return f"{self.part}/{self.number:05d}.png"

    @property
    def masks(self) -> list[str]:
        """The mask of each question; empty where it has none."""
        masked = self.part in MASKED
        return [
            f"{self.part}/{self.number:05d}-{place}.png" if masked and wish.shown else ""
            for place, wish in enumerate(self.wishes)
        ]

    @property
    def files(self) -> tuple[str, ...]:
        """The image and the masks, as paths inside the sample."""
        return (f"images/{self.image}", *(f"masks/{mask}" for mask in self.masks if mask))


def _write(folder: Path, item: _Item, *, size: int) -> None:
    """Draw one image and its masks."""
    things, questions = item.content
    rng = np.random.default_rng((item.seed, SPLITS.index(item.part), item.number))
    image, objects = draw_scene(rng, things, size)
    Image.fromarray(image).save(folder / "images" / item.image)
    for question, name in zip(questions, item.masks, strict=True):
        if name:
            mask = objects[list(question.about)].any(0)
            Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "masks" / name)


def _table(items: Sequence[_Item]) -> str:
    """The questions of one part as CSV."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for item in items:
        for question, mask in zip(item.content[1], item.masks, strict=True):
            table.writerow((item.image, question.text, question.answer, question.kind, question.language, mask))
    return text.getvalue()
