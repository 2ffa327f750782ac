"""Published sets of questions about images, as files that `jumok train` reads.

Each becomes a folder with `train.csv` and `test.csv` (columns image, question, answer, kind, detail), `images/`, and a
`sample.json` that is written last, so that a folder which is there whole is not made again.
"""

from __future__ import annotations

import csv
import importlib
import io
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from random import Random
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from jumok.data.samples.image_folder import write_pictures
from jumok.errors import JumokError
from jumok.files import write_atomically

COLUMNS = ("image", "question", "answer", "kind", "detail")
ANSWERS = {"yes": "yes-no", "no": "yes-no", "circle": "shape", "rectangle": "shape", "triangle": "shape"}
"""Kinds of easy-VQA's questions by their answers; all other answers are colours."""

SIDE = 75
TEST = 200
RELATIONAL, NON_RELATIONAL = "relational", "non-relational"
ASKED = 10
"""Questions of each kind about an image."""
COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "orange": (255, 156, 0),
    "gray": (128, 128, 128),
    "yellow": (255, 255, 0),
}
SHAPES = ("circle", "square")
HALF = 5
"""From the middle pixel of an object to its rim: it is 11 pixels wide."""
MIDDLE = SIDE // 2

Rows = Iterable[tuple[str, ...]]


@dataclass(frozen=True)
class Parts:
    """Where the parts of a set are: files of questions, and the folder that their images are below."""

    images: Path
    train: Path
    test: Path
    val: Path | None = None


class Picture(NamedTuple):
    """One image of a set, as a path below the folder of images."""

    name: str

    @property
    def files(self) -> tuple[str, ...]:
        return (f"images/{self.name}",)


def _parts(folder: Path, val: int) -> Parts:
    return Parts(folder / "images", folder / "train.csv", folder / "test.csv", folder / "val.csv" if val else None)


def _table(rows: Callable[[], Rows]) -> Callable[[], str]:
    """What gives the text of a CSV."""

    def text() -> str:
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows()])
        return file.getvalue()

    return text


# -- easy-VQA ------------------------------------------------------------------------------------


def easy_vqa(folder: Path, *, val: int = 0) -> Parts:
    """Bring easy-VQA into a folder: 4,000 images with 38,575 questions to train on, 1,000 with 9,673 to test on.

    Questions, answers and split are the package's own. `kind` is yes-no, shape or colour; `detail` is empty.

    Args:
        folder: new, empty, or holding this set.
        val: so many of the training images, spread evenly, become `val.csv` with their questions. 0: none.
    Raises:
        JumokError: the package easy-vqa is not installed, or as `write_pictures`.
    Source: https://github.com/vzhou842/easy-VQA (MIT licence), PyPI package easy-vqa 1.0.
    """
    package, folder = _package(), Path(folder)
    pictures = {"train": package.get_train_image_paths(), "test": package.get_test_image_paths()}
    count = len(pictures["train"])
    if not 0 <= val < count:
        raise JumokError(f"val takes 0 to {count - 1} of easy-VQA's {count} training images, got {val}")
    held = {number * count // val for number in range(val)}
    paths = {f"{part}/{number}.png": Path(path) for part, some in pictures.items() for number, path in some.items()}

    def rows(part: str, keep: Callable[[int], bool]) -> Rows:
        questions = package.get_train_questions() if part == "train" else package.get_test_questions()
        for text, answer, number in zip(*questions, strict=True):
            if keep(number):
                yield f"{part}/{number}.png", text, answer, ANSWERS.get(answer, "colour"), ""

    def copy(folder: Path, picture: Picture) -> None:
        shutil.copyfile(paths[picture.name], folder / "images" / picture.name)

    tables = {
        "train.csv": _table(lambda: rows("train", lambda number: number not in held)),
        "test.csv": _table(lambda: rows("test", lambda _: True)),
    }
    if val:
        tables["val.csv"] = _table(lambda: rows("train", held.__contains__))
    about = {"format": "easy-vqa/1", "val": val}
    write_pictures(folder, about, EASY_VQA, [Picture(name) for name in sorted(paths)], copy, tables)
    return _parts(folder, val)


def _package() -> ModuleType:
    try:
        return importlib.import_module("easy_vqa")
    except ImportError:
        raise JumokError("easy-VQA comes with the package easy-vqa: pip install easy-vqa") from None


EASY_VQA = """# easy-VQA

By Victor Zhou, https://github.com/vzhou842/easy-VQA, MIT licence; brought into this form by
`reproduce/question_sets.py`.
"""


# -- Sort-of-CLEVR -------------------------------------------------------------------------------


class Object(NamedTuple):
    """One object of a scene: its shape, and its middle pixel."""

    shape: str
    x: int
    y: int


Scene = dict[str, Object]
"""The objects by their colours: each scene has one of each."""


def sort_of_clevr(folder: Path, *, seed: int = 0, images: int = 10_000, val: int = 0) -> Parts:
    """Generate Sort-of-CLEVR: 75 x 75 images of six objects, 10 relational and 10 non-relational questions about each.

    From the paper: size and number of images, 200 of which are not trained on (here: the test part, the first 200);
    six objects on each, one of each colour, squares or circles; ten questions of each kind, in the paper's words; three
    kinds of non-relational questions (shape; left or right; top or bottom) and three of relational ones (the shape of
    the closest and of the furthest object; how many have its shape).
    From the usual re-implementation (github.com/kimhc6028/relational-networks), where the paper says nothing: white
    background, pure colours, objects about 10 pixels wide and not anti-aliased, all at random places, questions drawn
    anew each time (so that one may come twice for an image); the count includes the object itself (1 to 6).
    Differs from that: objects never overlap nor touch (there, corners of squares may), none has its middle in the
    image's middle row or column, and none has two closest or two furthest ones, so that every answer is certain.
    Questions are sentences and answers words; in both, they are bits.

    `kind` is relational or non-relational; `detail` is shape, horizontal, vertical, closest, furthest or count.

    Args:
        folder: new, empty, or holding this set.
        seed: 0 or more.
        images: in all, at least 201 + val; fewer than 10,000 begin like these.
        val: so many of the training images become `val.csv` with their questions. 0: none.
    Raises:
        JumokError: numbers out of their range, or as `write_pictures`.
    Source: Santoro et al. 2017, arXiv 1706.01427, section 3.2 and supplement D.
    """
    if seed < 0 or val < 0 or not TEST + val < images <= 1_000_000:
        raise JumokError(
            f"Sort-of-CLEVR needs a seed and val of 0 or more, and more images than the {TEST} of the test and val "
            f"together, up to 1,000,000: got seed {seed}, val {val} and {images} images"
        )
    folder = Path(folder)
    drawn = [Drawn(seed, number) for number in range(images)]
    parts = {"test": drawn[:TEST], "val": drawn[TEST : TEST + val], "train": drawn[TEST + val :]}
    about = {"format": "sort-of-clevr/1", "seed": seed, "images": images, "val": val}
    tables = {f"{part}.csv": _table(partial(_rows, some)) for part, some in parts.items() if some}
    write_pictures(folder, about, SORT_OF_CLEVR.format_map(about), drawn, _write, tables)
    return _parts(folder, val)


def coded(parts: Parts, folder: Path) -> Parts:
    """The same questions of Sort-of-CLEVR in two words, the colour and what is asked: "red closest".

    As in the paper, which gives questions as fixed bits so that language is no part of the task.

    Args:
        parts: from `sort_of_clevr`.
        folder: for the tables; the images stay where they are.
    Raises:
        JumokError: the tables cannot be written.
    """
    files = {"train": parts.train, "test": parts.test, **({"val": parts.val} if parts.val else {})}
    for part, path in files.items():
        with path.open(encoding="utf-8", newline="") as file:
            _, *rows = csv.reader(file)
        write_atomically(folder / f"{part}.csv", _table(partial(map, _in_code, rows))())
    own = {part: folder / f"{part}.csv" for part in files}
    return Parts(parts.images, own["train"], own["test"], own.get("val"))


def _in_code(row: Sequence[str]) -> tuple[str, ...]:
    image, question, answer, kind, detail = row
    colour = next(word for word in question.rstrip("?").split() if word in COLOURS)
    return image, f"{colour} {detail}", answer, kind, detail


@dataclass(frozen=True)
class Drawn:
    """One image of Sort-of-CLEVR, and its questions."""

    seed: int
    number: int

    @cached_property
    def _draw(self) -> Random:
        return Random(f"sort-of-clevr {self.seed} {self.number}")

    @cached_property
    def scene(self) -> Scene:
        return certain_scene(self._draw)

    @cached_property
    def rows(self) -> list[tuple[str, ...]]:
        scene, draw = self.scene, self._draw
        choices = [(kind, tuple(DETAILS[kind])) for kind in DETAILS for _ in range(ASKED)]
        return [
            (self.name, *ask(scene, kind, draw.choice(details), draw.choice(tuple(COLOURS))))
            for kind, details in choices
        ]

    @property
    def name(self) -> str:
        return f"{self.number // 1000:03d}/{self.number:06d}.png"

    @property
    def files(self) -> tuple[str, ...]:
        return (f"images/{self.name}",)


def _rows(drawn: Sequence[Drawn]) -> Rows:
    return (row for one in drawn for row in one.rows)


def _write(folder: Path, one: Drawn) -> None:
    Image.fromarray(picture(one.scene)).save(folder / "images" / one.name)


def certain_scene(draw: Random) -> Scene:
    """Draw scenes until one leaves no doubt about any of its questions."""
    while True:
        scene = _scene(draw)
        if scene and all(_certain(scene, colour) for colour in scene):
            return scene


def _scene(draw: Random) -> Scene | None:
    """Six objects at random places; None where one would touch another."""
    places = [place for place in range(HALF, SIDE - HALF) if place != MIDDLE]
    scene: Scene = {}
    for colour in COLOURS:
        one = Object(draw.choice(SHAPES), draw.choice(places), draw.choice(places))
        if any(max(abs(one.x - other.x), abs(one.y - other.y)) <= 2 * HALF + 1 for other in scene.values()):
            return None
        scene[colour] = one
    return scene


def _certain(scene: Scene, colour: str) -> bool:
    """Whether only one object is closest to one, and only one furthest from it."""
    order = sorted(_distances(scene, colour).values())
    return order[0] < order[1] and order[-2] < order[-1]


def _distances(scene: Scene, colour: str) -> dict[str, int]:
    """Squares of the distances from one object to all others."""
    one = scene[colour]
    return {name: (one.x - far.x) ** 2 + (one.y - far.y) ** 2 for name, far in scene.items() if name != colour}


def _order(scene: Scene, colour: str) -> list[str]:
    """The other objects, from the closest to the furthest."""
    distances = _distances(scene, colour)
    return sorted(distances, key=distances.__getitem__)


def picture(scene: Scene) -> NDArray[np.uint8]:
    """Draw a scene: (75, 75, 3)."""
    image = np.full((SIDE, SIDE, 3), 255, np.uint8)
    for colour, one in scene.items():
        box = image[one.y - HALF : one.y + HALF + 1, one.x - HALF : one.x + HALF + 1]
        box[STAMPS[one.shape]] = COLOURS[colour]
    return image


def _stamps() -> dict[str, NDArray[np.bool_]]:
    """The pixels of each shape."""
    down, right = np.mgrid[-HALF : HALF + 1, -HALF : HALF + 1]
    return {"square": np.ones_like(down, bool), "circle": np.hypot(down, right) <= HALF + 0.3}


STAMPS = _stamps()


# Each: the text, and the answer for the object of a colour.
Answer = Callable[[Scene, str], str]
DETAILS: dict[str, dict[str, tuple[str, Answer]]] = {
    NON_RELATIONAL: {
        "shape": ("What is the shape of the {} object?", lambda scene, colour: scene[colour].shape),
        "horizontal": (
            "Is the {} object on the left or right of the image?",
            lambda scene, colour: "left" if scene[colour].x < MIDDLE else "right",
        ),
        "vertical": (
            "Is the {} object on the top or bottom of the image?",
            lambda scene, colour: "top" if scene[colour].y < MIDDLE else "bottom",
        ),
    },
    RELATIONAL: {
        "closest": (
            "What is the shape of the object that is closest to the {} object?",
            lambda scene, colour: scene[_order(scene, colour)[0]].shape,
        ),
        "furthest": (
            "What is the shape of the object that is furthest from the {} object?",
            lambda scene, colour: scene[_order(scene, colour)[-1]].shape,
        ),
        "count": (
            "How many objects have the shape of the {} object?",
            lambda scene, colour: str(sum(one.shape == scene[colour].shape for one in scene.values())),
        ),
    },
}


def ask(scene: Scene, kind: str, detail: str, colour: str) -> tuple[str, str, str, str]:
    """Ask about the object of a colour: question, answer, kind and detail."""
    text, answer = DETAILS[kind][detail]
    return text.format(colour), answer(scene, colour), kind, detail


SORT_OF_CLEVR = """# Sort-of-CLEVR

As defined by Santoro et al. 2017 (arXiv 1706.01427), generated by `reproduce/question_sets.py`: {images} images with
seed {seed}, {val} of them for validation. Licence: CC0 1.0 (https://creativecommons.org/publicdomain/zero/1.0/).
"""
