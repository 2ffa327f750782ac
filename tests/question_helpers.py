"""Small images of two coloured squares, questions about them with masks, and models that are small too."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image
from training_job import TrainingJob

COLOURS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (50, 70, 230)}
KOREAN = {"left": "왼쪽 네모는 무슨 색인가요?", "right": "오른쪽 네모는 무슨 색인가요?"}
HEIGHT, WIDTH = 16, 24
OPTIONS = {
    "vqa-stacked": {"hops": 2},
    "vqa-transformer": {"layers": 2, "eye_layers": 1},
    "vqa-question": {},
    "vqa-image": {},
    "vqa-concat": {},
}
SYSTEMS = tuple(OPTIONS)
ATTENDING = ("vqa-stacked", "vqa-transformer")
SMALL = {"width": 16, "heads": 2, "patch": 4}
COUNTS = {"train": 24, "val": 8, "test": 8}


def write_squares(folder: Path) -> Path:
    """`train.csv`, `val.csv` and `test.csv` with `images` and `masks`: the colour of the left square and of the right.

    Of every image both are asked, in English or in Korean, and whether there is a circle, which is nowhere.
    """
    chance = np.random.default_rng(0)
    for part, count in COUNTS.items():
        rows = [("image", "question", "answer", "kind", "mask")]
        for number in range(count):
            rows += _scene(folder, f"{part}-{number}", chance, korean=number % 2 == 1)
        with (folder / f"{part}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
    return folder


def _scene(folder: Path, name: str, chance: np.random.Generator, korean: bool) -> list[tuple[str, ...]]:
    pixels = chance.integers(0, 40, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    rows = []
    for side, column in (("left", 1), ("right", 13)):
        colour = str(chance.choice(list(COLOURS)))
        place = (slice(row := int(chance.integers(1, 6)), row + 9), slice(column, column + 9))
        pixels[place] = COLOURS[colour]
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[place] = 255
        _save(mask, folder / "masks" / f"{name}-{side}.png")
        question = KOREAN[side] if korean else f"what colour is the {side} square?"
        rows.append((f"{name}.png", question, colour, "colour", f"{name}-{side}.png"))
    _save(pixels, folder / "images" / f"{name}.png")
    return [*rows, (f"{name}.png", "is there a circle?", "no", "presence", "")]


def _save(pixels, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def settings_of(folder: Path, *files: Path, system="vqa-stacked", options=None, training=None, **data):
    """Settings of a model that is trained on a folder of squares, or on files beside its images."""
    from jumok.tasks.answer.settings import QuestionData, QuestionTraining, Settings

    trained = {"epochs": 3, "batch_size": 16, "checkpoint_every": 1, "device": "cpu", **(training or {})}
    return Settings(
        system=system,
        options={**SMALL, **OPTIONS[system], **(options or {})},
        data=QuestionData(questions=tuple(map(str, files or (folder,))), **{"images": str(folder / "images"), **data}),
        training=QuestionTraining(**trained),
    )


def untrained(folder: Path, settings):
    """A run whose weights are those that the seed gave, made wilder so that it answers this and that."""
    from jumok.tasks.answer.prepare import prepare
    from jumok.tasks.answer.run import QuestionRun
    from jumok.tasks.running.callbacks import write_weights

    prepared = prepare(settings)
    prepared.write(folder)
    model = prepared.module().model
    wilder(model)
    write_weights(folder, model.state_dict(), {})
    return QuestionRun.load(folder)


def wilder(model, by=0.3):
    """Make weights large enough that a model looks somewhere, and somewhere else for another question."""
    import torch

    torch.manual_seed(1)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(by * torch.randn_like(value))
    return model


class QuestionJob(TrainingJob):
    """A training run of a model that answers questions."""

    def prepare(self):
        from jumok.tasks.answer.prepare import prepare

        return prepare(self.settings)
