"""Dates as people write them, to ISO 8601: which letters each digit was read off."""

from __future__ import annotations

from pathlib import Path

from jumok.app.demo.figures import read_json, show_alignment_error, show_exact
from jumok.app.demo.tour import Done, Step, Tour
from jumok.app.telling import tell
from jumok.files import write_atomically
from jumok.language import later, translate
from jumok.views.pages.report_page import Section

__all__ = ["DatesTour"]

SAMPLE = "--train 20000 --val 1000 --test 1000"
TRAINING = (
    "--system seq2seq --vocabulary characters --epochs 4 --batch-tokens 3000 --lr 0.006 --label-smoothing 0 "
    "--ema 0.99 --option score=additive --option embedding=32 --option hidden=96 --option dropout=0"
)
EXAMPLES = ("2026년 11월 22일 일요일", "Sunday, 22 November 2026")
"""Dates whose alignment is drawn."""
ON_PAGE = 40
"""Dates on the interactive page."""
MEASURED = 50


class DatesTour(Tour):
    """A recurrent network with additive attention, and the ground truth of its alignments."""

    name = "dates"
    lead = later(
        "Dates as people write them in Korean and English: a recurrent network with additive attention converts them "
        "to ISO 8601, and the characters it looked at are compared with the ground truth."
    )

    def steps(self) -> list[Step]:
        run, test = self.folder / "run", self.generated / "test.tsv"
        pictures = [self.folder / "alignment" / f"{number}.png" for number in range(1, len(EXAMPLES) + 1)]
        drawn = [
            Step(
                f"translate {number}",
                lambda text=text, picture=picture: ["translate", run, text, "--pieces", "--show", picture],  # type: ignore[misc]
                lambda text=text: translate("the alignment of {date}", date=text),  # type: ignore[misc]
                lambda _: [],
            )
            for number, (text, picture) in enumerate(zip(EXAMPLES, pictures, strict=True), 1)
        ]
        page = self.folder / "alignment" / "index.html"
        gold = ("--alignments", self.generated / "test.chars.align", "--characters", "--method", "attention")
        measure = ["measure", run, test, *gold, "--most", MEASURED]
        return [
            Step(
                "sample",
                lambda: ["sample", "dates", self.generated, *SAMPLE.split()],
                lambda: translate("dates, with what each letter stands for"),
                lambda _: [],
            ),
            Step(
                "train",
                lambda: ["train", self.generated, *TRAINING.split(), "--out", run],
                lambda: translate("the model"),
                lambda _: [],
            ),
            Step("eval", lambda: ["eval", run], self._say_exact, self._show_training),
            *drawn,
            Step(
                "translate all",
                lambda: ["translate", run, self._write_some(), "--pieces", "--show", page],
                lambda: translate("a page of {count} dates", count=ON_PAGE),
                self._show_alignment,
            ),
            Step(
                "measure",
                lambda: measure,
                lambda: read_json(run / "measure" / "measure.json")["summary"],
                self._show_measure,
            ),
        ]

    def _write_some(self) -> Path:
        """Write unseen dates, one per line."""
        lines = self.folder / "alignment" / "dates.txt"
        rows = (self.generated / "test.tsv").read_text("utf-8").splitlines()[:ON_PAGE]
        write_atomically(lines, "".join(row.partition("\t")[0] + "\n" for row in rows))
        return lines

    def _say_exact(self) -> str:
        found = read_json(self.folder / "run" / "eval" / "eval.json")
        share, count = f"{found['exact']:.1%}", f"{found['sentences']:,}"
        return translate("{share} of {count} unseen dates exactly right", share=share, count=count)

    def _show_training(self, done: Done) -> list[Section]:
        run = self.folder / "run"
        found = read_json(run / "eval" / "eval.json")
        links = [(run / "card.md", translate("the run's card")), (run / "metrics.csv", translate("metrics per epoch"))]
        return [
            Section(
                translate("Train on dates"),
                translate("Judged on dates that it never saw."),
                done.command,
                [show_exact(found)],
                links=links,
            )
        ]

    def _show_alignment(self, done: Done) -> list[Section]:
        folder = self.folder / "alignment"
        shown = [(folder / f"{number}.png", text) for number, text in enumerate(EXAMPLES, 1)]
        return [
            Section(
                translate("See the alignment"),
                translate("Target down, source across: which characters each character of the answer was read off."),
                done.command,
                pictures=shown,
                links=[(folder / "index.html", translate("open the interactive page"))],
            )
        ]

    def _show_measure(self, done: Done) -> list[Section]:
        folder = self.folder / "run" / "measure"
        found = read_json(folder / "measure.json")
        return [
            Section(
                translate("Measure the alignment"),
                tell(found["summary"]),
                done.command,
                show_alignment_error(found),
                [(folder / "measure.png", translate("Beside the diagonal"))],
                [(folder / "measure.json", translate("all figures"))],
            )
        ]
