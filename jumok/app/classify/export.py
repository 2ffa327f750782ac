"""A classifier, ready to be exported, with images to check it on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jumok.app.exported import CHECKED_INPUTS, ToExport
from jumok.app.image_inputs import find_inputs
from jumok.errors import JumokError
from jumok.language import later, later_count

if TYPE_CHECKING:
    from jumok.app.session import Session

FORMATS = ("onnx", "pt2")


def prepare(run: Path, data: Sequence[Path], *, with_map: bool, session: Session) -> ToExport:
    """Open a classifier and find images to check its graph on.

    Args:
        run: folder of the run.
        data: images and folders of them; none for the run's own.
        with_map: the graph also gives the attention map.
        session: of the command.
    Raises:
        JumokError: a run or images that cannot be read, or a model that has no map to give.
    """
    from jumok.tasks.classify.export import describe_images, make_graph, prepare_batches
    from jumok.tasks.classify.run import ImageRun

    trained = ImageRun.load(run)
    graph = make_graph(trained, with_map=with_map)
    paths, remarks = choose_images(data, trained.config.data.folder)
    batches = prepare_batches(trained, paths or _make_noise(trained.size))
    facts = {"task": "classify", **trained.kind.facts(), **describe_images(trained)}
    if with_map:
        facts["map"] = "attention rollout (Abnar & Zuidema 2020): weight of each patch, rows x columns over the image"
    checked_on = later_count(len(paths), "{count} image", "{count} images") if paths else later("noise")
    return ToExport(trained.config.system, [graph], {graph.name: batches}, checked_on, facts, remarks)


def choose_images(data: Sequence[Path], own: str | None) -> tuple[list[Path], list[str]]:
    """A few images from all over what was given, or from the run's own; none if these are gone, which is said."""
    if data:
        return _pick(find_inputs(data)), []
    try:
        return _pick(find_inputs([Path(own or "")])), []
    except JumokError:
        return [], [f"checked on noise, for the run's images are not at {own}: give some, to check on real ones"]


def _pick(paths: Sequence[Path]) -> list[Path]:
    step = max(len(paths) // CHECKED_INPUTS, 1)
    return list(paths[::step][:CHECKED_INPUTS])


def _make_noise(size: tuple[int, int]) -> list[Any]:
    import torch

    draw = torch.Generator().manual_seed(0)
    return list(torch.randint(0, 256, (CHECKED_INPUTS, 3, *size), generator=draw, dtype=torch.uint8))
