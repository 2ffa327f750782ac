"""Pictures and a page of some rows of a data set: the maps are those in it, the images those that they are of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from jumok.app.engine.images import read_content
from jumok.app.engine.reading import Looks
from jumok.app.engine.settings import PageSettings
from jumok.app.image_results import Finding, ImageResults, make_page, place
from jumok.app.look_request import FileSettings
from jumok.app.session import Session
from jumok.attention import AttentionMap, Axis, One, Scale
from jumok.errors import JumokError
from jumok.language import translate
from jumok.wording import readable, write_count, write_percent

__all__ = ["draw_pages", "to_finding"]

USUAL = 200
"""Rows that are shown where no number was given."""
COLUMNS = ("row", "label", "predicted", "probability", "target", "method")
MOST_CLASSES = 5
"""On a page."""


def draw_pages(folder: Path, out: Path, wanted: PageSettings, files: FileSettings, session: Session) -> ImageResults:
    """Write pictures and a page of some rows of a data set.

    Args:
        folder: of the data set.
        out: for what is written.
        wanted: which rows.
        files: what is written of each.
        session: of the command.
    Raises:
        JumokError: no data set of maps, a query that cannot be read or that no row meets, or images that are gone.
    """
    looks = Looks.open(folder)
    if not looks.about.get("keys"):
        raise JumokError(f"{folder} has no maps to draw: write a data set with maps")
    numbers, count = looks.choose(wanted.where, wanted.pages or USUAL)
    results = ImageResults(out, _name_page(looks), COLUMNS, pictures=files.pictures)
    results.sheet = make_page(results.title, len(numbers)) if files.html else None
    for row, item in zip(looks.rows(numbers), looks.inputs(numbers, session.remark), strict=True):
        for number, each in enumerate(_part(row, looks.about), 1):
            name = f"{number}-{Path(row['path']).name}" if "questions" in looks.about else Path(row["path"]).name
            _add(Path(f"{row['index']:06}-{name}"), each, item.content, looks.about, results)
    results.remarks.append(_tell_choice(len(numbers), count, wanted))
    results.close()
    return results


def _name_page(looks: Looks) -> str:
    model, method = str(looks.about["model"]), str(looks.about["method"])
    if not model:
        return translate("What stands out: {method}", method=method)
    return translate("Where {model} looks", model=readable(Path(model).name))


def _tell_choice(shown: int, count: int, wanted: PageSettings) -> str:
    rows = write_count(count, "row")
    meant = f"{rows} where {wanted.where}" if wanted.where else rows
    return f"all of {meant}" if shown == count else f"{shown:,} drawn by chance of {meant}"


def _part(row: Mapping[str, Any], about: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A row for each question, where several were asked about an image; else the row itself."""
    if "questions" not in about:
        yield row
        return
    places, count = about["places"], len(about["questions"])
    for number, question in enumerate(about["questions"]):
        map_ = row["maps"] and row["maps"][number * places : (number + 1) * places]
        said = [(row[name] or [None] * count)[number] for name in ("answers", "probabilities")]
        own = dict(zip(("prediction", "probability"), said, strict=True))
        yield {**row, **own, "map": map_, "target": question, "method": about["method"]}


def _add(name: Path, row: Mapping[str, Any], content: Any, about: Mapping[str, Any], results: ImageResults) -> None:
    """Draw a row, or note why it cannot be drawn."""
    try:
        if row["map"] is None:
            raise JumokError(f"{row['path']}: {row['error']}")
        results.add(name, read_content(content), to_finding(row, about), row.get("label") or "")
    except JumokError as error:
        results.fail(name, error)


def to_finding(row: Mapping[str, Any], about: Mapping[str, Any]) -> Finding:
    """What was found in an image, as pages show it."""
    keys, scale = Axis.from_dict(about["keys"]), Scale(about["scale"])
    heat = AttentionMap(torch.tensor([row["map"]]).float(), One("image"), keys, (), scale, row["method"])
    shares = zip(about.get("classes", ()), row.get("probabilities") or (), strict=False)
    figures = {
        "row": row["index"],
        "label": row.get("label"),
        "predicted": row.get("prediction"),
        "probability": row.get("probability"),
        "target": row.get("target"),
        "method": row["method"],
    }
    answer, share = figures["predicted"], figures["probability"]
    told = [text for text in (answer, "" if share is None else write_percent(share, 1)) if text]
    target = f"{about['method']} for {row['target']}" if row.get("target") else about["method"]
    finding = Finding(
        heat,
        about["method"],
        title=f": {' '.join(map(str, told))}" if told else "",
        text="",
        figures={name: value for name, value in figures.items() if value is not None},
        best=sorted(shares, key=lambda pair: -pair[1])[:MOST_CLASSES],
        note="; ".join(filter(None, [target, row.get("verdict")])),
    )
    return place(finding, tuple(row["frame"])) if row.get("frame") else finding
