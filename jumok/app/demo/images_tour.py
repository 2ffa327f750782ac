"""The main job: a folder of images. Train, evaluate, look, and measure, with masks and without."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from jumok.app.demo.figures import read_json, show_faithfulness, show_pointing, show_share
from jumok.app.demo.tour import Done, Step, Tour
from jumok.app.telling import tell
from jumok.durations import format_duration
from jumok.language import later, translate
from jumok.tasks.running.trust import read_trust
from jumok.views.pages.report_page import Section

__all__ = ["ImagesTour"]

COUNTS = {"train": 3000, "val": 200, "test": 400}
TRAINING = (
    "--system vit-nano --epochs 7 --batch-size 32 --lr 0.002 "
    "--flips all --no-augment --mixup 0 --label-smoothing 0.05 --ema 0.99"
)
MEASURING = "--time 30s"
"""For measuring how faithful the maps are: some dozens of images."""
LOOKED_AT = 4
"""Images of each defect."""
MOST_VERDICTS = 3


class ImagesTour(Tour):
    """Surfaces with defects: the masks judge the maps, and never train the model."""

    name = "images"
    lead = later(
        "Generated surfaces of five materials in changing light, some with a scratch, a dent or a stain, and with "
        "distractors: seams, screws, labels and marks. A small Vision Transformer is trained on class labels only; the "
        "masks evaluate it and never train it."
    )

    @property
    def images(self) -> Path:
        """The generated images."""
        return self.generated / "images"

    def steps(self) -> list[Step]:
        counts = [word for part, count in COUNTS.items() for word in (f"--{part}", count)]
        run, masks = self.folder / "run", self.generated / "masks"
        out = {name: ("--out", self.folder / name) for name in ("run", "eval", "look", "measure")}
        return [
            Step(
                "sample",
                lambda: ["sample", "inspection", self.generated, *counts],
                lambda: translate("{count} images, and a mask of each defect", count=f"{sum(COUNTS.values()):,}"),
                self._show_data,
            ),
            Step(
                "train",
                lambda: ["train", self.images, *TRAINING.split(), *out["run"]],
                self._say_trust,
                self._show_training,
            ),
            Step("eval", lambda: ["eval", run, self.images, *out["eval"]], self._say_accuracy, self._show_accuracy),
            Step(
                "look",
                lambda: ["look", self._gather(), "--model", run, *out["look"]],
                lambda: translate("where the model looked, one page"),
                self._show_look,
            ),
            Step(
                "measure",
                lambda: ["measure", run, self.images, "--masks", masks, *MEASURING.split(), *out["measure"]],
                lambda: read_json(self.folder / "measure" / "measure.json")["summary"],
                self._show_measure,
            ),
        ]

    def _gather(self) -> Path:
        """Copy the first few test images of each defect, and one without."""
        chosen = self.folder / "chosen"
        chosen.mkdir(parents=True, exist_ok=True)
        for path in self._pick():
            shutil.copyfile(path, chosen / f"{path.parent.name}-{path.name}")
        return chosen

    def _pick(self) -> list[Path]:
        kinds = sorted((self.images / "test").iterdir())
        most = {kind: 1 if kind.name == "normal" else LOOKED_AT for kind in kinds}
        return [path for kind in kinds for path in sorted(kind.glob("*.png"))[: most[kind]]]

    def _show_data(self, done: Done) -> list[Section]:
        one_each = {path.parent.name: path for path in self._pick()}
        pictures = [(path, kind) for kind, path in one_each.items()]
        text = translate("{count} images to learn from; one of each class:", count=f"{COUNTS['train']:,}")
        return [Section(translate("The data"), text, done.command, small=pictures)]

    def _show_training(self, done: Done) -> list[Section]:
        run = self.folder / "run"
        links = [(run / "card.md", translate("the run's card")), (run / "metrics.csv", translate("metrics per epoch"))]
        text = translate("{count} images, {time}.", count=f"{COUNTS['train']:,}", time=format_duration(done.seconds))
        return [Section(translate("Train"), text, done.command, links=links)]

    def _say_trust(self) -> str:
        trust = read_trust(self.folder / "run")
        if trust is None:  # on a machine that is busy with other things
            return translate("the model; there was no time to find which of its maps to trust")
        count = f"{trust.inputs:,}"
        if trust.method is None:
            return translate("the model; on {count} images no map was more faithful to it than chance", count=count)
        return translate(
            "the model; on {count} images {method} was the map most faithful to it", count=count, method=trust.method
        )

    def _say_accuracy(self) -> str:
        found = read_json(self.folder / "eval" / "eval.json")
        low, high = found["accuracy_95"]
        return translate(
            "{share} of {count} test images right (95%: {low} to {high})",
            share=f"{found['accuracy']:.1%}",
            count=f"{found['images']:,}",
            low=f"{low:.1%}",
            high=f"{high:.1%}",
        )

    def _show_accuracy(self, done: Done) -> list[Section]:
        found = read_json(self.folder / "eval" / "eval.json")
        figures = [show_share(translate("test accuracy"), found["accuracy"], found["accuracy_95"])]
        confusion = [(self.folder / "eval" / "confusion.png", translate("True and predicted classes"))]
        text = translate("On {count} test images.", count=found["images"])
        return [Section(translate("Evaluate"), text, done.command, figures, confusion)]

    def _show_look(self, done: Done) -> list[Section]:
        folder = self.folder / "look"
        return [
            Section(
                translate("Look"),
                translate(
                    "Where the evidence for the predicted class lies. On the page, hover a patch to see where it looks."
                ),
                done.command,
                pictures=[(picture, picture.name.partition(".")[0]) for picture in sorted(folder.glob("*.png"))],
                links=[(folder / "index.html", translate("open the interactive page"))],
            )
        ]

    def _show_measure(self, done: Done) -> list[Section]:
        folder = self.folder / "measure"
        found = read_json(folder / "measure.json")
        chart = [(folder / "measure.png", translate("Every score with its 95% interval, beside three baselines"))]
        links = [(folder / "measure.json", translate("all figures"))]
        heading, summary = translate("Measure with masks"), tell(found["summary"])
        with_masks = Section(heading, summary, done.command, show_pointing(found), chart, links)
        return [with_masks, self._show_faithfulness(found.get("faithfulness"))]

    def _show_faithfulness(self, found: dict[str, Any] | None) -> Section:
        heading = translate("Measure without masks")
        if found is None:
            return Section(heading, translate("There was no time for it ({options}).", options=MEASURING))
        verdicts = " ".join(f"{tell(verdict)}." for verdict in found["verdicts"][:MOST_VERDICTS])
        text = translate(
            "Does the answer depend on what each map marks? Parts of the images are taken away in the order of the "
            "map. {verdicts} SRG says how much earlier the answer falls if the most important parts go first: 0 is "
            "chance. Each map's figure is that of the filling for which it is lowest.",
            verdicts=verdicts,
        )
        curves = [
            (
                self.folder / "measure" / "faithfulness.png",
                translate("The answer as parts of the images are taken away"),
            )
        ]
        return Section(heading, text, figures=show_faithfulness(found), pictures=curves)
