"""Make the pictures of docs/lineage.md and of two pages anew: `python docs/pictures.py COMPARISON IMAGES ANSWERS RUNS`.

COMPARISON is the folder of a `jumok compare` that trained senet and non-local on IMAGES, a folder with test/; ANSWERS
is the page that `jumok ask` wrote, beside its pictures; in RUNS ram and stn are trained on digits, in ten minutes, if
they are not there.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas
import torch
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image

import jumok
from jumok.app.cli import run
from jumok.attention import Patches
from jumok.data.images.reading import read_image
from jumok.mechanisms import saliency
from jumok.tasks.classify.any_classifier import open_model
from jumok.tasks.classify.looking import LookOptions, look
from jumok.views.pictures.channels import draw_gates
from jumok.views.pictures.heatmap import draw
from jumok.views.pictures.lines import draw_lines

HERE = Path(__file__).parent / "lineage"
KEPT = 16
COPIES = 4
"""How often each digit of the training part is in a square."""
PIECES, PIECE = 6, 9
"""Pieces of other digits in a cluttered square, and their pixels: among them a window is worth learning."""
SEARCH = ("samples=8", "policy_rate=0.25", "std=0.2")
"""What has RAM search within minutes; what it does by default pays in long trainings."""
CHOSEN: dict[str, tuple[int, int, list[str]]] = {
    "stn": (64, PIECES, ["transform=attention", "crop=16"]),
    "ram": (48, 0, ["size=10", "scales=2", "glimpses=5", "code=linear", *SEARCH]),
}
"""Pixels of a square, pieces in it, and the options of each training."""
SHOWN = {"stn": "4", "ram": "5"}
"""The digit that is shown, the first of its kind in the test part."""
EACH = 40
"""Images of each class whose gates are averaged."""


def features() -> None:
    """The pixels of scikit-learn's digits that JMI keeps."""
    digits = load_digits(as_frame=True)
    table = pandas.concat([digits.data, digits.target.rename("digit")], axis=1)
    with tempfile.TemporaryDirectory() as folder:
        table.to_csv(Path(folder) / "digits.csv", index=False)
        words = ["--target", "digit", "--k", str(KEPT), "--method", "jmi", "--image", "8x8", "--out", f"{folder}/out"]
        run(["select", f"{folder}/digits.csv", *words])
        Image.open(Path(folder) / "out" / "mask.png").save(HERE / "features.png")


def photograph() -> None:
    """What stands out in scikit-learn's photograph of a flower."""
    pixels = torch.from_numpy(load_sample_image("flower.jpg").copy()).permute(2, 0, 1)[:, ::2, ::2].contiguous()
    draw(
        saliency.saliency_map(pixels, "boolean-maps"),
        pixels,
        HERE / "saliency.png",
        title="boolean maps (2013), no model",
    )


def enlarge(values: np.ndarray, size: int) -> np.ndarray:
    """A digit of scikit-learn, of 8 x 8 values up to 16, as so many pixels a side."""
    return np.asarray(Image.fromarray((values * 15.9).astype(np.uint8)).resize((size, size), Image.Resampling.BICUBIC))


def scatter_digits(folder: Path, side: int, pieces: int) -> Path:
    """scikit-learn's digits, in another size and at another place of a dark square each: to be found before read."""
    digits, random = load_digits(), np.random.default_rng(0)
    for number, (values, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        part = {0: "test", 1: "val"}.get(number % 6, "train")
        (folder / part / str(label)).mkdir(parents=True, exist_ok=True)
        for copy in range(COPIES if part == "train" else 1):
            size, square = int(random.integers(18, 23)), np.zeros((side, side), np.uint8)
            for other in random.integers(0, len(digits.images), pieces):
                top, left = random.integers(0, size - PIECE + 1, 2)
                piece = enlarge(digits.images[other], size)[top : top + PIECE, left : left + PIECE]
                add(square, piece, *random.integers(0, side - PIECE + 1, 2))
            add(square, enlarge(values, size), *random.integers(0, side - size + 1, 2))
            Image.fromarray(square).save(folder / part / str(label) / f"{number:04}-{copy}.png")
    return folder


def add(square: np.ndarray, part: np.ndarray, top: int, left: int) -> None:
    """Lay a part over a square; the brighter of both stays."""
    place = square[top : top + len(part), left : left + len(part)]
    np.maximum(place, part, out=place)


def chosen_places(runs: Path) -> None:
    """The glimpses and the window on one digit, of networks that learn to find it."""
    for name, (side, pieces, options) in CHOSEN.items():
        digits = scatter_digits(runs / f"digits-{name}", side, pieces)
        if not (runs / name).exists():
            words = [word for option in options for word in ("--option", option)]
            words += ["--lr", "0.003" if name == "stn" else "0.002", "--time", "4m", "--no-trust"]
            run(["train", str(digits), "--system", name, *words, "--out", str(runs / name)])
        opened = open_model(str(runs / name))
        picture = read_image(sorted((digits / "test" / SHOWN[name]).glob("*.png"))[0])
        (answer,) = look(opened, [picture], LookOptions(("attention",)))
        said = f"{opened.classes[answer.predicted]}, {float(answer.probabilities.max()):.0%}"
        draw(answer.heats["attention"], picture, HERE / f"{name}.png", title=f"{name}: reads {said}")


def channels(comparison: Path, images: Path) -> None:
    """The gates of an SE network, by class."""
    trained = jumok.load(comparison / "senet")
    paths = {kind.name: sorted(kind.glob("*.png"))[:EACH] for kind in sorted((images / "test").iterdir())}
    classes = [name for name, found in paths.items() for _ in found]
    with torch.no_grad(), jumok.watch(trained.model) as seen:
        trained.model(trained.prepare([path for found in paths.values() for path in found]))
    draw_gates(seen.gates(), HERE / "senet.png", classes=classes, title="gates of each block, by class")


def places(comparison: Path, image: Path) -> None:
    """Where the places around the defect look, in a non-local network."""
    opened, picture = open_model(str(comparison / "non-local")), read_image(image)
    with torch.no_grad(), jumok.watch(opened.model) as seen:
        opened.model(opened.prepare([picture]))
    map_ = seen.of_image(seen.in_image()[0], 0)
    grid = map_.queries
    assert isinstance(grid, Patches)
    row, column = grid.rows // 4, grid.columns // 4
    asked = [(row, column), (row, 3 * column), (3 * row, 2 * column)]
    draw_lines(
        map_, picture, HERE / "non-local.png", places=asked, title=f"{image.parent.name}: where three places look"
    )


def page(path: Path, picture: Path, *, width: int, height: int) -> None:
    """The top of a page, as chromium shows it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": width, "height": height})
        opened.goto(path.resolve().as_uri())
        opened.wait_for_timeout(2000)  # until all maps are drawn
        opened.screenshot(path=picture)
        browser.close()


def main(comparison: str, images: str, answers: str, runs: str) -> None:
    """Make all of them."""
    HERE.mkdir(exist_ok=True)
    page(Path(comparison) / "index.html", HERE / "compare.png", width=1420, height=1400)
    shutil.copy(Path(answers).parent / "1.png", HERE / "ask.png")
    page(Path(answers), HERE.parent / "ask-page.png", width=1500, height=1080)
    image = sorted((Path(images) / "test" / "dent").glob("*.png"))[0]
    features()
    photograph()
    chosen_places(Path(runs))
    channels(Path(comparison), Path(images))
    places(Path(comparison), image)


if __name__ == "__main__":
    main(*sys.argv[1:])
