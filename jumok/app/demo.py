"""`jumok demo`: the main job from end to end on a generated sample, and a report of it."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jumok.errors import JumokError

if TYPE_CHECKING:
    from jumok.views.report import Figure, Section

OWN = ("run", "look", "eval", "measure", "samples")
"""What the demo writes anew each time; the generated images stay."""
IMAGES = {"train": 6000, "val": 200, "test": 400}
TRAINING = (
    "--system vit-nano --epochs 12 --batch-size 32 --lr 0.002 "
    "--flips all --no-augment --mixup 0 --label-smoothing 0.05 --ema 0.99"
)
LOOKED_AT = 4  # images of each defect


def command(
    folder: Annotated[Path, typer.Argument(help="Where to write it all.")] = Path("demo"),
    epochs: Annotated[int | None, typer.Option(help="Of the training.", min=1, show_default=False)] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.", min=1, show_default=False)] = None,
) -> None:
    """Generate images, train a ViT on them, evaluate, look, measure, and write a report."""
    _make_room(folder)
    demo = Demo(folder, [] if threads is None else ["--threads", str(threads)])
    demo.step("sample", "inspection", folder / "sample", *(w for k, v in IMAGES.items() for w in (f"--{k}", v)))
    more = [] if epochs is None else ["--epochs", epochs]
    demo.step("train", demo.images, *TRAINING.split(), *more, "--out", demo.run, *demo.threads)
    demo.step("eval", demo.run, demo.images, "--out", folder / "eval", *demo.threads)
    demo.gather()
    demo.step("look", demo.chosen, "--model", demo.run, "--out", folder / "look", *demo.threads)
    demo.step("measure", demo.run, demo.images, "--masks", demo.masks, "--out", folder / "measure", *demo.threads)
    report = demo.report()
    typer.echo(f"report: {report.resolve()}")


def _make_room(folder: Path) -> None:
    """Remove what an earlier demo wrote; touch nothing else."""
    if folder.exists() and any(folder.iterdir()) and not (folder / "sample").is_dir():
        raise JumokError(f"{folder} holds something that is not a demo's: give another folder")
    for name in OWN:
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "index.html").unlink(missing_ok=True)


@dataclass
class Demo:
    """The steps of the demo, each an ordinary command, and how long each took."""

    folder: Path
    threads: list[str]
    commands: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def images(self) -> Path:
        """The generated images."""
        return self.folder / "sample" / "images"

    @property
    def masks(self) -> Path:
        """Where their defects are."""
        return self.folder / "sample" / "masks"

    @property
    def run(self) -> Path:
        """The trained model."""
        return self.folder / "run"

    @property
    def chosen(self) -> Path:
        """Copies of the test images that are looked at."""
        return self.folder / "samples"

    def step(self, *words: Any) -> None:
        """Run one command of the program, as typed."""
        from jumok.app.cli import run

        line = [str(word) for word in words]
        typer.echo(f"\n$ jumok {shlex.join(line)}")
        start = time.perf_counter()
        run(line)
        self.commands[line[0]] = f"jumok {shlex.join(line)}"
        self.seconds[line[0]] = time.perf_counter() - start

    def gather(self) -> None:
        """Take the first few test images of each defect, and one without."""
        for kind in sorted(path.name for path in (self.images / "test").iterdir()):
            for path in sorted((self.images / "test" / kind).glob("*.png"))[: 1 if kind == "normal" else LOOKED_AT]:
                self.chosen.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, self.chosen / f"{kind}-{path.name}")

    def report(self) -> Path:
        """Write the report. Returns its path."""
        from jumok.views.report import write_report

        total = sum(self.seconds.values())
        lead = (
            "Generated surfaces of five materials under changing light, some with a scratch, a dent or a stain, and "
            "with seams, screws, labels and marks that mean nothing. A small Vision Transformer learns to tell them "
            "apart from class labels only; the masks are used to judge it, never to train it. "
            f"All steps together took {total:.0f} s."
        )
        path = self.folder / "index.html"
        write_report(path, "Does it look at the defect?", lead, self._sections())
        return path

    def _sections(self) -> list[Section]:
        from jumok.views.report import Section

        evaluation = json.loads((self.folder / "eval" / "eval.json").read_text("utf-8"))
        measured = json.loads((self.folder / "measure" / "measure.json").read_text("utf-8"))
        pictures = sorted((self.folder / "look").glob("*.png"))
        low, high = evaluation["accuracy_95"]
        return [
            Section(
                "Train",
                f"{IMAGES['train']} images, {self.seconds['train']:.0f} s.",
                self.commands["train"],
                links=[(self.run / "card.md", "the run's card"), (self.run / "metrics.csv", "metrics per epoch")],
            ),
            Section(
                "Evaluate",
                f"On {evaluation['images']} test images.",
                self.commands["eval"],
                [_accuracy(evaluation["accuracy"], low, high)],
                [(self.folder / "eval" / "confusion.png", "What each class was taken for")],
            ),
            Section(
                "Look",
                "Where the evidence for the predicted class lies. On the page, hover a patch to see where it looks.",
                self.commands["look"],
                pictures=[(picture, picture.name.partition(".")[0]) for picture in pictures],
                links=[(self.folder / "look" / "index.html", "open the interactive page")],
            ),
            Section(
                "Measure",
                measured["summary"],
                self.commands["measure"],
                _pointing(measured),
                [
                    (
                        self.folder / "measure" / "measure.png",
                        "Every score with its 95 % interval, beside three baselines",
                    )
                ],
                [(self.folder / "measure" / "measure.json", "all figures")],
            ),
        ]


def _accuracy(share: float, low: float, high: float) -> Figure:
    from jumok.views.report import Figure

    return Figure("test accuracy", f"{share:.1%}", f"95 % interval {low:.1%} to {high:.1%}")


def _pointing(measured: dict[str, Any]) -> list[Figure]:
    from jumok.views.report import Figure

    figures = []
    for name, scores in {**measured["methods"], **measured["baselines"]}.items():
        pointing = scores["pointing"]
        figures.append(
            Figure(
                f"pointing game, {name}", f"{pointing['value']:.1%}", f"{pointing['low']:.1%} to {pointing['high']:.1%}"
            )
        )
    return figures
