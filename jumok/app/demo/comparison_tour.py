"""Every mechanism for vision on the same images, for the same short time."""

from __future__ import annotations

from jumok.app.demo import images_tour
from jumok.app.demo.figures import read_json, show_best
from jumok.app.demo.tour import Done, Step, Tour
from jumok.durations import format_duration, parse_duration
from jumok.language import later, translate
from jumok.views.pages.report_page import Section

__all__ = ["ComparisonTour"]

COMPARISON = (
    "--systems all --budget 40s --shown 8 --batch-size 32 --lr 0.002 "
    "--flips all --no-augment --mixup 0 --label-smoothing 0.05 --ema 0.99"
)


class ComparisonTour(Tour):
    """The surfaces of the main job: all systems, side by side."""

    name = "compare"
    lead = later("The generated surfaces again: every mechanism for a short while, side by side.")

    @property
    def _images(self) -> images_tour.ImagesTour:
        return images_tour.ImagesTour(self.folder.parent / images_tour.ImagesTour.name)

    def steps(self) -> list[Step]:
        images = self._images
        words = ("--masks", images.generated / "masks", *COMPARISON.split(), "--out", self.folder / "all")
        sample, *_ = images.steps()
        return [
            sample._replace(show=lambda _: []),
            Step("compare", lambda: ["compare", images.images, *words], self._say_best, self._show),
        ]

    def _say_best(self) -> str:
        best = show_best(read_json(self.folder / "all" / "compare.json")["systems"])
        return f"{best.name}: {best.value} ({best.note})"

    def _show(self, done: Done) -> list[Section]:
        folder = self.folder / "all"
        found = read_json(folder / "compare.json")
        return [
            Section(
                translate("Compare"),
                translate(
                    "{count} systems, one for each mechanism, {budget} of training each: what each classified "
                    "correctly, what it cost, and where each looked in the same images.",
                    count=len(found["systems"]),
                    budget=format_duration(parse_duration(found["budget"], "--budget")),
                ),
                done.command,
                [show_best(found["systems"])],
                links=[
                    (folder / "index.html", translate("open the comparison")),
                    (folder / "compare.json", translate("all figures")),
                ],
            )
        ]
