"""`jumok demo`: the main jobs from end to end on generated samples, and a report of them."""

from __future__ import annotations

import csv
import json
import shlex
import shutil
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jumok.errors import JumokError

if TYPE_CHECKING:
    from jumok.views.pages.report_page import Figure, Section

OWN_FOLDERS = ("run", "look", "eval", "measure", "samples", "translator", "alignment", "answerer", "asked", "compare")
"""What the demo writes anew each time; the generated images, dates and shapes stay."""
IMAGES = {"train": 6000, "val": 200, "test": 400}
TRAINING = (
    "--system vit-nano --epochs 12 --batch-size 32 --lr 0.002 "
    "--flips all --no-augment --mixup 0 --label-smoothing 0.05 --ema 0.99"
)
COMPARISON = (
    "--systems all --budget 15s --shown 8 --batch-size 32 --lr 0.002 "
    "--flips all --no-augment --mixup 0 --label-smoothing 0.05 --ema 0.99"
)
DATES = (
    "--system seq2seq --vocabulary characters --epochs 4 --batch-tokens 3000 --lr 0.006 --label-smoothing 0 "
    "--ema 0.99 --option score=additive --option embedding=32 --option hidden=96 --option dropout=0"
)
SHAPES = "--kinds colour,shape,exists,count --train 3000 --val 150 --test 300"
QUESTIONS = (
    "--system vqa-stacked --epochs 20 --batch-size 64 --lr 0.003 --warmup 0.05 --ema 0.99 --option width=96 "
    "--option dropout=0"
)
FAITHFUL = ("--time", "40s")
"""For measuring how faithful the maps are: some dozens of images."""
MOST_VERDICTS = 3
IMAGES_PER_DEFECT = 4  # images of each defect
DATES_ON_PAGE = 40  # dates on the page
EXAMPLE_DATES = ("2026년 11월 22일 일요일", "Sunday, 22 November 2026")
"""Dates whose alignment is drawn."""


def command(
    folder: Annotated[Path, typer.Argument(help="Where to write it all.")] = Path("demo"),
    epochs: Annotated[int | None, typer.Option(help="Of the training.", min=1, show_default=False)] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.", min=1, show_default=False)] = None,
) -> None:
    """Train on generated images, dates and questions; evaluate, look, measure, compare, and report."""
    _make_room(folder)
    demo = Demo(folder, [] if threads is None else ["--threads", str(threads)])
    more = [] if epochs is None else ["--epochs", str(epochs)]
    demo.classify(more)
    demo.translate(more)
    demo.answer(more)
    demo.compare()
    report = demo.report()
    typer.echo(f"report: {report.resolve()}")


def _make_room(folder: Path) -> None:
    """Remove what an earlier demo wrote; touch nothing else."""
    if folder.exists() and any(folder.iterdir()) and not (folder / "sample").is_dir():
        raise JumokError(f"{folder} holds files that no demo wrote: give another folder")
    for name in OWN_FOLDERS:
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

    @property
    def dates(self) -> Path:
        """The generated dates."""
        return self.folder / "dates"

    @property
    def translator(self) -> Path:
        """The model trained on them."""
        return self.folder / "translator"

    @property
    def shapes(self) -> Path:
        """The generated shapes, with questions."""
        return self.folder / "shapes"

    @property
    def answerer(self) -> Path:
        """The model trained on them."""
        return self.folder / "answerer"

    def classify(self, more: list[str]) -> None:
        """Images: generate, train, evaluate, look, measure."""
        counts = [word for part, count in IMAGES.items() for word in (f"--{part}", count)]
        self.step("sample", "sample", "inspection", self.folder / "sample", *counts)
        self.step("train", "train", self.images, *TRAINING.split(), *more, "--out", self.run)
        self.step("eval", "eval", self.run, self.images, "--out", self.folder / "eval")
        self.gather()
        self.step("look", "look", self.chosen, "--model", self.run, "--out", self.folder / "look")
        self.step(
            "measure",
            "measure",
            self.run,
            self.images,
            "--masks",
            self.masks,
            *FAITHFUL,
            "--out",
            self.folder / "measure",
        )

    def translate(self, more: list[str]) -> None:
        """Dates: generate, train, evaluate, translate, measure."""
        self.step("sample dates", "sample", "dates", self.dates)
        self.step("train dates", "train", self.dates, *DATES.split(), *more, "--out", self.translator)
        self.step("eval dates", "eval", self.translator)
        for number, text in enumerate(EXAMPLE_DATES, 1):
            picture = self.folder / "alignment" / f"{number}.png"
            self.step("translate", "translate", self.translator, text, "--pieces", "--show", picture)
        page = self.folder / "alignment" / "index.html"
        lines = self.folder / "alignment" / "dates.txt"
        self._write_some_dates(lines)
        self.step("translate page", "translate", self.translator, lines, "--pieces", "--show", page)
        gold = ("--alignments", self.dates / "test.chars.align", "--characters", "--method", "attention")
        self.step("measure dates", "measure", self.translator, self.dates / "test.tsv", *gold, "--most", 50)

    def answer(self, more: list[str]) -> None:
        """Questions about shapes: generate, train, evaluate, ask, measure."""
        self.step("sample shapes", "sample", "shapes", self.shapes, *SHAPES.split())
        images = ("--images", self.shapes / "images")
        self.step("train questions", "train", self.shapes, *images, *QUESTIONS.split(), *more, "--out", self.answerer)
        self.step("eval questions", "eval", self.answerer)
        asked = [row["question"] for row in self.questions]
        image = self.shapes / "images" / self.questions[0]["image"]
        self.step("ask", "ask", self.answerer, image, *asked, "--out", self.folder / "asked")
        self.step("measure questions", "measure", self.answerer, "--masks", self.shapes / "masks", "--most", 100)

    @cached_property
    def questions(self) -> list[dict[str, str]]:
        """All questions about the first of the test images, with their answers."""
        with (self.shapes / "test.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return [row for row in rows if row["image"] == rows[0]["image"]]

    def compare(self) -> None:
        """The generated images again: every mechanism for a short while."""
        words = (*COMPARISON.split(), "--out", self.folder / "compare")
        self.step("compare", "compare", self.images, "--masks", self.masks, *words)

    def _write_some_dates(self, path: Path) -> None:
        """Unseen dates, one per line."""
        from jumok.files import write_atomically

        rows = (self.dates / "test.tsv").read_text("utf-8").splitlines()[:DATES_ON_PAGE]
        write_atomically(path, "".join(row.partition("\t")[0] + "\n" for row in rows))

    def step(self, name: str, *words: Any) -> None:
        """Run one command of the program, as typed."""
        from jumok.app.cli import run

        line = [str(word) for word in words] + ([] if words[0] == "sample" else self.threads)
        typer.echo(f"\n$ jumok {shlex.join(line)}")
        start = time.perf_counter()
        run(line)
        self.commands[name] = f"jumok {shlex.join(line)}"
        self.seconds[name] = time.perf_counter() - start

    def gather(self) -> None:
        """Take the first few test images of each defect, and one without."""
        for kind in sorted(path.name for path in (self.images / "test").iterdir()):
            for path in sorted((self.images / "test" / kind).glob("*.png"))[
                : 1 if kind == "normal" else IMAGES_PER_DEFECT
            ]:
                self.chosen.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, self.chosen / f"{kind}-{path.name}")

    def report(self) -> Path:
        """Write the report. Returns its path."""
        from jumok.views.pages.report_page import write_report

        total = sum(self.seconds.values())
        lead = (
            "Generated surfaces of five materials in changing light, some with a scratch, a dent or a stain, and with "
            "distractors: seams, screws, labels and marks. A small Vision Transformer is trained on class labels only; "
            "the masks evaluate it and never train it. Next, dates as people write them in Korean and English: a "
            "recurrent network with additive attention converts them to ISO 8601, and the characters it looked at are "
            "compared with the ground truth. Last, questions about coloured shapes in both languages, where the "
            f"question decides what is looked at. All steps took {total:.0f} s."
        )
        path = self.folder / "index.html"
        write_report(
            path,
            "Does it look at what matters?",
            lead,
            [*self._report_images(), *self._report_dates(), *self._report_questions(), self._report_comparison()],
        )
        return path

    def _report_images(self) -> list[Section]:
        from jumok.views.pages.report_page import Section

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
                [_show_accuracy(evaluation["accuracy"], low, high)],
                [(self.folder / "eval" / "confusion.png", "True and predicted classes")],
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
                _show_pointing(measured),
                [
                    (
                        self.folder / "measure" / "measure.png",
                        "Every score with its 95 % interval, beside three baselines",
                    )
                ],
                [(self.folder / "measure" / "measure.json", "all figures")],
            ),
            Section(
                "Trust",
                "Does the answer depend on what each map marks? Parts of the images are taken away in the order of the "
                f"map. {' '.join(f'{verdict}.' for verdict in measured['faithfulness']['verdicts'][:MOST_VERDICTS])}",
                self.commands["measure"],
                _show_faithfulness(measured["faithfulness"]),
                [(self.folder / "measure" / "faithfulness.png", "The answer, as parts of the images go")],
            ),
        ]

    def _report_dates(self) -> list[Section]:
        from jumok.views.pages.report_page import Section

        evaluation = json.loads((self.translator / "eval" / "eval.json").read_text("utf-8"))
        measured = json.loads((self.translator / "measure" / "measure.json").read_text("utf-8"))
        shown = [self.folder / "alignment" / f"{number}.png" for number in range(1, len(EXAMPLE_DATES) + 1)]
        card = [(self.translator / "card.md", "the run's card"), (self.translator / "metrics.csv", "metrics per epoch")]
        return [
            Section(
                "Train on dates", f"20,000 pairs, {self.seconds['train dates']:.0f} s.", self.commands["train dates"],
                [_show_exact(evaluation)], links=card,
            ),
            Section(
                "See the alignment",
                "Target down, source across: which characters each character of the answer was read off.",
                self.commands["translate"],
                pictures=list(zip(shown, EXAMPLE_DATES, strict=True)),
                links=[(self.folder / "alignment" / "index.html", "open the interactive page")],
            ),
            Section(
                "Measure the alignment", measured["summary"], self.commands["measure dates"],
                _show_alignment_error(measured), [(self.translator / "measure" / "measure.png", "Beside the diagonal")],
                [(self.translator / "measure" / "measure.json", "all figures")],
            ),
        ]  # fmt: skip

    def _report_questions(self) -> list[Section]:
        from jumok.views.pages.report_page import Section

        evaluation = json.loads((self.answerer / "eval" / "eval.json").read_text("utf-8"))
        measured = json.loads((self.answerer / "measure" / "measure.json").read_text("utf-8"))
        low, high = evaluation["accuracy_95"]
        card = [(self.answerer / "card.md", "the run's card"), (self.answerer / "metrics.csv", "metrics per epoch")]
        told = [f"{row['question']} (the truth: {row['answer']})" for row in self.questions]
        shown = [self.folder / "asked" / f"{number}.png" for number in range(1, len(told) + 1)]
        return [
            Section(
                "Train on questions", f"{self.seconds['train questions']:.0f} s, in English and Korean.",
                self.commands["train questions"], [_show_answered(evaluation["accuracy"], low, high)], links=card,
            ),
            Section(
                "Ask",
                "Four questions about one image: what is looked at depends on what is asked. On the page, hover a word "
                "to see where that word looked.",
                self.commands["ask"], pictures=list(zip(shown, told, strict=True)),
                links=[(self.folder / "asked" / "index.html", "open the interactive page")],
            ),
            Section(
                "Measure the looks",
                f"{measured['summary']}. Maps of two questions about one image: {measured['agreement']['summary']}",
                self.commands["measure questions"], _show_pointing(measured),
                [(self.answerer / "measure" / "measure.png", "Beside maps that know nothing of the question")],
                [(self.answerer / "measure" / "measure.json", "all figures")],
            ),
        ]  # fmt: skip

    def _report_comparison(self) -> Section:
        from jumok.views.pages.report_page import Section

        compared = json.loads((self.folder / "compare" / "compare.json").read_text("utf-8"))
        return Section(
            "Compare",
            f"{len(compared['systems'])} systems, one for each mechanism, {compared['budget']} of training each: what "
            "each classified correctly, what it cost, and where each looked in the same images.",
            self.commands["compare"],
            [_show_best(compared["systems"])],
            links=[
                (self.folder / "compare" / "index.html", "open the comparison"),
                (self.folder / "compare" / "compare.json", "all figures"),
            ],
        )


def _show_best(systems: list[dict[str, Any]]) -> Figure:
    from jumok.views.pages.report_page import Figure

    best = max(systems, key=lambda each: each["accuracy"])
    return Figure(
        f"the most right, {best['system']}",
        f"{best['accuracy']:.1%}",
        f"95 % interval {best['low']:.1%} to {best['high']:.1%}",
    )


def _show_accuracy(share: float, low: float, high: float) -> Figure:
    from jumok.views.pages.report_page import Figure

    return Figure("test accuracy", f"{share:.1%}", f"95 % interval {low:.1%} to {high:.1%}")


def _show_answered(share: float, low: float, high: float) -> Figure:
    from jumok.views.pages.report_page import Figure

    return Figure("questions answered correctly", f"{share:.1%}", f"95 % interval {low:.1%} to {high:.1%}")


def _show_pointing(measured: dict[str, Any]) -> list[Figure]:
    from jumok.views.pages.report_page import Figure

    figures = []
    for name, scores in {**measured["methods"], **measured["baselines"]}.items():
        pointing = scores["pointing"]
        figures.append(
            Figure(
                f"pointing game, {name}", f"{pointing['value']:.1%}", f"{pointing['low']:.1%} to {pointing['high']:.1%}"
            )
        )
    return figures


def _show_faithfulness(measured: dict[str, Any]) -> list[Figure]:
    """SRG of every map, where the filling tells least for it."""
    from jumok.views.pages.report_page import Figure

    figures = []
    for name, scores in {**measured["methods"], **measured["baselines"]}.items():
        least = min((scores[f"srg, {filling}"] for filling in measured["fillings"]), key=lambda score: score["value"])
        figures.append(Figure(f"SRG, {name}", f"{least['value']:.2f}", f"{least['low']:.2f} to {least['high']:.2f}"))
    return figures


def _show_exact(evaluation: dict[str, Any]) -> Figure:
    from jumok.views.pages.report_page import Figure

    return Figure("unseen dates exactly right", f"{evaluation['exact']:.1%}", f"of {evaluation['sentences']:,}")


def _show_alignment_error(measured: dict[str, Any]) -> list[Figure]:
    from jumok.views.pages.report_page import Figure

    return [
        Figure(f"alignment error, {name}", f"{scores['aer']['value']:.3f}", "less is better")
        for name, scores in {**measured["methods"], **measured["baselines"]}.items()
    ]
