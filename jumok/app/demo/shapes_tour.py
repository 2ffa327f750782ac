"""Questions about shapes in two languages: the question decides what is looked at."""

from __future__ import annotations

import csv
from functools import cached_property

from jumok.app.demo.figures import read_json, show_pointing, show_share
from jumok.app.demo.tour import Done, Step, Tour
from jumok.app.telling import tell
from jumok.language import later, translate
from jumok.views.pages.report_page import Section

__all__ = ["ShapesTour"]

SAMPLE = "--kinds colour,shape,exists,count --train 3000 --val 150 --test 300"
TRAINING = (
    "--system vqa-stacked --epochs 20 --batch-size 64 --lr 0.003 --warmup 0.05 --ema 0.99 --option width=96 "
    "--option dropout=0"
)
MEASURED = 100


class ShapesTour(Tour):
    """A network that attends twice, and where it looked for each question about one image."""

    name = "shapes"
    lead = later("Questions about coloured shapes in English and Korean, where the question decides what is looked at.")

    def steps(self) -> list[Step]:
        run, images, asked = self.folder / "run", self.generated / "images", self.folder / "asked"
        train = ["train", self.generated, "--images", images, *TRAINING.split(), "--out", run]
        measure = ["measure", run, "--masks", self.generated / "masks", "--most", MEASURED]
        return [
            Step(
                "sample",
                lambda: ["sample", "shapes", self.generated, *SAMPLE.split()],
                lambda: translate("images of shapes, with questions"),
                lambda _: [],
            ),
            Step("train", lambda: train, lambda: translate("the model"), lambda _: []),
            Step("eval", lambda: ["eval", run], self._say_accuracy, self._show_training),
            Step(
                "ask",
                lambda: ["ask", run, images / self.questions[0]["image"], *self._asked(), "--out", asked],
                lambda: translate("{count} questions about one image", count=len(self.questions)),
                self._show_asked,
            ),
            Step(
                "measure",
                lambda: measure,
                lambda: read_json(run / "measure" / "measure.json")["summary"],
                self._show_measure,
            ),
        ]

    @cached_property
    def questions(self) -> list[dict[str, str]]:
        """All questions about the first of the test images, with their answers."""
        with (self.generated / "test.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return [row for row in rows if row["image"] == rows[0]["image"]]

    def _asked(self) -> list[str]:
        return [row["question"] for row in self.questions]

    def _say_accuracy(self) -> str:
        found = read_json(self.folder / "run" / "eval" / "eval.json")
        low, high = found["accuracy_95"]
        return translate(
            "{share} of the questions answered correctly (95%: {low} to {high})",
            share=f"{found['accuracy']:.1%}",
            low=f"{low:.1%}",
            high=f"{high:.1%}",
        )

    def _show_training(self, done: Done) -> list[Section]:
        run = self.folder / "run"
        found = read_json(run / "eval" / "eval.json")
        links = [(run / "card.md", translate("the run's card")), (run / "metrics.csv", translate("metrics per epoch"))]
        figures = [show_share(translate("questions answered correctly"), found["accuracy"], found["accuracy_95"])]
        return [
            Section(
                translate("Train on questions"), translate("In English and Korean."), done.command, figures, links=links
            )
        ]

    def _show_asked(self, done: Done) -> list[Section]:
        folder = self.folder / "asked"
        told = [
            translate("{question} (the truth: {answer})", question=row["question"], answer=row["answer"])
            for row in self.questions
        ]
        return [
            Section(
                translate("Ask"),
                translate(
                    "Questions about one image: what is looked at depends on what is asked. On the page, hover a word "
                    "to see where that word looked."
                ),
                done.command,
                pictures=[(folder / f"{number}.png", text) for number, text in enumerate(told, 1)],
                links=[(folder / "index.html", translate("open the interactive page"))],
            )
        ]

    def _show_measure(self, done: Done) -> list[Section]:
        folder = self.folder / "run" / "measure"
        found = read_json(folder / "measure.json")
        return [
            Section(
                translate("Measure the looks"),
                translate(
                    "{summary}. Maps of two questions about one image: {agreement}",
                    summary=tell(found["summary"]),
                    agreement=tell(found["agreement"]["summary"]),
                ),
                done.command,
                show_pointing(found),
                [(folder / "measure.png", translate("Beside maps that know nothing of the question"))],
                [(folder / "measure.json", translate("all figures"))],
            )
        ]
