"""Coloured shapes, and questions about them with looks as a model could have had: nearness to what a word is about."""

from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from jumok.attention import AttentionMap, One, Patches, Scale, Tokens
from jumok.views.pictures.question_picture import Asked

SHAPES = {"red": ((0.25, 0.3), "#d43d2f"), "blue": ((0.72, 0.25), "#2f6fd4"), "green": ((0.5, 0.75), "#3c9a4b")}
GRID = (8, 8)


def shapes(side: int = 96) -> Image.Image:
    """A red disc, a blue square and a green triangle, drawn large and scaled down."""
    large = 4 * side
    image = Image.new("RGB", (large, large), "#e9e6df")
    pen, size = ImageDraw.Draw(image), 0.13 * large
    for name, ((x, y), colour) in SHAPES.items():
        x, y = x * large, y * large
        box = (x - size, y - size, x + size, y + size)
        if name == "green":
            pen.polygon([(x, y - size), (x - size, y + size), (x + size, y + size)], fill=colour)
        else:
            (pen.ellipse if name == "red" else pen.rectangle)(box, fill=colour)
    return image.resize((side, side), Image.Resampling.LANCZOS)


def look_at(target: str | None, grid: tuple[int, int] = GRID, width: float = 0.15) -> Tensor:
    """(places): a distribution around one of the shapes; all alike for none."""
    rows, columns = grid
    if target is None:
        return torch.full((rows * columns,), 1 / (rows * columns))
    (x, y), _ = SHAPES[target]
    y_of, x_of = torch.meshgrid(
        (torch.arange(rows) + 0.5) / rows, (torch.arange(columns) + 0.5) / columns, indexing="ij"
    )
    return (-((y_of - y) ** 2 + (x_of - x) ** 2) / width**2).flatten().softmax(-1)


def a_question(
    words: Sequence[str] = ("what", "shape", "is", "below", "the", "red", "disc", "?"),
    about: Sequence[str | None] = (None, "green", None, "green", None, "red", "red", None),
    names: Sequence[str] = ("hop 1", "hop 2"),
    **changes,
) -> Asked:
    """A question whose first look goes where its words look, and whose last one goes to the green triangle."""
    by_word = {}
    for number, name in enumerate(names):
        rows = torch.stack([look_at(each, width=0.5 / (number + 2)) for each in about])
        by_word[name] = AttentionMap(rows, Tokens(tuple(words)), Patches(*GRID), source=name)
    wholes = {
        name: AttentionMap(
            look_at("green" if number else "red", width=0.4 / (number + 1))[None],
            One("question"),
            Patches(*GRID),
            source=name,
        )
        for number, name in enumerate(names)
    }
    weights = torch.tensor([[0.3 + 2 * (each is not None) + 0.1 * index for index, each in enumerate(about)]])
    given = {
        "question": " ".join(words),
        "words": words,
        "answers": [("triangle", 0.875), ("square", 0.09), ("disc", 0.03), ("star", 0.005)],
        "looks": wholes,
        "by_word": by_word,
        "weights": AttentionMap(weights.softmax(-1), One("answer"), Tokens(tuple(words)), source="relevance"),
        "truth": "triangle",
    }
    return Asked(**{**given, **changes})


KOREAN = {
    "words": ("빨간", "원", "아래에", "있는", "도형은", "무엇입니까", "?"),
    "about": ("red", "red", "green", None, "green", None, None),
    "answers": [("사각형", 0.61), ("삼각형", 0.33), ("원", 0.06)],
    "truth": "삼각형",
}


def relevance(scale: Scale = Scale.RELEVANCE, factor: float = 3.0) -> AttentionMap:
    return AttentionMap(factor * look_at("blue")[None], One("question"), Patches(*GRID), (), scale, "relevance")
